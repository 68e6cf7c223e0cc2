//! Selects the protocol of a stream. Pure: observations and events go in, the protocol to use comes out.
//!
//! A protocol that the user selected is the only one tried. Auto tries one protocol after the other until a frame is presented.
//! It keeps a protocol while a known cause explains the missing video: an offline camera is offline over every protocol. It
//! starts with the protocol that worked on this network before.

use crate::state::{Abilities, Failure, Protocol, TileEvent};
use crate::time::Moment;
use sightline_protocol::message::StreamState;

/// Time to the first frame, after which Auto changes the protocol. Three protocols fit into the time that viewers are willing
/// to wait.
const FIRST_PICTURE_MS: f64 = 4_000.0;
/// The same while media arrives: the link is slow, and no other protocol makes it faster.
const SLOW_PICTURE_MS: f64 = 12_000.0;
/// The same for a protocol that has worked: relays and networks recover within seconds.
const HEALING_MS: f64 = 15_000.0;
/// When all protocols have failed, the relay is most likely down. Auto then waits this long on the last protocol that worked,
/// or else on the first, before it tries them all again.
const ROUND_MS: f64 = 30_000.0;
/// Failed connections in a row after which the protocol counts as blocked.
const REFUSALS: u32 = 2;
/// Time on another protocol before the best is tested again. It doubles after each failed test, up to the second value.
const UPWARD_MS: f64 = 30_000.0;
const UPWARD_MAX_MS: f64 = 15.0 * 60_000.0;

/// Whether Auto begins with WebCodecs where the browser has it. It does once its ages and its costs are measured.
const AUTO_WEBCODECS: bool = false;

/// The next action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Move {
    /// Use the [current](Plan::current) protocol, which has changed.
    Change,
    /// Test whether the best protocol would work, and pass the result to [`Plan::looked`].
    Look,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    ways: Vec<Protocol>,
    at: usize,
    why: String,
    begun: Moment,
    /// How long the protocol may stay without video.
    patience_ms: f64,
    /// A frame has been presented since the connection was made.
    presented: bool,
    /// The video is stale.
    stale: bool,
    /// The connection was made.
    connected: bool,
    /// The best protocol could not connect, as far as is known.
    blocked: bool,
    /// The last protocol that presented a frame.
    worked: usize,
    /// The protocols abandoned since the last presented frame, and the reasons.
    faults: Vec<(Protocol, &'static str)>,
    refusals: u32,
    excused: bool,
    watched: bool,
    upward_ms: f64,
    settled: Option<Moment>,
    looking: bool,
}

impl Plan {
    /// Creates the plan from the user's choice, this browser's abilities and the relay's host. `remembered` worked on this
    /// network before, where the best did not.
    pub(super) fn new(
        chosen: Protocol,
        abilities: &Abilities,
        host: &str,
        remembered: Option<Protocol>,
        now: Moment,
    ) -> Self {
        let ways = ways(chosen, abilities, host);
        let at = ways.iter().position(|&way| Some(way) == remembered).unwrap_or(0);
        let why = match (chosen, ways[at]) {
            (Protocol::Auto, _) if at > 0 => "here it worked before, and what is better did not",
            (Protocol::Auto, Protocol::Mse) => {
                "it is a sixth of a second behind, passes every proxy and leaves H.265 untouched"
            }
            (Protocol::Auto, Protocol::WebCodecs) => "it is the freshest way and leaves H.265 untouched",
            (Protocol::Auto, _) => "this browser has no Media Source Extensions",
            _ => "you chose it",
        };
        Self {
            ways,
            at,
            why: why.to_owned(),
            begun: now,
            patience_ms: FIRST_PICTURE_MS,
            presented: false,
            stale: false,
            connected: false,
            blocked: at > 0,
            worked: at,
            faults: Vec::new(),
            refusals: 0,
            excused: false,
            watched: true,
            upward_ms: UPWARD_MS,
            settled: None,
            looking: false,
        }
    }

    /// The protocol to use, and the reason.
    pub(super) fn current(&self) -> (Protocol, &str) {
        (self.ways[self.at], &self.why)
    }

    /// The protocol to remember for this network, once a presented frame proves that it works; an inner none if it is the best.
    /// A failure of the best protocol that the network did not cause is not remembered: other streams may play.
    pub(super) fn lesson(&self) -> Option<Option<Protocol>> {
        let learned = self.is_fresh() && self.ways.len() > 1;
        match self.at {
            0 => learned.then_some(None),
            at => (learned && self.blocked).then_some(Some(self.ways[at])),
        }
    }

    fn is_fresh(&self) -> bool {
        self.presented && !self.stale
    }

    /// Handles an event of the current protocol.
    pub(super) fn report(&mut self, event: &TileEvent, now: Moment) -> Option<Move> {
        match event {
            TileEvent::Presented { .. } => {
                (self.presented, self.stale, self.excused, self.refusals) = (true, false, false, 0);
                self.patience_ms = HEALING_MS;
                self.worked = self.at;
                self.faults.clear();
                self.settled.get_or_insert(now);
            }
            TileEvent::Lost { .. } => {
                // The excuse came over a connection that is now closed.
                (self.presented, self.excused) = (false, false);
                self.refusals += 1;
                if self.refusals >= REFUSALS && self.patience_ms == FIRST_PICTURE_MS {
                    return self.next(now, "its connection does not get through");
                }
            }
            TileEvent::Connected => (self.refusals, self.connected) = (0, true),
            TileEvent::Failed(Failure::Undecodable, _) => {
                return self.next(now, "this browser cannot decode what it brings");
            }
            // The stream does not exist, or the viewer has no permission.
            TileEvent::Failed(Failure::Refused, _)
                if matches!(self.ways[self.at], Protocol::Mse | Protocol::WebCodecs) =>
            {
                self.excused = true;
            }
            TileEvent::Failed(..) => return self.next(now, "it does not work here"),
            TileEvent::Source(state) => self.excused = !matches!(state, StreamState::Live),
            TileEvent::Ready(_) | TileEvent::Picture(_) => self.excused = false,
            TileEvent::TapNeeded(needed) => self.excused = *needed,
            TileEvent::Watched(watched) => self.watched = *watched,
            TileEvent::Stale(stale) => self.stale = *stale,
            TileEvent::Sample(sample)
                if !self.presented && sample.bits > 0.0 && self.patience_ms == FIRST_PICTURE_MS =>
            {
                self.patience_ms = SLOW_PICTURE_MS;
            }
            _ => {}
        }
        None
    }

    /// Handles the timer.
    pub(super) fn tick(&mut self, now: Moment) -> Option<Move> {
        if self.is_fresh() || self.excused || !self.watched {
            self.begun = now;
        }
        if now.ms_since(self.begun) > self.patience_ms {
            return self.next(now, "it brought no picture in time");
        }
        let due = self.settled.is_some_and(|settled| now.ms_since(settled) > self.upward_ms);
        if self.at > 0 && due && self.watched && !self.looking {
            self.looking = true;
            return Some(Move::Look);
        }
        None
    }

    /// Handles the result of a test of the best protocol.
    pub(super) fn looked(&mut self, works: bool, now: Moment) -> Option<Move> {
        if !std::mem::take(&mut self.looking) || self.at == 0 {
            return None;
        }
        self.upward_ms = (self.upward_ms * 2.0).min(UPWARD_MAX_MS);
        self.settled = Some(now);
        works.then(|| self.go(0, format!("{} works again", self.ways[0]), now))
    }

    fn next(&mut self, now: Moment, fault: &'static str) -> Option<Move> {
        if self.ways.len() < 2 {
            self.begun = now;
            return None;
        }
        if self.at == 0 {
            // A protocol that has worked was interrupted, which happens to all of them.
            self.blocked = !self.connected && self.patience_ms != HEALING_MS;
        }
        self.faults.push((self.ways[self.at], fault));
        let round = self.faults.len() >= self.ways.len();
        let at = if round { self.worked } else { (self.at + 1) % self.ways.len() };
        let why = if round { "no other way works either".to_owned() } else { reasons(&self.faults) };
        let way = self.go(at, why, now);
        if round {
            self.faults.clear();
            self.patience_ms = ROUND_MS;
        }
        Some(way)
    }

    fn go(&mut self, at: usize, why: String, now: Moment) -> Move {
        (self.at, self.why, self.begun) = (at, why, now);
        (self.presented, self.stale, self.connected) = (false, false, false);
        (self.excused, self.refusals, self.settled) = (false, 0, None);
        (self.patience_ms, self.looking) = (FIRST_PICTURE_MS, false);
        Move::Change
    }
}

/// The reasons for abandoning protocols, as part of a sentence.
fn reasons(faults: &[(Protocol, &str)]) -> String {
    let reason = |(n, (way, fault)): (usize, &(Protocol, &str))| {
        format!("{way} {}because {fault}", if n == 0 { "was left " } else { "" })
    };
    faults.iter().enumerate().map(reason).collect::<Vec<_>>().join(", ")
}

/// The protocols to try, best first; at least one.
fn ways(chosen: Protocol, abilities: &Abilities, host: &str) -> Vec<Protocol> {
    if chosen != Protocol::Auto {
        return vec![chosen];
    }
    auto(AUTO_WEBCODECS, abilities, host)
}

fn auto(webcodecs: bool, abilities: &Abilities, host: &str) -> Vec<Protocol> {
    let mse = abilities.media_source.is_some();
    let there = [
        // MSE takes over where WebCodecs fails.
        (Protocol::WebCodecs, webcodecs && mse && abilities.webcodecs),
        (Protocol::Mse, mse),
        // WebRTC does not pass the tunnels and proxies of remote access.
        (Protocol::WebRtc, abilities.webrtc && is_local(host)),
        (Protocol::Hls, mse || abilities.native_hls),
    ];
    let ways: Vec<_> = there.into_iter().filter(|(_, there)| *there).map(|(protocol, _)| protocol).collect();
    if ways.is_empty() { vec![Protocol::Mse] } else { ways }
}

/// Whether a host is on the local network, judged by its name (RFC 1918, RFC 3927, RFC 4193, RFC 6762).
fn is_local(host: &str) -> bool {
    use std::net::{IpAddr, Ipv6Addr};
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let unique_local = |ip: Ipv6Addr| ip.segments()[0] & 0xfe00 == 0xfc00 || ip.segments()[0] & 0xffc0 == 0xfe80;
    match host.parse() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || unique_local(ip),
        Err(_) => {
            host == "localhost" || host.ends_with(".localhost") || host.ends_with(".local") || !host.contains('.')
        }
    }
}

#[cfg(test)]
mod tests;

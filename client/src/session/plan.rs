//! Which way a stream gets here. Pure: what is known and what happened go in, where to go next comes out.
//!
//! What the user chose by name is all that is tried. Auto tries one way after the other until a picture is shown, and
//! leaves a way only when nobody can say why it brings none: a camera that is off is off in every way. It begins with what
//! worked on this network before.

use crate::state::{Abilities, Failure, Protocol, TileEvent};
use crate::time::Moment;
use sightline_protocol::message::StreamState;

/// A way that has not shown a picture by now is left: three of them fit into what a viewer waits without a doubt.
const FIRST_PICTURE_MS: f64 = 4_000.0;
/// A picture that is arriving may take longer: the link is slow, and no other way makes it faster.
const SLOW_PICTURE_MS: f64 = 12_000.0;
/// A way that has worked is given longer to heal: relays and networks come back within seconds.
const HEALING_MS: f64 = 15_000.0;
/// When all ways have failed the relay is most likely down: the one that worked last, or else the first, is left to wait for
/// it before all are tried again.
const ROUND_MS: f64 = 30_000.0;
/// A connection that could not be made twice does not get through.
const REFUSALS: u32 = 2;
/// How long a lesser way is used before the best is looked at again; doubles each time in vain, up to the other.
const UPWARD_MS: f64 = 30_000.0;
const UPWARD_MAX_MS: f64 = 15.0 * 60_000.0;

/// Where to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Move {
    /// Use the [current](Plan::current) way, which is another one now.
    Change,
    /// See whether the best way would work, and tell [`Plan::looked`].
    Look,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    ways: Vec<Protocol>,
    at: usize,
    why: String,
    begun: Moment,
    /// How long it may go on without a picture.
    patience_ms: f64,
    /// It has shown a picture since its connection was made.
    presented: bool,
    /// That picture is no longer renewed.
    stale: bool,
    /// Its connection was made.
    connected: bool,
    /// The best way's connection was not made, as far as is known.
    blocked: bool,
    /// The way that brought a picture last.
    worked: usize,
    /// The ways that were left since one showed a picture, and why.
    faults: Vec<(Protocol, &'static str)>,
    refusals: u32,
    excused: bool,
    watched: bool,
    upward_ms: f64,
    settled: Option<Moment>,
    looking: bool,
}

impl Plan {
    /// For what the user chose, in this browser, on a page that came from `host`, where `remembered` worked before and the
    /// best way did not.
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

    /// The way to use, and why.
    pub(super) fn current(&self) -> (Protocol, &str) {
        (self.ways[self.at], &self.why)
    }

    /// What is to be remembered of this network, once a picture has shown which way works: none if it is the best. That a
    /// stream cannot be had in the best way for another reason than the network says nothing of other streams.
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

    /// Something happened on the current way.
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
                // What excused it was said over the connection that is no more.
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
            // No such stream, or nobody may watch it.
            TileEvent::Failed(Failure::Refused, _) if self.ways[self.at] == Protocol::Mse => self.excused = true,
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

    /// Some time has passed.
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

    /// The best way was looked at, and would work or not.
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
            // One that has worked was cut off, which happens to all of them.
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

/// Why ways were left, as part of a sentence.
fn reasons(faults: &[(Protocol, &str)]) -> String {
    let reason = |(n, (way, fault)): (usize, &(Protocol, &str))| {
        format!("{way} {}because {fault}", if n == 0 { "was left " } else { "" })
    };
    faults.iter().enumerate().map(reason).collect::<Vec<_>>().join(", ")
}

/// The ways to try, best first; never none.
fn ways(chosen: Protocol, abilities: &Abilities, host: &str) -> Vec<Protocol> {
    if chosen != Protocol::Auto {
        return vec![chosen];
    }
    let mse = abilities.media_source.is_some();
    let there = [
        (Protocol::Mse, mse),
        // It does not pass the tunnels and proxies that lie on longer ways.
        (Protocol::WebRtc, abilities.webrtc && is_local(host)),
        (Protocol::Hls, mse || abilities.native_hls),
    ];
    let ways: Vec<_> = there.into_iter().filter(|(_, there)| *there).map(|(protocol, _)| protocol).collect();
    if ways.is_empty() { vec![Protocol::Mse] } else { ways }
}

/// Whether a host is on the local network, as far as its name tells (RFC 1918, RFC 3927, RFC 4193, RFC 6762).
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

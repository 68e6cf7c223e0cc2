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
const FIRST_FRAME_MS: f64 = 4_000.0;
/// The same while media arrives: the link is slow, and no other protocol makes it faster.
const SLOW_FIRST_FRAME_MS: f64 = 12_000.0;
/// The same for a protocol that has worked: relays and networks recover within seconds.
const RECOVERY_MS: f64 = 15_000.0;
/// When all protocols have failed, the relay is most likely down. Auto then waits this long on the last protocol that worked,
/// or else on the first, before it tries them all again.
const ROUND_MS: f64 = 30_000.0;
/// Failed connections in a row after which the protocol counts as blocked.
const REFUSALS: u32 = 2;
/// Time on another protocol before the best is tested again. It doubles after each failed test, up to the second value.
const PROBE_INTERVAL_MS: f64 = 30_000.0;
const PROBE_INTERVAL_MAX_MS: f64 = 15.0 * 60_000.0;

/// The next action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Use the [current](ProtocolSelector::current) protocol, which has changed.
    Switch,
    /// Test whether the best protocol would work, and pass the result to [`ProtocolSelector::probed`].
    ProbeBest,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct ProtocolSelector {
    protocols: Vec<Protocol>,
    at: usize,
    why: String,
    attempt: Attempt,
    /// The best protocol could not connect, as far as is known.
    blocked: bool,
    /// The last protocol that presented a frame.
    last_working: usize,
    /// The protocols abandoned since the last presented frame, and the reasons.
    failures: Vec<(Protocol, &'static str)>,
    visible: bool,
    probe_interval_ms: f64,
}

/// The state of one protocol's use, from its selection on.
#[derive(Debug, Clone)]
struct Attempt {
    /// When video was last there, explained or not due.
    begun: Moment,
    /// How long the protocol may stay without video.
    timeout_ms: f64,
    /// A frame has been presented since the connection was made.
    presented: bool,
    /// The video is stale.
    stale: bool,
    /// The connection was made.
    connected: bool,
    /// Failed connections in a row.
    refusals: u32,
    /// A known cause explains the missing video.
    explained: bool,
    /// The time of the first presented frame, or of the last test of the best protocol.
    settled: Option<Moment>,
    /// The best protocol is being tested.
    probing: bool,
}

impl Attempt {
    fn new(now: Moment) -> Self {
        Self {
            begun: now,
            timeout_ms: FIRST_FRAME_MS,
            presented: false,
            stale: false,
            connected: false,
            refusals: 0,
            explained: false,
            settled: None,
            probing: false,
        }
    }

    fn is_fresh(&self) -> bool {
        self.presented && !self.stale
    }

    fn awaits_first_frame(&self) -> bool {
        !self.presented && self.timeout_ms == FIRST_FRAME_MS
    }
}

impl ProtocolSelector {
    /// Creates the selector from the user's choice, this browser's abilities and the relay's host. `remembered` worked on this
    /// network before, where the best did not.
    pub(super) fn new(
        chosen: Protocol,
        abilities: &Abilities,
        host: &str,
        remembered: Option<Protocol>,
        now: Moment,
    ) -> Self {
        let protocols = protocols(chosen, abilities, host);
        let at = protocols.iter().position(|&protocol| Some(protocol) == remembered).unwrap_or(0);
        let why = match (chosen, protocols[at]) {
            (Protocol::Auto, _) if at > 0 => "it worked on this network before; the preferred protocol did not",
            (Protocol::Auto, Protocol::Mse) => "it has little delay, passes every proxy and leaves H.265 untouched",
            (Protocol::Auto, Protocol::WebCodecs) => {
                "it presents each frame on arrival, passes every proxy and leaves H.265 untouched"
            }
            (Protocol::Auto, _) => "this browser has no Media Source Extensions",
            _ => "you chose it",
        };
        Self {
            protocols,
            at,
            why: why.to_owned(),
            attempt: Attempt::new(now),
            blocked: at > 0,
            last_working: at,
            failures: Vec::new(),
            visible: true,
            probe_interval_ms: PROBE_INTERVAL_MS,
        }
    }

    /// The protocol to use, and the reason.
    pub(super) fn current(&self) -> (Protocol, &str) {
        (self.protocols[self.at], &self.why)
    }

    /// The protocol to remember for this network, once a presented frame proves that it works; an inner none if it is the best.
    /// A failure of the best protocol that the network did not cause is not remembered: other streams may play.
    pub(super) fn learned(&self) -> Option<Option<Protocol>> {
        let learned = self.attempt.is_fresh() && self.protocols.len() > 1;
        match self.at {
            0 => learned.then_some(None),
            at => (learned && self.blocked).then_some(Some(self.protocols[at])),
        }
    }

    /// Handles an event of the current protocol.
    pub(super) fn report(&mut self, event: &TileEvent, now: Moment) -> Option<Decision> {
        let attempt = &mut self.attempt;
        match event {
            TileEvent::Presented { .. } => {
                (attempt.presented, attempt.stale, attempt.explained, attempt.refusals) = (true, false, false, 0);
                attempt.timeout_ms = RECOVERY_MS;
                attempt.settled.get_or_insert(now);
                self.last_working = self.at;
                self.failures.clear();
            }
            TileEvent::Lost { .. } => {
                // The excuse came over a connection that is now closed.
                (attempt.presented, attempt.explained) = (false, false);
                attempt.refusals += 1;
                if attempt.refusals >= REFUSALS && attempt.timeout_ms == FIRST_FRAME_MS {
                    return self.next(now, "its connection does not get through");
                }
            }
            TileEvent::Connected => (attempt.refusals, attempt.connected) = (0, true),
            TileEvent::Failed(Failure::Undecodable, _) => {
                return self.next(now, "this browser cannot decode what it brings");
            }
            // The stream does not exist, or the viewer has no permission.
            TileEvent::Failed(Failure::Refused, _)
                if matches!(self.protocols[self.at], Protocol::Mse | Protocol::WebCodecs) =>
            {
                attempt.explained = true;
            }
            TileEvent::Failed(..) => return self.next(now, "it does not work here"),
            TileEvent::Source(state) => attempt.explained = !matches!(state, StreamState::Live),
            TileEvent::Ready(_) | TileEvent::VideoInfo(_) => attempt.explained = false,
            TileEvent::TapNeeded(needed) => attempt.explained = *needed,
            TileEvent::VisibilityChanged(visible) => self.visible = *visible,
            TileEvent::Stale(stale) => attempt.stale = *stale,
            TileEvent::Sample(sample) if sample.bits > 0.0 && attempt.awaits_first_frame() => {
                attempt.timeout_ms = SLOW_FIRST_FRAME_MS;
            }
            _ => {}
        }
        None
    }

    /// Handles the timer.
    pub(super) fn tick(&mut self, now: Moment) -> Option<Decision> {
        let attempt = &mut self.attempt;
        if attempt.is_fresh() || attempt.explained || !self.visible {
            attempt.begun = now;
        }
        if now.ms_since(attempt.begun) > attempt.timeout_ms {
            return self.next(now, "it presented no frame in time");
        }
        let due = attempt.settled.is_some_and(|settled| now.ms_since(settled) > self.probe_interval_ms);
        if self.at > 0 && due && self.visible && !attempt.probing {
            attempt.probing = true;
            return Some(Decision::ProbeBest);
        }
        None
    }

    /// Handles the result of a test of the best protocol.
    pub(super) fn probed(&mut self, works: bool, now: Moment) -> Option<Decision> {
        if !std::mem::take(&mut self.attempt.probing) || self.at == 0 {
            return None;
        }
        self.probe_interval_ms = (self.probe_interval_ms * 2.0).min(PROBE_INTERVAL_MAX_MS);
        self.attempt.settled = Some(now);
        works.then(|| self.go(0, format!("{} works again", self.protocols[0]), now))
    }

    fn next(&mut self, now: Moment, fault: &'static str) -> Option<Decision> {
        if self.protocols.len() < 2 {
            self.attempt.begun = now;
            return None;
        }
        if self.at == 0 {
            // A protocol that has worked was interrupted, which happens to all of them.
            self.blocked = !self.attempt.connected && self.attempt.timeout_ms != RECOVERY_MS;
        }
        self.failures.push((self.protocols[self.at], fault));
        let round = self.failures.len() >= self.protocols.len();
        let at = if round { self.last_working } else { (self.at + 1) % self.protocols.len() };
        let why = if round { "no other way works either".to_owned() } else { reasons(&self.failures) };
        let protocol = self.go(at, why, now);
        if round {
            self.failures.clear();
            self.attempt.timeout_ms = ROUND_MS;
        }
        Some(protocol)
    }

    fn go(&mut self, at: usize, why: String, now: Moment) -> Decision {
        (self.at, self.why, self.attempt) = (at, why, Attempt::new(now));
        Decision::Switch
    }
}

/// The reasons for abandoning protocols, as part of a sentence.
fn reasons(failures: &[(Protocol, &str)]) -> String {
    let reason = |(n, (protocol, fault)): (usize, &(Protocol, &str))| {
        format!("{protocol} {}because {fault}", if n == 0 { "was left " } else { "" })
    };
    failures.iter().enumerate().map(reason).collect::<Vec<_>>().join(", ")
}

/// The protocols to try, best first; at least one.
fn protocols(chosen: Protocol, abilities: &Abilities, host: &str) -> Vec<Protocol> {
    if chosen != Protocol::Auto {
        return vec![chosen];
    }
    let mse = abilities.media_source.is_some();
    // Presenting on a canvas costs more CPU than MSE (docs/design/playback.md).
    let webcodecs = mse && abilities.webcodecs && abilities.video_track;
    let there = [
        // Both use the same WebSocket, and MSE takes over where WebCodecs fails.
        (Protocol::WebCodecs, webcodecs),
        (Protocol::Mse, mse && !webcodecs),
        // WebRTC does not pass the tunnels and proxies of remote access.
        (Protocol::WebRtc, abilities.webrtc && is_local(host)),
        (Protocol::Hls, mse || abilities.native_hls),
    ];
    let protocols: Vec<_> = there.into_iter().filter(|(_, there)| *there).map(|(protocol, _)| protocol).collect();
    if protocols.is_empty() { vec![Protocol::Mse] } else { protocols }
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

//! `[limits]`: what viewers, and those who are none, may take of the relay.

use std::ops::RangeInclusive;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::Deserialize;

use super::Network;

/// What one count may be: none would be a relay for nobody.
const COUNT: RangeInclusive<usize> = 1..=1_000_000;
/// A head of a request: below, those of browsers with some cookies do not fit; above, nobody's is.
const HEADER_BYTES: RangeInclusive<usize> = 8192..=1024 * 1024;

/// The limits, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections to the HTTP port, of whatever kind.
    pub connections: usize,
    /// Those of them from one address.
    pub connections_per_address: usize,
    /// How long a connection may take for the head of a request, and be idle between two.
    pub header: Duration,
    /// How long the head of a request may be.
    pub header_bytes: usize,
    /// Viewers at a time, each with a session of WebSocket or WebRTC.
    pub viewers: usize,
    /// Those of them of one stream.
    pub viewers_per_stream: usize,
    /// Those of them of one address.
    pub viewers_per_address: usize,
    /// What a viewer may say by WebSocket, in messages a second.
    pub messages_per_second: usize,
    /// Encoders of pictures at a time.
    pub transcodes: usize,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
}

impl Default for Limits {
    fn default() -> Self {
        Section::default().resolve().expect("the defaults are within their ranges")
    }
}

/// The limits in force, which another configuration may change. Shared by all who keep them.
#[derive(Debug, Clone)]
pub struct InForce(Arc<RwLock<Arc<Limits>>>);

impl InForce {
    /// These.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(limits))))
    }

    /// As they are now.
    pub fn now(&self) -> Arc<Limits> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Others from now on. Who was let in by those before stays.
    pub fn set(&self, limits: Limits) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits);
    }
}

/// `[limits]` as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    connections: usize,
    connections_per_address: usize,
    header_seconds: f64,
    header_bytes: usize,
    viewers: usize,
    viewers_per_stream: usize,
    viewers_per_address: usize,
    messages_per_second: usize,
    transcodes: usize,
    trusted_proxies: Vec<Network>,
}

impl Default for Section {
    fn default() -> Self {
        Self {
            connections: 8192,
            // A browser opens one for each tile, and six more.
            connections_per_address: 256,
            header_seconds: 10.0,
            header_bytes: 32 * 1024,
            viewers: 4096,
            viewers_per_stream: 4096,
            // A wall of pictures in some windows, or the viewers of a house that shares one address.
            viewers_per_address: 128,
            // Ours says some fifty while a link is being measured.
            messages_per_second: 500,
            transcodes: 16,
            trusted_proxies: vec![Network::LOOPBACK_V4, Network::LOOPBACK_V6],
        }
    }
}

impl Section {
    pub(super) fn resolve(self) -> Result<Limits, String> {
        let of = |key, value| within(key, value, COUNT);
        Ok(Limits {
            connections: of("connections", self.connections)?,
            connections_per_address: of("connections_per_address", self.connections_per_address)?,
            header: super::seconds("limits.header_seconds", self.header_seconds)?,
            header_bytes: within("header_bytes", self.header_bytes, HEADER_BYTES)?,
            viewers: of("viewers", self.viewers)?,
            viewers_per_stream: of("viewers_per_stream", self.viewers_per_stream)?,
            viewers_per_address: of("viewers_per_address", self.viewers_per_address)?,
            messages_per_second: of("messages_per_second", self.messages_per_second)?,
            transcodes: of("transcodes", self.transcodes)?,
            trusted_proxies: self.trusted_proxies,
        })
    }
}

fn within(key: &str, value: usize, range: RangeInclusive<usize>) -> Result<usize, String> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(format!("limits.{key} = {value} is out of range: {} to {}", range.start(), range.end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<Limits, String> {
        toml::from_str::<Section>(text).map_err(|error| error.message().to_owned())?.resolve()
    }

    #[test]
    fn what_is_not_said_is_as_documented() {
        let limits = resolve("").unwrap();
        assert_eq!((limits.connections, limits.connections_per_address), (8192, 256));
        assert_eq!((limits.header, limits.header_bytes), (Duration::from_secs(10), 32 * 1024));
        assert_eq!((limits.viewers, limits.viewers_per_stream, limits.viewers_per_address), (4096, 4096, 128));
        assert_eq!((limits.messages_per_second, limits.transcodes), (500, 16));
        let trusts = |ip: &str| limits.trusted_proxies.iter().any(|network| network.contains(ip.parse().unwrap()));
        assert!(trusts("127.0.0.1") && trusts("::1") && !trusts("192.168.1.1"));
    }

    #[test]
    fn a_limit_that_makes_no_sense_is_named() {
        let counts = ["connections", "connections_per_address", "viewers", "viewers_per_stream", "viewers_per_address"];
        let counts = counts.into_iter().chain(["messages_per_second", "transcodes"]).map(|key| format!("{key} = 0"));
        for text in counts.chain(["header_bytes = 8191", "header_seconds = 0"].map(str::to_owned)) {
            let key = text.split(' ').next().unwrap();
            let error = resolve(&text).unwrap_err();
            assert!(error.contains(&format!("limits.{key}")) && error.contains("out of range"), "{error}");
        }
        let error = resolve("trusted_proxies = [\"10.0.0.0/40\"]").unwrap_err();
        assert!(error.contains("10.0.0.0/40") && error.contains("not an address or a network"), "{error}");
    }
}

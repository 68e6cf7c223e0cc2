//! `[limits]`: limits of viewers, connections and transcodes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::network::Network;

/// The range of a count. Zero would refuse everyone.
const COUNT: RangeInclusive<usize> = 1..=1_000_000;
/// The range of a request head's size. Browsers with some cookies need more than the minimum; no browser sends the maximum.
const HEADER_BYTES: RangeInclusive<usize> = 8192..=1024 * 1024;
/// The range of FFmpeg's memory. It does not start with less than the minimum.
const FFMPEG_MIB: RangeInclusive<usize> = 64..=1024 * 1024;

/// Loopback addresses (RFC 1122, section 3.2.1.3; RFC 4291, section 2.5.3).
const LOOPBACK: [IpNet; 2] = [
    IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    IpNet::new_assert(IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
];

/// The limits, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections to the HTTP port, of any kind, and by ICE-TCP.
    pub connections: usize,
    /// Connections from one client: an IPv4 address or an IPv6 /64.
    pub connections_per_address: usize,
    /// Requests per second from one client, with as many again at once.
    pub requests_per_address: usize,
    /// Time limit for a request head, and for the idle time between requests.
    pub header: Duration,
    /// Maximum size of a request head in bytes.
    pub header_bytes: usize,
    /// Concurrent viewers, each with a WebSocket or WebRTC session.
    pub viewers: usize,
    /// Concurrent viewers of one stream.
    pub viewers_per_stream: usize,
    /// Concurrent viewers from one client: an IPv4 address or an IPv6 /64.
    pub viewers_per_address: usize,
    /// WebSocket messages per second from one viewer.
    pub messages_per_second: usize,
    /// Concurrent video encoders.
    pub transcodes: usize,
    /// Memory of one FFmpeg.
    pub ffmpeg_bytes: u64,
    /// Proxies with a trusted `X-Forwarded-For`.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for Limits {
    fn default() -> Self {
        LimitsSection::default().resolve().expect("the defaults are within their ranges")
    }
}

/// The section's structure.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsSection {
    connections: usize,
    connections_per_address: usize,
    requests_per_address: usize,
    header_seconds: f64,
    header_bytes: usize,
    viewers: usize,
    viewers_per_stream: usize,
    viewers_per_address: usize,
    messages_per_second: usize,
    transcodes: usize,
    ffmpeg_mib: usize,
    trusted_proxies: Vec<Network>,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            connections: 8192,
            // A browser opens one connection per tile, and up to six more.
            connections_per_address: 256,
            // Twenty walls of nine LL-HLS tiles behind one address; each tile has ten a second.
            requests_per_address: 2000,
            header_seconds: 10.0,
            header_bytes: 32 * 1024,
            viewers: 4096,
            viewers_per_stream: 4096,
            // Enough for several windows of video walls, or for the viewers behind one NAT address.
            viewers_per_address: 128,
            // The client sends about fifty while it measures a link.
            messages_per_second: 500,
            transcodes: 16,
            // A 4K transcode needs 325 MiB on two cores and 1.2 GiB with 24 threads.
            ffmpeg_mib: 4096,
            trusted_proxies: LOOPBACK.map(Network).to_vec(),
        }
    }
}

impl LimitsSection {
    pub(super) fn resolve(self) -> Result<Limits, String> {
        let of = |key, value| within(key, value, COUNT);
        Ok(Limits {
            connections: of("connections", self.connections)?,
            connections_per_address: of("connections_per_address", self.connections_per_address)?,
            requests_per_address: of("requests_per_address", self.requests_per_address)?,
            header: super::seconds("limits.header_seconds", self.header_seconds)?,
            header_bytes: within("header_bytes", self.header_bytes, HEADER_BYTES)?,
            viewers: of("viewers", self.viewers)?,
            viewers_per_stream: of("viewers_per_stream", self.viewers_per_stream)?,
            viewers_per_address: of("viewers_per_address", self.viewers_per_address)?,
            messages_per_second: of("messages_per_second", self.messages_per_second)?,
            transcodes: of("transcodes", self.transcodes)?,
            ffmpeg_bytes: (within("ffmpeg_mib", self.ffmpeg_mib, FFMPEG_MIB)? as u64) << 20,
            trusted_proxies: self.trusted_proxies.into_iter().map(|network| network.0).collect(),
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
        toml::from_str::<LimitsSection>(text).map_err(|error| error.message().to_owned())?.resolve()
    }

    #[test]
    fn what_is_not_said_is_as_documented() {
        let limits = resolve("").unwrap();
        assert_eq!((limits.connections, limits.connections_per_address), (8192, 256));
        assert_eq!((limits.header, limits.header_bytes), (Duration::from_secs(10), 32 * 1024));
        assert_eq!((limits.viewers, limits.viewers_per_stream, limits.viewers_per_address), (4096, 4096, 128));
        assert_eq!((limits.messages_per_second, limits.transcodes), (500, 16));
        let trusts =
            |ip: &str| limits.trusted_proxies.iter().any(|network| network.contains(&ip.parse::<IpAddr>().unwrap()));
        assert!(trusts("127.0.0.1") && trusts("::1") && !trusts("192.168.1.1"));
    }

    #[test]
    fn a_limit_that_makes_no_sense_is_named() {
        let counts = ["connections", "connections_per_address", "viewers", "viewers_per_stream", "viewers_per_address"];
        let counts = counts.into_iter().chain(["messages_per_second", "transcodes"]).map(|key| format!("{key} = 0"));
        for text in counts.chain(["header_bytes = 8191", "header_seconds = 0", "ffmpeg_mib = 63"].map(str::to_owned)) {
            let key = text.split(' ').next().unwrap();
            let error = resolve(&text).unwrap_err();
            assert!(error.contains(&format!("limits.{key}")) && error.contains("out of range"), "{error}");
        }
        let error = resolve("trusted_proxies = [\"10.0.0.0/40\"]").unwrap_err();
        assert!(error.contains("10.0.0.0/40") && error.contains("not an address or a network"), "{error}");
    }
}

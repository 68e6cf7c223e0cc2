//! `[limits]`: what viewers, and those who are none, may take of the relay.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;

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
}

/// `[limits]` as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    connections: usize,
    connections_per_address: usize,
    header_seconds: f64,
    header_bytes: usize,
}

impl Default for Section {
    fn default() -> Self {
        Self {
            connections: 8192,
            // A browser opens one for each tile, and six more.
            connections_per_address: 256,
            header_seconds: 10.0,
            header_bytes: 32 * 1024,
        }
    }
}

impl Section {
    pub(super) fn resolve(self) -> Result<Limits, String> {
        Ok(Limits {
            connections: within("connections", self.connections, COUNT)?,
            connections_per_address: within("connections_per_address", self.connections_per_address, COUNT)?,
            header: super::seconds("limits.header_seconds", self.header_seconds)?,
            header_bytes: within("header_bytes", self.header_bytes, HEADER_BYTES)?,
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
    }

    #[test]
    fn a_limit_that_makes_no_sense_is_named() {
        for text in ["connections = 0", "connections_per_address = 0", "header_bytes = 8191", "header_seconds = 0"] {
            let key = text.split(' ').next().unwrap();
            let error = resolve(text).unwrap_err();
            assert!(error.contains(&format!("limits.{key}")) && error.contains("out of range"), "{error}");
        }
    }
}

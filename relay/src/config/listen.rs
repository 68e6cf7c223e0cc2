//! Addresses to listen on: `127.0.0.1:8080`, `localhost:8080`, and `:8080` for every address of this machine.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use serde::de::{Deserializer, Error, Visitor};

/// What a value has to be.
const EXPECTED: &str =
    "an address with a port, such as \"127.0.0.1:8080\" for this machine or \":8080\" for every address";

/// Parses an address. `localhost` is 127.0.0.1, and no name is looked up; an address without a host is every IPv4 address.
///
/// # Errors
/// A sentence with `text` and examples.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    // The parser of numbers accepts a sign.
    let port = |port: &str| port.parse::<u16>().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()));
    let named = match text.rsplit_once(':') {
        Some(("", number)) => port(number).map(|port| (Ipv4Addr::UNSPECIFIED, port).into()),
        Some((host, number)) if host.eq_ignore_ascii_case("localhost") => {
            port(number).map(|port| (Ipv4Addr::LOCALHOST, port).into())
        }
        _ => text.parse().ok(),
    };
    named.ok_or_else(|| format!("{text:?} is not {EXPECTED}"))
}

/// Deserializes a required address.
pub(super) fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    deserializer.deserialize_any(Listen)
}

/// Deserializes an optional address that is present.
pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    required(deserializer).map(Some)
}

struct Listen;

impl Visitor<'_> for Listen {
    type Value = SocketAddr;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SocketAddr, E> {
        parse_listen(text).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<SocketAddr, E> {
        Err(E::custom(format!("{number} is not {EXPECTED}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_may_lack_its_host_or_name_this_machine() {
        for (text, address) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            (":8080", "0.0.0.0:8080"),
            ("localhost:0", "127.0.0.1:0"),
            ("LOCALHOST:80", "127.0.0.1:80"),
            ("[::]:8080", "[::]:8080"),
        ] {
            assert_eq!(parse_listen(text).map(|address| address.to_string()).as_deref(), Ok(address), "{text}");
        }
    }

    #[test]
    fn other_text_is_refused_with_examples() {
        for text in
            ["", ":", "8080", "127.0.0.1", "cams.example.org:80", ":99999", ":+80", "localhost", "::1:80x", "*:80"]
        {
            let error = parse_listen(text).unwrap_err();
            assert!(error.contains(&format!("{text:?} is not")) && error.contains("\":8080\""), "{error}");
        }
    }
}

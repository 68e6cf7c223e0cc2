//! Finds the client address of a request behind trusted proxies, from `X-Forwarded-For`.
//!
//! Any client can send the header, so only entries that a trusted proxy appended count: starting at the peer, each trusted
//! hop names the one before it. Pure.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// De facto standard; RFC 7239 defines `Forwarded` as its replacement.
const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The address of the client that sent the request. `None` if it is a trusted proxy's or a loopback address, which several
/// clients may share.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let lines = headers.get_all(X_FORWARDED_FOR).iter();
    // Split as bytes: entries that the client wrote may not be UTF-8.
    let hops: Vec<&[u8]> = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')).collect();
    let mut client = peer.to_canonical();
    for hop in hops.into_iter().rev() {
        if !contains(trusted, client) {
            break;
        }
        match std::str::from_utf8(hop).ok().and_then(|hop| parse_hop(hop.trim())) {
            Some(before) => client = before,
            None => break,
        }
    }
    (!contains(trusted, client) && !client.is_loopback()).then_some(client)
}

/// Whether one of `networks` contains `address`. An IPv4-mapped IPv6 address is treated as IPv4.
pub(crate) fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// The prefix by which limits count a client. One IPv6 customer has at least a /64 (RFC 6177); a dual-stack socket shows IPv4
/// peers as IPv4-mapped addresses (RFC 4291, section 2.5.5.2).
pub(crate) fn client_prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

/// One entry: an address, to which some proxies add a port.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().or_else(|_| text.parse().map(|with_port: SocketAddr| with_port.ip()));
    Some(address.ok()?.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    fn of(peer: &str, lines: &[&str]) -> Option<String> {
        let trusted = ["127.0.0.0/8", "::1/128", "10.0.0.0/8"].map(|network| network.parse().unwrap());
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        client_address(peer.parse().unwrap(), &headers, &trusted).map(|address| address.to_string())
    }

    #[test]
    fn last_untrusted_hop_is_the_client() {
        let is = |peer: &str, lines: &[&str], client: &str| assert_eq!(of(peer, lines).as_deref(), Some(client));
        is("192.0.2.1", &[], "192.0.2.1");
        is("192.0.2.1", &["198.51.100.1"], "192.0.2.1");
        is("127.0.0.1", &["198.51.100.1"], "198.51.100.1");
        is("127.0.0.1", &["203.0.113.66, 198.51.100.1"], "198.51.100.1");
        is("127.0.0.1", &["203.0.113.66", "198.51.100.1 , 10.1.2.3"], "198.51.100.1");
        is("127.0.0.1", &["\u{e9}, 198.51.100.1"], "198.51.100.1");
        is("::ffff:127.0.0.1", &["198.51.100.1:4711"], "198.51.100.1");
        is("::1", &["[2001:db8::1]:4711"], "2001:db8::1");
        is("::1", &["[2001:db8::1]"], "2001:db8::1");
    }

    #[test]
    fn unknown_client_has_no_address() {
        for lines in [&[][..], &["unknown"], &["198.51.100.1, _hidden"], &["10.0.0.1"], &[""], &["127.0.0.1"]] {
            assert_eq!(of("127.0.0.1", lines), None, "{lines:?}");
        }
    }

    #[test]
    fn ipv4_mapped_address_is_in_the_ipv4_network() {
        let networks = ["127.0.0.0/8", "2001:db8::/33"].map(|network| network.parse().unwrap());
        for (address, expected) in [
            ("127.1.2.3", true),
            ("::ffff:127.0.0.1", true),
            ("128.0.0.1", false),
            ("2001:db8:7fff::1", true),
            ("2001:db8:8000::1", false),
        ] {
            assert_eq!(contains(&networks, address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn client_prefix_is_the_ipv4_address_or_the_ipv6_64() {
        let of = |text: &str| client_prefix(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    proptest! {
        /// The entry that the trusted proxy appended decides, whatever the client wrote before it.
        #[test]
        fn client_cannot_choose_its_address(forged in "[0-9a-f.:, \\[\\]x]{0,60}", last in 0x0b00_0000u32..0x7e00_0000) {
            let last = IpAddr::V4(last.into()).to_string();
            let appended = format!("{forged}, {last}");
            prop_assert_eq!(of("127.0.0.1", &[&appended]), Some(last.clone()));
            prop_assert_eq!(of("127.0.0.1", &[&forged, &last]), Some(last));
            prop_assert_eq!(of("192.0.2.1", &[&forged]), Some("192.0.2.1".to_owned()));
        }
    }
}

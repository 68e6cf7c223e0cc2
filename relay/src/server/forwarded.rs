//! Whose a request is that came through proxies: `X-Forwarded-For`, which proxies and tunnels append to.
//!
//! Pure. Everybody can write the header, so that only what a trusted proxy has appended means something: from the peer
//! backwards, each trusted one names the one before.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

use crate::config::Network;

/// De facto; RFC 7239 names it as what `Forwarded` is to replace.
const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The address of whoever sent the request; none where it is a proxy's or this machine's, behind which may be anybody.
pub(crate) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> Option<IpAddr> {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let lines = headers.get_all(X_FORWARDED_FOR).iter();
    // As bytes: what somebody wrote before a proxy's own entry may be no text.
    let named: Vec<&[u8]> = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')).collect();
    let mut client = peer.to_canonical();
    for hop in named.into_iter().rev() {
        if !is_trusted(client) {
            break;
        }
        match std::str::from_utf8(hop).ok().and_then(|hop| address(hop.trim())) {
            Some(before) => client = before,
            None => break,
        }
    }
    (!is_trusted(client) && !client.is_loopback()).then_some(client)
}

/// An address, with a port or without: some proxies add that.
fn address(text: &str) -> Option<IpAddr> {
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
        let trusted = ["127.0.0.0/8", "::1", "10.0.0.0/8"].map(|network| network.parse().unwrap());
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        client(peer.parse().unwrap(), &headers, &trusted).map(|address| address.to_string())
    }

    #[test]
    fn the_last_who_is_not_trusted_is_the_client() {
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
    fn who_cannot_be_known_is_nobody() {
        for lines in [&[][..], &["unknown"], &["198.51.100.1, _hidden"], &["10.0.0.1"], &[""], &["127.0.0.1"]] {
            assert_eq!(of("127.0.0.1", lines), None, "{lines:?}");
        }
    }

    proptest! {
        /// Whatever somebody writes into the header, the proxy's own entry, the last, decides.
        #[test]
        fn nobody_chooses_an_address(forged in "[0-9a-f.:, \\[\\]x]{0,60}", last in 0x0b00_0000u32..0x7e00_0000) {
            let last = IpAddr::V4(last.into()).to_string();
            let appended = format!("{forged}, {last}");
            prop_assert_eq!(of("127.0.0.1", &[&appended]), Some(last.clone()));
            prop_assert_eq!(of("127.0.0.1", &[&forged, &last]), Some(last));
            prop_assert_eq!(of("192.0.2.1", &[&forged]), Some("192.0.2.1".to_owned()));
        }
    }
}

//! Decides whether a request's `Host` is a name of this relay, against DNS rebinding.
//!
//! A page of any site can let its own name point to the relay's address. The browser then takes the relay for the page's own
//! server, and neither `Origin` nor CORS helps: such a request is of the same origin. Only `Host` distinguishes it. A name is the
//! relay's if no stranger decides where it points to ([`is_private`]), or if `allowed_hosts` lists it.
//!
//! | request | reason to accept any name |
//! | --- | --- |
//! | to a relay with credentials | cookies and stored passwords belong to a name, so the page has none |
//! | over the relay's own TLS | the browser has compared the name with the certificate |
//! | with `Via`, `Sec-Fetch-Site`, or an `Origin` of `https://` at this host | it came through a proxy: see below |
//!
//! A page can write `X-Forwarded-For` and most other headers: its requests are same-origin, so there is no preflight. It cannot
//! write `Via`, `Origin` and `Sec-*` (Fetch standard, section 2.2.2). Browsers send `Sec-Fetch-Site` and an `Origin` of
//! `https://` only where the address is `https://` or this machine's, and the certificate of a rebound name is not the relay's.
//! So on an unencrypted connection they prove a proxy that speaks HTTPS. Pure.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN, VIA};
use axum::http::{HeaderMap, HeaderName};

/// Names under these suffixes point nowhere that a stranger chooses. They are: multicast DNS (RFC 6762), loopback (RFC 6761),
/// home networks (RFC 8375), private use (ICANN resolution 2024.07.29.06), OpenWrt's default, and Tailscale's MagicDNS.
const PRIVATE_SUFFIXES: [&str; 6] = ["local", "localhost", "home.arpa", "internal", "lan", "ts.net"];
/// W3C Fetch Metadata, section 2.4.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// See the [module](self).
#[derive(Debug, Clone, Default)]
pub(crate) struct HostPolicy {
    accepts_all: bool,
    allowed: Vec<String>,
}

impl HostPolicy {
    /// The policy of a relay that has credentials or not (`locked`), for the names of `allowed_hosts` and for `machine`, the
    /// system's host name.
    pub(crate) fn new(locked: bool, allowed: &[String], machine: Option<String>) -> Self {
        let accepts_all = locked || allowed.iter().any(|name| name == "*");
        Self { accepts_all, allowed: allowed.iter().cloned().chain(machine).collect() }
    }

    /// The name in `Host`, if it is not one of the relay's. `encrypted` says that the relay terminates TLS itself.
    pub(crate) fn foreign(&self, headers: &HeaderMap, encrypted: bool) -> Option<String> {
        if self.accepts_all || encrypted {
            return None;
        }
        // A client that names no host is not a browser.
        let host = headers.get(HOST)?.to_str().unwrap_or("?.?");
        let name = name_of(host).trim_end_matches('.');
        let listed = || self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name));
        (!is_private(name) && !listed() && !is_proxied(headers, host)).then(|| name.to_owned())
    }
}

/// The name of `host[:port]`, with the brackets of an IPv6 address.
pub(super) fn name_of(authority: &str) -> &str {
    let end = authority.rfind(':').filter(|&colon| !authority[colon..].contains(']')).unwrap_or(authority.len());
    &authority[..end]
}

/// Whether no stranger can let the name point to the relay: an address, a name without a dot, or a private suffix.
fn is_private(name: &str) -> bool {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let lower = name.to_ascii_lowercase();
    let below = |suffix: &str| lower.strip_suffix(suffix).is_some_and(|before| before.ends_with('.'));
    bare.parse::<IpAddr>().is_ok() || !name.contains('.') || PRIVATE_SUFFIXES.into_iter().any(below)
}

/// Whether the request has a header that a page cannot write and that only a proxy, or a browser that speaks HTTPS, adds.
fn is_proxied(headers: &HeaderMap, host: &str) -> bool {
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()?.strip_prefix("https://"));
    // A page at `https://` that may reach local addresses names the relay's port. A proxy's `Host` has its own port, or none.
    let own = |origin: &str| {
        origin.eq_ignore_ascii_case(host) || (name_of(host) == host && name_of(origin).eq_ignore_ascii_case(host))
    };
    headers.contains_key(VIA) || headers.contains_key(SEC_FETCH_SITE) || origin.is_some_and(own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let parsed = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        lines.iter().map(parsed).collect()
    }

    fn open(allowed: &[&str]) -> HostPolicy {
        let allowed: Vec<_> = allowed.iter().map(|&name| name.to_owned()).collect();
        HostPolicy::new(false, &allowed, Some("cams.office.example".to_owned()))
    }

    #[test]
    fn private_names_and_addresses_are_the_relay_s() {
        for host in [
            "127.0.0.1:8080",
            "192.168.1.7",
            "[::1]:8080",
            "[fd00::1]",
            "localhost:8080",
            "a.localhost",
            "nas:8080",
            "Cams.Local",
            "cams.local.:8080",
            "cams.home.arpa",
            "cams.lan:8080",
            "sightline.default.svc.cluster.local",
            "cams.tail1234.ts.net:8080",
            "cams.office.example:8080",
            "CAMS.office.example.",
        ] {
            assert_eq!(open(&[]).foreign(&headers(&[("host", host)]), false), None, "{host}");
        }
    }

    #[test]
    fn rebound_name_is_foreign() {
        for (host, name) in [
            ("evil.example:8080", "evil.example"),
            ("evil.example.", "evil.example"),
            ("127.0.0.1.evil.example", "127.0.0.1.evil.example"),
            ("localhost.evil.example", "localhost.evil.example"),
            ("evillocal.example", "evillocal.example"),
            ("not-lan.evilts.net", "not-lan.evilts.net"),
            ("other.cams.office.example", "other.cams.office.example"),
        ] {
            assert_eq!(open(&[]).foreign(&headers(&[("host", host)]), false).as_deref(), Some(name), "{host}");
        }
        let unreadable = [(HOST, HeaderValue::from_bytes(b"\xff.example").unwrap())].into_iter().collect();
        assert!(open(&["evil.example"]).foreign(&unreadable, false).is_some());
    }

    #[test]
    fn headers_that_a_page_can_write_prove_no_proxy() {
        for (name, value) in [
            ("x-forwarded-for", "203.0.113.7"),
            ("forwarded", "for=203.0.113.7"),
            ("cf-connecting-ip", "203.0.113.7"),
            ("x-forwarded-host", "localhost"),
            ("x-forwarded-proto", "https"),
            ("origin", "http://evil.example:8080"),
            // A page of its own at https://, which the visitor has allowed to reach local addresses.
            ("origin", "https://evil.example"),
        ] {
            let request = headers(&[("host", "evil.example:8080"), (name, value)]);
            assert!(open(&[]).foreign(&request, false).is_some(), "{name}: {value}");
        }
    }

    #[test]
    fn browser_behind_an_https_proxy_needs_no_entry() {
        for (name, value) in [
            ("via", "1.1 Caddy"),
            ("sec-fetch-site", "same-origin"),
            ("origin", "https://cams.example.org"),
            ("origin", "https://cams.example.org:8443"),
        ] {
            let request = headers(&[("host", "cams.example.org"), (name, value)]);
            assert_eq!(open(&[]).foreign(&request, false), None, "{name}: {value}");
        }
        let with_port = headers(&[("host", "cams.example.org:8443"), ("origin", "https://cams.example.org:8443")]);
        assert_eq!(open(&[]).foreign(&with_port, false), None);
    }

    #[test]
    fn listed_names_credentials_and_tls_accept_the_name() {
        let request = headers(&[("host", "cams.example.org:8080")]);
        assert_eq!(open(&["Cams.example.org"]).foreign(&request, false), None);
        assert_eq!(open(&["*"]).foreign(&request, false), None);
        assert!(open(&["example.org"]).foreign(&request, false).is_some(), "not the names below it");
        assert_eq!(HostPolicy::new(true, &[], None).foreign(&request, false), None);
        assert_eq!(open(&[]).foreign(&request, true), None);
        assert_eq!(open(&[]).foreign(&HeaderMap::new(), false), None, "HTTP/1.0 needs no Host");
    }
}

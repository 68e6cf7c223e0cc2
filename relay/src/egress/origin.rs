//! Where a page comes from that connects.
//!
//! Browsers let a page of any site open a WebSocket to anywhere, this machine included, and send a POST there, so the
//! relay has to look (RFC 6455, section 10.2). A client without an origin is no browser.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};

/// The origin of the page that connects, if it is neither the relay's own nor one of `allowed`. Where the relay speaks TLS
/// itself, its own page comes by that: whoever is on the way can put any page at `http://` and the same host.
pub(crate) fn foreign(headers: &HeaderMap, encrypted: bool, allowed: &[String]) -> Option<String> {
    let text = |name| Some(headers.get(name)?.to_str().unwrap_or("?"));
    let origin = text(ORIGIN)?;
    let scheme = !encrypted || origin.starts_with("https://");
    let own = scheme && text(HOST).is_some_and(|host| same_host(origin, host));
    let listed = allowed.iter().any(|entry| entry == "*" || entry.trim_end_matches('/') == origin);
    (!own && !listed).then(|| origin.chars().take(200).collect())
}

/// What a page of another site is told.
pub(crate) fn refusal(origin: &str) -> String {
    format!("pages of {origin} may not connect; add it to allowed_origins in the configuration")
}

/// Whether `origin` (`scheme://host[:port]`) names the host of the `Host` header. Ports may differ: a development server
/// or a proxy on the same machine is no stranger. So may the names of this machine.
fn same_host(origin: &str, host: &str) -> bool {
    let name = |authority: &str| {
        let authority = authority.rsplit_once("://").map_or(authority, |(_, rest)| rest);
        let end = authority.rfind(':').filter(|&colon| !authority[colon..].contains(']')).unwrap_or(authority.len());
        match &authority[..end] {
            "127.0.0.1" | "[::1]" => "localhost".to_owned(),
            name => name.to_ascii_lowercase(),
        }
    };
    name(origin) == name(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_the_relay_s_own_pages_and_listed_ones_connect() {
        for (origin, host, same) in [
            ("http://127.0.0.1:8081", "127.0.0.1:8080", true),
            ("http://localhost:8081", "127.0.0.1:8080", true),
            ("http://[::1]:8081", "localhost:8080", true),
            ("https://Cams.example.org", "cams.example.org", true),
            ("https://evil.example", "127.0.0.1:8080", false),
            ("https://127.0.0.1.evil.example", "127.0.0.1:8080", false),
            ("null", "127.0.0.1:8080", false),
        ] {
            assert_eq!(same_host(origin, host), same, "{origin} at {host}");
        }
    }

    #[test]
    fn a_foreign_page_is_named_and_a_client_without_a_page_is_none() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("cams.example.org"));
        assert_eq!(foreign(&headers, false, &[]), None);
        headers.insert(ORIGIN, HeaderValue::from_static("https://wall.example.org"));
        assert_eq!(foreign(&headers, false, &[]).as_deref(), Some("https://wall.example.org"));
        assert_eq!(foreign(&headers, false, &["https://wall.example.org/".to_owned()]), None);
        assert_eq!(foreign(&headers, false, &["*".to_owned()]), None);
    }

    #[test]
    fn the_own_page_of_a_relay_with_tls_comes_by_tls() {
        let from = |origin| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("cams.example.org"));
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
            headers
        };
        let (forged, listed) = ("http://cams.example.org", ["http://cams.example.org".to_owned()]);
        assert_eq!(foreign(&from(forged), true, &[]).as_deref(), Some(forged));
        assert_eq!(foreign(&from(forged), true, &listed), None);
        assert_eq!(foreign(&from("https://cams.example.org"), true, &[]), None);
    }
}

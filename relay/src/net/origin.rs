//! Checks the origin of the page that sent a request.
//!
//! Browsers let a page of any site open a WebSocket or send a POST to any address, including this machine. The relay therefore
//! checks `Origin` (RFC 6455, section 10.2). A request without it does not come from a browser.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};

use super::host::name_of;

/// The origin of the requesting page, if it is neither the relay's own nor one of `allowed`. If the relay terminates TLS, its
/// own origin is `https`: an attacker on the network path could serve any page at `http://` and the same host.
pub(crate) fn foreign(headers: &HeaderMap, encrypted: bool, allowed: &[String]) -> Option<String> {
    let text = |name| Some(headers.get(name)?.to_str().unwrap_or("?"));
    let origin = text(ORIGIN)?;
    let scheme = !encrypted || origin.starts_with("https://");
    let own = scheme && text(HOST).is_some_and(|host| same_host(origin, host));
    let listed = allowed.iter().any(|entry| entry == "*" || entry.trim_end_matches('/') == origin);
    (!own && !listed).then(|| origin.chars().take(200).collect())
}

/// The error text for a page of another site.
pub(crate) fn refusal(origin: &str) -> String {
    format!("pages of {origin} may not connect; add it to allowed_origins in the configuration")
}

/// Whether `origin` (`scheme://host[:port]`) names the host of the `Host` header. Ports may differ: a development server or a
/// proxy may run on the same machine. The names of this machine are equal.
fn same_host(origin: &str, host: &str) -> bool {
    let name = |authority: &str| {
        let authority = authority.rsplit_once("://").map_or(authority, |(_, rest)| rest);
        match name_of(authority) {
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
    fn own_and_listed_origins_are_allowed() {
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
    fn foreign_origin_is_returned_and_missing_origin_is_allowed() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("cams.example.org"));
        assert_eq!(foreign(&headers, false, &[]), None);
        headers.insert(ORIGIN, HeaderValue::from_static("https://wall.example.org"));
        assert_eq!(foreign(&headers, false, &[]).as_deref(), Some("https://wall.example.org"));
        assert_eq!(foreign(&headers, false, &["https://wall.example.org/".to_owned()]), None);
        assert_eq!(foreign(&headers, false, &["*".to_owned()]), None);
    }

    #[test]
    fn tls_relay_accepts_only_https_origin() {
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

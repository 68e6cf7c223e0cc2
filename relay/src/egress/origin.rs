//! Whose pages may reach the relay: its own, and those that the configuration names.

/// The `origin` (`scheme://host[:port]`) of a page, to be shown, if it is neither of the relay's `host`, which is the
/// `Host` header, nor one of `allowed`, where `*` stands for any.
pub(crate) fn foreign(origin: &str, host: Option<&str>, allowed: &[String]) -> Option<String> {
    let own = host.is_some_and(|host| same_host(origin, host));
    let listed = allowed.iter().any(|entry| entry == "*" || entry.trim_end_matches('/') == origin);
    (!own && !listed).then(|| origin.chars().take(200).collect())
}

/// Whether `origin` names the host of the `Host` header. Ports may differ: a development server or a proxy on the same
/// machine is no stranger. So may the names of this machine.
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
            assert_eq!(foreign(origin, Some(host), &[]).is_none(), same, "{origin} at {host}");
        }
        let listed = ["https://wall.example.org/".to_owned()];
        assert_eq!(foreign("https://wall.example.org", None, &listed), None);
        assert_eq!(foreign("https://evil.example", None, &listed).as_deref(), Some("https://evil.example"));
        assert_eq!(foreign("https://evil.example", None, &["*".to_owned()]), None);
    }
}

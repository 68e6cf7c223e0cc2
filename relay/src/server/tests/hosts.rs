//! Requests with another site's name in `Host` (DNS rebinding).

use super::logins::locked;
use super::*;

/// A request without credentials. `headers` are header lines.
async fn get(relay: &TestRelay, path: &str, host: &str, headers: &str) -> String {
    relay.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n")).await
}

#[tokio::test(start_paused = true)]
async fn rebound_name_reaches_nothing_of_an_open_relay() {
    let relay = TestRelay::new(|_| {});
    // The last two are what a page can add to its own requests: they are same-origin and have no preflight.
    for headers in ["", "Origin: http://evil.example:8080\r\n", "X-Forwarded-For: 203.0.113.7\r\nForwarded: for=x\r\n"]
    {
        for path in ["/", "/api/streams", "/hls/cam0/index.m3u8", "/ws/mse/cam0", "/metrics", "/whep/cam0"] {
            let answer = get(&relay, path, "evil.example:8080", headers).await;
            assert_eq!(status(&answer), "421", "{path} {headers}: {answer}");
            assert!(answer.contains("evil.example") && answer.contains("allowed_hosts"), "{answer}");
            assert!(!answer.to_ascii_lowercase().contains("access-control-allow"), "{answer}");
        }
    }
    assert_eq!(relay.metric("", "sightline_rejections_total{code=\"421\"}").await, 18);
    assert_eq!(status(&get(&relay, "/healthz", "evil.example:8080", "").await), "200");
}

#[tokio::test(start_paused = true)]
async fn open_relay_is_reached_by_its_own_names_and_through_an_https_proxy() {
    let relay = TestRelay::new(|config| config.allowed_hosts = vec!["cams.example.org".to_owned()]);
    for (host, headers) in [
        ("127.0.0.1:8080", ""),
        ("localhost:8081", ""),
        ("192.168.1.7:8080", ""),
        ("nas:8080", ""),
        ("cams.local", ""),
        ("cams.example.org:8080", ""),
        ("other.example.org", "Sec-Fetch-Site: none\r\nX-Forwarded-For: 203.0.113.7\r\n"),
    ] {
        let answer = get(&relay, "/api/streams", host, headers).await;
        assert_eq!(status(&answer), "200", "{host}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn locked_relay_is_reached_by_every_name() {
    let relay = locked();
    assert_eq!(status(&get(&relay, "/api/streams", "cams.example.org", "").await), "401");
    let answer = get(&relay, "/api/streams", "cams.example.org", &super::logins::basic()).await;
    assert_eq!(status(&answer), "200", "{answer}");
}

#[tokio::test(start_paused = true)]
async fn preflight_permits_no_forwarding_header() {
    let relay = TestRelay::new(|_| {});
    for (origin, expected) in [("http://127.0.0.1:9000", "204"), ("https://evil.example", "403")] {
        let headers = format!(
            "Host: 127.0.0.1:8080\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\
             Access-Control-Request-Headers: x-forwarded-for,via\r\nConnection: close\r\n"
        );
        let answer = relay.send(&format!("OPTIONS /whep/cam0 HTTP/1.1\r\n{headers}\r\n")).await;
        assert_eq!(status(&answer), expected, "{answer}");
        let head = answer.to_ascii_lowercase();
        assert!(!head.contains("x-forwarded") && !head.contains("via"), "{answer}");
    }
}

//! What operators configure: the access log, the metrics' own listener, and HSTS.

use super::logins::{Log, basic, key, locked, token_with_id};
use super::*;
use crate::access::token::issue;
use crate::config::{Password, Tls};

/// The lines of the access log.
fn lines(log: &Log) -> Vec<String> {
    log.to_string().lines().filter(|line| line.contains("INFO access: ")).map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn access_log_has_a_line_for_each_request_without_its_secrets() {
    let (log, _guard) = Log::start();
    let relay = TestRelay::new(|config| {
        config.access_log = true;
        config.password = Some(Password::new("open sesame".to_owned()));
        config.token_key = Some(key());
    });
    let answer = relay.request("GET", "/metrics?x=secret", &token_with_id(600, "visitor")).await;
    assert_eq!(status(&answer), "403");
    let bearer = token_with_id(600, "visitor\n forged");
    let token = bearer.trim_end().rsplit(' ').next().expect("a token").to_owned();
    let answer = relay.request("GET", &format!("/api/streams?token={token}"), "Cookie: a=secret\r\n").await;
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    relay.request("GET", "/hls/cam0/index.m3u8%0aforged", "").await;
    relay.request("GET", "/api/streams", &basic()).await;
    let lines = lines(&log);
    assert_eq!(lines.len(), 4, "{lines:?}");
    let with = |line: &str, parts: &[&str]| {
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
    };
    with(&lines[0], &["client=203.0.113.7", "method=GET path=/metrics status=403"]);
    with(&lines[1], &["credential=\"token\" subject=visitor\\n forged", "path=/api/streams status=200"]);
    with(&lines[1], &[&format!("bytes={}", body.len()), "seconds=0"]);
    with(&lines[2], &["path=/hls/cam0/index.m3u8%0aforged status=401"]);
    with(&lines[3], &["credential=\"password\"", "status=200"]);
    let text = lines.join("\n");
    for secret in ["secret", "sesame", &token, "?", "Basic"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn access_log_is_off_by_default() {
    let (relay, (log, _guard)) = (locked(), Log::start());
    relay.request("GET", "/api/streams", &basic()).await;
    assert_eq!(lines(&log), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn metrics_have_a_listener_without_credentials_that_serves_nothing_else() {
    let relay = locked();
    let get = async |path: &str| {
        let mut connection = relay.connect_to(relay.application.metrics.clone(), CLIENT, false);
        let request = format!("GET {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        read_to_end(&mut connection).await
    };
    relay.request("GET", "/metrics", "").await;
    let metrics = get("/metrics").await;
    assert!(status(&metrics) == "200" && metrics.contains("sightline_rejections_total{code=\"401\"} 1"), "{metrics}");
    for path in ["/", "/api/streams", "/hls/cam0/index.m3u8", "/ws/mse/cam0", "/login"] {
        assert_eq!(status(&get(path).await), "404", "{path}");
    }
    assert_eq!(status(&relay.request("GET", "/metrics", "").await), "401", "the relay's port asks for credentials");
    // Tokens of a stream do not grant metrics.
    let token = issue(&key(), &["cam0".to_owned()], u64::MAX / 2, "a").unwrap();
    assert_eq!(status(&relay.request("GET", &format!("/metrics?token={token}"), "").await), "403");
}

#[tokio::test(start_paused = true)]
async fn hsts_is_sent_over_tls_only_and_only_if_it_is_configured() {
    let tls = |hsts_seconds| Tls { certificate: "c".into(), key: "k".into(), hsts_seconds };
    for (configured, encrypted, expected) in [
        (Some(31_536_000), true, Some("max-age=31536000")),
        (Some(0), true, Some("max-age=0")),
        (Some(31_536_000), false, None),
        (None, true, None),
    ] {
        let relay = TestRelay::new(|config| config.tls = Some(tls(configured)));
        let mut connection = relay.connect_to(relay.application.router.clone(), CLIENT, encrypted);
        let request = "GET /healthz HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n";
        connection.write_all(request.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut connection).await;
        let sent = answer.lines().find_map(|line| line.strip_prefix("strict-transport-security: "));
        assert_eq!(sent, expected, "{configured:?} {encrypted} {answer}");
    }
}

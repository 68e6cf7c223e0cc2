//! Attacks that were designed from the outside, by the documentation and the traffic alone.

use super::logins::{basic, cookies, form, key, locked};
use super::sockets::upgrade;
use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

/// A request for the metrics, which a proxy in front of the relay would not have seen.
const HIDDEN: &str = "GET /metrics HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n";

#[tokio::test(start_paused = true)]
async fn body_whose_length_two_parties_could_read_differently_hides_no_request() {
    let relay = locked();
    let hidden = format!("{HIDDEN}{}\r\n", basic());
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    for (lines, body, expected) in [
        ("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", "422"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", "0\r\n\r\n", "422"),
        ("Content-Length: 6\r\nContent-Length: 0\r\n", "", "400"),
        ("Content-Length: 0, 6\r\n", "", "400"),
        ("Content-Length: +0\r\n", "", "400"),
        ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n", "400"),
        ("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n", "400"),
        ("Transfer-Encoding : chunked\r\n", "0\r\n\r\n", "400"),
        ("X-A: b\r\n Transfer-Encoding: chunked\r\n", "", "400"),
        ("Transfer-Encoding: chunked\r\n", "ffffffffffffffff1\r\na", "400"),
    ] {
        let head = format!("POST /login HTTP/1.1\r\nHost: relay\r\n{form}{lines}\r\n");
        let answer = relay.send(&format!("{head}{body}{hidden}")).await;
        assert_eq!(status(&answer), expected, "{lines}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{lines}: the rest is no request: {answer}");
    }
    let long_extension = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(100_000));
    let trailers = format!("0\r\n{}\r\n", "X-A: b\r\n".repeat(20_000));
    for body in [long_extension, trailers] {
        let head = format!("POST /login HTTP/1.1\r\nHost: relay\r\n{form}Transfer-Encoding: chunked\r\n\r\n");
        let mut connection = relay.connect(CLIENT);
        // The relay may close the connection before it has read everything.
        let _ = connection.write_all(format!("{head}{body}").as_bytes()).await;
        assert_eq!(status(&read_to_end(&mut connection).await), "400");
    }
}

#[tokio::test(start_paused = true)]
async fn relay_forwards_nothing_and_switches_to_no_other_protocol() {
    let relay = locked();
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n";
    for (method, target, lines, expected) in [
        ("CONNECT", "127.0.0.1:22", "Host: 127.0.0.1:22\r\n", "404"),
        ("TRACE", "/", "Host: relay\r\n", "405"),
        ("OPTIONS", "*", "Host: relay\r\n", "404"),
        ("GET", "http://127.0.0.1:22/", "Host: 127.0.0.1:22\r\n", "200"),
        ("GET", "/healthz", &format!("Host: relay\r\n{h2c}"), "200"),
        ("GET", "/api/streams", "Host: relay\r\nX-Original-URL: /healthz\r\nX-Rewrite-URL: /healthz\r\n", "200"),
    ] {
        let answer =
            relay.send(&format!("{method} {target} HTTP/1.1\r\n{lines}{}Connection: close\r\n\r\n", basic())).await;
        assert_eq!(status(&answer), expected, "{method} {target}: {answer}");
        assert!(!answer.contains("SSH-") && !answer.contains("Authorization"), "{method} {target}: {answer}");
    }
    // The path decides, not a header that some frameworks read; and HTTP/2 needs its handshake in TLS.
    let answer = relay.request("GET", "/metrics", "X-Original-URL: /healthz\r\nX-HTTP-Method-Override: GET\r\n").await;
    assert_eq!(status(&answer), "401");
    assert_eq!(relay.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await, "");
}

#[tokio::test(start_paused = true)]
async fn cookies_of_a_sibling_host_lock_nobody_out() {
    let relay = locked();
    let set = cookies(&form(&relay, CLIENT, "open sesame").await);
    let (own, _) = set[0].split_once(';').expect("a cookie");
    let (name, value) = own.split_once('=').expect("a value");
    // Any host below the same domain can set them, and browsers send the ones with the longer path first.
    for tossed in [
        format!("Cookie: {name}=x; {own}\r\n"),
        format!("Cookie: {own}; {name}=x\r\n"),
        format!("Cookie: {name}=\r\nCookie: {own}\r\n"),
        format!("Cookie: {}{own}\r\n", format!("{name}=x; ").repeat(1000)),
        format!("Cookie: a={}; {own}\r\n", "x".repeat(30_000)),
    ] {
        assert_eq!(status(&relay.request("GET", "/api/streams", &tossed).await), "200", "{tossed:.100}");
    }
    for forged in
        [format!("{name}={value}x"), format!("{name}=9{value}"), format!("{name}=\"{value}\""), "=".to_owned()]
    {
        let answer = relay.request("GET", "/api/streams", &format!("Cookie: {forged}\r\n")).await;
        assert_eq!(status(&answer), "401", "{forged}");
    }
}

#[tokio::test(start_paused = true)]
async fn invalid_frames_close_the_websocket() {
    let relay = locked();
    let frame = |first: u8, second: u8, rest: &[u8]| [&[first, second], rest].concat();
    for (what, bytes) in [
        ("unmasked", frame(0x81, 2, b"{}")),
        ("compressed, which the relay does not offer", frame(0xc1, 0x82, &[0; 6])),
        ("a fragmented ping", frame(0x09, 0x81, &[0; 5])),
        ("a long ping", frame(0x89, 0xfe, &[0; 132])),
        ("2^62 bytes", frame(0x82, 0xff, &[0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        ("a continuation of nothing", frame(0x80, 0x81, &[0; 5])),
        ("two messages in each other", [frame(0x01, 0x81, &[0; 5]), frame(0x81, 0x81, &[0; 5])].concat()),
        ("no text", frame(0x81, 0x82, &[0, 0, 0, 0, 0xff, 0xfe])),
        ("an unknown opcode", frame(0x83, 0x80, &[0; 4])),
    ] {
        let mut viewer = relay.connect(CLIENT);
        let request = upgrade("/ws/mse/cam0", &basic());
        let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
        let request = request.strip_suffix("\r\n").expect("an empty line");
        viewer.write_all(&[request.as_bytes(), offer.as_bytes(), &bytes].concat()).await.unwrap();
        let begun = tokio::time::Instant::now();
        let answer = read_to_end(&mut viewer).await;
        assert!(answer.starts_with("HTTP/1.1 101") && begun.elapsed() < Duration::from_secs(15), "{what}: {answer}");
        assert!(!answer.to_ascii_lowercase().contains("sec-websocket-extensions"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn token_headers_choose_no_key_and_no_algorithm() {
    let relay = locked();
    let soon = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("it is later").as_secs() + 600;
    let valid = crate::access::token::issue(&key(), &["cam0".to_owned()], soon, "a").expect("a token");
    let [head, claims, signature] = valid.split('.').collect::<Vec<_>>().try_into().expect("three parts");
    let part = |text: &str| BASE64.encode(text);
    let deep = "[".repeat(15_000);
    for token in [
        format!("{}.{claims}.", part("{\"alg\":\"none\"}")),
        format!("{}.{claims}.{signature}", part("{\"alg\":\"None\"}")),
        format!("{}.{claims}.{signature}", part("{\"alg\":\"RS256\"}")),
        format!(
            "{}.{claims}.{signature}",
            part("{\"alg\":\"HS256\",\"kid\":\"../../dev/null\",\"jku\":\"http://evil.example\"}")
        ),
        format!("{head}.{}.{signature}", part(&format!("{{\"exp\":{soon},\"streams\":[\"*\"]}}"))),
        format!("{head}.{}.{signature}", part(&deep)),
        format!("{}.{claims}.{signature}", part(&deep)),
        format!("{head}.{claims}"),
        ".".repeat(30_000),
    ] {
        let answer = relay.request("GET", "/api/streams", &format!("Authorization: Bearer {token}\r\n")).await;
        assert_eq!(status(&answer), "401", "{token:.200}");
    }
    let answer = relay.request("GET", "/api/streams", &format!("Authorization: Bearer {valid}\r\n")).await;
    assert_eq!(status(&answer), "200");
}

#[tokio::test(start_paused = true)]
async fn invented_names_add_no_metrics() {
    let relay = locked();
    let series = async || -> std::collections::BTreeSet<String> {
        let text = relay.request("GET", "/metrics", &basic()).await;
        let names = text.lines().filter_map(|line| line.rsplit_once(' ')).map(|(name, _)| name.to_owned());
        names.filter(|name| name.starts_with("sightline_")).collect()
    };
    // The codes of refusals are few.
    let refused = async |n: u32| {
        relay.request("GET", &format!("/hls/nothing{n}/index.m3u8"), &basic()).await;
        relay.request(&format!("M{n}"), &format!("/{n}"), "").await;
        relay.request("GET", "/healthz", &format!("X-Forwarded-For: 198.51.100.{n}\r\nUser-Agent: {n}\r\n")).await;
        relay.request("GET", "/api/streams", &format!("Authorization: Bearer {n}\r\n")).await;
    };
    refused(0).await;
    let before = series().await;
    for n in 1..100 {
        refused(n).await;
    }
    let added: Vec<_> = series().await.difference(&before).cloned().collect();
    assert!(before.len() > 10 && added.iter().all(|name| name.contains("rejections")) && added.len() < 5, "{added:?}");
}

#[tokio::test(start_paused = true)]
async fn many_ranges_get_the_file_once() {
    let relay = TestRelay::new(|_| {});
    let whole = relay.request("GET", "/sightline-player.js", "").await.len();
    for ranges in ["bytes=0-".to_owned(), format!("bytes=0-{}", ",0-".repeat(5000)), "bytes=5-2".to_owned()] {
        let answer = relay.request("GET", "/sightline-player.js", &format!("Range: {ranges}\r\n")).await;
        assert!(answer.len() <= whole + 200, "{ranges:.40}: {} bytes", answer.len());
    }
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_wait_for_their_client() {
    let relay = TestRelay::new(|_| {});
    let (_unread, mut writer) = tokio::io::split(relay.connect(CLIENT));
    let requests = "GET /api/streams HTTP/1.1\r\nHost: relay\r\n\r\n".repeat(100);
    let mut sent = 0;
    let flood = async {
        while sent < 16 << 20 && writer.write_all(requests.as_bytes()).await.is_ok() {
            sent += requests.len();
        }
    };
    assert!(timeout(LIMIT, flood).await.is_ok(), "it is closed");
    assert!(sent < 1 << 20, "{sent} bytes of requests without their answers");
}

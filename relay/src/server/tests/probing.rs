//! A second set of attacks that were designed from the outside: addresses, methods, headers and names that are read in more than
//! one way.

use super::logins::{Log, PASSWORD, basic, cookies, form, guess, locked, token};
use super::sockets::upgrade;
use super::*;

/// The status of a request with this head, which has its line ends.
async fn status_of(relay: &TestRelay, head: &str) -> String {
    let answer = relay.send(&format!("{head}Connection: close\r\n\r\n")).await;
    status(&answer).to_owned()
}

#[tokio::test(start_paused = true)]
async fn other_spellings_of_an_address_need_credentials_too() {
    let relay = locked();
    for path in [
        "/%6detrics",
        "/METRICS",
        "//metrics",
        "/./metrics",
        "/healthz/../metrics",
        "/healthz/..%2fmetrics",
        "/healthz%2f..%2fmetrics",
        "/healthz;/metrics",
        "/sightline-player.js/../metrics",
        "/hls.js/../hls/cam0/index.m3u8",
        "/login/../api/streams",
        "/hls%5ccam0%5cindex.m3u8",
        "/hls/cam0%00/index.m3u8",
        "/hls/cam0/index.m3u8%00.js",
        "/healthz?/../metrics",
        "/healthz#/../metrics",
    ] {
        let answer = relay.request("GET", path, "").await;
        // A query and a fragment are no part of the path.
        let public = path.starts_with("/healthz?") || path.starts_with("/healthz#");
        assert!(["401", "400", "404"].contains(&status(&answer)) || public, "{path}: {answer}");
        assert!(!answer.contains("sightline_") && !answer.contains("cam1"), "{path}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_methods_reach_nothing_that_get_does_not() {
    let relay = locked();
    for method in ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "get", "GET\t"] {
        for path in ["/api/streams", "/metrics", "/hls/cam0/index.m3u8", "/ws/mse/cam0"] {
            let answer = relay.request(method, path, "").await;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
            assert!(["400", "401", "404", "405", "426"].contains(&status(head)), "{method} {path}: {answer}");
            assert!(!body.contains("sightline_") && !body.contains("cam1"), "{method} {path}: {answer}");
        }
    }
    // HEAD has the length of no protected answer.
    let answer = relay.request("HEAD", "/metrics", "").await;
    let full = relay.request("GET", "/metrics", &basic()).await;
    let length =
        |answer: &str| answer.lines().find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned));
    assert!(length(&answer) != length(&full) || length(&full).is_none(), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn login_redirects_to_no_other_site() {
    let relay = locked();
    for to in [
        "//evil.example/",
        "https://evil.example/",
        "%2f%2fevil.example",
        ".%2f%2fevil.example",
        "./%0d%0aSet-Cookie:%20a=b",
        "javascript:alert(1)",
        "\\\\evil.example",
        "./..%2f..%2fevil",
    ] {
        let body = format!("password={}&to={to}", PASSWORD.replace(' ', "+"));
        let head = "POST /login HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\
                    Content-Type: application/x-www-form-urlencoded\r\n";
        let answer = relay.send(&format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())).await;
        assert_eq!(status(&answer), "303", "{to}: {answer}");
        assert!(answer.contains("\r\nlocation: .\r\n") && cookies(&answer).len() == 1, "{to}: {answer}");
    }
    // The form repeats the requested page.
    let answer = relay.request("GET", "/?a=%22%3E%3Cscript%3E&\"><script>alert(1)</script>", "").await;
    assert!(!answer.contains("<script>alert"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn login_chooses_its_own_cookie() {
    let relay = locked();
    let name = cookies(&form(&relay, CLIENT, PASSWORD).await)[0].split('=').next().expect("a name").to_owned();
    let body = format!("password={}", PASSWORD.replace(' ', "+"));
    let chosen = format!("{name}=99999999999.chosen");
    let head = format!(
        "POST /login HTTP/1.1\r\nHost: relay\r\nConnection: close\r\nCookie: {chosen}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let set = cookies(&relay.send(&head).await);
    assert!(set.len() == 1 && !set[0].contains("chosen"), "{set:?}");
    assert_eq!(status(&relay.request("GET", "/api/streams", &format!("Cookie: {chosen}\r\n")).await), "401");
}

#[tokio::test(start_paused = true)]
async fn login_takes_no_body_but_a_form() {
    let relay = locked();
    let long = format!("{}password=x", "password=x&".repeat(300));
    for (kind, body) in [
        ("application/json", "{\"password\":\"x\"}"),
        (
            "multipart/form-data; boundary=a",
            "--a\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nx\r\n--a--",
        ),
        ("text/plain", "password=x"),
        ("application/x-www-form-urlencoded", "password"),
        ("application/x-www-form-urlencoded", "password=%zz%ff%00"),
        ("application/x-www-form-urlencoded", "password[]=x"),
        ("application/x-www-form-urlencoded", long.as_str()),
        ("application/x-www-form-urlencoded", ""),
    ] {
        let head = "POST /login HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n";
        let length = body.len();
        let answer = relay.send(&format!("{head}Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}")).await;
        assert!(["400", "401", "415", "422"].contains(&status(&answer)), "{kind} {body:.40}: {answer}");
        assert!(cookies(&answer).is_empty(), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn client_cannot_have_another_one_banned() {
    let (relay, (log, _guard)) = (locked(), Log::start());
    let victim = "198.51.100.9";
    for line in [
        format!("X-Forwarded-For: {victim}\r\n"),
        format!("X-Forwarded-For: {victim} method=form, {victim}\r\n"),
        format!("Forwarded: for={victim}\r\nX-Real-IP: {victim}\r\nCF-Connecting-IP: {victim}\r\n"),
        format!("User-Agent: login failed client={victim} method=form\r\n"),
    ] {
        relay.request("GET", "/api/streams", &format!("{}{line}", guess(&format!("wrong {line:.9}")))).await;
    }
    relay.request("GET", &format!("/login%20failed%20client={victim}%20method=form"), &guess("wrong")).await;
    let text = log.to_string();
    assert!(text.contains(&format!("login failed client={CLIENT} method=basic")), "{text}");
    assert!(!text.contains(victim), "{text}");
}

#[tokio::test(start_paused = true)]
async fn unusual_handshakes_open_no_websocket() {
    let relay = locked();
    let usual = upgrade("/ws/mse/cam0", &basic());
    for (from, to, expected) in [
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 99", "426"),
        ("Sec-WebSocket-Version: 13\r\n", "", "426"),
        ("GET /ws", "POST /ws", "405"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", "426"),
        ("Upgrade: websocket", "Upgrade: h2c", "426"),
        ("HTTP/1.1", "HTTP/1.0", "426"),
    ] {
        let request = usual.replace(from, to);
        let mut viewer = relay.connect(CLIENT);
        viewer.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        timeout(LIMIT, viewer.read_exact(&mut answer)).await.expect("in time").expect("an answer");
        assert_eq!(status(&String::from_utf8_lossy(&answer)), expected, "{from} {to}");
    }
}

#[tokio::test(start_paused = true)]
async fn announced_body_is_not_waited_for() {
    let relay = locked();
    // RFC 9110, section 10.1.1: the client waits for 100, and the relay for a body.
    for (path, expected) in [("/login", "408"), ("/logout", "303"), ("/whep/cam0", "401"), ("/api/streams", "401")] {
        let begun = tokio::time::Instant::now();
        let head = format!("POST {path} HTTP/1.1\r\nHost: relay\r\nExpect: 100-continue\r\nContent-Length: 100\r\n");
        let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
        let answer = relay.send(&format!("{head}{kind}Connection: close\r\n\r\n")).await;
        let last = answer.rsplit("HTTP/1.1 ").next().expect("an answer");
        assert!(last.starts_with(expected), "{path}: {answer}");
        assert!(begun.elapsed() <= Duration::from_secs(15), "{path}: {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn long_conditional_headers_change_no_answer() {
    let relay = locked();
    let etags = format!("If-None-Match: {}\r\n", "\"x\", ".repeat(6000));
    let codings = format!("Accept-Encoding: {}\r\n", "gzip;q=0.001, ".repeat(2000));
    let languages = format!("Accept: {}\r\n", "text/html;q=0.1,".repeat(1900));
    for line in [etags, codings, languages, "If-Modified-Since: Thu, 01 Jan 9999999999 00:00:00 GMT\r\n".to_owned()] {
        let answer = relay.request("GET", "/sightline-player.js", &line).await;
        assert_eq!(status(&answer), "200", "{line:.60}: {answer:.300}");
        assert_eq!(status(&relay.request("GET", "/api/streams", &line).await), "401", "{line:.60}");
    }
}

#[tokio::test(start_paused = true)]
async fn token_of_another_stream_does_not_tell_whether_a_stream_exists() {
    let relay = locked();
    for path in ["/hls/{}/index.m3u8", "/hls/{}/copy/1.m4s", "/api/mse/{}"] {
        let existing = relay.request("GET", &path.replace("{}", "cam1"), &token(60)).await;
        let unknown = relay.request("GET", &path.replace("{}", "nothing"), &token(60)).await;
        let without_date = |answer: &str| {
            answer.lines().filter(|line| !line.starts_with("date: ")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(without_date(&existing), without_date(&unknown), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn bare_line_feed_ends_a_line() {
    let relay = locked();
    // RFC 9112, section 2.2. A proxy that reads it otherwise would forward one header line, and the relay reads two.
    assert_eq!(status_of(&relay, "GET /healthz HTTP/1.1\nHost: a\n").await, "200");
    assert_eq!(status_of(&relay, "GET /healthz HTTP/1.1\r\nHost: a\nHost: b\r\n").await, "400");
    // A bare CR is no line end anywhere (the same section).
    assert_eq!(status_of(&relay, "GET /healthz HTTP/1.1\r\nHost: a\rHost: b\r\n").await, "400");
}

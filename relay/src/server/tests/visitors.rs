//! What every kind of visitor gets from every route, as the table in `docs/access.md`.

use tokio::io::{AsyncBufReadExt, BufReader};

use super::identity::SigningProvider;
use super::logins::{PASSWORD, basic, cookies, form, key, token};
use super::*;
use crate::access::token::issue;
use crate::config::Password;

/// The documentation with the table between these lines.
const DOCUMENT: &str = include_str!("../../../../docs/access.md");
const MARKS: [&str; 2] = ["<!-- statuses by visitor: compared by a test -->\n", "<!-- end of the statuses -->"];
/// The request of a WebSocket (RFC 6455, section 4.1).
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// What a browser adds to the request of another site's page.
const FOREIGN: &str = "Origin: https://evil.example\r\n";
const PLAIN: &str = "Connection: close\r\n";

/// Method, address and header lines of a request to each route, and the route's name in the table.
const ROUTES: [(&str, &str, &str, &str); 25] = [
    ("GET", "/", PLAIN, "the page"),
    ("GET", "/test", PLAIN, "the test page"),
    ("GET", "/sightline-player.js", PLAIN, "the client's files"),
    ("GET", "/healthz", PLAIN, "`/healthz`"),
    ("GET", "/login", PLAIN, "`/login`"),
    ("POST", "/logout", PLAIN, "`POST /logout`"),
    ("GET", "/api/streams", PLAIN, "`/api/streams`"),
    ("GET", "/api/streams/cam0", PLAIN, "`/api/streams/cam0`"),
    ("GET", "/api/streams/cam0/snapshot.jpg", PLAIN, "`/api/streams/cam0/snapshot.jpg`, no camera"),
    ("GET", "/api/events", PLAIN, "`/api/events`"),
    ("GET", "/api/time", PLAIN, "`/api/time`"),
    ("GET", "/api/mse/test", PLAIN, "`/api/mse/test`"),
    ("GET", "/api/openapi.json", PLAIN, "`/api/openapi.json`"),
    ("GET", "/metrics", PLAIN, "`/metrics`"),
    ("GET", "/ws/mse/cam0", UPGRADE, "`/ws/mse/cam0`, an upgrade"),
    ("GET", "/hls/cam0/index.m3u8", PLAIN, "`/hls/cam0/index.m3u8`, no camera"),
    ("GET", "/hls/cam0/copy/1.m4s", PLAIN, "`/hls/cam0/copy/1.m4s`, no camera"),
    ("POST", "/whep/cam0", PLAIN, "`POST /whep/cam0`, no offer"),
    ("PATCH", "/whep/cam0/1", PLAIN, "`PATCH /whep/cam0/1`, no session"),
    ("DELETE", "/whep/cam0/1", PLAIN, "`DELETE /whep/cam0/1`, no session"),
    ("GET", "/go2rtc/", PLAIN, "`/go2rtc/`"),
    ("GET", "/go2rtc/api/streams", PLAIN, "`/go2rtc/api/streams`"),
    ("GET", "/go2rtc/api/frame.jpeg?src=cam0", PLAIN, "`/go2rtc/api/frame.jpeg?src=cam0`, no camera"),
    ("GET", "/go2rtc/api/ws?src=cam0", UPGRADE, "`/go2rtc/api/ws?src=cam0`, an upgrade"),
    ("GET", "/not/there", PLAIN, "no route"),
];

/// The status that `relay` answers, without the body: events never end.
async fn status_of(
    relay: &TestRelay,
    host: &str,
    (method, path, lines): (&str, &str, &str),
    credentials: &str,
) -> String {
    let mut connection = BufReader::new(relay.connect(CLIENT));
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{lines}Content-Length: 0\r\n{credentials}\r\n");
    connection.write_all(request.as_bytes()).await.expect("the relay reads");
    let mut line = String::new();
    timeout(LIMIT, connection.read_line(&mut line)).await.expect("an answer").expect("a line");
    status(&line).to_owned()
}

fn bearer(stream: &str, until: u64) -> String {
    let token = issue(&key(), &[stream.to_owned()], until, "visitor").expect("a token");
    format!("Authorization: Bearer {token}\r\n")
}

#[tokio::test(start_paused = true)]
async fn statuses_by_visitor_are_documented() {
    let provider = SigningProvider::new("visitors");
    let oidc = provider.oidc(&[("groups", "owners", &["*"]), ("groups", "crew", &["cam0", "studio/*"])]);
    let by_header = |groups: &str| provider.bearer(600, &serde_json::json!({ "groups": groups }));
    let by_cookie = by_header("owners").replace("Authorization: Bearer ", "Cookie: CF_Authorization=") + FOREIGN;
    let locked = TestRelay::with_webrtc(|config| {
        config.oidc = Some(oidc);
        config.password = Some(Password::new(PASSWORD.to_owned()));
        config.token_key = Some(key());
    })
    .await;
    let open = TestRelay::with_webrtc(|_| {}).await;
    let cookie = async || {
        let set = cookies(&form(&locked, CLIENT, PASSWORD).await);
        format!("Cookie: {}\r\n", set[0].split(';').next().expect("a cookie"))
    };
    let visitors = [
        "no credentials",
        "token of another stream",
        "expired token",
        "token",
        "password",
        "identity provider's token",
        "the same, by a rule for `cam0`",
        "the same, by no rule",
        "cookie",
        "cookie, page of another site",
        "provider's cookie, page of another site",
        "open relay by another site's name",
    ];
    let mut table = format!("| route | {} |\n|{}\n", visitors.join(" | "), " --- |".repeat(visitors.len() + 1));
    for (method, path, lines, name) in ROUTES {
        let request = (method, path, lines);
        let mut statuses = Vec::new();
        let tokens = [bearer("cam1", u64::MAX / 2), bearer("cam0", 1), token(60)];
        let signed_in = ["owners", "crew", "visitors"].map(by_header);
        for credentials in [String::new()].into_iter().chain(tokens).chain([basic()]).chain(signed_in) {
            statuses.push(status_of(&locked, "relay", request, &credentials).await);
        }
        // A logout ends the login: each request has its own.
        let own = cookie().await;
        statuses.push(status_of(&locked, "relay", request, &own).await);
        for foreign in [format!("{}{FOREIGN}", cookie().await), by_cookie.clone()] {
            statuses.push(status_of(&locked, "relay", request, &foreign).await);
        }
        statuses.push(status_of(&open, "evil.example", request, "").await);
        table += &format!("| {name} | {} |\n", statuses.join(" | "));
    }
    let documented = DOCUMENT.split_once(MARKS[0]).and_then(|(_, rest)| rest.split_once(MARKS[1]));
    let (documented, _) = documented.expect("docs/access.md has the marks");
    assert_eq!(documented.trim(), table.trim(), "docs/access.md needs this table:\n\n{table}");
}

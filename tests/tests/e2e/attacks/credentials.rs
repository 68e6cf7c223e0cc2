//! Guessed passwords, and sessions that outlast their token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::future::join_all;
use sightline_protocol::stream::VariantChoice;
use sightline_tests::http2::Client;
use sightline_tests::viewer::PLAYS_H264;
use tokio::time::timeout;

use super::scene::{ATTACKER, CAM, FLOOD, SOON, Scene, VISITOR, token};

/// The lifetime of a token that ends, in seconds.
const LIFETIME: u64 = 4;

/// Wrong passwords of one client by the form and by headers, while the visitor logs in.
pub(super) async fn guesses(scene: &Scene) {
    scene
        .row("60 wrong passwords at a time of one client", 4.0, async || {
            let guesses = join_all((0..60).map(|n| guess(scene, n)));
            // Some wait for their turn.
            let _ = timeout(FLOOD, guesses).await;
        })
        .await;
    // Basic and Bearer share their places, so that one of them may have waited.
    scene.relay.wait_for_log(&format!("login failed client={} method=form", ATTACKER.1), 1).await;
    let log = scene.relay.log();
    let failed = |method: &str| log.contains(&format!("login failed client={} method={method}", ATTACKER.1));
    assert!(failed("form") && (failed("basic") || failed("bearer")), "{log}");
}

async fn guess(scene: &Scene, n: usize) {
    let (method, path, header, body) = match n % 3 {
        0 => (
            "POST",
            "/login",
            ("Content-Type", "application/x-www-form-urlencoded".to_owned()),
            format!("password={n}"),
        ),
        1 => (
            "GET",
            "/api/streams",
            ("Authorization", format!("Basic {}", BASE64.encode(format!("me:{n}")))),
            String::new(),
        ),
        _ => ("GET", "/api/streams", ("Authorization", format!("Bearer {n}")), String::new()),
    };
    let headers = [(header.0, header.1.as_str()), ATTACKER];
    let answer = scene.identity.send(scene.relay.address(), method, path, &headers, &body).await.expect("an answer");
    assert!([401, 429].contains(&answer.status), "{}", answer.status);
}

/// WebSockets and event streams of a token that ends while they are open.
pub(super) async fn expired(scene: &Scene) {
    scene
        .row("10 WebSockets and 10 event streams of a token that ends", 4.0, async || {
            let token = token(LIFETIME);
            let viewers = join_all((0..10).map(|_| async {
                let mut viewer = scene.viewer(CAM, &token, VISITOR).await;
                viewer.play(&PLAYS_H264, VariantChoice::Auto).await;
                let (told, code, _) = viewer.wait_closed(SOON).await;
                assert!(code == Some(4403) && told.contains("expired"), "{code:?} {told}");
            }));
            let client = Client::connect(&scene.identity, scene.relay.address()).await.expect("HTTP/2");
            let path = format!("/api/events?token={token}");
            let events = join_all((0..10).map(|_| async {
                let (status, text) = client.get(&path).await.expect("it ends");
                assert!(status == 200 && text.contains("event: expired"), "{status} {text}");
            }));
            timeout(SOON, async { tokio::join!(viewers, events) }).await.expect("they end with their token");
        })
        .await;
}

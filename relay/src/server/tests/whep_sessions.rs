//! WHEP: sessions that are never connected, and tokens that expire.

use tokio::time::{Instant, sleep};

use super::logins::{basic, key, token};
use super::*;
use crate::config::Password;

/// An offer of a player for H.264, with these credentials.
const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
    a=fingerprint:sha-256 AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB\r\n\
    a=setup:actpass\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:96 H264/90000\r\n";
const CANDIDATE: &str = "a=ice-ufrag:EsAw\r\na=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\n";

async fn relay() -> TestRelay {
    TestRelay::with_webrtc(|config| {
        config.password = Some(Password::new(super::logins::PASSWORD.to_owned()));
        config.token_key = Some(key());
    })
    .await
}

/// Sends a request with a body from `client`. `credentials` are header lines.
async fn send(relay: &TestRelay, client: &str, method: &str, path: &str, credentials: &str, body: &str) -> String {
    let kind = if method == "POST" { "application/sdp" } else { "application/trickle-ice-sdpfrag" };
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\nContent-Type: {kind}\r\n");
    let mut connection = relay.connect(client);
    let request = format!("{head}Content-Length: {length}\r\n{credentials}\r\n{body}");
    connection.write_all(request.as_bytes()).await.expect("the relay reads");
    read_to_end(&mut connection).await
}

/// Creates a session and returns its address.
async fn create(relay: &TestRelay, client: &str, credentials: &str) -> Result<String, String> {
    let answer = send(relay, client, "POST", "/whep/cam0", credentials, OFFER).await;
    let location = answer.lines().find_map(|line| line.strip_prefix("location: "));
    location.map(|location| format!("/whep/{location}")).filter(|_| status(&answer) == "201").ok_or(answer)
}

/// Whether the session exists.
async fn exists(relay: &TestRelay, session: &str) -> bool {
    let answer = send(relay, CLIENT, "PATCH", session, &basic(), CANDIDATE).await;
    match status(&answer) {
        "204" => true,
        "404" => false,
        _ => panic!("{answer}"),
    }
}

#[tokio::test(start_paused = true)]
async fn webrtc_session_ends_with_its_token() {
    let relay = relay().await;
    let (begun, lasting) = (Instant::now(), create(&relay, CLIENT, &basic()).await.unwrap());
    let session = create(&relay, CLIENT, &token(4)).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    assert!(exists(&relay, &session).await, "the token is valid");
    sleep(Duration::from_secs(3)).await;
    assert!(!exists(&relay, &session).await, "it has expired");
    assert!(exists(&relay, &lasting).await, "the login has not, after {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn abandoned_offers_of_one_client_refuse_no_viewer_of_another() {
    let relay = relay().await;
    let (mut created, mut refused) = (0, 0);
    for n in 0..200 {
        match create(&relay, CLIENT, &basic()).await {
            Ok(_) => created += 1,
            Err(answer) => {
                // Its sessions that wait, and then its viewers.
                assert!(["503", "429"].contains(&status(&answer)), "{answer}");
                refused += 1;
            }
        }
        if n % 20 == 0 {
            let viewer = create(&relay, "198.51.100.1", &basic()).await;
            assert!(viewer.is_ok(), "{viewer:?}");
        }
    }
    assert_eq!((created, refused), (64, 136));
    // Later offers take the places of the first ones, which had two seconds.
    sleep(Duration::from_secs(2)).await;
    assert!(create(&relay, CLIENT, &basic()).await.is_ok());
    // All are forgotten, and none is needed for the next viewer.
    sleep(Duration::from_secs(11)).await;
    assert!(create(&relay, "198.51.100.1", &basic()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn offer_of_many_lines_is_refused_before_it_is_parsed() {
    let relay = relay().await;
    for (lines, expected) in [(400, "201"), (600, "413"), (2000, "413")] {
        let more: String = (0..lines).map(|n| format!("a=ssrc:{n} cname:a\r\n")).collect();
        let answer = send(&relay, CLIENT, "POST", "/whep/cam0", &basic(), &format!("{OFFER}{more}")).await;
        assert_eq!(status(&answer), expected, "{answer}");
        assert!(expected == "201" || answer.contains("more than the 512 lines"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn offers_of_one_client_have_a_rate() {
    let relay = relay().await;
    let (mut refused, mut sent) = (0, 0);
    while refused < 40 {
        sent += 1;
        let answer = send(&relay, CLIENT, "POST", "/whep/cam0", &basic(), "no offer").await;
        refused += usize::from(status(&answer) == "429" && answer.contains("limits.requests_per_address"));
    }
    assert_eq!(sent, 160 + 40, "two seconds of 80 at once");
    let viewer = create(&relay, "198.51.100.1", &basic()).await;
    assert!(viewer.is_ok(), "{viewer:?}");
}

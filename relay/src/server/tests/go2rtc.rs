//! The API of go2rtc: refusals inside its WebSocket and outside, and what a silent viewer holds.

use tokio::time::Instant;

use super::logins::{basic, locked, token};
use super::sockets::{text_frame, upgrade};
use super::*;

/// Opens the WebSocket for the query `query`.
async fn open(relay: &TestRelay, query: &str, headers: &str) -> DuplexStream {
    let mut viewer = relay.connect(CLIENT);
    let request = upgrade(&format!("/go2rtc/api/ws?{query}"), headers);
    let request = request.replace("Sec-WebSocket-Protocol: sightline.v1\r\n", "");
    viewer.write_all(request.as_bytes()).await.expect("the relay reads");
    viewer
}

/// What the relay sends after these messages, until it closes.
async fn answer(relay: &TestRelay, query: &str, headers: &str, messages: &[&str]) -> String {
    let mut viewer = open(relay, query, headers).await;
    for message in messages {
        viewer.write_all(&text_frame(message)).await.expect("the relay reads");
    }
    read_to_end(&mut viewer).await
}

/// The close code in front of its reason.
fn code(code: u16) -> String {
    String::from_utf8_lossy(&code.to_be_bytes()).into_owned()
}

#[tokio::test(start_paused = true)]
async fn refused_go2rtc_viewer_gets_one_error_and_a_close() {
    let relay = locked();
    let foreign = format!("{}Origin: https://evil.example\r\n", basic());
    for (query, headers, closed, says) in [
        ("src=nope", basic(), 4404, "there is no stream named nope"),
        ("src=rtsp://camera/1", basic(), 4400, "contains //"),
        ("", basic(), 4400, "?src=NAME"),
        ("src=cam0", String::new(), 4403, "asks for a password"),
        ("src=cam1", token(60), 4403, "is not for this"),
        ("src=cam1&src=cam0", token(60), 4403, "is not for this"),
        ("src=cam0", foreign, 4403, "allowed_origins"),
    ] {
        let answer = answer(&relay, query, &headers, &[]).await;
        assert!(answer.contains(r#"{"type":"error","value":""#) && answer.contains(says), "{query}: {answer}");
        assert!(answer.contains(&code(closed)), "{query}: {answer}");
        assert_eq!(answer.matches(r#""type""#).count(), 1, "{query}: {answer}");
    }
    assert_eq!(relay.metric(&basic(), "sightline_rejections_total{code=\"4404\"}").await, 1);
}

#[tokio::test(start_paused = true)]
async fn garbage_closes_a_go2rtc_socket_with_a_reason() {
    let relay = locked();
    for garbage in ["no JSON", "[]", r#"{"value":"avc1.640029"}"#, &"[".repeat(5000)] {
        let answer = answer(&relay, "src=cam0", &basic(), &[garbage]).await;
        assert!(answer.contains("not a message of go2rtc's API") && answer.contains(&code(4400)), "{answer}");
    }
    let mut viewer = open(&relay, "src=cam0", &basic()).await;
    // A masked text frame of 1 MiB (RFC 6455, section 5.2), of which the head suffices.
    let head = [&[0x81, 0x80 | 127][..], &(1u64 << 20).to_be_bytes(), &[0; 4]].concat();
    viewer.write_all(&head).await.expect("the relay reads");
    let answer = read_to_end(&mut viewer).await;
    assert!(answer.contains("where 65536 are allowed"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn unserved_messages_are_refused_and_the_socket_stays_open() {
    let relay = locked();
    let begun = Instant::now();
    let messages = [
        r#"{"type":"mjpeg"}"#,
        r#"{"type":"mp4","value":"avc1.640029"}"#,
        r#"{"type":"hls","value":"avc1.640029"}"#,
        r#"{"type":"dance"}"#,
        r#"{"type":"mse","value":"mp4a.40.2,flac"}"#,
        r#"{"type":"webrtc/candidate","value":""}"#,
        r#"{"type":"webrtc/offer","value":"v=0"}"#,
        r#"{"type":"webrtc/offer","value":"v=0"}"#,
    ];
    let answer = answer(&relay, "src=cam0", &basic(), &messages).await;
    for value in [
        "mjpeg: ",
        "mp4: ",
        "hls: ",
        "dance: ",
        "mse: ",
        "webrtc/offer: WebRTC is turned off",
        "webrtc/offer: a WebSocket takes one",
    ] {
        assert!(answer.contains(&format!(r#"{{"type":"error","value":"{value}"#)), "{value}: {answer}");
    }
    assert!(answer.contains("no message for 30 s") && answer.contains(&code(4408)), "{answer}");
    assert_eq!(begun.elapsed().as_secs(), 30, "a viewer without video");
}

#[tokio::test(start_paused = true)]
async fn go2rtc_sockets_of_one_client_have_a_rate() {
    let relay = locked();
    let (mut opened, mut status) = (0, "101".to_owned());
    while status == "101" {
        let mut viewer = open(&relay, "src=cam0", &basic()).await;
        let mut line = [0; "HTTP/1.1 101".len()];
        viewer.read_exact(&mut line).await.expect("an answer");
        status = String::from_utf8_lossy(&line[9..]).into_owned();
        opened += u32::from(status == "101");
    }
    assert_eq!((&*status, opened), ("429", 160), "two seconds of 80 at once");
}

#[tokio::test(start_paused = true)]
async fn go2rtc_socket_ends_with_its_token() {
    let relay = locked();
    let begun = Instant::now();
    let answer = answer(&relay, "src=cam0", &token(20), &[r#"{"type":"mse","value":""}"#]).await;
    assert!(answer.contains("has expired or was revoked") && answer.contains(&code(4403)), "{answer}");
    assert!((19..=22).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn go2rtc_routes_answer_for_permitted_streams_only() {
    let relay = locked();
    let body = |answer: &str| answer.split_once("\r\n\r\n").expect("a body").1.to_owned();
    let all = relay.request("GET", "/go2rtc/api/streams", &basic()).await;
    let none = r#"{"consumers":[],"producers":[{"medias":[]}]}"#;
    assert!(body(&all).starts_with(&format!(r#"{{"cam0":{none},"cam1":{none}"#)), "{all}");
    let one = relay.request("GET", "/go2rtc/api/streams", &token(60)).await;
    assert_eq!(body(&one), format!(r#"{{"cam0":{none}}}"#));
    let probe = "/go2rtc/api/streams?src=cam0&video=all&audio=all&microphone";
    assert_eq!(body(&relay.request("GET", probe, &token(60)).await), none);
    for (path, headers, code, says) in [
        ("/go2rtc/api/streams?src=cam1", token(60), "403", "is not for this"),
        ("/go2rtc/api/streams?src=nope", basic(), "404", "stream not found"),
        ("/go2rtc/api/streams?src=a//b", basic(), "400", "contains //"),
        ("/go2rtc/api/frame.jpeg", basic(), "400", "?src=NAME"),
        ("/go2rtc/api/frame.jpeg?src=nope", basic(), "404", "no stream named nope"),
        ("/go2rtc/api/frame.jpeg?src=cam0&w=9", basic(), "400", "16 to 4096"),
        ("/go2rtc/api/frame.jpeg?src=cam1", token(60), "403", "is not for this"),
        ("/go2rtc/api/webrtc?src=cam0", basic(), "404", ""),
    ] {
        let answer = relay.request("GET", path, &headers).await;
        assert!(status(&answer) == code && answer.contains(says), "{path}: {answer}");
    }
    let put = relay.request("PUT", "/go2rtc/api/streams?src=rtsp://camera/", &basic()).await;
    assert_eq!(status(&put), "405", "{put}");
    let checked = relay.request("HEAD", "/go2rtc/", &token(60)).await;
    assert_eq!(status(&checked), "200", "{checked}");
}

#[tokio::test(start_paused = true)]
async fn allowed_pages_may_read_the_go2rtc_answers() {
    let relay = TestRelay::new(|config| config.allowed_origins = vec!["https://home.example".to_owned()]);
    let from = async |origin: &str| {
        relay.request("GET", "/go2rtc/api/streams", &format!("Origin: https://{origin}\r\n")).await
    };
    let allowed = from("home.example").await;
    assert!(allowed.contains("access-control-allow-origin: https://home.example"), "{allowed}");
    let foreign = from("evil.example").await;
    assert!(status(&foreign) == "403" && !foreign.contains("access-control-allow-origin"), "{foreign}");
}

use super::*;
use crate::hub::ring::Limits;
use proptest::prelude::*;

/// What a browser's video section says of a payload type.
fn h264(pt: u8, profile: &str) -> String {
    format!(
        "a=rtpmap:{pt} H264/90000\r\na=rtcp-fb:{pt} nack\r\na=rtcp-fb:{pt} nack pli\r\n\
         a=fmtp:{pt} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}\r\n"
    )
}

fn section(kind: &str, mid: u8, types: &str, direction: &str, attributes: &str) -> String {
    format!(
        "m={kind} 9 UDP/TLS/RTP/SAVPF {types}\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:EsAw\r\n\
         a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=fingerprint:sha-256 {}\r\na=setup:actpass\r\na=mid:{mid}\r\n\
         a=extmap:5 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay\r\na={direction}\r\na=rtcp-mux\r\n{attributes}",
        ["AB"; 32].join(":")
    )
}

fn offer(sections: &[String]) -> String {
    let mids: Vec<String> = (0..sections.len()).map(|mid| mid.to_string()).collect();
    format!(
        "v=0\r\no=- 4648475892259889561 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\n{}",
        mids.join(" "),
        sections.concat()
    )
}

fn video(attributes: &str) -> String {
    section("video", 1, "96", "recvonly", attributes)
}

fn audio() -> String {
    section("audio", 0, "111", "recvonly", "a=rtpmap:111 opus/48000/2\r\n")
}

async fn endpoint() -> Endpoint {
    let settings = Webrtc::default();
    let bound = bind(&settings, "127.0.0.1:0".parse().unwrap()).await.unwrap().unwrap();
    let hub = Hub::new(["cam".parse().unwrap()], Limits::default(), true);
    Endpoint::start(bound, Arc::new(hub), CancellationToken::new()).unwrap()
}

#[tokio::test]
async fn a_browser_s_offer_is_answered_with_its_own_payload_types_and_our_candidates() {
    let endpoint = endpoint().await;
    let sections = [audio(), video(&(h264(96, "42e01f") + &h264(102, "64001f"))).replace("SAVPF 96", "SAVPF 96 102")];
    let (agreed, answer) = endpoint.agree(&offer(&sections), None).unwrap();
    let high = "avc1.640028".parse().unwrap();
    assert_eq!(payload::choose(&agreed.payloads, &high), Some(102.into()));
    let port = endpoint.port.address.port();
    for line in [
        "a=ice-lite".to_owned(),
        "a=setup:passive".to_owned(),
        format!("127.0.0.1 {port} typ host"),
        format!("127.0.0.1 {port} typ host tcptype passive"),
        "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay".to_owned(),
        "a=sendonly".to_owned(),
    ] {
        assert!(answer.contains(&line), "{line} is not in\n{answer}");
    }
    assert!(!answer.contains("m=audio 0"), "it would take the candidates with it\n{answer}");
    assert_eq!(agreed.local.len(), 2);
}

#[tokio::test]
async fn h_265_is_agreed_on_where_it_is_offered() {
    let endpoint = endpoint().await;
    let hevc = "a=rtpmap:96 H265/90000\r\na=fmtp:96 level-id=120;profile-id=1;tier-flag=0;tx-mode=SRST\r\n";
    let (agreed, _) = endpoint.agree(&offer(&[audio(), video(hevc)]), None).unwrap();
    assert!(!payload::has(&agreed.payloads, Family::H264) && payload::has(&agreed.payloads, Family::H265));
    assert_eq!(payload::choose(&agreed.payloads, &"hvc1.1.6.L93.90".parse().unwrap()), Some(96.into()));
}

#[tokio::test]
async fn a_player_that_says_little_of_h_264_is_sent_it() {
    let endpoint = endpoint().await;
    let (agreed, _) = endpoint.agree(&offer(&[audio(), video("a=rtpmap:96 H264/90000\r\n")]), None).unwrap();
    assert_eq!(payload::choose(&agreed.payloads, &"avc1.640028".parse().unwrap()), Some(96.into()));
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_for_its_own_reason() {
    let endpoint = endpoint().await;
    let refused = |text: &str| endpoint.agree(text, None).err().unwrap_or_else(|| panic!("{text} was answered"));
    for text in ["", "hello", "{\"type\":\"offer\"}", "v=0\r\n", "m=video 9 RTP/AVP 96\r\n"] {
        assert!(matches!(refused(text), Refusal::NotSdp(why) if why.len() <= 400), "{text:?}");
    }
    assert_eq!(refused(&offer(&[audio()])), Refusal::NoVideo);
    let sends = section("video", 1, "96", "sendonly", &h264(96, "42e01f"));
    assert_eq!(refused(&offer(&[audio(), sends])), Refusal::NoVideo);
    let vp8 = video("a=rtpmap:96 VP8/90000\r\n");
    assert!(matches!(refused(&offer(&[audio(), vp8])), Refusal::NoCodec(_)));
}

#[tokio::test]
async fn a_damaged_offer_never_panics() {
    let endpoint = endpoint().await;
    let whole = offer(&[audio(), video(&h264(96, "42e01f"))]);
    let damage = (0..whole.len(), 0..60usize, "[\\x20-\\x7e\r\n]{0,8}");
    proptest!(ProptestConfig::with_cases(200), |((at, length, new) in damage)| {
        let mut text = whole.clone();
        text.replace_range(at..(at + length).min(text.len()), &new);
        let _ = endpoint.agree(&text, None);
    });
}

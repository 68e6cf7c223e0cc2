use super::*;
use crate::config::Webrtc;
use crate::egress::whep::bind;
use crate::hub::ring::RingLimits;
use proptest::prelude::*;

/// A browser's attributes of one payload type.
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

fn data(mid: u8) -> String {
    let media = section("application", mid, "webrtc-datachannel", "sendrecv", "a=sctp-port:5000\r\n");
    media.replace("UDP/TLS/RTP/SAVPF", "UDP/DTLS/SCTP")
}

async fn endpoint() -> Endpoint {
    let settings = Webrtc::default();
    let bound = bind(&settings, "127.0.0.1:0".parse().unwrap()).await.unwrap().unwrap();
    let hub = Hub::new(["cam".parse().unwrap()], RingLimits::default(), true);
    Endpoint::start(bound, Arc::new(hub), ConnectionGate::default_limits(), CancellationToken::new()).unwrap()
}

#[tokio::test]
async fn answer_has_the_offers_payload_types_and_the_relays_candidates() {
    let endpoint = endpoint().await;
    let sections = [audio(), video(&(h264(96, "42e01f") + &h264(102, "64001f"))).replace("SAVPF 96", "SAVPF 96 102")];
    let (negotiated, answer) = endpoint.negotiate(&offer(&sections), None, true).unwrap();
    let high = "avc1.640028".parse().unwrap();
    assert_eq!(payload::choose(&negotiated.payloads, &high), Some(102.into()));
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
    assert_eq!(negotiated.local.len(), 2);
}

/// The sections of an answer, each with its `m=` line.
fn answered(answer: &str) -> Vec<&str> {
    let starts: Vec<usize> = answer.match_indices("\r\nm=").map(|(at, _)| at + 2).collect();
    let ends = starts.iter().skip(1).copied().chain([answer.len()]);
    starts.iter().zip(ends).map(|(&start, end)| &answer[start..end]).collect()
}

/// An audio section with the codecs of a browser.
fn browser_audio(mid: u8, direction: &str) -> String {
    let attributes = "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:63 red/48000/2\r\n\
         a=fmtp:63 111/111\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n";
    section("audio", mid, "111 63 9 0 8", direction, attributes)
}

fn browser_video(mid: u8) -> String {
    section("video", mid, "96", "recvonly", &h264(96, "42e01f"))
}

#[tokio::test]
async fn first_audio_section_with_opus_sends_in_the_stream_of_the_video() {
    let endpoint = endpoint().await;
    let alaw = |mid| section("audio", mid, "8", "recvonly", "a=rtpmap:8 PCMA/8000\r\n");
    for (sections, expected) in [
        (vec![browser_audio(0, "recvonly"), browser_video(1)], Some("0")),
        (vec![browser_video(0), browser_audio(1, "sendrecv")], Some("1")),
        (vec![browser_audio(0, "recvonly"), browser_audio(1, "recvonly"), browser_video(2)], Some("0")),
        (vec![alaw(0), browser_video(1), browser_audio(2, "recvonly")], Some("2")),
        (vec![browser_audio(0, "inactive"), browser_audio(1, "recvonly"), browser_video(2)], Some("1")),
        (vec![browser_audio(0, "sendonly"), browser_video(1)], None),
        (vec![browser_audio(0, "inactive"), browser_video(1)], None),
        (vec![alaw(0), browser_video(1)], None),
        (vec![browser_video(0)], None),
    ] {
        let (negotiated, answer) = endpoint.negotiate(&offer(&sections), None, true).unwrap();
        let audio = negotiated.audio.map(|audio| (audio.track.mid.to_string(), audio.payloads));
        let payloads = AudioPayloads { opus: 111.into(), a_law: Some(8.into()), mu_law: Some(0.into()) };
        assert_eq!(audio, expected.map(|mid| (mid.to_owned(), payloads)), "{answer}");
        let sending = answered(&answer).into_iter().filter(|section| section.contains("a=sendonly"));
        let streams: Vec<&str> = sending.map(stream_of).collect();
        assert_eq!(streams.len(), 1 + usize::from(expected.is_some()), "{answer}");
        assert!(streams.iter().all(|stream| *stream == streams[0]), "{answer}");
        assert_eq!(answer.matches("a=msid:").count(), streams.len(), "{answer}");
        assert!(answer.contains(&format!("a=msid-semantic:WMS {}\r\n", streams[0])), "{answer}");
    }
}

/// The stream of a section's track.
fn stream_of(section: &str) -> &str {
    let line = section.lines().find_map(|line| line.strip_prefix("a=msid:"));
    line.and_then(|line| line.split(' ').next()).unwrap_or_else(|| panic!("{section}"))
}

#[tokio::test]
async fn video_is_the_only_track_of_a_stream_without_sound() {
    let endpoint = endpoint().await;
    for direction in ["recvonly", "sendrecv"] {
        let h264 = h264(96, "42e01f");
        let sections = [
            section("audio", 0, "111", direction, "a=rtpmap:111 opus/48000/2\r\n"),
            section("video", 1, "96", direction, &h264),
        ];
        let (negotiated, answer) = endpoint.negotiate(&offer(&sections), None, false).unwrap();
        let [audio, video] = answered(&answer)[..] else { panic!("{answer}") };
        assert!(negotiated.audio.is_none());
        assert!(audio.contains("a=inactive") && !audio.contains("msid"), "{audio}");
        assert!(audio.contains("a=candidate:") && audio.starts_with("m=audio 9"), "{audio}");
        assert!(video.contains("a=sendonly") && video.matches("a=msid:").count() == 1, "{video}");
    }
}

#[tokio::test]
async fn first_sendable_video_section_is_used() {
    let endpoint = endpoint().await;
    let h264 = |mid| section("video", mid, "96", "recvonly", &h264(96, "42e01f"));
    let (negotiated, answer) = endpoint.negotiate(&offer(&[h264(0), h264(1), h264(2)]), None, true).unwrap();
    let directions =
        |answer: &str| -> Vec<bool> { answered(answer).iter().map(|section| section.contains("a=sendonly")).collect() };
    assert_eq!((&*negotiated.video.mid, directions(&answer)), ("0", vec![true, false, false]));
    assert_eq!(answer.matches("a=inactive").count(), 2, "{answer}");
    assert_eq!(answer.matches("a=msid:").count(), 1, "{answer}");

    let vp8 = section("video", 0, "97", "recvonly", "a=rtpmap:97 VP8/90000\r\n");
    let (negotiated, answer) = endpoint.negotiate(&offer(&[vp8, h264(1), h264(2)]), None, true).unwrap();
    assert_eq!((&*negotiated.video.mid, directions(&answer)), ("1", vec![false, true, false]));
    assert!(answer.contains("m=video 0 ") && answer.contains("a=group:BUNDLE 1 2"), "{answer}");
    assert!(answered(&answer)[1].contains("a=candidate:"), "{answer}");
}

#[tokio::test]
async fn data_channel_beside_video_is_accepted() {
    let endpoint = endpoint().await;
    let (_, answer) = endpoint
        .negotiate(&offer(&[section("video", 0, "96", "recvonly", &h264(96, "42e01f")), data(1)]), None, true)
        .unwrap();
    let [video, data] = answered(&answer)[..] else { panic!("{answer}") };
    assert!(video.contains("a=sendonly") && data.starts_with("m=application 9"), "{answer}");
}

#[tokio::test]
async fn offered_h265_is_negotiated() {
    let endpoint = endpoint().await;
    let hevc = "a=rtpmap:96 H265/90000\r\na=fmtp:96 level-id=120;profile-id=1;tier-flag=0;tx-mode=SRST\r\n";
    let (negotiated, _) = endpoint.negotiate(&offer(&[audio(), video(hevc)]), None, true).unwrap();
    assert!(!payload::has(&negotiated.payloads, Family::H264) && payload::has(&negotiated.payloads, Family::H265));
    assert_eq!(payload::choose(&negotiated.payloads, &"hvc1.1.6.L93.90".parse().unwrap()), Some(96.into()));
}

#[tokio::test]
async fn h264_without_parameters_is_accepted() {
    let endpoint = endpoint().await;
    let (negotiated, _) =
        endpoint.negotiate(&offer(&[audio(), video("a=rtpmap:96 H264/90000\r\n")]), None, true).unwrap();
    assert_eq!(payload::choose(&negotiated.payloads, &"avc1.640028".parse().unwrap()), Some(96.into()));
}

#[tokio::test]
async fn unanswerable_offer_reports_its_reason() {
    let endpoint = endpoint().await;
    let refused =
        |text: &str| endpoint.negotiate(text, None, true).err().unwrap_or_else(|| panic!("{text} was answered"));
    for text in ["", "hello", "{\"type\":\"offer\"}", "v=0\r\n", "m=video 9 RTP/AVP 96\r\n"] {
        assert!(matches!(refused(text), WhepError::NotSdp(why) if why.len() <= 400), "{text:?}");
    }
    assert_eq!(refused(&offer(&[audio()])), WhepError::NoVideo);
    let sends = section("video", 1, "96", "sendonly", &h264(96, "42e01f"));
    assert_eq!(refused(&offer(&[audio(), sends])), WhepError::NoVideo);
    let inactive = section("video", 1, "96", "inactive", &h264(96, "42e01f"));
    assert_eq!(refused(&offer(&[audio(), inactive])), WhepError::NoVideo);
    assert_eq!(refused(&offer(&[data(0)])), WhepError::NoVideo);
    let vp8 = video("a=rtpmap:96 VP8/90000\r\n");
    assert!(matches!(refused(&offer(&[audio(), vp8])), WhepError::NoCodec(_)));
}

#[tokio::test]
async fn damaged_offer_never_panics() {
    let endpoint = endpoint().await;
    let whole = offer(&[audio(), video(&h264(96, "42e01f"))]);
    let damage = (0..whole.len(), 0..60usize, "[\\x20-\\x7e\r\n]{0,8}");
    proptest!(ProptestConfig::with_cases(200), |((at, length, new) in damage)| {
        let mut text = whole.clone();
        text.replace_range(at..(at + length).min(text.len()), &new);
        let _ = endpoint.negotiate(&text, None, true);
    });
}

mod attacks;

use super::*;
use crate::config::{Audio, Encode, Label, SourceUrl};

const MINUTE: Duration = Duration::from_secs(60);

fn source(url: &str, reader: Reader) -> Source {
    Source {
        url: SourceUrl::new(url),
        input_options: Vec::new(),
        redirect_hosts: Vec::new(),
        reader,
        rtsp_transport: RtspTransport::Tcp,
        encode: None,
        amend_sps: true,
        audio: Audio::Auto,
        keep_running: false,
        sub: None,
        label: Label::default(),
    }
}

fn policy(reader: Reader) -> ReaderPolicy {
    ReaderPolicy::new(&source("rtsp://camera/1", reader))
}

fn found(policy: &mut ReaderPolicy, cause: Cause, played: Duration, now: Instant) -> UnsupportedAction {
    policy.unsupported(Unsupported::new(cause, "the camera is odd"), played, now)
}

/// The cause of a fallback, or none while the relay reads.
fn fallback(policy: &mut ReaderPolicy, now: Instant) -> Option<Cause> {
    match policy.choose(now) {
        SelectedReader::Direct => None,
        SelectedReader::Ffmpeg(reason) => Some(reason.expect("a reason").cause),
    }
}

#[test]
fn auto_reads_plain_rtsp_directly_and_leaves_the_rest_to_ffmpeg() {
    let choice = |source: &Source| match ReaderPolicy::new(source).choose(Instant::now()) {
        SelectedReader::Direct => "direct".to_owned(),
        SelectedReader::Ffmpeg(reason) => format!("ffmpeg, {}", reason.map_or("no reason", |reason| &reason.message)),
    };
    let auto = |url: &str| source(url, Reader::Auto);
    assert_eq!(choice(&auto("rtsp://camera/1")), "direct");
    for url in ["/dev/video0", "http://camera/mjpeg", "testsrc2"] {
        assert_eq!(choice(&auto(url)), "ffmpeg, no reason");
    }
    assert_eq!(choice(&auto("rtsps://camera/1")), "ffmpeg, the source uses RTSP over TLS");
    let rtsp = || auto("rtsp://camera/1");
    for (source, reason) in [
        (Source { rtsp_transport: RtspTransport::Udp, ..rtsp() }, "the configuration asks for RTSP over UDP"),
        (Source { encode: Some(Encode::H264), ..rtsp() }, "the configuration asks for an encoder"),
        (Source { input_options: vec!["-re".into()], ..rtsp() }, "the configuration has FFmpeg options"),
    ] {
        assert_eq!(choice(&source), format!("ffmpeg, {reason}"));
    }
    assert_eq!(choice(&source("rtsp://camera/1", Reader::Ffmpeg)), "ffmpeg, no reason");
    assert_eq!(choice(&source("rtsp://camera/1", Reader::Direct)), "direct");
}

#[test]
fn unsupported_camera_is_read_by_ffmpeg_for_a_day() {
    for cause in [Cause::BFrames, Cause::Codec, Cause::Audio, Cause::ParameterSets, Cause::Slices, Cause::UdpOnly] {
        let (mut policy, now) = (policy(Reader::Auto), Instant::now());
        assert_eq!(found(&mut policy, cause, Duration::ZERO, now), UnsupportedAction::Fallback);
        assert_eq!(fallback(&mut policy, now), Some(cause));
        // FFmpeg's success and its failures change nothing.
        policy.ffmpeg_ended(true, now + MINUTE);
        policy.ffmpeg_ended(false, now + 2 * MINUTE);
        assert_eq!(fallback(&mut policy, now + REMEMBERED - MINUTE), Some(cause));
        assert_eq!(fallback(&mut policy, now + REMEMBERED), None);
        assert_eq!(fallback(&mut policy, now + REMEMBERED + MINUTE), None);
    }
}

#[test]
fn camera_that_was_not_understood_gets_a_trial_of_ffmpeg() {
    for cause in [Cause::NotUnderstood, Cause::NoVideo] {
        let (mut policy, now) = (policy(Reader::Auto), Instant::now());
        assert_eq!(found(&mut policy, cause, Duration::ZERO, now), UnsupportedAction::Fallback);
        assert_eq!(fallback(&mut policy, now), Some(cause));
        policy.ffmpeg_ended(false, now);
        assert_eq!(fallback(&mut policy, now), None, "FFmpeg failed as well");

        assert_eq!(found(&mut policy, cause, Duration::ZERO, now), UnsupportedAction::Fallback);
        policy.ffmpeg_ended(true, now + MINUTE);
        policy.ffmpeg_ended(false, now + MINUTE);
        assert_eq!(fallback(&mut policy, now + REMEMBERED), Some(cause), "remembered from the end of the trial");
        assert_eq!(fallback(&mut policy, now + REMEMBERED + MINUTE), None);
    }
}

#[test]
fn damaged_packet_after_a_minute_causes_no_fallback() {
    let (mut policy, now) = (policy(Reader::Auto), Instant::now());
    let decision = found(&mut policy, Cause::NotUnderstood, UNDERSTOOD, now);
    assert!(matches!(decision, UnsupportedAction::Fail(OfflineReason::Ended, _)), "{decision:?}");
    assert_eq!(fallback(&mut policy, now), None);
    assert_eq!(found(&mut policy, Cause::NotUnderstood, UNDERSTOOD - MINUTE / 2, now), UnsupportedAction::Fallback);
    let (mut policy, long) = (ReaderPolicy::new(&source("rtsp://camera/1", Reader::Auto)), 100 * MINUTE);
    assert_eq!(
        found(&mut policy, Cause::BFrames, long, now),
        UnsupportedAction::Fallback,
        "a property, however late it shows"
    );
}

#[test]
fn forced_direct_reader_fails_with_the_reason() {
    let (mut policy, now) = (policy(Reader::Direct), Instant::now());
    for (cause, reason, verb) in [
        (Cause::Codec, OfflineReason::UnsupportedCodec, "reads"),
        (Cause::NoVideo, OfflineReason::NoVideo, "tries"),
        (Cause::BFrames, OfflineReason::Failed, "reads"),
        (Cause::NotUnderstood, OfflineReason::Failed, "tries"),
    ] {
        let message = format!("the camera is odd; with reader = \"auto\", FFmpeg {verb} it");
        assert_eq!(found(&mut policy, cause, Duration::ZERO, now), UnsupportedAction::Fail(reason, message));
        assert_eq!(policy.choose(now), SelectedReader::Direct);
    }
}

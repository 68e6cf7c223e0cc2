use sightline_protocol::close;
use sightline_protocol::message::{OfflineReason, Ready, Size, TrackKind, VariantReason};
use tokio::time::Instant;

use super::*;
use crate::egress::test_stream::{H264, publish, start_epoch, stream, stream_with_sub};

/// A session without a socket, and the time.
struct Driver {
    stream: Stream,
    session: Session,
    ms: u64,
}

impl Driver {
    /// A session after the camera's first frame.
    fn new() -> Self {
        let stream = stream();
        start_epoch(&stream, Variant::Copy, H264, false);
        publish(&stream, Variant::Copy, 0, true);
        let play = Play {
            codecs: vec![H264.to_owned()],
            variant: VariantChoice::Auto,
            tracks: vec![TrackKind::Video],
            size: None,
            quality: None,
        };
        let copy = stream.subscribe(Variant::Copy, Protocol::Mse);
        Self { session: Session::new(stream.clone(), copy, &play), stream, ms: 0 }
    }

    /// A session of a small tile, of a camera with a sub stream that has sent nothing yet.
    fn of_small_tile() -> Self {
        let stream = stream_with_sub();
        let (tracks, size) = (vec![TrackKind::Video], Some(Size { width: 16, height: 16 }));
        let play = Play { codecs: vec![H264.to_owned()], variant: VariantChoice::Auto, tracks, size, quality: None };
        let first = stream.subscribe(first_variant(&stream, &play), Protocol::Mse);
        Self { session: Session::new(stream.clone(), first, &play), stream, ms: 0 }
    }

    fn now(&self) -> Now {
        Now { time: Duration::from_millis(self.ms), unix_ms: self.ms as f64 }
    }

    fn handle(&mut self, input: SessionInput) -> Result<(), ViewerFault> {
        self.session.handle(input, self.now())
    }

    fn receive(&mut self, message: ClientMessage) -> Result<(), ViewerFault> {
        self.handle(SessionInput::Message(message))
    }

    fn publish(&mut self, keyframe: bool) {
        self.ms += 40;
        publish(&self.stream, Variant::Copy, self.ms, keyframe);
    }

    /// Everything that the session writes now, in short.
    fn written(&mut self) -> Vec<String> {
        let mut written = Vec::new();
        loop {
            let decision = self.session.advance(self.now()).unwrap();
            while let Some(action) = self.session.next_action() {
                written.push(match action {
                    SessionAction::Message(ServerMessage::Ready(Ready { epoch, variant, .. })) => {
                        format!("ready {epoch} {variant}")
                    }
                    SessionAction::Message(ServerMessage::Gap { skipped, why }) => format!("gap {skipped} {why:?}"),
                    SessionAction::Message(ServerMessage::Ping(_)) => continue,
                    SessionAction::Message(message) => message.to_json(),
                    SessionAction::Status(Status::Offline { .. }) => "offline".to_owned(),
                    SessionAction::Status(status) => format!("{status:?}").to_lowercase(),
                    SessionAction::Init(_) => "init".to_owned(),
                    SessionAction::Fragment(fragment) => fragment.head.decode_time.to_string(),
                });
            }
            match self.session.poll_video(decision) {
                Some(input) => self.handle(input).unwrap(),
                None => return written,
            }
        }
    }
}

fn ack(received: u64) -> ClientMessage {
    ClientMessage::Ack(Ack { received, at: None, lag_ms: None })
}

#[test]
fn epoch_is_announced_with_its_first_frame() {
    let mut driver = Driver::new();
    assert_eq!(driver.written(), ["live", "ready 1 copy", "init", "0"]);
    driver.publish(false);
    assert_eq!(driver.written(), ["40"]);
    start_epoch(&driver.stream, Variant::Copy, H264, false);
    driver.publish(true);
    assert_eq!(driver.written(), ["ready 2 copy", "init", "80"]);
}

#[test]
fn paused_viewer_gets_no_frames_and_resumes_at_the_newest_key_frame() {
    let mut driver = Driver::new();
    driver.written();
    driver.receive(ClientMessage::Pause).unwrap();
    (0..3).for_each(|_| driver.publish(false));
    driver.publish(true);
    assert_eq!(driver.written(), [""; 0]);
    driver.receive(ClientMessage::Resume).unwrap();
    assert_eq!(driver.written(), ["gap 3 Paused", "160"]);
    driver.receive(ClientMessage::Resume).unwrap();
    assert_eq!(driver.written(), ["ready 2 copy", "init", "160"], "a viewer that has not paused starts again");
}

#[test]
fn viewer_without_acks_is_held_and_then_refused() {
    let mut driver = Driver::new();
    let mut sent = driver.written().len();
    while sent < 1000 {
        driver.publish(true);
        match driver.written().len() {
            0 => break,
            more => sent += more,
        }
    }
    assert!(sent < 1000, "the window is bounded");
    driver.ms += 11_000;
    let fault = driver.session.advance(driver.now()).unwrap_err();
    assert_eq!((fault.code, &fault.message[..]), (close::TOO_SLOW, "nothing was acknowledged for 10 s; connect again"));
}

#[test]
fn held_viewer_skips_when_it_has_acknowledged() {
    let mut driver = Driver::new();
    let mut messages = driver.written().len() as u64 - 2;
    for _ in 0..1000 {
        driver.publish(false);
        match driver.written().len() as u64 {
            0 => break,
            more => messages += more,
        }
    }
    (0..10).for_each(|_| driver.publish(false));
    driver.publish(true);
    driver.receive(ack(messages)).unwrap();
    let written = driver.written();
    assert_eq!(written, ["gap 11 Behind".to_owned(), driver.ms.to_string()]);
}

#[test]
fn impossible_ack_is_refused() {
    let mut driver = Driver::new();
    driver.written();
    let fault = driver.receive(ack(3)).unwrap_err();
    assert_eq!(fault.code, close::BAD_REQUEST, "init segment and one frame were sent: {}", fault.message);
    assert_eq!(Driver::new().receive(ack(0)), Ok(()));
}

#[test]
fn silent_viewer_is_refused_at_a_heartbeat() {
    let mut driver = Driver::new();
    driver.ms = 12_000;
    assert_eq!(driver.handle(SessionInput::Heartbeat), Ok(()));
    driver.ms += 1;
    assert_eq!(driver.handle(SessionInput::Heartbeat).unwrap_err().code, close::TOO_SLOW);
}

#[test]
fn failed_low_is_replaced_without_a_status() {
    let mut driver = Driver::new();
    driver.written();
    // A link that carries two frames of three.
    let mut sent = 2;
    for n in 0..200 {
        driver.publish(n % 25 == 0);
        sent += driver.written().iter().filter(|message| message.parse::<u64>().is_ok()).count() as u64;
        let arrived = driver.ms / 60;
        let at = Some((arrived * 60) as f64);
        driver.receive(ClientMessage::Ack(Ack { received: arrived.clamp(2, sent), at, lag_ms: None })).unwrap();
    }
    driver.written();
    assert!(driver.session.video.reader.is_low_chosen());
    let offline = |message: &str| Status::Offline {
        reason: OfflineReason::Failed,
        message: message.into(),
        retry_at: Instant::now(),
    };
    driver.stream.rendition(Variant::Low).fail(offline("no encoder"));
    assert!(!driver.written().contains(&"offline".to_owned()));
    assert!(!driver.session.video.reader.is_low_chosen());
    driver.stream.rendition(Variant::Copy).fail(offline("no camera"));
    assert!(driver.written().contains(&"offline".to_owned()));
}

#[test]
fn requested_variant_is_switched_to() {
    let mut driver = Driver::new();
    driver.written();
    driver.receive(ClientMessage::Switch { variant: VariantChoice::Low }).unwrap();
    driver.publish(false);
    assert_eq!(driver.written(), ["40"], "until `low` has a key frame");
    start_epoch(&driver.stream, Variant::Low, H264, false);
    publish(&driver.stream, Variant::Low, 0, true);
    assert_eq!(driver.written(), ["live", "ready 2 low", "init", "0"]);
    let ready = driver.session.video.reader.ready(&driver.stream.rendition(Variant::Low).init().unwrap(), 2, false);
    assert_eq!(ready.why, VariantReason::Requested);
}

#[test]
fn quality_is_switched_to_and_a_variant_that_stays_gets_its_new_reason() {
    let mut driver = Driver::of_small_tile();
    for variant in [Variant::Low, Variant::Copy] {
        start_epoch(&driver.stream, variant, H264, false);
        publish(&driver.stream, variant, 0, true);
    }
    assert_eq!(driver.written(), ["idle", "ready 1 low", "init", "0", "live"]);
    let mut choose = |quality| {
        driver.receive(ClientMessage::Quality { quality }).unwrap();
        driver.written()
    };
    assert_eq!(choose(Quality::Low), [r#"{"type":"reason","why":"requested"}"#]);
    assert_eq!(choose(Quality::Low), [""; 0]);
    assert_eq!(choose(Quality::Auto), [r#"{"type":"reason","why":"small_size"}"#]);
    assert_eq!(choose(Quality::High), ["live", "ready 2 copy", "init", "0"]);
    assert_eq!(choose(Quality::Auto), ["live", "ready 3 low", "init", "0"]);
    driver.receive(ClientMessage::Quality { quality: Quality::High }).unwrap();
    driver.receive(ClientMessage::Switch { variant: VariantChoice::Low }).unwrap();
    assert_eq!(driver.written(), ["live", "ready 4 copy", "init", "0"], "the quality prevails");
}

#[test]
fn high_quality_stays_on_a_slow_link() {
    let mut driver = Driver::new();
    driver.written();
    driver.receive(ClientMessage::Quality { quality: Quality::High }).unwrap();
    // A link that carries two frames of three: `low` is chosen for Auto.
    let (mut sent, mut gaps) = (2, 0);
    for n in 0..200 {
        driver.publish(n % 25 == 0);
        let written = driver.written();
        sent += written.iter().filter(|message| message.parse::<u64>().is_ok()).count() as u64;
        gaps += written.iter().filter(|message| message.starts_with("gap")).count();
        let arrived = driver.ms / 60;
        let at = Some((arrived * 60) as f64);
        driver.receive(ClientMessage::Ack(Ack { received: arrived.clamp(2, sent), at, lag_ms: None })).unwrap();
        assert_eq!(driver.session.video.reader.variant(), Variant::Copy);
        assert!(!driver.session.video.reader.is_low_chosen());
    }
    assert!(gaps > 0, "it skips instead");
}

#[test]
fn failed_sub_stream_gives_way_for_a_minute() {
    let mut driver = Driver::of_small_tile();
    assert_eq!((driver.written(), driver.session.video.reader.variant()), (vec!["idle".to_owned()], Variant::Low));
    let (reason, message) = (OfflineReason::Unreachable, "no route to the camera".into());
    let offline = Status::Offline { reason, message, retry_at: Instant::now() };
    driver.stream.rendition(Variant::Low).fail(offline);
    assert_eq!(driver.written(), ["idle"], "of the main stream");
    start_epoch(&driver.stream, Variant::Copy, H264, false);
    driver.publish(true);
    assert_eq!(driver.written(), ["ready 1 copy", "init", "40", "live"]);
    start_epoch(&driver.stream, Variant::Low, H264, false);
    publish(&driver.stream, Variant::Low, 0, true);
    assert_eq!(driver.written(), [""; 0]);
    driver.ms += 60_000;
    driver.receive(ack(2)).unwrap();
    assert_eq!(driver.written(), ["live", "ready 2 low", "init", "0"]);
}

#[test]
fn viewer_that_listens_keeps_the_sub_stream() {
    let mut driver = Driver::of_small_tile();
    for variant in [Variant::Low, Variant::Copy] {
        start_epoch(&driver.stream, variant, H264, false);
        publish(&driver.stream, variant, 0, true);
    }
    assert_eq!(driver.written(), ["idle", "ready 1 low", "init", "0", "live"]);
    driver.receive(ClientMessage::Tracks { tracks: vec![TrackKind::Video, TrackKind::Audio] }).unwrap();
    assert_eq!(driver.written(), [""; 0]);
}

use super::*;
use crate::state::Phase;
use sightline_protocol::message::{OfflineReason, Ready, Size, StreamState, Track, TrackKind, VariantReason};
use sightline_protocol::stream::{Quality, Variant};

fn name(text: &str) -> StreamName {
    text.parse().unwrap()
}

fn ready(variant: Variant, why: VariantReason, codec: &str) -> Ready {
    Ready {
        epoch: 1,
        variant,
        why,
        tracks: vec![Track {
            kind: TrackKind::Video,
            mime: format!("video/mp4; codecs=\"{codec}\""),
            timescale: 90_000,
            timeline: 1,
            size: Some(Size { width: 1920, height: 1080 }),
            frame_rate: None,
        }],
        audio: false,
    }
}

fn copy() -> Ready {
    ready(Variant::Copy, VariantReason::Untouched, "hvc1.1.6.L123.90")
}

fn offline() -> StreamState {
    StreamState::Offline {
        reason: OfflineReason::Unreachable,
        message: "the camera yard cannot be reached".into(),
        retry_in_ms: 4000,
    }
}

/// A tile after these events.
fn tile(events: impl IntoIterator<Item = TileEvent>) -> Tile {
    let mut tile = Tile::new(name("yard"));
    events.into_iter().for_each(|event| tile.apply(event, 0.0));
    tile
}

fn live() -> Vec<TileEvent> {
    vec![
        TileEvent::Connecting,
        TileEvent::Connected,
        TileEvent::Source(StreamState::Starting),
        TileEvent::Ready(copy()),
        TileEvent::Presented { first_frame_ms: Some(80.0) },
    ]
}

#[test]
fn tile_is_live_after_a_presented_frame() {
    let phases: Vec<_> = (0..=5).map(|n| tile(live().into_iter().take(n)).phase()).collect();
    use Phase::{Connecting, Live, Starting};
    assert_eq!(phases, [Connecting, Connecting, Starting, Starting, Starting, Live]);
    assert_eq!(tile(live()).message(), None);
    assert_eq!(tile(live()).first_frame_ms, Some(80.0));
}

#[test]
fn frame_presented_before_the_connected_event_counts() {
    let [connecting, connected, source, ready, presented] = live().try_into().expect("five events");
    assert_eq!(tile([connecting, source, ready, presented, connected]).phase(), Phase::Live);
}

#[test]
fn stale_video_is_not_live() {
    let mut events = live();
    events.push(TileEvent::Stale(true));
    let stalled = tile(events.clone());
    assert_eq!(stalled.phase(), Phase::Stalled);
    assert!(stalled.message().is_some());
    events.push(TileEvent::Stale(false));
    assert_eq!(tile(events).phase(), Phase::Live);
}

#[test]
fn audio_by_hls_lasts_until_the_protocol_ends() {
    let level = || {
        TileEvent::VideoInfo(VideoInfo {
            variant: Variant::Copy,
            why: None,
            codec: "avc1.64001F".to_owned(),
            size: None,
            frame_rate: None,
        })
    };
    let mut events = vec![TileEvent::ProtocolSelected(Protocol::Hls, "because".into()), TileEvent::HasAudio(true)];
    events.extend([level(), TileEvent::Listening(true), level()]);
    let heard = tile(events.clone());
    assert!(heard.audio && heard.listening, "a change of variant keeps it");
    events.push(TileEvent::HasAudio(false));
    assert!(!tile(events.clone()).audio, "a camera that has returned without a microphone");
    events.push(TileEvent::ProtocolSelected(Protocol::WebRtc, "you chose it".into()));
    let left = tile(events);
    assert!(!left.audio && !left.listening);
}

#[test]
fn stale_state_ends_with_its_protocol() {
    let mut events = live();
    events.insert(0, TileEvent::ProtocolSelected(Protocol::Mse, "because".into()));
    events.extend([TileEvent::Stale(true), TileEvent::ProtocolSelected(Protocol::Hls, "it brought none".into())]);
    events.extend(live());
    assert_eq!(tile(events).phase(), Phase::Live);
}

#[test]
fn new_epoch_is_live_after_its_own_first_frame() {
    let mut events = live();
    events.push(TileEvent::Ready(copy()));
    assert_eq!(tile(events.clone()).phase(), Phase::Starting);
    events.push(TileEvent::Presented { first_frame_ms: None });
    let tile = tile(events);
    assert_eq!((tile.phase(), tile.epoch, tile.first_frame_ms), (Phase::Live, 2, Some(80.0)));
}

#[test]
fn offline_tile_names_reason_and_retry_time() {
    let mut events = live();
    events.push(TileEvent::Source(offline()));
    let off = tile(events.clone());
    assert_eq!(off.phase(), Phase::Offline);
    assert_eq!(off.message().unwrap(), "The camera yard cannot be reached.");
    events.push(TileEvent::Source(StreamState::Live));
    assert_eq!(tile(events).phase(), Phase::Live, "the same epoch goes on");
}

#[test]
fn lost_connection_keeps_the_video_info() {
    let mut events = live();
    events.push(TileEvent::Lost { retry_ms: 0.0 });
    let lost = tile(events.clone());
    assert_eq!(lost.phase(), Phase::Reconnecting);
    assert_eq!(lost.message().unwrap(), "The connection to the relay was lost.");
    assert!(lost.video_info.is_some());
    events.push(TileEvent::Connecting);
    assert_eq!(tile(events.clone()).phase(), Phase::Reconnecting);
    events.push(TileEvent::Connected);
    assert_eq!(tile(events).phase(), Phase::Starting, "the last frame is not live");
}

#[test]
fn relay_that_never_answered_is_unreachable() {
    let tile = tile([TileEvent::Connecting, TileEvent::Lost { retry_ms: 2100.0 }]);
    assert_eq!(tile.message().unwrap(), "The relay cannot be reached.");
}

#[test]
fn failure_stays_until_playback_works() {
    let mut events = live();
    events.push(TileEvent::Failed(Failure::Refused, "No.".into()));
    events.push(TileEvent::Lost { retry_ms: 30_000.0 });
    let failed = tile(events.clone());
    assert_eq!((failed.phase(), failed.message().unwrap().as_str()), (Phase::Error, "No."));
    events.extend([TileEvent::Connecting, TileEvent::Connected]);
    assert_eq!(tile(events.clone()).phase(), Phase::Error, "a connection alone proves nothing");
    events.push(TileEvent::Source(StreamState::Starting));
    assert_eq!(tile(events).phase(), Phase::Starting);
}

#[test]
fn reason_stays_while_the_source_is_retried() {
    let mut tile = tile(live());
    tile.apply(TileEvent::Source(offline()), 10_000.0);
    let fault = tile.fault().unwrap();
    assert_eq!((fault.cause.title(), fault.since, fault.can_retry()), ("Camera not reachable", 10_000.0, false));
    assert_eq!(fault.retry, Retry::At { at: 14_000.0, by_page: false });
    tile.apply(TileEvent::Source(StreamState::Starting), 14_000.0);
    assert_eq!((tile.phase(), tile.fault().unwrap().retry), (Phase::Offline, Retry::Underway));
    assert_eq!(tile.message().unwrap(), "The camera yard cannot be reached.");
    tile.apply(TileEvent::Source(offline()), 15_000.0);
    let fault = tile.fault().unwrap();
    assert_eq!((fault.since, fault.tries), (10_000.0, 2));
    tile.apply(TileEvent::Ready(copy()), 20_000.0);
    assert_eq!((tile.phase(), tile.fault()), (Phase::Starting, None));
}

#[test]
fn only_retries_of_the_page_have_a_button() {
    let can =
        |events: &[TileEvent]| tile(live().into_iter().chain(events.iter().cloned())).fault().unwrap().can_retry();
    assert!(can(&[TileEvent::Lost { retry_ms: 2_000.0 }]));
    assert!(!can(&[TileEvent::Lost { retry_ms: 0.0 }]), "it is being tried");
    assert!(!can(&[TileEvent::Failed(Failure::Refused, "No.".into())]), "it is not tried again");
    assert!(can(&[TileEvent::Failed(Failure::Refused, "No.".into()), TileEvent::RetryPlanned(30_000.0)]));
    assert!(!can(&[TileEvent::Source(offline())]));
}

#[test]
fn outage_begins_at_the_last_live_frame() {
    let mut tile = tile(live());
    tile.apply(TileEvent::Stale(true), 1_000.0);
    tile.apply(TileEvent::Source(offline()), 4_000.0);
    tile.apply(TileEvent::Lost { retry_ms: 500.0 }, 9_000.0);
    assert_eq!((tile.phase(), tile.fault().unwrap().since), (Phase::Reconnecting, 1_000.0));
    tile.apply(TileEvent::ProtocolSelected(Protocol::Hls, "because".into()), 9_500.0);
    assert_eq!(tile.phase(), Phase::Reconnecting, "another protocol has yet to show that it works");
}

#[test]
fn labels_name_codec_variant_reason_size_and_rate() {
    let mut events = live();
    assert_eq!(tile(events.clone()).codec_label().unwrap(), "H.265 · untouched");
    assert_eq!(tile(events.clone()).video_label().unwrap(), "1920×1080");
    let transcoded = ready(Variant::H264, VariantReason::NotPlayable, "avc1.42C01F");
    events.push(TileEvent::Ready(transcoded));
    events.push(TileEvent::FrameRate(24.98));
    let label = "H.264 · transcoded — this browser cannot decode the camera's codec";
    assert_eq!(tile(events.clone()).codec_label().unwrap(), label);
    assert_eq!(tile(events.clone()).video_label().unwrap(), "1920×1080 · 25 fps");
    assert_eq!(tile(events.clone()).video_info.unwrap().codec, "avc1.42C01F");
    events.push(TileEvent::FellBack);
    assert!(tile(events).codec_label().unwrap().contains("failed to decode"));
}

#[test]
fn stale_frame_is_marked_with_its_age() {
    let mut events = live();
    assert_eq!(tile(events.clone()).age_label().unwrap(), "age unknown");
    events.push(TileEvent::Age(Some(143.2)));
    let now = tile(events.clone());
    assert_eq!((now.age_label().unwrap().as_str(), now.stale_frame_label()), ("0.14 s old", None));
    events.push(TileEvent::Lost { retry_ms: 500.0 });
    assert_eq!(tile(events.clone()).stale_frame_label(), None, "not yet");
    for (ms, words) in [(12_400.0, "12 seconds"), (150_000.0, "2 minutes"), (9e6, "2 hours")] {
        events.push(TileEvent::Age(Some(ms)));
        assert_eq!(tile(events.clone()).stale_frame_label().unwrap(), format!("This frame is {words} old."));
    }
    assert_eq!(tile(events).age_label(), None);
}

#[test]
fn every_failure_has_a_name() {
    let after = |event| {
        let mut events = live();
        events.push(event);
        tile(events).failure().map(Failure::as_str)
    };
    assert_eq!(tile(live()).failure(), None);
    assert_eq!(after(TileEvent::Lost { retry_ms: 0.0 }), Some("unreachable"));
    assert_eq!(after(TileEvent::Source(offline())), Some("offline"));
    assert_eq!(after(TileEvent::Stale(true)), Some("stalled"));
    assert_eq!(after(TileEvent::TapNeeded(true)), Some("autoplay-blocked"));
    assert_eq!(after(TileEvent::PlaybackFailed(Failure::Reclaimed)), Some("reclaimed"));
    assert_eq!(after(TileEvent::Failed(Failure::Undecodable, "No.".into())), Some("undecodable"));
    let mended = [TileEvent::PlaybackFailed(Failure::Stalled), TileEvent::Presented { first_frame_ms: None }];
    assert_eq!(tile(live().into_iter().chain(mended)).failure(), None);
}

#[test]
fn invisible_tile_is_paused_until_a_frame_after_its_return() {
    let mut events = live();
    let phases: Vec<_> = [
        TileEvent::VisibilityChanged(false),
        TileEvent::VisibilityChanged(true),
        TileEvent::Presented { first_frame_ms: None },
    ]
    .into_iter()
    .map(|event| {
        events.push(event);
        tile(events.clone()).phase()
    })
    .collect();
    assert_eq!(phases, [Phase::Paused, Phase::Starting, Phase::Live]);
}

#[test]
fn needed_tap_has_a_message() {
    let mut events = live();
    events.push(TileEvent::TapNeeded(true));
    let waiting = tile(events.clone());
    assert_eq!(waiting.phase(), Phase::Starting, "a still frame is not live");
    assert!(waiting.message().unwrap().contains("tap"));
    events.push(TileEvent::TapNeeded(false));
    assert_eq!(tile(events).phase(), Phase::Live);
}

#[test]
fn invalid_name_is_a_tile_with_its_error() {
    let tile = Tile::refused(&StreamName::try_from("a//b".to_owned()).unwrap_err());
    assert_eq!((tile.phase(), tile.stream.clone()), (Phase::Error, None));
    assert!(tile.message().unwrap().contains("a//b"));
}

#[test]
fn aspect_is_the_video_s_or_the_catalogue_s() {
    let mut listed = tile([]);
    assert_eq!(listed.aspect(), 16.0 / 9.0);
    let info = r#"{"name":"yard","state":{"state":"idle"},
        "variants":[{"variant":"copy","state":{"state":"idle"},"viewers":0,"size":{"width":720,"height":1280}}],"notes":["It has B-frames."]}"#;
    listed.list(&serde_json::from_str(info).unwrap());
    assert_eq!((listed.aspect(), listed.notes.len(), listed.title()), (0.5625, 1, listed.name.as_str()));
    let mut nothing = copy();
    nothing.tracks[0].size = Some(Size { width: 0, height: 0 });
    assert_eq!(tile([TileEvent::Ready(nothing)]).aspect(), 16.0 / 9.0);
}

#[test]
fn title_of_the_catalogue_replaces_the_name_until_it_goes() {
    let mut listed = tile([]);
    let name = listed.name.clone();
    let info = |more: &str| format!(r#"{{"name":"yard","state":{{"state":"idle"}},"variants":[]{more}}}"#);
    listed.list(&serde_json::from_str(&info(r#","title":"Front door","group":"House""#)).unwrap());
    assert_eq!((listed.title(), &listed.name), ("Front door", &name));
    listed.list(&serde_json::from_str(&info("")).unwrap());
    assert_eq!(listed.title(), name);
}

#[test]
fn player_change_keeps_the_phase_and_logs_the_reason() {
    let mut events = live();
    events.push(TileEvent::ProtocolSelected(Protocol::WebCodecs, "you chose it".into()));
    events.extend(live());
    events.push(TileEvent::PlayerSelected(Protocol::Mse, "WebCodecs failed: no decoder".into()));
    let mut tile = tile(events);
    tile.protocol = Protocol::WebCodecs;
    assert_eq!(tile.phase(), Phase::Live);
    assert!(tile.can_record() && tile.plays_by(Protocol::Mse));
    assert_eq!(tile.statistics()[0].1, "MSE — WebCodecs failed: no decoder");
    tile.apply(TileEvent::PlayerSelected(Protocol::WebCodecs, "it can".into()), 0.0);
    assert_eq!((tile.statistics()[0].1.as_str(), tile.can_record()), ("WebCodecs", true));
}

#[test]
fn statistics_have_units_and_mark_unknown_values() {
    let find = |tile: &Tile, name| {
        tile.statistics().into_iter().chain(tile.details()).find(|(known, _)| *known == name).unwrap().1
    };
    let unknown = tile([]);
    let figures = unknown.statistics().into_iter().filter(|(name, _)| *name != "Quality");
    assert!(figures.into_iter().all(|(_, value)| value == "–"), "{:?}", unknown.statistics());
    let sample = Sample { bits: 1.25e6, frames: 25.0, buffered: 0.18, decoded: 900, dropped: 2, ..Sample::default() };
    let mut events = live();
    events.extend([
        TileEvent::ProtocolSelected(Protocol::Mse, "because".into()),
        TileEvent::Age(Some(146.4)),
        TileEvent::Sample(sample),
    ]);
    let known = tile(events);
    for (name, value) in [
        ("Protocol", "MSE"),
        ("Codec", "hvc1.1.6.L123.90"),
        ("Variant", "copy"),
        ("Resolution", "1920×1080"),
        ("Frame rate", "25 fps"),
        ("Bit rate", "1.2 Mbit/s"),
        ("Latency", "146 ms"),
        ("Buffer", "180 ms"),
        ("Dropped", "2 of 900"),
        ("Round trip", "–"),
        ("First frame", "80 ms"),
    ] {
        assert_eq!(find(&known, name), value, "{name}");
    }
}

#[test]
fn events_are_logged_as_sentences() {
    let mut tile = tile([]);
    let mut lines = Vec::new();
    let more = [TileEvent::Source(offline()), TileEvent::Age(Some(1.0)), TileEvent::Note(Level::Error, "no".into())];
    for event in live().into_iter().chain(more) {
        tile.apply(event.clone(), 0.0);
        lines.extend(tile.log_line(&event));
    }
    let expected = [
        (Level::Info, "Connecting to the relay."),
        (Level::Info, "Connected."),
        (Level::Info, "The source is started."),
        (Level::Info, "Epoch 1: H.265 · untouched · 1920×1080 · hvc1.1.6.L123.90."),
        (Level::Info, "First frame after 80 ms."),
        (Level::Warning, "The camera yard cannot be reached. Trying again in 4 s."),
        (Level::Error, "No."),
    ];
    assert_eq!(lines.iter().map(|(level, text)| (*level, text.as_str())).collect::<Vec<_>>(), expected);
}

#[test]
fn statistics_name_the_quality_and_what_decided_it() {
    let mut tile = tile(live());
    let value = |tile: &Tile| tile.statistics().into_iter().find(|(name, _)| *name == "Quality").unwrap().1;
    assert_eq!(value(&Tile::new(name("yard"))), "Auto");
    assert_eq!(value(&tile), "Auto · main");
    let low = |why| TileEvent::Ready(ready(Variant::Low, why, "avc1.42C01F"));
    for (why, words) in [(VariantReason::SmallSize, "Auto · small tile"), (VariantReason::SlowLink, "Auto · slow link")]
    {
        tile.apply(low(why), 0.0);
        assert_eq!(value(&tile), words);
    }
    tile.quality = Quality::High;
    assert_eq!(value(&tile), "High · starting", "the main stream has no key frame yet");
    tile.apply(TileEvent::Ready(copy()), 0.0);
    assert_eq!(value(&tile), "High · main");
    tile.quality = Quality::Low;
    assert_eq!(value(&tile), "Low · starting");
    tile.apply(TileEvent::Reason(VariantReason::NoLow), 0.0);
    assert_eq!(value(&tile), "Low · no low");
    let label = tile.codec_label().unwrap();
    assert!(label.starts_with("H.265 · untouched — this stream has no low quality"), "{label}");
    let (_, line) = tile.log_line(&TileEvent::Reason(VariantReason::NoLow)).unwrap();
    assert!(line.starts_with("Quality Low: this stream has no low quality"), "{line}");
    tile.apply(low(VariantReason::Requested), 0.0);
    assert_eq!(value(&tile), "Low");
}

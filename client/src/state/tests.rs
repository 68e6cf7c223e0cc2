use super::*;
use sightline_protocol::message::{OfflineReason, Ready, Size, StreamState, Track, TrackKind, VariantReason};
use sightline_protocol::stream::Variant;

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
            size: Some(Size { width: 1920, height: 1080 }),
            frame_rate: None,
        }],
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

/// A page with one tile, to which `events` have happened.
fn tile(events: impl IntoIterator<Item = TileEvent>) -> Tile {
    let mut app = App::new(Request { streams: vec![Ok(name("yard"))], choice: VariantChoice::Auto });
    events.into_iter().for_each(|event| app.apply(Event::Tile(name("yard"), event)));
    app.tiles.remove(0)
}

fn live() -> Vec<TileEvent> {
    vec![
        TileEvent::Connecting,
        TileEvent::Connected,
        TileEvent::Source(StreamState::Starting),
        TileEvent::Ready { epoch: 1, ready: copy() },
        TileEvent::Presented { first_picture_ms: Some(80.0) },
    ]
}

#[test]
fn a_tile_is_live_only_once_a_frame_was_presented() {
    let phases: Vec<_> = (0..=5).map(|n| tile(live().into_iter().take(n)).phase()).collect();
    use Phase::{Connecting, Live, Starting};
    assert_eq!(phases, [Connecting, Connecting, Starting, Starting, Starting, Live]);
    assert_eq!(tile(live()).message(), None);
    assert_eq!(tile(live()).first_picture_ms, Some(80.0));
}

#[test]
fn a_picture_that_is_no_longer_renewed_is_not_called_live() {
    let mut events = live();
    events.push(TileEvent::Stale(true));
    let stalled = tile(events.clone());
    assert_eq!(stalled.phase(), Phase::Stalled);
    assert!(stalled.message().is_some());
    events.push(TileEvent::Stale(false));
    assert_eq!(tile(events).phase(), Phase::Live);
}

#[test]
fn a_new_epoch_is_not_live_before_its_own_first_frame() {
    let mut events = live();
    events.push(TileEvent::Ready { epoch: 2, ready: copy() });
    assert_eq!(tile(events.clone()).phase(), Phase::Starting);
    events.push(TileEvent::Presented { first_picture_ms: None });
    let tile = tile(events);
    assert_eq!((tile.phase(), tile.epoch, tile.first_picture_ms), (Phase::Live, 2, Some(80.0)));
}

#[test]
fn offline_says_why_and_when_it_is_tried_again() {
    let mut events = live();
    events.push(TileEvent::Source(offline()));
    let off = tile(events.clone());
    assert_eq!(off.phase(), Phase::Offline);
    assert_eq!(off.message().unwrap(), "The camera yard cannot be reached. Trying again in 4 s.");
    events.push(TileEvent::Source(StreamState::Live));
    assert_eq!(tile(events).phase(), Phase::Live, "the same epoch goes on");
}

#[test]
fn a_lost_connection_keeps_what_is_known_about_the_picture() {
    let mut events = live();
    events.push(TileEvent::Lost { retry_ms: 0.0 });
    let lost = tile(events.clone());
    assert_eq!(lost.phase(), Phase::Reconnecting);
    assert_eq!(lost.message().unwrap(), "The connection to the relay was lost. Trying again now.");
    assert!(lost.picture.is_some());
    events.push(TileEvent::Connecting);
    assert_eq!(tile(events.clone()).phase(), Phase::Reconnecting);
    events.push(TileEvent::Connected);
    assert_eq!(tile(events).phase(), Phase::Starting, "the last picture is not a live one");
}

#[test]
fn a_relay_that_never_answered_is_said_to_be_unreachable() {
    let tile = tile([TileEvent::Connecting, TileEvent::Lost { retry_ms: 2100.0 }]);
    assert_eq!(tile.message().unwrap(), "The relay cannot be reached. Trying again in 2 s.");
}

#[test]
fn a_failure_stays_until_something_works() {
    let mut events = live();
    events.push(TileEvent::Failed("No.".into()));
    events.push(TileEvent::Lost { retry_ms: 30_000.0 });
    let failed = tile(events.clone());
    assert_eq!((failed.phase(), failed.message().unwrap().as_str()), (Phase::Error, "No."));
    events.push(TileEvent::Connected);
    assert_eq!(tile(events).phase(), Phase::Starting);
}

#[test]
fn labels_name_codec_variant_reason_size_and_rate() {
    let mut events = live();
    assert_eq!(tile(events.clone()).codec_label().unwrap(), "H.265 · untouched");
    assert_eq!(tile(events.clone()).picture_label().unwrap(), "1920×1080");
    let transcoded = ready(Variant::H264, VariantReason::NotPlayable, "avc1.42C01F");
    events.push(TileEvent::Ready { epoch: 2, ready: transcoded });
    events.push(TileEvent::FrameRate(24.98));
    let label = "H.264 · transcoded — this browser cannot decode the camera's codec";
    assert_eq!(tile(events.clone()).codec_label().unwrap(), label);
    assert_eq!(tile(events.clone()).picture_label().unwrap(), "1920×1080 · 25 fps");
    assert_eq!(tile(events.clone()).picture.unwrap().codec, "avc1.42C01F");
    events.push(TileEvent::FellBack);
    assert!(tile(events).codec_label().unwrap().contains("failed to decode"));
}

#[test]
fn a_tap_is_asked_for_in_words() {
    let mut events = live();
    events.push(TileEvent::TapNeeded(true));
    let waiting = tile(events.clone());
    assert_eq!(waiting.phase(), Phase::Starting, "a picture that stands still is not live");
    assert!(waiting.message().unwrap().contains("tap"));
    events.push(TileEvent::TapNeeded(false));
    assert_eq!(tile(events).phase(), Phase::Live);
}

#[test]
fn the_catalogue_fills_a_page_that_names_no_streams() {
    let empty = Request { streams: Vec::new(), choice: VariantChoice::Auto };
    let catalogue = |names: &[&str]| {
        let streams: Vec<_> =
            names.iter().map(|n| format!(r#"{{"name":"{n}","state":{{"state":"idle"}},"variants":[]}}"#)).collect();
        let json = format!(r#"{{"version":"0.1.0","protocols":[],"streams":[{}]}}"#, streams.join(","));
        Event::Catalogue(serde_json::from_str(&json).unwrap())
    };
    let mut app = App::new(empty.clone());
    assert!(app.needs_catalogue());
    app.apply(Event::CatalogueFailed);
    assert!(app.notice.as_ref().unwrap().contains("cannot be reached"));
    app.apply(catalogue(&["cam0", "cam1"]));
    assert_eq!(app.tiles.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["cam0", "cam1"]);
    assert_eq!(app.notice, None);

    let mut app = App::new(empty);
    app.apply(catalogue(&[]));
    assert!(app.notice.unwrap().contains("[streams]"));
}

#[test]
fn a_name_that_is_none_is_a_tile_that_says_so() {
    let request = Request { streams: vec![StreamName::try_from("a/b".to_owned())], choice: VariantChoice::Auto };
    let app = App::new(request);
    let tile = &app.tiles[0];
    assert_eq!((tile.phase(), tile.stream.clone()), (Phase::Error, None));
    assert!(tile.message().unwrap().contains("a/b"));
}

use sightline_protocol::codec::Family;
use sightline_protocol::message::OfflineReason;
use sightline_protocol::stream::{Quality, VariantChoice};
use tokio::time::Instant;

use super::*;
use crate::egress::select::Choice;
use crate::egress::test_stream::{H264, H265, publish, start_epoch, stream, stream_with_sub, stream_without_low};

fn reader(stream: &Stream, wanted: Wanted) -> VariantReader {
    let copy = stream.subscribe(Variant::Copy, Protocol::Mse);
    let mut reader = VariantReader::new(stream.clone(), Protocol::Mse, copy, wanted);
    assert_eq!(reader.poll(true), Some(VideoEvent::Status(Status::Idle)), "it begins with the status");
    reader
}

fn plays_h264(choice: VariantChoice) -> Wanted {
    Wanted::Choice(Choice::new(choice, Quality::Auto), vec![H264.parse().unwrap()])
}

fn in_quality(quality: Quality) -> Wanted {
    Wanted::Choice(Choice::new(VariantChoice::Auto, quality), vec![H264.parse().unwrap()])
}

/// A camera that a viewer plays untouched, after its first frame.
fn running() -> (Stream, VariantReader) {
    let stream = stream();
    let reader = reader(&stream, plays_h264(VariantChoice::Auto));
    start_epoch(&stream, Variant::Copy, H264, false);
    publish(&stream, Variant::Copy, 0, true);
    (stream, reader)
}

/// All events in short: status, epoch, the decode time of a frame.
fn events(reader: &mut VariantReader, may_send: bool) -> Vec<String> {
    let mut events = Vec::new();
    while let Some(event) = reader.poll(may_send) {
        events.push(match event {
            VideoEvent::Epoch(_) => format!("epoch of {}", reader.variant()),
            VideoEvent::Frame(frame) => frame.head.decode_time.to_string(),
            VideoEvent::Gap(frames) => format!("gap of {frames}"),
            VideoEvent::Status(Status::Offline { .. }) => "offline".to_owned(),
            VideoEvent::Status(status) => format!("{status:?}").to_lowercase(),
        });
    }
    events
}

#[test]
fn unplayable_camera_is_replaced_before_its_epoch() {
    let stream = stream();
    let mut reader = reader(&stream, plays_h264(VariantChoice::Auto));
    start_epoch(&stream, Variant::Copy, H265, false);
    publish(&stream, Variant::Copy, 0, true);
    assert_eq!(events(&mut reader, true), ["idle"], "the status of `h264`");
    assert_eq!((reader.variant(), reader.why), (Variant::H264, VariantReason::NotPlayable));
    start_epoch(&stream, Variant::H264, H264, false);
    publish(&stream, Variant::H264, 0, true);
    assert_eq!(events(&mut reader, true), ["epoch of h264", "0", "live"]);
}

#[test]
fn previous_variant_continues_until_the_next_has_a_key_frame() {
    let (stream, mut reader) = running();
    assert_eq!(events(&mut reader, true), ["epoch of copy", "0", "live"]);
    reader.choose(true);
    publish(&stream, Variant::Copy, 40, false);
    start_epoch(&stream, Variant::Low, H264, false);
    publish(&stream, Variant::Low, 0, false);
    assert_eq!(events(&mut reader, true), ["40"]);
    publish(&stream, Variant::Low, 40, true);
    assert_eq!(events(&mut reader, true), ["live", "epoch of low", "40"]);
    // A step up would send the GOP so far at once.
    reader.choose(false);
    assert_eq!(events(&mut reader, true), [""; 0]);
    publish(&stream, Variant::Copy, 80, true);
    assert_eq!(events(&mut reader, true), ["live", "epoch of copy", "80"]);
}

#[test]
fn failure_of_the_next_variant_is_yielded() {
    let (stream, mut reader) = running();
    events(&mut reader, true);
    reader.choose(true);
    let (reason, message) = (OfflineReason::Failed, "no encoder".into());
    stream.rendition(Variant::Low).fail(Status::Offline { reason, message, retry_at: Instant::now() });
    publish(&stream, Variant::Copy, 40, false);
    assert_eq!(events(&mut reader, true), ["40", "offline"]);
}

#[test]
fn viewer_without_permission_gets_status_only() {
    let (_, mut reader) = running();
    assert_eq!(events(&mut reader, false), ["live"]);
    assert_eq!(events(&mut reader, true), ["epoch of copy", "0"]);
}

#[test]
fn new_camera_format_changes_the_variant_at_once() {
    let (stream, mut reader) = running();
    events(&mut reader, true);
    start_epoch(&stream, Variant::Copy, H264, true);
    publish(&stream, Variant::Copy, 0, true);
    assert_eq!(events(&mut reader, true), ["idle"]);
    assert_eq!((reader.variant(), reader.why), (Variant::H264, VariantReason::BFrames));
}

#[test]
fn family_selects_copy_whatever_its_order() {
    for (family, codec, variant) in [
        (None, H265, Variant::Copy),
        (Some(Family::H264), H264, Variant::Copy),
        (Some(Family::H264), H265, Variant::H264),
    ] {
        let stream = stream();
        let mut reader = reader(&stream, Wanted::Family(family, Quality::Auto));
        start_epoch(&stream, Variant::Copy, codec, true);
        publish(&stream, Variant::Copy, 0, true);
        events(&mut reader, true);
        assert_eq!(reader.variant(), variant, "{family:?} of {codec}");
    }
}

#[tokio::test]
async fn waiting_reader_is_woken_by_the_next_variant() {
    for may_send in [true, false] {
        let (stream, mut reader) = running();
        events(&mut reader, true);
        reader.choose(true);
        let encoder = async {
            // The reader waits by now.
            tokio::task::yield_now().await;
            start_epoch(&stream, Variant::Low, H264, false);
            publish(&stream, Variant::Low, 0, true);
        };
        let (event, ()) = tokio::join!(reader.next(may_send), encoder);
        assert_eq!((event, reader.variant()), (VideoEvent::Status(Status::Live), Variant::Low));
    }
}

/// The size of every stream of these tests, in pixels; a tile of that size is small.
const SMALL: Size = Size { width: 16, height: 16 };
const LARGE: Size = Size { width: 64, height: 64 };

/// A viewer of a small tile, which starts with the sub stream.
fn small_tile(sub: &str, wanted: Wanted) -> (Stream, VariantReader) {
    let stream = stream_with_sub();
    assert_eq!(first_variant(&stream, &wanted, Some(SMALL)), Variant::Low);
    let first = stream.subscribe(Variant::Low, Protocol::Mse);
    let mut reader = VariantReader::new(stream.clone(), Protocol::Mse, first, wanted);
    reader.set_shown(Some(SMALL));
    reader.follow(false, true);
    start_epoch(&stream, Variant::Low, sub, false);
    publish(&stream, Variant::Low, 0, true);
    (stream, reader)
}

#[test]
fn small_tile_gets_the_sub_stream_and_a_large_one_the_main_stream() {
    let (stream, mut reader) = small_tile(H264, plays_h264(VariantChoice::Auto));
    assert_eq!(events(&mut reader, true), ["idle", "epoch of low", "0", "live"]);
    assert_eq!(reader.why, VariantReason::SmallSize);
    assert!(!stream.rendition(Variant::Copy).subscribers().borrow().any(), "the main stream is not read");
    assert!(!reader.may_choose_low());

    reader.set_shown(Some(LARGE));
    reader.follow(false, true);
    publish(&stream, Variant::Low, 40, false);
    start_epoch(&stream, Variant::Copy, H264, false);
    assert_eq!(events(&mut reader, true), ["40"], "the sub stream continues until the main stream has a key frame");
    publish(&stream, Variant::Copy, 0, true);
    assert_eq!(events(&mut reader, true), ["live", "epoch of copy", "0"]);
    assert!(reader.may_choose_low(), "for a slow link");

    reader.set_shown(Some(SMALL));
    reader.follow(false, true);
    assert_eq!(events(&mut reader, true), ["live", "epoch of low", "0", "40"]);
    assert!(!stream.rendition(Variant::Copy).subscribers().borrow().any());
}

#[test]
fn sub_stream_that_the_viewer_does_not_play_gives_way() {
    let (stream, mut reader) = small_tile(H265, plays_h264(VariantChoice::Auto));
    start_epoch(&stream, Variant::Copy, H264, false);
    publish(&stream, Variant::Copy, 0, true);
    assert_eq!(events(&mut reader, true), ["idle", "live", "epoch of copy", "0"]);
    reader.follow(false, true);
    assert_eq!((events(&mut reader, true), reader.may_choose_low()), (vec![], false), "it is not tried again");
    let again = first_variant(&stream, &plays_h264(VariantChoice::Auto), Some(SMALL));
    assert_eq!(again, Variant::Copy, "nor by the next viewer");

    let stream = stream_with_sub();
    let mut reader = self::reader(&stream, plays_h264(VariantChoice::Low));
    start_epoch(&stream, Variant::Copy, H264, false);
    publish(&stream, Variant::Copy, 0, true);
    start_epoch(&stream, Variant::Low, H264, true);
    publish(&stream, Variant::Low, 0, true);
    assert_eq!(events(&mut reader, true), ["live", "live", "epoch of copy", "0"], "B-frames, requested by name");
}

#[test]
fn sub_stream_replaces_only_the_automatic_choice() {
    let stream = stream_with_sub();
    let first = |wanted, shown| first_variant(&stream, &wanted, shown);
    assert_eq!(first(plays_h264(VariantChoice::Auto), None), Variant::Copy, "a client that says no size");
    assert_eq!(first(plays_h264(VariantChoice::Copy), Some(SMALL)), Variant::Copy);
    assert_eq!(first(Wanted::Family(None, Quality::Auto), Some(SMALL)), Variant::Copy, "the plain dialect");
    assert_eq!(first_variant(&self::stream(), &plays_h264(VariantChoice::Auto), Some(SMALL)), Variant::Copy);
    let (reason, message) = (OfflineReason::Failed, "it is off".into());
    stream.rendition(Variant::Low).fail(Status::Offline { reason, message, retry_at: Instant::now() });
    assert_eq!(first(plays_h264(VariantChoice::Auto), Some(SMALL)), Variant::Copy);
}

#[test]
fn quality_low_starts_with_the_sub_stream_and_keeps_it() {
    for (wanted, shown) in [
        (in_quality(Quality::Low), Some(LARGE)),
        (in_quality(Quality::Low), None),
        (plays_h264(VariantChoice::Low), Some(LARGE)),
        (Wanted::Family(None, Quality::Low), None),
    ] {
        let stream = stream_with_sub();
        assert_eq!(first_variant(&stream, &wanted, shown), Variant::Low, "{wanted:?}");
        let first = stream.subscribe(Variant::Low, Protocol::Mse);
        let mut reader = VariantReader::new(stream.clone(), Protocol::Mse, first, wanted.clone());
        reader.set_shown(shown);
        reader.follow(false, true);
        start_epoch(&stream, Variant::Low, H264, false);
        publish(&stream, Variant::Low, 0, true);
        assert_eq!(events(&mut reader, true), ["idle", "epoch of low", "0", "live"], "{wanted:?}");
        assert_eq!((reader.why, reader.expected_variant()), (VariantReason::Requested, Some(Variant::Low)));
        assert!(!stream.rendition(Variant::Copy).subscribers().borrow().any(), "the main stream is not read");
    }
    let stream = stream();
    assert_eq!(first_variant(&stream, &in_quality(Quality::Low), None), Variant::Copy, "the source of the transcode");
}

#[test]
fn quality_changes_at_a_key_frame_and_high_ignores_size_and_link() {
    let (stream, mut reader) = small_tile(H264, in_quality(Quality::Auto));
    events(&mut reader, true);
    reader.want(in_quality(Quality::High));
    reader.follow(false, true);
    publish(&stream, Variant::Low, 40, false);
    start_epoch(&stream, Variant::Copy, H264, false);
    assert_eq!(events(&mut reader, true), ["40"], "until the main stream has a key frame");
    assert_eq!(reader.settled_reason(), None);
    publish(&stream, Variant::Copy, 0, true);
    assert_eq!(events(&mut reader, true), ["live", "epoch of copy", "0"]);
    assert_eq!((reader.settled_reason(), reader.may_choose_low()), (Some(VariantReason::Untouched), false));
    reader.want(in_quality(Quality::Low));
    reader.follow(false, true);
    assert_eq!(events(&mut reader, true), ["live", "epoch of low", "0", "40"]);
    reader.want(in_quality(Quality::Auto));
    reader.follow(false, true);
    assert_eq!((events(&mut reader, true), reader.why), (vec![], VariantReason::SmallSize), "the same variant");
    assert!(!stream.rendition(Variant::Copy).subscribers().borrow().any(), "nor is the main stream started");
}

#[test]
fn missing_low_quality_is_replaced_with_its_reason() {
    for (wanted, why) in [
        (in_quality(Quality::Low), VariantReason::NoLow),
        // Clients that know no quality know no such reason.
        (plays_h264(VariantChoice::Low), VariantReason::Untouched),
    ] {
        let without = stream_without_low();
        let mut reader = reader(&without, wanted);
        start_epoch(&without, Variant::Copy, H264, false);
        publish(&without, Variant::Copy, 0, true);
        events(&mut reader, true);
        assert_eq!((reader.variant(), reader.why), (Variant::Copy, why));
    }
    let (stream, mut reader) = small_tile(H265, in_quality(Quality::Low));
    start_epoch(&stream, Variant::Copy, H264, false);
    publish(&stream, Variant::Copy, 0, true);
    assert_eq!(events(&mut reader, true), ["idle", "live", "epoch of copy", "0"]);
    assert_eq!(reader.why, VariantReason::LowNotPlayable);
}

#[test]
fn choice_taken_back_yields_the_status_of_what_is_sent() {
    let (stream, mut reader) = running();
    events(&mut reader, true);
    let (reason, message) = (OfflineReason::Failed, "no encoder".into());
    stream.rendition(Variant::Low).fail(Status::Offline { reason, message, retry_at: Instant::now() });
    reader.want(in_quality(Quality::Low));
    reader.follow(false, true);
    assert_eq!(events(&mut reader, true), ["offline"]);
    reader.want(in_quality(Quality::Auto));
    reader.follow(false, true);
    assert_eq!(events(&mut reader, true), ["live"]);
}

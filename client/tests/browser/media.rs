//! MediaSource, SourceBuffer and video, without the player.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use sightline_client::browser::bytes::join;
use sightline_client::browser::media_source::{Kind, MediaSource, MediaSourceEvent};
use sightline_client::browser::source_buffer::SourceBuffer;
use sightline_client::browser::video::{self, FrameWatch};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::fixture::{MIME, Video, buffer, sleep, stream, until};

/// An open media source with a SourceBuffer that contains the init segment.
async fn opened(video: &Video) -> (MediaSource, SourceBuffer) {
    let events = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&events);
    let source =
        MediaSource::attach(Kind::available().unwrap(), &video.0, move |event| log.borrow_mut().push(event)).unwrap();
    assert!(!source.is_open());
    until("sourceopen", || events.borrow().contains(&MediaSourceEvent::Open)).await;
    assert!(source.is_open() && source.wants_data());
    let track = source.add_source_buffer(MIME, |_| {}).unwrap();
    append(&track, &[&stream().0]).await;
    (source, track)
}

async fn append(track: &SourceBuffer, parts: &[&[u8]]) {
    track.append(&join(parts.iter().map(|part| buffer(part)).collect())).unwrap();
    until("updateend", || !track.updating()).await;
}

fn end(video: &Video) -> f64 {
    video::buffered(&video.0).last().map_or(0.0, |range| range.end)
}

#[wasm_bindgen_test]
async fn joined_fragments_are_buffered_as_one_range() {
    let video = Video::new();
    let (_source, track) = opened(&video).await;
    assert!(video::buffered(&video.0).is_empty());
    let (_, fragments) = stream();
    let parts: Vec<&[u8]> = fragments.iter().map(Vec::as_slice).collect();
    append(&track, &parts[..1]).await;
    assert!((end(&video) - 0.04).abs() < 0.01, "{}", end(&video));
    append(&track, &parts[1..]).await;
    let ranges = video::buffered(&video.0);
    assert_eq!(ranges.len(), 1, "{ranges:?}");
    assert!((ranges[0].end - 2.0).abs() < 0.01, "{ranges:?}");
}

#[wasm_bindgen_test]
async fn timestamp_offset_moves_appended_media() {
    let video = Video::new();
    let (_source, track) = opened(&video).await;
    track.set_timestamp_offset(5.0).unwrap();
    append(&track, &[&stream().1[0]]).await;
    let start = video::buffered(&video.0)[0].start;
    assert!((start - 5.0).abs() < 0.01, "{start}");
}

#[wasm_bindgen_test]
async fn removing_up_to_just_before_a_key_frame_keeps_its_gop() {
    let video = Video::new();
    let (_source, track) = opened(&video).await;
    let (_, fragments) = stream();
    append(&track, &fragments.iter().map(Vec::as_slice).collect::<Vec<_>>()).await;
    track.remove_before(0.999).unwrap();
    until("updateend", || !track.updating()).await;
    let ranges = video::buffered(&video.0);
    assert!((ranges[0].start - 1.0).abs() < 0.01 && (ranges[0].end - 2.0).abs() < 0.01, "{ranges:?}");
}

#[wasm_bindgen_test]
async fn concurrent_operation_is_an_error() {
    let video = Video::new();
    let (_source, track) = opened(&video).await;
    let (_, fragments) = stream();
    track.append(&buffer(&fragments[0])).unwrap();
    assert!(track.updating());
    assert!(track.append(&buffer(&fragments[1])).is_err());
    assert!(track.remove_before(1.0).is_err());
    assert!(track.set_timestamp_offset(1.0).is_err());
    assert!(track.change_type(MIME).is_err());
}

#[wasm_bindgen_test]
async fn unsupported_type_is_an_error() {
    let video = Video::new();
    let (source, track) = opened(&video).await;
    assert!(source.add_source_buffer("video/mp4; codecs=\"none\"", |_| {}).is_err());
    assert!(track.change_type("video/mp4; codecs=\"none\"").is_err());
}

#[wasm_bindgen_test]
async fn second_media_source_closes_the_first() {
    let video = Video::new();
    let (first, _track) = opened(&video).await;
    let (_second, _) = opened(&video).await;
    assert!(!first.is_open());
}

#[wasm_bindgen_test]
async fn presented_frames_are_reported_until_the_watch_is_dropped() {
    let video = Video::new();
    let (_source, track) = opened(&video).await;
    let times = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&times);
    let watch = FrameWatch::new(&video.0, move |time| log.borrow_mut().push(time)).expect("requestVideoFrameCallback");
    let (_, fragments) = stream();
    append(&track, &fragments.iter().map(Vec::as_slice).collect::<Vec<_>>()).await;
    let played = Rc::new(Cell::new(None));
    let result = Rc::clone(&played);
    video::play(&video.0, move |outcome| result.set(Some(outcome.is_ok())));
    until("two frames", || times.borrow().len() >= 2).await;
    assert_eq!(played.get(), Some(true));
    drop(watch);
    let seen = times.borrow().len();
    assert!(times.borrow().is_sorted_by_key(|frame| frame.position));
    sleep(200).await;
    assert_eq!(times.borrow().len(), seen);
    assert_eq!(Rc::strong_count(&times), 1, "its callback is freed");
    video::release(&video.0);
    until("the video to be empty", || video::buffered(&video.0).is_empty()).await;
}

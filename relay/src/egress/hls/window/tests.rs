use proptest::prelude::*;
use sightline_protocol::codec::VideoCodec;
use sightline_protocol::fragment::{FragmentHead, NtpTime};

use super::*;
use crate::fmp4::init::{PictureOrder, TrackCodec};

/// The number of the first segment.
pub(in crate::egress::hls) const FIRST: u64 = 1000;
/// When the first frame was captured.
pub(in crate::egress::hls) const START: f64 = 1_795_617_767.0;
/// Frames a second; decode times count frames.
const RATE: u32 = 25;
const FRAME: f64 = 0.04;
const GOP: usize = 25;
const LIMIT: usize = 1 << 20;

pub(in crate::egress::hls) fn init() -> Arc<InitSegment> {
    Arc::new(InitSegment {
        bytes: Bytes::from_static(b"init"),
        codec: TrackCodec::Video(VideoCodec::Avc { profile: 66, constraints: 0, level: 30 }),
        timescale: RATE,
        order: PictureOrder::default(),
        size: None,
        timeline: 1,
    })
}

fn fragment(duration: u64, keyframe: bool, captured: f64, len: usize) -> Fragment {
    let head = FragmentHead {
        track_id: 1,
        decode_time: 0,
        duration,
        samples: 1,
        keyframe,
        composition_offset: 0,
        capture: Some(NtpTime::from_unix(captured)),
    };
    Fragment { bytes: vec![0; len].as_slice().into(), head }
}

/// So many frames of GOPs of a second, the first captured so many seconds after [`START`].
pub(in crate::egress::hls) fn fragments(frames: usize, after: f64) -> impl Iterator<Item = Fragment> {
    (0..frames).map(move |n| fragment(1, n % GOP == 0, START + after + n as f64 * FRAME, 10))
}

/// Pushes `frames` frames of 10 bytes, a key frame every `gop`, the first captured at `start`.
pub(in crate::egress::hls) fn push(window: &mut Window, frames: usize, gop: usize, start: f64) {
    for n in 0..frames {
        window.push(fragment(1, n % gop == 0, start + n as f64 * FRAME, 10), 0.0);
    }
}

pub(in crate::egress::hls) fn empty() -> Window {
    let mut window = Window::new(LIMIT, Numbers { msn: FIRST, discontinuity: 7 });
    window.start_epoch(init());
    window
}

/// A window after `frames` frames of GOPs of a second.
pub(in crate::egress::hls) fn filled(frames: usize) -> Window {
    let mut window = empty();
    push(&mut window, frames, GOP, START);
    window
}

fn numbers(window: &Window) -> Vec<u64> {
    window.listed().map(|segment| segment.msn).collect()
}

fn durations(window: &Window) -> Vec<f64> {
    window.listed().map(|segment| (segment.duration * 1e3).round() / 1e3).collect()
}

#[test]
fn a_segment_is_a_gop_and_a_part_five_frames_of_it() {
    let window = filled(60);
    assert_eq!(numbers(&window), [FIRST, FIRST + 1]);
    assert_eq!(durations(&window), [1.0, 1.0]);
    for segment in window.listed() {
        assert_eq!(segment.parts.iter().map(|part| part.fragments.len()).collect::<Vec<_>>(), [5; 5]);
        let independent: Vec<bool> = segment.parts.iter().map(|part| part.independent).collect();
        assert_eq!(independent, [true, false, false, false, false]);
    }
    assert_eq!(window.edge(), (FIRST + 2, 2));
    assert_eq!(window.shape(), Some(Shape { target_duration: 2, part_target: 0.216 }));
}

#[test]
fn nothing_is_listed_before_a_segment_is_complete() {
    assert_eq!(filled(25).shape(), None);
    assert_eq!(filled(26).listed().count(), 1);
}

#[test]
fn short_gops_are_joined_and_uneven_ones_are_not() {
    let mut every_frame = empty();
    push(&mut every_frame, 100, 1, START);
    assert_eq!(durations(&every_frame), [0.92, 0.92, 0.92, 0.92]);
    let mut uneven = empty();
    for gop in [24, 25, 23, 26, 25, 25] {
        push(&mut uneven, gop, gop, START);
    }
    assert_eq!(durations(&uneven), [0.96, 1.0, 0.92, 1.04, 1.0]);
}

#[test]
fn a_long_first_segment_is_played_by_its_parts_before_it_ends() {
    let mut window = empty();
    push(&mut window, 124, 250, START);
    assert_eq!(window.shape(), None);
    window.push(fragment(1, false, START + 124.0 * FRAME, 10), 0.0);
    assert_eq!(window.shape().map(|shape| shape.target_duration), Some(10));
    let gap = window.listed().next().expect("a segment");
    assert!(gap.gap && gap.duration == 1.0 && (gap.end() - START).abs() < 1e-6, "{gap:?}");
    assert_eq!(window.edge(), (FIRST + 1, 25));
    assert_eq!(window.segment(FIRST), Found::Here(Vec::new()), "a player that does not know gaps goes on");
}

#[test]
fn a_gop_without_end_is_cut() {
    let mut window = empty();
    push(&mut window, 25 * 40, 25 * 1000, START);
    assert_eq!(durations(&window), [1.0, 12.0, 12.0, 12.0]);
    assert_eq!(window.listed().map(|segment| segment.independent).collect::<Vec<_>>(), [true, true, false, false]);
    assert_eq!(window.shape().map(|shape| shape.target_duration), Some(12), "the promise is kept from then on");
}

#[test]
fn the_next_part_is_foretold() {
    assert_eq!(filled(60).hint(), (FIRST + 2, 2));
    assert_eq!(filled(25 + 24).hint(), (FIRST + 1, 4));
    assert_eq!(filled(25 + 25).hint(), (FIRST + 2, 0), "as long as the one before, and so complete");
}

#[test]
fn names_stand_for_what_is_there_was_there_or_comes_next() {
    let window = filled(25 * 20 + 10);
    let oldest = FIRST + 4;
    assert_eq!(window.segment(oldest - 1), Found::Gone);
    assert_eq!(window.part(oldest - 1, 0), Found::Gone);
    assert!(matches!(window.segment(oldest), Found::Here(bytes) if bytes.len() == GOP));
    assert!(matches!(window.part(oldest, 4), Found::Here(bytes) if bytes.len() == 5));
    assert_eq!(window.part(oldest, 5), Found::Never);
    let open = FIRST + 20;
    assert_eq!(window.segment(open), Found::Never);
    assert!(matches!(window.part(open, 1), Found::Here(_)));
    assert_eq!(window.part(open, 2), Found::Soon);
    assert_eq!(window.part(open, 3), Found::Never);
    assert_eq!(window.part(open + 1, 0), Found::Soon);
    assert_eq!(window.part(open + 1, 1), Found::Never);
    assert_eq!(window.map(FIRST), Some(&Bytes::from_static(b"init")));
    assert_eq!(window.map(FIRST + 1), None);
}

#[test]
fn a_list_of_seven_target_durations_and_one_more_to_be_had() {
    let window = filled(25 * 40 + 10);
    assert_eq!(numbers(&window), (FIRST + 26..FIRST + 40).collect::<Vec<_>>());
    assert_eq!(window.segment(FIRST + 23), Found::Gone);
    assert!(matches!(window.segment(FIRST + 24), Found::Here(_)));
}

#[test]
fn a_new_epoch_is_a_discontinuity_and_the_time_between_a_gap() {
    let mut window = filled(60);
    let end = START + 60.0 * FRAME;
    window.start_epoch(init());
    assert_eq!(window.edge(), (FIRST + 3, 0), "what there was is a segment");
    push(&mut window, 30, GOP, end + 3.0);
    let listed: Vec<_> = window.listed().map(|segment| (segment.gap, segment.discontinuity)).collect();
    assert_eq!(listed, [(false, false), (false, false), (false, false), (true, false), (true, false), (false, true)]);
    assert_eq!(durations(&window), [1.0, 1.0, 0.4, 1.5, 1.5, 1.0]);
    assert_eq!(window.listed().last().map(|last| (last.map.id, last.discontinuity_sequence)), Some((FIRST + 5, 8)));
    assert!(window.map(FIRST).is_some() && window.map(FIRST + 5).is_some());
}

#[test]
fn an_outage_longer_than_the_list_leaves_its_end() {
    let mut window = filled(60);
    window.start_epoch(init());
    push(&mut window, 10, GOP, START + 60.0);
    let gap = window.listed().next().expect("a list without a segment is none");
    assert!(gap.gap && (gap.end() - START - 60.0).abs() < 1e-6, "{gap:?}");
    push(&mut window, 30, GOP, START + 60.4);
    assert_eq!(numbers(&window), [FIRST + 3, FIRST + 4]);
    let last = window.listed().last().expect("a segment");
    assert_eq!((last.discontinuity, last.discontinuity_sequence), (true, 8));
    assert_eq!(window.segment(FIRST), Found::Gone);
}

#[test]
fn lost_fragments_are_a_gap_and_no_discontinuity() {
    let mut window = filled(60);
    window.lost();
    push(&mut window, 30, GOP, START + 60.0 * FRAME + 1.0);
    let listed: Vec<_> = window.listed().map(|segment| (segment.gap, segment.discontinuity)).collect();
    assert_eq!(listed, [(false, false), (false, false), (false, false), (true, false), (false, false)]);
}

#[test]
fn what_is_too_much_goes_and_one_segment_stays() {
    let mut window = Window::new(1000, Numbers::default());
    window.start_epoch(init());
    for n in 0..25 * 10 {
        window.push(fragment(1, n % GOP == 0, START, 20), 0.0);
    }
    assert_eq!(window.listed().count(), 1, "two segments of 500 bytes are the limit, and one is growing");
    // An encoder without a limit: a segment is ended where it is half of what is allowed.
    for n in 0..100 {
        window.push(fragment(1, n == 0, START, 100), 0.0);
        let bytes: usize = window.segments.iter().chain(&window.open).map(|segment| segment.bytes).sum();
        assert!(bytes <= 1000 + 2 * 500, "{bytes} bytes");
    }
}

#[test]
fn a_window_that_comes_later_begins_with_higher_numbers() {
    let window = filled(60);
    assert_eq!(window.numbers(), Numbers { msn: FIRST + 3, discontinuity: 8 });
    assert_eq!(filled(0).numbers(), Numbers { msn: FIRST, discontinuity: 8 });
}

proptest! {
    #[test]
    fn whatever_comes_the_list_keeps_its_promises(
        frames in prop::collection::vec((0u64..9, prop::bool::weighted(0.1), 0u8..100), 1..800),
    ) {
        let mut window = empty();
        let (mut now, mut before) = (START, (0, 0));
        for (duration, keyframe, event) in frames {
            match event {
                0 => window.start_epoch(init()),
                1 => window.lost(),
                2 => now += 7.0,
                _ => {}
            }
            window.push(fragment(duration, keyframe || event < 2, now, 10), 0.0);
            now += duration as f64 * FRAME;
            let Some(shape) = window.shape() else { continue };
            let listed: Vec<_> = window.listed().collect();
            prop_assert!(!listed.is_empty());
            prop_assert!(window.edge() >= before, "{:?} after {before:?}", window.edge());
            before = window.edge();
            for (segment, next) in listed.iter().zip(&listed[1..]) {
                prop_assert_eq!(segment.msn + 1, next.msn);
                let step = u64::from(next.discontinuity);
                prop_assert_eq!(segment.discontinuity_sequence + step, next.discontinuity_sequence);
                prop_assert_eq!(segment.map.id != next.map.id, next.discontinuity);
            }
            for segment in &listed {
                prop_assert!(segment.duration.round() <= f64::from(shape.target_duration));
                prop_assert!(matches!(window.segment(segment.msn), Found::Here(_)));
                prop_assert!(window.map(segment.map.id).is_some());
            }
        }
    }
}

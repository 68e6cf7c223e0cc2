use proptest::prelude::*;
use sightline_media::fmp4::init::{Reordering, TrackCodec};
use sightline_protocol::codec::VideoCodec;
use sightline_protocol::fragment::{FragmentHead, NtpTime};

use super::*;

/// The number of the first segment.
pub(in crate::egress::hls) const FIRST: u64 = 1000;
/// Capture time of the first frame.
pub(in crate::egress::hls) const START: f64 = 1_795_617_767.0;
/// Frames per second; decode times count frames.
const RATE: u32 = 25;
const FRAME: f64 = 0.04;
const GOP: usize = 25;
const LIMIT: usize = 1 << 20;

pub(in crate::egress::hls) fn init() -> Arc<InitSegment> {
    Arc::new(InitSegment {
        bytes: Bytes::from_static(b"init"),
        codec: TrackCodec::Video(VideoCodec::Avc { profile: 66, constraints: 0, level: 30 }),
        timescale: RATE,
        reordering: Reordering::default(),
        size: None,
        timeline: 1,
    })
}

fn fragment(duration: u64, keyframe: bool, captured: f64, len: usize) -> Fragment {
    let Fragment { bytes, head, .. } = frame(0, keyframe, captured, len);
    Fragment::new(&bytes, FragmentHead { duration, ..head })
}

/// A frame with this decode time.
pub(in crate::egress::hls) fn frame(decode_time: u64, keyframe: bool, captured: f64, len: usize) -> Fragment {
    let head = FragmentHead {
        track_id: 1,
        decode_time,
        duration: 1,
        samples: 1,
        keyframe,
        composition_offset: 0,
        capture: Some(NtpTime::from_unix(captured)),
    };
    Fragment::new(&vec![0; len], head)
}

/// `frames` frames in GOPs of a second, the first captured `after` seconds after [`START`].
pub(in crate::egress::hls) fn fragments(frames: usize, after: f64) -> impl Iterator<Item = Fragment> {
    (0..frames).map(move |n| fragment(1, n % GOP == 0, START + after + n as f64 * FRAME, 10))
}

/// Pushes `frames` frames of 10 bytes, a key frame every `gop`, the first captured at `start`.
pub(in crate::egress::hls) fn push(window: &mut Window, frames: usize, gop: usize, start: f64) {
    for n in 0..frames {
        window.push(fragment(1, n % gop == 0, start + n as f64 * FRAME, 10), 0.0, |_| Lead::None);
    }
}

pub(in crate::egress::hls) fn empty() -> Window {
    let mut window = Window::new(LIMIT, SequenceNumbers { msn: FIRST, discontinuity: 7 });
    window.start_epoch(init());
    window
}

/// A window after `frames` frames in GOPs of a second.
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
fn segment_is_one_gop_and_part_is_five_frames() {
    let window = filled(60);
    assert_eq!(numbers(&window), [FIRST, FIRST + 1]);
    assert_eq!(durations(&window), [1.0, 1.0]);
    for segment in window.listed() {
        assert_eq!(segment.parts.iter().map(|part| part.fragments.len()).collect::<Vec<_>>(), [5; 5]);
        let independent: Vec<bool> = segment.parts.iter().map(|part| part.independent).collect();
        assert_eq!(independent, [true, false, false, false, false]);
    }
    assert_eq!(window.edge(), (FIRST + 2, 2));
    assert_eq!(window.durations(), Some(TargetDurations { target_duration: 2, part_target: 0.216 }));
}

#[test]
fn nothing_is_listed_before_a_segment_is_complete() {
    assert_eq!(filled(25).durations(), None);
    assert_eq!(filled(26).listed().count(), 1);
}

#[test]
fn short_gops_share_a_segment_and_uneven_gops_do_not() {
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
fn long_first_segment_is_listed_by_its_parts() {
    let mut window = empty();
    push(&mut window, 124, 250, START);
    assert_eq!(window.durations(), None);
    window.push(fragment(1, false, START + 124.0 * FRAME, 10), 0.0, |_| Lead::None);
    assert_eq!(window.durations().map(|durations| durations.target_duration), Some(10));
    let gap = window.listed().next().expect("a segment");
    assert!(gap.gap && gap.duration == 1.0 && (gap.end() - START).abs() < 1e-6, "{gap:?}");
    assert_eq!(window.edge(), (FIRST + 1, 25));
    assert_eq!(window.segment(FIRST), Lookup::Available(Vec::new()), "a player without gap support continues");
}

#[test]
fn endless_gop_is_cut() {
    let mut window = empty();
    push(&mut window, 25 * 40, 25 * 1000, START);
    assert_eq!(durations(&window), [1.0, 12.0, 12.0, 12.0]);
    assert_eq!(window.listed().map(|segment| segment.independent).collect::<Vec<_>>(), [true, true, false, false]);
    assert_eq!(
        window.durations().map(|durations| durations.target_duration),
        Some(12),
        "the promise is kept from then on"
    );
}

#[test]
fn next_part_is_announced() {
    assert_eq!(filled(60).hint(), (FIRST + 2, 2));
    assert_eq!(filled(25 + 24).hint(), (FIRST + 1, 4));
    assert_eq!(filled(25 + 25).hint(), (FIRST + 2, 0), "as long as the one before, and so complete");
}

#[test]
fn lookup_tells_available_gone_and_announced_media() {
    let window = filled(25 * 20 + 10);
    let oldest = FIRST + 4;
    assert_eq!(window.segment(oldest - 1), Lookup::Evicted);
    assert_eq!(window.part(oldest - 1, 0), Lookup::Evicted);
    assert!(matches!(window.segment(oldest), Lookup::Available(bytes) if bytes.len() == GOP));
    assert!(matches!(window.part(oldest, 4), Lookup::Available(bytes) if bytes.len() == 5));
    assert_eq!(window.part(oldest, 5), Lookup::NotFound);
    let open = FIRST + 20;
    assert_eq!(window.segment(open), Lookup::NotFound);
    assert!(matches!(window.part(open, 1), Lookup::Available(_)));
    assert_eq!(window.part(open, 2), Lookup::Pending);
    assert_eq!(window.part(open, 3), Lookup::NotFound);
    assert_eq!(window.part(open + 1, 0), Lookup::Pending);
    assert_eq!(window.part(open + 1, 1), Lookup::NotFound);
    assert_eq!(window.map(FIRST), Some(&Bytes::from_static(b"init")));
    assert_eq!(window.map(FIRST + 1), None);
}

#[test]
fn window_lists_seven_target_durations_and_keeps_eight() {
    let window = filled(25 * 40 + 10);
    assert_eq!(numbers(&window), (FIRST + 26..FIRST + 40).collect::<Vec<_>>());
    assert_eq!(window.segment(FIRST + 23), Lookup::Evicted);
    assert!(matches!(window.segment(FIRST + 24), Lookup::Available(_)));
}

#[test]
fn new_epoch_is_a_discontinuity_after_a_gap() {
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
fn long_outage_keeps_the_end_of_the_playlist() {
    let mut window = filled(60);
    window.start_epoch(init());
    push(&mut window, 10, GOP, START + 60.0);
    let gap = window.listed().next().expect("a list without a segment is none");
    assert!(gap.gap && (gap.end() - START - 60.0).abs() < 1e-6, "{gap:?}");
    push(&mut window, 30, GOP, START + 60.4);
    assert_eq!(numbers(&window), [FIRST + 3, FIRST + 4]);
    let last = window.listed().last().expect("a segment");
    assert_eq!((last.discontinuity, last.discontinuity_sequence), (true, 8));
    assert_eq!(window.segment(FIRST), Lookup::Evicted);
}

#[test]
fn lost_fragments_are_a_gap_without_discontinuity() {
    let mut window = filled(60);
    window.lost();
    push(&mut window, 30, GOP, START + 60.0 * FRAME + 1.0);
    let listed: Vec<_> = window.listed().map(|segment| (segment.gap, segment.discontinuity)).collect();
    assert_eq!(listed, [(false, false), (false, false), (false, false), (true, false), (false, false)]);
}

#[test]
fn byte_limit_evicts_all_but_one_segment() {
    let mut window = Window::new(1000, SequenceNumbers::default());
    window.start_epoch(init());
    for n in 0..25 * 10 {
        window.push(fragment(1, n % GOP == 0, START, 20), 0.0, |_| Lead::None);
    }
    assert_eq!(window.listed().count(), 1, "two segments of 500 bytes are the limit, and one is growing");
    // An encoder without key frames: a segment ends at half the limit.
    for n in 0..100 {
        window.push(fragment(1, n == 0, START, 100), 0.0, |_| Lead::None);
        let bytes: usize = window.segments.iter().chain(&window.open).map(|segment| segment.bytes).sum();
        assert!(bytes <= 1000 + 2 * 500, "{bytes} bytes");
    }
}

#[test]
fn later_window_starts_with_higher_numbers() {
    let window = filled(60);
    assert_eq!(window.numbers(), SequenceNumbers { msn: FIRST + 3, discontinuity: 8 });
    assert_eq!(filled(0).numbers(), SequenceNumbers { msn: FIRST, discontinuity: 8 });
}

proptest! {
    #[test]
    fn playlist_invariants_hold_for_any_input(
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
            window.push(fragment(duration, keyframe || event < 2, now, 10), 0.0, |_| Lead::None);
            now += duration as f64 * FRAME;
            let Some(durations) = window.durations() else { continue };
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
                prop_assert!(segment.duration.round() <= f64::from(durations.target_duration));
                prop_assert!(matches!(window.segment(segment.msn), Lookup::Available(_)));
                prop_assert!(window.map(segment.map.id).is_some());
            }
        }
    }
}

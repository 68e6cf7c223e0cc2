use super::*;
use crate::fmp4::init::{PictureOrder, TrackCodec};
use bytes::Bytes;
use proptest::prelude::*;
use sightline_protocol::codec::VideoCodec;
use sightline_protocol::fragment::FragmentHead;
use sightline_protocol::message::Size;

/// Ticks a second, and so one frame a tick: decode times count frames.
const RATE: u32 = 25;

fn init() -> Arc<InitSegment> {
    Arc::new(InitSegment {
        bytes: Bytes::from_static(b"init"),
        codec: TrackCodec::Video(VideoCodec::Avc { profile: 66, constraints: 0, level: 30 }),
        timescale: RATE,
        order: PictureOrder::default(),
        size: Some(Size { width: 16, height: 16 }),
        timeline: 1,
    })
}

fn fragment(decode_time: u64, keyframe: bool, len: usize) -> Fragment {
    let head = FragmentHead {
        track_id: 1,
        decode_time,
        duration: 1,
        samples: 1,
        keyframe,
        composition_offset: 0,
        capture: None,
    };
    Fragment { bytes: vec![0; len].as_slice().into(), head }
}

/// A ring with `frames` frames of 10 bytes, a key frame every `gop`.
fn filled(limits: Limits, frames: u64, gop: u64) -> Ring {
    let mut ring = Ring::new(limits);
    ring.start_epoch(init());
    (0..frames).for_each(|n| ring.push(fragment(n, n % gop == 0, 10)));
    ring
}

fn joined(ring: &Ring) -> Cursor {
    let mut cursor = Cursor::default();
    assert!(matches!(ring.read(&mut cursor), Step::Init(_)));
    cursor
}

/// The decode times of everything that can be read now.
fn drain(ring: &Ring, cursor: &mut Cursor) -> Vec<u64> {
    let mut times = Vec::new();
    while let Step::Fragment(fragment) = ring.read(cursor) {
        times.push(fragment.head.decode_time);
    }
    times
}

#[test]
fn a_reader_may_start_where_another_track_does() {
    let start = |timeline, frame: u64| {
        let ring = filled(Limits::default(), 50, 1);
        let mut cursor = joined(&ring);
        ring.start_at(&mut cursor, timeline, Duration::from_secs_f64(frame as f64 / f64::from(RATE)));
        drain(&ring, &mut cursor)[0]
    };
    assert_eq!(start(1, 30), 30);
    assert_eq!(start(1, 1000), 49, "what is not there yet");
    assert_eq!(start(2, 30), 49, "another timeline");
    let ring = filled(Limits::default(), 200, 1);
    let mut cursor = joined(&ring);
    ring.start_at(&mut cursor, 1, Duration::ZERO);
    assert_eq!(drain(&ring, &mut cursor)[0], ring.fragments[0].head.decode_time, "what is no longer there");
}

#[test]
fn a_reader_starts_at_the_newest_key_frame_and_gets_every_frame_once() {
    let mut ring = filled(Limits::default(), 30, 25);
    let mut cursor = joined(&ring);
    assert_eq!(drain(&ring, &mut cursor), [25, 26, 27, 28, 29]);
    ring.push(fragment(30, false, 10));
    assert_eq!(drain(&ring, &mut cursor), [30]);
    assert_eq!(ring.read(&mut cursor), Step::Pending);
}

#[test]
fn the_ring_keeps_the_current_gop_and_a_little_more() {
    let ring = filled(Limits::default(), 260, 25);
    let kept: Vec<u64> = ring.fragments.iter().map(|fragment| fragment.head.decode_time).collect();
    assert_eq!(kept, (200..260).collect::<Vec<_>>(), "two seconds before 259, rounded up to a whole GOP");
    assert_eq!(ring.keyframes, [200, 225, 250]);
    let long = filled(Limits::default(), 600, 1000);
    assert_eq!(long.fragments.len(), 600, "the current GOP stays, however long");
}

#[test]
fn a_gop_larger_than_the_ring_leaves_no_place_to_start() {
    let ring = filled(Limits { bytes: 100, ..Limits::default() }, 50, 1000);
    assert_eq!((ring.fragments.len(), ring.bytes, ring.has_keyframe()), (10, 100, false));
    let mut cursor = joined(&ring);
    assert_eq!(ring.read(&mut cursor), Step::Pending);
}

#[test]
fn a_reader_that_falls_out_resumes_at_the_newest_key_frame_and_is_told() {
    let mut ring = filled(Limits::default(), 5, 25);
    let mut cursor = joined(&ring);
    assert_eq!(drain(&ring, &mut cursor), [0, 1, 2, 3, 4]);
    (5..260).for_each(|n| ring.push(fragment(n, n % 25 == 0, 10)));
    assert_eq!(ring.read(&mut cursor), Step::Overrun(245));
    assert_eq!(drain(&ring, &mut cursor), (250..260).collect::<Vec<_>>());
}

#[test]
fn skipping_goes_forward_only() {
    let ring = filled(Limits::default(), 60, 25);
    let mut cursor = Cursor { epoch: 1, next: Some(10) };
    assert_eq!(ring.lag(&cursor), Duration::from_millis(49 * 40));
    assert_eq!(ring.skip(&mut cursor), 40);
    assert_eq!(ring.skip(&mut cursor), 0);
    assert_eq!(drain(&ring, &mut cursor), (50..60).collect::<Vec<_>>());
    assert_eq!((ring.skip(&mut cursor), ring.lag(&cursor)), (0, Duration::ZERO));
}

#[test]
fn an_epoch_begins_with_its_init_segment_and_a_key_frame() {
    let mut ring = filled(Limits::default(), 5, 25);
    let mut cursor = joined(&ring);
    drain(&ring, &mut cursor);
    ring.stop();
    assert_eq!(ring.read(&mut cursor), Step::Pending);
    assert!(ring.init().is_some(), "what is known stays known");
    ring.start_epoch(init());
    assert!(matches!(ring.read(&mut cursor), Step::Init(_)));
    ring.push(fragment(0, false, 10));
    assert_eq!(ring.read(&mut cursor), Step::Pending, "no key frame yet");
    ring.push(fragment(1, true, 10));
    assert_eq!(drain(&ring, &mut cursor), [1]);
}

#[test]
fn rates_are_measured_over_what_is_held() {
    assert_eq!(filled(Limits::default(), MEASURABLE as u64 - 1, 25).rates(), None);
    assert_eq!(filled(Limits::default(), 50, 25).rates(), Some((25.0, 25 * 80)));
}

#[derive(Debug, Clone)]
enum Act {
    Push { keyframe: bool, len: usize },
    Restart,
    Stop,
    Read,
    Skip,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (proptest::bool::weighted(0.1), 1usize..200).prop_map(|(keyframe, len)| Act::Push { keyframe, len }),
        1 => Just(Act::Restart),
        1 => Just(Act::Stop),
        6 => Just(Act::Read),
        1 => Just(Act::Skip),
    ]
}

proptest! {
    /// Whatever producer and reader do: memory stays bounded, and the reader gets each epoch as an init segment, then
    /// a key frame, then frames in order, where only an announced gap leaves any out, up to a key frame.
    #[test]
    fn a_reader_never_gets_what_it_cannot_decode(acts in proptest::collection::vec(act(), 0..400)) {
        let limits = Limits { bytes: 2000, keep: Duration::from_secs(1) };
        let mut ring = Ring::new(limits);
        let mut cursor = Cursor::default();
        let mut clock = 0;
        // The decode time that must come next; `None` where it must be a key frame.
        let mut expected: Option<u64> = None;
        let mut initialised = false;
        for act in acts {
            match act {
                Act::Push { keyframe, len } if ring.live => {
                    ring.push(fragment(clock, keyframe, len));
                    clock += 1;
                }
                Act::Push { .. } => {}
                Act::Restart => ring.start_epoch(init()),
                Act::Stop => ring.stop(),
                Act::Skip => {
                    if ring.skip(&mut cursor) > 0 {
                        expected = None;
                    }
                }
                Act::Read => match ring.read(&mut cursor) {
                    Step::Pending => {}
                    Step::Init(_) => (initialised, expected) = (true, None),
                    Step::Overrun(skipped) => {
                        prop_assert!(skipped > 0);
                        expected = None;
                    }
                    Step::Fragment(fragment) => {
                        prop_assert!(initialised);
                        match expected {
                            Some(time) => prop_assert_eq!(fragment.head.decode_time, time),
                            None => prop_assert!(fragment.head.keyframe),
                        }
                        expected = Some(fragment.head.decode_time + 1);
                    }
                },
            }
            if ring.live && ring.has_keyframe() {
                // A reader that joins now is brought to the newest fragment.
                let mut late = Cursor::default();
                let mut last = None;
                loop {
                    match ring.read(&mut late) {
                        Step::Fragment(fragment) => last = Some(fragment.head.decode_time),
                        Step::Init(_) => {}
                        Step::Pending | Step::Overrun(_) => break,
                    }
                }
                prop_assert_eq!(last, Some(clock - 1));
            }
            prop_assert!(ring.bytes <= limits.bytes);
            prop_assert_eq!(ring.bytes, ring.fragments.iter().map(|held| held.bytes.len()).sum::<usize>());
            let keyframes: Vec<u64> = (ring.first..).zip(&ring.fragments).filter(|(_, held)| held.head.keyframe).map(|(n, _)| n).collect();
            prop_assert_eq!(Vec::from(ring.keyframes.clone()), keyframes);
        }
    }
}

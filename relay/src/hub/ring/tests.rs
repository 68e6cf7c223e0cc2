use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use sightline_media::fmp4::init::{Reordering, TrackCodec};
use sightline_protocol::codec::VideoCodec;
use sightline_protocol::fragment::{FragmentHead, NtpTime};
use sightline_protocol::message::Size;

/// Ticks per second. One frame lasts one tick, so decode times count frames.
const RATE: u32 = 25;

fn init() -> Arc<InitSegment> {
    Arc::new(InitSegment {
        bytes: Bytes::from_static(b"init"),
        codec: TrackCodec::Video(VideoCodec::Avc { profile: 66, constraints: 0, level: 30 }),
        timescale: RATE,
        reordering: Reordering::default(),
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
    Fragment::new(&vec![0; len], head)
}

/// A ring with `frames` frames of 10 bytes and a key frame every `gop` frames.
fn filled(limits: RingLimits, frames: u64, gop: u64) -> Ring {
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

/// The decode times of all fragments that can be read.
fn drain(ring: &Ring, cursor: &mut Cursor) -> Vec<u64> {
    let mut times = Vec::new();
    while let Step::Fragment(fragment) = ring.read(cursor) {
        times.push(fragment.head.decode_time);
    }
    times
}

#[test]
fn timeline_was_captured_when_most_of_the_newest_frames_say() {
    let mut ring = Ring::new(RingLimits::default());
    ring.start_epoch(init());
    assert_eq!(ring.captured_from(), None, "no frame");
    ring.push(fragment(0, true, 10));
    assert_eq!(ring.captured_from(), None, "no capture time");
    // The first frames are thought to be older than they are. After a hole, frames start two frames late for a moment.
    let delay = |n| {
        if n < 12 {
            0.3
        } else if n < 20 {
            -0.08
        } else {
            0.02
        }
    };
    for n in 1..40_u64 {
        let mut frame = fragment(n, false, 10);
        frame.head.capture = Some(NtpTime::from_unix(1000.0 + n as f64 / 25.0 + delay(n)));
        ring.push(frame);
    }
    let start = ring.captured_from().unwrap();
    assert!((start - 1000.02).abs() < 1e-3, "{start}");
}

#[test]
fn start_at_another_tracks_time() {
    let start = |timeline, frame: u64| {
        let ring = filled(RingLimits::default(), 50, 1);
        let mut cursor = joined(&ring);
        ring.start_at(&mut cursor, timeline, Duration::from_secs_f64(frame as f64 / f64::from(RATE)));
        drain(&ring, &mut cursor)[0]
    };
    assert_eq!(start(1, 30), 30);
    assert_eq!(start(1, 1000), 49, "what is not there yet");
    assert_eq!(start(2, 30), 49, "another timeline");
    let ring = filled(RingLimits::default(), 200, 1);
    let mut cursor = joined(&ring);
    ring.start_at(&mut cursor, 1, Duration::ZERO);
    assert_eq!(drain(&ring, &mut cursor)[0], ring.fragments[0].head.decode_time, "what is no longer there");
}

#[test]
fn reader_starts_at_newest_key_frame_and_gets_each_frame_once() {
    let mut ring = filled(RingLimits::default(), 30, 25);
    let mut cursor = joined(&ring);
    assert_eq!(drain(&ring, &mut cursor), [25, 26, 27, 28, 29]);
    ring.push(fragment(30, false, 10));
    assert_eq!(drain(&ring, &mut cursor), [30]);
    assert_eq!(ring.read(&mut cursor), Step::Pending);
}

#[test]
fn ring_keeps_current_gop_and_two_seconds() {
    let ring = filled(RingLimits::default(), 260, 25);
    let kept: Vec<u64> = ring.fragments.iter().map(|fragment| fragment.head.decode_time).collect();
    assert_eq!(kept, (200..260).collect::<Vec<_>>(), "two seconds before 259, rounded up to a whole GOP");
    assert_eq!(ring.keyframes, [200, 225, 250]);
    let long = filled(RingLimits::default(), 600, 1000);
    assert_eq!(long.fragments.len(), 600, "the current GOP stays, however long");
}

#[test]
fn gop_larger_than_the_ring_leaves_no_start_position() {
    let ring = filled(RingLimits { bytes: 100, ..RingLimits::default() }, 50, 1000);
    assert_eq!((ring.fragments.len(), ring.bytes, ring.has_keyframe()), (10, 100, false));
    let mut cursor = joined(&ring);
    assert_eq!(ring.read(&mut cursor), Step::Pending);
}

#[test]
fn overrun_reader_resumes_at_newest_key_frame() {
    let mut ring = filled(RingLimits::default(), 5, 25);
    let mut cursor = joined(&ring);
    assert_eq!(drain(&ring, &mut cursor), [0, 1, 2, 3, 4]);
    (5..260).for_each(|n| ring.push(fragment(n, n % 25 == 0, 10)));
    assert_eq!(ring.read(&mut cursor), Step::Overrun(245));
    assert_eq!(drain(&ring, &mut cursor), (250..260).collect::<Vec<_>>());
}

#[test]
fn skip_never_moves_backward() {
    let ring = filled(RingLimits::default(), 60, 25);
    let mut cursor = Cursor { epoch: 1, next: Some(10) };
    assert_eq!(ring.lag(&cursor), Duration::from_millis(49 * 40));
    assert_eq!(ring.skip(&mut cursor), 40);
    assert_eq!(ring.skip(&mut cursor), 0);
    assert_eq!(drain(&ring, &mut cursor), (50..60).collect::<Vec<_>>());
    assert_eq!((ring.skip(&mut cursor), ring.lag(&cursor)), (0, Duration::ZERO));
}

#[test]
fn epoch_starts_with_init_segment_and_key_frame() {
    let mut ring = filled(RingLimits::default(), 5, 25);
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
fn rates_cover_the_rings_media() {
    assert_eq!(filled(RingLimits::default(), RATE_FRAGMENTS_MIN as u64 - 1, 25).rates(), None);
    assert_eq!(filled(RingLimits::default(), 50, 25).rates(), Some((25.0, 25 * 80)));
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
    /// For any sequence of actions: memory stays bounded, and the reader gets each epoch as an init segment, a key frame and
    /// frames in order. Only an announced gap skips frames, up to a key frame.
    #[test]
    fn reader_gets_only_decodable_fragments(acts in proptest::collection::vec(act(), 0..400)) {
        let limits = RingLimits { bytes: 2000, keep: Duration::from_secs(1) };
        let mut ring = Ring::new(limits);
        let mut cursor = Cursor::default();
        let mut clock = 0;
        // The next decode time; `None` if a key frame must come next.
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
                // A new reader reaches the newest fragment.
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

#[test]
fn usual_duration_is_the_median_of_enough_fragments() {
    let pauses = |frames: u64| {
        let mut ring = filled(RingLimits::default(), 0, 1);
        for n in 0..frames {
            let mut fragment = fragment(n, n == 0, 10);
            fragment.head.duration = if n % 3 == 0 { 900 } else { 40 };
            ring.push(fragment);
        }
        ring.usual_duration()
    };
    assert_eq!(pauses(RATE_FRAGMENTS_MIN as u64 - 1), None);
    assert_eq!(pauses(RATE_FRAGMENTS_MIN as u64), Some(40));
}

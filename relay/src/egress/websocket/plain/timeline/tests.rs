use super::*;
use proptest::prelude::*;
use sightline_media::fmp4::writer::{self, AccessUnit};
use sightline_protocol::fragment::NtpTime;

const FRAME: u64 = 3600;
/// The longest allowed duration of a frame with the usual duration [`FRAME`].
const LONGEST: u64 = 2 * FRAME;
/// The source's decode time when the viewer joins: far from 0.
const SOURCE: u64 = 10 * 90_000;

fn timeline(reordering: Reordering) -> Timeline {
    let h264 =
        bytes::Bytes::from_static(include_bytes!("../../../../../../media/src/fmp4/init/fixtures/h264.init.mp4"));
    let init = InitSegment::parse(h264, sightline_protocol::message::TrackKind::Video, 1).unwrap();
    Timeline::new(&InitSegment { timescale: 90_000, reordering, ..init }, None)
}

/// The head of a fragment with one frame.
fn frame(decode_time: u64, duration: u64, keyframe: bool, composition_offset: i64) -> FragmentHead {
    FragmentHead { track_id: 1, decode_time, duration, samples: 1, keyframe, composition_offset, capture: None }
}

/// A reference frame, and the number of B-frames that follow it in decode order and precede it in presentation order.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    keyframe: bool,
    b_frames: u64,
}

/// The frames of these anchors in decode order.
fn reordered(anchors: &[Anchor]) -> Vec<FragmentHead> {
    let delay = anchors.iter().map(|anchor| anchor.b_frames).max().unwrap_or(0);
    let (mut shown, mut frames) = (0, Vec::new());
    for anchor in anchors {
        let order = std::iter::once(shown + anchor.b_frames).chain(shown..shown + anchor.b_frames);
        for (n, count) in order.enumerate() {
            let decoded = frames.len() as u64;
            let offset = (count + delay) as i64 - decoded as i64;
            frames.push(frame(SOURCE + decoded * FRAME, FRAME, anchor.keyframe && n == 0, offset * FRAME as i64));
        }
        shown += anchor.b_frames + 1;
    }
    frames
}

/// The frames of a viewer when the relay skips to the next key frame after each frame marked in `skips`, if that is allowed.
fn watch(mut timeline: Timeline, frames: &[FragmentHead], skips: &[bool]) -> Vec<(FragmentHead, Retiming)> {
    let (mut retimed, mut skipping) = (Vec::new(), true);
    for (n, head) in frames.iter().enumerate() {
        if skipping && !head.keyframe {
            continue;
        }
        retimed.extend(timeline.retime(head).map(|retiming| (*head, retiming)));
        skipping = skips[n % skips.len()] && timeline.is_whole();
    }
    retimed
}

/// Asserts that decoding and presentation both start at 0 and have neither gaps nor overlaps.
fn is_contiguous(retimed: &[(FragmentHead, Retiming)]) -> Result<(), TestCaseError> {
    let mut end = 0;
    for (head, retiming) in retimed {
        prop_assert_eq!(retiming.decode_time, end, "decoding");
        end += head.duration;
    }
    let mut shown: Vec<(i64, u64)> = retimed
        .iter()
        .map(|(head, retiming)| {
            let offset = head.composition_offset + retiming.composition_shift;
            (retiming.decode_time as i64 + offset, head.duration)
        })
        .collect();
    shown.sort_unstable();
    let mut end = 0;
    for (start, duration) in shown {
        prop_assert_eq!(start, end, "presentation");
        end += duration as i64;
    }
    Ok(())
}

#[test]
fn first_key_frame_is_at_zero_and_steady_frames_follow() {
    let frames: Vec<_> = (0..50).map(|n| frame(SOURCE + n * FRAME, FRAME, n % 25 == 0, 0)).collect();
    let retimed = watch(timeline(Reordering::Absent), &frames, &[false]);
    assert_eq!(retimed.len(), 50);
    for ((_, retiming), n) in retimed.iter().zip(0..) {
        assert_eq!(*retiming, Retiming { decode_time: n * FRAME, duration: None, composition_shift: 0 });
    }
}

#[test]
fn key_frame_after_skipped_frames_follows_the_last_sent() {
    let frames: Vec<_> = (0..100).map(|n| frame(SOURCE + n * FRAME, FRAME, n % 25 == 0, 0)).collect();
    let mut timeline = timeline(Reordering::Absent);
    for head in &frames[..10] {
        timeline.retime(head).unwrap();
    }
    let resumed = timeline.retime(&frames[75]).unwrap();
    assert_eq!(resumed, Retiming { decode_time: 10 * FRAME, duration: None, composition_shift: 0 });
}

#[test]
fn pauses_are_shortened_and_leave_no_gap() {
    let mut timeline = timeline(Reordering::Absent);
    let (mut source, mut end) = (SOURCE, 0);
    for n in 0..200 {
        // One lost frame, three in a row, and a clock that was set by an hour.
        let lasts = match n {
            60 => 2,
            90 => 4,
            120 => 90_000,
            _ => 1,
        };
        let retiming = timeline.retime(&frame(source, lasts * FRAME, n % 25 == 0, 0)).unwrap();
        let expected = (lasts > 2).then_some(LONGEST as u32);
        assert_eq!(retiming, Retiming { decode_time: end, duration: expected, composition_shift: 0 }, "{n}");
        source += lasts * FRAME;
        end += lasts.min(2) * FRAME;
    }
}

#[test]
fn changed_frame_rate_is_kept_after_five_frames() {
    let mut timeline = timeline(Reordering::Absent);
    let mut source = SOURCE;
    let mut retime = |lasts: u64| {
        let retiming = timeline.retime(&frame(source, lasts, source == SOURCE, 0)).unwrap();
        source += lasts;
        retiming.duration
    };
    let durations = [[FRAME; 9], [5 * FRAME; 9], [FRAME; 9]].concat();
    let shortened: Vec<_> = durations.into_iter().map(&mut retime).collect();
    assert_eq!(shortened[..9], [None; 9]);
    assert_eq!(shortened[9..18], [[Some(LONGEST as u32); 5].as_slice(), &[None; 4]].concat());
    assert_eq!(shortened[18..], [None; 9]);
}

#[test]
fn known_frame_rate_shortens_a_pause_after_the_first_frame() {
    let retime = |mut timeline: Timeline| timeline.retime(&frame(SOURCE, 4 * FRAME, true, 0)).unwrap().duration;
    assert_eq!(retime(timeline(Reordering::Absent)), None);
    let known = Timeline { durations: VecDeque::from([FRAME; WINDOW]), ..timeline(Reordering::Absent) };
    assert_eq!(retime(known), Some(LONGEST as u32));
}

#[test]
fn slow_camera_gap_is_at_most_what_webkit_skips() {
    let mut timeline = timeline(Reordering::Absent);
    // 10 frames per second, one of which is lost.
    for n in 0..6 {
        timeline.retime(&frame(SOURCE + n * 9000, 9000, n == 0, 0)).unwrap();
    }
    let retiming = timeline.retime(&frame(SOURCE + 6 * 9000, 18_000, false, 0)).unwrap();
    assert_eq!(retiming.duration, Some(9000 + 7200));
}

#[test]
fn b_frames_are_not_shortened() {
    let anchors = [
        Anchor { keyframe: true, b_frames: 0 },
        Anchor { keyframe: false, b_frames: 2 },
        Anchor { keyframe: false, b_frames: 2 },
    ];
    let mut timeline = timeline(Reordering::Present);
    for head in reordered(&anchors) {
        let head = FragmentHead {
            duration: head.duration * if head.decode_time > SOURCE + 5 * FRAME { 9 } else { 1 },
            ..head
        };
        assert_eq!(timeline.retime(&head).unwrap().duration, None);
    }
}

#[test]
fn leading_pictures_of_the_first_key_frame_are_not_sent() {
    let anchor = |keyframe| Anchor { keyframe, b_frames: 2 };
    let frames = reordered(&[anchor(true), anchor(false), anchor(true), anchor(false)]);
    let retimed = watch(timeline(Reordering::Present), &frames, &[false]);
    assert_eq!(retimed.len(), frames.len() - 2, "those of the second key frame are sent");
    is_contiguous(&retimed).unwrap();
}

#[test]
fn timeline_is_complete_after_the_b_frames() {
    let anchors = [Anchor { keyframe: true, b_frames: 0 }, Anchor { keyframe: false, b_frames: 2 }];
    let mut timeline = timeline(Reordering::Absent);
    let whole: Vec<bool> = reordered(&anchors)
        .iter()
        .map(|head| {
            timeline.retime(head).unwrap();
            timeline.is_whole()
        })
        .collect();
    assert_eq!(whole, [true, false, false, true]);
}

proptest! {
    /// The viewer's media is contiguous for any skips and any source times.
    #[test]
    fn frames_in_order_are_contiguous(
        steps in prop::collection::vec(
            (1u64..20_000, prop_oneof![8 => Just(0i64), 1 => -9000i64..1_000_000], prop::bool::weighted(0.2), prop::bool::weighted(0.3)),
            1..80,
        ),
    ) {
        let (mut timeline, mut source) = (timeline(Reordering::Absent), SOURCE);
        let (mut end, mut skipping) = (0, true);
        for (n, (duration, hole, keyframe, skip)) in steps.into_iter().enumerate() {
            source = source.saturating_add_signed(hole);
            let bytes = vec![n as u8; 40];
            let unit = AccessUnit { bytes: &bytes, decode_time: source, duration: duration as u32, keyframe };
            let fragment = writer::fragment(n as u32, unit, NtpTime(1)).unwrap();
            source += duration;
            if skipping && !keyframe {
                continue;
            }
            let retiming = timeline.retime(&fragment.head).expect("none is a leading picture");
            let mut head = Vec::new();
            let framed = &fragment.bytes;
            let shared = framed.retimed(retiming, &mut head).expect("it fits");
            prop_assert!(shared.ends_with(&bytes) && shared.len() > bytes.len());
            let received = [&head[framed.frame().len() - framed.len()..], &shared].concat();
            let read = FragmentHead::read(&received).unwrap();
            prop_assert_eq!((read.decode_time, read.composition_offset, read.keyframe), (end, 0, keyframe));
            prop_assert!(read.duration <= duration);
            end += read.duration;
            skipping = skip && timeline.is_whole();
            prop_assert!(timeline.is_whole());
        }
    }

    #[test]
    fn b_frames_are_contiguous(
        anchors in prop::collection::vec((prop::bool::weighted(0.3), 0u64..4), 1..30),
        closed: bool,
        skips in prop::collection::vec(prop::bool::weighted(0.2), 1..50),
    ) {
        let anchor = |(keyframe, b_frames)| Anchor { keyframe, b_frames: if keyframe && closed { 0 } else { b_frames } };
        let mut anchors: Vec<Anchor> = anchors.into_iter().map(anchor).collect();
        anchors[0].keyframe = true;
        is_contiguous(&watch(timeline(Reordering::Present), &reordered(&anchors), &skips))?;
    }

    #[test]
    fn no_source_times_panic(
        heads in prop::collection::vec((any::<u64>(), any::<u64>(), any::<bool>(), any::<i64>()), 1..50),
    ) {
        let mut timeline = timeline(Reordering::Absent);
        let mut end = 0;
        for (decode_time, duration, keyframe, offset) in heads {
            if let Some(retiming) = timeline.retime(&frame(decode_time, duration, keyframe, offset)) {
                prop_assert!(retiming.decode_time >= end);
                end = retiming.decode_time;
            }
            timeline.is_whole();
        }
    }
}

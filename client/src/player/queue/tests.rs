use super::*;

const TIMESCALE: u32 = 1000;

fn init(payload: u64) -> Init<u64> {
    Init { mime: "video/mp4".into(), timescale: TIMESCALE, timeline: 1, payload }
}

/// A 40 ms fragment at frame `n`; its payload is its number.
fn frame(n: u64, keyframe: bool) -> Fragment<u64> {
    Fragment {
        decode_time: n * 40,
        duration: 40,
        keyframe,
        composition_offset: 0,
        capture: Some(1000.0 + 40.0 * n as f64),
        bytes: 1000,
        payload: n,
    }
}

fn payloads(operation: Option<Operation<u64>>) -> Vec<u64> {
    match operation {
        Some(Operation::Fragments { payloads, .. }) => payloads,
        other => panic!("fragments expected, not {other:?}"),
    }
}

fn begun() -> (Queue<u64>, Timeline) {
    let (mut queue, mut timeline) = (Queue::default(), Timeline::default());
    queue.begin(init(0));
    assert_eq!(queue.next(&mut timeline), Some(Operation::Init(init(0))));
    (queue, timeline)
}

#[test]
fn burst_is_one_append() {
    let (mut queue, mut timeline) = begun();
    (0..250).for_each(|n| queue.push(frame(n, n == 0)));
    assert_eq!(queue.waiting_ticks(), 10_000);
    assert_eq!(payloads(queue.next(&mut timeline)), (0..250).collect::<Vec<_>>());
    assert_eq!((queue.next(&mut timeline), queue.is_empty(), queue.waiting_ticks()), (None, true, 0));
}

#[test]
fn append_size_is_bounded() {
    let (mut queue, mut timeline) = begun();
    for n in 0..5 {
        queue.push(Fragment { bytes: BATCH_BYTES_MAX / 2, ..frame(n, n == 0) });
    }
    assert_eq!(payloads(queue.next(&mut timeline)), [0, 1]);
    assert_eq!(payloads(queue.next(&mut timeline)), [2, 3]);
    assert_eq!(payloads(queue.next(&mut timeline)), [4]);
    queue.push(Fragment { bytes: BATCH_BYTES_MAX * 2, ..frame(5, true) });
    assert_eq!(payloads(queue.next(&mut timeline)), [5], "one fragment is appended whatever its size");
}

#[test]
fn append_ends_where_the_offset_changes() {
    let (mut queue, mut timeline) = begun();
    for n in [0, 1, 2, 100, 101] {
        queue.push(frame(n, n % 100 == 0));
    }
    let mut next = || match queue.next(&mut timeline) {
        Some(Operation::Fragments { offset, payloads, frames, source, .. }) => {
            assert!((source.1 - source.0 - 0.04 * payloads.len() as f64).abs() < 1e-9, "{source:?}");
            (offset, payloads, frames)
        }
        other => panic!("{other:?}"),
    };
    let ((before, first, _), (after, second, frames)) = (next(), next());
    assert_eq!((first, second), (vec![0, 1, 2], vec![100, 101]));
    assert_eq!(frames.iter().map(|frame| frame.1).collect::<Vec<_>>(), [Some(5000.0), Some(5040.0)]);
    assert!((frames[1].0 - frames[0].0 - 0.04).abs() < 1e-9 && (frames[0].0 - 100.0 * 0.04 - after).abs() < 1e-9);
    assert!((before - after - 97.0 * 0.04).abs() < 1e-9, "the hole of 97 frames is closed");
}

#[test]
fn first_appended_fragment_is_a_key_frame() {
    let (mut queue, mut timeline) = begun();
    queue.push(frame(1, false));
    assert!(queue.is_empty());
    queue.push(frame(2, true));
    queue.push(frame(3, false));
    assert_eq!(payloads(queue.next(&mut timeline)), [2, 3]);
    queue.push(frame(4, false));
    assert_eq!(payloads(queue.next(&mut timeline)), [4], "a key frame is needed once");
}

#[test]
fn new_epoch_replaces_queued_fragments() {
    let (mut queue, mut timeline) = begun();
    queue.push(frame(0, true));
    queue.begin(init(7));
    assert_eq!(queue.next(&mut timeline), Some(Operation::Init(init(7))));
    assert_eq!(queue.next(&mut timeline), None);
}

#[test]
fn full_queue_drops_to_its_newest_key_frame() {
    let (mut queue, mut timeline) = begun();
    let size = WAITING_BYTES_MAX / 10;
    (0..10).for_each(|n| queue.push(Fragment { bytes: size, ..frame(n, n % 4 == 0) }));
    queue.push(Fragment { bytes: size, ..frame(10, false) });
    assert_eq!(queue.fragments.iter().map(|f| f.payload).collect::<Vec<_>>(), [8, 9, 10]);
    assert_eq!(payloads(queue.next(&mut timeline))[0], 8);
}

#[test]
fn gop_larger_than_the_queue_is_dropped() {
    let (mut queue, _) = begun();
    queue.push(Fragment { bytes: WAITING_BYTES_MAX, ..frame(0, true) });
    queue.push(frame(1, false));
    assert!(queue.is_empty());
    assert_eq!((queue.bytes, queue.duration), (0, 0));
    queue.push(frame(2, false));
    assert!(queue.is_empty(), "what follows the dropped GOP's key frame cannot be decoded");
}

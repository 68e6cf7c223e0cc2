//! Decides the range to remove from the buffer.
//!
//! `SourceBuffer.remove(start, end)` extends beyond `end` to the next random access point (Media Source Extensions, coded frame
//! removal). Removal must therefore stop at a key frame not after the start of the current GOP. Otherwise it takes the frames
//! under the playhead, and the video stops.

use super::timeline::Timeline;

/// Played media kept behind the playhead, in seconds: enough for the browser's own small seeks back, and small enough for 25
/// tiles on one page.
const KEEP: f64 = 4.0;
/// Minimum length of a removal, in seconds: less is not worth the interruption of appends.
const STEP: f64 = 4.0;
/// Distance of a removal's end from the key frame, in seconds. Browsers round times to microseconds, so a `remove` that ends
/// exactly at a key frame might remove that key frame and its GOP. One millisecond less is still after the last frame before
/// it.
const MARGIN: f64 = 0.001;

/// Returns the end of the routine removal of played media, if one is due. `buffered_start` is the start of the oldest range.
pub fn routine(timeline: &Timeline, position: f64, buffered_start: f64) -> Option<f64> {
    let keyframe = timeline.gop_start(position - KEEP)?;
    (keyframe - buffered_start >= STEP).then_some(keyframe - MARGIN)
}

/// Returns the furthest end of a removal that does not stop the video.
pub fn all_played(timeline: &Timeline, position: f64, buffered_start: f64) -> Option<f64> {
    let end = timeline.gop_start(position)? - MARGIN;
    (end > buffered_start).then_some(end)
}

/// Returns the end of a removal after which the playhead must be at the newest key frame.
pub fn all_before_newest(timeline: &Timeline, buffered_start: f64) -> Option<f64> {
    let end = timeline.newest_keyframe()? - MARGIN;
    (end > buffered_start).then_some(end)
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `gops` GOPs of `length` seconds, one fragment per second.
    fn timeline(gops: u64, length: u64) -> Timeline {
        let mut timeline = Timeline::default();
        timeline.begin_epoch(1);
        (0..gops * length).for_each(|second| {
            timeline.place(second, 0, 1, second % length == 0);
        });
        timeline
    }

    #[test]
    fn recent_played_media_is_kept() {
        let timeline = timeline(20, 1);
        assert_eq!(routine(&timeline, 5.0, 0.01), None, "too little to be worth it");
        assert_eq!(routine(&timeline, 9.0, 0.01), Some(4.01 - MARGIN));
        assert_eq!(routine(&timeline, 9.0, 4.01), None, "already removed");
    }

    #[test]
    fn long_gop_is_kept_while_it_plays() {
        let timeline = timeline(2, 30);
        assert_eq!(routine(&timeline, 29.0, 0.01), None);
        assert_eq!(routine(&timeline, 31.0, 0.01), None, "the first GOP is still within what is kept");
        assert_eq!(routine(&timeline, 35.0, 0.01), Some(30.01 - MARGIN));
        assert_eq!(all_played(&timeline, 29.0, 0.01), None);
        assert_eq!(all_played(&timeline, 31.0, 0.01), Some(30.01 - MARGIN));
        assert_eq!(all_before_newest(&timeline, 0.01), Some(30.01 - MARGIN));
        assert_eq!(all_before_newest(&timeline, 30.01), None);
    }

    proptest! {
        #[test]
        fn key_frame_of_the_playhead_is_kept(
            length in 1u64..12, position in 0.0f64..120.0, start in 0.0f64..120.0,
        ) {
            let timeline = timeline(120 / length, length);
            for end in [routine(&timeline, position, start), all_played(&timeline, position, start)].into_iter().flatten() {
                let gop = timeline.gop_start(position).unwrap();
                prop_assert!(end < gop && gop <= position);
            }
        }
    }
}

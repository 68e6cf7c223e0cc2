//! The init segment and the newest GOP of a rendition, for relays that join, with the numbers under which they were
//! published. Of audio, in which every fragment is a key frame, the last seconds, so that they cover the video's GOP. Pure.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::init::InitSegment;
use sightline_protocol::message::TrackKind;

/// The duration of audio: the longest usual key frame interval, and a margin.
const AUDIO: Duration = Duration::from_secs(5);

/// A published item with its number.
pub(super) type Numbered<T> = (u64, Arc<T>);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Backlog {
    kind: TrackKind,
    bytes_max: usize,
    init: Option<Numbered<InitSegment>>,
    fragments: VecDeque<Numbered<Fragment>>,
    bytes: usize,
}

impl Backlog {
    /// An empty one. A GOP of more than `bytes_max` bytes is left out.
    pub(super) fn new(kind: TrackKind, bytes_max: usize) -> Self {
        Self { kind, bytes_max, init: None, fragments: VecDeque::new(), bytes: 0 }
    }

    /// An epoch starts.
    pub(super) fn start_epoch(&mut self, number: u64, init: Arc<InitSegment>) {
        self.clear();
        self.init = Some((number, init));
    }

    /// The source has ended.
    pub(super) fn end_epoch(&mut self) {
        self.clear();
        self.init = None;
    }

    /// Adds the newest fragment.
    pub(super) fn push(&mut self, number: u64, fragment: Arc<Fragment>) {
        let starts = fragment.head.keyframe && self.kind == TrackKind::Video;
        if starts {
            self.clear();
        } else if self.kind == TrackKind::Video && self.fragments.is_empty() {
            // The rest of a GOP that was left out.
            return;
        }
        self.bytes += fragment.bytes.len();
        self.fragments.push_back((number, fragment));
        while self.kind == TrackKind::Audio && self.span() > AUDIO {
            let gone = self.fragments.pop_front();
            self.bytes -= gone.map_or(0, |(_, fragment)| fragment.bytes.len());
        }
        if self.bytes > self.bytes_max {
            self.clear();
        }
    }

    fn span(&self) -> Duration {
        let ends = self.fragments.front().zip(self.fragments.back()).zip(self.init());
        ends.map_or(Duration::ZERO, |(((_, first), (_, last)), init)| {
            init.time(last.head.decode_time.saturating_sub(first.head.decode_time))
        })
    }

    fn clear(&mut self) {
        self.fragments.clear();
        self.bytes = 0;
    }

    /// The init segment of the epoch.
    pub(super) fn init(&self) -> Option<&Arc<InitSegment>> {
        self.init.as_ref().map(|(_, init)| init)
    }

    /// The init segment, and the fragments of the newest GOP, if its key frame is there. `None` between epochs.
    pub(super) fn newest(&self) -> Option<(Numbered<InitSegment>, Vec<Numbered<Fragment>>)> {
        Some((self.init.clone()?, self.fragments.iter().cloned().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use sightline_media::fmp4::init::{Reordering, TrackCodec};
    use sightline_protocol::fragment::FragmentHead;

    fn backlog(kind: TrackKind) -> Backlog {
        let mut backlog = Backlog::new(kind, 10_000);
        let init = InitSegment {
            bytes: Bytes::from_static(b"init"),
            codec: TrackCodec::Video("avc1.42001E".parse().unwrap()),
            timescale: 1000,
            reordering: Reordering::default(),
            size: None,
            timeline: 1,
        };
        backlog.start_epoch(0, Arc::new(init));
        backlog
    }

    fn push(backlog: &mut Backlog, number: u64, keyframe: bool, bytes: usize) {
        let head = FragmentHead {
            track_id: 1,
            decode_time: number * 1000,
            duration: 1000,
            samples: 1,
            keyframe,
            composition_offset: 0,
            capture: None,
        };
        backlog.push(number, Arc::new(Fragment::new(&vec![0; bytes], head)));
    }

    fn numbers(backlog: &Backlog) -> Option<Vec<u64>> {
        backlog.newest().map(|(_, fragments)| fragments.into_iter().map(|(number, _)| number).collect())
    }

    #[test]
    fn video_starts_at_the_newest_key_frame() {
        let mut backlog = backlog(TrackKind::Video);
        push(&mut backlog, 1, false, 1);
        assert_eq!(numbers(&backlog), Some(vec![]));
        for number in 2..8 {
            push(&mut backlog, number, number % 3 == 0, 1);
        }
        assert_eq!(numbers(&backlog), Some(vec![6, 7]));
        backlog.end_epoch();
        assert_eq!(numbers(&backlog), None);
    }

    #[test]
    fn large_gop_is_left_out_until_the_next_key_frame() {
        let mut backlog = backlog(TrackKind::Video);
        push(&mut backlog, 1, true, 6000);
        push(&mut backlog, 2, false, 6000);
        push(&mut backlog, 3, false, 10);
        assert_eq!(numbers(&backlog), Some(vec![]), "the init segment alone");
        push(&mut backlog, 4, true, 6000);
        assert_eq!(numbers(&backlog), Some(vec![4]));
    }

    #[test]
    fn audio_covers_the_last_seconds() {
        let mut backlog = backlog(TrackKind::Audio);
        (1..10).for_each(|number| push(&mut backlog, number, true, 1));
        assert_eq!(numbers(&backlog), Some(vec![4, 5, 6, 7, 8, 9]));
    }
}

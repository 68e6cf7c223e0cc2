//! The audio of a session: whether the viewer wants it, and the position in it.
//!
//! Audio starts at the time of the video's first frame, as far as the ring holds that: a player with both from the start need
//! not seek. It then continues independently of video and of changes of variant. A source without audio is not announced. A
//! viewer that falls behind skips to the newest audio.

use std::sync::Arc;
use std::time::Duration;

use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::init::InitSegment;
use sightline_protocol::message::{GapReason, NewTrack, ServerMessage, TrackKind};

use crate::hub::Stream;
use crate::hub::rendition::{AudioForm, Protocol, Purpose, Subscription};
use crate::hub::ring::Step;

/// A viewer with a longer lag in audio skips to the newest audio.
const TOLERATED_LAG: Duration = Duration::from_millis(500);

/// The start of the video that the viewer gets.
#[derive(Debug, Clone, Copy)]
pub(super) struct VideoStart {
    pub(super) timeline: u32,
    pub(super) time: Duration,
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct AudioTrack {
    /// The subscription to the stream's audio while it is wanted.
    source: Option<Subscription>,
    /// An init segment that waits for its first fragment.
    init: Option<Arc<InitSegment>>,
    /// Whether the audio has caught up with the source since its start.
    caught_up: bool,
    /// Number of init segments sent.
    epoch: u32,
}

impl AudioTrack {
    /// Subscribes to the audio of `stream` or unsubscribes, according to `tracks`.
    pub(super) fn want(&mut self, tracks: &[TrackKind], stream: &Stream) {
        let wanted = tracks.contains(&TrackKind::Audio);
        if wanted != self.source.is_some() {
            self.source = wanted.then(|| stream.audio(AudioForm::AsIs).subscribe(Purpose::View(Protocol::Mse)));
            self.init = None;
        }
    }

    /// Whether the viewer listens.
    pub(super) fn is_wanted(&self) -> bool {
        self.source.is_some()
    }

    /// Restarts with the init segment.
    pub(super) fn rewind(&mut self) {
        self.init = None;
        if let Some(source) = &mut self.source {
            source.rewind();
        }
    }

    /// The next fragment to send, for video that began at `start`.
    fn poll(&mut self, start: VideoStart) -> Option<Arc<Fragment>> {
        let source = self.source.as_mut()?;
        loop {
            self.caught_up |= source.lag() < TOLERATED_LAG;
            if self.caught_up {
                source.skip_if_behind(TOLERATED_LAG, GapReason::Behind);
            }
            match source.step() {
                Step::Fragment(fragment) => return Some(fragment),
                Step::Init(init) => {
                    source.start_at(start.timeline, start.time);
                    (self.init, self.caught_up) = (Some(init), false);
                }
                Step::Overrun(_) => {}
                Step::Pending => return None,
            }
        }
    }

    /// Waits for the next fragment. Pending without `start`: before the video has begun, and without permission to send.
    /// Cancel-safe.
    pub(super) async fn next(&mut self, start: Option<VideoStart>) -> Arc<Fragment> {
        loop {
            if let (Some(source), Some(start)) = (&mut self.source, start) {
                source.mark_seen();
                if let Some(fragment) = self.poll(start) {
                    return fragment;
                }
            }
            match self.source.as_mut().filter(|_| start.is_some()) {
                Some(source) => source.published().await,
                None => std::future::pending().await,
            }
        }
    }

    /// The announcement and the init segment to send before the next fragment, if any.
    pub(super) fn begin(&mut self) -> Option<(ServerMessage, Arc<InitSegment>)> {
        let init = self.init.take()?;
        self.epoch += 1;
        Some((ServerMessage::Track(NewTrack { epoch: self.epoch, track: init.track(None) }), init))
    }
}

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

use super::{SendDecision, Session, SessionEnd, Socket};
use crate::hub::Stream;
use crate::hub::rendition::{Event, Protocol, Purpose, Subscription};
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
            self.source = wanted.then(|| stream.audio().subscribe(Purpose::View(Protocol::Mse)));
            self.init = None;
        }
    }

    /// Restarts with the init segment.
    pub(super) fn rewind(&mut self) {
        self.init = None;
        if let Some(source) = &mut self.source {
            source.rewind();
        }
    }

    /// The next fragment to send. Pending without permission to send, and before the video has started. Cancel-safe.
    pub(super) async fn next(&mut self, decision: SendDecision, video_start: Option<VideoStart>) -> Fragment {
        let (Some(source), Some(video_start), SendDecision::Send) = (&mut self.source, video_start, decision) else {
            return std::future::pending().await;
        };
        loop {
            self.caught_up |= source.lag() < TOLERATED_LAG;
            if self.caught_up {
                source.skip_if_behind(TOLERATED_LAG, GapReason::Behind);
            }
            match source.event().await {
                Event::Step(Step::Fragment(fragment)) => return fragment,
                Event::Step(Step::Init(init)) => {
                    source.start_at(video_start.timeline, video_start.time);
                    (self.init, self.caught_up) = (Some(init), false);
                }
                Event::Step(Step::Overrun(_) | Step::Pending) | Event::Status(_) => {}
            }
        }
    }

    /// The announcement and the init segment to send before the next fragment, if any.
    fn begin(&mut self) -> Option<(ServerMessage, Arc<InitSegment>)> {
        let init = self.init.take()?;
        self.epoch += 1;
        Some((ServerMessage::Track(NewTrack { epoch: self.epoch, track: init.track(None) }), init))
    }
}

impl Session<'_> {
    pub(super) async fn send_audio(&mut self, socket: &mut Socket, fragment: Fragment) -> Result<(), SessionEnd> {
        if let Some((track, init)) = self.audio.begin() {
            socket.send_text(track.to_json()).await?;
            self.send_init(socket, init.bytes.clone()).await?;
        }
        // The video's lag decides the variant, so it is recorded for audio too.
        let waited = self.source.lag();
        self.send_fragment(socket, &fragment.bytes, waited).await
    }
}

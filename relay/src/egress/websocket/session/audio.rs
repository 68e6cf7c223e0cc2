//! The audio of a session: whether it is wanted, and where in it the viewer is.
//!
//! It begins with the picture, as far as it is there: a player that has both from the first frame on need not seek. Then it
//! goes its own way beside the picture and through every change of variant. Nothing is announced for a source that has none.
//! What a viewer cannot take in time is left out.

use std::sync::Arc;
use std::time::Duration;

use sightline_protocol::message::{GapReason, NewTrack, ServerMessage, TrackKind};

use super::{Permit, Session, Socket, Stop};
use crate::fmp4::Fragment;
use crate::fmp4::init::InitSegment;
use crate::hub::Stream;
use crate::hub::rendition::{Event, Purpose, Subscription, Way};
use crate::hub::ring::Step;

/// A viewer whose next audio is this much older than the newest goes on with the newest: nobody listens to the past.
const TOLERATED_LAG: Duration = Duration::from_millis(500);

/// Where the picture that the viewer sees has begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beginning {
    pub(super) timeline: u32,
    pub(super) time: Duration,
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct Audio {
    /// The hold on the stream's audio while it is wanted.
    source: Option<Subscription>,
    /// An init segment that waits for its first fragment.
    init: Option<Arc<InitSegment>>,
    /// Whether it has caught up with the source since it began.
    caught_up: bool,
    /// Counts the init segments sent.
    epoch: u32,
}

impl Audio {
    /// Takes hold of the audio of `stream` or lets go of it, as `tracks` say.
    pub(super) fn want(&mut self, tracks: &[TrackKind], stream: &Stream) {
        let wanted = tracks.contains(&TrackKind::Audio);
        if wanted != self.source.is_some() {
            self.source = wanted.then(|| stream.audio().subscribe(Purpose::View(Way::Mse)));
            self.init = None;
        }
    }

    /// Starts again, with the init segment.
    pub(super) fn rewind(&mut self) {
        self.init = None;
        if let Some(source) = &mut self.source {
            source.rewind();
        }
    }

    /// The next fragment to send, and the announcement and the init segment that go before it. Cancel-safe; never ready
    /// without a permit to send, nor before the picture has begun: there is nothing for sound to go with.
    pub(super) async fn next(&mut self, permit: Permit, picture: Option<Beginning>) -> Fragment {
        let (Some(source), Some(picture), Permit::Send) = (&mut self.source, picture, permit) else {
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
                    source.start_at(picture.timeline, picture.time);
                    (self.init, self.caught_up) = (Some(init), false);
                }
                Event::Step(Step::Overrun(_) | Step::Pending) | Event::Status(_) => {}
            }
        }
    }

    /// What to send before the next fragment, if anything.
    fn begin(&mut self) -> Option<(ServerMessage, Arc<InitSegment>)> {
        let init = self.init.take()?;
        self.epoch += 1;
        Some((ServerMessage::Track(NewTrack { epoch: self.epoch, track: init.track(None) }), init))
    }
}

impl Session<'_> {
    pub(super) async fn send_audio(&mut self, socket: &mut Socket, fragment: Fragment) -> Result<(), Stop> {
        if let Some((track, init)) = self.audio.begin() {
            socket.send_text(track.to_json()).await?;
            self.send_init(socket, init.bytes.clone()).await?;
        }
        // What counts is how the picture fares.
        let waited = self.source.lag();
        self.send_fragment(socket, &fragment.bytes, waited).await
    }
}

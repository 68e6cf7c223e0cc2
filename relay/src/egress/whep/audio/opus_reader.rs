//! Reads the Opus rendition, from its newest packet on.

use std::sync::Arc;
use std::time::Duration;

use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::init::InitSegment;
use sightline_protocol::message::GapReason;
use tokio::time::Instant;

use crate::hub::Stream;
use crate::hub::rendition::{AudioForm, Event, Protocol, Purpose, Subscription};
use crate::hub::ring::Step;

/// A viewer with a longer lag resumes at the newest packet. Its receiver would play older ones late, or drop them.
const TOLERATED_LAG: Duration = Duration::from_millis(500);

/// The interval of packets of an encoder that keeps pace with the source, at least. One that starts works off the audio buffer first, in
/// a burst: a receiver that got it would expect such delays for a while, and play sound that much later.
const PACED: Duration = Duration::from_millis(10);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct OpusReader {
    source: Subscription,
    /// The init segment of the current epoch.
    init: Option<Arc<InitSegment>>,
    /// When the newest fragment of the epoch arrived.
    arrived: Option<Instant>,
    /// Whether the encoder keeps pace with the source.
    is_paced: bool,
}

impl OpusReader {
    /// Subscribes, which starts the encoder if the camera's sound is not Opus.
    pub(super) fn new(stream: &Stream) -> Self {
        let source = stream.audio(AudioForm::Opus).subscribe(Purpose::View(Protocol::WebRtc));
        Self { source, init: None, arrived: None, is_paced: false }
    }

    /// The next fragment, with the init segment of its epoch. Cancel-safe.
    pub(super) async fn next(&mut self) -> (Arc<InitSegment>, Arc<Fragment>) {
        loop {
            self.source.skip_if_behind(TOLERATED_LAG, GapReason::Behind);
            match self.source.event().await {
                Event::Step(Step::Init(init)) => {
                    (self.init, self.arrived, self.is_paced) = (Some(init), None, false);
                }
                Event::Step(Step::Fragment(fragment)) => {
                    let before = self.arrived.replace(Instant::now());
                    self.is_paced |= before.is_some_and(|before| before.elapsed() >= PACED);
                    if let Some(init) = self.init.clone().filter(|_| self.is_paced) {
                        return (init, fragment);
                    }
                }
                Event::Step(Step::Pending | Step::Overrun(_)) | Event::Status(_) => {}
            }
        }
    }
}

//! Fragmented MP4, mostly of FFmpeg's standard output, on its way into a rendition.

use std::sync::Arc;
use std::time::Duration;

use sightline_protocol::fragment::{FragmentError, FragmentHead, NtpTime};
use sightline_protocol::message::TrackKind;
use tokio::io::AsyncReadExt;
use tokio::process::ChildStdout;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tracing::info;

use super::feed::Feed;
use super::order::{Order, Publish};
use crate::clock;
use crate::fmp4::Fragment;
use crate::fmp4::capture::{SetBack, SourceClock};
use crate::fmp4::init::{InitError, InitSegment};
use crate::fmp4::splitter::{SplitError, Splitter, Unit};
use crate::hub::rendition::Rendition;

/// What a source gets for its first fragment: connecting, and then the wait for a key frame, which some cameras send
/// every ten seconds only.
pub(super) const FIRST_FRAGMENT: Duration = Duration::from_secs(20);
/// FFmpeg begins both its outputs before it writes a picture, so what audio there is has been said when the init segment
/// comes, though on another pipe; viewers are told with the first picture. What is slower than this is not waited for.
const AUDIO_KNOWN: Duration = Duration::from_millis(100);
/// Read from the pipe at a time: the capacity of a pipe (pipe(7)).
pub(super) const READ: usize = 64 * 1024;

/// Why there is no more to come.
#[derive(Debug)]
pub(super) enum Stopped {
    Ended,
    Silent(Duration),
    Init(InitError),
    Split(SplitError),
    Fragment(FragmentError),
    /// The source's clock was set back.
    SetBack,
    /// What was said of a source that the relay reads itself when that failed.
    Rtsp(String),
    /// Why the relay cannot read it itself, as it is.
    Beyond(String),
}

/// Where capture times come from.
pub(super) enum Capture {
    /// FFmpeg reads the source.
    Source(SourceClock, SetBack),
    /// FFmpeg reads what we feed it.
    Fed(Arc<Feed>),
    /// The next frame was captured at this time, in seconds since the Unix epoch.
    Known(f64),
}

impl Capture {
    /// When the frame of this fragment, which FFmpeg has just written, was captured.
    fn stamp(&mut self, head: &FragmentHead, timescale: f64) -> Option<NtpTime> {
        let start = head.decode_time as f64 / timescale;
        match self {
            Self::Source(clock, _) => {
                let duration = head.duration as f64 / timescale;
                Some(clock.stamp(start, duration, clock::now().as_secs_f64()))
            }
            Self::Fed(feed) => feed.stamp(start),
            Self::Known(captured) => Some(*captured),
        }
        .map(NtpTime::from_unix)
    }

    /// Whether the source has to be read anew because its clock was set back.
    fn set_back(&mut self, head: &FragmentHead, timescale: f64) -> bool {
        match self {
            Self::Source(_, set_back) => set_back.frame(head.duration as f64 / timescale),
            Self::Fed(_) | Self::Known(_) => false,
        }
    }
}

/// See the [module](self).
pub(super) struct Output<'a> {
    pub(super) rendition: &'a Rendition,
    pub(super) silence: Duration,
    pub(super) capture: Capture,
    pub(super) order: &'a mut Order,
    /// Which timeline of the source its decode times are on.
    pub(super) timeline: u32,
    /// Resolves once it is known what audio the source has, where that is to be found out.
    pub(super) audio_known: Option<oneshot::Receiver<()>>,
    /// When the first fragment came.
    pub(super) first: Option<Instant>,
    /// Ticks a second of the present epoch.
    pub(super) timescale: f64,
}

impl Output<'_> {
    /// Reads until there is a reason to stop.
    pub(super) async fn read(&mut self, mut stdout: ChildStdout) -> Stopped {
        let mut splitter = Splitter::default();
        loop {
            let limit = if self.first.is_some() { self.silence } else { self.silence.max(FIRST_FRAGMENT) };
            splitter.buffer().reserve(READ);
            match timeout(limit, stdout.read_buf(splitter.buffer())).await {
                Err(_) => return Stopped::Silent(limit),
                Ok(Ok(0) | Err(_)) => return Stopped::Ended,
                Ok(Ok(_)) => {}
            }
            if let Some(known) = self.audio_known.take() {
                let _ = timeout(AUDIO_KNOWN, known).await;
            }
            if let Err(stopped) = self.publish(&mut splitter) {
                return stopped;
            }
        }
    }

    fn publish(&mut self, splitter: &mut Splitter) -> Result<(), Stopped> {
        while let Some(unit) = splitter.next_unit().map_err(Stopped::Split)? {
            self.take(unit)?;
        }
        Ok(())
    }

    /// What comes next.
    pub(super) fn take(&mut self, unit: Unit) -> Result<(), Stopped> {
        let publish = match unit {
            Unit::Init(bytes) => {
                let init = InitSegment::parse(bytes, TrackKind::Video, self.timeline).map_err(Stopped::Init)?;
                self.timescale = f64::from(init.timescale.max(1));
                self.order.init(init)
            }
            Unit::Fragment(bytes) => {
                let captured = |head: &FragmentHead| self.capture.stamp(head, self.timescale);
                let fragment = Fragment::parse(bytes, captured).map_err(Stopped::Fragment)?;
                if self.capture.set_back(&fragment.head, self.timescale) {
                    return Err(Stopped::SetBack);
                }
                self.first.get_or_insert_with(Instant::now);
                self.order.fragment(fragment)
            }
        };
        for publish in publish {
            match publish {
                Publish::Epoch(init) => {
                    let (codec, order) = (&init.codec, init.order);
                    let size = init.size.map(tracing::field::display);
                    info!(rendition = %self.rendition, %codec, size, ?order, "new epoch");
                    self.rendition.start_epoch(init);
                }
                Publish::Fragment(fragment) => self.rendition.publish(fragment),
            }
        }
        Ok(())
    }
}

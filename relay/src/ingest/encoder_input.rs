//! Feeds an encoder with the fragments of another rendition, no faster than it encodes.
//!
//! FFmpeg accepts whatever fits into the pipe and its own queues: seconds of a low-bitrate stream. An encoder that is slower
//! than its source would then stay that late for as long as it runs. So only half a second, or eight frames if that is more, is in flight through it at any
//! time; what accumulates in the ring meanwhile can be skipped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sightline_media::fmp4::capture::InputCaptureTimes;
use sightline_media::fmp4::init::InitSegment;
use sightline_protocol::message::GapReason;
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::hub::rendition::{Event, Status, Subscription};
use crate::hub::ring::Step;

/// An encoder that is this far behind its source continues with a key frame: its viewers cannot skip for it.
const TOLERATED_LAG: Duration = Duration::from_secs(1);
/// An encoder that has written nothing for so long gets more: it may have lost what it was fed, or want more of it.
const WRITE_WAIT: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct EncoderInput {
    capture_times: Mutex<InputCaptureTimes>,
    written: Notify,
}

impl EncoderInput {
    /// When the frame was captured that the encoder writes at `start`; none if it was never fed.
    pub(super) fn stamp(&self, start: f64) -> Option<f64> {
        let stamp = self.capture_times().stamp(start);
        self.written.notify_one();
        stamp
    }

    /// Writes what `from` publishes to FFmpeg's standard input. Ends when that begins a new epoch or goes offline; an
    /// FFmpeg that no longer reads shows by its output.
    pub(super) async fn run(&self, stdin: Option<ChildStdin>, init: Arc<InitSegment>, mut from: Subscription) {
        let Some(mut stdin) = stdin else { return };
        if stdin.write_all(&init.bytes).await.is_err() {
            return std::future::pending().await;
        }
        loop {
            match from.event().await {
                Event::Step(Step::Fragment(fragment)) => {
                    self.wait_for_room().await;
                    if let Some(capture) = fragment.head.capture {
                        let start = fragment.head.decode_time as f64 / f64::from(init.timescale.max(1));
                        self.capture_times().push(start, capture.unix_ms() / 1e3);
                    }
                    if stdin.write_all(&fragment.bytes).await.is_err() {
                        return std::future::pending().await;
                    }
                    from.skip_if_behind(TOLERATED_LAG, GapReason::Behind);
                }
                Event::Step(Step::Init(_)) | Event::Status(Status::Offline { .. }) => return,
                Event::Step(Step::Overrun(_) | Step::Pending) | Event::Status(_) => {}
            }
        }
    }

    /// Waits while enough is on its way through the encoder.
    async fn wait_for_room(&self) {
        while self.capture_times().is_full() {
            if timeout(WRITE_WAIT, self.written.notified()).await.is_err() {
                return;
            }
        }
    }

    fn capture_times(&self) -> MutexGuard<'_, InputCaptureTimes> {
        self.capture_times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

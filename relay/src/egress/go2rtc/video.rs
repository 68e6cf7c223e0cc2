//! The fragments of one `mse` viewer, on a timeline of its own that begins at 0.
//!
//! go2rtc's players append every message to one SourceBuffer, and seek to 5 s behind its end. They open a new connection when
//! this one closes, 15 s after it was opened at the earliest. Several never do so after a failed attempt by WebRTC. So a viewer
//! stays while its source restarts: if the new init segment equals the one that it has, the timeline continues, as after a skip.
//! Otherwise the session ends.

use std::sync::Arc;

use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::init::InitSegment;
use sightline_media::fmp4::media_times::Retiming;
use sightline_protocol::close;
use sightline_protocol::codec::VideoCodec;
use sightline_protocol::message::GapReason;
use sightline_protocol::stream::Variant;
use tokio::time::{Instant, timeout_at};

use super::message::{MSE, about};
use crate::egress::SOURCE_START_TIMEOUT;
use crate::egress::select::{Choice, Wanted};
use crate::egress::variant_reader::{VariantReader, VideoEvent};
use crate::egress::websocket::{TOLERATED_LAG, TOLERATED_LAG_MAX, Timeline, ViewerFault};
use crate::hub::Stream;
use crate::hub::rendition::{Protocol, Status};
use crate::limits::permit::Permit;

/// What the viewer is sent.
#[derive(Debug)]
pub(super) enum VideoMedia {
    /// The MIME type, and the init segment.
    Init(Arc<InitSegment>),
    /// A fragment with its times.
    Fragment(Arc<Fragment>, Retiming),
}

/// See the [module](self).
pub(super) struct Video {
    reader: VariantReader,
    /// The init segment that was sent, and the timeline of the fragments after it.
    epoch: Option<(Arc<InitSegment>, Timeline)>,
    /// The time limit of a source that sends nothing.
    until: Option<Instant>,
    _permit: Permit,
}

impl Video {
    /// The video of a viewer that plays `playable`.
    pub(super) fn new(stream: &Stream, playable: Vec<VideoCodec>, permit: Permit) -> Self {
        let copy = stream.subscribe(Variant::Copy, Protocol::Go2rtc);
        let wanted = Wanted::Choice(Choice::default(), playable);
        let reader = VariantReader::new(stream.clone(), Protocol::Go2rtc, copy, wanted);
        Self { reader, epoch: None, until: Some(Instant::now() + SOURCE_START_TIMEOUT), _permit: permit }
    }

    /// The next message. Cancel-safe. A viewer that is behind continues at the newest key frame.
    ///
    /// # Errors
    /// The source sends no video, or other video than the viewer can append.
    pub(super) async fn next(&mut self) -> Result<VideoMedia, ViewerFault> {
        loop {
            if let Some((_, timeline)) = &self.epoch {
                let tolerated = if timeline.is_whole() { TOLERATED_LAG } else { TOLERATED_LAG_MAX };
                self.reader.skip_if_behind(tolerated, GapReason::Behind);
            }
            let event = match self.until {
                Some(until) => timeout_at(until, self.reader.next(true)).await.map_err(|_| silent())?,
                None => self.reader.next(true).await,
            };
            if let Some(media) = self.handle(event)? {
                return Ok(media);
            }
        }
    }

    fn handle(&mut self, event: VideoEvent) -> Result<Option<VideoMedia>, ViewerFault> {
        match event {
            VideoEvent::Epoch(init) => match &self.epoch {
                Some((sent, _)) if continues(sent, &init) => Ok(None),
                Some(_) => Err(fault(close::SOURCE_RESTARTED, "the source restarted in another format; connect again")),
                None => {
                    let timeline = Timeline::new(&init, self.reader.rendition().usual_duration());
                    self.epoch = Some((init.clone(), timeline));
                    Ok(Some(VideoMedia::Init(init)))
                }
            },
            VideoEvent::Frame(fragment) => {
                self.until = None;
                let retiming = self.epoch.as_mut().and_then(|(_, timeline)| timeline.retime(&fragment.head));
                Ok(retiming.map(|retiming| VideoMedia::Fragment(fragment, retiming)))
            }
            VideoEvent::Status(Status::Offline { message, .. }) if self.epoch.is_none() => {
                Err(fault(close::UNAVAILABLE, message))
            }
            VideoEvent::Status(Status::Offline { .. }) => {
                self.until.get_or_insert_with(|| Instant::now() + SOURCE_START_TIMEOUT);
                Ok(None)
            }
            VideoEvent::Gap(_) | VideoEvent::Status(_) => Ok(None),
        }
    }
}

/// Whether fragments of `new` may follow those of `sent` without its init segment.
fn continues(sent: &InitSegment, new: &InitSegment) -> bool {
    sent.bytes == new.bytes && sent.timescale == new.timescale && sent.reordering == new.reordering
}

fn fault(code: u16, message: impl std::fmt::Display) -> ViewerFault {
    ViewerFault::new(code, about(MSE, message))
}

fn silent() -> ViewerFault {
    let seconds = SOURCE_START_TIMEOUT.as_secs();
    fault(close::UNAVAILABLE, format!("the source sent no video for {seconds} s; check the camera"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sightline_protocol::message::OfflineReason;

    use super::*;
    use crate::config::Limits;
    use crate::egress::test_stream::{H264, H265, publish, start_epoch, stream};
    use crate::limits::LiveLimits;
    use crate::limits::viewers::ViewerLimiter;

    /// A viewer of a stream that plays these codecs.
    fn video(stream: &Stream, playable: &[&str]) -> Video {
        let viewers = ViewerLimiter::new(LiveLimits::new(Limits::default()));
        let permit = viewers.acquire(&"cam".parse().unwrap(), None).unwrap();
        Video::new(stream, playable.iter().map(|codec| codec.parse().unwrap()).collect(), permit)
    }

    /// The decode time of the next fragment; the codec of an init segment as an error.
    async fn next(video: &mut Video) -> Result<u64, String> {
        match video.next().await.unwrap() {
            VideoMedia::Fragment(_, retiming) => Ok(retiming.decode_time),
            VideoMedia::Init(init) => Err(init.codec.to_string()),
        }
    }

    fn fail(stream: &Stream) {
        let (reason, message) = (OfflineReason::Ended, "it ended".into());
        stream.rendition(Variant::Copy).fail(Status::Offline { reason, message, retry_at: Instant::now() });
    }

    fn begin(stream: &Stream, variant: Variant, codec: &str) {
        start_epoch(stream, variant, codec, false);
        publish(stream, variant, 9000, true);
        publish(stream, variant, 9040, false);
    }

    #[tokio::test(start_paused = true)]
    async fn timeline_continues_over_a_restart_in_the_same_format() {
        let stream = stream();
        let mut video = video(&stream, &["avc1.640029"]);
        begin(&stream, Variant::Copy, H264);
        assert_eq!(next(&mut video).await, Err(H264.to_owned()));
        assert_eq!((next(&mut video).await, next(&mut video).await), (Ok(0), Ok(40)));
        fail(&stream);
        begin(&stream, Variant::Copy, H264);
        assert_eq!((next(&mut video).await, next(&mut video).await), (Ok(80), Ok(120)));
    }

    #[tokio::test(start_paused = true)]
    async fn restart_in_another_format_ends_the_session() {
        let stream = stream();
        let mut video = video(&stream, &["avc1.640029", "hvc1.1.6.L153.B0"]);
        begin(&stream, Variant::Copy, H265);
        assert_eq!(next(&mut video).await, Err(H265.to_owned()));
        assert_eq!((next(&mut video).await, next(&mut video).await), (Ok(0), Ok(40)));
        stream.rendition(Variant::Copy).start_epoch(InitSegment {
            bytes: bytes::Bytes::from_static(b"other"),
            ..InitSegment::clone(&stream.rendition(Variant::Copy).init().unwrap())
        });
        publish(&stream, Variant::Copy, 0, true);
        let fault = video.next().await.unwrap_err();
        assert_eq!(fault.code, close::SOURCE_RESTARTED);
        assert!(fault.message.starts_with("mse: the source restarted"), "{}", fault.message);
    }

    #[tokio::test(start_paused = true)]
    async fn source_that_stays_away_ends_the_session_in_time() {
        let stream = stream();
        let mut early = video(&stream, &["avc1.640029"]);
        let begun = Instant::now();
        let fault = early.next().await.unwrap_err();
        assert_eq!((fault.code, begun.elapsed()), (close::UNAVAILABLE, SOURCE_START_TIMEOUT));
        assert!(fault.message.starts_with("mse: the source sent no video for 25 s"), "{}", fault.message);

        let mut playing = video(&stream, &["avc1.640029"]);
        begin(&stream, Variant::Copy, H264);
        next(&mut playing).await.unwrap_err();
        assert_eq!((next(&mut playing).await, next(&mut playing).await), (Ok(0), Ok(40)));
        fail(&stream);
        let begun = Instant::now();
        let fault = playing.next().await.unwrap_err();
        assert_eq!((fault.code, begun.elapsed()), (close::UNAVAILABLE, SOURCE_START_TIMEOUT));

        let mut refused = video(&stream, &["avc1.640029"]);
        let (fault, ()) = tokio::join!(refused.next(), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            stream.rendition(Variant::Copy).set_status(Status::Starting);
            fail(&stream);
        });
        assert_eq!(fault.unwrap_err().message, "mse: it ended");
    }
}

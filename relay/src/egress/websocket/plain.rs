//! The plain dialect, the original contract that existing clients use:
//!
//! 1. The client may send the text `h264` first. `?quality=low` in its address asks for the variant `low`.
//! 2. The relay sends `codec:hevc` or `codec:h264`, the stream's actual codec.
//! 3. The relay sends the init segment and the fragments, on a timeline of the viewer's own that starts at 0 ([`Timeline`]).
//!    Concatenated, they are a playable file.
//!
//! All other messages of the client are ignored: binary messages, other texts, `h264` after the relay's response. An error is
//! sent as `error:<reason>` with a close code of [`close`].

mod timeline;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sightline_media::fmp4::init::InitSegment;
use sightline_protocol::close;
use sightline_protocol::codec::{Family, VideoCodec};
use sightline_protocol::message::GapReason;
use sightline_protocol::stream::Quality;
use tokio::time::timeout;
use tokio_websockets::Message;

use super::session::ViewerFault;
use super::socket::MESSAGE_MAX;
use super::{AdmittedViewer, Dialect, SessionEnd, Socket};
use crate::egress::SOURCE_START_TIMEOUT;
use crate::egress::select::Wanted;
use crate::egress::variant_reader::{VariantReader, VideoEvent, first_variant};
use crate::hub::Stream;
use crate::hub::rendition::{Protocol, Status};

pub(in crate::egress) use timeline::Timeline;

/// Time to wait for the client's `h264`.
const REQUEST_WAIT: Duration = Duration::from_millis(300);
/// A viewer with a longer lag resumes at a key frame. The socket is the only measure of a plain viewer's link.
pub(in crate::egress) const TOLERATED_LAG: Duration = Duration::from_secs(1);
/// The same limit while frames with an earlier presentation time are still to come.
pub(in crate::egress) const TOLERATED_LAG_MAX: Duration = Duration::from_secs(2);

/// See the [module](self).
pub(super) struct Plain;

impl Dialect for Plain {
    const NAME: &'static str = "plain";
    const MESSAGE_MAX: usize = MESSAGE_MAX;

    fn error(fault: &ViewerFault) -> String {
        format!("error:{}", fault.message)
    }

    async fn run(&mut self, socket: &mut Socket, viewer: &AdmittedViewer) -> Result<Infallible, SessionEnd> {
        let _permit = viewer.permit()?;
        run(socket, &viewer.stream, viewer.quality.unwrap_or_default()).await
    }
}

async fn run(socket: &mut Socket, stream: &Stream, quality: Quality) -> Result<Infallible, SessionEnd> {
    // Starts the source while waiting for the client's first message.
    let first = stream.subscribe(first_variant(stream, &Wanted::Family(None, quality), None), Protocol::Plain);
    let wish = requested_codec(socket).await?;
    let mut video = VariantReader::new(stream.clone(), Protocol::Plain, first, Wanted::Family(wish, quality));
    let init = tokio::select! {
        started = first_epoch(&mut video) => started?,
        ended = wait_for_close(socket) => return Err(ended),
    };
    socket.send_text(format!("codec:{}", family_of(&init).plain_name())).await?;
    socket.send_init(init.bytes.clone()).await?;
    let timeline = Timeline::new(&init, video.rendition().usual_duration());
    play(socket, video, timeline).await
}

/// The codec that the client's first text requests. `None` if no text arrives in time.
async fn requested_codec(socket: &mut Socket) -> Result<Option<Family>, SessionEnd> {
    let first_text = async {
        loop {
            let message = socket.receive().await?;
            if message.is_text() {
                return Ok(parse_request(&message));
            }
        }
    };
    timeout(REQUEST_WAIT, first_text).await.unwrap_or(Ok(None))
}

/// The codec that a message requests.
pub(super) fn parse_request(message: &Message) -> Option<Family> {
    (message.as_text() == Some("h264")).then_some(Family::H264)
}

/// Reads and ignores messages until the client leaves. Cancel-safe.
async fn wait_for_close(socket: &mut Socket) -> SessionEnd {
    loop {
        if let Err(ended) = socket.receive().await {
            return ended;
        }
    }
}

/// The codec family of a video track.
fn family_of(init: &InitSegment) -> Family {
    init.video_codec().map_or(Family::H264, VideoCodec::family)
}

/// Waits for the epoch of the selected variant.
async fn first_epoch(video: &mut VariantReader) -> Result<Arc<InitSegment>, ViewerFault> {
    let first = async {
        loop {
            match video.next(true).await {
                VideoEvent::Epoch(init) => return Ok(init),
                VideoEvent::Status(Status::Offline { message, .. }) => return Err(unavailable(message.to_string())),
                VideoEvent::Frame(_) | VideoEvent::Gap(_) | VideoEvent::Status(_) => {}
            }
        }
    };
    let late = format!("the source sent no video for {} s; check the camera", SOURCE_START_TIMEOUT.as_secs());
    timeout(SOURCE_START_TIMEOUT, first).await.unwrap_or(Err(unavailable(late)))
}

fn unavailable(message: impl Into<String>) -> ViewerFault {
    ViewerFault::new(close::UNAVAILABLE, message)
}

async fn play(socket: &mut Socket, mut video: VariantReader, mut timeline: Timeline) -> Result<Infallible, SessionEnd> {
    loop {
        let event = tokio::select! {
            event = video.next(true) => event,
            ended = wait_for_close(socket) => return Err(ended),
        };
        match event {
            VideoEvent::Frame(fragment) => {
                if let Some(retiming) = timeline.retime(&fragment.head) {
                    socket.send_retimed(&fragment.bytes, retiming).await?;
                }
                let tolerated = if timeline.is_whole() { TOLERATED_LAG } else { TOLERATED_LAG_MAX };
                video.skip_if_behind(tolerated, GapReason::Behind);
            }
            VideoEvent::Epoch(_) => {
                let message = "the source restarted; connect again";
                return Err(ViewerFault::new(close::SOURCE_RESTARTED, message).into());
            }
            VideoEvent::Status(Status::Offline { message, .. }) => {
                return Err(unavailable(message.to_string()).into());
            }
            VideoEvent::Gap(_) | VideoEvent::Status(_) => {}
        }
    }
}

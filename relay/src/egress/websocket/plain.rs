//! The plain dialect, the original contract that existing clients speak:
//!
//! 1. the client may send the text `h264` first;
//! 2. the relay answers `codec:hevc` or `codec:h264`, which is what the stream really is;
//! 3. then come the init segment and the fragments; put end to end they are a playable file.
//!
//! What fails is told as `error:<reason>` and a close code of [`close`].

use std::sync::Arc;
use std::time::Duration;

use sightline_protocol::close;
use sightline_protocol::codec::{Family, VideoCodec};
use sightline_protocol::message::GapReason;
use sightline_protocol::stream::Variant;
use tokio::time::{Instant, timeout};
use tokio_websockets::Message;

use super::{Ended, Socket};
use crate::fmp4::init::InitSegment;
use crate::hub::Stream;
use crate::hub::rendition::{Event, Purpose, Status, Subscription, Way};
use crate::hub::ring::Step;

/// How long the relay waits for the client's wish.
const WISH: Duration = Duration::from_millis(300);
/// How long a viewer waits for a source that is starting: longer than the slowest that still comes.
const START: Duration = Duration::from_secs(25);
/// The socket is the only measure of a plain viewer: one that is this far behind resumes at a key frame.
const TOLERATED_LAG: Duration = Duration::from_secs(1);

pub(super) async fn run(socket: &mut Socket, stream: &Stream) -> Ended {
    // The source starts while we wait for the wish.
    let copy = stream.rendition(Variant::Copy).subscribe(Purpose::View(Way::Plain));
    let wish = match wish(socket).await {
        Ok(wish) => wish,
        Err(ended) => return ended,
    };
    let started = tokio::select! {
        started = start(stream, copy, wish) => started,
        ended = left(socket) => return ended,
    };
    match started {
        Ok((subscription, family, init)) => {
            let codec = format!("codec:{}", family.plain_name());
            if let Err(ended) = socket.send_text(codec).await {
                return ended;
            }
            match socket.send_init(init).await {
                Ok(()) => play(socket, subscription).await,
                Err(ended) => ended,
            }
        }
        Err(message) => super::refuse(socket, false, close::UNAVAILABLE, &message).await,
    }
}

/// What the client asks for; nothing, if it asks for nothing in time.
async fn wish(socket: &mut Socket) -> Result<Option<Family>, Ended> {
    match timeout(WISH, socket.receive()).await {
        Ok(message) => Ok(wished(&message?)),
        Err(_) => Ok(None),
    }
}

/// What a message asks for.
pub(super) fn wished(message: &Message) -> Option<Family> {
    (message.as_text() == Some("h264")).then_some(Family::H264)
}

/// Reads, and passes over, what the client says until it leaves. Cancel-safe.
async fn left(socket: &mut Socket) -> Ended {
    loop {
        if let Err(ended) = socket.receive().await {
            return ended;
        }
    }
}

/// Waits for the epoch of the variant to send. An error is the reason for the viewer.
async fn start(
    stream: &Stream,
    mut copy: Subscription,
    wish: Option<Family>,
) -> Result<(Subscription, Family, bytes::Bytes), String> {
    let deadline = Instant::now() + START;
    let init = first_init(&mut copy, deadline).await?;
    let family = family_of(&init);
    if wish.is_none_or(|wish| wish == family) {
        return Ok((copy, family, init.bytes.clone()));
    }
    let mut h264 = stream.rendition(Variant::H264).subscribe(Purpose::View(Way::Plain));
    let init = first_init(&mut h264, deadline).await?;
    Ok((h264, family_of(&init), init.bytes.clone()))
}

/// The family of a variant's codec, which is video's.
fn family_of(init: &InitSegment) -> Family {
    init.video_codec().map_or(Family::H264, VideoCodec::family)
}

async fn first_init(subscription: &mut Subscription, deadline: Instant) -> Result<Arc<InitSegment>, String> {
    if let Status::Offline { message, .. } = subscription.current_status() {
        return Err(message.to_string());
    }
    loop {
        match tokio::time::timeout_at(deadline, subscription.event()).await {
            Ok(Event::Step(Step::Init(init))) => return Ok(init),
            Ok(Event::Status(Status::Offline { message, .. })) => return Err(message.to_string()),
            Ok(_) => {}
            Err(_) => return Err(format!("the source sent no picture for {} s; check the camera", START.as_secs())),
        }
    }
}

async fn play(socket: &mut Socket, mut subscription: Subscription) -> Ended {
    loop {
        let event = tokio::select! {
            event = subscription.event() => event,
            ended = left(socket) => return ended,
        };
        match event {
            Event::Step(Step::Fragment(fragment)) => {
                if let Err(ended) = socket.send_fragment(&fragment.bytes).await {
                    return ended;
                }
                subscription.skip_if_behind(TOLERATED_LAG, GapReason::Behind);
            }
            Event::Step(Step::Init(_)) => {
                let message = "the source restarted; connect again";
                return super::refuse(socket, false, close::SOURCE_RESTARTED, message).await;
            }
            Event::Status(Status::Offline { message, .. }) => {
                return super::refuse(socket, false, close::UNAVAILABLE, &message).await;
            }
            Event::Step(Step::Overrun(_) | Step::Pending) | Event::Status(_) => {}
        }
    }
}

//! The `sightline.v1` dialect: [`sightline_protocol::message`] in both directions, media in between.
//!
//! [`Session`] decides, without a socket and without a clock; the simulation drives it too. This is the loop around it. It waits
//! for one input at a time, writes the resulting actions, and lets the session see changes of the ring meanwhile.

use std::convert::Infallible;
use std::time::Duration;

use sightline_protocol::message::{ClientMessage, ErrorKind, Play, ServerMessage};
use sightline_protocol::stream::{Quality, Variant};
use sightline_protocol::{SUBPROTOCOL, close};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_websockets::Message;

use super::session::{self, Now, Session, SessionAction, SessionInput, ViewerFault};
use super::socket::MESSAGE_MAX;
use super::{AdmittedViewer, CloseReason, Dialect, SessionEnd, Socket};
use crate::clock;
use crate::hub::Stream;
use crate::hub::rendition::Protocol;
use crate::net::escaped::Escaped;

/// Time limit for a viewer's `play` message.
const PLAY_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval of pings: short enough to detect a dead link in seconds and to keep tunnels from closing an idle one.
const PING: Duration = Duration::from_secs(5);

/// See the [module](self).
pub(super) struct V1;

impl Dialect for V1 {
    const NAME: &'static str = SUBPROTOCOL;
    const SUBPROTOCOL: Option<&'static str> = Some(SUBPROTOCOL);
    const MESSAGE_MAX: usize = MESSAGE_MAX;

    fn error(fault: &ViewerFault) -> String {
        error(fault.code, &fault.message)
    }

    async fn run(&mut self, socket: &mut Socket, viewer: &AdmittedViewer) -> Result<Infallible, SessionEnd> {
        let _permit = viewer.permit()?;
        run(socket, &viewer.stream, viewer.quality).await
    }
}

/// The error message that precedes a close with `code`.
fn error(code: u16, message: &str) -> String {
    let kind = match code {
        close::UNKNOWN_STREAM => ErrorKind::UnknownStream,
        close::FORBIDDEN => ErrorKind::Forbidden,
        close::TOO_SLOW => ErrorKind::TooSlow,
        close::TOO_MANY => ErrorKind::TooMany,
        _ => ErrorKind::BadRequest,
    };
    ServerMessage::Error { kind, message: message.to_owned() }.to_json()
}

/// Serves a viewer. `quality` is that of the address, for a `play` without one.
async fn run(socket: &mut Socket, stream: &Stream, quality: Option<Quality>) -> Result<Infallible, SessionEnd> {
    // Starts the source while the viewer sends its `play`, unless that says which of two it is.
    let copy = (!stream.has_sub()).then(|| stream.subscribe(Variant::Copy, Protocol::Mse));
    let mut play = first_message(socket).await?;
    play.quality = play.quality.or(quality);
    let first = || stream.subscribe(session::first_variant(stream, &play), Protocol::Mse);
    serve(socket, Session::new(stream.clone(), copy.unwrap_or_else(first), &play)).await
}

async fn first_message(socket: &mut Socket) -> Result<Play, SessionEnd> {
    if let Ok(message) = timeout(PLAY_TIMEOUT, socket.receive()).await
        && let ClientMessage::Play(play) = parse(&message?)?
    {
        return Ok(play);
    }
    Err(ViewerFault::bad_request("the first message must be `play`").into())
}

pub(super) fn parse(message: &Message) -> Result<ClientMessage, ViewerFault> {
    let text = message.as_text().ok_or_else(|| ViewerFault::bad_request("viewers send text, not binary messages"))?;
    serde_json::from_str(text)
        .map_err(|error| ViewerFault::bad_request(format!("not a message of sightline.v1: {}", Escaped(error))))
}

/// Runs the session until it stops.
async fn serve(socket: &mut Socket, mut session: Session) -> Result<Infallible, SessionEnd> {
    let began = Instant::now();
    let now = || Now { time: began.elapsed(), unix_ms: clock::unix_ms() };
    let mut pings = interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        write(socket, &mut session).await?;
        let decision = session.advance(now())?;
        write(socket, &mut session).await?;
        // Frequent events come first, so that each fragment polls the rest once and not twice.
        let input = tokio::select! {
            biased;
            input = session.next(decision) => input,
            message = socket.receive() => SessionInput::Message(parse(&message?)?),
            _ = pings.tick() => SessionInput::Heartbeat,
        };
        session.handle(input, now())?;
    }
}

async fn write(socket: &mut Socket, session: &mut Session) -> Result<(), CloseReason> {
    while let Some(action) = session.next_action() {
        match action {
            SessionAction::Message(message) => socket.send_text(message.to_json()).await?,
            SessionAction::Status(status) => {
                socket.send_text(ServerMessage::State(status.to_wire(Instant::now())).to_json()).await?;
            }
            SessionAction::Init(bytes) => socket.send_init(bytes).await?,
            SessionAction::Fragment(fragment) => socket.send_fragment(&fragment.bytes).await?,
        }
    }
    Ok(())
}

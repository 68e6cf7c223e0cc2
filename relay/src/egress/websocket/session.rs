//! The `sightline.v1` dialect: [`sightline_protocol::message`] in both directions, media in between.
//!
//! A session sends one variant and holds a [`Subscription`] to it ([`media`]). It starts with `copy`, because the camera's
//! format decides the viewer's variant; nothing is sent before the format is known. While another variant starts, the session
//! keeps sending the previous one, so that the video never stops ([`variant`]). [`AbrController`] decides how much is sent and
//! whether it is `low`. Audio is sent independently of video ([`audio`]).

mod audio;
mod media;
mod variant;

use std::sync::Arc;
use std::time::Duration;

use sightline_media::fmp4::init::InitSegment;
use sightline_protocol::close;
use sightline_protocol::codec::VideoCodec;
use sightline_protocol::message::{
    Ack, ClientMessage, ErrorKind, GapReason, Ping, Play, Pong, ServerMessage, VariantReason,
};
use sightline_protocol::stream::Variant;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_websockets::Message;

use super::abr_controller::{AbrController, PingRequest};
use super::send_window::{ImpossibleAck, SendDecision};
use super::variant_selector::Level;
use super::{CloseReason, Socket};
use crate::clock;
use crate::egress::select::CameraFormat;
use crate::hub::Stream;
use crate::hub::rendition::{Event, InFlightBytes, Protocol, Status, Subscription};
use crate::net::foreign::Foreign;
use audio::{AudioTrack, VideoStart};
use variant::NextVariant;

/// Time limit for a viewer's `play` message.
const PLAY_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval of pings: short enough to detect a dead link in seconds and to keep tunnels from closing an idle one.
const PING: Duration = Duration::from_secs(5);
/// A viewer without any message for this long, not even a pong, is gone, whatever its socket says.
const VIEWER_TIMEOUT: Duration = Duration::from_secs(12);
/// Why a session stops: it ended, or the viewer is refused with a close code and a message.
pub(super) enum SessionEnd {
    Closed(CloseReason),
    Refuse(u16, String),
}

impl From<ImpossibleAck> for SessionEnd {
    fn from(error: ImpossibleAck) -> Self {
        Self::Refuse(close::BAD_REQUEST, error.to_string())
    }
}

impl From<CloseReason> for SessionEnd {
    fn from(ended: CloseReason) -> Self {
        Self::Closed(ended)
    }
}

/// The error message that precedes a close with `code`.
pub(super) fn error(code: u16, message: &str) -> String {
    let kind = match code {
        close::UNKNOWN_STREAM => ErrorKind::UnknownStream,
        close::FORBIDDEN => ErrorKind::Forbidden,
        close::TOO_SLOW => ErrorKind::TooSlow,
        close::TOO_MANY => ErrorKind::TooMany,
        _ => ErrorKind::BadRequest,
    };
    ServerMessage::Error { kind, message: message.to_owned() }.to_json()
}

pub(super) async fn run(socket: &mut Socket, stream: &Stream) -> CloseReason {
    // Starts the source while the viewer sends its `play`.
    let copy = stream.subscribe(Variant::Copy, Protocol::Mse);
    let stop = match first_message(socket).await {
        Ok(play) => {
            let mut session = Session::new(stream, copy, play);
            let Err(stop) = session.run(socket).await;
            stop
        }
        Err(stop) => stop,
    };
    match stop {
        SessionEnd::Closed(ended) => ended,
        SessionEnd::Refuse(code, message) => super::refuse(socket, true, code, &message).await,
    }
}

async fn first_message(socket: &mut Socket) -> Result<Play, SessionEnd> {
    let expected = || SessionEnd::Refuse(close::BAD_REQUEST, "the first message must be `play`".to_owned());
    match timeout(PLAY_TIMEOUT, socket.receive()).await {
        Ok(message) => match parse(&message?)? {
            ClientMessage::Play(play) => Ok(play),
            _ => Err(expected()),
        },
        Err(_) => Err(expected()),
    }
}

pub(super) fn parse(message: &Message) -> Result<ClientMessage, SessionEnd> {
    let refuse = |why: String| SessionEnd::Refuse(close::BAD_REQUEST, why);
    let text = message.as_text().ok_or_else(|| refuse("viewers send text, not binary messages".to_owned()))?;
    serde_json::from_str(text).map_err(|error| refuse(format!("not a message of sightline.v1: {}", Foreign(error))))
}

/// The viewer's last `play` message.
struct Request {
    play: Play,
    playable: Vec<VideoCodec>,
}

impl Request {
    fn new(play: Play) -> Self {
        Self { playable: playable(&play), play }
    }
}

/// The choice of the variant to send.
struct Selection {
    /// The camera's format, once it is known.
    camera: Option<CameraFormat>,
    why: VariantReason,
    /// The variant for a link that carries it.
    full: Variant,
    /// The last known rate of the full variant, in bytes per second.
    full_rate: Option<f64>,
    /// The level that the variant was chosen for.
    level: Level,
}

impl Default for Selection {
    fn default() -> Self {
        Self { camera: None, why: VariantReason::Untouched, full: Variant::Copy, full_rate: None, level: Level::Full }
    }
}

/// The video that the viewer is sent.
#[derive(Default)]
struct VideoTrack {
    /// An init segment that waits for its first fragment.
    init: Option<Arc<InitSegment>>,
    /// Number of init segments sent.
    epoch: u32,
    /// The start of the video. `None` while it is awaited.
    start: Option<VideoStart>,
}

struct Session<'a> {
    stream: &'a Stream,
    request: Request,
    selection: Selection,
    /// The variant that is sent, or awaited before the first `ready`.
    source: Subscription,
    /// The variant that replaces `source` once it has a key frame.
    next: Option<NextVariant>,
    /// `low`, while it may soon be wanted.
    standby: Option<Subscription>,
    video: VideoTrack,
    audio: AudioTrack,
    abr: AbrController,
    in_flight_bytes: InFlightBytes,
    /// Whether the viewer has paused.
    paused: bool,
    /// Whether sending was held back since the last message.
    held: bool,
    began: Instant,
    /// The time of the viewer's last message.
    last_message: Instant,
}

impl<'a> Session<'a> {
    fn new(stream: &'a Stream, copy: Subscription, play: Play) -> Self {
        let mut audio = AudioTrack::default();
        audio.want(&play.tracks, stream);
        Self {
            stream,
            request: Request::new(play),
            selection: Selection::default(),
            in_flight_bytes: InFlightBytes::new(copy.rendition().clone()),
            source: copy,
            next: None,
            standby: None,
            video: VideoTrack::default(),
            audio,
            abr: AbrController::default(),
            paused: false,
            held: false,
            began: Instant::now(),
            last_message: Instant::now(),
        }
    }

    /// Runs until the session stops.
    async fn run(&mut self, socket: &mut Socket) -> Result<std::convert::Infallible, SessionEnd> {
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let status = self.source.current_status();
        self.send_status(socket, &status).await?;
        loop {
            let decision = self.send_decision(socket).await?;
            // Frequent events come first, so that each fragment polls the rest once and not twice.
            tokio::select! {
                biased;
                event = permitted(&mut self.source, decision) => self.forward(socket, event).await?,
                message = socket.receive() => self.handle(socket, &message?).await?,
                fragment = self.audio.next(decision, self.video.start) => self.send_audio(socket, fragment).await?,
                event = variant::standby_event(&mut self.next) => self.on_standby_event(socket, event).await?,
                _ = pings.tick() => self.heartbeat(socket).await?,
            }
            self.apply_abr(socket).await?;
            self.in_flight_bytes.set(self.source.rendition(), self.abr.in_flight());
        }
    }

    /// Whether the session may send now. Skips to a key frame after a hold.
    async fn send_decision(&mut self, socket: &mut Socket) -> Result<SendDecision, SessionEnd> {
        match self.abr.send_decision(self.time()) {
            SendDecision::Close => {
                let message = "nothing was acknowledged for 10 s; connect again".to_owned();
                Err(SessionEnd::Refuse(close::TOO_SLOW, message))
            }
            _ if self.paused => Ok(SendDecision::Hold),
            SendDecision::Send if !self.waits_for_low() => {
                if std::mem::take(&mut self.held) {
                    self.skip(socket, self.tolerated_lag(), GapReason::Behind).await?;
                }
                Ok(SendDecision::Send)
            }
            SendDecision::Send | SendDecision::Hold => {
                self.held = true;
                Ok(SendDecision::Hold)
            }
        }
    }

    async fn handle(&mut self, socket: &mut Socket, message: &Message) -> Result<(), SessionEnd> {
        self.last_message = Instant::now();
        match parse(message)? {
            ClientMessage::Ack(Ack { received, at, .. }) => {
                let now = self.time();
                if let Some(age) = self.abr.on_ack(received, at, now)? {
                    self.source.rendition().stats().record_delivery(age);
                }
            }
            ClientMessage::Ping(ping) => {
                let pong = ServerMessage::Pong(Pong { sent: ping.sent, at: clock::unix_ms(), received: None });
                socket.send_text(pong.to_json()).await?;
            }
            ClientMessage::Pong(Pong { sent, at, received }) => {
                let now = self.time();
                self.abr.on_pong(sent, at, received, now)?;
            }
            ClientMessage::Pause => self.pause(),
            ClientMessage::Resume => self.resume(socket).await?,
            ClientMessage::Switch { variant } => {
                self.request.play.variant = variant;
                self.choose(socket).await?;
            }
            ClientMessage::Tracks { tracks } => self.audio.want(&tracks, self.stream),
            ClientMessage::Play(play) => {
                self.audio.want(&play.tracks, self.stream);
                self.request = Request::new(play);
                self.choose(socket).await?;
            }
        }
        Ok(())
    }

    fn pause(&mut self) {
        self.paused = true;
        self.abr.interrupted(self.time());
    }

    /// Resumes after a pause. Restarts with the init segment for a viewer that has not paused.
    async fn resume(&mut self, socket: &mut Socket) -> Result<(), SessionEnd> {
        self.abr.interrupted(self.time());
        if std::mem::take(&mut self.paused) {
            return self.skip(socket, Duration::ZERO, GapReason::Paused).await;
        }
        (self.video.init, self.video.start) = (None, None);
        self.source.rewind();
        self.audio.rewind();
        Ok(())
    }

    /// Applies the decisions after the latest acknowledgements: another variant, or pings.
    async fn apply_abr(&mut self, socket: &mut Socket) -> Result<(), SessionEnd> {
        self.update_standby();
        if self.abr.level() != self.selection.level {
            self.choose(socket).await?;
        }
        if self.paused {
            return Ok(());
        }
        let rates = self.rates();
        match self.abr.ping_due(rates, self.time()) {
            Some(PingRequest::One(padding)) => self.ping(socket, padding, false).await,
            Some(PingRequest::Train(padding)) => {
                self.ping(socket, 0, false).await?;
                self.ping(socket, padding, true).await
            }
            None => Ok(()),
        }
    }

    /// Pings the viewer, or closes the session if the viewer has been silent for too long.
    async fn heartbeat(&mut self, socket: &mut Socket) -> Result<(), SessionEnd> {
        if self.last_message.elapsed() > VIEWER_TIMEOUT {
            return Err(SessionEnd::Refuse(
                close::TOO_SLOW,
                "no message from the viewer for 12 s; connect again".to_owned(),
            ));
        }
        self.ping(socket, 0, false).await
    }

    async fn ping(&mut self, socket: &mut Socket, padding: usize, train: bool) -> Result<(), SessionEnd> {
        // Whole milliseconds survive the round trip through JSON.
        let ping = Ping { sent: clock::unix_ms().round(), padding: ".".repeat(padding) };
        self.abr.on_ping_sent(ping.sent, padding, train, self.time());
        Ok(socket.send_text(ServerMessage::Ping(ping).to_json()).await?)
    }

    async fn send_status(&mut self, socket: &mut Socket, status: &Status) -> Result<(), SessionEnd> {
        let state = ServerMessage::State(status.to_wire(Instant::now()));
        Ok(socket.send_text(state.to_json()).await?)
    }

    /// The time since the session began.
    fn time(&self) -> Duration {
        self.began.elapsed()
    }
}

/// The codecs that the viewer plays. Ignores codecs that the relay never sends.
pub(super) fn playable(play: &Play) -> Vec<VideoCodec> {
    play.codecs.iter().filter_map(|codec| codec.parse().ok()).collect()
}

/// The next event of `source`. Without permission to send, only changes of its status.
async fn permitted(source: &mut Subscription, decision: SendDecision) -> Event {
    match decision {
        SendDecision::Send => source.event().await,
        SendDecision::Hold | SendDecision::Close => Event::Status(source.status_change().await),
    }
}

//! The `sightline.v1` dialect: [`sightline_protocol::message`] both ways, media between.
//!
//! A session holds one [`Subscription`], that of the variant it sends ([`media`]). It begins with `copy`, because what the
//! camera sends decides which variant the viewer gets; nothing is sent before that is known. While another variant is
//! being started, the one before is sent on, so that the picture never stops for it ([`variant`]). How much is sent, and
//! whether it is the light variant, is [`Steering`]'s to say. Sound goes its own way beside the picture ([`audio`]).

mod audio;
mod media;
mod variant;

use std::sync::Arc;
use std::time::Duration;

use sightline_protocol::close;
use sightline_protocol::codec::VideoCodec;
use sightline_protocol::message::{
    Ack, ClientMessage, ErrorKind, GapReason, Ping, Play, Pong, ServerMessage, VariantReason,
};
use sightline_protocol::stream::Variant;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_websockets::Message;

use super::flow::{ImpossibleAck, Permit};
use super::ladder::Rung;
use super::steering::{Ask, Steering};
use super::{Ended, Socket};
use crate::clock;
use crate::egress::select::CameraFormat;
use crate::fmp4::init::InitSegment;
use crate::hub::Stream;
use crate::hub::rendition::{Event, OnTheWay, Purpose, Status, Subscription, Way};
use audio::{Audio, Beginning};
use variant::Next;

/// How long a viewer may take to say what it can play.
const PLAY: Duration = Duration::from_secs(5);
/// Between pings: often enough to notice a dead link in seconds, and to keep tunnels from closing an idle one.
const PING: Duration = Duration::from_secs(5);
/// A viewer that has said nothing for so long, not even answered a ping, is gone, whatever its socket says.
const GONE: Duration = Duration::from_secs(12);
/// Why a session is not continued: it ended, or the viewer broke the protocol and is told so.
pub(super) enum Stop {
    Ended(Ended),
    Refuse(u16, String),
}

impl From<ImpossibleAck> for Stop {
    fn from(error: ImpossibleAck) -> Self {
        Self::Refuse(close::BAD_REQUEST, error.to_string())
    }
}

impl From<Ended> for Stop {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

/// The message that goes before a close with `code`.
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

pub(super) async fn run(socket: &mut Socket, stream: &Stream) -> Ended {
    // The source starts while the viewer says what it can play.
    let copy = stream.rendition(Variant::Copy).subscribe(Purpose::View(Way::Mse));
    let stop = match first_message(socket).await {
        Ok(play) => {
            let mut session = Session::new(stream, copy, play);
            let Err(stop) = session.run(socket).await;
            stop
        }
        Err(stop) => stop,
    };
    match stop {
        Stop::Ended(ended) => ended,
        Stop::Refuse(code, message) => super::refuse(socket, true, code, &message).await,
    }
}

async fn first_message(socket: &mut Socket) -> Result<Play, Stop> {
    let expected = || Stop::Refuse(close::BAD_REQUEST, "the first message must be `play`".to_owned());
    match timeout(PLAY, socket.receive()).await {
        Ok(message) => match parse(&message?)? {
            ClientMessage::Play(play) => Ok(play),
            _ => Err(expected()),
        },
        Err(_) => Err(expected()),
    }
}

pub(super) fn parse(message: &Message) -> Result<ClientMessage, Stop> {
    let refuse = |why: String| Stop::Refuse(close::BAD_REQUEST, why);
    let text = message.as_text().ok_or_else(|| refuse("viewers send text, not binary messages".to_owned()))?;
    serde_json::from_str(text).map_err(|error| refuse(format!("not a message of sightline.v1: {error}")))
}

struct Session<'a> {
    stream: &'a Stream,
    play: Play,
    playable: Vec<VideoCodec>,
    /// What the camera sends, once that is known.
    camera: Option<CameraFormat>,
    why: VariantReason,
    /// What is sent or, before the first `ready`, waited for.
    source: Subscription,
    /// What will be sent instead once it has a picture.
    next: Option<Next>,
    /// The light picture, while it may soon be wanted.
    standby: Option<Subscription>,
    /// An init segment that waits for its first fragment.
    init: Option<Arc<InitSegment>>,
    /// Counts the init segments sent.
    epoch: u32,
    /// Whether the viewer wants no media at the moment.
    paused: bool,
    audio: Audio,
    /// Where the picture has begun that the viewer sees; none while it is awaited.
    picture: Option<Beginning>,
    steering: Steering,
    on_the_way: OnTheWay,
    /// The variant that fits where the link carries it.
    full: Variant,
    /// The rung that the variant was chosen for.
    rung: Rung,
    /// Whether something was held back since the last message.
    held: bool,
    /// What the full picture was last known to take, in bytes a second.
    full_rate: Option<f64>,
    began: Instant,
    /// When the viewer last said anything.
    heard: Instant,
}

impl<'a> Session<'a> {
    fn new(stream: &'a Stream, copy: Subscription, play: Play) -> Self {
        let mut audio = Audio::default();
        audio.want(&play.tracks, stream);
        Self {
            stream,
            playable: playable(&play),
            play,
            camera: None,
            why: VariantReason::Untouched,
            on_the_way: OnTheWay::new(copy.rendition().clone()),
            source: copy,
            next: None,
            standby: None,
            init: None,
            epoch: 0,
            paused: false,
            audio,
            picture: None,
            steering: Steering::default(),
            full: Variant::Copy,
            rung: Rung::Full,
            held: false,
            full_rate: None,
            began: Instant::now(),
            heard: Instant::now(),
        }
    }

    /// Runs until there is a reason to stop.
    async fn run(&mut self, socket: &mut Socket) -> Result<std::convert::Infallible, Stop> {
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let status = self.source.current_status();
        self.tell(socket, &status).await?;
        loop {
            let permit = self.permit(socket).await?;
            // What mostly happens comes first, so that the rest is looked at once for each fragment and not twice.
            tokio::select! {
                biased;
                event = permitted(&mut self.source, permit) => self.forward(socket, event).await?,
                message = socket.receive() => self.handle(socket, &message?).await?,
                fragment = self.audio.next(permit, self.picture) => self.send_audio(socket, fragment).await?,
                news = variant::news(&mut self.next) => self.next_changed(socket, news).await?,
                _ = pings.tick() => self.heartbeat(socket).await?,
            }
            self.steer(socket).await?;
            self.on_the_way.set(self.source.rendition(), self.steering.in_flight());
        }
    }

    /// What may be done now.
    async fn permit(&mut self, socket: &mut Socket) -> Result<Permit, Stop> {
        match self.steering.permit(self.time()) {
            Permit::Close => {
                let message = "nothing was acknowledged for 10 s; connect again".to_owned();
                Err(Stop::Refuse(close::TOO_SLOW, message))
            }
            _ if self.paused => Ok(Permit::Hold),
            Permit::Send if !self.waits_for_light() => {
                if std::mem::take(&mut self.held) {
                    self.skip(socket, self.tolerated_lag(), GapReason::Behind).await?;
                }
                Ok(Permit::Send)
            }
            Permit::Send | Permit::Hold => {
                self.held = true;
                Ok(Permit::Hold)
            }
        }
    }

    async fn handle(&mut self, socket: &mut Socket, message: &Message) -> Result<(), Stop> {
        self.heard = Instant::now();
        match parse(message)? {
            ClientMessage::Ack(Ack { received, at, .. }) => {
                let now = self.time();
                if let Some(age) = self.steering.acknowledged(received, at, now)? {
                    self.source.rendition().tally().acknowledge(age);
                }
            }
            ClientMessage::Ping(ping) => {
                let pong = ServerMessage::Pong(Pong { sent: ping.sent, at: clock::unix_ms(), received: None });
                socket.send_text(pong.to_json()).await?;
            }
            ClientMessage::Pong(Pong { sent, at, received }) => {
                let now = self.time();
                self.steering.answered(sent, at, received, now)?;
            }
            ClientMessage::Pause => self.pause(),
            ClientMessage::Resume => self.resume(socket).await?,
            ClientMessage::Switch { variant } => {
                self.play.variant = variant;
                self.choose(socket).await?;
            }
            ClientMessage::Tracks { tracks } => self.audio.want(&tracks, self.stream),
            ClientMessage::Play(play) => {
                self.audio.want(&play.tracks, self.stream);
                self.playable = playable(&play);
                self.play = play;
                self.choose(socket).await?;
            }
        }
        Ok(())
    }

    fn pause(&mut self) {
        self.paused = true;
        self.steering.interrupted(self.time());
    }

    /// Goes on after a pause, or starts anew for a viewer that has not paused.
    async fn resume(&mut self, socket: &mut Socket) -> Result<(), Stop> {
        self.steering.interrupted(self.time());
        if std::mem::take(&mut self.paused) {
            return self.skip(socket, Duration::ZERO, GapReason::Paused).await;
        }
        (self.init, self.picture) = (None, None);
        self.source.rewind();
        self.audio.rewind();
        Ok(())
    }

    /// Does what the acknowledgements so far ask for: another variant, or a question what has arrived.
    async fn steer(&mut self, socket: &mut Socket) -> Result<(), Stop> {
        self.stand_by();
        if self.steering.rung() != self.rung {
            self.choose(socket).await?;
        }
        if self.paused {
            return Ok(());
        }
        let rates = self.rates();
        match self.steering.ask(rates, self.time()) {
            Some(Ask::One(padding)) => self.ping(socket, padding, false).await,
            Some(Ask::Train(padding)) => {
                self.ping(socket, 0, false).await?;
                self.ping(socket, padding, true).await
            }
            None => Ok(()),
        }
    }

    /// Asks whether the viewer is there, or gives it up if it has said nothing for too long.
    async fn heartbeat(&mut self, socket: &mut Socket) -> Result<(), Stop> {
        if self.heard.elapsed() > GONE {
            return Err(Stop::Refuse(close::TOO_SLOW, "no sign of life; connect again".to_owned()));
        }
        self.ping(socket, 0, false).await
    }

    async fn ping(&mut self, socket: &mut Socket, padding: usize, train: bool) -> Result<(), Stop> {
        // Whole milliseconds come back through JSON as they went.
        let ping = Ping { sent: clock::unix_ms().round(), padding: ".".repeat(padding) };
        self.steering.asked(ping.sent, padding, train, self.time());
        Ok(socket.send_text(ServerMessage::Ping(ping).to_json()).await?)
    }

    async fn tell(&mut self, socket: &mut Socket, status: &Status) -> Result<(), Stop> {
        let state = ServerMessage::State(status.to_wire(Instant::now()));
        Ok(socket.send_text(state.to_json()).await?)
    }

    /// The time since the session began.
    fn time(&self) -> Duration {
        self.began.elapsed()
    }
}

/// The codecs the viewer plays. What is none of ours is passed over: a browser may play what we never send.
pub(super) fn playable(play: &Play) -> Vec<VideoCodec> {
    play.codecs.iter().filter_map(|codec| codec.parse().ok()).collect()
}

/// The next event of `source`; without a permit to send, only changes of its state.
async fn permitted(source: &mut Subscription, permit: Permit) -> Event {
    match permit {
        Permit::Send => source.event().await,
        Permit::Hold | Permit::Close => Event::Status(source.status_change().await),
    }
}

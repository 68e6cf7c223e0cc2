//! The `sightline.v1` dialect: [`sightline_protocol::message`] both ways, media between.
//!
//! A session holds one [`Subscription`], that of the variant it sends. It begins with `copy`, because what the camera
//! sends decides which variant the viewer gets; nothing is sent before that is known. While another variant is being
//! started, the one before is sent on, so that the picture never stops for it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sightline_protocol::close;
use sightline_protocol::codec::VideoCodec;
use sightline_protocol::message::{
    ClientMessage, ErrorKind, GapReason, Ping, Play, Pong, Ready, ServerMessage, VariantReason,
};
use sightline_protocol::stream::Variant;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_websockets::Message;

use super::flow::{Flow, Permit};
use super::select::{CameraFormat, select};
use super::{Ended, Socket};
use crate::fmp4::Fragment;
use crate::fmp4::init::InitSegment;
use crate::hub::Stream;
use crate::hub::rendition::{Event, Purpose, Status, Subscription};
use crate::hub::ring::Step;

/// How long a viewer may take to say what it can play.
const PLAY: Duration = Duration::from_secs(5);
/// Between pings: often enough to notice a dead link in seconds, and to keep tunnels from closing an idle one.
const PING: Duration = Duration::from_secs(5);
/// A viewer that has said nothing for so long, not even answered a ping, is gone, whatever its socket says.
const GONE: Duration = Duration::from_secs(12);
/// A viewer whose next fragment is this much older than the newest resumes at a key frame.
const TOLERATED_LAG: Duration = Duration::from_millis(1000);

/// Why a session is not continued: it ended, or the viewer broke the protocol and is told so.
enum Stop {
    Ended(Ended),
    Refuse(u16, String),
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
        _ => ErrorKind::BadRequest,
    };
    ServerMessage::Error { kind, message: message.to_owned() }.to_json()
}

pub(super) async fn run(socket: &mut Socket, stream: &Stream) -> Ended {
    // The source starts while the viewer says what it can play.
    let copy = stream.rendition(Variant::Copy).subscribe(Purpose::View);
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

fn parse(message: &Message) -> Result<ClientMessage, Stop> {
    let refuse = |why: String| Stop::Refuse(close::BAD_REQUEST, why);
    let text = message.as_text().ok_or_else(|| refuse("viewers send text, not binary messages".to_owned()))?;
    serde_json::from_str(text).map_err(|error| refuse(format!("not a message of sightline.v1: {error}")))
}

/// Milliseconds since the Unix epoch, as on the wire; whole ones, which come back through JSON as they went.
fn unix_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as f64
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
    next: Option<Subscription>,
    /// An init segment that waits for its first fragment.
    init: Option<Arc<InitSegment>>,
    /// Counts the init segments sent.
    epoch: u32,
    flow: Flow,
    began: Instant,
    /// When the viewer last said anything.
    heard: Instant,
    ping: Option<(f64, Instant)>,
}

impl<'a> Session<'a> {
    fn new(stream: &'a Stream, copy: Subscription, play: Play) -> Self {
        Self {
            stream,
            playable: playable(&play),
            play,
            camera: None,
            why: VariantReason::Untouched,
            source: copy,
            next: None,
            init: None,
            epoch: 0,
            flow: Flow::default(),
            began: Instant::now(),
            heard: Instant::now(),
            ping: None,
        }
    }

    /// Runs until there is a reason to stop.
    async fn run(&mut self, socket: &mut Socket) -> Result<std::convert::Infallible, Stop> {
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let status = self.source.current_status();
        self.tell(socket, &status).await?;
        loop {
            let permit = self.flow.permit(self.began.elapsed());
            if permit == Permit::Close {
                let message = "nothing was acknowledged for 10 s; connect again".to_owned();
                return Err(Stop::Refuse(close::TOO_SLOW, message));
            }
            tokio::select! {
                message = socket.receive() => self.handle(socket, &message?).await?,
                event = permitted(&mut self.source, permit) => self.forward(socket, event).await?,
                status = next_status(&mut self.next) => self.next_changed(socket, &status).await?,
                _ = pings.tick() => self.send_ping(socket).await?,
            }
        }
    }

    async fn handle(&mut self, socket: &mut Socket, message: &Message) -> Result<(), Stop> {
        self.heard = Instant::now();
        match parse(message)? {
            ClientMessage::Ack(ack) => {
                let now = self.began.elapsed();
                let acknowledged = self.flow.acknowledged(ack.received, now);
                acknowledged.map_err(|error| Stop::Refuse(close::BAD_REQUEST, error.to_string()))?;
            }
            ClientMessage::Ping(ping) => {
                let pong = ServerMessage::Pong(Pong { sent: ping.sent, at: unix_ms() });
                socket.send_text(pong.to_json()).await?;
            }
            ClientMessage::Pong(pong) => {
                if let Some((_, sent_at)) = self.ping.take_if(|(sent, _)| *sent == pong.sent) {
                    self.flow.round_trip(sent_at.elapsed());
                }
            }
            ClientMessage::Switch { variant } => {
                self.play.variant = variant;
                self.choose(socket).await?;
            }
            ClientMessage::Play(play) => {
                self.playable = playable(&play);
                self.play = play;
                self.choose(socket).await?;
            }
        }
        Ok(())
    }

    async fn forward(&mut self, socket: &mut Socket, event: Event) -> Result<(), Stop> {
        match event {
            Event::Status(status) => self.tell(socket, &status).await,
            Event::Step(Step::Init(init)) => {
                self.init = Some(init);
                Ok(())
            }
            Event::Step(Step::Fragment(fragment)) => self.send(socket, fragment).await,
            Event::Step(Step::Overrun(skipped)) => self.send_gap(socket, skipped, GapReason::Overrun).await,
            Event::Step(Step::Pending) => Ok(()),
        }
    }

    async fn send(&mut self, socket: &mut Socket, fragment: Fragment) -> Result<(), Stop> {
        if self.source.rendition().variant() == Variant::Copy && self.camera_changed(&fragment) {
            self.choose(socket).await?;
            if self.source.rendition().variant() != Variant::Copy {
                return Ok(());
            }
        }
        if let Some(init) = self.init.take() {
            self.epoch += 1;
            let rendition = self.source.rendition();
            let ready = Ready {
                epoch: self.epoch,
                variant: rendition.variant(),
                why: self.why,
                tracks: vec![init.track(rendition.frame_rate())],
            };
            socket.send_text(ServerMessage::Ready(ready).to_json()).await?;
            self.send_media(socket, init.bytes.clone()).await?;
        }
        self.send_media(socket, fragment.bytes).await?;
        match self.source.skip_if_behind(TOLERATED_LAG) {
            0 => Ok(()),
            skipped => self.send_gap(socket, skipped, GapReason::Behind).await,
        }
    }

    /// Takes note of what the camera sends; says whether that is news.
    fn camera_changed(&mut self, fragment: &Fragment) -> bool {
        let reorders = fragment.head.composition_offset != 0;
        match (&self.init, &mut self.camera) {
            (None, Some(camera)) if reorders && !camera.b_frames => camera.b_frames = true,
            (None, _) => return false,
            (Some(init), camera) => {
                let known = self.source.rendition().format().is_some_and(|(_, reorders)| reorders);
                *camera = Some(CameraFormat { codec: init.codec.clone(), b_frames: reorders || known });
            }
        }
        true
    }

    /// Takes hold of the variant that fits, as far as it can be known which that is.
    async fn choose(&mut self, socket: &mut Socket) -> Result<(), Stop> {
        let Some(camera) = &self.camera else {
            return Ok(());
        };
        let (variant, why) = select(self.play.variant, &self.playable, camera);
        self.next = None;
        self.why = why;
        if variant == self.source.rendition().variant() {
            return Ok(());
        }
        let mut next = self.stream.rendition(variant).subscribe(Purpose::View);
        let status = next.current_status();
        self.next = Some(next);
        // Between epochs, and before the first, there is no picture that would have to go on meanwhile.
        if self.epoch == 0 || self.init.is_some() {
            self.change_over(socket).await
        } else {
            self.next_changed(socket, &status).await
        }
    }

    /// What is to be sent next does something else now.
    async fn next_changed(&mut self, socket: &mut Socket, status: &Status) -> Result<(), Stop> {
        match status {
            Status::Live => self.change_over(socket).await,
            Status::Offline { .. } => self.tell(socket, status).await,
            Status::Idle | Status::Starting => Ok(()),
        }
    }

    async fn change_over(&mut self, socket: &mut Socket) -> Result<(), Stop> {
        if let Some(next) = self.next.take() {
            self.source = next;
            self.init = None;
        }
        let status = self.source.current_status();
        self.tell(socket, &status).await
    }

    async fn tell(&mut self, socket: &mut Socket, status: &Status) -> Result<(), Stop> {
        let state = ServerMessage::State(status.to_wire(Instant::now()));
        Ok(socket.send_text(state.to_json()).await?)
    }

    async fn send_media(&mut self, socket: &mut Socket, bytes: bytes::Bytes) -> Result<(), Stop> {
        self.flow.sent(self.began.elapsed());
        Ok(socket.send_media(bytes).await?)
    }

    async fn send_gap(&mut self, socket: &mut Socket, skipped: u64, why: GapReason) -> Result<(), Stop> {
        Ok(socket.send_text(ServerMessage::Gap { skipped, why }.to_json()).await?)
    }

    /// Asks whether the viewer is there, or gives it up if it has said nothing for too long.
    async fn send_ping(&mut self, socket: &mut Socket) -> Result<(), Stop> {
        if self.heard.elapsed() > GONE {
            return Err(Stop::Refuse(close::TOO_SLOW, "no sign of life; connect again".to_owned()));
        }
        let sent = unix_ms();
        self.ping = Some((sent, Instant::now()));
        Ok(socket.send_text(ServerMessage::Ping(Ping { sent }).to_json()).await?)
    }
}

/// The codecs the viewer plays. What is none of ours is passed over: a browser may play what we never send.
fn playable(play: &Play) -> Vec<VideoCodec> {
    play.codecs.iter().filter_map(|codec| codec.parse().ok()).collect()
}

/// The next event of `source`; without a permit to send, only changes of its state.
async fn permitted(source: &mut Subscription, permit: Permit) -> Event {
    match permit {
        Permit::Send => source.event().await,
        Permit::Hold | Permit::Close => Event::Status(source.status_change().await),
    }
}

/// The next change of what `next` does; never, if there is none.
async fn next_status(next: &mut Option<Subscription>) -> Status {
    match next {
        Some(next) => next.status_change().await,
        None => std::future::pending().await,
    }
}

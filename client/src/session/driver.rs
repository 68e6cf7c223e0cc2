//! The session's state and what each input does to it.

use std::rc::Rc;

use sightline_protocol::close;
use sightline_protocol::codec::{Family, VideoCodec, codec_of};
use sightline_protocol::message::{Ready, ServerMessage, TrackKind};
use sightline_protocol::stream::{StreamName, Variant, VariantChoice};
use web_sys::HtmlVideoElement;

use super::Report;
use crate::browser::error::DomError;
use crate::browser::listener::Listener;
use crate::browser::mailbox::Sender;
use crate::browser::media_source::Kind;
use crate::browser::timer::{Interval, Timeout};
use crate::browser::{self, socket};
use crate::player::fallback::{Failure, Fallback, Verdict};
use crate::player::mse::{Outcome, Player, Signal};
use crate::state::TileEvent;
use crate::time::Moment;
use crate::transport::backoff::Backoff;
use crate::transport::probe;
use crate::transport::websocket::{Connection, Incoming};

/// How often a session looks after itself when nothing else makes it: stalls are noticed after a second, and four
/// looks make that precise enough.
const TICK_MS: i32 = 250;
/// What failed for good is tried again this seldom: someone may mend the configuration while the page is open.
const SLOW_RETRY_MS: f64 = 30_000.0;

/// What can happen to a session.
pub(super) enum Input {
    /// It is time to connect.
    Connect,
    /// Something happened at the socket of this generation.
    Socket(u32, socket::Event),
    /// Something happened at the video.
    Player(Signal),
    /// Some time has passed.
    Tick,
    /// The user tapped on the picture.
    Tapped,
    /// The page was shown or hidden.
    Visibility,
    /// The network is back.
    Online,
}

/// See the module.
pub(super) struct Driver {
    stream: StreamName,
    url: String,
    choice: VariantChoice,
    kind: Kind,
    report: Report,
    sender: Sender<Input>,
    player: Player,
    connection: Option<Connection>,
    /// Counts connections: events of an earlier one mean nothing.
    generation: u32,
    retry: Option<Timeout>,
    backoff: Backoff,
    fallback: Fallback,
    /// What the present epoch is: its variant and its codec's family.
    playing: Option<(Variant, Option<Family>)>,
    /// The family of the camera's codec, if this browser said that it plays it and does not.
    failed_on: Option<Family>,
    epoch: u32,
    /// When the socket opened, until its first picture.
    opened: Option<Moment>,
    /// What the relay said before it closed.
    refusal: Option<String>,
    _tick: Interval,
    _listeners: [Listener; 2],
}

impl Driver {
    pub(super) fn new(
        stream: StreamName,
        url: String,
        choice: VariantChoice,
        kind: Kind,
        video: HtmlVideoElement,
        report: Report,
        sender: Sender<Input>,
    ) -> Result<Self, DomError> {
        let post = |make: fn() -> Input| {
            let sender = sender.clone();
            move || sender.send(make())
        };
        let signal = {
            let sender = sender.clone();
            Rc::new(move |signal| sender.send(Input::Player(signal)))
        };
        let (visibility, online) = (post(|| Input::Visibility), post(|| Input::Online));
        Ok(Self {
            player: Player::new(video, kind, signal)?,
            _tick: Interval::new(TICK_MS, post(|| Input::Tick)),
            _listeners: [
                Listener::new(&browser::document(), "visibilitychange", move |_| visibility()),
                Listener::new(&browser::window(), "online", move |_| online()),
            ],
            stream,
            url,
            choice,
            kind,
            report,
            sender,
            connection: None,
            generation: 0,
            retry: None,
            backoff: Backoff::default(),
            fallback: Fallback::default(),
            playing: None,
            failed_on: None,
            epoch: 0,
            opened: None,
            refusal: None,
        })
    }

    pub(super) fn handle(&mut self, input: Input) {
        let now = browser::now();
        match input {
            Input::Connect => self.connect(now),
            Input::Socket(generation, event) if generation == self.generation => self.socket(event, now),
            Input::Socket(..) => {}
            Input::Player(signal) => self.player.handle(signal, now),
            Input::Tick => self.player.tick(now),
            Input::Tapped => self.player.tapped(),
            Input::Visibility if browser::is_visible() => {
                self.player.page_shown(now);
                self.connect_if_waiting(now);
            }
            Input::Visibility => {}
            Input::Online => self.connect_if_waiting(now),
        }
        for outcome in self.player.outcomes() {
            self.outcome(outcome, now);
        }
        self.attend(now);
    }

    fn connect(&mut self, now: Moment) {
        (self.retry, self.refusal, self.opened) = (None, None, None);
        self.generation += 1;
        (self.report)(TileEvent::Connecting);
        let (sender, generation) = (self.sender.clone(), self.generation);
        let on_event = move |event| sender.send(Input::Socket(generation, event));
        match Connection::open(&self.url, now, on_event) {
            Ok(connection) => self.connection = Some(connection),
            Err(error) => self.fail(format!("The browser refused to connect to the relay: {error}.")),
        }
    }

    fn connect_if_waiting(&mut self, now: Moment) {
        if self.retry.is_some() {
            self.connect(now);
        }
    }

    fn socket(&mut self, event: socket::Event, now: Moment) {
        let Some(connection) = &mut self.connection else { return };
        match connection.receive(event, now) {
            Some(Incoming::Opened) => {
                connection.play(&playable(self.kind, self.failed_on), self.choice);
                browser::mark(&self.stream, "open");
                self.opened = Some(now);
                (self.report)(TileEvent::Connected);
            }
            Some(Incoming::Media(bytes)) => self.player.media(bytes, now),
            Some(Incoming::Message(message)) => self.message(message),
            Some(Incoming::Closed { code }) => self.closed(code, now),
            None => {}
        }
    }

    fn message(&mut self, message: ServerMessage) {
        match message {
            ServerMessage::Ready(ready) => self.ready(ready),
            ServerMessage::State(state) => (self.report)(TileEvent::Source(state)),
            ServerMessage::Error { message, .. } => self.refusal = Some(message),
            // The timeline closes the gap, whatever its reason.
            ServerMessage::Gap { .. } => {}
            // The connection's own business.
            ServerMessage::Ping(_) | ServerMessage::Pong(_) => {}
        }
    }

    fn ready(&mut self, ready: Ready) {
        let Some(track) = ready.tracks.iter().find(|track| track.kind == TrackKind::Video) else {
            return self.fail("The relay announced a stream without video.".to_owned());
        };
        let family = codec_of(&track.mime).parse::<VideoCodec>().ok().map(|codec| codec.family());
        self.playing = Some((ready.variant, family));
        if !self.kind.is_type_supported(&track.mime) {
            self.player.ignore_media();
            return self.undecodable();
        }
        self.player.announce(track);
        self.epoch += 1;
        (self.report)(TileEvent::Ready { epoch: self.epoch, ready });
    }

    fn outcome(&mut self, outcome: Outcome, now: Moment) {
        match outcome {
            Outcome::Presented => {
                let first_picture_ms = self.opened.take().map(|opened| now.ms_since(opened));
                if first_picture_ms.is_some() {
                    browser::mark(&self.stream, "picture");
                }
                (self.report)(TileEvent::Presented { first_picture_ms });
            }
            Outcome::FrameRate(rate) => (self.report)(TileEvent::FrameRate(rate)),
            Outcome::Stale(stale) => (self.report)(TileEvent::Stale(stale)),
            Outcome::TapNeeded(needed) => (self.report)(TileEvent::TapNeeded(needed)),
            Outcome::Failed(failure) => self.failed(failure, now),
            Outcome::Stuck(why) => {
                browser::warn(&format!("sightline: {} starts over: {why}", self.stream));
                self.start_over(now);
            }
        }
    }

    fn failed(&mut self, failure: Failure, now: Moment) {
        browser::warn(&format!("sightline: {} failed: {failure:?}", self.stream));
        match self.fallback.judge(failure, now) {
            Verdict::Undecodable if self.fall_back() => self.start_over(now),
            Verdict::Undecodable => {
                self.undecodable();
                if let Err(error) = self.player.start_over() {
                    browser::warn(&format!("sightline: no new player for {}: {error}", self.stream));
                }
            }
            Verdict::StartOver => self.start_over(now),
        }
    }

    /// What the relay sends cannot be decoded here: ask for what can.
    fn undecodable(&mut self) {
        if self.fall_back()
            && let Some(connection) = &self.connection
        {
            return connection.play(&playable(self.kind, self.failed_on), self.choice);
        }
        self.fail(
            "This browser can decode neither the camera's own codec nor H.264: use a current Chrome, Edge, Firefox or \
             Safari."
                .to_owned(),
        );
    }

    /// Takes the camera's codec off the list of what this browser plays, which makes the relay send a transcode.
    /// Returns whether that is anything new.
    fn fall_back(&mut self) -> bool {
        let Some((Variant::Copy, family @ Some(_))) = self.playing else {
            return false;
        };
        if self.failed_on.is_some() && self.failed_on == family {
            return false;
        }
        self.failed_on = family;
        if self.choice == VariantChoice::Copy {
            self.choice = VariantChoice::Auto;
        }
        (self.report)(TileEvent::FellBack);
        true
    }

    /// A new MediaSource needs an init segment and a key frame, which a new connection brings.
    fn start_over(&mut self, now: Moment) {
        match self.player.start_over() {
            Ok(()) => self.lost(now),
            Err(error) => self.fail(format!("The browser refused to start another player: {error}. Reload the page.")),
        }
    }

    fn closed(&mut self, code: u16, now: Moment) {
        let refusal = self.refusal.take();
        match code {
            close::UNKNOWN_STREAM => {
                let unknown = || format!("The relay has no stream named {}.", self.stream);
                let message = refusal.unwrap_or_else(unknown);
                self.fail(message);
            }
            close::BAD_REQUEST => {
                let message = refusal.unwrap_or_else(|| "The relay refused the request.".to_owned());
                self.fail(format!("{message} Reload the page."));
            }
            _ => self.lost(now),
        }
    }

    /// The connection is gone and another is wanted, as soon as the backoff allows.
    fn lost(&mut self, now: Moment) {
        let lived_ms = self.drop_connection(now);
        let retry_ms = self.backoff.after(lived_ms, js_sys::Math::random());
        (self.report)(TileEvent::Lost { retry_ms });
        self.connect_in(retry_ms);
    }

    /// It will not work without someone doing something: say so, and try again seldom.
    fn fail(&mut self, message: String) {
        self.drop_connection(browser::now());
        (self.report)(TileEvent::Failed(message));
        self.connect_in(SLOW_RETRY_MS);
    }

    /// Returns how long the connection lived, in milliseconds.
    fn drop_connection(&mut self, now: Moment) -> f64 {
        self.player.ignore_media();
        // Whatever the socket still has to say is said by an earlier generation.
        self.generation += 1;
        self.connection.take().map_or(0.0, |connection| connection.lived_ms(now))
    }

    fn connect_in(&mut self, ms: f64) {
        let sender = self.sender.clone();
        if ms == 0.0 {
            // Not by a timer, which a background tab would delay.
            sender.send(Input::Connect);
        } else {
            self.retry = Some(Timeout::new(ms, move || sender.send(Input::Connect)));
        }
    }

    fn attend(&mut self, now: Moment) {
        let Some(connection) = &mut self.connection else { return };
        if connection.attend(now, || self.player.lag_ms()) {
            self.lost(now);
        }
    }
}

/// What to tell the relay that this browser plays.
fn playable(kind: Kind, failed_on: Option<Family>) -> Vec<String> {
    probe::playable(|mime| kind.is_type_supported(mime), failed_on)
}

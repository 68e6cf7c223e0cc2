//! Fragments over a WebSocket into Media Source Extensions: a connection, a player, and the decisions that need both.

use std::rc::Rc;

use sightline_protocol::codec::{Family, VideoCodec, codec_of};
use sightline_protocol::message::{Ready, ServerMessage, Track, TrackKind};
use sightline_protocol::stream::{StreamName, Variant, VariantChoice};
use web_sys::{Blob, HtmlVideoElement};

use super::Report;
use super::attention::Attention;
use super::input::{Input, listeners};
use super::link::{Closed, Link};
use super::recorder::Recorder;
use super::statistics::{Age, Figures, Statistics};
use crate::browser::curtain::Curtain;
use crate::browser::error::DomError;
use crate::browser::listener::Listener;
use crate::browser::mailbox::Sender;
use crate::browser::media_source::Kind;
use crate::browser::on_screen::OnScreen;
use crate::browser::timer::Interval;
use crate::browser::{self, file};
use crate::player::mse::{Outcome, Player};
use crate::player::repair::{Ladder, Repair, Trouble};
use crate::state::{Failure, Level, Recorded, TileEvent};
use crate::time::Moment;
use crate::transport::probe;
use crate::transport::websocket::Incoming;

/// How often a session looks after itself when nothing else makes it: stalls are noticed after a second, and four
/// looks make that precise enough.
const TICK_MS: i32 = 250;
/// Ticks this far apart mean that the machine slept, or that the page did.
const SLEPT_MS: f64 = 5_000.0;
/// See the module.
pub(super) struct Driver {
    stream: StreamName,
    choice: VariantChoice,
    kind: Kind,
    report: Report,
    video: HtmlVideoElement,
    curtain: Curtain,
    player: Player,
    link: Link,
    attention: Attention,
    ladder: Ladder,
    /// What the present epoch is: its variant and its codec's family.
    playing: Option<(Variant, Option<Family>)>,
    /// The family of the camera's codec, if this browser said that it plays it and does not.
    failed_on: Option<Family>,
    /// When the socket opened, until its first picture.
    opened: Option<Moment>,
    /// A new MediaSource is needed once somebody watches.
    broken: bool,
    /// Whether the user wants to hear it.
    listening: bool,
    recorder: Recorder,
    recorded: Option<Recorded>,
    statistics: Statistics,
    looked: Moment,
    age: Age,
    _tick: Interval,
    _on_screen: Option<OnScreen>,
    _listeners: Vec<Listener>,
}

impl Driver {
    pub(super) fn new(
        stream: StreamName,
        url: String,
        choice: VariantChoice,
        kind: Kind,
        (video, curtain): (HtmlVideoElement, Curtain),
        report: Report,
        sender: Sender<Input>,
    ) -> Result<Self, DomError> {
        let signal = {
            let sender = sender.clone();
            Rc::new(move |signal| sender.send(Input::Player(signal)))
        };
        let (tick, on_screen) = (sender.clone(), sender.clone());
        Ok(Self {
            player: Player::new(video.clone(), kind, signal)?,
            _tick: Interval::new(TICK_MS, move || tick.send(Input::Tick)),
            _on_screen: OnScreen::new(&video, move |seen| on_screen.send(Input::OnScreen(seen))),
            _listeners: listeners(&video, &sender),
            stream,
            choice,
            kind,
            report,
            video,
            curtain,
            link: Link::new(url, sender),
            attention: Attention::default(),
            ladder: Ladder::default(),
            playing: None,
            failed_on: None,
            opened: None,
            broken: false,
            listening: false,
            recorder: Recorder::default(),
            recorded: None,
            statistics: Statistics::default(),
            looked: browser::now(),
            age: Age::new(browser::now()),
        })
    }

    pub(super) fn handle(&mut self, input: Input) {
        let now = browser::now();
        match input {
            Input::Connect => self.connect(now),
            Input::Socket(generation, event) => {
                if let Some(incoming) = self.link.receive(generation, event, now) {
                    self.incoming(incoming, now);
                }
            }
            Input::Player(signal) => self.player.handle(signal, now),
            Input::Tick => self.player.tick(now),
            Input::Tapped => self.player.tapped(),
            Input::Listen(audio) => self.listen(audio),
            Input::Volume(volume) => self.player.set_volume(volume),
            Input::Record(wanted) => self.record(wanted),
            Input::Visibility => self.attention.page(browser::is_seen(&self.video)),
            Input::OnScreen(on_screen) => self.attention.tile(on_screen),
            Input::Online => self.hurry(now),
            Input::PageShown(from_cache) => {
                self.hurry(now);
                if from_cache {
                    self.player.tick(now);
                }
            }
            // Of other engines.
            Input::Frame | Input::Played(_) | Input::VideoError | Input::Peer(..) | Input::Hls(..) => {}
        }
        if now.ms_since(std::mem::replace(&mut self.looked, now)) > SLEPT_MS {
            self.hurry(now);
        }
        if let Some(watched) = self.attention.news(now) {
            self.watch(watched, now);
        }
        for outcome in self.player.outcomes() {
            self.outcome(outcome, now);
        }
        if self.link.attend(now, || self.player.lag_ms()) {
            self.lost(now);
        }
        self.tell_age(now);
        let figures = || {
            let (buffered, jitter_ms, rate) = self.player.figures(now);
            let (round_trip_ms, traffic) = (self.link.round_trip_ms(), self.link.traffic());
            Figures { age_ms: self.age.told(), buffered, jitter_ms, rate, round_trip_ms, traffic }
        };
        if let Some(sample) = self.statistics.sample(&self.video, figures, now) {
            (self.report)(TileEvent::Sample(sample));
            self.tell_recording();
        }
    }

    fn connect(&mut self, now: Moment) {
        self.opened = None;
        (self.report)(TileEvent::Connecting);
        if let Err(error) = self.link.connect(now) {
            self.fail(Failure::Unreachable, format!("The browser refused to connect to the relay: {error}."));
        }
    }

    /// The network may be another one now: whoever waits tries at once, and whoever is connected makes sure.
    fn hurry(&mut self, now: Moment) {
        if self.link.is_waiting() {
            self.connect(now);
        } else {
            self.link.probe(now);
        }
    }

    fn watch(&mut self, watched: bool, now: Moment) {
        (self.report)(TileEvent::Watched(watched));
        if !watched {
            self.player.unwatched();
            return self.link.pause();
        }
        self.hurry(now);
        self.link.resume();
        if std::mem::take(&mut self.broken) {
            self.rebuild();
        }
        self.player.watched(now);
    }

    fn incoming(&mut self, incoming: Incoming, now: Moment) {
        match incoming {
            Incoming::Opened => {
                self.link.play(&playable(self.kind, self.failed_on), self.choice);
                if self.listening {
                    self.link.listen(true);
                }
                if !self.attention.watched() {
                    self.link.pause();
                }
                browser::mark(&self.stream, "open");
                self.opened = Some(now);
                (self.report)(TileEvent::Connected);
            }
            Incoming::Media(bytes) => {
                let ended = self.recorder.media(&bytes);
                self.save(ended);
                self.player.media(bytes, now);
            }
            Incoming::Message(message) => self.message(message),
            Incoming::Closed { code } => match self.link.closed(code, self.stream.as_str()) {
                Closed::Lost => self.lost(now),
                Closed::Refused(message) => self.fail(Failure::Refused, message),
            },
        }
    }

    fn message(&mut self, message: ServerMessage) {
        match message {
            ServerMessage::Ready(ready) => self.ready(ready),
            ServerMessage::Track(new) => self.track(&new.track),
            ServerMessage::State(state) => (self.report)(TileEvent::Source(state)),
            ServerMessage::Error { message, .. } => self.link.refused(message),
            // The timeline closes the gap, whatever its reason.
            ServerMessage::Gap { .. } => {}
            // The connection's own business.
            ServerMessage::Ping(_) | ServerMessage::Pong(_) => {}
        }
    }

    fn ready(&mut self, ready: Ready) {
        let Some(track) = ready.tracks.iter().find(|track| track.kind == TrackKind::Video) else {
            return self.fail(Failure::Refused, "The relay announced a stream without video.".to_owned());
        };
        self.recorder.announce(track);
        let family = codec_of(&track.mime).parse::<VideoCodec>().ok().map(|codec| codec.family());
        self.playing = Some((ready.variant, family));
        if !self.kind.is_type_supported(&track.mime) {
            self.player.ignore_media();
            return self.next_codec();
        }
        self.player.announce(track);
        (self.report)(TileEvent::Ready(ready));
    }

    /// Audio is about to come.
    fn track(&mut self, track: &Track) {
        self.recorder.announce(track);
        if !self.kind.is_type_supported(&track.mime) {
            return self.deafen("This browser cannot play the camera's sound.");
        }
        // Chrome adds no SourceBuffer to a source that plays: a new one gets both.
        if self.player.announce_sound(track) {
            self.rebuild();
        }
    }

    /// The user wants to hear it, or not.
    fn listen(&mut self, audio: bool) {
        self.listening = audio;
        // Within the user's action, and before anything else that may take a moment.
        self.player.set_muted(!audio);
        self.link.listen(audio);
        if !audio && self.player.drop_sound() {
            self.rebuild();
        }
        (self.report)(TileEvent::Listening(audio));
    }

    /// It cannot be heard: one sentence says why.
    fn deafen(&mut self, why: &str) {
        self.note(Level::Warning, why.to_owned());
        self.listen(false);
    }

    fn outcome(&mut self, outcome: Outcome, now: Moment) {
        match outcome {
            Outcome::Presented => {
                self.curtain.lift();
                let first_picture_ms = self.opened.take().map(|opened| now.ms_since(opened));
                if first_picture_ms.is_some() {
                    browser::mark(&self.stream, "picture");
                }
                (self.report)(TileEvent::Presented { first_picture_ms });
            }
            Outcome::FrameRate(rate) => (self.report)(TileEvent::FrameRate(rate)),
            Outcome::Stale(stale) => (self.report)(TileEvent::Stale(stale)),
            Outcome::SoundLost => self.deafen("The camera's sound stopped."),
            Outcome::TapNeeded(needed) => (self.report)(TileEvent::TapNeeded(needed)),
            Outcome::Trouble(trouble) => self.mend(&trouble, now),
        }
    }

    fn mend(&mut self, trouble: &Trouble, now: Moment) {
        self.note(Level::Warning, trouble.to_string());
        let failure = match trouble {
            Trouble::Reclaimed => Failure::Reclaimed,
            Trouble::Decode | Trouble::NoPicture => Failure::Undecodable,
            Trouble::Stalled | Trouble::Refused(_) => Failure::Stalled,
        };
        (self.report)(TileEvent::Trouble(failure));
        if !self.attention.watched() {
            // Nobody sees it, and the browser may take the next one away as well.
            self.broken = true;
            return self.player.ignore_media();
        }
        // What fails with sound may do without.
        if self.player.drop_sound() {
            self.listen(false);
        }
        match self.ladder.climb(trouble, now) {
            Repair::Rebuild => self.rebuild(),
            Repair::Reconnect => {
                self.rebuild();
                self.lost(now);
            }
            Repair::NextCodec => {
                if self.start_over() {
                    self.next_codec();
                }
            }
        }
    }

    /// A new MediaSource, and from the relay what it needs: an init segment and a key frame.
    fn rebuild(&mut self) {
        if self.start_over() {
            self.link.resume();
        }
    }

    fn start_over(&mut self) -> bool {
        self.curtain.draw(&self.video);
        let result = self.player.start_over();
        if let Err(error) = &result {
            let message = format!("The browser refused to start another player: {error}. Reload the page.");
            self.fail(Failure::Refused, message);
        }
        result.is_ok()
    }

    /// What the relay sends cannot be decoded here: ask for what can.
    fn next_codec(&mut self) {
        if self.fall_back() {
            return self.link.play(&playable(self.kind, self.failed_on), self.choice);
        }
        let message = "This browser can decode neither the camera's own codec nor H.264: use a current Chrome, Edge, \
                       Firefox or Safari.";
        self.fail(Failure::Undecodable, message.to_owned());
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

    /// The connection is gone and another is wanted, as soon as the backoff allows.
    fn lost(&mut self, now: Moment) {
        self.player.ignore_media();
        let retry_ms = self.link.lose(now);
        (self.report)(TileEvent::Lost { retry_ms });
    }

    /// It will not work without someone doing something: say so, and try again seldom.
    fn fail(&mut self, failure: Failure, message: String) {
        self.player.ignore_media();
        self.link.give_up();
        (self.report)(TileEvent::Failed(failure, message));
    }

    fn record(&mut self, wanted: bool) {
        if wanted {
            self.recorder.start();
        } else {
            let ended = self.recorder.stop();
            self.save(ended);
        }
        self.tell_recording();
    }

    fn tell_recording(&mut self) {
        let recorded = self.recorder.recorded();
        if std::mem::replace(&mut self.recorded, recorded) != recorded {
            (self.report)(TileEvent::Recording(recorded));
        }
    }

    /// A recording has ended, or cannot go on.
    fn save(&mut self, ended: Result<Option<Blob>, DomError>) {
        // Asked with every fragment: nothing is done before it is known that there is something to save.
        let recording = match ended {
            Ok(None) => return,
            Ok(Some(blob)) => Ok(blob),
            Err(error) => {
                self.recorder = Recorder::default();
                Err(error)
            }
        };
        let name = file::name(self.stream.as_str(), &browser::iso_time(browser::unix_ms()), "mp4");
        match recording.and_then(|blob| file::save(&blob, &name)) {
            Ok(()) => self.note(Level::Info, format!("Saved the recording as {name}.")),
            Err(error) => self.note(Level::Error, format!("The browser does not save the recording: {error}.")),
        }
    }

    /// For whoever looks for a fault, in the page's log and the browser's.
    fn note(&self, level: Level, text: String) {
        if level > Level::Info {
            browser::warn(&format!("sightline: {}: {text}", self.stream));
        }
        (self.report)(TileEvent::Note(level, text));
    }

    fn tell_age(&mut self, now: Moment) {
        let known = || self.player.age_ms().zip(self.link.ahead_ms());
        if let Some(age_ms) = self.age.news(|| known().map(|(age, ahead)| (age + ahead).max(0.0)), now) {
            (self.report)(TileEvent::Age(age_ms));
        }
    }
}

/// What to tell the relay that this browser plays.
fn playable(kind: Kind, failed_on: Option<Family>) -> Vec<String> {
    probe::playable(|mime| kind.is_type_supported(mime), failed_on)
}

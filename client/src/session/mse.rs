//! Plays fragments from a WebSocket through Media Source Extensions or WebCodecs: owns the connection and the player, and makes
//! the decisions that need both.
//!
//! Input: [`Input`]s. Output: [`TileEvent`]s. The director owns the driver, which queues no media itself.

use std::rc::Rc;

use sightline_protocol::codec::{Family, VideoCodec, codec_of};
use sightline_protocol::message::{Ready, ServerMessage, Track, TrackKind};
use sightline_protocol::stream::{StreamName, Variant, VariantChoice};
use web_sys::{Blob, HtmlVideoElement};

use super::Report;
use super::attention::Attention;
use super::input::{Input, listeners};
use super::link::{Closed, Link, SLOW_RETRY_MS};
use super::player_choice::PlayerChoice;
use super::recorder::Recorder;
use super::statistics::{Age, Figures, Statistics};
use crate::browser::curtain::Curtain;
use crate::browser::error::DomError;
use crate::browser::listener::Listener;
use crate::browser::mailbox::Sender;
use crate::browser::media_source::Kind;
use crate::browser::on_screen::OnScreen;
use crate::browser::timer::Interval;
use crate::browser::{self, display, file};
use crate::player::either::{self, Player, Signal};
use crate::player::outcome::Outcome;
use crate::player::repair::{Ladder, Repair, Trouble};
use crate::state::{Failure, Level, Protocol, Recorded, TileEvent};
use crate::time::Moment;
use crate::transport::probe;
use crate::transport::websocket::Incoming;

/// Tick interval without other events. A stall is detected after one second, and four ticks make that precise enough.
const TICK_MS: i32 = 250;
/// A longer interval between two inputs means that the machine or the page slept.
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
    signal: Rc<dyn Fn(Signal)>,
    player_choice: PlayerChoice,
    /// Picture-in-picture begins with the next presented frame: WebCodecs has played until now.
    float_due: bool,
    link: Link,
    attention: Attention,
    ladder: Ladder,
    /// The variant and the codec family of the current epoch.
    playing: Option<(Variant, Option<Family>)>,
    /// The family of the camera's codec, if this browser reported it as supported and failed to decode it.
    failed_on: Option<Family>,
    /// When the socket opened; none once its first frame has been presented.
    opened: Option<Moment>,
    /// A new MediaSource or decoder is needed once the tile is visible.
    broken: bool,
    /// Whether audio is on.
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
        (kind, preferred): (Kind, either::Kind),
        (video, curtain): (HtmlVideoElement, Curtain),
        report: Report,
        sender: Sender<Input>,
    ) -> Result<Self, DomError> {
        let signal: Rc<dyn Fn(Signal)> = {
            let sender = sender.clone();
            Rc::new(move |signal| sender.send(Input::Player(signal)))
        };
        let (tick, on_screen) = (sender.clone(), sender.clone());
        Ok(Self {
            player: Player::new(preferred, kind, (video.clone(), curtain.clone()), Rc::clone(&signal))?,
            signal,
            player_choice: PlayerChoice::new(preferred),
            float_due: false,
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
            Input::Float => self.float(),
            Input::Visibility => {
                self.attention.page(browser::is_seen(&self.video));
                self.change_player();
            }
            Input::OnScreen(on_screen) => self.attention.tile(on_screen),
            Input::Online | Input::Retry => self.hurry(now),
            Input::PageShown(from_cache) => {
                self.hurry(now);
                if from_cache {
                    self.player.tick(now);
                }
            }
            // Chromium caches a page with its WebSocket open: the relay would send until its flow control stops.
            Input::PageLeft => {
                self.player.ignore_media();
                self.link.give_up();
            }
            // Inputs of other engines.
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
        if let Some(sample) = self.statistics.sample(|| self.player.quality(), figures, now) {
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

    /// Retries at once if a retry is planned, and otherwise tests the connection: the network may have changed.
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
            // The timeline closes the gap, whatever its cause.
            ServerMessage::Gap { .. } => {}
            // The connection handles these.
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
        self.player_choice.begin_epoch(family);
        // The init segment and the first GOP follow.
        self.use_chosen_player();
        if !self.kind.is_type_supported(&track.mime) {
            self.player.ignore_media();
            return self.next_codec();
        }
        self.player.announce(track);
        (self.report)(TileEvent::Ready(ready));
    }

    /// Handles an announcement of audio.
    fn track(&mut self, track: &Track) {
        self.recorder.announce(track);
        if !self.kind.is_type_supported(&track.mime) {
            return self.deafen("This browser cannot play the camera's sound.");
        }
        // Chrome adds no SourceBuffer to a MediaSource that plays: a new one gets both.
        if self.player.announce_sound(track) {
            self.rebuild();
        }
    }

    /// Turns audio on or off.
    fn listen(&mut self, audio: bool) {
        self.listening = audio;
        // Within the user's gesture, before anything that takes time.
        self.change_player();
        self.player.set_muted(!audio);
        self.link.listen(audio);
        if !audio && self.player.drop_sound() {
            self.rebuild();
        }
        (self.report)(TileEvent::Listening(audio));
    }

    /// Enters or leaves picture-in-picture, which shows the video: WebCodecs plays none.
    fn float(&mut self) {
        self.float_due = self.player.kind() == either::Kind::WebCodecs;
        if self.float_due {
            self.change_player();
        } else {
            display::float(&self.video);
        }
    }

    /// Uses the chosen player, and requests what it needs to start.
    fn change_player(&mut self) {
        self.player_choice.set(self.listening, self.float_due || display::floats(&self.video));
        if !self.use_chosen_player() {
            return;
        }
        if self.attention.watched() {
            self.link.resume();
        } else {
            self.broken = true;
        }
    }

    /// Uses the chosen player. Returns whether it is a new one. The last frame stays on screen until its first.
    fn use_chosen_player(&mut self) -> bool {
        let kind = self.player_choice.kind();
        if kind == self.player.kind() {
            return false;
        }
        self.curtain.draw(&self.video);
        match Player::new(kind, self.kind, (self.video.clone(), self.curtain.clone()), Rc::clone(&self.signal)) {
            Ok(player) => self.player = player,
            Err(error) => {
                self.fail(Failure::Refused, no_player(&error));
                return false;
            }
        }
        self.player.set_muted(!self.listening);
        let protocol = match kind {
            either::Kind::Mse => Protocol::Mse,
            either::Kind::WebCodecs => Protocol::WebCodecs,
        };
        (self.report)(TileEvent::PlayedBy(protocol, self.player_choice.why()));
        true
    }

    /// Turns audio off because it cannot be played, and logs the reason.
    fn deafen(&mut self, why: &str) {
        self.note(Level::Warning, why.to_owned());
        self.listen(false);
    }

    fn outcome(&mut self, outcome: Outcome, now: Moment) {
        match outcome {
            Outcome::Presented => {
                if self.player.kind() == either::Kind::Mse {
                    self.curtain.lift();
                    if std::mem::take(&mut self.float_due) {
                        display::float(&self.video);
                    }
                }
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
            // The tile is invisible, and the browser may close the next MediaSource as well.
            self.broken = true;
            return self.player.ignore_media();
        }
        // A player that fails with audio may work without.
        if self.player.drop_sound() {
            self.listen(false);
            // Without audio the choice may be WebCodecs, which has just started.
            if self.player.kind() == either::Kind::WebCodecs {
                return;
            }
        }
        match self.ladder.climb(trouble, now) {
            Repair::Rebuild => self.rebuild(),
            // The same decoder would fail again; the connection and the codec are not to blame.
            _ if self.player.kind() == either::Kind::WebCodecs => {
                self.player_choice.failed(trouble.to_string());
                self.change_player();
            }
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

    /// Creates a new MediaSource or decoder and requests an init segment and a key frame from the relay.
    fn rebuild(&mut self) {
        if self.start_over() {
            self.link.resume();
        }
    }

    fn start_over(&mut self) -> bool {
        self.curtain.draw(&self.video);
        let result = self.player.start_over();
        if let Err(error) = &result {
            self.fail(Failure::Refused, no_player(error));
        }
        result.is_ok()
    }

    /// Requests another codec: this browser cannot decode the current one.
    fn next_codec(&mut self) {
        if self.fall_back() {
            return self.link.play(&playable(self.kind, self.failed_on), self.choice);
        }
        let message = "This browser can decode neither the camera's own codec nor H.264: use a current Chrome, Edge, \
                       Firefox or Safari.";
        self.fail(Failure::Undecodable, message.to_owned());
    }

    /// Removes the camera's codec from the list of playable codecs, so that the relay sends a transcode. Returns whether that
    /// changes the list.
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

    /// Handles a lost connection: plans a retry after the backoff.
    fn lost(&mut self, now: Moment) {
        self.player.ignore_media();
        let retry_ms = self.link.lose(now);
        (self.report)(TileEvent::Lost { retry_ms });
    }

    /// Reports a failure that only a person can fix, and retries rarely.
    fn fail(&mut self, failure: Failure, message: String) {
        self.player.ignore_media();
        self.link.give_up();
        (self.report)(TileEvent::Failed(failure, message));
        (self.report)(TileEvent::RetryPlanned(SLOW_RETRY_MS));
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

    /// Saves an ended recording, or reports that recording failed.
    fn save(&mut self, ended: Result<Option<Blob>, DomError>) {
        // Called for every fragment: return first when no recording has ended.
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

    /// Logs a note for troubleshooting, on the page and in the browser's console.
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

fn no_player(error: &DomError) -> String {
    format!("The browser refused to start another player: {error}. Reload the page.")
}

/// The codec strings that this browser can play. They are those of MSE, which takes over where WebCodecs fails.
fn playable(kind: Kind, failed_on: Option<Family>) -> Vec<String> {
    probe::playable(|mime| kind.is_type_supported(mime), failed_on)
}

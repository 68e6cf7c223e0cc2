//! Plays fragments from a WebSocket through Media Source Extensions or WebCodecs: owns the connection and the player, and makes
//! the decisions that need both.
//!
//! Input: [`Input`]s. Output: [`TileEvent`]s. The controller owns the engine, which queues no media itself.

use sightline_protocol::codec::{VideoCodec, codec_of};
use sightline_protocol::message::{Ready, ServerMessage, Track, TrackKind};
use sightline_protocol::stream::{Quality, VariantChoice};
use web_sys::HtmlVideoElement;

use super::codec_fallback::CodecFallback;
use super::input::{Input, Subscriptions};
use super::player_host::PlayerHost;
use super::recording::Recording;
use super::relay_connection::{CloseReason, RelayConnection, SLOW_RETRY_MS};
use super::reporter::Reporter;
use super::size_report::SizeReport;
use super::stats::{AgeReporter, EngineStats, StatsSampler};
use super::visibility::Visibility;
use crate::browser;
use crate::browser::error::DomError;
use crate::browser::frame_canvas::FrameCanvas;
use crate::browser::mailbox::Sender;
use crate::browser::media_source::Kind;
use crate::player::either::PlayerKind;
use crate::player::outcome::Outcome;
use crate::player::recovery::{PlaybackError, Recovery, RecoveryPolicy};
use crate::state::{Failure, Level, TileEvent};
use crate::time::Moment;
use crate::transport::websocket::Incoming;

/// A longer interval between two inputs means that the machine or the page slept.
const SLEPT_MS: f64 = 5_000.0;

/// See the module.
pub(super) struct WebSocketEngine {
    reporter: Reporter,
    host: PlayerHost,
    connection: RelayConnection,
    codec: CodecFallback,
    quality: Quality,
    visibility: Visibility,
    recovery_policy: RecoveryPolicy,
    /// When the socket opened; none once its first frame has been presented.
    opened: Option<Moment>,
    /// A new MediaSource or decoder is needed once the tile is visible.
    broken: bool,
    recording: Recording,
    stats: StatsSampler,
    age: AgeReporter,
    last_input: Moment,
    size: SizeReport,
    _subscriptions: Subscriptions,
}

impl WebSocketEngine {
    pub(super) fn new(
        url: String,
        (choice, quality): (VariantChoice, Quality),
        (media_source, preferred): (Kind, PlayerKind),
        (video, canvas): (HtmlVideoElement, FrameCanvas),
        reporter: Reporter,
        sender: Sender<Input>,
    ) -> Result<Self, DomError> {
        let now = browser::now();
        Ok(Self {
            _subscriptions: Subscriptions::new(&video, &sender),
            host: PlayerHost::new(preferred, media_source, (video, canvas), sender.clone())?,
            connection: RelayConnection::new(url, sender),
            codec: CodecFallback::new(choice),
            quality,
            visibility: Visibility::default(),
            recovery_policy: RecoveryPolicy::default(),
            opened: None,
            broken: false,
            recording: Recording::new(reporter.clone()),
            reporter,
            stats: StatsSampler::default(),
            age: AgeReporter::new(now),
            last_input: now,
            size: SizeReport::default(),
        })
    }

    pub(super) fn handle(&mut self, input: Input) {
        let now = browser::now();
        match input {
            Input::Connect => self.connect(now),
            Input::Socket(generation, event) => {
                if let Some(incoming) = self.connection.receive(generation, event, now) {
                    self.incoming(incoming, now);
                }
            }
            Input::Player(signal) => self.host.player.handle(signal, now),
            Input::Tick => {
                self.host.player.tick(now);
                self.size.check(self.host.size()).into_iter().for_each(|size| self.connection.resize(size));
            }
            Input::Tapped => self.host.player.tapped(),
            Input::Listen(audio) => self.listen(audio),
            Input::Volume(volume) => self.host.set_volume(volume),
            Input::Quality(quality) => {
                self.quality = quality;
                self.connection.set_quality(quality);
            }
            Input::Record(enabled) => self.recording.set_enabled(enabled),
            Input::PictureInPicture => self.toggle_picture_in_picture(),
            Input::Visibility => {
                self.visibility.set_page_visible(self.host.is_seen());
                self.change_player();
            }
            Input::OnScreen(on_screen) => self.visibility.set_tile_visible(on_screen),
            Input::Online | Input::Retry => self.reconnect_now(now),
            Input::PageShown(from_cache) => {
                self.reconnect_now(now);
                if from_cache {
                    self.host.player.tick(now);
                }
            }
            // Chromium caches a page with its WebSocket open: the relay would send until its flow control stops.
            Input::PageLeft => {
                self.host.player.ignore_media();
                self.connection.give_up();
            }
            // Inputs of other engines.
            Input::Frame | Input::Played(_) | Input::VideoError | Input::Peer(..) | Input::Hls(..) => {}
        }
        if now.ms_since(std::mem::replace(&mut self.last_input, now)) > SLEPT_MS {
            self.reconnect_now(now);
        }
        if let Some(visible) = self.visibility.poll(now) {
            self.watch(visible, now);
        }
        for outcome in self.host.player.outcomes() {
            self.outcome(outcome, now);
        }
        if self.connection.send_due(now, || self.host.player.lag_ms()) {
            self.lost(now);
        }
        self.report_age(now);
        let stats = || {
            let (buffered, jitter_ms, rate) = self.host.player.stats(now);
            let (round_trip_ms, traffic) = (self.connection.round_trip_ms(), self.connection.traffic());
            EngineStats { age_ms: self.age.reported(), buffered, jitter_ms, rate, round_trip_ms, traffic }
        };
        if let Some(sample) = self.stats.sample(|| self.host.player.quality(), stats, now) {
            self.reporter.event(TileEvent::Sample(sample));
            self.recording.report();
        }
    }

    fn connect(&mut self, now: Moment) {
        (self.opened, self.size) = (None, SizeReport::default());
        self.reporter.event(TileEvent::Connecting);
        if let Err(error) = self.connection.connect(now) {
            self.fail(Failure::Unreachable, format!("The browser refused to connect to the relay: {error}."));
        }
    }

    /// Retries at once if a retry is planned, and otherwise tests the connection: the network may have changed.
    fn reconnect_now(&mut self, now: Moment) {
        if self.connection.is_waiting() {
            self.connect(now);
        } else {
            self.connection.probe(now);
        }
    }

    fn watch(&mut self, visible: bool, now: Moment) {
        self.reporter.event(TileEvent::VisibilityChanged(visible));
        if !visible {
            self.host.player.hide();
            return self.connection.pause();
        }
        self.reconnect_now(now);
        self.connection.resume();
        if std::mem::take(&mut self.broken) {
            self.rebuild();
        }
        self.host.player.show(now);
    }

    fn incoming(&mut self, incoming: Incoming, now: Moment) {
        match incoming {
            Incoming::Opened => {
                self.play();
                if self.host.selector.audio() {
                    self.connection.listen(true);
                }
                if !self.visibility.is_visible() {
                    self.connection.pause();
                }
                self.reporter.mark("open");
                self.opened = Some(now);
                self.reporter.event(TileEvent::Connected);
            }
            Incoming::Media(bytes) => {
                self.recording.media(&bytes);
                self.host.player.media(bytes, now);
            }
            Incoming::Message(message) => self.message(message),
            Incoming::Closed { code } => match self.connection.closed(code, self.reporter.stream().as_str()) {
                CloseReason::Lost => self.lost(now),
                CloseReason::Refused(message) => self.fail(Failure::Refused, message),
            },
        }
    }

    fn play(&mut self) {
        // Before the page has placed its tiles, a video is hidden, and the sub stream is enough for it.
        let size = self.host.size();
        self.size.told(size);
        self.connection.play(&self.host.playable(self.codec.failed()), (self.codec.choice(), self.quality), size);
    }

    fn message(&mut self, message: ServerMessage) {
        match message {
            ServerMessage::Ready(ready) => self.ready(ready),
            ServerMessage::Track(new) => self.track(&new.track),
            ServerMessage::State(state) => self.reporter.event(TileEvent::Source(state)),
            ServerMessage::Reason { why } => self.reporter.event(TileEvent::Reason(why)),
            ServerMessage::Error { message, .. } => self.connection.refused(message),
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
        self.recording.announce(track);
        let family = codec_of(&track.mime).parse::<VideoCodec>().ok().map(|codec| codec.family());
        self.codec.begin_epoch(ready.variant, family);
        self.host.selector.begin_epoch(family);
        // The init segment and the first GOP follow.
        self.use_selected_player();
        if !self.host.supports(&track.mime) {
            self.host.player.ignore_media();
            return self.next_codec();
        }
        self.host.player.announce(track);
        self.reporter.event(TileEvent::Ready(ready));
    }

    /// Handles an announcement of audio.
    fn track(&mut self, track: &Track) {
        self.recording.announce(track);
        if !self.host.supports(&track.mime) {
            return self.disable_audio("This browser cannot play the camera's sound.");
        }
        // Chrome adds no SourceBuffer to a MediaSource that plays: a new one gets both.
        if self.host.player.announce_audio(track) {
            self.rebuild();
        }
    }

    /// Turns audio on or off.
    fn listen(&mut self, audio: bool) {
        self.host.selector.set_audio(audio);
        // Within the user's gesture, before anything that takes time.
        self.change_player();
        self.host.set_muted(!audio);
        self.connection.listen(audio);
        if !audio && self.host.player.remove_audio() {
            self.rebuild();
        }
        self.reporter.event(TileEvent::Listening(audio));
    }

    /// Enters or leaves picture-in-picture.
    fn toggle_picture_in_picture(&mut self) {
        if self.host.toggle_picture_in_picture() {
            self.change_player();
        }
    }

    /// Uses the selected player, and requests an init segment and a key frame for it.
    fn change_player(&mut self) {
        if !self.use_selected_player() {
            return;
        }
        if self.visibility.is_visible() {
            self.connection.resume();
        } else {
            self.broken = true;
        }
    }

    /// Uses the selected player. Returns whether it is a new one.
    fn use_selected_player(&mut self) -> bool {
        match self.host.use_selected() {
            Ok(true) => {
                self.reporter.event(TileEvent::PlayerSelected(self.host.protocol(), self.host.selector.why()));
                true
            }
            Ok(false) => false,
            Err(error) => {
                self.fail(Failure::Refused, no_player(&error));
                false
            }
        }
    }

    /// Turns audio off because it cannot be played, and logs the reason.
    fn disable_audio(&mut self, why: &str) {
        self.reporter.note(Level::Warning, why.to_owned());
        self.listen(false);
    }

    fn outcome(&mut self, outcome: Outcome, now: Moment) {
        match outcome {
            Outcome::Presented => {
                self.host.presented();
                let first_frame_ms = self.opened.take().map(|opened| now.ms_since(opened));
                if first_frame_ms.is_some() {
                    self.reporter.mark("first-frame");
                }
                self.reporter.event(TileEvent::Presented { first_frame_ms });
            }
            Outcome::FrameRate(rate) => self.reporter.event(TileEvent::FrameRate(rate)),
            Outcome::Stale(stale) => self.reporter.event(TileEvent::Stale(stale)),
            Outcome::AudioLost => self.disable_audio("The camera's sound stopped."),
            Outcome::TapNeeded(needed) => self.reporter.event(TileEvent::TapNeeded(needed)),
            Outcome::Failed(error) => self.recover(&error, now),
        }
    }

    fn recover(&mut self, error: &PlaybackError, now: Moment) {
        self.reporter.note(Level::Warning, error.to_string());
        let failure = match error {
            PlaybackError::Reclaimed => Failure::Reclaimed,
            PlaybackError::Decode | PlaybackError::NoFrame => Failure::Undecodable,
            PlaybackError::Stalled | PlaybackError::Refused(_) => Failure::Stalled,
        };
        self.reporter.event(TileEvent::PlaybackFailed(failure));
        if !self.visibility.is_visible() {
            // The tile is invisible, and the browser may close the next MediaSource as well.
            self.broken = true;
            return self.host.player.ignore_media();
        }
        let recovery = self.recovery_policy.respond(error, now);
        // A player that fails again with audio may work without.
        if recovery != Recovery::Rebuild && self.host.player.remove_audio() {
            self.disable_audio("The browser stops playing the video with the camera's sound.");
            // Without audio WebCodecs may play, and has just started.
            if !self.host.is_webcodecs() {
                self.rebuild();
            }
            return;
        }
        match recovery {
            Recovery::Rebuild => self.rebuild(),
            // The same decoder would fail again; the connection and the codec are not to blame.
            _ if self.host.is_webcodecs() => {
                self.host.selector.failed(error.to_string());
                self.change_player();
            }
            Recovery::Reconnect => {
                self.rebuild();
                self.lost(now);
            }
            Recovery::NextCodec => {
                if self.start_over() {
                    self.next_codec();
                }
            }
        }
    }

    /// Creates a new MediaSource or decoder and requests an init segment and a key frame from the relay.
    fn rebuild(&mut self) {
        if self.start_over() {
            self.connection.resume();
        }
    }

    fn start_over(&mut self) -> bool {
        let result = self.host.start_over();
        if let Err(error) = &result {
            self.fail(Failure::Refused, no_player(error));
        }
        result.is_ok()
    }

    /// Requests another codec: this browser cannot decode the current one.
    fn next_codec(&mut self) {
        if self.codec.fall_back() {
            self.reporter.event(TileEvent::FellBack);
            return self.play();
        }
        let message = "This browser can decode neither the camera's own codec nor H.264: use a current Chrome, Edge, \
                       Firefox or Safari.";
        self.fail(Failure::Undecodable, message.to_owned());
    }

    /// Handles a lost connection: plans a retry after the backoff.
    fn lost(&mut self, now: Moment) {
        self.host.player.ignore_media();
        let retry_ms = self.connection.lose(now);
        self.reporter.event(TileEvent::Lost { retry_ms });
    }

    /// Reports a failure that only a person can fix, and retries rarely.
    fn fail(&mut self, failure: Failure, message: String) {
        self.host.player.ignore_media();
        self.connection.give_up();
        self.reporter.event(TileEvent::Failed(failure, message));
        self.reporter.event(TileEvent::RetryPlanned(SLOW_RETRY_MS));
    }

    fn report_age(&mut self, now: Moment) {
        let known = || self.host.player.age_ms().zip(self.connection.ahead_ms());
        if let Some(age_ms) = self.age.poll(|| known().map(|(age, ahead)| (age + ahead).max(0.0)), now) {
            self.reporter.event(TileEvent::Age(age_ms));
        }
    }
}

fn no_player(error: &DomError) -> String {
    format!("The browser refused to start another player: {error}. Reload the page.")
}

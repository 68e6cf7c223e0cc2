//! Plays the relay's LL-HLS: with hls.js where the browser has Media Source Extensions, else with the browser's own player.
//!
//! Input: [`Input`]s. Output: [`TileEvent`]s. The controller owns the engine. hls.js or the browser buffers the media.

use sightline_protocol::address::Address;
use sightline_protocol::message::{Size, VariantReason};
use sightline_protocol::stream::{Quality, StreamName, Variant};
use wasm_bindgen_futures::spawn_local;
use web_sys::{HtmlMediaElement, HtmlVideoElement};

use super::Report;
use super::attempts::Attempts;
use super::browser_playback::BrowserPlayback;
use super::input::Input;
use super::stats::{AgeReporter, EngineStats};
use crate::browser::error::DomError;
use crate::browser::frame_canvas::FrameCanvas;
use crate::browser::hls::{self, HlsLevel, HlsPlayer, Script};
use crate::browser::listener::Listener;
use crate::browser::mailbox::Sender;
use crate::browser::media_source::Kind;
use crate::browser::video;
use crate::browser::{self, Relay};
use crate::state::{Failure, TileEvent, VideoInfo};
use crate::time::Moment;
use crate::transport::clock::RelayClock;
use crate::transport::websocket::Traffic;

/// Interval of requests for the relay's time.
const ASK_MS: f64 = 5_000.0;
/// Timeout of the first playlist request: the relay waits up to 25 s for a camera, then answers with an error.
const ANSWER_MS: f64 = 30_000.0;
/// The same for a stream that has played before: its camera is most likely running.
const ANSWER_AGAIN_MS: f64 = 6_000.0;
/// A second decode error within this time means that the browser cannot decode the stream.
const RECOVERED_MS: f64 = 10_000.0;
/// A stall this soon after a failed request is attributed to it. hls.js repeats requests for old media for twice as long as a
/// relay needs to restart, and reports no error meanwhile.
const HITCH_MS: f64 = 10_000.0;
/// A stall that lasts this long after its detection is a connection failure. On a silent network hls.js waits for its requests
/// to end, while TCP retransmits at growing intervals.
const STANDSTILL_MS: f64 = 4_000.0;
/// A player with audio that has no media after this long starts over. It needs the first segments of both playlists, and hls.js
/// sometimes waits for one of them without end.
const STARTED_MS: f64 = 8_000.0;

/// See the module. Flat, as every input may change any of it; the part that starts again with each player is in [`Stall`].
pub(super) struct HlsEngine {
    urls: Urls,
    quality: Quality,
    by_script: bool,
    playback: BrowserPlayback,
    report: Report,
    attempts: Attempts,
    player: Option<HlsPlayer>,
    /// When the player was started.
    started: Moment,
    /// hls.js, once it is loaded.
    script: Option<Script>,
    audio: AudioChoice,
    /// The browser plays the playlist natively.
    native: bool,
    recovered: Option<Moment>,
    /// A frame has been presented.
    lived: bool,
    stall: Stall,
    bytes: u64,
    time: RelayTime,
    age: AgeReporter,
    _errors: Listener,
}

#[derive(Default)]
struct AudioChoice {
    /// The stream has audio.
    offered: bool,
    /// The user has turned audio on.
    wanted: bool,
}

#[derive(Default)]
struct RelayTime {
    clock: RelayClock,
    /// When it was last requested.
    asked: Option<Moment>,
}

struct Urls {
    /// The multivariant playlist of each quality, in the order of [`Quality::ALL`].
    playlists: [String; 3],
    script: String,
    time: String,
}

/// What is known of a stall. A new player begins with nothing.
#[derive(Default)]
struct Stall {
    /// Since when the video is stale.
    since: Option<Moment>,
    /// When a request failed.
    hitch: Option<Moment>,
}

impl HlsEngine {
    pub(super) fn new(
        (stream, relay): (&StreamName, &Relay),
        quality: Quality,
        surface: (HtmlVideoElement, FrameCanvas),
        report: Report,
        sender: Sender<Input>,
    ) -> Result<Self, DomError> {
        let now = browser::now();
        let errors = {
            let sender = sender.clone();
            Listener::new(&surface.0, "error", move |_| sender.send(Input::VideoError))
        };
        Ok(Self {
            urls: Urls {
                playlists: playlists(stream, relay)?,
                script: browser::relay_url("hls.js", relay.url.as_deref())?,
                time: relay.address("api/time")?,
            },
            quality,
            by_script: Kind::available().is_some(),
            playback: BrowserPlayback::new(surface, report.clone(), sender.clone(), now),
            attempts: Attempts::new(report.clone(), sender, now),
            report,
            player: None,
            started: now,
            script: None,
            audio: AudioChoice::default(),
            native: false,
            recovered: None,
            lived: false,
            stall: Stall::default(),
            bytes: 0,
            time: RelayTime::default(),
            age: AgeReporter::new(now),
            _errors: errors,
        })
    }

    pub(super) fn handle(&mut self, input: Input) {
        let now = browser::now();
        match (self.playback.handle(&input, now), &self.player) {
            (Some(false), Some(player)) => player.pause(),
            (Some(true), Some(player)) => player.resume(&self.playback.video),
            (Some(false), None) => self.close(),
            (Some(true), None) => self.connect(now),
            (None, _) => {}
        }
        match input {
            Input::Connect => self.connect(now),
            Input::Quality(quality) => {
                self.quality = quality;
                self.connect(now);
            }
            Input::Hls(generation, event) if self.attempts.is_present(generation) => self.event(event, now),
            Input::VideoError if self.native && self.playback.video.error().is_some() => self.lost(now),
            Input::Listen(audio) => self.listen(audio, now),
            Input::Online | Input::Retry | Input::PageShown(_) if self.attempts.is_waiting() => self.connect(now),
            Input::Tick => self.tick(now),
            _ => {}
        }
    }

    /// Requests the playlist first: on an error the relay's response explains it, and players do not expose that text.
    fn connect(&mut self, now: Moment) {
        if !self.playback.is_visible() {
            return;
        }
        self.playback.start_over(now);
        self.close();
        self.stall = Stall::default();
        self.attempts.begin(now);
        let (url, send) = (self.playlist().to_owned(), self.attempts.event_sender(Input::Hls));
        spawn_local(async move {
            let answer = match gloo_net::http::Request::get(&url).send().await {
                Ok(response) => Some((response.status(), response.text().await.unwrap_or_default())),
                Err(_) => None,
            };
            send(hls::HlsEvent::Answered(answer));
        });
    }

    /// The address of the multivariant playlist.
    fn playlist(&self) -> &str {
        let [auto, high, low] = &self.urls.playlists;
        match self.quality {
            Quality::Auto => auto,
            Quality::High => high,
            Quality::Low => low,
        }
    }

    fn close(&mut self) {
        self.attempts.end();
        self.player = None;
        if std::mem::take(&mut self.native) {
            video::release(&self.playback.video);
        }
    }

    fn event(&mut self, event: hls::HlsEvent, now: Moment) {
        match event {
            hls::HlsEvent::Answered(None) => self.lost(now),
            hls::HlsEvent::Answered(Some((200, playlist))) => {
                self.audio.offered = hls::has_audio(&playlist);
                (self.report)(TileEvent::HasAudio(self.audio.offered));
                self.load(now);
            }
            hls::HlsEvent::Answered(Some((status, message))) => {
                self.close();
                self.attempts.refused(status, &message);
            }
            hls::HlsEvent::Loaded(Ok(script)) => {
                self.script = Some(script);
                self.start_player(now);
            }
            hls::HlsEvent::Loaded(Err(message)) => self.fail(Failure::Refused, message),
            hls::HlsEvent::Level(level) => {
                self.playback.begin_epoch(TileEvent::VideoInfo(video_info(&level, self.quality)));
            }
            hls::HlsEvent::Received(bytes) => self.bytes += bytes,
            hls::HlsEvent::Time { sent, at, received } => self.time.clock.answered(sent, at, received),
            hls::HlsEvent::Hitch => self.stall.hitch = Some(now),
            hls::HlsEvent::Network(_) => self.lost(now),
            hls::HlsEvent::Media(details) => self.recover(&details, now),
        }
    }

    fn load(&mut self, now: Moment) {
        (self.report)(TileEvent::Connected);
        if !self.by_script {
            self.native = true;
            self.playback.video.set_src(self.playlist());
            return self.playback.play(now);
        }
        let (url, send) = (self.urls.script.clone(), self.attempts.event_sender(Input::Hls));
        spawn_local(async move { send(hls::HlsEvent::Loaded(hls::load(&url).await)) });
    }

    /// Plays the playlist with hls.js.
    fn start_player(&mut self, now: Moment) {
        let Some(script) = &self.script else { return };
        self.started = now;
        let audible = self.audio.offered && self.audio.wanted;
        let send = self.attempts.event_sender(Input::Hls);
        match HlsPlayer::new(script, &self.playback.video, (self.playlist(), audible), send) {
            Ok(player) => self.player = Some(player),
            Err(error) => self.fail(Failure::Refused, format!("The HLS player does not start: {error}.")),
        }
        self.playback.play(now);
    }

    /// Turns audio on or off. hls.js requests audio from the start or not at all, so it starts over, behind the last frame.
    fn listen(&mut self, wanted: bool, now: Moment) {
        // Within the user's gesture, before anything that takes time.
        self.playback.video.set_muted(!wanted);
        let changed = std::mem::replace(&mut self.audio.wanted, wanted) != wanted;
        if changed && self.audio.offered && self.player.is_some() {
            if self.playback.is_visible() {
                self.playback.start_over(now);
                self.stall = Stall::default();
                self.player = None;
                self.start_player(now);
            } else {
                // Connects when it is visible again.
                self.close();
            }
        }
        (self.report)(TileEvent::Listening(wanted));
    }

    fn recover(&mut self, details: &str, now: Moment) {
        let soon = self.recovered.is_some_and(|at| now.ms_since(at) < RECOVERED_MS);
        match &self.player {
            Some(player) if !soon => {
                player.recover();
                self.recovered = Some(now);
                (self.report)(TileEvent::PlaybackFailed(Failure::Stalled));
            }
            _ => self.fail(Failure::Undecodable, format!("The browser does not play this HLS stream ({details}).")),
        }
    }

    fn lost(&mut self, now: Moment) {
        let lived_ms = if self.playback.has_presented() { self.attempts.age_ms(now) } else { 0.0 };
        self.playback.start_over(now);
        self.close();
        self.attempts.lost(lived_ms);
    }

    /// Whether a player with audio has got no media for too long.
    fn waits_in_vain(&self, now: Moment) -> bool {
        let empty = self.playback.video.ready_state() < HtmlMediaElement::HAVE_CURRENT_DATA;
        let audible = self.player.is_some() && self.audio.offered && self.audio.wanted;
        audible && empty && self.playback.is_visible() && now.ms_since(self.started) > STARTED_MS
    }

    fn fail(&mut self, failure: Failure, message: String) {
        self.close();
        self.attempts.fail(failure, message);
    }

    fn tick(&mut self, now: Moment) {
        if self.player.is_none() && !self.native {
            // A request has no timeout of its own, and on a silent network it ends with TCP's.
            let limit_ms = if self.lived { ANSWER_AGAIN_MS } else { ANSWER_MS };
            if self.playback.is_visible() && !self.attempts.is_waiting() && self.attempts.age_ms(now) > limit_ms {
                self.lost(now);
            }
            return;
        }
        self.lived |= self.playback.has_presented();
        if self.waits_in_vain(now) {
            return self.lost(now);
        }
        if self.playback.is_stale() {
            let since = *self.stall.since.get_or_insert(now);
            let hitched = self.stall.hitch.is_some_and(|hitch| now.ms_since(hitch) < HITCH_MS);
            if hitched || now.ms_since(since) > STANDSTILL_MS {
                return self.lost(now);
            }
        } else {
            self.stall.since = None;
        }
        if self.time.asked.is_none_or(|asked| now.ms_since(asked) >= ASK_MS) {
            self.time.asked = Some(now);
            let (url, send) = (self.urls.time.clone(), self.attempts.event_sender(Input::Hls));
            spawn_local(async move {
                if let Some((sent, at, received)) = hls::time(&url).await {
                    send(hls::HlsEvent::Time { sent, at, received });
                }
            });
        }
        let captured = self.player.as_ref().filter(|_| self.playback.has_presented()).and_then(HlsPlayer::captured);
        let known = captured.zip(self.time.clock.ahead());
        let age_ms = known.map(|(captured, ahead)| (browser::unix_ms() + ahead - captured).max(0.0));
        if let Some(age_ms) = self.age.poll(|| age_ms, now) {
            (self.report)(TileEvent::Age(age_ms));
        }
        let traffic = Traffic { bytes: self.bytes, ..Traffic::default() };
        let element = self.playback.video.clone();
        let stats = || {
            let end = video::buffered(&element).last().map_or(0.0, |range| range.end);
            let buffered = (end - element.current_time()).max(0.0);
            EngineStats { age_ms, buffered, traffic, rate: element.playback_rate(), ..EngineStats::default() }
        };
        self.playback.sample(stats, now);
    }
}

impl Drop for HlsEngine {
    fn drop(&mut self) {
        self.close();
    }
}

/// The addresses of the multivariant playlists, in the order of [`Quality::ALL`].
fn playlists(stream: &StreamName, relay: &Relay) -> Result<[String; 3], DomError> {
    let index = Address::HlsIndex(stream.clone());
    let [auto, high, low] = Quality::ALL.map(|quality| match quality {
        // Without a parameter: an address of its own would divide the caches of a CDN.
        Quality::Auto => relay.address(&index.to_string()),
        quality => relay.address(&format!("{index}?quality={}", quality.as_str())),
    });
    Ok([auto?, high?, low?])
}

/// Describes the current level like the other protocols do. A variant's playlists lie below its name.
fn video_info(level: &HlsLevel, quality: Quality) -> VideoInfo {
    let variant = [Variant::Copy, Variant::Low].into_iter().find(|variant| level.url.contains(&format!("/{variant}/")));
    let size = (level.width > 0).then_some(Size { width: level.width, height: level.height });
    let codec = level.codec.clone();
    let variant = variant.unwrap_or(Variant::H264);
    let why = match (quality, variant) {
        (Quality::Low, Variant::Low) => Some(VariantReason::Requested),
        // The relay lists what there is.
        (Quality::Low, _) => Some(VariantReason::NoLow),
        _ => None,
    };
    VideoInfo { variant, why, codec, size, frame_rate: None }
}

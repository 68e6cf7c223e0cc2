//! Plays WebRTC from the relay's WHEP endpoint.
//!
//! Input: [`Input`]s. Output: [`TileEvent`]s. The controller owns the engine. The browser buffers the media.

use sightline_protocol::address::Address;
use sightline_protocol::stream::{Quality, StreamName, VariantChoice};
use web_sys::HtmlVideoElement;

use super::Report;
use super::attempts::Attempts;
use super::browser_playback::BrowserPlayback;
use super::input::Input;
use super::stats::EngineStats;
use crate::browser::error::DomError;
use crate::browser::frame_canvas::FrameCanvas;
use crate::browser::mailbox::Sender;
use crate::browser::peer::{self, Peer, Received, Refusal};
use crate::browser::{self, Relay};
use crate::state::{Failure, TileEvent, word_of};
use crate::time::Moment;
use crate::transport::websocket::Traffic;

/// Connection timeout: ICE and DTLS take a few round trips. A slower connection is blocked.
const CONNECT_MS: f64 = 5_000.0;
/// A connection without new bytes for this long is dead, whatever state the browser reports.
const SILENT_MS: f64 = 4_000.0;
/// Interval at which the browser's receive statistics are read.
const MEASURE_MS: f64 = 1_000.0;

/// See the module.
pub(super) struct WebRtcEngine {
    /// The address of an offer, without the quality.
    endpoint: String,
    quality: Quality,
    playback: BrowserPlayback,
    report: Report,
    attempts: Attempts,
    peer: Option<Peer>,
    /// Whether sound is on.
    listening: bool,
    /// Since when the current connection is established.
    connected: Option<Moment>,
    received: Received,
    measured: Moment,
    /// When the received bytes last increased.
    heard: Moment,
}

impl WebRtcEngine {
    pub(super) fn new(
        stream: &StreamName,
        relay: &Relay,
        (choice, quality): (VariantChoice, Quality),
        surface: (HtmlVideoElement, FrameCanvas),
        report: Report,
        sender: Sender<Input>,
    ) -> Result<Self, DomError> {
        let now = browser::now();
        Ok(Self {
            endpoint: relay.address(&format!("{}?codec={}", Address::Whep(stream.clone()), word_of(choice)))?,
            quality,
            playback: BrowserPlayback::new(surface, report.clone(), sender.clone(), now),
            attempts: Attempts::new(report.clone(), sender, now),
            report,
            peer: None,
            listening: false,
            connected: None,
            received: Received::default(),
            measured: now,
            heard: now,
        })
    }

    pub(super) fn handle(&mut self, input: Input) {
        let now = browser::now();
        match self.playback.handle(&input, now) {
            Some(true) => self.connect(now),
            Some(false) => self.close(),
            None => {}
        }
        match input {
            Input::Connect => self.connect(now),
            Input::Quality(quality) => {
                self.quality = quality;
                // A session has one quality. The last frame stays while the next one starts.
                self.connect(now);
            }
            Input::Listen(audio) => self.listen(audio, now),
            Input::Peer(generation, event) if self.attempts.is_present(generation) => self.peer(event, now),
            Input::Online | Input::Retry | Input::PageShown(_) if self.attempts.is_waiting() => self.connect(now),
            Input::Tick => self.tick(now),
            _ => {}
        }
    }

    fn connect(&mut self, now: Moment) {
        if !self.playback.is_visible() {
            return;
        }
        self.playback.start_over(now);
        self.close();
        self.attempts.begin(now);
        self.open(now);
    }

    /// Turns sound on or off, which takes another connection: WHEP has no second offer. The last frame covers the change.
    fn listen(&mut self, audio: bool, now: Moment) {
        // Within the user's gesture, or the browser pauses the video.
        self.playback.video.set_muted(!audio);
        let changed = std::mem::replace(&mut self.listening, audio) != audio;
        match (self.peer.is_some(), self.connected.is_some()) {
            (true, true) if changed => {
                self.playback.start_over(now);
                self.close();
                self.attempts.replace(now);
                self.open(now);
            }
            (true, false) if changed => self.connect(now),
            _ => {}
        }
        (self.report)(TileEvent::Listening(audio));
    }

    fn open(&mut self, now: Moment) {
        // The address has a query already.
        let endpoint = format!("{}&quality={}", self.endpoint, self.quality.as_str());
        let offer = (endpoint, self.listening);
        match Peer::open(&self.playback.video, offer, self.attempts.event_sender(Input::Peer)) {
            Ok(peer) => {
                self.peer = Some(peer);
                self.playback.play(now);
            }
            Err(error) => {
                let message = format!("The browser makes no WebRTC connection: {error}. Choose MSE.");
                self.attempts.fail(Failure::Refused, message);
            }
        }
    }

    fn close(&mut self) {
        self.attempts.end();
        (self.peer, self.connected) = (None, None);
    }

    fn peer(&mut self, event: peer::PeerEvent, now: Moment) {
        match event {
            peer::PeerEvent::Answered(Ok(())) => {}
            peer::PeerEvent::Answered(Err(Refusal { status: None, .. })) | peer::PeerEvent::Failed => self.lost(now),
            peer::PeerEvent::Answered(Err(Refusal { status: Some(status), message })) => {
                self.close();
                self.attempts.refused(status, &message);
            }
            peer::PeerEvent::Connected => {
                (self.connected, self.heard) = (Some(now), now);
                (self.report)(TileEvent::Connected);
            }
            peer::PeerEvent::Received(received) => {
                if received.bytes != self.received.bytes {
                    self.heard = now;
                }
                self.received = received;
            }
            peer::PeerEvent::Ready(ready) => self.playback.begin_epoch(TileEvent::Ready(ready)),
        }
    }

    fn lost(&mut self, now: Moment) {
        self.playback.start_over(now);
        let lived_ms = self.connected.map_or(0.0, |connected| now.ms_since(connected));
        self.close();
        self.attempts.lost(lived_ms);
    }

    fn tick(&mut self, now: Moment) {
        let Some(peer) = &self.peer else { return };
        let dead = match self.connected {
            None => self.attempts.age_ms(now) > CONNECT_MS,
            Some(_) => now.ms_since(self.heard) > SILENT_MS,
        };
        if dead {
            return self.lost(now);
        }
        if now.ms_since(self.measured) >= MEASURE_MS {
            self.measured = now;
            peer.measure(self.attempts.event_sender(Input::Peer));
        }
        let Received { bytes, jitter_ms, round_trip_ms } = self.received;
        let traffic = Traffic { bytes, ..Traffic::default() };
        self.playback
            .sample(|| EngineStats { jitter_ms, round_trip_ms, traffic, rate: 1.0, ..EngineStats::default() }, now);
    }
}

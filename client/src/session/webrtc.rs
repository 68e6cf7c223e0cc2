//! WebRTC from the relay's own WHEP endpoint.

use sightline_protocol::message::{OfflineReason, Size, StreamState};
use sightline_protocol::stream::{StreamName, Variant, VariantChoice};
use web_sys::HtmlVideoElement;

use super::Report;
use super::input::Input;
use super::screen::Screen;
use super::statistics::Figures;
use crate::browser;
use crate::browser::curtain::Curtain;
use crate::browser::error::DomError;
use crate::browser::mailbox::Sender;
use crate::browser::peer::{self, Peer, Received, Refusal};
use crate::browser::timer::Timeout;
use crate::state::{Failure, Picture, TileEvent, word_of};
use crate::time::Moment;
use crate::transport::backoff::Backoff;
use crate::transport::websocket::Traffic;

/// ICE and DTLS take a few round trips; what takes longer is blocked.
const CONNECT_MS: f64 = 5_000.0;
/// A connection on which nothing has come for so long is dead, whatever the browser says of it.
const SILENT_MS: f64 = 5_000.0;
/// What the relay refused is asked for again this seldom.
const REFUSED_RETRY_MS: f64 = 30_000.0;
/// A camera that is off is asked for again after this.
const OFFLINE_RETRY_MS: f64 = 4_000.0;

/// See the module.
pub(super) struct WebRtc {
    endpoint: String,
    screen: Screen,
    report: Report,
    sender: Sender<Input>,
    peer: Option<Peer>,
    /// Numbers the connections: what an earlier one has to say means nothing.
    generation: u32,
    /// Since when the present one is tried or stands.
    since: Moment,
    connected: bool,
    retry: Option<Timeout>,
    backoff: Backoff,
    received: Received,
    told: Option<Picture>,
    measured: Moment,
    /// When more had been received than before.
    heard: Moment,
}

impl WebRtc {
    pub(super) fn new(
        (stream, choice, relay): (&StreamName, VariantChoice, Option<&str>),
        picture: (HtmlVideoElement, Curtain),
        report: Report,
        sender: Sender<Input>,
    ) -> Result<Self, DomError> {
        let now = browser::now();
        Ok(Self {
            endpoint: browser::relay_url(&format!("whep/{stream}?codec={}", word_of(choice)), relay)?,
            screen: Screen::new(picture, report.clone(), sender.clone(), now),
            report,
            sender,
            peer: None,
            generation: 0,
            since: now,
            connected: false,
            retry: None,
            backoff: Backoff::default(),
            received: Received::default(),
            told: None,
            measured: now,
            heard: now,
        })
    }

    pub(super) fn handle(&mut self, input: Input) {
        let now = browser::now();
        match self.screen.handle(&input, now) {
            Some(true) => self.connect(now),
            Some(false) => self.close(),
            None => {}
        }
        match input {
            Input::Connect => self.connect(now),
            Input::Peer(generation, event) if generation == self.generation => self.peer(event, now),
            Input::Online | Input::PageShown(_) if self.retry.is_some() => self.connect(now),
            Input::Tick => self.tick(now),
            _ => {}
        }
    }

    fn connect(&mut self, now: Moment) {
        if !self.screen.watched() {
            return;
        }
        self.close();
        (self.since, self.told) = (now, None);
        self.screen.start_over(now);
        (self.report)(TileEvent::Connecting);
        match Peer::open(&self.screen.video, self.endpoint.clone(), self.telling()) {
            Ok(peer) => {
                self.peer = Some(peer);
                self.screen.play(now);
            }
            Err(error) => {
                let message = format!("The browser makes no WebRTC connection: {error}. Choose MSE.");
                (self.report)(TileEvent::Failed(Failure::Refused, message));
            }
        }
    }

    fn close(&mut self) {
        self.generation += 1;
        (self.peer, self.retry, self.connected) = (None, None, false);
    }

    fn telling(&self) -> impl Fn(peer::Event) + Clone + 'static {
        let (sender, generation) = (self.sender.clone(), self.generation);
        move |event| sender.send(Input::Peer(generation, event))
    }

    fn peer(&mut self, event: peer::Event, now: Moment) {
        match event {
            peer::Event::Answered(Ok(())) => {}
            peer::Event::Answered(Err(refusal)) => self.refused(refusal, now),
            peer::Event::Connected => {
                (self.connected, self.since, self.heard) = (true, now, now);
                (self.report)(TileEvent::Connected);
            }
            peer::Event::Failed => self.lost(now),
            peer::Event::Received(received) => self.measured(received, now),
        }
    }

    fn refused(&mut self, Refusal { status, message }: Refusal, now: Moment) {
        let failure = match status {
            None => return self.lost(now),
            Some(502..=504) => {
                self.close();
                let retry_in_ms = OFFLINE_RETRY_MS as u64;
                let state = StreamState::Offline { reason: OfflineReason::Failed, message, retry_in_ms };
                // The relay is there, and says that the camera is not.
                (self.report)(TileEvent::Connected);
                (self.report)(TileEvent::Source(state));
                return self.again(OFFLINE_RETRY_MS);
            }
            Some(406) => Failure::Undecodable,
            Some(_) => Failure::Refused,
        };
        self.close();
        (self.report)(TileEvent::Failed(failure, message));
        self.again(REFUSED_RETRY_MS);
    }

    fn lost(&mut self, now: Moment) {
        let lived_ms = if self.connected { now.ms_since(self.since) } else { 0.0 };
        self.close();
        let retry_ms = self.backoff.after(lived_ms, js_sys::Math::random());
        (self.report)(TileEvent::Lost { retry_ms });
        self.again(retry_ms);
    }

    fn again(&mut self, ms: f64) {
        let sender = self.sender.clone();
        self.retry = Some(Timeout::new(ms, move || sender.send(Input::Connect)));
    }

    fn tick(&mut self, now: Moment) {
        let Some(peer) = &self.peer else { return };
        let blocked = !self.connected && now.ms_since(self.since) > CONNECT_MS;
        if blocked || (self.connected && now.ms_since(self.heard) > SILENT_MS) {
            return self.lost(now);
        }
        if now.ms_since(self.measured) >= 1_000.0 {
            self.measured = now;
            peer.measure(self.telling());
        }
        let Received { bytes, jitter_ms, round_trip_ms, .. } = self.received;
        let traffic = Traffic { bytes, ..Traffic::default() };
        self.screen.sample(|| Figures { jitter_ms, round_trip_ms, traffic, rate: 1.0, ..Figures::default() }, now);
    }

    fn measured(&mut self, received: Received, now: Moment) {
        if received.bytes != self.received.bytes {
            self.heard = now;
        }
        let picture = picture(&received);
        self.received = received;
        let Some(picture) = picture.filter(|picture| self.told.as_ref() != Some(picture)) else { return };
        (self.report)(TileEvent::Picture(picture.clone()));
        self.told = Some(picture);
        if self.screen.has_presented() {
            (self.report)(TileEvent::Presented { first_picture_ms: None });
        }
    }
}

/// What is received, in the words of the other ways.
fn picture(received: &Received) -> Option<Picture> {
    let (mime, parameters) = received.codec.as_ref()?;
    let (width, height) = received.size?;
    let (variant, codec) = match mime.to_ascii_lowercase().as_str() {
        "video/h265" => (Variant::Copy, "hvc1".to_owned()),
        "video/h264" => {
            let profile =
                parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("profile-level-id="));
            (Variant::H264, format!("avc1.{}", profile.unwrap_or_default().to_ascii_uppercase()))
        }
        _ => return None,
    };
    Some(Picture { variant, why: None, codec, size: Some(Size { width, height }), frame_rate: None })
}

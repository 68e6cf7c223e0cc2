//! Starts the engine of the protocol that the selector chooses, and replaces it when the choice changes.
//!
//! Input: [`SessionInput`]s of the page, the engine and timers. Output: [`TileEvent`]s, and the user's inputs for the engine. The
//! session's mailbox owns it.

use std::rc::Rc;

use web_sys::{HtmlCanvasElement, HtmlVideoElement};

use super::hls::HlsEngine;
use super::input::Input;
use super::learned_protocols::LearnedProtocols;
use super::protocol_selector::{Decision, ProtocolSelector};
use super::reporter::Reporter;
use super::webrtc::WebRtcEngine;
use super::websocket::WebSocketEngine;
use super::{Report, SessionOptions};
use crate::browser::abilities::abilities;
use crate::browser::error::DomError;
use crate::browser::frame_canvas::FrameCanvas;
use crate::browser::mailbox::{Mailbox, Sender};
use crate::browser::media_source::Kind;
use crate::browser::socket::{self, Socket};
use crate::browser::timer::{Interval, Timeout};
use crate::browser::{self, storage};
use crate::player::either::PlayerKind;
use crate::state::{Failure, Protocol, TileEvent};

/// Interval at which the selector is asked without other events.
const TICK_MS: i32 = 500;
/// The storage key of [`LearnedProtocols`].
const STORAGE_KEY: &str = "sightline-networks";
/// A test socket that has not opened by now does not get through.
const PROBE_TIMEOUT_MS: f64 = 5_000.0;

/// An event of a session.
pub(super) enum SessionInput {
    /// Start.
    Begin,
    /// An input from the user for the engine.
    User(Input),
    /// The user selected another protocol.
    SwitchProtocol(Protocol),
    /// The engine of this number reported an event.
    Reported(u32, TileEvent),
    /// The timer fired.
    Tick,
    /// A test socket opened, or failed.
    Probed(bool),
}

/// See the module.
pub(super) struct Controller {
    wanted: SessionOptions,
    surface: (HtmlVideoElement, HtmlCanvasElement),
    report: Report,
    sender: Sender<SessionInput>,
    selector: ProtocolSelector,
    engine: Option<Mailbox<Input>>,
    /// Numbers the engines: events of earlier ones are ignored.
    number: u32,
    used: Option<Protocol>,
    /// Whether another player than the protocol's own plays at the moment.
    replaced: bool,
    volume: f64,
    probe: Option<(Socket, Timeout)>,
    learned: Option<Option<Protocol>>,
    _tick: Interval,
}

impl Controller {
    pub(super) fn new(
        wanted: SessionOptions,
        surface: (HtmlVideoElement, HtmlCanvasElement),
        report: Report,
        sender: Sender<SessionInput>,
    ) -> Self {
        let tick = sender.clone();
        Self {
            selector: selector(&wanted),
            wanted,
            surface,
            report,
            sender,
            engine: None,
            number: 0,
            used: None,
            replaced: false,
            volume: 1.0,
            probe: None,
            learned: None,
            _tick: Interval::new(TICK_MS, move || tick.send(SessionInput::Tick)),
        }
    }

    pub(super) fn handle(&mut self, message: SessionInput) {
        let now = browser::now();
        let decision = match message {
            SessionInput::Begin => return self.start_engine(),
            SessionInput::User(input) => {
                match input {
                    Input::Volume(volume) => self.volume = volume,
                    Input::Quality(quality) => self.wanted.quality = quality,
                    _ => {}
                }
                return self.send(input);
            }
            SessionInput::SwitchProtocol(protocol) => {
                self.wanted.protocol = protocol;
                self.selector = selector(&self.wanted);
                self.learned = None;
                return self.start_engine();
            }
            SessionInput::Reported(number, event) if number == self.number => {
                if let TileEvent::PlayerSelected(protocol, _) = &event {
                    self.replaced = self.used != Some(*protocol);
                }
                let decision = self.selector.report(&event, now);
                (self.report)(event);
                self.learn();
                decision
            }
            SessionInput::Reported(..) => None,
            SessionInput::Tick => self.selector.tick(now),
            SessionInput::Probed(works) => {
                self.probe = None;
                self.selector.probed(works, now)
            }
        };
        match decision {
            Some(Decision::Switch) => self.start_engine(),
            Some(Decision::ProbeBest) => self.probe(),
            None => {}
        }
    }

    /// Stores the protocol that works here. In a browser without storage, each page load tries the protocols again.
    fn learn(&mut self) {
        let learned = self.selector.learned();
        if let Some(protocol) = learned.filter(|_| learned != self.learned) {
            self.learned = learned;
            let mut learned_protocols = learned_protocols();
            if learned_protocols.learn(&network(&self.wanted), protocol, browser::unix_ms()) {
                let _ = storage::keep(STORAGE_KEY, &learned_protocols.to_json());
            }
        }
    }

    fn send(&self, input: Input) {
        if let Some(engine) = &self.engine {
            engine.sender().send(input);
        }
    }

    /// Uses the selected protocol. An engine that already uses it is kept.
    fn start_engine(&mut self) {
        let (protocol, why) = self.selector.current();
        let kept = self.used == Some(protocol);
        if !(kept && self.replaced) {
            (self.report)(TileEvent::ProtocolSelected(protocol, why.to_owned()));
        }
        if kept {
            return;
        }
        (self.used, self.replaced) = (Some(protocol), false);
        // Ends a recording and saves it. The last frame stays on screen until a newer one is presented.
        self.send(Input::Record(false));
        FrameCanvas::new(self.surface.1.clone()).capture(&self.surface.0);
        self.engine = None;
        self.number += 1;
        let report = self.reporting();
        let failed = report.clone();
        let engine = Mailbox::new(|sender| {
            let mut engine = self.start(protocol, report, sender);
            if let Err(message) = &engine {
                failed(TileEvent::Failed(Failure::Refused, message.clone()));
            }
            move |input| match &mut engine {
                Ok(Engine::WebSocket(engine)) => engine.handle(input),
                Ok(Engine::WebRtc(webrtc)) => webrtc.handle(input),
                Ok(Engine::Hls(hls)) => hls.handle(input),
                Err(_) => {}
            }
        });
        engine.sender().send(Input::Connect);
        engine.sender().send(Input::Volume(self.volume));
        self.engine = Some(engine);
    }

    fn reporting(&self) -> Report {
        let (sender, number) = (self.sender.clone(), self.number);
        Rc::new(move |event| sender.send(SessionInput::Reported(number, event)))
    }

    fn start(&self, protocol: Protocol, report: Report, sender: Sender<Input>) -> Result<Engine, String> {
        let SessionOptions { stream, choice, quality, relay, .. } = &self.wanted;
        let surface = (self.surface.0.clone(), FrameCanvas::new(self.surface.1.clone()));
        let no_start = |error: DomError| format!("The browser refused to start a player: {error}. Reload the page.");
        match protocol {
            Protocol::WebCodecs if !abilities().webcodecs && !abilities().secure_context => {
                Err("WebCodecs needs HTTPS: open this page by https://, or choose MSE or Auto.".to_owned())
            }
            Protocol::WebCodecs if !abilities().webcodecs => {
                Err("This browser has no WebCodecs: choose MSE or Auto, or use a current Chrome, Edge, Firefox or \
                     Safari."
                    .to_owned())
            }
            Protocol::Auto | Protocol::Mse | Protocol::WebCodecs => {
                let kind = Kind::available().ok_or(
                    "This browser has no Media Source Extensions, which MSE and WebCodecs need: choose HLS, or use a \
                     current Chrome, Edge, Firefox or Safari.",
                )?;
                let preferred = match protocol {
                    Protocol::WebCodecs => PlayerKind::WebCodecs,
                    _ => PlayerKind::Mse,
                };
                let url = relay.stream_url(stream).map_err(no_start)?;
                let engine = WebSocketEngine::new(
                    url,
                    (*choice, *quality),
                    (kind, preferred),
                    surface,
                    Reporter::new(stream.clone(), report),
                    sender,
                );
                engine.map(Box::new).map(Engine::WebSocket).map_err(no_start)
            }
            Protocol::WebRtc if !abilities().webrtc => {
                Err("This browser has no WebRTC: choose MSE or Auto.".to_owned())
            }
            Protocol::WebRtc => {
                let engine = WebRtcEngine::new(stream, relay, (*choice, *quality), surface, report, sender);
                engine.map(Box::new).map(Engine::WebRtc).map_err(no_start)
            }
            Protocol::Hls => HlsEngine::new((stream, relay), *quality, surface, report, sender)
                .map(Box::new)
                .map(Engine::Hls)
                .map_err(no_start),
        }
    }

    /// Tests whether a WebSocket gets through. The socket sends no request.
    fn probe(&mut self) {
        let SessionOptions { stream, relay, .. } = &self.wanted;
        let (sender, late) = (self.sender.clone(), self.sender.clone());
        let socket = relay.stream_url(stream).and_then(|url| {
            Socket::open(&url, move |event| match event {
                socket::SocketEvent::Open => sender.send(SessionInput::Probed(true)),
                socket::SocketEvent::Closed { .. } => sender.send(SessionInput::Probed(false)),
                _ => {}
            })
        });
        match socket {
            Ok(socket) => {
                self.probe =
                    Some((socket, Timeout::new(PROBE_TIMEOUT_MS, move || late.send(SessionInput::Probed(false)))));
            }
            Err(_) => self.sender.send(SessionInput::Probed(false)),
        }
    }
}

enum Engine {
    WebSocket(Box<WebSocketEngine>),
    WebRtc(Box<WebRtcEngine>),
    Hls(Box<HlsEngine>),
}

fn selector(wanted: &SessionOptions) -> ProtocolSelector {
    let remembered = learned_protocols().protocol(&network(wanted), browser::unix_ms());
    ProtocolSelector::new(wanted.protocol, abilities(), &relay(wanted).0, remembered, browser::now())
}

fn learned_protocols() -> LearnedProtocols {
    storage::read(STORAGE_KEY).map(|kept| LearnedProtocols::read(&kept)).unwrap_or_default()
}

/// The relay's host name, and its host name with the port.
fn relay(wanted: &SessionOptions) -> (String, String) {
    let location = browser::window().location();
    match &wanted.relay.url {
        Some(relay) => web_sys::Url::new(relay).map(|url| (url.hostname(), url.host())).unwrap_or_default(),
        None => (location.hostname().unwrap_or_default(), location.host().unwrap_or_default()),
    }
}

/// The best available name for the network: the relay's host and the kind of connection.
fn network(wanted: &SessionOptions) -> String {
    [relay(wanted).1, browser::connection_kind().unwrap_or_default()].join(" ").trim_end().to_owned()
}

//! Starts the engine of the protocol that the plan selects, and replaces it when the plan changes.
//!
//! Input: [`Message`]s of the page, the engine and timers. Output: [`TileEvent`]s, and the user's inputs for the engine. The
//! session's mailbox owns it.

use std::rc::Rc;

use web_sys::{HtmlCanvasElement, HtmlVideoElement};

use super::hls::Hls;
use super::input::Input;
use super::memory::Memory;
use super::mse::Driver;
use super::plan::{Move, Plan};
use super::webrtc::WebRtc;
use super::{Report, Wanted};
use crate::browser::abilities::abilities;
use crate::browser::curtain::Curtain;
use crate::browser::error::DomError;
use crate::browser::mailbox::{Mailbox, Sender};
use crate::browser::media_source::Kind;
use crate::browser::socket::{self, Socket};
use crate::browser::timer::{Interval, Timeout};
use crate::browser::{self, storage};
use crate::player::either;
use crate::state::{Failure, Protocol, TileEvent};

/// Interval at which the plan is checked without other events.
const TICK_MS: i32 = 500;
/// The storage key of [`Memory`].
const MEMORY_KEY: &str = "sightline-networks";
/// A test socket that has not opened by now does not get through.
const LOOK_MS: f64 = 5_000.0;

/// An event of a session.
pub(super) enum Message {
    /// Start.
    Begin,
    /// An input from the user for the engine.
    User(Input),
    /// The user selected another protocol.
    Switch(Protocol),
    /// The engine of this number reported an event.
    Reported(u32, TileEvent),
    /// The timer fired.
    Tick,
    /// A test socket opened, or failed.
    Looked(bool),
}

/// See the module.
pub(super) struct Director {
    wanted: Wanted,
    picture: (HtmlVideoElement, HtmlCanvasElement),
    report: Report,
    sender: Sender<Message>,
    plan: Plan,
    engine: Option<Mailbox<Input>>,
    /// Numbers the engines: events of earlier ones are ignored.
    number: u32,
    used: Option<Protocol>,
    /// Whether another player than the protocol's own plays at the moment.
    replaced: bool,
    volume: f64,
    look: Option<(Socket, Timeout)>,
    learned: Option<Option<Protocol>>,
    _tick: Interval,
}

impl Director {
    pub(super) fn new(
        wanted: Wanted,
        picture: (HtmlVideoElement, HtmlCanvasElement),
        report: Report,
        sender: Sender<Message>,
    ) -> Self {
        let tick = sender.clone();
        Self {
            plan: plan(&wanted),
            wanted,
            picture,
            report,
            sender,
            engine: None,
            number: 0,
            used: None,
            replaced: false,
            volume: 1.0,
            look: None,
            learned: None,
            _tick: Interval::new(TICK_MS, move || tick.send(Message::Tick)),
        }
    }

    pub(super) fn handle(&mut self, message: Message) {
        let now = browser::now();
        let step = match message {
            Message::Begin => return self.engage(),
            Message::User(input) => {
                if let Input::Volume(volume) = input {
                    self.volume = volume;
                }
                return self.tell(input);
            }
            Message::Switch(protocol) => {
                self.wanted.protocol = protocol;
                self.plan = plan(&self.wanted);
                self.learned = None;
                return self.engage();
            }
            Message::Reported(number, event) if number == self.number => {
                if let TileEvent::PlayedBy(protocol, _) = &event {
                    self.replaced = self.used != Some(*protocol);
                }
                let step = self.plan.report(&event, now);
                (self.report)(event);
                self.learn();
                step
            }
            Message::Reported(..) => None,
            Message::Tick => self.plan.tick(now),
            Message::Looked(works) => {
                self.look = None;
                self.plan.looked(works, now)
            }
        };
        match step {
            Some(Move::Change) => self.engage(),
            Some(Move::Look) => self.look(),
            None => {}
        }
    }

    /// Stores the protocol that works here. In a browser without storage, each page load tries the protocols again.
    fn learn(&mut self) {
        let lesson = self.plan.lesson();
        if let Some(way) = lesson.filter(|_| lesson != self.learned) {
            self.learned = lesson;
            let mut memory = memory();
            if memory.learn(&network(&self.wanted), way, browser::unix_ms()) {
                let _ = storage::keep(MEMORY_KEY, &memory.to_json());
            }
        }
    }

    fn tell(&self, input: Input) {
        if let Some(engine) = &self.engine {
            engine.sender().send(input);
        }
    }

    /// Uses the plan's protocol. An engine that already uses it is kept.
    fn engage(&mut self) {
        let (protocol, why) = self.plan.current();
        let kept = self.used == Some(protocol);
        if !(kept && self.replaced) {
            (self.report)(TileEvent::Using(protocol, why.to_owned()));
        }
        if kept {
            return;
        }
        (self.used, self.replaced) = (Some(protocol), false);
        // Ends a recording and saves it. The last frame stays on screen until a newer one is presented.
        self.tell(Input::Record(false));
        Curtain::new(self.picture.1.clone()).draw(&self.picture.0);
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
                Ok(Engine::Mse(driver)) => driver.handle(input),
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
        Rc::new(move |event| sender.send(Message::Reported(number, event)))
    }

    fn start(&self, protocol: Protocol, report: Report, sender: Sender<Input>) -> Result<Engine, String> {
        let Wanted { stream, choice, relay, .. } = &self.wanted;
        let picture = (self.picture.0.clone(), Curtain::new(self.picture.1.clone()));
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
                    Protocol::WebCodecs => either::Kind::WebCodecs,
                    _ => either::Kind::Mse,
                };
                let url = relay.stream_url(stream).map_err(no_start)?;
                let driver = Driver::new(stream.clone(), url, *choice, (kind, preferred), picture, report, sender);
                driver.map(Box::new).map(Engine::Mse).map_err(no_start)
            }
            Protocol::WebRtc if !abilities().webrtc => {
                Err("This browser has no WebRTC: choose MSE or Auto.".to_owned())
            }
            Protocol::WebRtc => {
                let engine = WebRtc::new((stream, *choice, relay), picture, report, sender);
                engine.map(Box::new).map(Engine::WebRtc).map_err(no_start)
            }
            Protocol::Hls => {
                Hls::new((stream, relay), picture, report, sender).map(Box::new).map(Engine::Hls).map_err(no_start)
            }
        }
    }

    /// Tests whether a WebSocket gets through. The socket sends no request.
    fn look(&mut self) {
        let Wanted { stream, relay, .. } = &self.wanted;
        let (sender, late) = (self.sender.clone(), self.sender.clone());
        let socket = relay.stream_url(stream).and_then(|url| {
            Socket::open(&url, move |event| match event {
                socket::Event::Open => sender.send(Message::Looked(true)),
                socket::Event::Closed { .. } => sender.send(Message::Looked(false)),
                _ => {}
            })
        });
        match socket {
            Ok(socket) => {
                self.look = Some((socket, Timeout::new(LOOK_MS, move || late.send(Message::Looked(false)))));
            }
            Err(_) => self.sender.send(Message::Looked(false)),
        }
    }
}

enum Engine {
    Mse(Box<Driver>),
    WebRtc(Box<WebRtc>),
    Hls(Box<Hls>),
}

fn plan(wanted: &Wanted) -> Plan {
    let remembered = memory().way(&network(wanted), browser::unix_ms());
    Plan::new(wanted.protocol, abilities(), &relay(wanted).0, remembered, browser::now())
}

fn memory() -> Memory {
    storage::read(MEMORY_KEY).map(|kept| Memory::read(&kept)).unwrap_or_default()
}

/// The relay's host name, and its host name with the port.
fn relay(wanted: &Wanted) -> (String, String) {
    let location = browser::window().location();
    match &wanted.relay.url {
        Some(relay) => web_sys::Url::new(relay).map(|url| (url.hostname(), url.host())).unwrap_or_default(),
        None => (location.hostname().unwrap_or_default(), location.host().unwrap_or_default()),
    }
}

/// The best available name for the network: the relay's host and the kind of connection.
fn network(wanted: &Wanted) -> String {
    [relay(wanted).1, browser::connection_kind().unwrap_or_default()].join(" ").trim_end().to_owned()
}

//! The inputs of an engine, and the callbacks that post most of them.

use sightline_protocol::stream::Quality;
use web_sys::{Event, HtmlVideoElement, PageTransitionEvent};

use crate::browser::error::DomError;
use crate::browser::listener::Listener;
use crate::browser::mailbox::Sender;
use crate::browser::on_screen::OnScreen;
use crate::browser::timer::Interval;
use crate::browser::{self, hls, peer, socket};
use crate::player::either::PlayerSignal;

/// Tick interval without other events. A stall is detected after one second, and four ticks make that precise enough.
const TICK_MS: i32 = 250;

/// An input of an engine.
pub(super) enum Input {
    /// Connect: at the start, or for a retry.
    Connect,
    /// An event of the socket of this generation (MSE).
    Socket(u32, socket::SocketEvent),
    /// An event of the player (MSE, WebCodecs).
    Player(PlayerSignal),
    /// The timer fired.
    Tick,
    /// The user requests an immediate retry.
    Retry,
    /// The user tapped the video.
    Tapped,
    /// The user turned audio on or off.
    Listen(bool),
    /// The user set the volume.
    Volume(f64),
    /// The user selected another quality.
    Quality(Quality),
    /// The user started or ended a recording.
    Record(bool),
    /// The user enters or leaves picture-in-picture.
    PictureInPicture,
    /// The page was shown or hidden, or the video entered or left picture-in-picture.
    Visibility,
    /// The tile entered or left the viewport.
    OnScreen(bool),
    /// The network is back.
    Online,
    /// The page is shown, from the browser's back/forward cache if `true`.
    PageShown(bool),
    /// The user leaves the page, which the browser may keep in its back/forward cache.
    PageLeft,
    /// A frame was presented (WebRTC, HLS).
    Frame,
    /// The result of a `play()` call (WebRTC, HLS).
    Played(Result<(), DomError>),
    /// The video reported an error (HLS without hls.js).
    VideoError,
    /// An event of the peer connection of this generation (WebRTC).
    Peer(u32, peer::PeerEvent),
    /// An event of the HLS player of this generation (HLS).
    Hls(u32, hls::HlsEvent),
}

/// The callbacks that post an engine's inputs while this exists.
#[must_use = "dropping the subscriptions ends them"]
pub(super) struct Subscriptions {
    _tick: Interval,
    _on_screen: Option<OnScreen>,
    _listeners: [Listener; 6],
}

impl Subscriptions {
    /// Subscribes to a timer, and to the events of the page and the video that an engine handles.
    pub(super) fn new(video: &HtmlVideoElement, sender: &Sender<Input>) -> Self {
        let post = |make: fn(&Event) -> Input| {
            let sender = sender.clone();
            move |event: Event| sender.send(make(&event))
        };
        let from_cache = |event: &Event| {
            let event: &PageTransitionEvent = wasm_bindgen::JsCast::unchecked_ref(event);
            Input::PageShown(event.persisted())
        };
        let (tick, on_screen) = (sender.clone(), sender.clone());
        Self {
            _tick: Interval::new(TICK_MS, move || tick.send(Input::Tick)),
            _on_screen: OnScreen::new(video, move |seen| on_screen.send(Input::OnScreen(seen))),
            _listeners: [
                Listener::new(&browser::document(), "visibilitychange", post(|_| Input::Visibility)),
                Listener::new(video, "enterpictureinpicture", post(|_| Input::Visibility)),
                Listener::new(video, "leavepictureinpicture", post(|_| Input::Visibility)),
                Listener::new(&browser::window(), "online", post(|_| Input::Online)),
                Listener::new(&browser::window(), "pageshow", post(from_cache)),
                Listener::new(&browser::window(), "pagehide", post(|_| Input::PageLeft)),
            ],
        }
    }
}

//! What can happen to an engine, and where most of it comes from.

use web_sys::{Event, HtmlVideoElement, PageTransitionEvent};

use crate::browser::error::DomError;
use crate::browser::listener::Listener;
use crate::browser::mailbox::Sender;
use crate::browser::{self, hls, peer, socket};
use crate::player::mse::Signal;

/// What can happen to a session.
pub(super) enum Input {
    /// It is time to connect.
    Connect,
    /// Something happened at the socket of this generation (MSE).
    Socket(u32, socket::Event),
    /// Something happened at the video (MSE).
    Player(Signal),
    /// Some time has passed.
    Tick,
    /// The user tapped on the picture.
    Tapped,
    /// The user wants to hear it, or not.
    Listen(bool),
    /// The user wants it so loud.
    Volume(f64),
    /// The user wants it recorded, or no longer.
    Record(bool),
    /// The page was shown or hidden, or the picture taken out of it.
    Visibility,
    /// The tile came on screen or left it.
    OnScreen(bool),
    /// The network is back.
    Online,
    /// The page is back, from the browser's cache if `true`.
    PageShown(bool),
    /// A frame was presented (WebRTC, HLS).
    Frame,
    /// How an attempt to play went (WebRTC, HLS).
    Played(Result<(), DomError>),
    /// The video failed (HLS without a script).
    VideoError,
    /// Something happened at the peer connection of this generation (WebRTC).
    Peer(u32, peer::Event),
    /// Something happened at the HLS player of this generation (HLS).
    Hls(u32, hls::Event),
}

/// Everything at the page that a session has to know of.
pub(super) fn listeners(video: &HtmlVideoElement, sender: &Sender<Input>) -> Vec<Listener> {
    let post = |make: fn(&Event) -> Input| {
        let sender = sender.clone();
        move |event: Event| sender.send(make(&event))
    };
    let from_cache = |event: &Event| {
        let event: &PageTransitionEvent = wasm_bindgen::JsCast::unchecked_ref(event);
        Input::PageShown(event.persisted())
    };
    vec![
        Listener::new(&browser::document(), "visibilitychange", post(|_| Input::Visibility)),
        Listener::new(video, "enterpictureinpicture", post(|_| Input::Visibility)),
        Listener::new(video, "leavepictureinpicture", post(|_| Input::Visibility)),
        Listener::new(&browser::window(), "online", post(|_| Input::Online)),
        Listener::new(&browser::window(), "pageshow", post(from_cache)),
    ]
}

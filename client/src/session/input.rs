//! The inputs of an engine, and the listeners that post most of them.

use web_sys::{Event, HtmlVideoElement, PageTransitionEvent};

use crate::browser::error::DomError;
use crate::browser::listener::Listener;
use crate::browser::mailbox::Sender;
use crate::browser::{self, hls, peer, socket};
use crate::player::either::Signal;

/// An input of an engine.
pub(super) enum Input {
    /// Connect: at the start, or for a retry.
    Connect,
    /// An event of the socket of this generation (MSE).
    Socket(u32, socket::Event),
    /// An event of the player (MSE, WebCodecs).
    Player(Signal),
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
    /// The user started or ended a recording.
    Record(bool),
    /// The user enters or leaves picture-in-picture.
    Float,
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
    Peer(u32, peer::Event),
    /// An event of the HLS player of this generation (HLS).
    Hls(u32, hls::Event),
}

/// Listens to the events of the page and the video that an engine handles.
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
        Listener::new(&browser::window(), "pagehide", post(|_| Input::PageLeft)),
    ]
}

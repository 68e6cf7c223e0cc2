//! A WebSocket whose binary messages stay in the browser.

use js_sys::ArrayBuffer;
use wasm_bindgen::JsCast;
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};

use super::error::DomError;
use super::listener::Listener;

/// What happens at a socket.
#[derive(Debug, Clone)]
pub enum Event {
    /// It is open.
    Open,
    /// A text message.
    Text(String),
    /// A binary message, still in the browser.
    Binary(ArrayBuffer),
    /// It is closed, or never opened. The last event.
    Closed {
        /// The close code; 1006 where there was no close message.
        code: u16,
        /// What the other side said.
        reason: String,
    },
}

/// Open, or about to be, until it is dropped.
#[must_use = "dropping the socket closes it"]
pub struct Socket {
    inner: WebSocket,
    _listeners: [Listener; 3],
}

impl Socket {
    /// Begins to connect. `on_event` is never called after the socket was dropped.
    ///
    /// # Errors
    /// If the address or the subprotocol is malformed, or the page may not connect there.
    pub fn open(url: &str, protocol: &str, on_event: impl Fn(Event) + Clone + 'static) -> Result<Self, DomError> {
        let inner = WebSocket::new_with_str(url, protocol)?;
        inner.set_binary_type(BinaryType::Arraybuffer);
        let (on_open, on_message, on_close) = (on_event.clone(), on_event.clone(), on_event);
        let _listeners = [
            Listener::new(&inner, "open", move |_| on_open(Event::Open)),
            Listener::new(&inner, "message", move |event| {
                let data = event.unchecked_ref::<MessageEvent>().data();
                match data.dyn_into::<ArrayBuffer>() {
                    Ok(bytes) => on_message(Event::Binary(bytes)),
                    Err(text) => on_message(Event::Text(text.as_string().unwrap_or_default())),
                }
            }),
            Listener::new(&inner, "close", move |event| {
                let event: &CloseEvent = event.unchecked_ref();
                on_close(Event::Closed { code: event.code(), reason: event.reason() });
            }),
        ];
        Ok(Self { inner, _listeners })
    }

    /// Sends a text message, if the socket is open.
    pub fn send(&self, text: &str) {
        if self.inner.ready_state() == WebSocket::OPEN {
            // What cannot be sent is lost with the socket, whose close event follows.
            let _ = self.inner.send_with_str(text);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = self.inner.close();
    }
}

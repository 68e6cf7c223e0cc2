//! A WebSocket that leaves binary messages in the browser's memory.

use js_sys::ArrayBuffer;
use wasm_bindgen::JsCast;
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};

use super::error::DomError;
use super::listener::Listener;

/// An event of a socket.
#[derive(Debug, Clone)]
pub enum SocketEvent {
    /// The socket opened.
    Open,
    /// A text message.
    Text(String),
    /// A binary message, still in the browser's memory.
    Binary(ArrayBuffer),
    /// The socket closed, or failed to open. The last event.
    Closed {
        /// The close code; 1006 without a close frame.
        code: u16,
        /// The reason in the close frame.
        reason: String,
    },
}

/// A socket that is opening or open; dropping it closes it.
#[must_use = "dropping the socket closes it"]
pub struct Socket {
    inner: WebSocket,
    _listeners: [Listener; 3],
}

impl Socket {
    /// Starts to connect. `on_event` is never called after the socket was dropped.
    ///
    /// # Errors
    /// If the address is malformed, or the page may not connect there.
    pub fn open(url: &str, on_event: impl Fn(SocketEvent) + Clone + 'static) -> Result<Self, DomError> {
        let inner = WebSocket::new(url)?;
        inner.set_binary_type(BinaryType::Arraybuffer);
        let (on_open, on_message, on_close) = (on_event.clone(), on_event.clone(), on_event);
        let _listeners = [
            Listener::new(&inner, "open", move |_| on_open(SocketEvent::Open)),
            Listener::new(&inner, "message", move |event| {
                let data = event.unchecked_ref::<MessageEvent>().data();
                match data.dyn_into::<ArrayBuffer>() {
                    Ok(bytes) => on_message(SocketEvent::Binary(bytes)),
                    Err(text) => on_message(SocketEvent::Text(text.as_string().unwrap_or_default())),
                }
            }),
            Listener::new(&inner, "close", move |event| {
                let event: &CloseEvent = event.unchecked_ref();
                on_close(SocketEvent::Closed { code: event.code(), reason: event.reason() });
            }),
        ];
        Ok(Self { inner, _listeners })
    }

    /// Sends a text message, if the socket is open.
    pub fn send(&self, text: &str) {
        if self.inner.ready_state() == WebSocket::OPEN {
            // On an error the message is lost; the socket's close event follows.
            let _ = self.inner.send_with_str(text);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = self.inner.close();
    }
}

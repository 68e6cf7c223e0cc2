//! A SourceBuffer, which performs one operation at a time.

use js_sys::ArrayBuffer;

use super::error::DomError;
use super::listener::Listener;

/// An event of a SourceBuffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceBufferEvent {
    /// The operation ended, with or without success: the next can start.
    UpdateEnd,
    /// The appended bytes could not be parsed.
    Error,
}

/// A SourceBuffer, which accepts operations while it is not [`updating`](Self::updating).
#[must_use = "dropping the guard unregisters its listeners"]
pub struct SourceBuffer {
    inner: web_sys::SourceBuffer,
    _listeners: [Listener; 2],
}

impl SourceBuffer {
    pub(super) fn new(inner: web_sys::SourceBuffer, on_event: impl Fn(SourceBufferEvent) + Clone + 'static) -> Self {
        let on_error = on_event.clone();
        let _listeners = [
            Listener::new(&inner, "updateend", move |_| on_event(SourceBufferEvent::UpdateEnd)),
            Listener::new(&inner, "error", move |_| on_error(SourceBufferEvent::Error)),
        ];
        Self { inner, _listeners }
    }

    /// Whether an operation is in progress.
    pub fn updating(&self) -> bool {
        self.inner.updating()
    }

    /// The start of the buffered media, in seconds; none if the buffer is empty.
    pub fn start(&self) -> Option<f64> {
        self.inner.buffered().ok()?.start(0).ok()
    }

    /// Appends bytes that stay in the browser.
    ///
    /// # Errors
    /// [`DomError::QuotaExceeded`] if there is no room; others if the source is closed or the video has failed.
    pub fn append(&self, bytes: &ArrayBuffer) -> Result<(), DomError> {
        Ok(self.inner.append_buffer_with_array_buffer(bytes)?)
    }

    /// Removes everything before `end` seconds, and on to the next random access point.
    ///
    /// # Errors
    /// If an operation is in progress or the source is closed.
    pub fn remove_before(&self, end: f64) -> Result<(), DomError> {
        Ok(self.inner.remove(0.0, end)?)
    }

    /// Sets the offset that is added to the timestamps of later fragments, in seconds.
    ///
    /// # Errors
    /// If an operation is in progress or a fragment is incomplete.
    pub fn set_timestamp_offset(&self, offset: f64) -> Result<(), DomError> {
        // The setter of web-sys does not catch exceptions, and none may unwind into WebAssembly.
        let set = js_sys::Reflect::set(&self.inner, &"timestampOffset".into(), &offset.into())?;
        debug_assert!(set, "timestampOffset is a writable attribute");
        Ok(())
    }

    /// Whether the browser has `changeType`.
    pub fn can_change_type(&self) -> bool {
        js_sys::Reflect::has(&self.inner, &"changeType".into()).unwrap_or(false)
    }

    /// Announces that the next init segment has another type.
    ///
    /// # Errors
    /// If the browser does not support the type, or cannot change to it.
    pub fn change_type(&self, mime: &str) -> Result<(), DomError> {
        Ok(self.inner.change_type(mime)?)
    }
}

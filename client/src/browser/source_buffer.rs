//! A SourceBuffer: one operation at a time.

use js_sys::ArrayBuffer;

use super::error::DomError;
use super::listener::Listener;

/// What happens at a SourceBuffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The operation ended, well or not: it takes the next.
    UpdateEnd,
    /// The appended bytes could not be parsed.
    Error,
}

/// Takes operations while it is not [`updating`](Self::updating).
#[must_use = "dropping the guard unregisters its listeners"]
pub struct SourceBuffer {
    inner: web_sys::SourceBuffer,
    _listeners: [Listener; 2],
}

impl SourceBuffer {
    pub(super) fn new(inner: web_sys::SourceBuffer, on_event: impl Fn(Event) + Clone + 'static) -> Self {
        let on_error = on_event.clone();
        let _listeners = [
            Listener::new(&inner, "updateend", move |_| on_event(Event::UpdateEnd)),
            Listener::new(&inner, "error", move |_| on_error(Event::Error)),
        ];
        Self { inner, _listeners }
    }

    /// Whether an operation is under way.
    pub fn updating(&self) -> bool {
        self.inner.updating()
    }

    /// Where the media in it begins, in seconds; none where there is none.
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
    /// If an operation is under way or the source is closed.
    pub fn remove_before(&self, end: f64) -> Result<(), DomError> {
        Ok(self.inner.remove(0.0, end)?)
    }

    /// What is added to the times of the fragments that follow, in seconds.
    ///
    /// # Errors
    /// If an operation is under way or a fragment is incomplete.
    pub fn set_timestamp_offset(&self, offset: f64) -> Result<(), DomError> {
        // The setter of web-sys does not catch; this one must not throw into WebAssembly.
        let set = js_sys::Reflect::set(&self.inner, &"timestampOffset".into(), &offset.into())?;
        debug_assert!(set, "timestampOffset is a writable attribute");
        Ok(())
    }

    /// The init segment that follows is of another type.
    ///
    /// # Errors
    /// If the browser does not play the type, or cannot change to it.
    pub fn change_type(&self, mime: &str) -> Result<(), DomError> {
        Ok(self.inner.change_type(mime)?)
    }
}

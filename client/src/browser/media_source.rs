//! Wraps MediaSource, or ManagedMediaSource where only that exists (the iPhone).
//!
//! Web-sys has no ManagedMediaSource (Media Source Extensions, section 6): this module declares the parts that it uses.

use js_sys::Reflect;
use wasm_bindgen::prelude::*;
use web_sys::{HtmlVideoElement, MediaSourceReadyState, Url};

use super::error::DomError;
use super::listener::Listener;
use super::source_buffer::{self, SourceBuffer};
use super::window;

#[wasm_bindgen]
extern "C" {
    #[derive(Clone)]
    #[wasm_bindgen(extends = web_sys::MediaSource, extends = web_sys::EventTarget)]
    type ManagedMediaSource;

    #[wasm_bindgen(constructor, catch)]
    fn new() -> Result<ManagedMediaSource, JsValue>;

    #[wasm_bindgen(static_method_of = ManagedMediaSource, js_name = isTypeSupported)]
    fn is_type_supported(mime: &str) -> bool;

    #[wasm_bindgen(method, getter)]
    fn streaming(this: &ManagedMediaSource) -> bool;

    /// `HTMLMediaElement.disableRemotePlayback` (Remote Playback API): a ManagedMediaSource opens only if it is set.
    #[wasm_bindgen(extends = web_sys::HtmlVideoElement)]
    type LocalVideo;

    #[wasm_bindgen(method, setter, js_name = disableRemotePlayback)]
    fn set_disable_remote_playback(this: &LocalVideo, value: bool);
}

/// The kind of media source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `MediaSource`.
    Plain,
    /// `ManagedMediaSource`.
    Managed,
}

impl Kind {
    /// The kind to use; none if the browser has neither.
    pub fn available() -> Option<Self> {
        let has = |name: &str| Reflect::has(&window(), &JsValue::from_str(name)).unwrap_or(false);
        match () {
            () if has("MediaSource") => Some(Self::Plain),
            () if has("ManagedMediaSource") => Some(Self::Managed),
            () => None,
        }
    }

    /// Whether the browser rebuffers at each change of the playback rate. WebKit does; it is recognized by ManagedMediaSource,
    /// which all WebKit browsers have, even where MediaSource is used.
    pub fn rebuffers_on_rate_change(self) -> bool {
        Reflect::has(&window(), &JsValue::from_str("ManagedMediaSource")).unwrap_or(false)
    }

    /// Whether the browser reports this MIME type as supported.
    pub fn is_type_supported(self, mime: &str) -> bool {
        match self {
            Self::Plain => web_sys::MediaSource::is_type_supported(mime),
            Self::Managed => ManagedMediaSource::is_type_supported(mime),
        }
    }
}

/// An event of a media source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaSourceEvent {
    /// It is attached: SourceBuffers can be added.
    Open,
    /// It was detached and cannot be used again.
    Closed,
    /// A ManagedMediaSource accepts data again.
    Streaming,
}

/// The object URL of a media source, revoked on drop.
struct ObjectUrl(String);

impl Drop for ObjectUrl {
    fn drop(&mut self) {
        let _ = Url::revoke_object_url(&self.0);
    }
}

/// A media source attached to a video.
#[must_use = "dropping the media source releases its address"]
pub struct MediaSource {
    inner: web_sys::MediaSource,
    managed: Option<ManagedMediaSource>,
    _listeners: Vec<Listener>,
    url: ObjectUrl,
}

impl MediaSource {
    /// Creates a media source and attaches it to `video`, in place of the previous source.
    ///
    /// # Errors
    /// The browser's exception, if it cannot create another one.
    pub fn attach(
        kind: Kind,
        video: &HtmlVideoElement,
        on_event: impl Fn(MediaSourceEvent) + Clone + 'static,
    ) -> Result<Self, DomError> {
        let (inner, managed) = match kind {
            Kind::Plain => (web_sys::MediaSource::new()?, None),
            Kind::Managed => {
                let managed = ManagedMediaSource::new()?;
                video.unchecked_ref::<LocalVideo>().set_disable_remote_playback(true);
                (managed.clone().unchecked_into(), Some(managed))
            }
        };
        let names = [
            ("sourceopen", MediaSourceEvent::Open),
            ("sourceclose", MediaSourceEvent::Closed),
            ("startstreaming", MediaSourceEvent::Streaming),
        ];
        let listen = |(name, event)| {
            let on_event = on_event.clone();
            Listener::new(&inner, name, move |_| on_event(event))
        };
        let _listeners = names.into_iter().map(listen).collect();
        let url = ObjectUrl(Url::create_object_url_with_source(&inner)?);
        // A `srcObject` of the previous player would be used instead.
        video.set_src_object(None);
        video.set_src(&url.0);
        Ok(Self { inner, managed, _listeners, url })
    }

    /// Whether this is the source of `video`.
    pub fn is_attached(&self, video: &HtmlVideoElement) -> bool {
        video.src_object().is_none() && video.src() == self.url.0
    }

    /// Whether SourceBuffers can be added and appended to.
    pub fn is_open(&self) -> bool {
        self.inner.ready_state() == MediaSourceReadyState::Open
    }

    /// Whether data may be appended now: always for a MediaSource; a ManagedMediaSource decides.
    pub fn wants_data(&self) -> bool {
        self.managed.as_ref().is_none_or(ManagedMediaSource::streaming)
    }

    /// Adds a SourceBuffer.
    ///
    /// # Errors
    /// If the type is not supported, or the source is not open.
    pub fn add_source_buffer(
        &self,
        mime: &str,
        on_event: impl Fn(source_buffer::SourceBufferEvent) + Clone + 'static,
    ) -> Result<SourceBuffer, DomError> {
        Ok(SourceBuffer::new(self.inner.add_source_buffer(mime)?, on_event))
    }
}

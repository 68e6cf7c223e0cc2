//! Presents decoded frames in a `<video>`, through a MediaStreamTrackGenerator (W3C MediaStreamTrack Insertable Media Processing
//! using Streams, working draft of 2021). Chromium alone offers it to a page.
//!
//! The compositor takes the frames as the decoder puts them out. A canvas converts each to RGB and copies it, which costs a page
//! without a GPU more than the decoding.

use js_sys::{Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use web_sys::{HtmlVideoElement, MediaStream, MediaStreamTrack};

use super::error::DomError;
use super::video_decoder::{Frame, VideoFrame, object};
use super::window;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(extends = MediaStreamTrack)]
    type MediaStreamTrackGenerator;

    #[wasm_bindgen(constructor, catch)]
    fn new(init: &Object) -> Result<MediaStreamTrackGenerator, JsValue>;

    #[wasm_bindgen(method, getter)]
    fn writable(this: &MediaStreamTrackGenerator) -> WritableStream;

    type WritableStream;

    #[wasm_bindgen(method, catch, js_name = getWriter)]
    fn get_writer(this: &WritableStream) -> Result<FrameWriter, JsValue>;

    type FrameWriter;

    #[wasm_bindgen(method)]
    fn write(this: &FrameWriter, frame: &VideoFrame) -> Promise;
}

thread_local! {
    /// Takes the rejection of a write to a track that has ended, which may come after the track is dropped. The stall detector
    /// reports the end: the browser presents no frame.
    static REJECTED: Closure<dyn FnMut(JsValue)> = Closure::new(|_| {});
}

/// A track of frames, attached to a `<video>` until it is dropped.
#[must_use = "dropping the track detaches it"]
pub struct VideoTrack {
    video: HtmlVideoElement,
    stream: MediaStream,
    generator: MediaStreamTrackGenerator,
    writer: FrameWriter,
}

impl VideoTrack {
    /// Whether the browser has such tracks.
    pub fn is_available() -> bool {
        Reflect::has(&window(), &JsValue::from_str("MediaStreamTrackGenerator")).unwrap_or(false)
    }

    /// Attaches a new track to `video`, in place of its source.
    ///
    /// # Errors
    /// The browser's exception, if it cannot create one.
    pub fn attach(video: &HtmlVideoElement) -> Result<Self, DomError> {
        let generator = MediaStreamTrackGenerator::new(&object(&[("kind", &JsValue::from_str("video"))]))?;
        let writer = generator.writable().get_writer()?;
        let stream = MediaStream::new()?;
        stream.add_track(&generator);
        // A source that stays would load again when the stream is detached.
        let _ = video.remove_attribute("src");
        video.set_src_object(Some(&stream));
        Ok(Self { video: video.clone(), stream, generator, writer })
    }

    /// Presents a frame at the next refresh. Returns whether the browser took it.
    pub fn present(&self, frame: &Frame) -> bool {
        // The track closes what it gets.
        let Some(frame) = frame.duplicate() else { return false };
        REJECTED.with(|rejected| drop(self.writer.write(&frame).catch(rejected)));
        true
    }
}

impl Drop for VideoTrack {
    fn drop(&mut self) {
        self.generator.stop();
        // The next player may have attached its source.
        if self.video.src_object().as_ref() == Some(&self.stream) {
            self.video.set_src_object(None);
        }
    }
}

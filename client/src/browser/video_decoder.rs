//! Decodes video with WebCodecs (W3C WebCodecs, sections 3, 5, 8.1 and 9.4), which browsers offer in secure contexts only.
//!
//! Web-sys has these interfaces only as unstable ones, behind a compiler flag: this module declares the parts that it uses.

use js_sys::{ArrayBuffer, Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::CanvasRenderingContext2d;

use super::error::DomError;

#[wasm_bindgen]
extern "C" {
    type VideoDecoder;

    #[wasm_bindgen(constructor, catch)]
    fn new(init: &Object) -> Result<VideoDecoder, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn configure(this: &VideoDecoder, config: &Object) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch)]
    fn decode(this: &VideoDecoder, chunk: &EncodedVideoChunk) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch)]
    fn reset(this: &VideoDecoder) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch)]
    fn close(this: &VideoDecoder) -> Result<(), JsValue>;

    type EncodedVideoChunk;

    #[wasm_bindgen(constructor, catch)]
    fn new(init: &Object) -> Result<EncodedVideoChunk, JsValue>;

    /// A frame, until it is closed.
    pub type VideoFrame;

    #[wasm_bindgen(method, getter)]
    fn timestamp(this: &VideoFrame) -> f64;

    #[wasm_bindgen(method, getter, js_name = displayWidth)]
    fn display_width(this: &VideoFrame) -> u32;

    #[wasm_bindgen(method, getter, js_name = displayHeight)]
    fn display_height(this: &VideoFrame) -> u32;

    #[wasm_bindgen(method)]
    fn close(this: &VideoFrame);

    #[wasm_bindgen(method, catch, js_name = clone)]
    fn duplicate(this: &VideoFrame) -> Result<VideoFrame, JsValue>;

    #[wasm_bindgen(extends = CanvasRenderingContext2d)]
    type FrameContext;

    #[wasm_bindgen(method, catch, js_name = drawImage)]
    fn draw_frame(this: &FrameContext, frame: &VideoFrame, x: f64, y: f64, w: f64, h: f64) -> Result<(), JsValue>;
}

/// A decoded frame. Dropping it returns its buffer to the decoder.
#[must_use = "dropping the frame closes it"]
pub struct Frame(VideoFrame);

impl Frame {
    /// The timestamp of its chunk, in microseconds.
    pub fn timestamp(&self) -> i64 {
        self.0.timestamp() as i64
    }

    /// The width and the height to show it with: square pixels, cropped and rotated as the stream says.
    pub fn size(&self) -> (u32, u32) {
        (self.0.display_width(), self.0.display_height())
    }

    /// Draws the frame over the whole of a canvas of its [`size`](Self::size). Returns whether the browser did.
    pub fn draw(&self, context: CanvasRenderingContext2d) -> bool {
        let (width, height) = self.size();
        let context: FrameContext = context.unchecked_into();
        context.draw_frame(&self.0, 0.0, 0.0, f64::from(width), f64::from(height)).is_ok()
    }

    /// The same frame for an owner that closes it; none if the decoder has taken its buffer back.
    pub(super) fn duplicate(&self) -> Option<VideoFrame> {
        self.0.duplicate().ok()
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A decoder; dropping it closes it.
#[must_use = "dropping the decoder closes it"]
pub struct Decoder {
    decoder: VideoDecoder,
    config: Option<Object>,
    _on_frame: Closure<dyn Fn(VideoFrame)>,
    _on_error: Closure<dyn Fn(JsValue)>,
}

impl Decoder {
    /// Creates a decoder. `on_frame` receives each decoded frame, in order of presentation, and `on_error` the error that closes
    /// the decoder.
    ///
    /// # Errors
    /// If the browser has no WebCodecs.
    pub fn new(on_frame: impl Fn(Frame) + 'static, on_error: impl Fn(DomError) + 'static) -> Result<Self, DomError> {
        let on_frame = Closure::<dyn Fn(VideoFrame)>::new(move |frame| on_frame(Frame(frame)));
        let on_error = Closure::<dyn Fn(JsValue)>::new(move |error| on_error(DomError::from(error)));
        let init = object(&[("output", on_frame.as_ref()), ("error", on_error.as_ref())]);
        if !Reflect::has(&super::window(), &JsValue::from_str("VideoDecoder")).unwrap_or(false) {
            return Err(DomError::NotSupported("VideoDecoder".to_owned()));
        }
        Ok(Self { decoder: VideoDecoder::new(&init)?, config: None, _on_frame: on_frame, _on_error: on_error })
    }

    /// Configures the decoder for a codec string and its decoder configuration record. The next frame must be a key frame. If
    /// the browser does not support the codec, `on_error` receives [`DomError::NotSupported`].
    ///
    /// # Errors
    /// If the decoder is closed, or the browser refuses the codec at once.
    pub fn configure(&mut self, codec: &str, description: &[u8]) -> Result<(), DomError> {
        let description = Uint8Array::from(description);
        let config = object(&[
            ("codec", &JsValue::from_str(codec)),
            ("description", &description),
            ("optimizeForLatency", &JsValue::TRUE),
        ]);
        Ok(self.decoder.configure(self.config.insert(config))?)
    }

    /// Drops everything inside the decoder. The next frame must be a key frame.
    ///
    /// # Errors
    /// If the decoder is closed.
    pub fn reset(&self) -> Result<(), DomError> {
        self.decoder.reset()?;
        match &self.config {
            Some(config) => Ok(self.decoder.configure(config)?),
            None => Ok(()),
        }
    }

    /// Decodes the bytes of `buffer` from `offset` on: one access unit, with length prefixes. `timestamp` is in microseconds.
    ///
    /// # Errors
    /// If the decoder is closed, or needs a key frame.
    pub fn decode(&self, key: bool, timestamp: i64, buffer: &ArrayBuffer, offset: u32) -> Result<(), DomError> {
        let chunk = object(&[
            ("type", &JsValue::from_str(if key { "key" } else { "delta" })),
            ("timestamp", &JsValue::from_f64(timestamp as f64)),
            ("data", &Uint8Array::new_with_byte_offset(buffer, offset)),
        ]);
        Ok(self.decoder.decode(&EncodedVideoChunk::new(&chunk)?)?)
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // An error has closed it already.
        let _ = self.decoder.close();
    }
}

/// An object with these properties.
pub(super) fn object(properties: &[(&str, &JsValue)]) -> Object {
    let object = Object::new();
    for (name, value) in properties {
        // An ordinary object accepts every property.
        let _ = Reflect::set(&object, &JsValue::from_str(name), value);
    }
    object
}

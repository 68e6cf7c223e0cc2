//! Keeps the last frame on screen while the video has none: a new MediaSource begins without a frame, and browsers then show
//! nothing. Frames that a WebCodecs decoder puts out are painted here as well.

use wasm_bindgen::JsCast;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, HtmlMediaElement, HtmlVideoElement};

use super::video_decoder::Frame;

/// A canvas over the video, hidden except while the video has no frame.
#[derive(Debug, Clone)]
pub struct FrameCanvas {
    canvas: HtmlCanvasElement,
}

impl FrameCanvas {
    /// Uses this canvas, which must have the video's size on the page.
    pub fn new(canvas: HtmlCanvasElement) -> Self {
        Self { canvas }
    }

    /// Shows the current frame of `video` until the canvas is hidden. If the video has none, the canvas keeps its content.
    pub fn capture(&self, video: &HtmlVideoElement) {
        if video.video_width() == 0 || video.ready_state() < HtmlMediaElement::HAVE_CURRENT_DATA {
            return;
        }
        self.canvas.set_width(video.video_width());
        self.canvas.set_height(video.video_height());
        // If the browser refuses to draw, only the last frame is missing while the player starts over.
        let drawn =
            self.context().is_some_and(|context| context.draw_image_with_html_video_element(video, 0.0, 0.0).is_ok());
        self.canvas.set_hidden(!drawn);
    }

    /// Paints a decoded frame and shows it. Returns whether the browser did.
    pub fn paint(&self, frame: &Frame) -> bool {
        let (width, height) = frame.size();
        // Setting the size clears the canvas.
        if (self.canvas.width(), self.canvas.height()) != (width, height) {
            self.canvas.set_width(width);
            self.canvas.set_height(height);
        }
        let painted = self.context().is_some_and(|context| frame.draw(context));
        if painted && self.canvas.hidden() {
            self.canvas.set_hidden(false);
        }
        painted
    }

    fn context(&self) -> Option<CanvasRenderingContext2d> {
        self.canvas.get_context("2d").ok()??.dyn_into().ok()
    }

    /// Hides the canvas: the video presents frames again.
    pub fn hide(&self) {
        if !self.canvas.hidden() {
            self.canvas.set_hidden(true);
            // Frees the canvas's memory.
            self.canvas.set_width(0);
            self.canvas.set_height(0);
        }
    }
}

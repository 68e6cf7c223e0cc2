//! The last picture, kept on screen while the video has none: a new MediaSource begins without a picture, and browsers show
//! nothing then.

use wasm_bindgen::JsCast;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, HtmlMediaElement, HtmlVideoElement};

/// A canvas that lies over the video and is hidden but while the video has no picture.
#[derive(Debug)]
pub struct Curtain {
    canvas: HtmlCanvasElement,
}

impl Curtain {
    /// Uses this canvas, which has to be as large on the page as the video.
    pub fn new(canvas: HtmlCanvasElement) -> Self {
        Self { canvas }
    }

    /// Shows the picture that `video` shows, until it is lifted. Where the video has none, what was drawn before stays.
    pub fn draw(&self, video: &HtmlVideoElement) {
        if video.video_width() == 0 || video.ready_state() < HtmlMediaElement::HAVE_CURRENT_DATA {
            return;
        }
        self.canvas.set_width(video.video_width());
        self.canvas.set_height(video.video_height());
        let context = self.canvas.get_context("2d").ok().flatten();
        let context = context.and_then(|context| context.dyn_into::<CanvasRenderingContext2d>().ok());
        // A picture less while the player starts over is all that it costs where a browser refuses.
        let drawn = context.is_some_and(|context| context.draw_image_with_html_video_element(video, 0.0, 0.0).is_ok());
        self.canvas.set_hidden(!drawn);
    }

    /// The video shows a picture again.
    pub fn lift(&self) {
        if !self.canvas.hidden() {
            self.canvas.set_hidden(true);
            // Its memory is a picture's.
            self.canvas.set_width(0);
            self.canvas.set_height(0);
        }
    }
}

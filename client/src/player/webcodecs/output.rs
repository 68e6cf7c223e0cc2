//! Where decoded frames are presented: in the `<video>` where the browser has tracks for that, otherwise on the canvas over it.

use std::rc::Rc;

use web_sys::HtmlVideoElement;

use super::WebCodecsSignal;
use crate::browser::error::DomError;
use crate::browser::frame_canvas::FrameCanvas;
use crate::browser::video::FrameWatch;
use crate::browser::video_decoder::Frame;
use crate::browser::video_track::VideoTrack;

/// See the module.
pub enum FrameOutput {
    /// The canvas.
    Canvas(FrameCanvas),
    /// The `<video>`, and the watch that reports its frames.
    Video(VideoTrack, FrameWatch),
}

impl FrameOutput {
    /// Attaches to the `<video>` or uses the canvas.
    ///
    /// # Errors
    /// If the browser cannot create a track.
    pub(super) fn new(
        video: &HtmlVideoElement,
        canvas: FrameCanvas,
        signal: &Rc<dyn Fn(WebCodecsSignal)>,
    ) -> Result<Self, DomError> {
        let signal = Rc::clone(signal);
        let watch = || FrameWatch::new(video, move |frame| signal(WebCodecsSignal::Presented(frame)));
        let Some(watch) = VideoTrack::is_available().then(watch).flatten() else { return Ok(Self::Canvas(canvas)) };
        // Browsers autoplay only muted video.
        video.set_muted(true);
        Ok(Self::Video(VideoTrack::attach(video)?, watch))
    }

    /// Replaces the track of the `<video>`: its source may be what failed.
    ///
    /// # Errors
    /// If the browser cannot create another track.
    pub(super) fn start_over(&mut self, video: &HtmlVideoElement) -> Result<(), DomError> {
        if let Self::Video(track, _) = self {
            *track = VideoTrack::attach(video)?;
        }
        Ok(())
    }

    /// Presents a frame. Returns whether the browser took it.
    pub(super) fn present(&self, frame: &Frame) -> bool {
        match self {
            Self::Canvas(canvas) => canvas.paint(frame),
            Self::Video(track, _) => track.present(frame),
        }
    }

    /// Whether frames are presented in the `<video>`.
    pub(super) fn uses_video(&self) -> bool {
        matches!(self, Self::Video(..))
    }
}

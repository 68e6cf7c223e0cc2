//! The common part of the engines that leave decoding and buffering to the browser: visibility, playback, the first frame and
//! staleness.

use web_sys::{HtmlMediaElement, HtmlVideoElement};

use super::Report;
use super::input::{Input, Subscriptions};
use super::stats::{EngineStats, StatsSampler};
use super::visibility::Visibility;
use crate::browser::frame_canvas::FrameCanvas;
use crate::browser::mailbox::Sender;
use crate::browser::video::{self, FrameWatch};
use crate::browser::{self, display, is_seen};
use crate::player::stall_detector::{PlaybackObservation, StallDetector};
use crate::state::TileEvent;
use crate::time::Moment;

/// Minimum interval between `play()` calls.
const PLAY_EVERY_MS: f64 = 1_000.0;

/// See the module.
pub(super) struct BrowserPlayback {
    pub(super) video: HtmlVideoElement,
    frame_canvas: FrameCanvas,
    report: Report,
    sender: Sender<Input>,
    visibility: Visibility,
    stall_detector: StallDetector,
    stats: StatsSampler,
    /// Since when the first frame is awaited.
    awaited: Option<Moment>,
    presented: bool,
    tap_needed: bool,
    asked_to_play: Moment,
    /// None where the browser does not report presented frames: they are counted instead.
    frames: Option<FrameWatch>,
    counted: u32,
    _subscriptions: Subscriptions,
}

impl BrowserPlayback {
    pub(super) fn new(
        (video, frame_canvas): (HtmlVideoElement, FrameCanvas),
        report: Report,
        sender: Sender<Input>,
        now: Moment,
    ) -> Self {
        let frame = sender.clone();
        video.set_muted(true);
        Self {
            visibility: Visibility::default(),
            stall_detector: StallDetector::default(),
            stats: StatsSampler::default(),
            awaited: Some(now),
            presented: false,
            tap_needed: false,
            asked_to_play: now,
            frames: FrameWatch::new(&video, move |_| frame.send(Input::Frame)),
            counted: video::frames(&video),
            _subscriptions: Subscriptions::new(&video, &sender),
            video,
            frame_canvas,
            report,
            sender,
        }
    }

    /// Begins another source: its first frame is awaited, behind the last frame of the previous source.
    pub(super) fn start_over(&mut self, now: Moment) {
        self.frame_canvas.capture(&self.video);
        (self.awaited, self.presented) = (Some(now), false);
        self.counted = video::frames(&self.video);
    }

    /// Whether a frame of this source has been presented.
    pub(super) fn has_presented(&self) -> bool {
        self.presented
    }

    /// Whether the video is stale.
    pub(super) fn is_stale(&self) -> bool {
        self.stall_detector.is_stale()
    }

    /// Reports an epoch, by [`TileEvent::Ready`] or [`TileEvent::VideoInfo`]. The frame on screen stays until the next.
    pub(super) fn begin_epoch(&self, event: TileEvent) {
        (self.report)(event);
        if self.presented {
            (self.report)(TileEvent::Presented { first_frame_ms: None });
        }
    }

    /// Whether the tile is visible.
    pub(super) fn is_visible(&self) -> bool {
        self.visibility.is_visible()
    }

    /// Handles the inputs that concern playback and visibility. Returns the visibility when it has changed.
    pub(super) fn handle(&mut self, input: &Input, now: Moment) -> Option<bool> {
        match input {
            Input::Frame => self.frame(now),
            Input::Tick => self.tick(now),
            Input::Tapped => self.play(now),
            Input::Played(result) => {
                let needed = matches!(result, Err(browser::error::DomError::NotAllowed));
                if std::mem::replace(&mut self.tap_needed, needed) != needed {
                    (self.report)(TileEvent::TapNeeded(needed));
                }
            }
            Input::Volume(volume) => self.video.set_volume(*volume),
            Input::PictureInPicture => display::toggle_picture_in_picture(&self.video),
            Input::Visibility => self.visibility.set_page_visible(is_seen(&self.video)),
            Input::OnScreen(on_screen) => self.visibility.set_tile_visible(*on_screen),
            _ => {}
        }
        let poll = self.visibility.poll(now);
        if let Some(visible) = poll {
            (self.report)(TileEvent::VisibilityChanged(visible));
            (self.awaited, self.presented) = (visible.then_some(now), false);
        }
        poll
    }

    /// Asks the browser to play the video's current source.
    pub(super) fn play(&mut self, now: Moment) {
        self.asked_to_play = now;
        let sender = self.sender.clone();
        video::play(&self.video, move |result| sender.send(Input::Played(result)));
    }

    /// Reports a sample, once a second.
    pub(super) fn sample(&mut self, stats: impl FnOnce() -> EngineStats, now: Moment) {
        if let Some(sample) = self.stats.sample(|| video::quality(&self.video), stats, now) {
            (self.report)(TileEvent::Sample(sample));
        }
    }

    fn frame(&mut self, now: Moment) {
        // A frame of the previous source may be reported after the new one was set, which has none yet.
        if self.video.ready_state() < HtmlMediaElement::HAVE_CURRENT_DATA {
            return;
        }
        self.frame_canvas.hide();
        if let Some(awaited) = self.awaited.take() {
            self.presented = true;
            (self.report)(TileEvent::Presented { first_frame_ms: Some(now.ms_since(awaited)) });
        }
    }

    fn tick(&mut self, now: Moment) {
        let count = video::frames(&self.video);
        if self.frames.is_none() && std::mem::replace(&mut self.counted, count) != count {
            self.frame(now);
        }
        let seen = self.visibility.is_visible() && is_seen(&self.video);
        if seen && self.video.paused() && !self.tap_needed && now.ms_since(self.asked_to_play) >= PLAY_EVERY_MS {
            self.play(now);
        }
        // A paused video that does not resume on request is stale, too: browsers pause a video that they have reset.
        let due = seen && self.presented && !self.tap_needed;
        let observation =
            due.then(|| PlaybackObservation { position: self.video.current_time(), presented: count, appended: None });
        if let Some(stale) = self.stall_detector.observe(observation, now) {
            (self.report)(TileEvent::Stale(stale));
        }
    }
}

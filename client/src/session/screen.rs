//! The common part of the engines that leave decoding and buffering to the browser: visibility, playback, the first frame and
//! staleness.

use web_sys::HtmlVideoElement;

use super::Report;
use super::attention::Attention;
use super::input::{Input, listeners};
use super::statistics::{Figures, Statistics};
use crate::browser::curtain::Curtain;
use crate::browser::listener::Listener;
use crate::browser::mailbox::Sender;
use crate::browser::on_screen::OnScreen;
use crate::browser::timer::Interval;
use crate::browser::video::{self, FrameWatch};
use crate::browser::{self, display, is_seen};
use crate::player::freshness::{Freshness, Look};
use crate::state::TileEvent;
use crate::time::Moment;

const TICK_MS: i32 = 250;
/// Minimum interval between `play()` calls.
const PLAY_EVERY_MS: f64 = 1_000.0;

/// See the module.
pub(super) struct Screen {
    pub(super) video: HtmlVideoElement,
    curtain: Curtain,
    report: Report,
    sender: Sender<Input>,
    attention: Attention,
    freshness: Freshness,
    statistics: Statistics,
    /// Since when the first frame is awaited.
    awaited: Option<Moment>,
    presented: bool,
    tap_needed: bool,
    asked_to_play: Moment,
    /// None where the browser does not report presented frames: they are counted instead.
    frames: Option<FrameWatch>,
    counted: u32,
    _tick: Interval,
    _on_screen: Option<OnScreen>,
    _listeners: Vec<Listener>,
}

impl Screen {
    pub(super) fn new(
        (video, curtain): (HtmlVideoElement, Curtain),
        report: Report,
        sender: Sender<Input>,
        now: Moment,
    ) -> Self {
        let (tick, on_screen, frame) = (sender.clone(), sender.clone(), sender.clone());
        video.set_muted(true);
        Self {
            attention: Attention::default(),
            freshness: Freshness::default(),
            statistics: Statistics::default(),
            awaited: Some(now),
            presented: false,
            tap_needed: false,
            asked_to_play: now,
            frames: FrameWatch::new(&video, move |_| frame.send(Input::Frame)),
            counted: video::frames(&video),
            _tick: Interval::new(TICK_MS, move || tick.send(Input::Tick)),
            _on_screen: OnScreen::new(&video, move |seen| on_screen.send(Input::OnScreen(seen))),
            _listeners: listeners(&video, &sender),
            video,
            curtain,
            report,
            sender,
        }
    }

    /// Begins another source: its first frame is awaited, behind the last frame of the previous source.
    pub(super) fn start_over(&mut self, now: Moment) {
        self.curtain.draw(&self.video);
        (self.awaited, self.presented) = (Some(now), false);
        self.counted = video::frames(&self.video);
    }

    /// Whether a frame of this source has been presented.
    pub(super) fn has_presented(&self) -> bool {
        self.presented
    }

    /// Whether the video is stale.
    pub(super) fn is_stale(&self) -> bool {
        self.freshness.is_stale()
    }

    /// Reports an epoch, by [`TileEvent::Ready`] or [`TileEvent::Picture`]. The frame on screen stays until the next.
    pub(super) fn begin_epoch(&self, event: TileEvent) {
        (self.report)(event);
        if self.presented {
            (self.report)(TileEvent::Presented { first_picture_ms: None });
        }
    }

    /// Whether the tile is visible.
    pub(super) fn watched(&self) -> bool {
        self.attention.watched()
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
            Input::Float => display::float(&self.video),
            Input::Visibility => self.attention.page(is_seen(&self.video)),
            Input::OnScreen(on_screen) => self.attention.tile(*on_screen),
            _ => {}
        }
        let news = self.attention.news(now);
        if let Some(watched) = news {
            (self.report)(TileEvent::Watched(watched));
            (self.awaited, self.presented) = (watched.then_some(now), false);
        }
        news
    }

    /// Asks the browser to play the video's current source.
    pub(super) fn play(&mut self, now: Moment) {
        self.asked_to_play = now;
        let sender = self.sender.clone();
        video::play(&self.video, move |result| sender.send(Input::Played(result)));
    }

    /// Reports a sample, once a second.
    pub(super) fn sample(&mut self, figures: impl FnOnce() -> Figures, now: Moment) {
        if let Some(sample) = self.statistics.sample(|| video::quality(&self.video), figures, now) {
            (self.report)(TileEvent::Sample(sample));
        }
    }

    fn frame(&mut self, now: Moment) {
        self.curtain.lift();
        if let Some(awaited) = self.awaited.take() {
            self.presented = true;
            (self.report)(TileEvent::Presented { first_picture_ms: Some(now.ms_since(awaited)) });
        }
    }

    fn tick(&mut self, now: Moment) {
        let count = video::frames(&self.video);
        if self.frames.is_none() && std::mem::replace(&mut self.counted, count) != count {
            self.frame(now);
        }
        let seen = self.attention.watched() && is_seen(&self.video);
        if seen && self.video.paused() && !self.tap_needed && now.ms_since(self.asked_to_play) >= PLAY_EVERY_MS {
            self.play(now);
        }
        // A paused video that does not resume on request is stale, too: browsers pause a video that they have reset.
        let due = seen && self.presented && !self.tap_needed;
        let look = due.then(|| Look { position: self.video.current_time(), shown: count, given: None });
        if let Some(stale) = self.freshness.look(look, now) {
            (self.report)(TileEvent::Stale(stale));
        }
    }
}

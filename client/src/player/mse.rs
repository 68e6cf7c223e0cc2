//! The player over Media Source Extensions: one `<video>`, one MediaSource, one SourceBuffer for the video track.
//!
//! In go the relay's epochs and media and the browser's [`Signal`]s, out come [`Outcome`]s. It carries out what the
//! policies beside it decide; the only state of its own is what is attached and what is in flight. Its owner calls it
//! from one place, one call at a time, and takes the outcomes after each.

use std::rc::Rc;

use js_sys::ArrayBuffer;
use sightline_protocol::fragment::{FragmentHead, HEAD_LEN_MAX};
use sightline_protocol::message::Track;
use web_sys::HtmlVideoElement;

use super::edge::Action;
use super::fallback::Failure;
use super::frame_rate::FrameRate;
use super::freshness::Freshness;
use super::queue::{Fragment, Init};
use crate::browser::error::DomError;
use crate::browser::listener::Listener;
use crate::browser::media_source::{self, Kind};
use crate::browser::source_buffer;
use crate::browser::video::{self, FrameWatch};
use crate::browser::{bytes, is_visible, now};
use crate::time::Moment;

mod attachment;

use attachment::Attachment;

/// What the browser reports. The owner hands it to [`Player::handle`].
#[derive(Debug, Clone)]
pub enum Signal {
    /// Something happened at the MediaSource of this generation.
    Source(u32, media_source::Event),
    /// Something happened at the SourceBuffer of this generation.
    Buffer(u32, source_buffer::Event),
    /// The video failed.
    VideoError,
    /// Something happened to the video after which its position is worth a look.
    VideoMoved,
    /// A frame of this time was presented.
    Frame(f64),
    /// How an attempt to play went.
    Played(Result<(), DomError>),
}

/// Attempts to play are at least this far apart. A video that cannot play refuses at once, and asking again in answer
/// to that would never let the page go.
const PLAY_EVERY_MS: f64 = 1_000.0;
/// The events of a video after which its position is worth a look before the next timer.
const MOVES: [&str; 5] = ["loadeddata", "playing", "seeked", "waiting", "pause"];

/// What the player has to say.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The first frame of the epoch was presented.
    Presented,
    /// The frame rate, measured.
    FrameRate(f64),
    /// Whether the picture on screen is no longer renewed.
    Stale(bool),
    /// Whether the browser wants a tap before it plays.
    TapNeeded(bool),
    /// Decoding failed.
    Failed(Failure),
    /// It cannot go on with what it has: it needs a new MediaSource and a new connection.
    Stuck(String),
}

/// See the module.
pub struct Player {
    video: HtmlVideoElement,
    kind: Kind,
    signal: Rc<dyn Fn(Signal)>,
    attachment: Attachment,
    /// The type and timescale of the epoch whose init segment is the next message.
    announced: Option<(String, u32)>,
    /// Whether media belongs to an epoch that was announced here.
    expecting: bool,
    frame_rate: FrameRate,
    freshness: Freshness,
    frames: Option<FrameWatch>,
    /// The video's frame count when the epoch began, for browsers that do not tell of frames; none before it has.
    frames_before: Option<u32>,
    playing: Playing,
    asked_to_play: Moment,
    outcomes: Vec<Outcome>,
    _listeners: Vec<Listener>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Playing {
    /// An answer to `play()` is awaited.
    Asked,
    /// The browser wants a tap.
    TapNeeded,
    /// Nothing is awaited.
    Settled,
}

impl Player {
    /// Attaches to `video`, whose signals go to `signal`.
    ///
    /// # Errors
    /// If the browser makes no more media sources.
    pub fn new(video: HtmlVideoElement, kind: Kind, signal: Rc<dyn Fn(Signal)>) -> Result<Self, DomError> {
        // A page of cameras is silent, and browsers play only silent video without a user's action.
        video.set_muted(true);
        let listen = |name, make: fn() -> Signal| {
            let signal = Rc::clone(&signal);
            Listener::new(&video, name, move |_| signal(make()))
        };
        let mut listeners = vec![listen("error", || Signal::VideoError)];
        listeners.extend(MOVES.map(|name| listen(name, || Signal::VideoMoved)));
        let attachment = Attachment::new(0, kind, &video, &signal)?;
        let mut player = Self {
            video,
            kind,
            signal,
            attachment,
            announced: None,
            expecting: false,
            frame_rate: FrameRate::default(),
            freshness: Freshness::default(),
            frames: None,
            frames_before: None,
            playing: Playing::Settled,
            asked_to_play: now(),
            outcomes: Vec::new(),
            _listeners: listeners,
        };
        player.play();
        Ok(player)
    }

    /// Starts over with a new MediaSource and an empty buffer.
    ///
    /// # Errors
    /// If the browser makes no more media sources.
    pub fn start_over(&mut self) -> Result<(), DomError> {
        (self.frames, self.frames_before) = (None, None);
        self.ignore_media();
        let generation = self.attachment.generation + 1;
        self.attachment = Attachment::new(generation, self.kind, &self.video, &self.signal)?;
        self.play();
        Ok(())
    }

    /// An epoch is announced: the next message is its init segment.
    pub fn announce(&mut self, track: &Track) {
        self.announced = Some((track.mime.clone(), track.timescale));
        self.expecting = true;
        self.frame_rate = FrameRate::default();
    }

    /// Until an epoch is announced, media belongs to nothing that can be shown: the connection is gone, or the epoch
    /// cannot be played here.
    pub fn ignore_media(&mut self) {
        (self.announced, self.expecting) = (None, false);
    }

    /// An init segment or a fragment arrived.
    pub fn media(&mut self, bytes: ArrayBuffer, now: Moment) {
        if !self.expecting {
            return;
        }
        if let Some((mime, timescale)) = self.announced.take() {
            self.attachment.queue.begin(Init { mime, timescale, payload: bytes });
        } else {
            match FragmentHead::read(&bytes::head(&bytes, HEAD_LEN_MAX)) {
                Ok(head) => self.fragment(head, bytes),
                Err(error) => self.outcomes.push(Outcome::Stuck(error.to_string())),
            }
        }
        self.pump();
        if !self.attachment.source.wants_data() {
            // Without appends nothing else drives the player.
            self.steer(now);
        }
    }

    /// Something happened in the browser.
    pub fn handle(&mut self, signal: Signal, now: Moment) {
        let current = self.attachment.generation;
        match signal {
            Signal::Source(generation, _) | Signal::Buffer(generation, _) if generation != current => return,
            Signal::Source(_, media_source::Event::Closed) => {
                self.outcomes.push(Outcome::Stuck("the browser took the media source away".to_owned()));
            }
            Signal::Source(..) | Signal::VideoMoved | Signal::Buffer(_, source_buffer::Event::UpdateEnd) => {}
            Signal::Buffer(_, source_buffer::Event::Error) => self.fail(Failure::Decode),
            Signal::VideoError if self.video.error().is_none() => return,
            Signal::VideoError => self.fail(Failure::Decode),
            Signal::Frame(time) => self.frame_presented(time),
            Signal::Played(result) => self.played(&result),
        }
        self.tick(now);
    }

    /// Looks after everything; called by signals, and from time to time.
    pub fn tick(&mut self, now: Moment) {
        self.pump();
        self.steer(now);
    }

    /// The page became visible.
    pub fn page_shown(&mut self, now: Moment) {
        self.attachment.edge.page_shown();
        self.tick(now);
    }

    /// The user tapped: now the browser plays.
    pub fn tapped(&mut self) {
        self.attachment.edge.page_shown();
        self.play();
    }

    fn play(&mut self) {
        (self.playing, self.asked_to_play) = (Playing::Asked, now());
        let signal = Rc::clone(&self.signal);
        video::play(&self.video, move |result| signal(Signal::Played(result)));
    }

    /// How far the picture on screen is behind the newest fragment received, in milliseconds; none before the first
    /// picture.
    pub fn lag_ms(&self) -> Option<f64> {
        let Attachment { edge, timeline, queue, .. } = &self.attachment;
        let newest = timeline.end() + timeline.seconds(queue.waiting_ticks());
        edge.has_presented().then(|| (newest - self.video.current_time()).max(0.0) * 1000.0)
    }

    /// What the player has had to say since the last call.
    pub fn outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcomes)
    }

    fn fragment(&mut self, head: FragmentHead, payload: ArrayBuffer) {
        let FragmentHead { decode_time, duration, keyframe, .. } = head;
        let bytes = payload.byte_length() as usize;
        self.attachment.queue.push(Fragment { decode_time, duration, keyframe, bytes, payload });
        let seconds = self.attachment.timeline.seconds(duration);
        self.outcomes.extend(self.frame_rate.measure(head.samples, seconds).map(Outcome::FrameRate));
    }

    /// Gives the SourceBuffer its next operation, if it takes one.
    fn pump(&mut self) {
        let result = self.attachment.pump(&self.video, &self.signal);
        match result {
            Ok(false) => {}
            Ok(true) => self.watch_frames(),
            Err(error) => {
                self.outcomes.push(Outcome::Stuck(error.to_string()));
            }
        }
    }

    /// Watches for the first frame of an epoch that has just begun.
    fn watch_frames(&mut self) {
        self.frames_before = Some(video::frames(&self.video));
        let signal = Rc::clone(&self.signal);
        self.frames = FrameWatch::new(&self.video, move |time| signal(Signal::Frame(time)));
    }

    fn frame_presented(&mut self, time: f64) {
        if self.attachment.edge.frame_presented(time) {
            self.frames = None;
            self.outcomes.push(Outcome::Presented);
        }
    }

    fn steer(&mut self, now: Moment) {
        let presented = self.attachment.edge.has_presented();
        let counted = self.frames_before.is_some_and(|before| video::frames(&self.video) != before);
        if !presented && self.frames.is_none() && counted {
            self.frame_presented(self.video.current_time());
        }
        let visible = is_visible();
        let patient = now.ms_since(self.asked_to_play) >= PLAY_EVERY_MS;
        if visible && self.video.paused() && self.playing == Playing::Settled && patient {
            self.play();
        }
        let showing = visible && !self.video.paused();
        let position = (showing && presented).then(|| self.video.current_time());
        self.outcomes.extend(self.freshness.look(position, now).map(Outcome::Stale));
        match self.attachment.decide(&self.video, showing, now) {
            Some(Action::Seek(target)) => self.video.set_current_time(target),
            Some(Action::StartOver { presented: true }) => {
                self.outcomes.push(Outcome::Stuck("the picture stands still in spite of three repairs".to_owned()));
            }
            Some(Action::StartOver { presented: false }) => self.fail(Failure::NoPicture),
            None => {}
        }
    }

    fn fail(&mut self, failure: Failure) {
        // A SourceBuffer's error is followed by the video's: they are one failure.
        if !std::mem::replace(&mut self.attachment.failed, true) {
            self.outcomes.push(Outcome::Failed(failure));
        }
    }

    fn played(&mut self, result: &Result<(), DomError>) {
        let needed = matches!(result, Err(DomError::NotAllowed));
        // Other errors are those of a media source that was replaced or failed: a later look tries again.
        self.playing = if needed { Playing::TapNeeded } else { Playing::Settled };
        if needed || result.is_ok() {
            self.outcomes.push(Outcome::TapNeeded(needed));
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        video::release(&self.video);
    }
}

//! The player over Media Source Extensions: one `<video>`, one MediaSource, a SourceBuffer for the video track and, while it
//! is to be heard, one for the audio track.
//!
//! In go the relay's epochs and media and the browser's [`Signal`]s, out come [`Outcome`]s. It carries out what the
//! policies beside it decide; the only state of its own is what is attached and what is in flight. Its owner calls it
//! from one place, one call at a time, and takes the outcomes after each.

use std::rc::Rc;

use js_sys::ArrayBuffer;
use sightline_protocol::fragment::{FragmentHead, HEAD_LEN_MAX, NtpTime};
use sightline_protocol::message::{Track, TrackKind};
use web_sys::HtmlVideoElement;

use super::edge::{Action, HALF_A_FRAME};
use super::frame_rate::FrameRate;
use super::freshness::{Freshness, Look};
use super::latency::Age;
use super::queue::{Fragment, Init};
use super::repair::Trouble;
use crate::browser::error::DomError;
use crate::browser::listener::Listener;
use crate::browser::media_source::{self, Kind};
use crate::browser::source_buffer;
use crate::browser::video::{self, Frame, FrameWatch};
use crate::browser::{bytes, is_seen, now, unix_ms, unix_ms_at};
use crate::time::Moment;

mod attachment;
mod sound;

use attachment::Attachment;

/// What the browser reports. The owner hands it to [`Player::handle`].
#[derive(Debug, Clone)]
pub enum Signal {
    /// Something happened at the MediaSource of this generation.
    Source(u32, media_source::Event),
    /// Something happened at the SourceBuffer of this generation.
    Buffer(u32, source_buffer::Event),
    /// Something happened at the audio's SourceBuffer of this generation.
    Sound(u32, source_buffer::Event),
    /// The video failed.
    VideoError,
    /// Something happened to the video after which its position is worth a look.
    VideoMoved,
    /// A frame was presented.
    Frame(Frame),
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
    /// The first frame was presented: of the epoch, or since somebody watches again.
    Presented,
    /// The frame rate, measured.
    FrameRate(f64),
    /// Whether the picture on screen is no longer renewed.
    Stale(bool),
    /// Whether the browser wants a tap before it plays.
    TapNeeded(bool),
    /// The audio is not coming, or not playable; nothing is shown while it is waited for.
    SoundLost,
    /// It cannot go on with the MediaSource that it has.
    Trouble(Trouble),
}

/// See the module.
pub struct Player {
    video: HtmlVideoElement,
    kind: Kind,
    signal: Rc<dyn Fn(Signal)>,
    attachment: Attachment,
    /// The track whose init segment is the next message.
    announced: Option<Track>,
    /// The audio to play, once the relay has announced some and it is to be heard.
    sound: Option<Track>,
    sound_lost: bool,
    /// Whether media belongs to an epoch that was announced here.
    expecting: bool,
    frame_rate: FrameRate,
    freshness: Freshness,
    age: Age,
    rate: f64,
    /// None where the browser does not tell of frames.
    frames: Option<FrameWatch>,
    /// The video's frame count when the epoch began, for browsers that do not tell of frames; none before it has.
    frames_before: Option<u32>,
    playing: Playing,
    watched: bool,
    /// From where on the timeline frames are awaited since somebody watches again.
    resumed: Option<f64>,
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
        let attachment = Attachment::new(0, kind, None, &video, &signal)?;
        let frames = {
            let signal = Rc::clone(&signal);
            FrameWatch::new(&video, move |frame| signal(Signal::Frame(frame)))
        };
        let mut player = Self {
            video,
            kind,
            signal,
            attachment,
            announced: None,
            sound: None,
            sound_lost: false,
            expecting: false,
            frame_rate: FrameRate::default(),
            freshness: Freshness::default(),
            age: Age::default(),
            rate: 1.0,
            frames,
            frames_before: None,
            playing: Playing::Settled,
            watched: true,
            resumed: None,
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
        (self.frames_before, self.rate) = (None, 1.0); // a new source plays at the default rate
        self.ignore_media();
        let generation = self.attachment.generation + 1;
        let sound = self.sound.as_ref().map(|track| track.mime.clone());
        self.attachment = Attachment::new(generation, self.kind, sound, &self.video, &self.signal)?;
        self.sound_lost = false;
        self.play();
        Ok(())
    }

    /// An epoch of video is announced: the next message is its init segment.
    pub fn announce(&mut self, track: &Track) {
        self.announced = Some(track.clone());
        self.expecting = true;
        self.frame_rate = FrameRate::default();
    }

    /// Audio is announced: the next message is its init segment. Returns whether the player must start over to play it.
    pub fn announce_sound(&mut self, track: &Track) -> bool {
        self.announced = Some(track.clone());
        self.sound.replace(track.clone()).is_none()
    }

    /// Plays no audio from the next start on. Returns whether the player must start over for it.
    pub fn drop_sound(&mut self) -> bool {
        self.sound.take().is_some()
    }

    /// Whether what is played is to be heard; within a user's action, or browsers stop the video.
    pub fn set_muted(&self, muted: bool) {
        self.video.set_muted(muted);
    }

    /// How loud it is, 0 to 1.
    pub fn set_volume(&self, volume: f64) {
        self.video.set_volume(volume);
    }

    /// Until an epoch is announced, media belongs to nothing that can be shown: the connection is gone, or the epoch
    /// cannot be played here.
    pub fn ignore_media(&mut self) {
        (self.announced, self.expecting) = (None, false);
    }

    /// An init segment or a fragment arrived.
    pub fn media(&mut self, bytes: ArrayBuffer, now: Moment) {
        // Audio may begin before the video of a player that has started over.
        let audio = self.announced.as_ref().is_some_and(|track| track.kind == TrackKind::Audio);
        if !self.expecting && !audio {
            return;
        }
        if let Some(track) = self.announced.take() {
            self.begin(&track, bytes);
        } else {
            match FragmentHead::read(&bytes::head(&bytes, HEAD_LEN_MAX)) {
                Ok(head) if head.track_id == TrackKind::Audio.track_id() => {
                    self.attachment.sound.iter_mut().for_each(|sound| sound.push(&head, bytes.clone()));
                }
                Ok(head) => self.fragment(head, bytes),
                Err(error) => self.trouble(Trouble::Refused(error.to_string())),
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
            Signal::Source(generation, _) | Signal::Buffer(generation, _) | Signal::Sound(generation, _)
                if generation != current =>
            {
                return;
            }
            Signal::Sound(_, source_buffer::Event::Error) => self.lose_sound(),
            Signal::Sound(_, source_buffer::Event::UpdateEnd) => self.attachment.sound_appended(now),
            Signal::Source(_, media_source::Event::Closed) => {
                self.trouble(Trouble::Reclaimed);
            }
            Signal::Source(..) | Signal::VideoMoved => {}
            Signal::Buffer(_, source_buffer::Event::UpdateEnd) => self.attachment.appended(now),
            Signal::Buffer(_, source_buffer::Event::Error) => self.trouble(Trouble::Decode),
            Signal::VideoError if self.video.error().is_none() => return,
            Signal::VideoError => self.trouble(Trouble::Decode),
            Signal::Frame(frame) => self.frame_presented(frame),
            Signal::Played(result) => self.played(&result),
        }
        self.tick(now);
    }

    /// Looks after everything; called by signals, and from time to time.
    pub fn tick(&mut self, now: Moment) {
        self.pump();
        self.steer(now);
    }

    /// Nobody can see the picture: that it stands still means nothing.
    pub fn unwatched(&mut self) {
        self.watched = false;
    }

    /// Somebody can see the picture again. What comes next follows what is buffered.
    pub fn watched(&mut self, now: Moment) {
        (self.watched, self.resumed) = (true, Some(self.attachment.timeline.end()));
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

    /// How old the picture on screen is, in milliseconds, for a page whose clock shows what the relay's does; none where
    /// that is not known.
    pub fn age_ms(&self) -> Option<f64> {
        self.age.at(unix_ms())
    }

    /// How playing goes: what is buffered ahead, in seconds, the jitter of arrivals in milliseconds, and the rate.
    pub fn figures(&self, now: Moment) -> (f64, Option<f64>, f64) {
        let end = video::buffered(&self.video).last().map_or(0.0, |range| range.end);
        let ahead = if self.attachment.edge.has_presented() { (end - self.video.current_time()).max(0.0) } else { 0.0 };
        (ahead, self.attachment.pace.jitter(now).map(|jitter| jitter * 1e3), self.rate)
    }

    /// What the player has had to say since the last call.
    pub fn outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcomes)
    }

    /// A track's init segment arrived.
    fn begin(&mut self, track: &Track, payload: ArrayBuffer) {
        let Track { kind, mime, timescale, timeline, .. } = track.clone();
        match (kind, &mut self.attachment.sound) {
            (TrackKind::Video, _) => self.attachment.queue.begin(Init { mime, timescale, timeline, payload }),
            (TrackKind::Audio, Some(sound)) => {
                if sound.begin(track, payload).is_err() {
                    self.lose_sound();
                }
            }
            // It was announced to a player that has started over since.
            (TrackKind::Audio, None) => {}
        }
    }

    fn lose_sound(&mut self) {
        if self.sound.is_some() && !std::mem::replace(&mut self.sound_lost, true) {
            self.outcomes.push(Outcome::SoundLost);
        }
    }

    fn fragment(&mut self, head: FragmentHead, payload: ArrayBuffer) {
        let FragmentHead { decode_time, duration, keyframe, composition_offset, .. } = head;
        let bytes = payload.byte_length() as usize;
        let capture = head.capture.map(NtpTime::unix_ms);
        let fragment = Fragment { decode_time, duration, keyframe, composition_offset, capture, bytes, payload };
        self.attachment.queue.push(fragment);
        let seconds = self.attachment.timeline.seconds(duration);
        self.outcomes.extend(self.frame_rate.measure(head.samples, seconds).map(Outcome::FrameRate));
    }

    /// Gives the SourceBuffer its next operation, if it takes one.
    fn pump(&mut self) {
        if self.attachment.pump_sound(&self.video).is_err() {
            self.lose_sound();
        }
        let result = self.attachment.pump(&self.video, &self.signal);
        match result {
            Ok(false) => {}
            Ok(true) => self.frames_before = Some(video::frames(&self.video)),
            Err(error) => {
                self.trouble(match error {
                    DomError::NotSupported(_) => Trouble::NoPicture,
                    error => Trouble::Refused(error.to_string()),
                });
            }
        }
    }

    fn frame_presented(&mut self, frame: Frame) {
        self.age.presented(self.attachment.captures.of(frame.position), unix_ms_at(frame.shown));
        let resumed = self.resumed.take_if(|from| frame.position >= *from - HALF_A_FRAME).is_some();
        if self.attachment.edge.frame_presented(frame.position) || resumed {
            self.outcomes.push(Outcome::Presented);
        }
    }

    fn steer(&mut self, now: Moment) {
        let shown = video::frames(&self.video);
        let counted = self.frames_before.is_some_and(|before| shown != before);
        if self.frames.is_none() && counted {
            self.frames_before = Some(shown);
            self.frame_presented(Frame { position: self.video.current_time(), shown: now });
        }
        let presented = self.attachment.edge.has_presented();
        let visible = self.watched && is_seen(&self.video);
        let patient = now.ms_since(self.asked_to_play) >= PLAY_EVERY_MS;
        if visible && self.video.paused() && self.playing == Playing::Settled && patient {
            self.play();
        }
        if self.attachment.lacks_sound(&self.video, now) {
            self.lose_sound();
        }
        let showing = visible && !self.video.paused();
        // A video that is paused and does not begin again when asked is old, too.
        let due = visible && presented && self.playing != Playing::TapNeeded;
        let look = || Look { position: self.video.current_time(), shown, given: Some(self.attachment.given) };
        let look = due.then(look);
        self.outcomes.extend(self.freshness.look(look, now).map(Outcome::Stale));
        if self.freshness.is_frozen() {
            self.trouble(Trouble::Stalled);
        }
        match self.attachment.decide(&self.video, showing, now) {
            Some(Action::Seek(target)) => self.video.set_current_time(target),
            Some(Action::StartOver { presented: true }) => {
                self.trouble(Trouble::Stalled);
            }
            Some(Action::StartOver { presented: false }) => self.trouble(Trouble::NoPicture),
            None => {}
        }
        let rate = self.attachment.pace.rate(now);
        if rate != self.rate {
            self.rate = rate;
            self.video.set_playback_rate(rate);
        }
    }

    fn trouble(&mut self, trouble: Trouble) {
        // A SourceBuffer's error is followed by the video's, and both by refusals: they are one trouble.
        if !std::mem::replace(&mut self.attachment.failed, true) {
            self.outcomes.push(Outcome::Trouble(trouble));
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

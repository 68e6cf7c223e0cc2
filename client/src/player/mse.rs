//! Plays through Media Source Extensions: one `<video>`, one MediaSource, a SourceBuffer for the video track, and one for the
//! audio track while audio is on.
//!
//! Input: the relay's epochs and media, and the browser's [`Signal`]s. Output: [`Outcome`]s. The player performs the decisions
//! of the policies beside it; its own state is the attached MediaSource and the operations in flight. A tile's session owns it,
//! calls it from one place, one call at a time, and takes the outcomes after each call.

use std::rc::Rc;

use js_sys::ArrayBuffer;
use sightline_protocol::fragment::{FragmentHead, HEAD_LEN_MAX, NtpTime};
use sightline_protocol::message::{Track, TrackKind};
use web_sys::HtmlVideoElement;

use super::edge::{Action, HALF_A_FRAME};
use super::frame_rate::FrameRate;
use super::freshness::{Freshness, Look};
use super::latency::Age;
pub use super::outcome::Outcome;
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

/// An event of the browser. The owner hands it to [`Player::handle`].
#[derive(Debug, Clone)]
pub enum Signal {
    /// An event of the MediaSource of this generation.
    Source(u32, media_source::Event),
    /// An event of the video's SourceBuffer of this generation.
    Buffer(u32, source_buffer::Event),
    /// An event of the audio's SourceBuffer of this generation.
    Sound(u32, source_buffer::Event),
    /// The video reported an error.
    VideoError,
    /// An event of the video after which its position may need a correction.
    VideoMoved,
    /// A frame was presented.
    Frame(Frame),
    /// The result of a `play()` call.
    Played(Result<(), DomError>),
}

/// Minimum interval between `play()` calls. A video that cannot play rejects at once; a new call on each rejection would block
/// the page's event loop.
const PLAY_EVERY_MS: f64 = 1_000.0;
/// Events of the video after which its position is checked before the next timer.
const MOVES: [&str; 5] = ["loadeddata", "playing", "seeked", "waiting", "pause"];

/// See the module.
pub struct Player {
    video: HtmlVideoElement,
    kind: Kind,
    signal: Rc<dyn Fn(Signal)>,
    attachment: Attachment,
    /// The announced track; its init segment is the next message.
    announced: Option<Track>,
    /// The audio track to play, once the relay has announced one and audio is on.
    sound: Option<Track>,
    sound_lost: bool,
    /// Whether arriving media belongs to an epoch that was announced to this player.
    expecting: bool,
    frame_rate: FrameRate,
    freshness: Freshness,
    age: Age,
    rate: f64,
    /// None where the browser does not report presented frames.
    frames: Option<FrameWatch>,
    /// The video's frame count at the start of the epoch, for browsers that do not report presented frames; none before an
    /// epoch.
    frames_before: Option<u32>,
    playing: Playing,
    watched: bool,
    /// The timeline position from which a frame is awaited since the video became visible again.
    resumed: Option<f64>,
    asked_to_play: Moment,
    outcomes: Vec<Outcome>,
    _listeners: Vec<Listener>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Playing {
    /// The result of `play()` is awaited.
    Asked,
    /// The browser requires a user gesture.
    TapNeeded,
    /// No result is awaited.
    Settled,
}

impl Player {
    /// Attaches to `video` and sends its signals to `signal`.
    ///
    /// # Errors
    /// If the browser cannot create another MediaSource.
    pub fn new(video: HtmlVideoElement, kind: Kind, signal: Rc<dyn Fn(Signal)>) -> Result<Self, DomError> {
        // Browsers autoplay only muted video, and a page of cameras is silent by default.
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
    /// If the browser cannot create another MediaSource.
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

    /// Announces an epoch of video: the next message is its init segment.
    pub fn announce(&mut self, track: &Track) {
        self.announced = Some(track.clone());
        self.expecting = true;
        self.frame_rate = FrameRate::default();
    }

    /// Announces audio: the next message is its init segment. Returns whether the player must start over to play it.
    pub fn announce_sound(&mut self, track: &Track) -> bool {
        self.announced = Some(track.clone());
        self.sound.replace(track.clone()).is_none()
    }

    /// Disables audio from the next start on. Returns whether the player must start over for that.
    pub fn drop_sound(&mut self) -> bool {
        self.sound.take().is_some()
    }

    /// Mutes or unmutes the video. To unmute, call this within a user gesture, or the browser pauses the video.
    pub fn set_muted(&self, muted: bool) {
        self.video.set_muted(muted);
    }

    /// Sets the volume, 0 to 1.
    pub fn set_volume(&self, volume: f64) {
        self.video.set_volume(volume);
    }

    /// Ignores media until an epoch is announced: the connection has closed, or the epoch cannot be played here.
    pub fn ignore_media(&mut self) {
        (self.announced, self.expecting) = (None, false);
    }

    /// Handles an init segment or a fragment.
    pub fn media(&mut self, bytes: ArrayBuffer, now: Moment) {
        // After a start over, audio may begin before the video.
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
            // Without appends, no `updateend` event drives the player.
            self.steer(now);
        }
    }

    /// Handles an event of the browser.
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

    /// Appends and steers as needed; called on signals and on a timer.
    pub fn tick(&mut self, now: Moment) {
        self.pump();
        self.steer(now);
    }

    /// Handles the tile becoming invisible: stale frames are not reported until [`Self::watched`].
    pub fn unwatched(&mut self) {
        self.watched = false;
    }

    /// Handles the tile becoming visible again. The next frame to report follows the media placed so far.
    pub fn watched(&mut self, now: Moment) {
        (self.watched, self.resumed) = (true, Some(self.attachment.timeline.end()));
        self.attachment.edge.page_shown();
        self.tick(now);
    }

    /// Handles a user gesture: the browser now permits playback.
    pub fn tapped(&mut self) {
        self.attachment.edge.page_shown();
        self.play();
    }

    fn play(&mut self) {
        (self.playing, self.asked_to_play) = (Playing::Asked, now());
        let signal = Rc::clone(&self.signal);
        video::play(&self.video, move |result| signal(Signal::Played(result)));
    }

    /// The distance from the playhead to the newest fragment received, in milliseconds; none before the first presented frame.
    pub fn lag_ms(&self) -> Option<f64> {
        let Attachment { edge, timeline, queue, .. } = &self.attachment;
        let newest = timeline.end() + timeline.seconds(queue.waiting_ticks());
        edge.has_presented().then(|| (newest - self.video.current_time()).max(0.0) * 1000.0)
    }

    /// The age of the presented frame, in milliseconds, if the page's clock agrees with the relay's; none if unknown.
    pub fn age_ms(&self) -> Option<f64> {
        self.age.at(unix_ms())
    }

    /// Playback statistics: the seconds buffered ahead, the arrival jitter in milliseconds, and the playback rate.
    pub fn figures(&self, now: Moment) -> (f64, Option<f64>, f64) {
        let end = video::buffered(&self.video).last().map_or(0.0, |range| range.end);
        let ahead = if self.attachment.edge.has_presented() { (end - self.video.current_time()).max(0.0) } else { 0.0 };
        (ahead, self.attachment.pace.jitter(now).map(|jitter| jitter * 1e3), self.rate)
    }

    /// The number of decoded frames, and of those dropped because they were too late.
    pub fn quality(&self) -> (u64, u64) {
        video::quality(&self.video)
    }

    /// Takes the outcomes since the last call.
    pub fn outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcomes)
    }

    /// Handles a track's init segment.
    fn begin(&mut self, track: &Track, payload: ArrayBuffer) {
        let Track { kind, mime, timescale, timeline, .. } = track.clone();
        match (kind, &mut self.attachment.sound) {
            (TrackKind::Video, _) => self.attachment.queue.begin(Init { mime, timescale, timeline, payload }),
            (TrackKind::Audio, Some(sound)) => {
                if sound.begin(track, payload).is_err() {
                    self.lose_sound();
                }
            }
            // The player has started over without audio since the announcement.
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

    /// Gives each idle SourceBuffer its next operation.
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
        // A paused video that does not resume on request is stale, too.
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
        // One failure causes an error of the SourceBuffer, one of the video, and then rejected operations: report the first.
        if !std::mem::replace(&mut self.attachment.failed, true) {
            self.outcomes.push(Outcome::Trouble(trouble));
        }
    }

    fn played(&mut self, result: &Result<(), DomError>) {
        let needed = matches!(result, Err(DomError::NotAllowed));
        // Other errors come from a MediaSource that was replaced or has failed: a later tick calls `play()` again.
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

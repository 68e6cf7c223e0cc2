//! Plays through Media Source Extensions: one `<video>`, one MediaSource, a SourceBuffer for the video track, and one for the
//! audio track while audio is on.
//!
//! Input: the relay's epochs and media, and the browser's [`MseSignal`]s. Output: [`Outcome`]s. The player performs the decisions
//! of the policies beside it; its own state is the attached MediaSource and the operations in flight. A tile's session owns it,
//! calls it from one place, one call at a time, and takes the outcomes after each call.

use std::rc::Rc;

use js_sys::ArrayBuffer;
use sightline_protocol::fragment::{FragmentHead, HEAD_LEN_MAX, NtpTime};
use sightline_protocol::message::{Track, TrackKind};
use web_sys::HtmlVideoElement;

use super::autoplay::Autoplay;
use super::frame_age::FrameAge;
use super::frame_rate::FrameRate;
use super::live_edge::{Action, FRAME_TOLERANCE};
pub use super::outcome::Outcome;
use super::queue::{Fragment, Init};
use super::recovery::PlaybackError;
use super::stall_detector::{PlaybackObservation, StallDetector};
use crate::browser::error::DomError;
use crate::browser::listener::Listener;
use crate::browser::media_source::{self, Kind};
use crate::browser::source_buffer;
use crate::browser::video::{self, FrameWatch, PresentedFrame};
use crate::browser::{bytes, is_seen, now, unix_ms, unix_ms_at};
use crate::time::Moment;

mod attachment;
mod audio;

use attachment::Attachment;

/// An event of the browser. The owner hands it to [`MsePlayer::handle`].
#[derive(Debug, Clone)]
pub enum MseSignal {
    /// An event of the MediaSource of this generation.
    Source(u32, media_source::MediaSourceEvent),
    /// An event of the video's SourceBuffer of this generation.
    Buffer(u32, source_buffer::SourceBufferEvent),
    /// An event of the audio's SourceBuffer of this generation.
    Audio(u32, source_buffer::SourceBufferEvent),
    /// The video reported an error.
    VideoError,
    /// An event of the video after which its position may need a correction.
    VideoMoved,
    /// A frame was presented.
    Frame(PresentedFrame),
    /// The result of a `play()` call.
    Played(Result<(), DomError>),
}

/// Events of the video after which its position is checked before the next timer.
const MOVES: [&str; 5] = ["loadeddata", "playing", "seeked", "waiting", "pause"];

/// See the module.
pub struct MsePlayer {
    video: HtmlVideoElement,
    kind: Kind,
    signal: Rc<dyn Fn(MseSignal)>,
    attachment: Attachment,
    tracks: Tracks,
    frame_rate: FrameRate,
    stall_detector: StallDetector,
    rate: f64,
    presentation: Presentation,
    autoplay: Autoplay,
    visible: bool,
    outcomes: Vec<Outcome>,
    _listeners: Vec<Listener>,
}

/// What the relay has announced.
#[derive(Default)]
struct Tracks {
    /// The announced track; its init segment is the next message.
    announced: Option<Track>,
    /// Whether arriving media belongs to an epoch that was announced to this player.
    expecting: bool,
    /// The audio track to play, once the relay has announced one and audio is on.
    audio: Option<Track>,
    audio_lost: bool,
}

/// What is known of presented frames.
struct Presentation {
    /// None where the browser does not report presented frames.
    watch: Option<FrameWatch>,
    /// The video's frame count at the start of the epoch, for browsers that do not report presented frames; none before an
    /// epoch.
    frames_before: Option<u32>,
    /// The timeline position from which a frame is awaited since the video became visible again.
    resumed: Option<f64>,
    age: FrameAge,
}

impl MsePlayer {
    /// Attaches to `video` and sends its signals to `signal`.
    ///
    /// # Errors
    /// If the browser cannot create another MediaSource.
    pub fn new(video: HtmlVideoElement, kind: Kind, signal: Rc<dyn Fn(MseSignal)>) -> Result<Self, DomError> {
        // Browsers autoplay only muted video, and a page of cameras is silent by default.
        video.set_muted(true);
        let listen = |name, make: fn() -> MseSignal| {
            let signal = Rc::clone(&signal);
            Listener::new(&video, name, move |_| signal(make()))
        };
        let mut listeners = vec![listen("error", || MseSignal::VideoError)];
        listeners.extend(MOVES.map(|name| listen(name, || MseSignal::VideoMoved)));
        let attachment = Attachment::new(0, kind, None, &video, &signal)?;
        let watch = {
            let signal = Rc::clone(&signal);
            FrameWatch::new(&video, move |frame| signal(MseSignal::Frame(frame)))
        };
        let mut player = Self {
            video,
            kind,
            signal,
            attachment,
            tracks: Tracks::default(),
            frame_rate: FrameRate::default(),
            stall_detector: StallDetector::default(),
            rate: 1.0,
            presentation: Presentation { watch, frames_before: None, resumed: None, age: FrameAge::default() },
            autoplay: Autoplay::new(now()),
            visible: true,
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
        (self.presentation.frames_before, self.rate) = (None, 1.0); // a new source plays at the default rate
        self.ignore_media();
        let generation = self.attachment.generation + 1;
        let audio = self.tracks.audio.as_ref().map(|track| track.mime.clone());
        self.attachment = Attachment::new(generation, self.kind, audio, &self.video, &self.signal)?;
        self.tracks.audio_lost = false;
        self.play();
        Ok(())
    }

    /// Announces an epoch of video: the next message is its init segment.
    pub fn announce(&mut self, track: &Track) {
        self.tracks.announced = Some(track.clone());
        self.tracks.expecting = true;
        self.frame_rate = FrameRate::default();
    }

    /// Announces audio: the next message is its init segment. Returns whether the player must start over to play it.
    pub fn announce_audio(&mut self, track: &Track) -> bool {
        self.tracks.announced = Some(track.clone());
        self.tracks.audio.replace(track.clone()).is_none()
    }

    /// Disables audio from the next start on. Returns whether the player must start over for that.
    pub fn remove_audio(&mut self) -> bool {
        self.tracks.audio.take().is_some()
    }

    /// Ignores media until an epoch is announced: the connection has closed, or the epoch cannot be played here.
    pub fn ignore_media(&mut self) {
        (self.tracks.announced, self.tracks.expecting) = (None, false);
    }

    /// Handles an init segment or a fragment.
    pub fn media(&mut self, bytes: ArrayBuffer, now: Moment) {
        // After a start over, audio may begin before the video.
        let audio = self.tracks.announced.as_ref().is_some_and(|track| track.kind == TrackKind::Audio);
        if !self.tracks.expecting && !audio {
            return;
        }
        if let Some(track) = self.tracks.announced.take() {
            self.begin(&track, bytes);
        } else {
            match FragmentHead::read(&bytes::head(&bytes, HEAD_LEN_MAX)) {
                Ok(head) if head.track_id == TrackKind::Audio.track_id() => {
                    self.attachment.audio.track.iter_mut().for_each(|audio| audio.push(&head, bytes.clone()));
                }
                Ok(head) => self.fragment(head, bytes),
                Err(error) => self.fail(PlaybackError::Refused(error.to_string())),
            }
        }
        self.pump();
        if !self.attachment.source.wants_data() {
            // Without appends, no `updateend` event drives the player.
            self.steer(now);
        }
    }

    /// Handles an event of the browser.
    pub fn handle(&mut self, signal: MseSignal, now: Moment) {
        let current = self.attachment.generation;
        match signal {
            MseSignal::Source(generation, _) | MseSignal::Buffer(generation, _) | MseSignal::Audio(generation, _)
                if generation != current =>
            {
                return;
            }
            MseSignal::Audio(_, source_buffer::SourceBufferEvent::Error) => self.lose_audio(),
            MseSignal::Audio(_, source_buffer::SourceBufferEvent::UpdateEnd) => self.attachment.audio_appended(now),
            MseSignal::Source(_, media_source::MediaSourceEvent::Closed) => {
                self.fail(PlaybackError::Reclaimed);
            }
            MseSignal::Source(..) | MseSignal::VideoMoved => {}
            MseSignal::Buffer(_, source_buffer::SourceBufferEvent::UpdateEnd) => self.attachment.appended(now),
            MseSignal::Buffer(_, source_buffer::SourceBufferEvent::Error) => self.fail(PlaybackError::Decode),
            MseSignal::VideoError if self.video.error().is_none() => return,
            MseSignal::VideoError => self.fail(PlaybackError::Decode),
            MseSignal::Frame(frame) => self.frame_presented(frame),
            MseSignal::Played(result) => self.played(&result),
        }
        self.tick(now);
    }

    /// Appends and steers as needed; called on signals and on a timer.
    pub fn tick(&mut self, now: Moment) {
        self.pump();
        self.steer(now);
    }

    /// Handles the tile becoming invisible: stale frames are not reported until [`Self::show`].
    pub fn hide(&mut self) {
        self.visible = false;
    }

    /// Handles the tile becoming visible again. The next frame to report follows the media placed so far.
    pub fn show(&mut self, now: Moment) {
        (self.visible, self.presentation.resumed) = (true, Some(self.attachment.timeline.end()));
        self.attachment.live_edge.page_shown();
        self.tick(now);
    }

    /// Handles a user gesture: the browser now permits playback.
    pub fn tapped(&mut self) {
        self.attachment.live_edge.page_shown();
        self.play();
    }

    fn play(&mut self) {
        self.autoplay.asked(now());
        let signal = Rc::clone(&self.signal);
        video::play(&self.video, move |result| signal(MseSignal::Played(result)));
    }

    /// The distance from the playhead to the newest fragment received, in milliseconds; none before the first presented frame.
    pub fn lag_ms(&self) -> Option<f64> {
        let Attachment { live_edge, timeline, queue, .. } = &self.attachment;
        let newest = timeline.end() + timeline.seconds(queue.waiting_ticks());
        live_edge.has_presented().then(|| (newest - self.video.current_time()).max(0.0) * 1000.0)
    }

    /// The age of the presented frame, in milliseconds, if the page's clock agrees with the relay's; none if unknown.
    pub fn age_ms(&self) -> Option<f64> {
        self.presentation.age.at(unix_ms())
    }

    /// Playback statistics: the seconds buffered ahead, the arrival jitter in milliseconds, and the playback rate.
    pub fn stats(&self, now: Moment) -> (f64, Option<f64>, f64) {
        let end = video::buffered(&self.video).last().map_or(0.0, |range| range.end);
        let ahead =
            if self.attachment.live_edge.has_presented() { (end - self.video.current_time()).max(0.0) } else { 0.0 };
        (ahead, self.attachment.latency_controller.jitter(now).map(|jitter| jitter * 1e3), self.rate)
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
        match (kind, &mut self.attachment.audio.track) {
            (TrackKind::Video, _) => self.attachment.queue.begin(Init { mime, timescale, timeline, payload }),
            (TrackKind::Audio, Some(audio)) => {
                if audio.begin(track, payload).is_err() {
                    self.lose_audio();
                }
            }
            // The player has started over without audio since the announcement.
            (TrackKind::Audio, None) => {}
        }
    }

    fn lose_audio(&mut self) {
        if self.tracks.audio.is_some() && !std::mem::replace(&mut self.tracks.audio_lost, true) {
            self.outcomes.push(Outcome::AudioLost);
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
        if self.attachment.pump_audio(&self.video).is_err() {
            self.lose_audio();
        }
        let result = self.attachment.pump(&self.video, &self.signal);
        match result {
            Ok(false) => {}
            Ok(true) => self.presentation.frames_before = Some(video::frames(&self.video)),
            Err(error) => {
                self.fail(match error {
                    DomError::NotSupported(_) => PlaybackError::NoFrame,
                    error => PlaybackError::Refused(error.to_string()),
                });
            }
        }
    }

    fn frame_presented(&mut self, frame: PresentedFrame) {
        self.presentation.age.presented(self.attachment.capture_times.at(frame.position), unix_ms_at(frame.shown));
        let resumed = self.presentation.resumed.take_if(|from| frame.position >= *from - FRAME_TOLERANCE).is_some();
        if self.attachment.live_edge.frame_presented(frame.position) || resumed {
            self.outcomes.push(Outcome::Presented);
        }
    }

    fn steer(&mut self, now: Moment) {
        let shown = video::frames(&self.video);
        let counted = self.presentation.frames_before.is_some_and(|before| shown != before);
        if self.presentation.watch.is_none() && counted {
            self.presentation.frames_before = Some(shown);
            self.frame_presented(PresentedFrame { position: self.video.current_time(), shown: now });
        }
        let presented = self.attachment.live_edge.has_presented();
        let visible = self.visible && is_seen(&self.video);
        if visible && self.video.paused() && self.autoplay.is_due(now) {
            self.play();
        }
        if self.attachment.lacks_audio(&self.video, now) {
            self.lose_audio();
        }
        let showing = visible && !self.video.paused();
        // A paused video that does not resume on request is stale, too.
        let due = visible && presented && !self.autoplay.needs_tap();
        let observation = || PlaybackObservation {
            position: self.video.current_time(),
            presented: shown,
            appended: Some(self.attachment.given),
        };
        let observation = due.then(observation);
        self.outcomes.extend(self.stall_detector.observe(observation, now).map(Outcome::Stale));
        if self.stall_detector.is_frozen() {
            self.fail(PlaybackError::Stalled);
        }
        match self.attachment.decide(&self.video, showing, now) {
            Some(Action::Seek(target)) => self.video.set_current_time(target),
            Some(Action::StartOver { presented: true }) => {
                self.fail(PlaybackError::Stalled);
            }
            Some(Action::StartOver { presented: false }) => self.fail(PlaybackError::NoFrame),
            None => {}
        }
        let rate = self.attachment.latency_controller.rate(now);
        if rate != self.rate {
            self.rate = rate;
            self.video.set_playback_rate(rate);
        }
    }

    fn fail(&mut self, error: PlaybackError) {
        // One failure causes an error of the SourceBuffer, one of the video, and then rejected operations: report the first.
        if !std::mem::replace(&mut self.attachment.failed, true) {
            self.outcomes.push(Outcome::Failed(error));
        }
    }

    fn played(&mut self, result: &Result<(), DomError>) {
        self.outcomes.extend(self.autoplay.settled(result).map(Outcome::TapNeeded));
    }
}

impl Drop for MsePlayer {
    fn drop(&mut self) {
        // The next player may have attached its source.
        if self.attachment.source.is_attached(&self.video) {
            video::release(&self.video);
        }
    }
}

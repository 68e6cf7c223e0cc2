//! Plays through WebCodecs: a `VideoDecoder` decodes, and each frame is presented on output, in the `<video>` or on the canvas over
//! it ([`FrameOutput`]).
//!
//! Input: the relay's epochs and media, and the browser's [`WebCodecsSignal`]s. Output: [`Outcome`]s. The policies beside it
//! decide: [`playout_delay`](super::playout_delay) when a frame is decoded, [`decoder_monitor`](super::decoder_monitor) which frame
//! is presented. Sound is not played: the owner uses the [MSE player](super::mse) for that. A tile's session owns the player as it
//! does the other.

use std::collections::VecDeque;
use std::rc::Rc;

use js_sys::{ArrayBuffer, Uint8Array};
use sightline_protocol::codec::codec_of;
use sightline_protocol::fragment::{FragmentHead, HEAD_LEN_MAX, NtpTime};
use sightline_protocol::message::{Track, TrackKind};
use web_sys::HtmlVideoElement;

use super::autoplay::Autoplay;
use super::decoder_monitor::{DecoderMonitor, FrameAction, position, timestamp};
use super::frame_age::{CaptureTimes, FrameAge};
use super::frame_rate::FrameRate;
use super::live_edge::FRAME_TOLERANCE;
use super::outcome::Outcome;
use super::playout_delay::PlayoutDelay;
use super::recovery::PlaybackError;
use super::sample;
use super::stall_detector::{PlaybackObservation, StallDetector};
use super::timeline::Timeline;
use crate::browser::error::DomError;
use crate::browser::frame_canvas::FrameCanvas;
use crate::browser::timer::Timeout;
use crate::browser::video::{self, PresentedFrame};
use crate::browser::video_decoder::{Decoder, Frame};
use crate::browser::{self, bytes, is_seen, unix_ms, unix_ms_at};
use crate::time::Moment;

mod output;

pub use output::FrameOutput;

/// Frames held for the jitter. Half a second of 60 frames per second has fewer; when full, the oldest is decoded at once.
const HELD_MAX: usize = 64;

/// An event of the browser. The owner hands it to [`WebCodecsPlayer::handle`].
pub enum WebCodecsSignal {
    /// The decoder of this generation put out a frame.
    Frame(u32, Frame),
    /// An error closed the decoder of this generation.
    Error(u32, DomError),
    /// A held frame is due.
    Due,
    /// The `<video>` has presented a frame.
    Presented(PresentedFrame),
    /// The result of a `play()` call.
    Played(Result<(), DomError>),
}

/// See the module.
pub struct WebCodecsPlayer {
    video: HtmlVideoElement,
    output: FrameOutput,
    autoplay: Autoplay,
    signal: Rc<dyn Fn(WebCodecsSignal)>,
    /// The announced track; its init segment is the next message.
    announced: Option<Track>,
    /// Whether arriving media belongs to an epoch that was announced to this player.
    expecting: bool,
    attachment: DecoderAttachment,
    frame_rate: FrameRate,
    stall_detector: StallDetector,
    age: FrameAge,
    visible: bool,
    outcomes: Vec<Outcome>,
}

/// The state that belongs to one decoder and is dropped with it.
struct DecoderAttachment {
    generation: u32,
    decoder: Decoder,
    monitor: DecoderMonitor,
    timeline: Timeline,
    capture_times: CaptureTimes,
    playout_delay: PlayoutDelay,
    held: VecDeque<HeldFrame>,
    timer: Option<Timeout>,
    /// Whether only a key frame can be decoded.
    needs_keyframe: bool,
    /// The position from which on a presented frame is the first: of the epoch, or since the tile became visible again.
    awaited: Option<f64>,
    failed: bool,
}

struct HeldFrame {
    due: Moment,
    keyframe: bool,
    timestamp: i64,
    capture: Option<f64>,
    payload: ArrayBuffer,
    offset: u32,
}

impl DecoderAttachment {
    fn new(generation: u32, signal: &Rc<dyn Fn(WebCodecsSignal)>) -> Result<Self, DomError> {
        let (frame, error) = (Rc::clone(signal), Rc::clone(signal));
        let decoder = Decoder::new(
            move |decoded| frame(WebCodecsSignal::Frame(generation, decoded)),
            move |thrown| error(WebCodecsSignal::Error(generation, thrown)),
        )?;
        Ok(Self {
            generation,
            decoder,
            monitor: DecoderMonitor::default(),
            timeline: Timeline::default(),
            capture_times: CaptureTimes::default(),
            playout_delay: PlayoutDelay::default(),
            held: VecDeque::new(),
            timer: None,
            needs_keyframe: true,
            awaited: None,
            failed: false,
        })
    }

    /// Gives the decoder the held frames that are due.
    fn decode(&mut self, now: Moment) -> Result<(), DomError> {
        let due =
            |held: &VecDeque<HeldFrame>| held.len() > HELD_MAX || held.front().is_some_and(|next| next.due <= now);
        while due(&self.held) {
            let Some(frame) = self.held.pop_front() else { break };
            if frame.keyframe && self.monitor.is_behind(now) {
                self.decoder.reset()?;
                self.monitor.reset();
            }
            if !frame.keyframe && self.monitor.is_overloaded(now) {
                self.monitor.skipped(1 + self.held.len() as u64);
                self.held.clear();
                self.needs_keyframe = true;
                break;
            }
            self.decoder.decode(frame.keyframe, frame.timestamp, &frame.payload, frame.offset)?;
            self.monitor.submit(frame.timestamp, frame.capture, now);
        }
        Ok(())
    }
}

impl WebCodecsPlayer {
    /// Presents in `video` or on `frame_canvas`, which covers it, and sends its signals to `signal`.
    ///
    /// # Errors
    /// If the browser cannot create a decoder.
    pub fn new(
        video: HtmlVideoElement,
        frame_canvas: FrameCanvas,
        signal: Rc<dyn Fn(WebCodecsSignal)>,
    ) -> Result<Self, DomError> {
        let mut player = Self {
            attachment: DecoderAttachment::new(0, &signal)?,
            output: FrameOutput::new(&video, frame_canvas, &signal)?,
            autoplay: Autoplay::new(browser::now()),
            video,
            signal,
            announced: None,
            expecting: false,
            frame_rate: FrameRate::default(),
            stall_detector: StallDetector::default(),
            age: FrameAge::default(),
            visible: true,
            outcomes: Vec::new(),
        };
        player.play();
        Ok(player)
    }

    /// Whether frames are presented in the `<video>`, and not on the canvas over it.
    pub fn uses_video(&self) -> bool {
        self.output.uses_video()
    }

    fn play(&mut self) {
        if self.output.uses_video() {
            self.autoplay.asked(browser::now());
            let signal = Rc::clone(&self.signal);
            video::play(&self.video, move |result| signal(WebCodecsSignal::Played(result)));
        }
    }

    /// Handles a user gesture: the browser now permits playback.
    pub fn tapped(&mut self) {
        self.play();
    }

    /// Starts over with a new decoder, and a new track for the `<video>`.
    ///
    /// # Errors
    /// If the browser cannot create another decoder.
    pub fn start_over(&mut self) -> Result<(), DomError> {
        self.ignore_media();
        self.attachment = DecoderAttachment::new(self.attachment.generation + 1, &self.signal)?;
        self.output.start_over(&self.video)?;
        self.play();
        Ok(())
    }

    /// Announces an epoch of video: the next message is its init segment.
    pub fn announce(&mut self, track: &Track) {
        self.announced = Some(track.clone());
        self.expecting = true;
        self.frame_rate = FrameRate::default();
    }

    /// Announces audio, which is not played: the next message is its init segment.
    pub fn announce_audio(&mut self, track: &Track) {
        self.announced = Some(track.clone()).filter(|_| self.expecting);
    }

    /// Ignores media until an epoch is announced: the connection has closed, or the epoch cannot be played here.
    pub fn ignore_media(&mut self) {
        (self.announced, self.expecting) = (None, false);
    }

    /// Handles an init segment or a fragment.
    pub fn media(&mut self, payload: ArrayBuffer, now: Moment) {
        if !self.expecting || self.attachment.failed {
            return;
        }
        if let Some(track) = self.announced.take() {
            return self.begin(&track, &payload);
        }
        let start = bytes::head(&payload, HEAD_LEN_MAX);
        match FragmentHead::read(&start) {
            Ok(head) if head.track_id != TrackKind::Video.track_id() => {}
            Ok(head) => match sample::offset(&start).filter(|_| head.samples == 1) {
                Some(offset) => self.fragment(&head, payload, offset, now),
                None => self.fail(PlaybackError::Refused("the fragment is not one frame".to_owned())),
            },
            Err(error) => self.fail(PlaybackError::Refused(error.to_string())),
        }
    }

    /// Handles an event of the browser.
    pub fn handle(&mut self, signal: WebCodecsSignal, now: Moment) {
        let current = self.attachment.generation;
        match signal {
            WebCodecsSignal::Frame(generation, _) | WebCodecsSignal::Error(generation, _) if generation != current => {}
            WebCodecsSignal::Frame(_, frame) => self.frame(&frame, now),
            WebCodecsSignal::Error(_, error) => self.refused(&error),
            WebCodecsSignal::Due => self.decode(now),
            WebCodecsSignal::Presented(frame) => self.presented(frame),
            WebCodecsSignal::Played(result) => {
                self.outcomes.extend(self.autoplay.settled(&result).map(Outcome::TapNeeded));
            }
        }
    }

    /// Decodes and checks the video as needed; called on a timer.
    pub fn tick(&mut self, now: Moment) {
        self.decode(now);
        let DecoderAttachment { monitor, timeline, .. } = &self.attachment;
        // A hidden page may be given no decoder.
        let visible = self.visible && is_seen(&self.video);
        let due = visible && monitor.painted().is_some() && !self.autoplay.needs_tap();
        let painted = (monitor.quality().0 - monitor.quality().1) as u32;
        let shown = if self.output.uses_video() { video::frames(&self.video) } else { painted };
        let observation =
            || PlaybackObservation { position: timeline.end(), presented: shown, appended: Some(monitor.submitted()) };
        let silent = visible && monitor.is_silent(now);
        let paused = self.output.uses_video() && visible && self.video.paused();
        self.outcomes.extend(self.stall_detector.observe(due.then(observation), now).map(Outcome::Stale));
        if paused && self.autoplay.is_due(now) {
            self.play();
        }
        if silent {
            self.fail(PlaybackError::NoFrame);
        } else if self.stall_detector.is_frozen() {
            self.fail(PlaybackError::Stalled);
        }
    }

    /// Handles the tile becoming invisible: stale frames are not reported until [`Self::show`].
    pub fn hide(&mut self) {
        self.visible = false;
    }

    /// Handles the tile becoming visible again. The next frame to report follows the media placed so far.
    pub fn show(&mut self, now: Moment) {
        self.visible = true;
        self.attachment.awaited = Some(self.attachment.timeline.end());
        self.tick(now);
    }

    /// The distance from the painted frame to the newest fragment received, in milliseconds; none before the first frame.
    pub fn lag_ms(&self) -> Option<f64> {
        let DecoderAttachment { monitor, timeline, .. } = &self.attachment;
        monitor.painted().map(|painted| (timeline.end() - painted).max(0.0) * 1e3)
    }

    /// The age of the painted frame, in milliseconds, if the page's clock agrees with the relay's; none if unknown.
    pub fn age_ms(&self) -> Option<f64> {
        self.age.at(unix_ms())
    }

    /// Playback statistics: the seconds held for the jitter, the arrival jitter in milliseconds, and the playback rate.
    pub fn stats(&self, now: Moment) -> (f64, Option<f64>, f64) {
        let DecoderAttachment { held, playout_delay, timeline, .. } = &self.attachment;
        let first = held.front().map_or(timeline.end(), |frame| position(frame.timestamp));
        ((timeline.end() - first).max(0.0), playout_delay.jitter(now).map(|jitter| jitter * 1e3), 1.0)
    }

    /// The number of decoded frames, and of those not painted.
    pub fn quality(&self) -> (u64, u64) {
        self.attachment.monitor.quality()
    }

    /// Takes the outcomes since the last call.
    pub fn outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcomes)
    }

    /// Handles the track's init segment.
    fn begin(&mut self, track: &Track, payload: &ArrayBuffer) {
        if track.kind != TrackKind::Video {
            return;
        }
        let DecoderAttachment { decoder, timeline, awaited, needs_keyframe, playout_delay, .. } = &mut self.attachment;
        timeline.begin_epoch(track.timescale);
        playout_delay.begin();
        *awaited = Some(timeline.epoch_start());
        *needs_keyframe = true;
        let init = Uint8Array::new(payload).to_vec();
        let result = match sample::description(&init) {
            Some(description) => decoder.configure(codec_of(&track.mime), description),
            None => Err(DomError::NotSupported(track.mime.clone())),
        };
        if let Err(error) = result {
            self.refused(&error);
        }
    }

    fn fragment(&mut self, head: &FragmentHead, payload: ArrayBuffer, offset: usize, now: Moment) {
        let DecoderAttachment { timeline, playout_delay, held, needs_keyframe, monitor, .. } = &mut self.attachment;
        let FragmentHead { decode_time, composition_offset, duration, keyframe, .. } = *head;
        let placed = timeline.place(decode_time, composition_offset, duration, keyframe);
        if !placed.continues {
            playout_delay.begin();
            *needs_keyframe = true;
        }
        let seconds = timeline.seconds(duration);
        if *needs_keyframe && !keyframe {
            monitor.skipped(1);
        } else {
            *needs_keyframe = false;
            let presented =
                timeline.seconds(decode_time) + composition_offset as f64 * timeline.seconds(1) + placed.offset;
            held.push_back(HeldFrame {
                due: playout_delay.arrived(placed.start, now),
                keyframe,
                timestamp: timestamp(presented),
                capture: head.capture.map(NtpTime::unix_ms),
                payload,
                offset: offset as u32,
            });
            self.decode(now);
        }
        self.outcomes.extend(self.frame_rate.measure(head.samples, seconds).map(Outcome::FrameRate));
    }

    /// Decodes the frames that are due, and sets the timer for the next.
    fn decode(&mut self, now: Moment) {
        if self.attachment.failed {
            return;
        }
        if let Err(error) = self.attachment.decode(now) {
            return self.refused(&error);
        }
        let DecoderAttachment { held, timer, .. } = &mut self.attachment;
        *timer = held.front().map(|next| {
            let signal = Rc::clone(&self.signal);
            Timeout::new(next.due.ms_since(now), move || signal(WebCodecsSignal::Due))
        });
    }

    fn frame(&mut self, frame: &Frame, now: Moment) {
        let DecoderAttachment { monitor, timeline, capture_times, failed, .. } = &mut self.attachment;
        let FrameAction::Paint(capture) = monitor.output(frame.timestamp(), timeline.end(), now) else { return };
        if *failed || !self.output.present(frame) {
            return;
        }
        let position = position(frame.timestamp());
        capture_times.insert(position, capture);
        if !self.output.uses_video() {
            self.presented(PresentedFrame { position, shown: browser::now() });
        }
    }

    fn presented(&mut self, frame: PresentedFrame) {
        let DecoderAttachment { capture_times, awaited, monitor, .. } = &mut self.attachment;
        // The `<video>` may still present a frame of the previous decoder.
        if monitor.painted().is_none_or(|painted| frame.position > painted + FRAME_TOLERANCE) {
            return;
        }
        self.age.presented(capture_times.at(frame.position), unix_ms_at(frame.shown));
        if awaited.take_if(|from| frame.position >= *from - FRAME_TOLERANCE).is_some() {
            self.outcomes.push(Outcome::Presented);
        }
    }

    /// Handles an error of the decoder.
    fn refused(&mut self, error: &DomError) {
        self.fail(match error {
            DomError::QuotaExceeded => PlaybackError::Reclaimed,
            DomError::NotSupported(_) => PlaybackError::NoFrame,
            _ => PlaybackError::Decode,
        });
    }

    fn fail(&mut self, error: PlaybackError) {
        if !std::mem::replace(&mut self.attachment.failed, true) {
            self.outcomes.push(Outcome::Failed(error));
        }
    }
}

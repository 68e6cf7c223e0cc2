//! The state that belongs to one MediaSource and is dropped with it: SourceBuffers, queued media, and their positions.
//!
//! The video's SourceBuffer performs one operation at a time; the end of one starts the next.

use std::rc::Rc;

use js_sys::ArrayBuffer;
use web_sys::HtmlVideoElement;

use super::Signal;
use super::sound::Sound;
use crate::browser::bytes;
use crate::browser::error::DomError;
use crate::browser::media_source::{Kind, MediaSource};
use crate::browser::source_buffer::SourceBuffer;
use crate::browser::video;
use crate::player::alignment::Alignment;
use crate::player::edge::{Action, Edge, View};
use crate::player::latency::Captures;
use crate::player::pace::{Pace, Steering};
use crate::player::queue::{Init, Operation, Queue};
use crate::player::quota::{Answer, Quota};
use crate::player::timeline::Timeline;
use crate::player::trim;
use crate::time::Moment;

/// Audio that is this much later than its video, in seconds, for this long is not coming. It takes a moment to start.
const SOUND_LATE: f64 = 1.0;
const SOUND_LOST_MS: f64 = 4_000.0;

/// The initial decoder margin, in seconds: the time that a decoder needs before a frame is presented. Software decoders take a
/// few milliseconds and one screen refresh. WebKit's pipeline takes more, and stalls for long when it underruns. Audio adds the
/// sound card's buffer; Chrome plays no audio before it has 200 ms of it.
fn margin(steering: Steering, sound: bool) -> f64 {
    match (steering, sound) {
        (Steering::Rate, false) => 0.035,
        (Steering::Seek, false) => 0.1,
        (Steering::Rate, true) => 0.2,
        (Steering::Seek, true) => 0.3,
    }
}

/// See the module.
pub(super) struct Attachment {
    pub(super) generation: u32,
    pub(super) source: MediaSource,
    buffer: Option<SourceBuffer>,
    mime: String,
    /// The append that the browser refused for lack of room.
    refused: Option<ArrayBuffer>,
    pub(super) queue: Queue<ArrayBuffer>,
    pub(super) timeline: Timeline,
    pub(super) edge: Edge,
    pub(super) pace: Pace,
    pub(super) captures: Captures,
    /// The number of appended frames.
    pub(super) given: u64,
    /// The start of the last frame of the append in progress.
    appending: Option<f64>,
    alignment: Alignment,
    /// The source timeline of the video being appended.
    source_timeline: u32,
    /// The audio, if it is on.
    pub(super) sound: Option<Sound>,
    silent_since: Option<Moment>,
    quota: Quota,
    pub(super) failed: bool,
}

impl Attachment {
    pub(super) fn new(
        generation: u32,
        kind: Kind,
        sound_mime: Option<String>,
        video: &HtmlVideoElement,
        signal: &Rc<dyn Fn(Signal)>,
    ) -> Result<Self, DomError> {
        let signal = Rc::clone(signal);
        let steering = kind.steering();
        let margin = margin(steering, sound_mime.is_some());
        let source = MediaSource::attach(kind, video, move |event| signal(Signal::Source(generation, event)))?;
        Ok(Self {
            generation,
            source,
            buffer: None,
            mime: String::new(),
            refused: None,
            queue: Queue::default(),
            timeline: Timeline::default(),
            edge: Edge::new(steering, margin, sound_mime.is_some()),
            pace: Pace::new(steering, margin),
            captures: Captures::default(),
            given: 0,
            appending: None,
            alignment: Alignment::default(),
            source_timeline: 0,
            sound: sound_mime.map(|mime| Sound::new(mime, steering)),
            silent_since: None,
            quota: Quota::default(),
            failed: false,
        })
    }

    /// Starts at most one operation. Returns whether it began an epoch.
    pub(super) fn pump(&mut self, video: &HtmlVideoElement, signal: &Rc<dyn Fn(Signal)>) -> Result<bool, DomError> {
        let busy = self.buffer.as_ref().is_some_and(SourceBuffer::updating);
        if self.failed || busy || !self.source.is_open() || !self.source.wants_data() {
            return Ok(false);
        }
        if let Some(refused) = self.refused.take() {
            return self.append(refused, video).map(|()| false);
        }
        if let (Some(buffer), Some(oldest)) = (&self.buffer, video::buffered(video).first())
            && let Some(end) = trim::routine(&self.timeline, video.current_time(), oldest.start)
        {
            self.timeline.forget_before(end);
            return buffer.remove_before(end).map(|()| false);
        }
        match self.queue.next(&mut self.timeline) {
            Some(Operation::Init(init)) => self.begin_epoch(init, video, signal).map(|()| true),
            Some(Operation::Fragments { offset, payloads, frames, continues, source }) => {
                self.alignment.video(self.source_timeline, source.0, source.1, offset);
                if let Some(buffer) = &self.buffer {
                    buffer.set_timestamp_offset(offset)?;
                }
                if !continues {
                    self.pace.begin();
                }
                self.given += frames.len() as u64;
                self.appending = frames.last().map(|&(start, _)| start);
                frames.into_iter().for_each(|(start, capture)| self.captures.placed(start, capture));
                self.append(bytes::join(payloads), video).map(|()| false)
            }
            None => Ok(false),
        }
    }

    fn begin_epoch(
        &mut self,
        init: Init<ArrayBuffer>,
        video: &HtmlVideoElement,
        signal: &Rc<dyn Fn(Signal)>,
    ) -> Result<(), DomError> {
        match &self.buffer {
            Some(buffer) if self.mime != init.mime => buffer.change_type(&init.mime)?,
            Some(_) => {}
            None => {
                let generation = self.generation;
                let on_event = {
                    let signal = Rc::clone(signal);
                    move |event| signal(Signal::Buffer(generation, event))
                };
                self.buffer = Some(self.source.add_source_buffer(&init.mime, on_event)?);
                if let Some(sound) = &mut self.sound {
                    let signal = Rc::clone(signal);
                    let on_event = move |event| signal(Signal::Sound(generation, event));
                    sound.attach(self.source.add_source_buffer(sound.mime(), on_event)?);
                }
            }
        }
        (self.mime, self.source_timeline) = (init.mime, init.timeline);
        self.edge.begin_epoch(self.timeline.epoch_start());
        self.append(init.payload, video)
    }

    fn append(&mut self, payload: ArrayBuffer, video: &HtmlVideoElement) -> Result<(), DomError> {
        let Some(buffer) = &self.buffer else { return Ok(()) };
        match buffer.append(&payload) {
            Ok(()) => {
                self.quota.accepted();
                Ok(())
            }
            Err(DomError::QuotaExceeded) => {
                self.refused = Some(payload);
                self.make_room(video)
            }
            Err(error) => Err(error),
        }
    }

    /// Evicts more at each refusal. The refused append is retried when the removal ends.
    fn make_room(&mut self, video: &HtmlVideoElement) -> Result<(), DomError> {
        let Some(buffer) = &self.buffer else { return Ok(()) };
        let oldest = video::buffered(video).first().map_or(f64::INFINITY, |range| range.start);
        loop {
            let end = match self.quota.refused() {
                Answer::EvictPlayed => trim::all_played(&self.timeline, video.current_time(), oldest),
                Answer::EvictToNewestKeyframe => {
                    let end = trim::all_before_newest(&self.timeline, oldest);
                    if let (Some(_), Some(keyframe)) = (end, self.timeline.newest_keyframe()) {
                        video.set_current_time(keyframe);
                    }
                    end
                }
                Answer::GiveUp => return Err(DomError::QuotaExceeded),
            };
            if let Some(end) = end {
                self.timeline.forget_before(end);
                return buffer.remove_before(end);
            }
        }
    }

    /// Gives the audio's SourceBuffer its next operation.
    pub(super) fn pump_sound(&mut self, video: &HtmlVideoElement) -> Result<(), DomError> {
        match &mut self.sound {
            Some(sound) if !self.failed && self.source.is_open() => sound.pump(&self.alignment, video.current_time()),
            _ => Ok(()),
        }
    }

    /// Whether audio has been missing for too long while video arrives: the browser then plays neither.
    pub(super) fn lacks_sound(&mut self, video: &HtmlVideoElement, now: Moment) -> bool {
        let end = || video::buffered(video).last().map_or(0.0, |range| range.end);
        let begun = self.sound.as_ref().is_none_or(Sound::has_begun);
        if self.sound.is_none() || begun && self.timeline.end() - end() < SOUND_LATE {
            self.silent_since = None;
            return false;
        }
        now.ms_since(*self.silent_since.get_or_insert(now)) > SOUND_LOST_MS
    }

    /// Handles the end of the audio SourceBuffer's operation.
    pub(super) fn sound_appended(&mut self, now: Moment) {
        if let Some(start) = self.sound.as_mut().and_then(Sound::appended) {
            self.pace.sound_arrived(start, now);
        }
    }

    /// Handles the end of the video SourceBuffer's operation.
    pub(super) fn appended(&mut self, now: Moment) {
        if let Some(start) = self.appending.take() {
            self.pace.arrived(start, now);
        }
    }

    pub(super) fn decide(&mut self, video: &HtmlVideoElement, showing: bool, now: Moment) -> Option<Action> {
        let seeking = video.seeking();
        if showing && !seeking && self.edge.has_presented() {
            self.pace.looked(video.current_time(), now);
        } else {
            self.pace.interrupted();
        }
        let busy = self.buffer.as_ref().is_none_or(SourceBuffer::updating);
        self.edge.decide(&View {
            now,
            position: video.current_time(),
            ranges: &video::buffered(video),
            newest_keyframe: self.timeline.newest_keyframe(),
            appended: !busy && self.queue.is_empty() && self.refused.is_none(),
            live: self.pace.live(now),
            showing,
            seeking,
        })
    }
}

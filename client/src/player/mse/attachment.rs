//! The state that belongs to one MediaSource and is dropped with it: SourceBuffers, queued media, and their positions.
//!
//! The video's SourceBuffer performs one operation at a time; the end of one starts the next.

use std::rc::Rc;

use js_sys::ArrayBuffer;
use sightline_protocol::codec::codec_of;
use web_sys::HtmlVideoElement;

use super::MseSignal;
use super::audio::AudioTrack;
use crate::browser::bytes;
use crate::browser::error::DomError;
use crate::browser::media_source::{Kind, MediaSource};
use crate::browser::source_buffer::SourceBuffer;
use crate::browser::video;
use crate::player::audio_sync::AudioSync;
use crate::player::eviction;
use crate::player::frame_age::CaptureTimes;
use crate::player::latency_controller::{CorrectionMode, LatencyController};
use crate::player::live_edge::{Action, LiveEdge, View};
use crate::player::queue::{Init, Operation, Queue};
use crate::player::quota::{Answer, Quota};
use crate::player::timeline::Timeline;
use crate::time::Moment;

/// Audio that is this much later than its video, in seconds, for this long is not coming. It takes a moment to start.
const AUDIO_LATE: f64 = 1.0;
const AUDIO_LOST_MS: f64 = 4_000.0;

/// Whether the SourceBuffer must be told of the new MIME type. WebKitGTK has no `changeType`, and takes another profile or level of
/// the same codec by its init segment alone.
fn needs_change(before: &str, now: &str, can_change: bool) -> bool {
    let sample_entry = |mime| codec_of(mime).split('.').next().map(str::to_owned);
    before != now && (can_change || sample_entry(before) != sample_entry(now))
}

/// The initial decoder margin, in seconds: the time that a decoder needs before a frame is presented. Software decoders take a
/// few milliseconds and one screen refresh. WebKit's pipeline takes more, and stalls for long when it underruns. Audio adds the
/// sound card's buffer; Chrome plays no audio before it has 200 ms of it.
fn margin(correction_mode: CorrectionMode, audio: bool) -> f64 {
    match (correction_mode, audio) {
        (CorrectionMode::Rate, false) => 0.035,
        (CorrectionMode::Seek, false) => 0.1,
        (CorrectionMode::Rate, true) => 0.2,
        (CorrectionMode::Seek, true) => 0.3,
    }
}

/// See the module.
pub(super) struct Attachment {
    pub(super) generation: u32,
    pub(super) source: MediaSource,
    buffer: Option<SourceBuffer>,
    mime: String,
    append: Append,
    pub(super) queue: Queue<ArrayBuffer>,
    pub(super) timeline: Timeline,
    pub(super) live_edge: LiveEdge,
    pub(super) latency_controller: LatencyController,
    pub(super) capture_times: CaptureTimes,
    /// The number of appended frames.
    pub(super) given: u64,
    pub(super) audio: Audio,
    pub(super) failed: bool,
}

/// The state of the video's appends.
#[derive(Default)]
struct Append {
    /// The append that the browser refused for lack of room.
    refused: Option<ArrayBuffer>,
    /// The start of the last frame of the append in progress.
    last_start: Option<f64>,
    quota: Quota,
}

/// The audio beside the video.
pub(super) struct Audio {
    /// The track, if audio is on.
    pub(super) track: Option<AudioTrack>,
    sync: AudioSync,
    /// The source timeline of the video being appended.
    video_timeline: u32,
    /// Since when video arrives without audio.
    missing_since: Option<Moment>,
}

impl Attachment {
    pub(super) fn new(
        generation: u32,
        kind: Kind,
        audio_mime: Option<String>,
        video: &HtmlVideoElement,
        signal: &Rc<dyn Fn(MseSignal)>,
    ) -> Result<Self, DomError> {
        let signal = Rc::clone(signal);
        let correction_mode = if kind.rebuffers_on_rate_change() { CorrectionMode::Seek } else { CorrectionMode::Rate };
        let margin = margin(correction_mode, audio_mime.is_some());
        let source = MediaSource::attach(kind, video, move |event| signal(MseSignal::Source(generation, event)))?;
        Ok(Self {
            generation,
            source,
            buffer: None,
            mime: String::new(),
            append: Append::default(),
            queue: Queue::default(),
            timeline: Timeline::default(),
            live_edge: LiveEdge::new(correction_mode, margin, audio_mime.is_some()),
            latency_controller: LatencyController::new(correction_mode, margin),
            capture_times: CaptureTimes::default(),
            given: 0,
            audio: Audio {
                track: audio_mime.map(|mime| AudioTrack::new(mime, correction_mode)),
                sync: AudioSync::default(),
                video_timeline: 0,
                missing_since: None,
            },
            failed: false,
        })
    }

    /// Starts at most one operation. Returns whether it began an epoch.
    pub(super) fn pump(&mut self, video: &HtmlVideoElement, signal: &Rc<dyn Fn(MseSignal)>) -> Result<bool, DomError> {
        let busy = self.buffer.as_ref().is_some_and(SourceBuffer::updating);
        if self.failed || busy || !self.source.is_open() || !self.source.wants_data() {
            return Ok(false);
        }
        if let Some(refused) = self.append.refused.take() {
            return self.append(refused, video).map(|()| false);
        }
        if let (Some(buffer), Some(oldest)) = (&self.buffer, video::buffered(video).first())
            && let Some(end) = eviction::routine(&self.timeline, video.current_time(), oldest.start)
        {
            self.timeline.forget_before(end);
            return buffer.remove_before(end).map(|()| false);
        }
        match self.queue.next(&mut self.timeline) {
            Some(Operation::Init(init)) => self.begin_epoch(init, video, signal).map(|()| true),
            Some(Operation::Fragments { offset, payloads, frames, continues, source }) => {
                self.audio.sync.add_video(self.audio.video_timeline, source.0, source.1, offset);
                if let Some(buffer) = &self.buffer {
                    buffer.set_timestamp_offset(offset)?;
                }
                if !continues {
                    self.latency_controller.begin();
                }
                self.given += frames.len() as u64;
                self.append.last_start = frames.last().map(|&(start, _)| start);
                frames.into_iter().for_each(|(start, capture)| self.capture_times.insert(start, capture));
                self.append(bytes::join(payloads), video).map(|()| false)
            }
            None => Ok(false),
        }
    }

    fn begin_epoch(
        &mut self,
        init: Init<ArrayBuffer>,
        video: &HtmlVideoElement,
        signal: &Rc<dyn Fn(MseSignal)>,
    ) -> Result<(), DomError> {
        match &self.buffer {
            Some(buffer) if needs_change(&self.mime, &init.mime, buffer.can_change_type()) => {
                buffer.change_type(&init.mime)?;
            }
            Some(_) => {}
            None => {
                let generation = self.generation;
                let on_event = {
                    let signal = Rc::clone(signal);
                    move |event| signal(MseSignal::Buffer(generation, event))
                };
                self.buffer = Some(self.source.add_source_buffer(&init.mime, on_event)?);
                if let Some(audio) = &mut self.audio.track {
                    let signal = Rc::clone(signal);
                    let on_event = move |event| signal(MseSignal::Audio(generation, event));
                    audio.attach(self.source.add_source_buffer(audio.mime(), on_event)?);
                }
            }
        }
        (self.mime, self.audio.video_timeline) = (init.mime, init.timeline);
        self.live_edge.begin_epoch(self.timeline.epoch_start());
        self.append(init.payload, video)
    }

    fn append(&mut self, payload: ArrayBuffer, video: &HtmlVideoElement) -> Result<(), DomError> {
        let Some(buffer) = &self.buffer else { return Ok(()) };
        match buffer.append(&payload) {
            Ok(()) => {
                self.append.quota.accepted();
                Ok(())
            }
            Err(DomError::QuotaExceeded) => {
                self.append.refused = Some(payload);
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
            let end = match self.append.quota.refused() {
                Answer::EvictPlayed => eviction::all_played(&self.timeline, video.current_time(), oldest),
                Answer::EvictToNewestKeyframe => {
                    let end = eviction::all_before_newest(&self.timeline, oldest);
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
    pub(super) fn pump_audio(&mut self, video: &HtmlVideoElement) -> Result<(), DomError> {
        match &mut self.audio.track {
            Some(audio) if !self.failed && self.source.is_open() => audio.pump(&self.audio.sync, video.current_time()),
            _ => Ok(()),
        }
    }

    /// Whether audio has been missing for too long while video arrives: the browser then plays neither.
    pub(super) fn lacks_audio(&mut self, video: &HtmlVideoElement, now: Moment) -> bool {
        let end = || video::buffered(video).last().map_or(0.0, |range| range.end);
        let begun = self.audio.track.as_ref().is_none_or(AudioTrack::has_begun);
        if self.audio.track.is_none() || begun && self.timeline.end() - end() < AUDIO_LATE {
            self.audio.missing_since = None;
            return false;
        }
        now.ms_since(*self.audio.missing_since.get_or_insert(now)) > AUDIO_LOST_MS
    }

    /// Handles the end of the audio SourceBuffer's operation.
    pub(super) fn audio_appended(&mut self, now: Moment) {
        if let Some(start) = self.audio.track.as_mut().and_then(AudioTrack::appended) {
            self.latency_controller.audio_arrived(start, now);
        }
    }

    /// Handles the end of the video SourceBuffer's operation.
    pub(super) fn appended(&mut self, now: Moment) {
        if let Some(start) = self.append.last_start.take() {
            self.latency_controller.arrived(start, now);
        }
    }

    pub(super) fn decide(&mut self, video: &HtmlVideoElement, showing: bool, now: Moment) -> Option<Action> {
        let seeking = video.seeking();
        if showing && !seeking && self.live_edge.has_presented() {
            self.latency_controller.sample_position(video.current_time(), now);
        } else {
            self.latency_controller.reset_playhead();
        }
        let busy = self.buffer.as_ref().is_none_or(SourceBuffer::updating);
        self.live_edge.decide(&View {
            now,
            position: video.current_time(),
            ranges: &video::buffered(video),
            newest_keyframe: self.timeline.newest_keyframe(),
            appended: !busy && self.queue.is_empty() && self.append.refused.is_none(),
            live: self.latency_controller.live(now),
            showing,
            seeking,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::needs_change;

    #[test]
    fn another_level_needs_no_change_where_the_browser_has_none() {
        let mime = |codec: &str| format!("video/mp4; codecs=\"{codec}\"");
        let case = |now: &str, can_change| needs_change(&mime("avc1.42C01E"), &mime(now), can_change);
        assert!(case("avc1.42C015", true) && !case("avc1.42C015", false), "another level");
        assert!(case("hvc1.1.6.L93.90", true) && case("hvc1.1.6.L93.90", false), "another codec");
        assert!(!case("avc1.42C01E", true), "the same");
    }
}

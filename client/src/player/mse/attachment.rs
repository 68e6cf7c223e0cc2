//! What belongs to one MediaSource and goes with it: its SourceBuffer, what waits for it, where it was put.
//!
//! One operation at a time goes to the SourceBuffer, each in answer to the end of the one before.

use std::rc::Rc;

use js_sys::ArrayBuffer;
use web_sys::HtmlVideoElement;

use super::Signal;
use crate::browser::bytes;
use crate::browser::error::DomError;
use crate::browser::media_source::{Kind, MediaSource};
use crate::browser::source_buffer::SourceBuffer;
use crate::browser::video;
use crate::player::edge::{Action, Edge, View};
use crate::player::queue::{Init, Operation, Queue};
use crate::player::quota::{Answer, Quota};
use crate::player::timeline::Timeline;
use crate::player::trim;
use crate::time::Moment;

/// See the module.
pub(super) struct Attachment {
    pub(super) generation: u32,
    pub(super) source: MediaSource,
    buffer: Option<SourceBuffer>,
    mime: String,
    /// What the browser had no room for.
    refused: Option<ArrayBuffer>,
    pub(super) queue: Queue<ArrayBuffer>,
    pub(super) timeline: Timeline,
    pub(super) edge: Edge,
    quota: Quota,
    pub(super) failed: bool,
}

impl Attachment {
    pub(super) fn new(
        generation: u32,
        kind: Kind,
        video: &HtmlVideoElement,
        signal: &Rc<dyn Fn(Signal)>,
    ) -> Result<Self, DomError> {
        let signal = Rc::clone(signal);
        let source = MediaSource::attach(kind, video, move |event| signal(Signal::Source(generation, event)))?;
        Ok(Self {
            generation,
            source,
            buffer: None,
            mime: String::new(),
            refused: None,
            queue: Queue::default(),
            timeline: Timeline::default(),
            edge: Edge::default(),
            quota: Quota::default(),
            failed: false,
        })
    }

    /// One operation at most; returns whether it began an epoch.
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
            Some(Operation::Fragments { offset, payloads }) => {
                if let Some(buffer) = &self.buffer {
                    buffer.set_timestamp_offset(offset)?;
                }
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
                let (signal, generation) = (Rc::clone(signal), self.generation);
                let on_event = move |event| signal(Signal::Buffer(generation, event));
                self.buffer = Some(self.source.add_source_buffer(&init.mime, on_event)?);
            }
        }
        self.mime = init.mime;
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

    /// Evicts more at each refusal; the refused append is tried again when the removal has ended.
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

    pub(super) fn decide(&mut self, video: &HtmlVideoElement, showing: bool, now: Moment) -> Option<Action> {
        let busy = self.buffer.as_ref().is_none_or(SourceBuffer::updating);
        self.edge.decide(&View {
            now,
            position: video.current_time(),
            ranges: &video::buffered(video),
            newest_keyframe: self.timeline.newest_keyframe(),
            appended: !busy && self.queue.is_empty() && self.refused.is_none(),
            showing,
            seeking: video.seeking(),
        })
    }
}

//! The audio track of one MediaSource: its SourceBuffer and the queue in front of it.
//!
//! The SourceBuffer must exist from the start, since Chrome adds none to a MediaSource that plays; turning audio on starts the
//! player over. [`AudioSync`] decides the position of each fragment. The queue is bounded; when full, the oldest fragment is
//! dropped.

use std::collections::VecDeque;

use js_sys::ArrayBuffer;
use sightline_protocol::fragment::FragmentHead;
use sightline_protocol::message::Track;

use crate::browser::error::DomError;
use crate::browser::source_buffer::SourceBuffer;
use crate::player::audio_sync::{AudioPlacement, AudioSync};
use crate::player::latency_controller::CorrectionMode;

/// Maximum number of queued fragments: some seconds of audio, more than video is ever late.
const WAITING_MAX: usize = 256;
/// Delay of audio against its video, in seconds, where the playback rate changes. Chrome plays audio 7 ms late by itself.
/// Firefox plays it 15 ms early, and 43 ms after a change of rate, in files as well (measured at a sound card).
const LATER: f64 = 0.017;
/// Played audio that is kept, and the length of one removal, in seconds.
const KEEP: f64 = 8.0;

/// See the module.
pub(super) struct AudioTrack {
    /// None before the video's SourceBuffer exists: browsers need both before the first init segment.
    buffer: Option<SourceBuffer>,
    mime: String,
    later: f64,
    timeline: u32,
    timescale: f64,
    init: Option<ArrayBuffer>,
    waiting: VecDeque<(f64, ArrayBuffer)>,
    /// The start on the video's timeline of the last fragment of the append in progress.
    appending: Option<f64>,
    /// Whether an init segment has arrived.
    begun: bool,
}

impl AudioTrack {
    pub(super) fn new(mime: String, correction_mode: CorrectionMode) -> Self {
        Self {
            buffer: None,
            mime,
            later: if correction_mode == CorrectionMode::Rate { LATER } else { 0.0 },
            timeline: 0,
            timescale: 1.0,
            init: None,
            waiting: VecDeque::new(),
            appending: None,
            begun: false,
        }
    }

    /// The MIME type of the announced track.
    pub(super) fn mime(&self) -> &str {
        &self.mime
    }

    /// Whether an init segment has arrived. Until then the browser plays nothing, and leaves this SourceBuffer out of the
    /// video's `buffered`.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Sets the SourceBuffer, created with [`Self::mime`].
    pub(super) fn attach(&mut self, buffer: SourceBuffer) {
        self.buffer = Some(buffer);
    }

    /// Begins audio, or begins it again, with a new init segment.
    pub(super) fn begin(&mut self, track: &Track, init: ArrayBuffer) -> Result<(), DomError> {
        if track.mime != self.mime {
            if let Some(buffer) = &self.buffer {
                buffer.change_type(&track.mime)?;
            }
            self.mime.clone_from(&track.mime);
        }
        (self.timeline, self.timescale) = (track.timeline, f64::from(track.timescale.max(1)));
        self.init = Some(init);
        self.waiting.clear();
        self.begun = true;
        Ok(())
    }

    /// Queues a fragment.
    pub(super) fn push(&mut self, head: &FragmentHead, payload: ArrayBuffer) {
        if !self.begun {
            return;
        }
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back((head.decode_time as f64 / self.timescale, payload));
    }

    /// Handles the end of the SourceBuffer's operation. Returns the start of the last fragment appended, if any.
    pub(super) fn appended(&mut self) -> Option<f64> {
        self.appending.take()
    }

    /// Gives the SourceBuffer its next operation if it is idle. `position` is the playhead's.
    pub(super) fn pump(&mut self, audio_sync: &AudioSync, position: f64) -> Result<(), DomError> {
        let Some(buffer) = self.buffer.take_if(|buffer| !buffer.updating()) else { return Ok(()) };
        let result = self.operate(&buffer, audio_sync, position);
        self.buffer = Some(buffer);
        result
    }

    fn operate(&mut self, buffer: &SourceBuffer, audio_sync: &AudioSync, position: f64) -> Result<(), DomError> {
        if let Some(init) = self.init.take() {
            return buffer.append(&init);
        }
        if buffer.start().is_some_and(|start| start < position - 2.0 * KEEP) {
            return buffer.remove_before(position - KEEP);
        }
        let Some((offset, payloads)) = self.next(audio_sync) else { return Ok(()) };
        buffer.set_timestamp_offset(offset)?;
        match buffer.append(&crate::browser::bytes::join(payloads)) {
            // Audio is small: video's eviction makes room for it. The loss is some tens of milliseconds.
            Err(DomError::QuotaExceeded) => Ok(()),
            result => result,
        }
    }

    /// Takes the fragments that can be appended with one offset.
    fn next(&mut self, audio_sync: &AudioSync) -> Option<(f64, Vec<ArrayBuffer>)> {
        let mut batch: Option<(f64, Vec<ArrayBuffer>)> = None;
        while let Some(&(time, _)) = self.waiting.front() {
            match (audio_sync.place(self.timeline, time), &mut batch) {
                (AudioPlacement::Wait, _) => break,
                (AudioPlacement::Drop, _) => drop(self.waiting.pop_front()),
                (AudioPlacement::At(offset), Some((of_batch, _))) if offset + self.later != *of_batch => break,
                (AudioPlacement::At(offset), batch) => {
                    let (of_batch, payloads) = batch.get_or_insert((offset + self.later, Vec::new()));
                    payloads.extend(self.waiting.pop_front().map(|(_, payload)| payload));
                    self.appending = Some(time + *of_batch);
                }
            }
        }
        batch
    }
}

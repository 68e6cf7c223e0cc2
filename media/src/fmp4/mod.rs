//! Fragmented MP4 (ISO/IEC 14496-12), sans-IO: bytes in, init segments and fragments out. Reads no clock and no socket.
//!
//! [`demuxer::Demuxer`] demultiplexes FFmpeg's output into [`init::InitSegment`]s and [`Fragment`]s, each in one allocation
//! that all viewers share. [`capture`] estimates capture times, and [`media_times`] moves a fragment to the timeline of one
//! viewer. [`decoder_config::DecoderConfig`] finds the NAL units of an init segment; a fragment knows its access units from the
//! start. Both can be copied with amended parameter sets. [`writer`] writes init segments and fragments for access units without
//! a container, and [`silence`] fragments of audio without sound.

pub mod boxes;
pub mod capture;
pub mod decoder_config;
pub mod demuxer;
pub mod init;
pub mod media_times;
mod sample_entry;
mod samples;
pub mod silence;
pub mod websocket_frame;
pub mod writer;

use std::ops::Range;
use std::sync::Arc;

use bytes::BytesMut;
use mp4_atom::FourCC;
use sightline_protocol::fragment::{FragmentError, FragmentHead, NtpTime};

use crate::nal::Layout;
use media_times::{MediaTimes, Retiming};
use samples::Samples;
use websocket_frame::WebSocketFrame;

const PRFT: FourCC = FourCC::new(b"prft");
/// Position of the time in a `prft` box's body, after version, flags and track (ISO/IEC 14496-12, section 8.16.5).
const NTP_TIMESTAMP: std::ops::Range<usize> = 8..16;

/// A frame as it travels: `[prft] moof mdat` of one track, made once and shared by all viewers. FFmpeg and the relay write one
/// access unit per fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// All its bytes, unchanged except for the time in `prft`.
    pub bytes: WebSocketFrame,
    /// The contents of the boxes before `mdat`.
    pub head: FragmentHead,
    /// The ranges of the access units in `bytes`, in decode order. Empty if they are invalid or unknown.
    samples: Arc<[Range<usize>]>,
}

impl Fragment {
    /// The fragment with these bytes, which contain this head.
    pub fn new(bytes: &[u8], head: FragmentHead) -> Self {
        let samples = Samples::find(bytes).map_or_else(Arc::default, |samples| samples.access_units().collect());
        Self { bytes: WebSocketFrame::from(bytes), head, samples }
    }

    /// Parses the head of the fragment in `bytes`. Replaces FFmpeg's time in `prft` by the result of `captured`; `None` removes
    /// the `prft`.
    ///
    /// # Errors
    /// `bytes` do not start with a valid `[prft] moof`.
    pub fn parse(
        mut bytes: BytesMut,
        captured: impl FnOnce(&FragmentHead) -> Option<NtpTime>,
    ) -> Result<Self, FragmentError> {
        let mut head = FragmentHead::read(&bytes)?;
        let first = boxes::children(&bytes, 0..bytes.len()).next();
        head.capture = None;
        if let Some(prft) = first.filter(|first| first.kind == PRFT) {
            head.capture = captured(&head);
            match head.capture {
                Some(NtpTime(time)) => bytes[prft.body][NTP_TIMESTAMP].copy_from_slice(&time.to_be_bytes()),
                None => drop(bytes.split_to(prft.whole.end)),
            }
        }
        Ok(Self::new(&bytes, head))
    }

    /// The access units, in decode order.
    pub fn access_units(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.samples.iter().map(|range| &self.bytes[range.clone()])
    }

    /// A copy of the fragment, moved on its timeline by `ticks`. `None` where it would begin before the timeline, or its decode
    /// time does not fit its field.
    pub fn moved(&self, ticks: i64) -> Option<Self> {
        let decode_time = self.head.decode_time.checked_add_signed(ticks)?;
        let mut bytes = self.bytes.to_vec();
        let retiming = Retiming { decode_time, duration: None, composition_shift: 0 };
        MediaTimes::find(&bytes)?.retime(&mut bytes, retiming)?;
        Some(Self::new(&bytes, FragmentHead { decode_time, ..self.head }))
    }

    /// The fragment with parameter sets that declare frames to be in order. Parameter sets that cannot be amended stay
    /// unchanged.
    pub fn set_no_reorder(self, layout: Layout) -> Self {
        match samples::set_no_reorder(&self.bytes, &self.samples, layout) {
            Some(bytes) => Self::new(&bytes, self.head),
            None => self,
        }
    }
}

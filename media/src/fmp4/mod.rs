//! Fragmented MP4 (ISO/IEC 14496-12), sans-IO: bytes in, init segments and fragments out. Reads no clock and no socket.
//!
//! [`demuxer::Demuxer`] demultiplexes FFmpeg's output into [`init::InitSegment`]s and [`Fragment`]s, each in one allocation
//! that all viewers share. [`capture`] estimates capture times, and [`media_times`] moves a fragment to the timeline of one
//! viewer. [`decoder_config::DecoderConfig`] finds the NAL units of an init segment, and [`samples::Samples`] those of a
//! fragment. Both can write a copy with amended parameter sets. [`writer`] writes init segments and fragments for access units
//! without a container.

pub mod boxes;
pub mod capture;
pub mod decoder_config;
pub mod demuxer;
pub mod init;
pub mod media_times;
mod sample_entry;
pub mod samples;
pub mod websocket_frame;
pub mod writer;

use bytes::BytesMut;
use mp4_atom::FourCC;
use sightline_protocol::fragment::{FragmentError, FragmentHead, NtpTime};

use websocket_frame::WebSocketFrame;

const PRFT: FourCC = FourCC::new(b"prft");
/// Position of the time in a `prft` box's body, after version, flags and track (ISO/IEC 14496-12, section 8.16.5).
const NTP_TIMESTAMP: std::ops::Range<usize> = 8..16;

/// `[prft] moof mdat` of one track, unchanged except for the time in `prft`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// All its bytes.
    pub bytes: WebSocketFrame,
    /// The contents of the boxes before `mdat`.
    pub head: FragmentHead,
}

impl Fragment {
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
        Ok(Self { bytes: WebSocketFrame::from(&bytes[..]), head })
    }
}

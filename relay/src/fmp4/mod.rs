//! Fragmented MP4 (ISO/IEC 14496-12), sans-IO: bytes in, init segments and fragments out. Nothing here reads a clock
//! or a socket.
//!
//! [`splitter::Splitter`] cuts FFmpeg's output into [`init::InitSegment`]s and [`Fragment`]s, each in one allocation that
//! every viewer shares; [`capture`] tells when a fragment's frame was captured. [`decoder_config::DecoderConfig`] finds
//! the NAL units in an init segment and [`samples::Samples`] those in a fragment; both write a copy with other parameter
//! sets. [`writer`] writes both around access units that came without a container.

pub mod boxes;
pub mod capture;
pub mod decoder_config;
pub mod framed;
pub mod init;
pub mod samples;
pub mod splitter;
pub mod writer;

use bytes::BytesMut;
use mp4_atom::FourCC;
use sightline_protocol::fragment::{FragmentError, FragmentHead, NtpTime};

use framed::Framed;

const PRFT: FourCC = FourCC::new(b"prft");
/// Where the time stands in a `prft` box's body: after version, flags and track (ISO/IEC 14496-12, section 8.16.5).
const NTP_TIMESTAMP: std::ops::Range<usize> = 8..16;

/// `[prft] moof mdat` of one track; as it came, but for the time in `prft`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// All its bytes.
    pub bytes: Framed,
    /// What the boxes before `mdat` say.
    pub head: FragmentHead,
}

impl Fragment {
    /// Reads the head of the fragment in `bytes` and puts the time there that `captured` makes of it, in place of the one
    /// that FFmpeg wrote; none leaves the fragment without a time.
    ///
    /// # Errors
    /// Where `bytes` do not begin with a readable `[prft] moof`.
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
        Ok(Self { bytes: Framed::from(&bytes[..]), head })
    }
}

//! Fragmented MP4 (ISO/IEC 14496-12), sans-IO: bytes in, init segments and fragments out. Nothing here reads a clock
//! or a socket.
//!
//! [`splitter::Splitter`] cuts FFmpeg's output into [`init::InitSegment`]s and [`Fragment`]s; both keep the bytes as
//! they came, in one allocation that every viewer shares.

pub mod boxes;
pub mod init;
pub mod splitter;

use bytes::Bytes;
use sightline_protocol::fragment::{FragmentError, FragmentHead};

/// `[prft] moof mdat` of one track, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// All its bytes.
    pub bytes: Bytes,
    /// What the boxes before `mdat` say.
    pub head: FragmentHead,
}

impl Fragment {
    /// Reads the head of the fragment in `bytes`.
    ///
    /// # Errors
    /// Where `bytes` do not begin with a readable `[prft] moof`.
    pub fn parse(bytes: Bytes) -> Result<Self, FragmentError> {
        let head = FragmentHead::read(&bytes)?;
        Ok(Self { bytes, head })
    }
}

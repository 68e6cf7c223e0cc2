//! Parses the head of a fragment.
//!
//! A fragment is `[prft] moof mdat` of one track (ISO/IEC 14496-12, sections 8.16.5, 8.8.4 and 8.1.1). Its head, all before
//! `mdat`, has some 150 bytes. The client parses only these and passes the rest to the browser unchanged.

use mp4_atom::{Atom, DecodeMaybe, FourCC, Header, Prft, Tfdt, Tfhd, Trun};

const PRFT: FourCC = FourCC::new(b"prft");
const MOOF: FourCC = FourCC::new(b"moof");
const MDAT: FourCC = FourCC::new(b"mdat");
const TRAF: FourCC = FourCC::new(b"traf");

/// An upper bound of a one-frame fragment's head, to copy from a message of unknown length.
pub const HEAD_LEN_MAX: usize = 512;

/// `sample_is_non_sync_sample` of the sample flags (ISO/IEC 14496-12, section 8.8.3.1).
const NON_SYNC_SAMPLE: u32 = 0x0001_0000;

/// The contents of the boxes before a fragment's `mdat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FragmentHead {
    /// `tfhd` track_ID.
    pub track_id: u32,
    /// `tfdt` baseMediaDecodeTime, in ticks of the track's timescale.
    pub decode_time: u64,
    /// The sum of the samples' durations, in ticks of the track's timescale.
    pub duration: u64,
    /// The number of samples (access units).
    pub samples: u32,
    /// Whether the first sample is a sync sample, at which decoding can start.
    pub keyframe: bool,
    /// The composition time offset of the first sample, in ticks. A nonzero value means that the encoder reorders.
    pub composition_offset: i64,
    /// The capture time, if the fragment has a `prft`.
    pub capture: Option<NtpTime>,
}

/// A time in the 64-bit NTP format (RFC 5905, section 6): seconds since 1900 in the upper half, the fraction in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// Seconds from 1900-01-01 to 1970-01-01.
    const UNIX_EPOCH: f64 = 2_208_988_800.0;

    /// Converts seconds since the Unix epoch.
    pub fn from_unix(seconds: f64) -> Self {
        Self(((seconds + Self::UNIX_EPOCH).max(0.0) * 4_294_967_296.0) as u64)
    }

    /// Milliseconds since the Unix epoch, as on the wire.
    pub fn unix_ms(self) -> f64 {
        let seconds = (self.0 >> 32) as f64 - Self::UNIX_EPOCH;
        let fraction = (self.0 & 0xffff_ffff) as f64 / 4_294_967_296.0;
        (seconds + fraction) * 1e3
    }
}

/// Why bytes are not the head of a fragment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// The bytes end before the `moof` does.
    #[error("the fragment's head is cut off after {0} bytes")]
    Truncated(usize),
    /// An unexpected box.
    #[error("box {0:?} where a fragment has prft, moof and mdat")]
    UnexpectedBox(FourCC),
    /// A required box is missing.
    #[error("the fragment has no {0} box")]
    Missing(&'static str),
    /// More than one track; each SourceBuffer takes one.
    #[error("the fragment holds more than one track")]
    ManyTracks,
    /// A box contradicts its size or its standard.
    #[error("the fragment's {0:?} box cannot be read: {1}")]
    Malformed(FourCC, String),
}

impl FragmentHead {
    /// Parses the boxes from `prft` or `moof` to the start of `mdat`, and nothing after it.
    ///
    /// # Errors
    /// See [`FragmentError`].
    pub fn read(bytes: &[u8]) -> Result<Self, FragmentError> {
        let mut rest = bytes;
        let mut capture = None;
        loop {
            match next_box(&mut rest, bytes.len())? {
                (PRFT, body) => capture = Some(NtpTime(body_of::<Prft>(body)?.ntp_timestamp)),
                (MOOF, body) => return Ok(Self { capture, ..read_moof(body)? }),
                (MDAT, _) => return Err(FragmentError::Missing("moof")),
                (other, _) => return Err(FragmentError::UnexpectedBox(other)),
            }
        }
    }
}

fn read_moof(mut body: &[u8]) -> Result<FragmentHead, FragmentError> {
    let len = body.len();
    let mut head = None;
    while !body.is_empty() {
        if let (TRAF, traf) = next_box(&mut body, len)?
            && head.replace(read_traf(traf)?).is_some()
        {
            return Err(FragmentError::ManyTracks);
        }
    }
    head.ok_or(FragmentError::Missing("traf"))
}

fn read_traf(mut body: &[u8]) -> Result<FragmentHead, FragmentError> {
    let len = body.len();
    let (mut tfhd, mut tfdt, mut runs) = (None, None, Vec::new());
    while !body.is_empty() {
        match next_box(&mut body, len)? {
            (Tfhd::KIND, inner) => tfhd = Some(body_of::<Tfhd>(inner)?),
            (Tfdt::KIND, inner) => tfdt = Some(body_of::<Tfdt>(inner)?),
            (Trun::KIND, inner) => runs.push(body_of::<Trun>(inner)?),
            _ => {}
        }
    }
    let tfhd = tfhd.ok_or(FragmentError::Missing("tfhd"))?;
    let tfdt = tfdt.ok_or(FragmentError::Missing("tfdt"))?;
    let samples = || runs.iter().flat_map(|run| run.samples.iter());
    let first = samples().next().ok_or(FragmentError::Missing("trun"))?;
    let flags = first.flags.or(tfhd.default_sample_flags).unwrap_or(NON_SYNC_SAMPLE);
    let duration = |explicit: Option<u32>| u64::from(explicit.or(tfhd.default_sample_duration).unwrap_or(0));
    // Untrusted bytes may contain a huge count without per-sample fields, so this multiplies and does not iterate.
    let total = runs.iter().fold(0u64, |sum, run| {
        sum.saturating_add(match &run.samples {
            mp4_atom::TrunSamples::Inherited { count, .. } => duration(None).saturating_mul(u64::from(*count)),
            mp4_atom::TrunSamples::Explicit(entries) => entries.iter().map(|entry| duration(entry.duration)).sum(),
        })
    });
    Ok(FragmentHead {
        track_id: tfhd.track_id,
        decode_time: tfdt.base_media_decode_time,
        duration: total,
        samples: runs.iter().map(|run| run.samples.len() as u32).fold(0, u32::saturating_add),
        keyframe: flags & NON_SYNC_SAMPLE == 0,
        composition_offset: first.cts.unwrap_or(0),
        capture: None,
    })
}

/// Removes one box from `rest`. Only `mdat` may exceed the end, because its contents are not parsed here.
fn next_box<'a>(rest: &mut &'a [u8], total: usize) -> Result<(FourCC, &'a [u8]), FragmentError> {
    let truncated = || FragmentError::Truncated(total);
    let header = Header::decode_maybe(rest)
        .map_err(|e| FragmentError::Malformed(FourCC::new(b"????"), e.to_string()))?
        .ok_or_else(truncated)?;
    let size = header.size.unwrap_or(rest.len());
    if header.kind == MDAT {
        return Ok((MDAT, &[]));
    }
    let (body, after) = rest.split_at_checked(size).ok_or_else(truncated)?;
    *rest = after;
    Ok((header.kind, body))
}

fn body_of<T: Atom>(mut body: &[u8]) -> Result<T, FragmentError> {
    T::decode_body(&mut body).map_err(|e| FragmentError::Malformed(T::KIND, e.to_string()))
}

#[cfg(test)]
mod tests;

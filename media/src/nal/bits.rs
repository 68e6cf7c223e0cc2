//! Reads and writes the bits of a NAL unit: fixed-length and Exp-Golomb codes (Rec. ITU-T H.264, sections 7.2 and 9.1; the same
//! in H.265), and emulation prevention (H.264, section 7.4.1; H.265, section 7.4.2).

use std::ops::Range;

/// Why a NAL unit cannot be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// The unit ends too early.
    #[error("the unit is truncated")]
    Truncated,
    /// The standard does not allow a value.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// Data follows the expected end.
    #[error("the unit has trailing data")]
    Trailing,
}

/// Reads an RBSP: the bytes of a NAL unit without emulation prevention.
#[derive(Debug, Clone)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    /// Number of bits read.
    at: usize,
}

impl<'a> BitReader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The number of bits read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// `u(1)`.
    ///
    /// # Errors
    /// The data is too short.
    pub fn flag(&mut self) -> Result<bool, SyntaxError> {
        let byte = self.bytes.get(self.at / 8).ok_or(SyntaxError::Truncated)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Ok(bit == 1)
    }

    /// `u(count)`, for a `count` of at most 32.
    ///
    /// # Errors
    /// The data is too short.
    pub fn bits(&mut self, count: u32) -> Result<u32, SyntaxError> {
        (0..count).try_fold(0, |value, _| Ok(value << 1 | u32::from(self.flag()?)))
    }

    /// Skips `count` bits.
    ///
    /// # Errors
    /// The data is too short.
    pub fn skip(&mut self, count: usize) -> Result<(), SyntaxError> {
        self.at = self.at.checked_add(count).filter(|&at| at <= self.bytes.len() * 8).ok_or(SyntaxError::Truncated)?;
        Ok(())
    }

    /// `ue(v)`.
    ///
    /// # Errors
    /// The data is too short, or the value exceeds 2^32 - 2, the maximum of the standards.
    pub fn ue(&mut self) -> Result<u32, SyntaxError> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros == 32 {
                return Err(SyntaxError::OutOfRange("Exp-Golomb code"));
            }
        }
        Ok(((1u64 << zeros) - 1) as u32 + self.bits(zeros)?)
    }

    /// `ue(v)` of at most `max`; `name` is for the error.
    ///
    /// # Errors
    /// The data is too short, or the value is larger.
    pub fn ue_up_to(&mut self, max: u32, name: &'static str) -> Result<u32, SyntaxError> {
        let value = self.ue()?;
        if value <= max { Ok(value) } else { Err(SyntaxError::OutOfRange(name)) }
    }

    /// `se(v)`.
    ///
    /// # Errors
    /// As for [`Self::ue`].
    pub fn se(&mut self) -> Result<i64, SyntaxError> {
        let code = i64::from(self.ue()?);
        Ok(if code % 2 == 1 { code / 2 + 1 } else { -(code / 2) })
    }

    /// Checks that only `rbsp_trailing_bits()` (H.264, section 7.3.2.11) and zeros follow.
    ///
    /// # Errors
    /// Other data follows.
    pub fn finish(mut self) -> Result<(), SyntaxError> {
        if !self.flag()? {
            return Err(SyntaxError::Trailing);
        }
        while self.at < self.bytes.len() * 8 {
            if self.flag()? {
                return Err(SyntaxError::Trailing);
            }
        }
        Ok(())
    }

    /// The number of bits before `rbsp_trailing_bits()`. `None` without a stop bit.
    pub fn payload_len(&self) -> Option<usize> {
        let last = self.bytes.iter().rposition(|&byte| byte != 0)?;
        Some(last * 8 + 7 - self.bytes[last].trailing_zeros() as usize)
    }
}

/// Writes an RBSP.
#[derive(Debug, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    /// Number of bits written.
    len: usize,
}

impl BitWriter {
    /// `u(1)`.
    pub fn flag(&mut self, bit: bool) {
        if self.len.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut().filter(|_| bit) {
            *last |= 0x80 >> (self.len % 8);
        }
        self.len += 1;
    }

    /// `ue(v)`.
    pub fn ue(&mut self, value: u32) {
        let code = u64::from(value) + 1;
        let len = 64 - code.leading_zeros();
        (1..len).for_each(|_| self.flag(false));
        (0..len).rev().for_each(|bit| self.flag(code >> bit & 1 == 1));
    }

    /// Copies a range of bits of `from`.
    ///
    /// # Errors
    /// `from` ends before the range does.
    pub fn copy(&mut self, from: &[u8], range: Range<usize>) -> Result<(), SyntaxError> {
        let mut reader = BitReader { bytes: from, at: range.start };
        range.into_iter().try_for_each(|_| {
            self.flag(reader.flag()?);
            Ok(())
        })
    }

    /// Appends `rbsp_trailing_bits()` and returns the bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.flag(true);
        self.bytes
    }
}

/// Inserted after two zeros before a byte that would otherwise complete a start code.
const EMULATION_PREVENTION: u8 = 3;

/// The RBSP of a NAL unit's bytes.
pub fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for &byte in bytes {
        if zeros >= 2 && byte == EMULATION_PREVENTION {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// The NAL unit of `header` and `rbsp`.
pub fn escape(header: &[u8], rbsp: &[u8]) -> Vec<u8> {
    let mut out = header.to_vec();
    let mut zeros = 0;
    for &byte in rbsp {
        if zeros == 2 && byte <= EMULATION_PREVENTION {
            out.push(EMULATION_PREVENTION);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn exp_golomb_codes_match_the_standard() {
        // H.264, table 9-2: 1, 010, 011, 00100, 00101; then 0001000 is 7.
        let bytes = [0b1010_0110, 0b0100_0010, 0b1000_1000];
        let mut reader = BitReader::new(&bytes);
        assert_eq!([(); 6].map(|()| reader.ue().unwrap()), [0, 1, 2, 3, 4, 7]);
        assert_eq!(reader.ue(), Err(SyntaxError::Truncated));
        // Table 9-3: the codes 0 to 4 are 0, 1, -1, 2, -2.
        let mut reader = BitReader::new(&bytes);
        assert_eq!([(); 5].map(|()| reader.se().unwrap()), [0, 1, -1, 2, -2]);
    }

    #[test]
    fn emulation_prevention_matches_the_standard() {
        // H.264, section 7.4.1: 00 00 00, 00 00 01, 00 00 02 and 00 00 03 must not appear.
        for last in 0..=3 {
            assert_eq!(escape(&[0x67], &[0, 0, last, 9]), [0x67, 0, 0, 3, last, 9]);
        }
        assert_eq!(escape(&[], &[0, 0, 4]), [0, 0, 4]);
        assert_eq!(escape(&[], &[0, 0, 0, 0, 0, 1]), [0, 0, 3, 0, 0, 3, 0, 1]);
        assert_eq!(unescape(&[0, 0, 3, 0, 0, 3, 1]), [0, 0, 0, 0, 1]);
    }

    proptest! {
        #[test]
        fn escaped_rbsp_round_trips_without_start_codes(
            rbsp in proptest::collection::vec(prop_oneof![3 => 0u8..=4, 1 => any::<u8>()], 0..60),
        ) {
            let escaped = escape(&[], &rbsp);
            prop_assert_eq!(unescape(&escaped), rbsp);
            prop_assert!(!escaped.windows(3).any(|three| three[..2] == [0, 0] && three[2] < 3), "{:?}", escaped);
        }

        #[test]
        fn written_bits_round_trip(values in proptest::collection::vec(0..u32::MAX, 0..20), flag: bool) {
            let mut writer = BitWriter::default();
            writer.flag(flag);
            values.iter().for_each(|&value| writer.ue(value));
            let len = writer.len;
            let bytes = writer.finish();
            let mut reader = BitReader::new(&bytes);
            prop_assert_eq!(reader.flag(), Ok(flag));
            for value in values {
                prop_assert_eq!(reader.ue(), Ok(value));
            }
            prop_assert_eq!((reader.position(), reader.payload_len()), (len, Some(len)));
            prop_assert_eq!(reader.finish(), Ok(()));
            let mut copy = BitWriter::default();
            prop_assert_eq!(copy.copy(&bytes, 0..len), Ok(()));
            prop_assert_eq!(copy.finish(), bytes);
        }
    }
}

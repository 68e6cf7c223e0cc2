//! Writes packets of G.711 A-law as a WAV file, for a decoder that knows no times: silence fills the gaps.

/// Samples per second, one byte each.
const RATE: u32 = 8000;
/// `WAVE_FORMAT_ALAW`.
const ALAW: u16 = 6;
const CHANNELS: u16 = 1;
const BITS: u16 = 8;
/// A sample without sound.
const SILENCE: u8 = 0xd5;

/// A file with `packets`, each at its time in samples since the first one.
pub fn write<'a>(packets: impl IntoIterator<Item = (u64, &'a [u8])>) -> Vec<u8> {
    let mut samples = Vec::new();
    for (time, packet) in packets {
        samples.resize(samples.len().max(time as usize), SILENCE);
        samples.extend_from_slice(packet);
    }
    let format = [
        &ALAW.to_le_bytes()[..],
        &CHANNELS.to_le_bytes(),
        &RATE.to_le_bytes(),
        &RATE.to_le_bytes(),
        &1u16.to_le_bytes(),
        &BITS.to_le_bytes(),
    ]
    .concat();
    let body = [&b"WAVE"[..], &chunk(*b"fmt ", &format), &chunk(*b"data", &samples)].concat();
    chunk(*b"RIFF", &body)
}

fn chunk(kind: [u8; 4], body: &[u8]) -> Vec<u8> {
    [&kind[..], &(body.len() as u32).to_le_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gap_between_packets_is_silent() {
        let file = write([(0, &[1, 2][..]), (4, &[3])]);
        assert!(file.ends_with(&[b"data\x05\0\0\0".as_slice(), &[1, 2, SILENCE, SILENCE, 3]].concat()), "{file:?}");
        assert_eq!(file.len(), 8 + 4 + 8 + 16 + 8 + 5);
    }
}

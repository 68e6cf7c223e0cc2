//! Finds the beginnings of the camera's beeps (`fixtures/live_sources.py`) in decoded or recorded sound.

/// The detection threshold. A beep has half of full scale.
const LOUD: u16 = 4000;
/// The minimum silence before a beep, in seconds. A beep itself contains none.
const SILENCE: f64 = 0.25;

/// Beep times in seconds from the first sample. The sound is 16 bit, little-endian, mono, at `rate` samples per second.
pub fn begin(sound: &[u8], rate: usize) -> impl Iterator<Item = f64> {
    let silence = (SILENCE * rate as f64) as usize;
    let samples = sound.chunks_exact(2).map(|sample| i16::from_le_bytes([sample[0], sample[1]]).unsigned_abs());
    let begins = samples.scan(0, move |quiet, sample| {
        let before = *quiet;
        *quiet = if sample < LOUD { before + 1 } else { 0 };
        Some(sample >= LOUD && before > silence)
    });
    begins.enumerate().filter(|&(_, begins)| begins).map(move |(at, _)| at as f64 / rate as f64)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_beep_begins_after_silence_and_only_then() {
        let rate = 1000;
        let mut sound = vec![0i16; 300];
        sound.extend([9000, 0, -9000, 0].repeat(25));
        sound.extend([20; 200]);
        sound.extend([9000; 100]);
        sound.extend([0; 260]);
        sound.extend([-9000; 10]);
        let bytes: Vec<u8> = sound.iter().flat_map(|sample: &i16| sample.to_le_bytes()).collect();
        assert_eq!(super::begin(&bytes, rate).collect::<Vec<_>>(), [0.3, 0.96]);
    }
}

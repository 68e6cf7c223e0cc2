//! Decodes G.726 (ADPCM of 16 to 40 kbit/s at 8000 samples a second), as some cameras send sound. Containers that FFmpeg writes do
//! not hold it.
//!
//! Input are packed codes, the first one in the lowest bits (RFC 3551, section 4.5.4); output are samples. Names and numbers of the
//! blocks are those of Rec. ITU-T G.726, section 4.2. A decoder keeps its state from packet to packet, and needs nothing else.

/// How the four bit rates differ: tables by code (G.726, tables 7 to 13), of which the second half mirrors the first one.
#[derive(Debug)]
struct Rate {
    bits: u32,
    /// Logarithm of the quantized difference.
    dqln: &'static [i32],
    /// Scale factor multiplier.
    wi: &'static [i32],
    /// Speed of adaptation.
    fi: &'static [i32],
}

const RATES: [Rate; 4] = [
    Rate { bits: 2, dqln: &[116, 365], wi: &[-704, 14_048], fi: &[0, 0xe00] },
    Rate { bits: 3, dqln: &[-2048, 135, 273, 373], wi: &[-128, 960, 4384, 18_624], fi: &[0, 0x200, 0x400, 0xe00] },
    Rate {
        bits: 4,
        dqln: &[-2048, 4, 135, 213, 273, 323, 373, 425],
        wi: &[-384, 576, 1312, 2048, 3584, 6336, 11_360, 35_904],
        fi: &[0, 0, 0, 0x200, 0x200, 0x200, 0x600, 0xe00],
    },
    Rate {
        bits: 5,
        dqln: &[-2048, -66, 28, 104, 169, 224, 274, 318, 358, 395, 429, 459, 488, 514, 539, 566],
        wi: &[448, 448, 768, 1248, 1280, 1312, 1856, 3200, 4512, 5728, 7008, 8960, 11_456, 14_080, 16_928, 22_272],
        fi: &[0, 0, 0, 0, 0, 0x200, 0x200, 0x200, 0x200, 0x200, 0x400, 0x600, 0x800, 0xa00, 0xc00, 0xc00],
    },
];

/// See the [module](self).
#[derive(Debug)]
pub struct Decoder {
    rate: &'static Rate,
    /// Scale factors, fast and slow.
    yu: i32,
    yl: i32,
    /// Averages of the speed of adaptation, short and long, and its control.
    dms: i32,
    dml: i32,
    ap: i32,
    /// Coefficients of the predictor: poles and zeros.
    a: [i32; 2],
    b: [i32; 6],
    /// Signs of the last partial reconstructions.
    pk: [bool; 2],
    /// The last quantized differences and reconstructed signals.
    dq: [Float; 6],
    sr: [Float; 2],
    /// Whether a tone was detected.
    td: bool,
}

/// A number in the floating point form of the predictor (blocks FLOATA and FLOATB).
#[derive(Debug, Clone, Copy)]
struct Float {
    negative: bool,
    exponent: i32,
    mantissa: i32,
}

impl Float {
    const ZERO: Self = Self { negative: false, exponent: 0, mantissa: 32 };

    fn new(negative: bool, magnitude: i32) -> Self {
        let exponent = bit_length(magnitude);
        let mantissa = if magnitude == 0 { 32 } else { (magnitude << 6) >> exponent };
        Self { negative, exponent, mantissa }
    }

    /// The product with a coefficient (block FMULT).
    fn times(self, coefficient: i32) -> i32 {
        let magnitude = if coefficient > 0 { coefficient } else { -coefficient & 0x1fff };
        let exponent = bit_length(magnitude) - 6;
        let mantissa = match magnitude {
            0 => 32,
            _ if exponent >= 0 => magnitude >> exponent,
            _ => magnitude << -exponent,
        };
        let exponent = exponent + self.exponent - 13;
        let mantissa = (mantissa * self.mantissa + 0x30) >> 4;
        let product = if exponent >= 0 { (mantissa << exponent) & 0x7fff } else { mantissa >> -exponent };
        if (coefficient < 0) == self.negative { product } else { -product }
    }
}

impl Decoder {
    /// For codes of this many bits: 2 to 5.
    pub fn new(bits: u32) -> Option<Self> {
        let rate = RATES.iter().find(|rate| rate.bits == bits)?;
        Some(Self {
            rate,
            yu: 544,
            yl: 34_816,
            dms: 0,
            dml: 0,
            ap: 0,
            a: [0; 2],
            b: [0; 6],
            pk: [false; 2],
            dq: [Float::ZERO; 6],
            sr: [Float::ZERO; 2],
            td: false,
        })
    }

    /// The samples of a packet.
    pub fn decode(&mut self, packet: &[u8]) -> Vec<i16> {
        let bits = self.rate.bits;
        let mut samples = Vec::with_capacity(packet.len() * 8 / bits as usize);
        let (mut pending, mut count) = (0u32, 0);
        for &byte in packet {
            pending |= u32::from(byte) << count;
            count += 8;
            while count >= bits {
                samples.push(self.sample((pending & ((1 << bits) - 1)) as usize));
                pending >>= bits;
                count -= bits;
            }
        }
        samples
    }

    fn sample(&mut self, code: usize) -> i16 {
        let half = 1 << (self.rate.bits - 1);
        let negative = code >= half;
        let at = if negative { 2 * half - 1 - code } else { code };
        let (dqln, wi, fi) = (self.rate.dqln[at], self.rate.wi[at], self.rate.fi[at]);
        let zeros: i32 = self.b.iter().zip(&self.dq).map(|(b, dq)| dq.times(b >> 2)).sum();
        let poles: i32 = self.a.iter().zip(&self.sr).map(|(a, sr)| sr.times(a >> 2)).sum();
        let (sez, se) = (zeros >> 1, (zeros + poles) >> 1);
        let y = self.scale();
        let magnitude = difference(dqln, y);
        let sr = if negative { se - magnitude } else { se + magnitude };
        self.adapt(y, (wi, fi), (negative, magnitude), (sr, sr - se + sez));
        (sr << 2).clamp(i16::MIN.into(), i16::MAX.into()) as i16
    }

    /// The scale factor (block MIX).
    fn scale(&self) -> i32 {
        if self.ap >= 256 {
            return self.yu;
        }
        let (slow, al) = (self.yl >> 6, self.ap >> 2);
        let product = (self.yu - slow) * al;
        slow + if product < 0 { (product + 0x3f) >> 6 } else { product >> 6 }
    }

    /// Adapts scale factor, predictor and speed to a difference, the signal that it gives, and that without the poles.
    fn adapt(&mut self, y: i32, (wi, fi): (i32, i32), (negative, magnitude): (bool, i32), (sr, dqsez): (i32, i32)) {
        let is_transition = self.td && magnitude > self.transition_threshold();
        self.yu = (y + ((wi - y) >> 5)).clamp(544, 5120);
        self.yl += self.yu + ((-self.yl) >> 6);
        let pk = dqsez < 0;
        if is_transition {
            (self.a, self.b) = ([0; 2], [0; 6]);
        } else {
            self.adapt_poles(pk, dqsez != 0);
            self.adapt_zeros(negative, magnitude);
        }
        self.dq.rotate_right(1);
        self.dq[0] = Float::new(negative, magnitude);
        self.sr = [Float::new(sr < 0, sr.abs().min(0x7fff)), self.sr[0]];
        self.pk = [pk, self.pk[0]];
        self.td = !is_transition && self.a[1] < -11_776;
        self.dms += (fi - self.dms) >> 5;
        self.dml += ((fi << 2) - self.dml) >> 7;
        let is_fast = y < 1536 || self.td || ((self.dms << 2) - self.dml).abs() >= self.dml >> 3;
        self.ap = match (is_transition, is_fast) {
            (true, _) => 256,
            (_, true) => self.ap + ((0x200 - self.ap) >> 4),
            _ => self.ap + ((-self.ap) >> 4),
        };
    }

    /// Block TRANS.
    fn transition_threshold(&self) -> i32 {
        let (whole, fraction) = (self.yl >> 15, self.yl >> 10 & 0x1f);
        let threshold = if whole > 9 { 31 << 10 } else { (32 + fraction) << whole };
        (threshold + (threshold >> 1)) >> 1
    }

    /// Blocks UPA1, UPA2, LIMC and LIMD.
    fn adapt_poles(&mut self, pk: bool, has_signal: bool) {
        let [a1, a2] = self.a;
        let differs = pk != self.pk[0];
        let mut second = a2 - (a2 >> 7);
        if has_signal {
            let first = if differs { a1 } else { -a1 };
            second += match first {
                ..-8191 => -0x100,
                8192.. => 0xff,
                _ => first >> 5,
            };
            second = (second + if pk == self.pk[1] { 0x80 } else { -0x80 }).clamp(-12_288, 12_288);
        }
        let step = if !has_signal {
            0
        } else if differs {
            -192
        } else {
            192
        };
        let limit = 15_360 - second;
        self.a = [(a1 - (a1 >> 8) + step).clamp(-limit, limit), second];
    }

    /// Blocks UPB and XOR.
    fn adapt_zeros(&mut self, negative: bool, magnitude: i32) {
        let leak = if self.rate.bits == 5 { 9 } else { 8 };
        for (b, dq) in self.b.iter_mut().zip(&self.dq) {
            let step = if negative == dq.negative { 128 } else { -128 };
            *b = *b - (*b >> leak) + if magnitude == 0 { 0 } else { step };
        }
    }
}

/// The magnitude of a difference (blocks ADDA and ANTILOG).
fn difference(dqln: i32, y: i32) -> i32 {
    let dql = dqln + (y >> 2);
    if dql < 0 { 0 } else { ((128 + (dql & 127)) << 7) >> (14 - (dql >> 7 & 15)).max(0) }
}

fn bit_length(magnitude: i32) -> i32 {
    (32 - magnitude.leading_zeros() as i32).min(15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A tone that swells; the last of its 80 samples, as FFmpeg 5.1 encodes and decodes them.
    #[test]
    fn tone_is_decoded_as_ffmpeg_does() {
        let tones: [(u32, &str, [i16; 8]); 4] = [
            (2, "54a5ea15ec3e05ec0e01eb4fc4bb43c0fa13f12e", [8404, 6796, 1524, -3168, -8128, -8376, -9952, -3524]),
            (
                3,
                "dfb69524ad4979db3a9a72b7f5b5e86f6b4b4beeb68eb4fc6d7d69c9ddf6",
                [8224, 5868, 1696, -2984, -6832, -8812, -8652, -4732],
            ),
            (
                4,
                "6f77578aa8eb6445e39bca2d5435c1aada4f5524beaaec5345f3acc91d5444d2aacb3e5525deaadb",
                [8752, 6076, 1176, -3288, -7212, -9264, -8740, -5212],
            ),
            (
                5,
                "1fbdf7948530de7ed642a6e36aef26482123b2b557ff9312221cdb8b7b4909959fadbd5b9c94ced8d7deec4b4aa87c6cefdd",
                [8448, 5820, 1592, -3556, -7740, -9128, -8552, -5132],
            ),
        ];
        for (bits, codes, samples) in tones {
            let codes: Vec<u8> =
                (0..codes.len()).step_by(2).map(|at| u8::from_str_radix(&codes[at..at + 2], 16).unwrap()).collect();
            let decoded = Decoder::new(bits).unwrap().decode(&codes);
            assert_eq!(decoded.len(), 80, "{bits} bits");
            // FFmpeg's predictor of five bits forgets as fast as the others, other than the Recommendation's.
            let tolerance = if bits == 5 { 400 } else { 0 };
            let near = decoded[72..].iter().zip(samples).all(|(ours, theirs)| ours.abs_diff(theirs) <= tolerance);
            assert!(near, "{bits} bits: {:?}, not {samples:?}", &decoded[72..]);
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_samples(bits in 2u32..=5, packets in prop::collection::vec(any::<u8>(), 0..400)) {
            // Five bytes hold whole codes of each size.
            let whole = Decoder::new(bits).unwrap().decode(&packets);
            let mut decoder = Decoder::new(bits).unwrap();
            let parts: Vec<i16> = packets.chunks(15).flat_map(|part| decoder.decode(part)).collect();
            prop_assert_eq!(&whole[..parts.len()], &parts[..]);
            prop_assert!(whole.len() - parts.len() <= 1);
        }
    }
}

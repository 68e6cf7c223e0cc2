//! Fragments of audio without sound, for a track after its source has stopped sending. A player of video and audio stops at the
//! end of either.

use mp4_atom::{Codec, Decode, Moov};

use super::init::InitSegment;
use super::writer::{AccessUnit, audio_fragment};
use super::{Fragment, boxes};

/// The audio object type of AAC-LC (ISO/IEC 14496-3, table 1.17).
const AAC_LC: u8 = 2;
/// Samples of an AAC frame.
const AAC_SAMPLES: u32 = 1024;
/// Samples per second by `samplingFrequencyIndex` (ISO/IEC 14496-3, table 1.18).
const AAC_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
/// A frame of one channel (ISO/IEC 14496-3, section 4.4.2): a single channel element without spectral data, and the end. All
/// fields but the last three bits are zero: one long window, and no scale factor band.
const AAC_MONO: &[u8] = &[0x00, 0x00, 0x00, 0x07];
/// A frame of two channels: a channel pair element with a common window, without spectral data, and the end.
const AAC_STEREO: &[u8] = &[0x21, 0x00, 0x00, 0x00, 0x00, 0x1c];
/// A packet of 20 ms (RFC 6716, section 3.1): CELT at full bandwidth, mono, one frame. The decoder takes mono for any number of
/// channels.
const OPUS: &[u8] = &[0xf8, 0xff, 0xfe];
/// Samples of that packet, at 48 kHz, the only rate of Opus in MP4.
const OPUS_SAMPLES: u32 = 960;

/// Makes the fragments of one track. See the [module](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    frame: &'static [u8],
    /// Ticks of a frame.
    duration: u32,
}

impl Silence {
    /// Silence for the track of `init`. `None` if its codec is neither AAC-LC of one or two channels nor Opus.
    pub fn of(init: &InitSegment) -> Option<Self> {
        let at = boxes::find(&init.bytes, 0..init.bytes.len(), &[b"moov"])?;
        let moov = Moov::decode(&mut &init.bytes[at.whole]).ok()?;
        let silence = match moov.trak.first()?.mdia.minf.stbl.stsd.codecs.first()? {
            Codec::Mp4a(entry) => {
                let config = entry.esds.es_desc.dec_config.dec_specific.as_ref()?;
                let frame = match (config.profile, config.chan_conf) {
                    (AAC_LC, 1) => AAC_MONO,
                    (AAC_LC, 2) => AAC_STEREO,
                    _ => return None,
                };
                // The timescale may be another one: that of a decoder with SBR is twice the rate.
                let rate = AAC_RATES.get(usize::from(config.freq_index))?;
                Some(Self { frame, duration: AAC_SAMPLES.checked_mul(init.timescale)? / rate })
            }
            Codec::Opus(_) => Some(Self { frame: OPUS, duration: OPUS_SAMPLES }),
            _ => None,
        };
        silence.filter(|silence| silence.duration > 0)
    }

    /// Ticks of a fragment.
    pub fn duration(&self) -> u64 {
        self.duration.into()
    }

    /// The fragment at `decode_time`.
    pub fn fragment(&self, decode_time: u64) -> Option<Fragment> {
        let unit = AccessUnit { bytes: self.frame, decode_time, duration: self.duration, keyframe: true };
        // Players ignore the sequence number.
        audio_fragment(0, unit).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{Bytes, BytesMut};
    use sightline_protocol::message::TrackKind;

    const AAC: &[u8] = include_bytes!("init/fixtures/audio.init.mp4");
    const OPUS_INIT: &[u8] = include_bytes!("init/fixtures/opus.init.mp4");
    const VIDEO: &[u8] = include_bytes!("init/fixtures/h264.init.mp4");

    fn init(bytes: &'static [u8], kind: TrackKind) -> InitSegment {
        InitSegment::parse(Bytes::from_static(bytes), kind, 1).unwrap()
    }

    #[test]
    fn silence_is_a_fragment_of_the_audio_track() {
        for (bytes, duration) in [(AAC, 1024), (OPUS_INIT, 960)] {
            let silence = Silence::of(&init(bytes, TrackKind::Audio)).expect("a known codec");
            let fragment = silence.fragment(4711).unwrap();
            let read = Fragment::parse(BytesMut::from(&fragment.bytes[..]), |_| None).unwrap();
            assert_eq!(read, fragment);
            assert_eq!((read.head.track_id, read.head.decode_time, read.head.duration), (2, 4711, duration));
            assert!(read.head.keyframe && read.head.samples == 1);
            assert_eq!(silence.duration(), duration);
            assert_eq!(read.access_units().collect::<Vec<_>>(), [silence.frame]);
        }
    }

    #[test]
    fn video_has_no_silence() {
        assert_eq!(Silence::of(&init(VIDEO, TrackKind::Video)), None);
    }
}

//! Command lines of audio: out of the FFmpeg that reads the source, and into the forms that browsers play.

use sightline_media::nut::{SourceAudio, SourceCodec};
use sightline_protocol::codec::AudioCodec;

use super::{extend, global};
use crate::hub::rendition::AudioForm;

/// The source's first audio track, if it has any, in whatever codec it is, on the pipe that stands in for FFmpeg's
/// standard input ([`crate::ingest::audio`]). NUT takes any codec and holds nothing back.
///
/// FFmpeg refuses an output without a track, so this one has another that is always there. It is an attachment, for which no
/// muxer waits, of one byte of a file that every system has. A muxer that waits for a track of pictures or sound would hold each
/// packet until the next.
pub(super) const COPY: &[&str] = &[
    "-map",
    "0:a:0?",
    "-vn",
    "-c:a",
    "copy",
    "-attach",
    "subfile,,start,0,end,1,,:/bin/sh",
    "-metadata:s:t",
    "mimetype=text/plain",
    "-tag:t",
    "0x20202020",
    "-f",
    "nut",
    "-write_index",
    "0",
    "-output_ts_offset",
    super::TIMELINE_START,
    "-flush_packets",
    "1",
    "pipe:0",
];

/// The bit rate of encoded audio: speech and the sounds of a yard are clear, and music is bearable.
const BIT_RATE: &str = "64k";
/// The sample rate of encoded audio. An AAC frame is 1024 samples: 21 ms at this rate. At the 8 kHz of most telephone codecs,
/// each sound would wait 128 ms for its frame to be full. Opus in RTP has this clock (RFC 7587, section 4.1).
const SAMPLE_RATE: &str = "48000";
/// The audio object type of AAC-LC (ISO/IEC 14496-3, table 1.17).
const AAC_LC: u8 = 2;
/// More channels than browsers have loudspeakers for. Opus in RTP has no more (RFC 7587, section 4.1).
const CHANNELS_MAX: u32 = 2;
/// Opus without the 4 ms that the choice between speech and music takes. A packet holds 20 ms, as browsers send it: shorter ones
/// save little delay and cost a header each.
const OPUS: [&str; 6] = ["-c:a", "libopus", "-application", "lowdelay", "-frame_duration", "20"];

/// What a viewer's protocol takes of the source's audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioOutput {
    /// The form.
    pub form: AudioForm,
    /// Whether codecs that could be copied are encoded.
    pub encode: bool,
}

/// One frame a fragment, as [`super::OUTPUT`]. `delay_moov` delays the `moov` box until the first frame, which alone has the
/// decoder's configuration of AAC in ADTS (recordings and broadcasts). The track's number is that of `TrackKind::track_id`.
const OUTPUT: &[&str] = &[
    "-f",
    "mp4",
    "-movflags",
    "+frag_every_frame+delay_moov+default_base_moof+frag_discont",
    "-use_editlist",
    "0",
    "-avoid_negative_ts",
    "disabled",
    "-use_stream_ids_as_track_ids",
    "1",
    "-streamid",
    "0:2",
    "-flush_packets",
    "1",
    "pipe:1",
];

/// The codec that [`convert`] will most likely make of the source's `audio`, as it is: the object type of AAC that is copied is known only
/// once it has run.
pub fn converted(audio: &SourceAudio, encode: bool) -> AudioCodec {
    match audio.codec {
        SourceCodec::Opus if !encode => AudioCodec::Opus,
        _ => AudioCodec::Aac { object_type: AAC_LC },
    }
}

/// The arguments that turn the source's `audio`, in NUT on standard input, into fragments of this form. Copied are AAC and Opus,
/// or Opus alone, unless all is to be encoded.
pub fn convert(audio: &SourceAudio, output: AudioOutput) -> Vec<String> {
    let mut args = global();
    // The headers tell all, so there is nothing to probe; times stay as they are.
    extend(&mut args, ["-probesize", "32", "-analyzeduration", "0", "-copyts", "-f", "nut", "-i", "pipe:0"]);
    extend(&mut args, ["-map", "0:a:0", "-map_metadata", "-1"]);
    let is_surround = audio.channels > CHANNELS_MAX;
    match (&audio.codec, output.form) {
        // Does nothing where there is no ADTS.
        (SourceCodec::Aac, AudioForm::AsIs) if !output.encode => {
            extend(&mut args, ["-c:a", "copy", "-bsf:a", "aac_adtstoasc"]);
        }
        (SourceCodec::Opus, AudioForm::AsIs) if !output.encode => extend(&mut args, ["-c:a", "copy"]),
        (SourceCodec::Opus, AudioForm::Opus) if !output.encode && !is_surround => extend(&mut args, ["-c:a", "copy"]),
        (_, form) => {
            match form {
                AudioForm::AsIs => extend(&mut args, ["-c:a", "aac"]),
                AudioForm::Opus => extend(&mut args, OPUS),
            }
            extend(&mut args, ["-b:a", BIT_RATE, "-ar", SAMPLE_RATE]);
            if is_surround {
                extend(&mut args, ["-ac", &CHANNELS_MAX.to_string()]);
            }
        }
    }
    extend(&mut args, OUTPUT);
    args
}

use super::*;
use proptest::prelude::*;

// Output of FFmpeg 5.1 with the options of `ingest::ffmpeg`, for a sine and for a source without audio.
const ALAW: &[u8] = include_bytes!("fixtures/alaw.nut");
const AAC: &[u8] = include_bytes!("fixtures/aac.nut");
const OPUS: &[u8] = include_bytes!("fixtures/opus.nut");
const NONE: &[u8] = include_bytes!("fixtures/none.nut");

/// The output for `bytes` divided at `cuts`: the audio format, the headers, the media, and the offsets of syncpoints in it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Out {
    audio: Vec<Option<SourceAudio>>,
    head: Vec<u8>,
    media: Vec<u8>,
    syncs: Vec<usize>,
}

fn split_at(bytes: &[u8], cuts: &[usize]) -> Result<Out, NutError> {
    let mut demuxer = NutDemuxer::default();
    let mut out = Out::default();
    let mut start = 0;
    for &cut in cuts.iter().chain([&bytes.len()]) {
        demuxer.buffer().extend_from_slice(&bytes[start..cut]);
        start = cut;
        while let Some(chunk) = demuxer.next_chunk()? {
            match chunk {
                NutChunk::Audio(audio) => out.audio.push(audio),
                NutChunk::Head(bytes) => out.head.extend(&bytes),
                NutChunk::Media { bytes, sync } => {
                    assert!(!bytes.is_empty());
                    out.syncs.extend(sync.then_some(out.media.len()));
                    out.media.extend(&bytes);
                }
            }
        }
    }
    Ok(out)
}

fn audio(codec: SourceCodec, sample_rate: u32) -> Vec<Option<SourceAudio>> {
    vec![Some(SourceAudio { codec, sample_rate, channels: 1 })]
}

#[test]
fn headers_yield_the_audio_format() {
    let audio_returned = |bytes| split_at(bytes, &[]).unwrap().audio;
    assert_eq!(audio_returned(AAC), audio(SourceCodec::Aac, 48_000));
    assert_eq!(audio_returned(OPUS), audio(SourceCodec::Opus, 48_000));
    assert_eq!(audio_returned(ALAW), audio(SourceCodec::Other("G.711 A-law".into()), 8_000));
    assert_eq!(audio_returned(NONE), vec![None]);
}

#[test]
fn every_byte_leaves_the_demuxer() {
    for file in [AAC, OPUS, ALAW] {
        let out = split_at(file, &[]).unwrap();
        assert_eq!([&out.head[..], &out.media].concat(), file);
        assert!(out.media.starts_with(&SYNCPOINT), "the headers end where reading can begin");
        assert_eq!(out.syncs, [0]);
    }
}

#[test]
fn invalid_file_is_refused() {
    let refused = |bytes: &[u8]| split_at(bytes, &[]).unwrap_err();
    assert_eq!(refused(b"ftyp"), NutError::Unexpected(0));
    assert_eq!(refused(&[FILE_ID, b"\0\0"].concat()), NutError::Unexpected(FILE_ID.len()));
    let endless = [FILE_ID, &MAIN, &[0x80; 12]].concat();
    assert_eq!(refused(&endless), NutError::Unexpected(FILE_ID.len()));
    let long = [FILE_ID, &MAIN, &[0xff, 0xff, 0x7f], &[0; HEAD_MAX]].concat();
    assert_eq!(refused(&long), NutError::TooLong);
}

proptest! {
    #[test]
    fn any_split_of_the_input_gives_the_same_chunks(
        mut cuts in proptest::collection::vec(0usize..4000, 0..40), frames in proptest::collection::vec(0usize..300, 0..4),
    ) {
        let mut bytes = ALAW.to_vec();
        for length in frames {
            bytes.extend(SYNCPOINT);
            bytes.resize(bytes.len() + length, b'N');
        }
        cuts.iter_mut().for_each(|cut| *cut = (*cut).min(bytes.len()));
        cuts.sort_unstable();
        let mut cut = split_at(&bytes, &cuts).unwrap();
        let mut whole = split_at(&bytes, &[]).unwrap();
        // The possible start of a syncpoint at the very end stays in the buffer.
        cut.media.truncate(bytes.len() - 8 - cut.head.len());
        whole.media.truncate(bytes.len() - 8 - whole.head.len());
        prop_assert_eq!(cut, whole);
    }

    #[test]
    fn damaged_file_never_panics(at in 0usize..400, value: u8, cut in 0usize..500) {
        let mut bytes = AAC.to_vec();
        bytes[at] = value;
        let _ = split_at(&bytes[..cut], &[]);
        let _ = split_at(&bytes, &[cut]);
    }
}

//! Makes an MP4 file of received media: one init segment with all tracks, then the fragments in order of arrival. Only their
//! decode times change: they start with the file.
//!
//! The relay writes the boxes (ISO/IEC 14496-12): complete, and with 32-bit sizes.

use std::ops::Range;

/// Returns all bytes of a fragment before `mdat`, its decode time reduced by `ticks`.
///
/// None if the bytes are not a fragment.
pub fn head(bytes: &[u8], ticks: u64) -> Option<Vec<u8>> {
    let moof = boxes(bytes, 0..bytes.len()).find(|found| found.kind == *b"moof")?;
    let mut head = bytes.get(..moof.body.end)?.to_vec();
    let traf = boxes(&head, moof.body).find(|found| found.kind == *b"traf")?;
    let tfdt = boxes(&head, traf.body).find(|found| found.kind == *b"tfdt")?.body;
    // `baseMediaDecodeTime` follows version and flags (section 8.8.12), and has 64 bits in version 1.
    let time = tfdt.start + 4;
    if head.get(tfdt.start) == Some(&1) {
        let field = head.get_mut(time..time + 8)?;
        let value = u64::from_be_bytes(field.try_into().ok()?);
        field.copy_from_slice(&value.saturating_sub(ticks).to_be_bytes());
    } else {
        let field = head.get_mut(time..time + 4)?;
        let value = u64::from(u32::from_be_bytes(field.try_into().ok()?));
        field.copy_from_slice(&(value.saturating_sub(ticks) as u32).to_be_bytes());
    }
    Some(head)
}

/// Returns an init segment with the tracks of both.
///
/// None if either is not an init segment.
pub fn merge(video: &[u8], audio: &[u8]) -> Option<Vec<u8>> {
    let moov = |bytes| boxes(bytes, 0..bytes.len()).find(|found| found.kind == *b"moov");
    let (of_video, of_audio) = (moov(video)?, moov(audio)?);
    let inner =
        |bytes, within: &Range<usize>, kind: &[u8; 4]| boxes(bytes, within.clone()).find(|found| found.kind == *kind);
    let trak = inner(audio, &of_audio.body, b"trak")?;
    let extends = inner(audio, &of_audio.body, b"mvex")?;
    let trex = inner(audio, &extends.body, b"trex")?;

    let (mut body, mut defaults) = (Vec::new(), Vec::new());
    for found in boxes(video, of_video.body.clone()) {
        if found.kind == *b"mvex" {
            defaults = boxed(*b"mvex", &[&video[found.body], &audio[trex.whole.clone()]].concat());
        } else {
            body.extend_from_slice(&video[found.whole]);
        }
    }
    // Video is the first track, wherever its init segment has `mvex`.
    body.extend_from_slice(&audio[trak.whole]);
    body.extend(defaults);
    Some([&video[..of_video.whole.start], &boxed(*b"moov", &body), &video[of_video.whole.end..]].concat())
}

/// A box: its type, and where it and its contents are.
pub(super) struct Found {
    pub(super) kind: [u8; 4],
    pub(super) whole: Range<usize>,
    pub(super) body: Range<usize>,
}

/// Iterates over the boxes in this range. The last may extend beyond the bytes, as the `mdat` of a head does.
pub(super) fn boxes(bytes: &[u8], within: Range<usize>) -> impl Iterator<Item = Found> {
    let mut at = within.start;
    std::iter::from_fn(move || {
        let header: [u8; 8] = bytes.get(at..at + 8).filter(|_| at + 8 <= within.end)?.try_into().ok()?;
        let [size @ .., a, b, c, d] = header;
        let size = u32::from_be_bytes(size) as usize;
        let whole = at..at.checked_add(size).filter(|_| size >= 8)?;
        at = whole.end;
        Some(Found { kind: [a, b, c, d], body: whole.start + 8..whole.end, whole })
    })
}

fn boxed(kind: [u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes(), &kind[..], body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sightline_protocol::fragment::FragmentHead;

    /// A recording of the relay: an init segment, then fragments.
    const RECORDING: &[u8] = include_bytes!("../../tests/browser/fixtures/h264.mp4");

    fn top_level(kind: &[u8; 4]) -> Found {
        boxes(RECORDING, 0..RECORDING.len()).find(|found| found.kind == *kind).unwrap()
    }

    fn init() -> &'static [u8] {
        &RECORDING[..top_level(b"moov").whole.end]
    }

    /// The first fragment, from `moof` on.
    fn fragment() -> &'static [u8] {
        &RECORDING[top_level(b"moof").whole.start..]
    }

    #[test]
    fn only_the_decode_time_of_a_fragment_changes() {
        let before = FragmentHead::read(fragment()).unwrap();
        let set_back = |bytes: &[u8], ticks| FragmentHead::read(&head(bytes, ticks).unwrap()).unwrap();
        assert_eq!(set_back(fragment(), 0), before);
        let mut later = fragment().to_vec();
        let tfdt = later.windows(4).position(|four| four == b"tfdt").unwrap();
        let (version, end) = (later[tfdt + 4], tfdt + 8 + if later[tfdt + 4] == 1 { 8 } else { 4 });
        later[end - 4..end].copy_from_slice(&90_000u32.to_be_bytes());
        assert!(version <= 1);
        assert_eq!(set_back(&later, 30_000).decode_time, 60_000);
        assert_eq!(set_back(&later, 100_000).decode_time, 0);
        let length = later.len();
        let body = head(&later, 1).unwrap().len();
        assert!(body < length && later[body + 4..body + 8] == *b"mdat");
    }

    #[test]
    fn non_fragment_is_refused() {
        assert_eq!(head(init(), 0), None);
        assert_eq!(head(b"", 0), None);
        for end in 0..head(fragment(), 0).unwrap().len() {
            assert_eq!(head(&fragment()[..end], 0), None, "{end}");
        }
    }

    #[test]
    fn two_tracks_are_merged_into_one_file() {
        let both = merge(init(), init()).unwrap();
        let moov = boxes(&both, 0..both.len()).find(|found| found.kind == *b"moov").unwrap();
        assert_eq!(moov.whole.end, both.len());
        let count =
            |within: &Range<usize>, kind| boxes(&both, within.clone()).filter(|found| found.kind == kind).count();
        assert_eq!(count(&moov.body, *b"trak"), 2);
        let mvex = boxes(&both, moov.body.clone()).find(|found| found.kind == *b"mvex").unwrap();
        assert_eq!(count(&mvex.body, *b"trex"), 2);
        assert_eq!(merge(init(), fragment()), None);
    }

    #[test]
    fn video_is_the_first_track() {
        let moov = top_level(b"moov");
        let part = |kind: &[u8; 4]| {
            let found = boxes(RECORDING, moov.body.clone()).find(|found| found.kind == *kind).unwrap();
            &RECORDING[found.whole]
        };
        // The height in `tkhd`, the last field of its `trak`'s first box, marks the video.
        let [mvhd, mvex, trak] = [part(b"mvhd"), part(b"mvex"), part(b"trak")];
        let mut other = trak.to_vec();
        let tkhd = boxes(trak, 8..trak.len()).find(|found| found.kind == *b"tkhd").unwrap();
        other[tkhd.whole.end - 1] ^= 1;
        let video = boxed(*b"moov", &[mvhd, mvex, trak].concat());
        let audio = boxed(*b"moov", &[mvhd, &other[..], mvex].concat());
        let both = merge(&video, &audio).unwrap();
        let moov = boxes(&both, 0..both.len()).find(|found| found.kind == *b"moov").unwrap();
        let tracks: Vec<_> = boxes(&both, moov.body).filter(|found| found.kind == *b"trak").collect();
        assert_eq!(tracks.into_iter().map(|found| &both[found.whole]).collect::<Vec<_>>(), [trak, &other[..]]);
    }
}

//! Finds what a WebCodecs decoder takes in the relay's media: the decoder configuration record of an init segment, and the
//! sample of a fragment.
//!
//! The relay writes the boxes (ISO/IEC 14496-12): complete, and with 32-bit sizes.

use std::ops::Range;

use super::recording::boxes;

/// The bytes of `stsd` before its entries: version, flags and the number of entries (section 8.5.2).
const STSD_HEADER: usize = 8;
/// The bytes of a visual sample entry before its boxes (section 12.1.3).
const VISUAL_ENTRY: usize = 78;

/// The contents of the `avcC` or `hvcC` box of an init segment (ISO/IEC 14496-15, sections 5.3.3 and 8.3.3).
///
/// None if the bytes are not the init segment of an H.264 or H.265 track.
pub fn description(init: &[u8]) -> Option<&[u8]> {
    let inner = |within: Range<usize>, kind: &[u8; 4]| {
        boxes(init, within).find(|found| found.kind == *kind).map(|found| found.body)
    };
    let mut within = 0..init.len();
    for kind in [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"] {
        within = inner(within, kind)?;
    }
    let entry = boxes(init, within.start + STSD_HEADER..within.end).next()?.body;
    let boxes_of_entry = entry.start + VISUAL_ENTRY..entry.end;
    init.get(inner(boxes_of_entry.clone(), b"avcC").or_else(|| inner(boxes_of_entry, b"hvcC"))?)
}

/// The offset of the sample in a fragment of one frame, of which `head` is the start: the contents of `mdat`.
pub fn offset(head: &[u8]) -> Option<usize> {
    boxes(head, 0..head.len()).find(|found| found.kind == *b"mdat").map(|found| found.body.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDING: &[u8] = include_bytes!("../../tests/browser/fixtures/h264.mp4");

    fn end_of(kind: &[u8; 4]) -> usize {
        boxes(RECORDING, 0..RECORDING.len()).find(|found| found.kind == *kind).unwrap().whole.end
    }

    #[test]
    fn description_is_the_configuration_record() {
        let avcc = description(&RECORDING[..end_of(b"moov")]).unwrap();
        // configurationVersion, then the profile, constraints and level of the fixture's codec string.
        assert_eq!(avcc[..4], [1, 0x42, 0xc0, 0x0b]);
        let hvc1 = RECORDING[..end_of(b"moov")].to_vec();
        let at = hvc1.windows(4).position(|four| four == b"avcC").unwrap();
        let renamed = [&hvc1[..at], b"hvcC", &hvc1[at + 4..]].concat();
        assert_eq!(description(&renamed), Some(avcc));
    }

    #[test]
    fn incomplete_init_segments_have_no_description() {
        let whole = end_of(b"moov");
        let record = RECORDING.windows(4).position(|four| four == b"avcC").unwrap();
        assert!((0..record).all(|end| description(&RECORDING[..end]).is_none()));
        assert_eq!(description(&RECORDING[whole..]), None);
    }

    #[test]
    fn sample_begins_after_the_header_of_mdat() {
        let fragment = &RECORDING[end_of(b"moov")..];
        let mdat = fragment.windows(4).position(|four| four == b"mdat").unwrap();
        assert_eq!(offset(&fragment[..mdat + 8]), Some(mdat + 4));
        assert_eq!(offset(&fragment[..mdat]), None);
    }
}

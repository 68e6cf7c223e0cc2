//! Finds the sample entry in an init segment (ISO/IEC 14496-12, section 8.5.2).

use super::boxes::{self, BoxAt};

/// The path from `moov` to the box of the sample entries.
pub(super) const STSD: [&[u8; 4]; 6] = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"];
/// Version, flags and entry count of `stsd`, before its first entry (ISO/IEC 14496-12, section 8.5.2).
const STSD_HEADER: usize = 8;
/// Length of the fixed fields of a visual sample entry, before its boxes (ISO/IEC 14496-12, section 12.1.3).
pub(super) const VISUAL_FIELDS: usize = 78;

/// The first sample entry.
pub(super) fn find(init: &[u8]) -> Option<BoxAt> {
    find_enclosed(init)?.pop()
}

/// The first sample entry, after its enclosing boxes, the outermost first.
pub(super) fn find_enclosed(init: &[u8]) -> Option<Vec<BoxAt>> {
    let mut chain = boxes::chain(init, 0..init.len(), &STSD)?;
    let entries = chain.last()?.body.clone();
    chain.push(boxes::children(init, entries.start + STSD_HEADER..entries.end).next()?);
    Some(chain)
}

/// The type of the first sample entry, for error messages.
pub(super) fn name(init: &[u8]) -> String {
    find(init).map_or_else(|| "of an unknown kind".to_owned(), |entry| format!("{:?}", entry.kind))
}

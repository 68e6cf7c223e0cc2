//! Finds and resizes boxes (ISO/IEC 14496-12, section 4.2): size, type, body.

use std::ops::Range;

use mp4_atom::{DecodeMaybe, FourCC, Header};

/// The position of a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoxAt {
    /// Its type.
    pub kind: FourCC,
    /// Header and body.
    pub whole: Range<usize>,
    /// The body alone.
    pub body: Range<usize>,
}

/// The adjacent boxes in `bytes[within]`. Stops at the first that does not fit.
pub fn children(bytes: &[u8], within: Range<usize>) -> impl Iterator<Item = BoxAt> {
    let mut at = within.start;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..within.end)?;
        let mut peek = rest;
        let header = Header::decode_maybe(&mut peek).ok()??;
        let body = at + rest.len() - peek.len();
        let end = body.checked_add(header.size.unwrap_or(peek.len())).filter(|&end| end <= within.end)?;
        let found = BoxAt { kind: header.kind, whole: at..end, body: body..end };
        at = end;
        Some(found)
    })
}

/// Follows `path` down from `within` and returns the first box at its end. Each box on the path must contain boxes only.
pub fn find(bytes: &[u8], within: Range<usize>, path: &[&[u8; 4]]) -> Option<BoxAt> {
    chain(bytes, within, path)?.pop()
}

/// As [`find`], with every box on the path, the outermost first.
pub fn chain(bytes: &[u8], mut within: Range<usize>, path: &[&[u8; 4]]) -> Option<Vec<BoxAt>> {
    path.iter()
        .map(|kind| {
            let found = children(bytes, within.clone()).find(|child| child.kind == FourCC::new(kind))?;
            within = found.body.clone();
            Some(found)
        })
        .collect()
}

/// Replaces `range`, which lies in every box of `enclosing`, by `new` and adjusts the sizes of these boxes. `None`, without a
/// change, if a size does not fit its field.
pub fn replace(bytes: &mut Vec<u8>, enclosing: &[BoxAt], range: Range<usize>, new: &[u8]) -> Option<()> {
    let sizes: Vec<_> = enclosing
        .iter()
        .map(|found| {
            let at = found.whole.start;
            let old = u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?);
            // Section 4.2.2: size 1 means a 64-bit size after the type, 0 means up to the end.
            (old > 1).then_some(())?;
            let size = (old as usize + new.len()).checked_sub(range.len())?;
            Some((at, u32::try_from(size).ok()?))
        })
        .collect::<Option<_>>()?;
    for (at, size) in sizes {
        bytes[at..at + 4].copy_from_slice(&size.to_be_bytes());
    }
    bytes.splice(range, new.iter().copied());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn find_follows_the_path() {
        let bytes = b"\0\0\0\x08free\0\0\0\x14moov\0\0\0\x0cmehdabcd";
        let found = find(bytes, 0..bytes.len(), &[b"moov", b"mehd"]).unwrap();
        assert_eq!((found.whole, found.body), (16..28, 24..28));
        assert_eq!(find(bytes, 0..bytes.len(), &[b"moov", b"trak"]), None);
    }

    #[test]
    fn replace_adjusts_enclosing_sizes() {
        let mut bytes = b"\0\0\0\x14moov\0\0\0\x0cmehdabcd\0\0\0\x08free".to_vec();
        let path = chain(&bytes, 0..bytes.len(), &[b"moov", b"mehd"]).unwrap();
        replace(&mut bytes, &path, 17..19, b"BBCC").unwrap();
        assert_eq!(bytes, b"\0\0\0\x16moov\0\0\0\x0emehdaBBCCd\0\0\0\x08free");
        replace(&mut bytes, &path, 16..22, b"").unwrap();
        assert_eq!(bytes, b"\0\0\0\x10moov\0\0\0\x08mehd\0\0\0\x08free");
    }

    #[test]
    fn truncated_box_ends_the_search() {
        let bytes = b"\0\0\0\x08free\0\0\0\xffmoov";
        assert_eq!(children(bytes, 0..bytes.len()).count(), 1);
        let too_small = b"\0\0\0\x07free\0";
        assert_eq!(children(too_small, 0..too_small.len()).count(), 0);
    }
}

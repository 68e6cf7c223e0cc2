//! Which of its camera's frames a viewer received. Readers pass slices on unchanged, and no two frames of a video are the same.

use std::collections::HashMap;

use sightline_tests::scripted_camera::annex_b::is_slice;
use sightline_tests::scripted_camera::media::Media;
use tokio_tungstenite::tungstenite::Bytes;

/// Asserts that `fragments` are frames of `media`, whole, each followed by the next. The video is sent in a loop.
pub(super) fn assert_complete<'a>(what: &str, media: Media, fragments: impl Iterator<Item = &'a Bytes>) {
    let units = media.access_units();
    let numbers: HashMap<Vec<u8>, usize> =
        units.iter().enumerate().map(|(number, units)| (slices(units.iter().map(Vec::as_slice)), number)).collect();
    assert_eq!(numbers.len(), units.len(), "each frame of {media:?} is another one");
    let mut last: Option<usize> = None;
    for (at, fragment) in fragments.enumerate() {
        let number = numbers.get(&slices(length_prefixed(media_data(fragment))));
        let &number =
            number.unwrap_or_else(|| panic!("{what}: frame {at} is not as the camera sent it, after {last:?}"));
        if let Some(last) = last {
            assert_eq!(number, (last + 1) % units.len(), "{what}: a frame was lost before frame {at}");
        }
        last = Some(number);
    }
}

/// The slices of an access unit.
fn slices<'a>(units: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    units.filter(|unit| !unit.is_empty() && is_slice(unit)).flatten().copied().collect()
}

/// The contents of a fragment's `mdat` (ISO/IEC 14496-12, section 8.1.1).
fn media_data(fragment: &[u8]) -> &[u8] {
    let mut rest = fragment;
    while let Some((size, after)) = rest.split_first_chunk() {
        let size = u32::from_be_bytes(*size) as usize;
        if after.starts_with(b"mdat") {
            return &rest[8..size];
        }
        rest = &rest[size..];
    }
    panic!("a fragment without mdat");
}

/// The NAL units of an access unit in the form of ISO/IEC 14496-15, section 5.3.3.
fn length_prefixed(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, after) = bytes.split_first_chunk()?;
        let (unit, rest) = after.split_at(u32::from_be_bytes(*length) as usize);
        bytes = rest;
        Some(unit)
    })
}

//! The target `fmp4`: FFmpeg's output up to what is published of it.

use sightline_protocol::fragment::{FragmentHead, NtpTime};
use sightline_protocol::message::TrackKind;

use super::order::{Order, Publish};
use crate::fmp4::Fragment;
use crate::fmp4::init::InitSegment;
use crate::fmp4::samples::Samples;
use crate::fmp4::splitter::{SplitError, Splitter, Unit};
use crate::fuzz::piece;

/// See [`crate::fuzz`].
pub fn fmp4(data: &[u8]) {
    let (units, error) = split(data, data.len().max(1));
    assert_eq!((&units, &error), (&split(data, piece(data)).0, &split(data, piece(data)).1));
    let (mut amends, mut leaves) = (Order::new(true), Order::new(false));
    for unit in units {
        match unit {
            Unit::Init(bytes) => {
                let _ = InitSegment::parse(bytes.clone(), TrackKind::Audio, 1);
                let Ok(init) = InitSegment::parse(bytes, TrackKind::Video, 1) else { continue };
                for published in amends.init(init.clone()).iter().chain(&leaves.init(init)) {
                    can_be_read(published);
                }
            }
            Unit::Fragment(bytes) => {
                let Ok(fragment) = Fragment::parse(bytes, |head| Some(NtpTime(head.decode_time))) else { continue };
                for published in amends.fragment(fragment.clone()).iter().chain(&leaves.fragment(fragment)) {
                    can_be_read(published);
                }
            }
        }
    }
}

/// The units, up to the error if there is one.
fn split(data: &[u8], piece: usize) -> (Vec<Unit>, Option<SplitError>) {
    let mut splitter = Splitter::default();
    let mut units = Vec::new();
    for bytes in data.chunks(piece) {
        splitter.buffer().extend_from_slice(bytes);
        loop {
            match splitter.next_unit() {
                Ok(Some(unit)) => units.push(unit),
                Ok(None) => break,
                Err(error) => return (units, Some(error)),
            }
        }
    }
    (units, None)
}

/// Whether it was amended or not, a player finds in it what it is told of it.
fn can_be_read(published: &Publish) {
    match published {
        Publish::Epoch(init) => {
            let read = InitSegment::parse(init.bytes.clone(), TrackKind::Video, init.timeline);
            assert_eq!(read, Ok(InitSegment { order: Default::default(), ..init.clone() }));
        }
        Publish::Fragment(fragment) => {
            assert_eq!(FragmentHead::read(&fragment.bytes).as_ref(), Ok(&fragment.head));
            if let Some(samples) = Samples::find(&fragment.bytes) {
                samples.access_units().for_each(|unit| assert!(unit.end <= fragment.bytes.len()));
            }
        }
    }
}

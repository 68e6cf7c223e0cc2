//! The target `hls`: names and queries, asked of real media.

use std::sync::{Arc, LazyLock};

use bytes::{Bytes, BytesMut};
use sightline_protocol::message::TrackKind;

use super::name::Name;
use super::reload::Reload;
use super::window::{Numbers, Window};
use crate::fmp4::Fragment;
use crate::fmp4::init::InitSegment;
use crate::fmp4::splitter::{Splitter, Unit};

const INIT: &[u8] = include_bytes!("../../fmp4/init/fixtures/h264.init.mp4");
const GOP: &[u8] = include_bytes!("../../fmp4/samples/fixtures/h264_gop.mp4");
/// The number of the first segment: small, so that what is asked for is often there.
const FIRST: u64 = 5;

static WINDOW: LazyLock<Window> = LazyLock::new(|| {
    let init = InitSegment::parse(Bytes::from_static(INIT), TrackKind::Video, 1).expect("the fixture is one");
    let mut window = Window::new(1 << 20, Numbers { msn: FIRST, discontinuity: 0 });
    window.start_epoch(Arc::new(init));
    let mut splitter = Splitter::default();
    splitter.buffer().extend_from_slice(&GOP.repeat(40));
    while let Ok(Some(unit)) = splitter.next_unit() {
        if let Unit::Fragment(bytes) = unit {
            window.push(Fragment::parse(BytesMut::from(&bytes[..]), |_| None).expect("so is this"), 0.0);
        }
    }
    assert!(window.shape().is_some() && window.edge() > (FIRST, 0), "there is something to ask for");
    window
});

/// The first line is a name, the second a query.
pub fn hls(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (name, query) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(known) = name.parse::<Name>() {
        assert_eq!(known.to_string(), name);
        match known {
            Name::Playlist => {}
            Name::Init(id) => drop(WINDOW.map(id)),
            Name::Segment(msn) => drop(WINDOW.segment(msn)),
            Name::Part(msn, part) => drop(WINDOW.part(msn, part)),
        }
    }
    if let Ok(reload) = Reload::parse(query) {
        reload.decide(&WINDOW);
    }
}

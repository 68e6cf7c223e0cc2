//! The target `hls`: names and queries, requested from real media.

use std::sync::{Arc, LazyLock};

use bytes::{Bytes, BytesMut};
use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::demuxer::{Demuxer, Segment};
use sightline_media::fmp4::init::InitSegment;
use sightline_protocol::message::TrackKind;

use super::file_name::FileName;
use super::lead::Lead;
use super::reload::PlaylistReload;
use super::window::{SequenceNumbers, Window};

const INIT: &[u8] = include_bytes!("../../../../media/src/fmp4/init/fixtures/h264.init.mp4");
const GOP: &[u8] = include_bytes!("../../../../media/src/fmp4/samples/fixtures/h264_gop.mp4");
/// The number of the first segment, small so that requests often match.
const FIRST: u64 = 5;

static WINDOW: LazyLock<Window> = LazyLock::new(|| {
    let init = InitSegment::parse(Bytes::from_static(INIT), TrackKind::Video, 1).expect("the fixture is one");
    let mut window = Window::new(1 << 20, SequenceNumbers { msn: FIRST, discontinuity: 0 });
    window.start_epoch(Arc::new(init));
    let mut demuxer = Demuxer::default();
    demuxer.buffer().extend_from_slice(&GOP.repeat(40));
    while let Ok(Some(unit)) = demuxer.next_segment() {
        if let Segment::Fragment(bytes) = unit {
            window
                .push(Fragment::parse(BytesMut::from(&bytes[..]), |_| None).expect("so is this"), 0.0, |_| Lead::None);
        }
    }
    assert!(window.durations().is_some() && window.edge() > (FIRST, 0), "there is something to ask for");
    window
});

/// The first line is a name, the second a query.
pub fn hls(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (name, query) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(known) = name.parse::<FileName>() {
        assert_eq!(known.to_string(), name);
        match known {
            FileName::Playlist => {}
            FileName::Init(id) => drop(WINDOW.map(id)),
            FileName::Segment(msn) => drop(WINDOW.segment(msn)),
            FileName::Part(msn, part) => drop(WINDOW.part(msn, part)),
        }
    }
    if let Ok(reload) = PlaylistReload::parse(query) {
        reload.decide(&WINDOW);
    }
}

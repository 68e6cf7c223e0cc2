//! The target `rtp`: what a camera says of its video and the packets that it sends, up to what is published of it.

use std::num::NonZeroU32;
use std::time::Duration;

use retina::PacketContext;
use retina::codec::{CodecItem, Depacketizer, FrameFormat, ParametersRef};
use retina::rtp::PacketMeta;
use retina::testutil::DepacketizeBuf;
use sightline_media::fmp4::writer::TIMESCALE;
use sightline_protocol::fragment::FragmentHead;
use sightline_protocol::stream::Variant;

use super::{FramePublisher, has_several_parameter_sets};
use crate::hub::changes::Changes;
use crate::hub::rendition::{Purpose, Rendition, Subscription};
use crate::hub::ring::{RingLimits, Step};
use crate::ingest::frame_order::FrameOrder;
use crate::ingest::publisher::Publisher;

/// What a packet begins with: its bits, its step in time and its length.
const HEAD: usize = 4;

/// The first byte selects the codec (bit 0). Format parameters follow, up to the end of the line, then packets. Each has bits (0:
/// marker, 1: one was lost before it, 2: time goes back), ticks of 10 ms since the last packet, two bytes of length, the payload.
pub fn rtp(data: &[u8]) {
    let Some((codec, rest)) = data.split_first() else { return };
    let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    let (parameters, mut packets) = (String::from_utf8_lossy(&rest[..end]), rest.get(end + 1..).unwrap_or_default());
    has_several_parameter_sets(parameters.as_bytes());
    let encoding = if codec & 1 == 0 { "h264" } else { "h265" };
    let Ok(mut depacketizer) = Depacketizer::new("video", encoding, TIMESCALE, None, Some(&parameters)) else { return };
    depacketizer.set_frame_format(FrameFormat::MP4);
    let rendition =
        Rendition::new("cam".parse().expect("a name"), Variant::Copy, RingLimits::default(), Changes::default());
    let mut viewer = Viewer { subscription: rendition.subscribe(Purpose::Transcode), end: None, size: 0 };
    let mut order = FrameOrder::new(true);
    let mut publisher = Publisher {
        rendition: &rendition,
        silence: Duration::from_secs(10),
        order: &mut order,
        timeline: 1,
        audio_known: None,
        first: None,
        timescale: 1.0,
        init: bytes::Bytes::new(),
    };
    let mut frames = FramePublisher::new(None);
    let mut buffer = DepacketizeBuf::new(data.len() + HEAD);
    let (mut ticks, mut number) = (0i64, 0u16);
    while let Some((&[bits, step, high, low], rest)) = packets.split_first_chunk::<HEAD>() {
        let length = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
        let (payload, rest) = rest.split_at(length);
        packets = rest;
        ticks += i64::from(step) * 900 * if bits & 4 == 0 { 1 } else { -1 };
        let loss = u16::from(bits >> 1 & 1);
        number = number.wrapping_add(1 + loss);
        let rate = NonZeroU32::new(TIMESCALE).expect("it is not 0");
        let meta = PacketMeta {
            ctx: PacketContext::dummy(),
            stream_id: 0,
            timestamp: retina::Timestamp::new(ticks, rate, 0).expect("it is small"),
            sequence_number: number,
            ssrc: 1,
            mark: bits & 1 != 0,
            loss,
        };
        if buffer.push(&mut depacketizer, meta, payload).is_err() {
            return;
        }
        while let Some(item) = depacketizer.pull() {
            let Ok(CodecItem::VideoFrame(frame)) = item else { return };
            let Some(ParametersRef::Video(parameters)) = depacketizer.parameters() else { continue };
            if frames.publish(frame, parameters, &mut publisher).is_err() {
                return;
            }
            viewer.read();
        }
    }
}

/// Checks what is published.
struct Viewer {
    subscription: Subscription,
    /// Where the last fragment of the epoch ends.
    end: Option<u64>,
    /// Fragments of the epoch.
    size: usize,
}

impl Viewer {
    fn read(&mut self) {
        loop {
            match self.subscription.step() {
                Step::Pending => return,
                Step::Init(_) => (self.end, self.size) = (None, 0),
                Step::Overrun(_) => self.end = None,
                Step::Fragment(fragment) => {
                    let head = fragment.head;
                    assert_eq!(FragmentHead::read(&fragment.bytes).as_ref(), Ok(&head));
                    assert!(self.size > 0 || head.keyframe, "an epoch begins with a key frame");
                    assert!(self.end.is_none_or(|end| end == head.decode_time), "the timeline has no gap");
                    self.end = Some(head.decode_time + head.duration);
                    self.size += 1;
                }
            }
        }
    }
}

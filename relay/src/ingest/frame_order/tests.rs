use super::Reordering::{Absent, AbsentDeclared, Present};
use super::*;
use bytes::BytesMut;
use mp4_atom::{Codec, Decode, Encode, Mfhd, Moof, Moov, Tfdt, Tfhd, Traf, Trun, TrunEntry};
use proptest::prelude::*;
use sightline_media::fmp4::boxes;
use sightline_media::nal::{self, Layout};
use sightline_protocol::codec::Family;
use sightline_protocol::message::TrackKind;

const INIT: &[u8] = include_bytes!("../../../../media/src/fmp4/init/fixtures/h264.init.mp4");
/// The sequence parameter set of [`B_FRAMES`] without its VUI, as some cameras write it.
const SPS_WITHOUT_VUI: &[u8] = b"\x67\x64\x00\x0b\xac\xd9\x42\x04\x64";
/// See [`sightline_media::nal::reorder_detector`]'s tests. Picture order counts of x264's frames with B-frames: 0, 8, 4, 2, 6.
const B_FRAMES: &str = include_str!("../../../../media/src/nal/reorder_detector/fixtures/x264_b.hex");
const LAYOUT: Layout = Layout { family: Family::H264, length_size: 4 };

/// The NAL units of x264's stream with B-frames: parameter sets, then a slice for each of the first nine frames.
struct Material {
    sets: Vec<Vec<u8>>,
    slices: Vec<Vec<u8>>,
}

impl Material {
    fn read() -> Self {
        let bytes = |unit: &str| {
            let byte = |at: usize| u8::from_str_radix(&unit[at..at + 2], 16).unwrap();
            (0..unit.len()).step_by(2).map(byte).collect()
        };
        let mut units: Vec<Vec<u8>> = B_FRAMES.split_whitespace().take(11).map(bytes).collect();
        let slices = units.split_off(2);
        Self { sets: units, slices }
    }

    /// The same where the camera does not say that it reorders.
    fn silent() -> Self {
        let mut material = Self::read();
        material.sets[0] = SPS_WITHOUT_VUI.to_vec();
        material
    }

    fn init(&self) -> InitSegment {
        let moov_at = boxes::find(INIT, 0..INIT.len(), &[b"moov"]).unwrap();
        let mut moov = Moov::decode(&mut &INIT[moov_at.whole.clone()]).unwrap();
        let Codec::Avc1(entry) = &mut moov.trak[0].mdia.minf.stbl.stsd.codecs[0] else { panic!("the fixture is avc1") };
        entry.avcc.sequence_parameter_sets = vec![self.sets[0].clone()];
        entry.avcc.picture_parameter_sets = vec![self.sets[1].clone()];
        let mut out = INIT[..moov_at.whole.start].to_vec();
        moov.encode(&mut out).unwrap();
        InitSegment::parse(out.into(), TrackKind::Video, 1).unwrap()
    }

    /// A fragment with the frame of that number, the key frame with parameter sets in front; `time` tells it apart.
    fn fragment(&self, frame: usize, time: u64) -> Fragment {
        let sets = if frame == 0 { &self.sets[..] } else { &[] };
        let units = sets.iter().chain([&self.slices[frame]]);
        let media = units.flat_map(|unit| [&(unit.len() as u32).to_be_bytes()[..], unit].concat()).collect::<Vec<_>>();
        let flags = if frame == 0 { 0x0200_0000 } else { 0x0101_0000 };
        let entry = TrunEntry { size: Some(media.len() as u32), flags: Some(flags), ..TrunEntry::default() };
        let run = |data_offset| Trun { data_offset: Some(data_offset), samples: vec![entry].into() };
        let moof = |data_offset| Moof {
            mfhd: Mfhd::default(),
            traf: vec![Traf {
                tfhd: Tfhd { track_id: 1, default_base_is_moof: true, ..Tfhd::default() },
                tfdt: Some(Tfdt { base_media_decode_time: time }),
                trun: vec![run(data_offset)],
                ..Traf::default()
            }],
        };
        let encode = |moof: Moof| {
            let mut out = Vec::new();
            moof.encode(&mut out).unwrap();
            out
        };
        let moof = encode(moof(encode(moof(0)).len() as i32 + 8));
        let size = (media.len() as u32 + 8).to_be_bytes();
        let bytes = [&*moof, &size, b"mdat", &media].concat();
        Fragment::parse(BytesMut::from(&*bytes), |_| None).unwrap()
    }
}

/// Frames that are in order, of [`Material`], and ones of which the third is not.
const IN_ORDER: [usize; 3] = [0, 1, 5];
const REORDERED: [usize; 5] = [0, 1, 2, 3, 4];

/// Runs the source with these frames. A frame's time is its index among them.
fn run(order: &mut FrameOrder, material: &Material, frames: &[usize]) -> Vec<Publish> {
    let mut publish = order.push_init(material.init());
    for (time, &frame) in (0..).zip(frames) {
        publish.extend(order.push_fragment(material.fragment(frame, time)));
    }
    publish
}

/// The times of the published fragments, and the order at the start of an epoch.
fn times(publish: &[Publish]) -> Vec<Result<u64, Reordering>> {
    let time = |publish: &Publish| match publish {
        Publish::Epoch(init) => Err(init.reordering),
        Publish::Fragment(fragment) => Ok(fragment.head.decode_time),
    };
    publish.iter().map(time).collect()
}

/// The NAL units of the published unit.
fn units(publish: &Publish) -> Vec<Vec<u8>> {
    match publish {
        Publish::Epoch(init) => {
            let config = DecoderConfig::find(&init.bytes).unwrap();
            config.units(&init.bytes).map(<[u8]>::to_vec).collect()
        }
        Publish::Fragment(fragment) => {
            let access_unit = fragment.access_units().next().unwrap();
            LAYOUT.units(access_unit).map(|at| access_unit[at].to_vec()).collect()
        }
    }
}

/// What the parameter sets in it declare.
fn declared(publish: &[Publish]) -> Vec<DeclaredReordering> {
    publish.iter().flat_map(units).filter_map(|unit| nal::declared_reordering(Family::H264, &unit).unwrap()).collect()
}

#[test]
fn ended_epoch_keeps_no_frame_and_what_was_learned() {
    let mut order = FrameOrder::new(false);
    run(&mut order, &Material::silent(), &REORDERED);
    assert_eq!(order.epoch.as_ref().map(|epoch| epoch.gop.len()), Some(REORDERED.len()));
    order.end_epoch();
    assert!(order.epoch.is_none(), "an idle stream holds no GOP");
    let again = order.push_init(Material::silent().init());
    assert_eq!(times(&again), [Err(Present)], "nothing is held back to be examined");
}

#[test]
fn undeclared_stream_is_amended_from_its_first_frame() {
    let publish = run(&mut FrameOrder::new(true), &Material::silent(), &[IN_ORDER, IN_ORDER].concat());
    assert_eq!(times(&publish), [Err(AbsentDeclared), Ok(0), Ok(1), Ok(2), Ok(3), Ok(4), Ok(5)]);
    assert_eq!(declared(&publish), [DeclaredReordering::None; 3], "in front and in band");
}

#[test]
fn first_reordered_frame_restarts_the_epoch_with_its_gop() {
    let material = Material::silent();
    let publish = run(&mut FrameOrder::new(true), &material, &[&IN_ORDER[..], &REORDERED].concat());
    let first = [Err(AbsentDeclared), Ok(0), Ok(1), Ok(2), Ok(3), Ok(4)];
    let again = [Err(Present), Ok(3), Ok(4), Ok(5), Ok(6), Ok(7)];
    assert_eq!(times(&publish), [first, again].concat());
    assert_eq!(declared(&publish[6..]), [DeclaredReordering::Unspecified; 2]);
    let sent = |time: u64| Publish::Fragment(material.fragment(REORDERED[time as usize - 3], time));
    assert_eq!(publish[7..], [3, 4, 5, 6, 7].map(sent));
    assert!(matches!(&publish[6], Publish::Epoch(init) if init.bytes == material.init().bytes));
}

#[test]
fn declared_reordering_is_probed_before_publishing() {
    let publish = run(&mut FrameOrder::new(true), &Material::read(), &REORDERED);
    assert_eq!(times(&publish), [Err(Present), Ok(0), Ok(1), Ok(2), Ok(3), Ok(4)]);
    assert_eq!(declared(&publish), [DeclaredReordering::AtMost(2); 2]);
    assert_eq!(run(&mut FrameOrder::new(true), &Material::read(), &REORDERED[..2]), []);
}

#[test]
fn unused_declared_reordering_is_amended() {
    let frames = [IN_ORDER, IN_ORDER, IN_ORDER].concat();
    let mut order = FrameOrder::new(true);
    assert_eq!(run(&mut order, &Material::read(), &frames[..5]), []);
    let publish = run(&mut order, &Material::read(), &frames[..8]);
    assert_eq!(
        times(&publish),
        [Err(AbsentDeclared), Ok(3), Ok(4), Ok(5), Ok(6), Ok(7)],
        "from the newest key frame on"
    );
    assert_eq!(declared(&publish), [DeclaredReordering::None; 3]);
    assert_eq!(times(&order.push_init(Material::read().init())), [Err(AbsentDeclared)], "it is known now");
}

#[test]
fn result_holds_until_other_parameter_sets() {
    let mut order = FrameOrder::new(true);
    run(&mut order, &Material::silent(), &REORDERED);
    let publish = run(&mut order, &Material::silent(), &IN_ORDER);
    assert_eq!(times(&publish), [Err(Present), Ok(0), Ok(1), Ok(2)]);
    let mut other = Material::silent();
    other.sets[0][3] += 1;
    assert_eq!(times(&order.push_init(other.init())), [Err(AbsentDeclared)]);
}

#[test]
fn single_reordered_frame_expires_as_damage() {
    let material = Material::silent();
    let mut order = FrameOrder::new(true);
    run(&mut order, &material, &REORDERED[..3]);
    let mut time = 3;
    let mut publish = Vec::new();
    while time < u64::from(REORDER_EXPIRY_FRAMES) + 10 {
        for frame in IN_ORDER {
            publish.extend(order.push_fragment(material.fragment(frame, time)));
            time += 1;
        }
    }
    let begun = publish.iter().position(|publish| matches!(publish, Publish::Epoch(_))).unwrap();
    // The first key frame behind REORDER_EXPIRY_FRAMES frames: every third of them is one.
    let at = u64::from(REORDER_EXPIRY_FRAMES) + 3;
    assert_eq!(times(&publish[begun..begun + 3]), [Err(AbsentDeclared), Ok(at), Ok(at + 1)]);
    assert_eq!(declared(&publish[begun..begun + 2]), [DeclaredReordering::None; 2]);
    assert!(times(&publish).iter().filter_map(|time| time.ok()).eq(3..time), "none is lost, none is sent twice");
    assert_eq!(times(&order.push_init(material.init())), [Err(AbsentDeclared)]);
}

#[test]
fn amend_off_leaves_bytes_unchanged() {
    let material = Material::silent();
    let publish = run(&mut FrameOrder::new(false), &material, &IN_ORDER);
    assert_eq!(times(&publish), [Err(Absent), Ok(0), Ok(1), Ok(2)]);
    assert_eq!(publish[1], Publish::Fragment(material.fragment(0, 0)));
    assert!(matches!(&publish[0], Publish::Epoch(init) if init.bytes == material.init().bytes));
    let publish = run(&mut FrameOrder::new(false), &material, &REORDERED[..3]);
    assert_eq!(times(&publish), [Err(Absent), Ok(0), Ok(1), Err(Present), Ok(0), Ok(1), Ok(2)]);
}

#[test]
fn unreadable_parameter_sets_fall_back_to_composition_offsets() {
    let mut material = Material::read();
    material.sets[0] = vec![0x67, 0x64, 0, 0x33, 0xff];
    let mut order = FrameOrder::new(true);
    assert_eq!(times(&order.push_init(material.init())), [Err(Absent)]);
    let plain = material.fragment(0, 0);
    assert_eq!(order.push_fragment(plain.clone()), [Publish::Fragment(plain.clone())]);
    let mut offset = material.fragment(1, 1);
    offset.head.composition_offset = 512;
    assert_eq!(times(&order.push_fragment(offset)), [Err(Present), Ok(0), Ok(1)]);
}

#[test]
fn oversized_gop_is_not_republished() {
    let material = Material::silent();
    let mut order = FrameOrder::new(true);
    order.push_init(material.init());
    let mut large = material.fragment(0, 0);
    large.bytes = [&*large.bytes, &vec![0; GOP_BYTES_MAX]].concat().as_slice().into();
    order.push_fragment(large);
    order.push_fragment(material.fragment(1, 1));
    assert_eq!(times(&order.push_fragment(material.fragment(2, 2))), [Err(Present)]);
    assert_eq!(times(&order.push_fragment(material.fragment(0, 3))), [Ok(3)]);
}

#[derive(Debug, Clone)]
enum StreamEvent {
    Restart,
    InOrder,
    Reordered,
}

fn stream_event() -> impl Strategy<Value = StreamEvent> {
    prop_oneof![1 => Just(StreamEvent::Restart), 6 => Just(StreamEvent::InOrder), 1 => Just(StreamEvent::Reordered)]
}

proptest! {
    /// An epoch in order has no reordered frame, and declares that it has none. A reordered epoch is published unchanged. No
    /// frame is skipped, except at the start.
    #[test]
    fn published_epochs_match_their_declared_order(silent: bool, events in proptest::collection::vec(stream_event(), 1..12)) {
        let material = if silent { Material::silent() } else { Material::read() };
        let mut order = FrameOrder::new(true);
        let mut publish = order.push_init(material.init());
        let mut sent = Vec::new();
        for event in &events {
            let frames = match event {
                StreamEvent::Restart => {
                    publish.extend(order.push_init(material.init()));
                    continue;
                }
                StreamEvent::InOrder => &IN_ORDER[..],
                StreamEvent::Reordered => &REORDERED,
            };
            for &frame in frames {
                sent.push(material.fragment(frame, sent.len() as u64));
                publish.extend(order.push_fragment(sent.last().unwrap().clone()));
            }
        }
        let mut detector = ReorderDetector::new(Family::H264);
        let (mut epoch, mut next, mut reordered_before) = (None, 0, false);
        for one in &publish {
            match one {
                Publish::Epoch(init) => {
                    detector = ReorderDetector::new(Family::H264);
                    epoch = Some(init.reordering);
                    prop_assert!(init.reordering != Absent && (init.reordering == Present || !reordered_before));
                    reordered_before |= init.reordering == Present;
                }
                Publish::Fragment(fragment) => {
                    let time = fragment.head.decode_time;
                    // A repetition from a key frame, or the next frame; at the start, frames before a key frame may be missing.
                    prop_assert!(time <= next || fragment.head.keyframe, "{} follows {}", time, next);
                    prop_assert!(time == next || fragment.head.keyframe);
                    next = time + 1;
                    if epoch == Some(Present) {
                        prop_assert_eq!(fragment, &sent[time as usize]);
                    }
                }
            }
            let units = units(one);
            let out_of_order = detector.is_out_of_order(units.iter().map(Vec::as_slice));
            if epoch == Some(AbsentDeclared) {
                prop_assert_ne!(out_of_order, Some(true));
                prop_assert!(declared(std::slice::from_ref(one)).iter().all(|&said| said == DeclaredReordering::None));
            }
        }
    }
}

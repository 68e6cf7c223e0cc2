use super::PictureOrder::{Amended, AsSent, Reordered};
use super::*;
use bytes::BytesMut;
use mp4_atom::{Codec, Decode, Encode, Mfhd, Moof, Moov, Tfdt, Tfhd, Traf, Trun, TrunEntry};
use proptest::prelude::*;
use sightline_protocol::codec::Family;
use sightline_protocol::message::TrackKind;

use crate::fmp4::boxes;
use crate::nal::{self, Layout, avc};

const INIT: &[u8] = include_bytes!("../../fmp4/init/fixtures/h264.init.mp4");
/// See [`crate::nal::order`]'s tests. Places of x264's pictures with B-frames: 0, 8, 4, 2, 6.
const B_FRAMES: &str = include_str!("../../nal/order/fixtures/x264_b.hex");
const LAYOUT: Layout = Layout { family: Family::H264, length_size: 4 };

/// The NAL units of x264's stream with B-frames: parameter sets, then a slice for each of the first nine pictures.
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
        material.sets[0] = avc::without_vui(&material.sets[0]);
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

    /// A fragment with the picture of that number, the key frame with parameter sets in front; `time` tells it apart.
    fn fragment(&self, picture: usize, time: u64) -> Fragment {
        let sets = if picture == 0 { &self.sets[..] } else { &[] };
        let units = sets.iter().chain([&self.slices[picture]]);
        let media = units.flat_map(|unit| [&(unit.len() as u32).to_be_bytes()[..], unit].concat()).collect::<Vec<_>>();
        let flags = if picture == 0 { 0x0200_0000 } else { 0x0101_0000 };
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

/// Pictures that are in order, of [`Material`], and ones of which the third is not.
const IN_ORDER: [usize; 3] = [0, 1, 5];
const REORDERED: [usize; 5] = [0, 1, 2, 3, 4];

/// Lets the source begin and send these pictures, whose times are their places among them.
fn run(order: &mut Order, material: &Material, pictures: &[usize]) -> Vec<Publish> {
    let mut publish = order.init(material.init());
    for (time, &picture) in (0..).zip(pictures) {
        publish.extend(order.fragment(material.fragment(picture, time)));
    }
    publish
}

/// The times of what is published, and the order where an epoch begins.
fn times(publish: &[Publish]) -> Vec<Result<u64, PictureOrder>> {
    let time = |publish: &Publish| match publish {
        Publish::Epoch(init) => Err(init.order),
        Publish::Fragment(fragment) => Ok(fragment.head.decode_time),
    };
    publish.iter().map(time).collect()
}

/// The NAL units of what is published.
fn units(publish: &Publish) -> Vec<Vec<u8>> {
    match publish {
        Publish::Epoch(init) => {
            let config = DecoderConfig::find(&init.bytes).unwrap();
            config.units(&init.bytes).map(<[u8]>::to_vec).collect()
        }
        Publish::Fragment(fragment) => {
            let at = Samples::find(&fragment.bytes).unwrap().access_units().next().unwrap();
            let access_unit = &fragment.bytes[at];
            LAYOUT.units(access_unit).map(|at| access_unit[at].to_vec()).collect()
        }
    }
}

/// What the parameter sets in it declare.
fn declared(publish: &[Publish]) -> Vec<Declared> {
    publish.iter().flat_map(units).filter_map(|unit| nal::declared(Family::H264, &unit).unwrap()).collect()
}

#[test]
fn a_stream_that_declares_nothing_is_amended_from_its_first_picture() {
    let publish = run(&mut Order::new(true), &Material::silent(), &[IN_ORDER, IN_ORDER].concat());
    assert_eq!(times(&publish), [Err(Amended), Ok(0), Ok(1), Ok(2), Ok(3), Ok(4), Ok(5)]);
    assert_eq!(declared(&publish), [Declared::InOrder; 3], "in front and in band");
}

#[test]
fn at_the_first_reordered_picture_the_epoch_begins_anew_with_what_was_sent() {
    let material = Material::silent();
    let publish = run(&mut Order::new(true), &material, &[&IN_ORDER[..], &REORDERED].concat());
    let first = [Err(Amended), Ok(0), Ok(1), Ok(2), Ok(3), Ok(4)];
    let again = [Err(Reordered), Ok(3), Ok(4), Ok(5), Ok(6), Ok(7)];
    assert_eq!(times(&publish), [first, again].concat());
    assert_eq!(declared(&publish[6..]), [Declared::Nothing; 2]);
    let sent = |time: u64| Publish::Fragment(material.fragment(REORDERED[time as usize - 3], time));
    assert_eq!(publish[7..], [3, 4, 5, 6, 7].map(sent));
    assert!(matches!(&publish[6], Publish::Epoch(init) if init.bytes == material.init().bytes));
}

#[test]
fn a_stream_that_declares_a_reordering_is_held_back_until_it_shows_it() {
    let publish = run(&mut Order::new(true), &Material::read(), &REORDERED);
    assert_eq!(times(&publish), [Err(Reordered), Ok(0), Ok(1), Ok(2), Ok(3), Ok(4)]);
    assert_eq!(declared(&publish), [Declared::Reordered(2); 2]);
    assert_eq!(run(&mut Order::new(true), &Material::read(), &REORDERED[..2]), []);
}

#[test]
fn a_declared_reordering_that_is_not_used_is_taken_back() {
    let pictures = [IN_ORDER, IN_ORDER, IN_ORDER].concat();
    let mut order = Order::new(true);
    assert_eq!(run(&mut order, &Material::read(), &pictures[..5]), []);
    let publish = run(&mut order, &Material::read(), &pictures[..8]);
    assert_eq!(times(&publish), [Err(Amended), Ok(3), Ok(4), Ok(5), Ok(6), Ok(7)], "from the newest key frame on");
    assert_eq!(declared(&publish), [Declared::InOrder; 3]);
    assert_eq!(times(&order.init(Material::read().init())), [Err(Amended)], "it is known now");
}

#[test]
fn what_was_found_holds_until_the_camera_sends_other_parameter_sets() {
    let mut order = Order::new(true);
    run(&mut order, &Material::silent(), &REORDERED);
    let publish = run(&mut order, &Material::silent(), &IN_ORDER);
    assert_eq!(times(&publish), [Err(Reordered), Ok(0), Ok(1), Ok(2)]);
    let mut other = Material::silent();
    other.sets[0][3] += 1;
    assert_eq!(times(&order.init(other.init())), [Err(Amended)]);
}

#[test]
fn a_reordering_that_does_not_come_again_was_damage() {
    let material = Material::silent();
    let mut order = Order::new(true);
    run(&mut order, &material, &REORDERED[..3]);
    let mut time = 3;
    let mut publish = Vec::new();
    while time < u64::from(QUIET) + 10 {
        for picture in IN_ORDER {
            publish.extend(order.fragment(material.fragment(picture, time)));
            time += 1;
        }
    }
    let begun = publish.iter().position(|publish| matches!(publish, Publish::Epoch(_))).unwrap();
    // The first key frame behind QUIET pictures: every third of them is one.
    let at = u64::from(QUIET) + 3;
    assert_eq!(times(&publish[begun..begun + 3]), [Err(Amended), Ok(at), Ok(at + 1)]);
    assert_eq!(declared(&publish[begun..begun + 2]), [Declared::InOrder; 2]);
    assert!(times(&publish).iter().filter_map(|time| time.ok()).eq(3..time), "none is lost, none is sent twice");
    assert_eq!(times(&order.init(material.init())), [Err(Amended)]);
}

#[test]
fn without_amending_everything_is_as_it_was_sent() {
    let material = Material::silent();
    let publish = run(&mut Order::new(false), &material, &IN_ORDER);
    assert_eq!(times(&publish), [Err(AsSent), Ok(0), Ok(1), Ok(2)]);
    assert_eq!(publish[1], Publish::Fragment(material.fragment(0, 0)));
    assert!(matches!(&publish[0], Publish::Epoch(init) if init.bytes == material.init().bytes));
    let publish = run(&mut Order::new(false), &material, &REORDERED[..3]);
    assert_eq!(times(&publish), [Err(AsSent), Ok(0), Ok(1), Err(Reordered), Ok(0), Ok(1), Ok(2)]);
}

#[test]
fn where_parameter_sets_cannot_be_read_composition_offsets_tell() {
    let mut material = Material::read();
    material.sets[0] = vec![0x67, 0x64, 0, 0x33, 0xff];
    let mut order = Order::new(true);
    assert_eq!(times(&order.init(material.init())), [Err(AsSent)]);
    let plain = material.fragment(0, 0);
    assert_eq!(order.fragment(plain.clone()), [Publish::Fragment(plain.clone())]);
    let mut offset = material.fragment(1, 1);
    offset.head.composition_offset = 512;
    assert_eq!(times(&order.fragment(offset)), [Err(Reordered), Ok(0), Ok(1)]);
}

#[test]
fn a_gop_that_is_too_large_is_not_kept() {
    let material = Material::silent();
    let mut order = Order::new(true);
    order.init(material.init());
    let mut large = material.fragment(0, 0);
    large.bytes = [&*large.bytes, &vec![0; GOP_BYTES]].concat().as_slice().into();
    order.fragment(large);
    order.fragment(material.fragment(1, 1));
    assert_eq!(times(&order.fragment(material.fragment(2, 2))), [Err(Reordered)]);
    assert_eq!(times(&order.fragment(material.fragment(0, 3))), [Ok(3)]);
}

#[derive(Debug, Clone)]
enum Act {
    Restart,
    InOrder,
    Reordered,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![1 => Just(Act::Restart), 6 => Just(Act::InOrder), 1 => Just(Act::Reordered)]
}

proptest! {
    /// Whatever a camera sends: an epoch that is not said to be reordered has no picture out of order and declares that
    /// it has none; one that is said to be is as it was sent; and no picture is left out but at the start.
    #[test]
    fn nothing_wrong_is_ever_published(silent: bool, acts in proptest::collection::vec(act(), 1..12)) {
        let material = if silent { Material::silent() } else { Material::read() };
        let mut order = Order::new(true);
        let mut publish = order.init(material.init());
        let mut sent = Vec::new();
        for act in &acts {
            let pictures = match act {
                Act::Restart => {
                    publish.extend(order.init(material.init()));
                    continue;
                }
                Act::InOrder => &IN_ORDER[..],
                Act::Reordered => &REORDERED,
            };
            for &picture in pictures {
                sent.push(material.fragment(picture, sent.len() as u64));
                publish.extend(order.fragment(sent.last().unwrap().clone()));
            }
        }
        let mut judge = OrderJudge::new(Family::H264);
        let (mut epoch, mut next, mut reordered_before) = (None, 0, false);
        for one in &publish {
            match one {
                Publish::Epoch(init) => {
                    judge = OrderJudge::new(Family::H264);
                    epoch = Some(init.order);
                    prop_assert!(init.order != AsSent && (init.order == Reordered || !reordered_before));
                    reordered_before |= init.order == Reordered;
                }
                Publish::Fragment(fragment) => {
                    let time = fragment.head.decode_time;
                    // Anew from a key frame, or the next; at the start, pictures before a key frame may be missing.
                    prop_assert!(time <= next || fragment.head.keyframe, "{} follows {}", time, next);
                    prop_assert!(time == next || fragment.head.keyframe);
                    next = time + 1;
                    if epoch == Some(Reordered) {
                        prop_assert_eq!(fragment, &sent[time as usize]);
                    }
                }
            }
            let units = units(one);
            let out_of_order = judge.is_out_of_order(units.iter().map(Vec::as_slice));
            if epoch == Some(Amended) {
                prop_assert_ne!(out_of_order, Some(true));
                prop_assert!(declared(std::slice::from_ref(one)).iter().all(|&said| said == Declared::InOrder));
            }
        }
    }
}

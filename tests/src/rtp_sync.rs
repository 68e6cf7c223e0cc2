//! When a WebRTC viewer presents frames and sound, by the sender reports of both tracks (RFC 3550, section 6.4.1). Reads what it
//! then presents: the camera's clock in the frames and the beginnings of its beeps.

use str0m::format::Codec;
use str0m::media::MediaKind;

use crate::peer::{Packet, Peer, Picture, rate};
use crate::stats::median;
use crate::tracks::{CELLS, CELLS_WIDTH, RATE, SOUND, decode, made};
use crate::{beeps, ogg};

/// The lateness of the sound behind the frames in seconds, at each beep since `from` in ticks of 48 kHz: the camera beeps at its whole
/// seconds.
///
/// # Panics
/// When reports, frames or beeps are missing.
pub async fn lateness(peer: &Peer, from: u64) -> Vec<f64> {
    let origin = |kind: MediaKind| {
        let report = peer.reports.iter().rev().find(|report| report.kind == kind);
        report.unwrap_or_else(|| panic!("no report of {kind:?}")).origin
    };
    let made = made_after_presented(&peer.pictures, origin(MediaKind::Video)).await;
    let packets: Vec<&Packet> = peer.packets.iter().filter(|packet| packet.time >= from).collect();
    let start = packets.first().expect("packets of sound").time;
    let file = ogg::write(packets.iter().map(|packet| (packet.time - start, &packet.bytes[..])));
    let sound = decoded(&file, "ogg", SOUND).await;
    let began = origin(MediaKind::Audio) + start as f64 / rate(MediaKind::Audio);
    let late = beeps::begin(&sound, RATE).map(|at| (began + at + made + 0.5).rem_euclid(1.0) - 0.5);
    late.collect()
}

/// The creation time of frames in the camera, minus the time at which they are to be presented, in seconds.
async fn made_after_presented(pictures: &[Picture], origin: f64) -> f64 {
    let first = pictures.iter().position(Picture::is_key).expect("a key frame");
    let pictures = &pictures[first..];
    assert!(pictures.iter().all(|picture| picture.codec == Codec::H264));
    let file: Vec<u8> = pictures.iter().flat_map(|picture| &picture.bytes).copied().collect();
    let cells = decoded(&file, "h264", CELLS).await;
    let apart = cells.chunks_exact(CELLS_WIDTH).zip(pictures).filter_map(|(cells, picture)| {
        Some(made(cells, picture.at)? - (origin + picture.time as f64 / rate(MediaKind::Video)))
    });
    median(apart.collect())
}

async fn decoded(file: &[u8], kind: &str, options: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (from, to) = (folder.path().join(format!("from.{kind}")), folder.path().join("to"));
    std::fs::write(&from, file).expect("a free disk");
    decode(&from, &to, options).await
}

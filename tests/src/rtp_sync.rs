//! When a WebRTC viewer presents frames and sound, by the sender reports of both tracks (RFC 3550, section 6.4.1). Reads what it
//! then presents: the camera's clock in the frames and the beginnings of its beeps.

use str0m::format::Codec;
use str0m::media::MediaKind;

use crate::peer::{Packet, Peer, Picture};
use crate::stats::median;
use crate::tracks::{CELLS, CELLS_WIDTH, RATE, SOUND, decode, made};
use crate::{beeps, ogg, wav};

/// The lateness of the sound behind the frames in seconds, at each beep since `from` in ticks of its codec: the camera beeps at its whole
/// seconds.
///
/// # Panics
/// When reports, frames or beeps are missing.
pub async fn lateness(peer: &Peer, from: u64) -> Vec<f64> {
    let origin = |kind: MediaKind| {
        let report = peer.reports.iter().rev().find(|report| report.kind == kind);
        peer.origin(report.unwrap_or_else(|| panic!("no report of {kind:?}")))
    };
    let made = made_after_presented(peer, origin(MediaKind::Video)).await;
    let packets: Vec<&Packet> = peer.packets.iter().filter(|packet| packet.time >= from).collect();
    let Packet { time: start, codec, .. } = **packets.first().expect("packets of sound");
    let times = packets.iter().map(|packet| (packet.time - start, &packet.bytes[..]));
    let sound = match codec {
        Codec::PCMA => decoded(&wav::write(times), "wav", SOUND).await,
        _ => decoded(&ogg::write(times), "ogg", SOUND).await,
    };
    let began = origin(MediaKind::Audio) + start as f64 / peer.rate(MediaKind::Audio);
    let late = beeps::begin(&sound, RATE).map(|at| (began + at + made + 0.5).rem_euclid(1.0) - 0.5);
    late.collect()
}

/// The creation time of frames in the camera, minus the time at which they are to be presented, in seconds.
async fn made_after_presented(peer: &Peer, origin: f64) -> f64 {
    let pictures = &peer.pictures;
    let first = pictures.iter().position(Picture::is_key).expect("a key frame");
    let pictures = &pictures[first..];
    assert!(pictures.iter().all(|picture| picture.codec == Codec::H264));
    let file: Vec<u8> = pictures.iter().flat_map(|picture| &picture.bytes).copied().collect();
    let cells = decoded(&file, "h264", CELLS).await;
    let apart = cells.chunks_exact(CELLS_WIDTH).zip(pictures).filter_map(|(cells, picture)| {
        Some(made(cells, picture.at)? - (origin + picture.time as f64 / peer.rate(MediaKind::Video)))
    });
    median(apart.collect())
}

async fn decoded(file: &[u8], kind: &str, options: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (from, to) = (folder.path().join(format!("from.{kind}")), folder.path().join("to"));
    std::fs::write(&from, file).expect("a free disk");
    decode(&from, &to, options).await
}

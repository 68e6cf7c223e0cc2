//! What a viewer got of video and audio, and what is in it once decoded: the camera's clock in the pictures and the
//! beginnings of its beeps (`fixtures/live_sources.py`).

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use sightline_protocol::fragment::FragmentHead;
use sightline_protocol::message::{self, Ready, ServerMessage, TrackKind};
use tokio_tungstenite::tungstenite::Bytes;

use crate::beeps;
use crate::process::Owned;
use crate::viewer::{Event, Viewer, is_init, unix_ms};

/// Decoding some seconds takes a fraction of one; a busy machine more.
const DECODES: Duration = Duration::from_secs(20);
/// Bits of the clock in a picture, and of the checksum after them.
const BITS: (u32, u32) = (24, 8);
/// The cells of the topmost fifteenth, each as one pixel.
pub(crate) const CELLS: &[&str] =
    &["-vf", "crop=iw:ih/30:0:ih/60,scale=32:1:flags=area,format=gray", "-fps_mode", "passthrough", "-f", "rawvideo"];
/// Of one picture.
pub(crate) const CELLS_WIDTH: usize = (BITS.0 + BITS.1) as usize;
/// Samples a second to which sound is decoded.
pub(crate) const RATE: usize = 48_000;
/// Where the camera left sound out there is silence, and everything after it keeps its place.
pub(crate) const SOUND: &[&str] = &["-af", "aresample=48000:async=1:min_hard_comp=0.003", "-ac", "1", "-f", "s16le"];

/// One fragment.
#[derive(Debug, Clone)]
pub struct Got {
    /// When it came, in milliseconds since the Unix epoch.
    pub at: f64,
    /// What its head says.
    pub head: FragmentHead,
    /// All of it.
    pub bytes: Bytes,
}

/// One epoch of a track.
#[derive(Debug, Clone)]
pub struct Epoch {
    /// What was announced.
    pub track: message::Track,
    /// The announcement's number.
    pub number: u32,
    /// The init segment.
    pub init: Bytes,
    /// The fragments.
    pub fragments: Vec<Got>,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Tracks {
    /// Every `ready`.
    pub ready: Vec<Ready>,
    /// The epochs of video.
    pub video: Vec<Epoch>,
    /// The epochs of audio.
    pub audio: Vec<Epoch>,
    announced: Option<(message::Track, u32)>,
}

impl Tracks {
    /// Takes what comes for `span`.
    ///
    /// # Panics
    /// When something comes that has not been announced, or the session ends.
    pub async fn record(&mut self, viewer: &mut Viewer, span: Duration) {
        let end = Instant::now() + span;
        while let Ok(event) = tokio::time::timeout_at(end.into(), viewer.next(DECODES)).await {
            self.note(&event);
        }
    }

    /// Takes what comes until there is audio.
    ///
    /// # Panics
    /// After `limit`, and as [`Self::record`].
    pub async fn until_audio(&mut self, viewer: &mut Viewer, limit: Duration) {
        let before = self.audio.iter().map(|epoch| epoch.fragments.len()).sum::<usize>();
        let end = Instant::now() + limit;
        while self.audio.iter().map(|epoch| epoch.fragments.len()).sum::<usize>() == before {
            self.note(&viewer.next(end.saturating_duration_since(Instant::now())).await);
        }
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Message(ServerMessage::Ready(ready)) => {
                let [track] = &ready.tracks[..] else { panic!("one video track: {ready:?}") };
                assert_eq!(self.announced.replace((track.clone(), ready.epoch)), None, "an init segment was due");
                self.ready.push(ready.clone());
            }
            Event::Message(ServerMessage::Track(new)) => {
                assert_eq!(self.announced.replace((new.track.clone(), new.epoch)), None, "an init segment was due");
            }
            Event::Media(bytes) if is_init(bytes) => {
                let (track, number) = self.announced.take().expect("an init segment is announced");
                let epochs = match track.kind {
                    TrackKind::Video => &mut self.video,
                    TrackKind::Audio => &mut self.audio,
                };
                epochs.push(Epoch { track, number, init: bytes.clone(), fragments: Vec::new() });
            }
            Event::Media(bytes) => {
                let head = FragmentHead::read(bytes).expect("a fragment");
                let epochs =
                    if head.track_id == TrackKind::Video.track_id() { &mut self.video } else { &mut self.audio };
                let epoch = epochs.last_mut().expect("a fragment follows its init segment");
                assert_eq!(head.track_id, epoch.track.kind.track_id());
                epoch.fragments.push(Got { at: unix_ms(), head, bytes: bytes.clone() });
            }
            Event::Closed(code, reason) => panic!("closed with {code:?}: {reason}"),
            Event::Message(_) | Event::Text(_) => {}
        }
    }
}

impl Epoch {
    /// Its decode times that do not continue the fragment before.
    pub fn holes(&self) -> usize {
        let ends = self.fragments.iter().map(|got| got.head.decode_time + got.head.duration);
        ends.zip(&self.fragments[1..]).filter(|(end, next)| *end != next.head.decode_time).count()
    }

    /// Ticks of its timescale in seconds.
    pub fn seconds(&self, ticks: u64) -> f64 {
        ticks as f64 / f64::from(self.track.timescale)
    }

    /// Of every picture, its place on the timeline, when the camera made it, and when it came here: in seconds, the latter
    /// two since the Unix epoch.
    ///
    /// # Panics
    /// When this is not the camera's picture.
    pub async fn clock(&self) -> Vec<(f64, f64, f64)> {
        let pixels = self.decode(CELLS).await;
        let pictures = pixels.chunks_exact(CELLS_WIDTH).zip(&self.fragments);
        let times: Vec<_> = pictures.filter_map(|(picture, got)| self.time(picture, got)).collect();
        assert!(
            times.len() * 10 > self.fragments.len() * 9,
            "only {} pictures of {}",
            times.len(),
            self.fragments.len()
        );
        times
    }

    fn time(&self, picture: &[u8], got: &Got) -> Option<(f64, f64, f64)> {
        Some((self.seconds(got.head.decode_time), made(picture, got.at)?, got.at / 1e3))
    }

    /// Where on the timeline beeps begin, in seconds.
    pub async fn beeps(&self) -> Vec<f64> {
        let sound = self.decode(SOUND).await;
        let start = self.seconds(self.fragments[0].head.decode_time);
        beeps::begin(&sound, RATE).map(|at| start + at).collect()
    }

    async fn decode(&self, options: &[&str]) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let (from, to) = (folder.path().join("from.mp4"), folder.path().join("to"));
        let media = self.fragments.iter().map(|got| &got.bytes[..]);
        std::fs::write(&from, std::iter::once(&self.init[..]).chain(media).collect::<Vec<_>>().concat()).unwrap();
        decode(&from, &to, options).await
    }
}

/// When the camera made a picture of which the cells are here and which came `at` milliseconds since the Unix epoch: in
/// seconds since then. None where they are no clock.
pub(crate) fn made(cells: &[u8], at: f64) -> Option<f64> {
    let word = cells.iter().fold(0u64, |word, &cell| word << 1 | u64::from(cell > 126));
    let value = word >> BITS.1;
    let checksum = (value >> 16) * 31 + (value >> 8 & 0xff) * 17 + (value & 0xff) * 7 + 0x5a;
    // The clock is the lowest bits of the milliseconds, not long before it came.
    let age = (at as u64).wrapping_sub(value) & ((1 << BITS.0) - 1);
    (checksum & 0xff == word & 0xff).then_some((at.floor() - age as f64) / 1e3)
}

pub(crate) async fn decode(from: &Path, to: &Path, options: &[&str]) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(from).args(options).arg(to);
    let mut ffmpeg = Owned::start("ffmpeg", &mut command).expect("ffmpeg is installed");
    assert!(ffmpeg.wait(DECODES).await.success(), "{}", ffmpeg.stderr.text());
    std::fs::read(to).expect("what FFmpeg decoded")
}

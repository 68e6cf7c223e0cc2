//! A viewer's received video and audio, and their decoded contents: the camera's clock in the frames and the beginnings of its
//! beeps (`fixtures/live_sources.py`).

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use sightline_protocol::fragment::FragmentHead;
use sightline_protocol::message::{self, Ready, ServerMessage, TrackKind};
use tokio_tungstenite::tungstenite::Bytes;

use crate::beeps;
use crate::process::Owned;
use crate::viewer::{Event, Viewer, is_init, unix_ms};

/// The time limit of decoding. Some seconds of media take less than one second, and more on a busy machine.
const DECODES: Duration = Duration::from_secs(20);
/// Bits of the clock in a frame, and of the checksum after them.
const BITS: (u32, u32) = (24, 8);
/// Extracts the cells of the topmost fifteenth, each as one pixel.
pub(crate) const CELLS: &[&str] =
    &["-vf", "crop=iw:ih/30:0:ih/60,scale=32:1:flags=area,format=gray", "-fps_mode", "passthrough", "-f", "rawvideo"];
/// The number of cells in one frame.
pub(crate) const CELLS_WIDTH: usize = (BITS.0 + BITS.1) as usize;
/// The sample rate of decoded sound, in Hz.
pub(crate) const RATE: usize = 48_000;
/// Fills missing sound with silence, so that later sound keeps its position.
pub(crate) const SOUND: &[&str] = &["-af", "aresample=48000:async=1:min_hard_comp=0.003", "-ac", "1", "-f", "s16le"];

/// One fragment.
#[derive(Debug, Clone)]
pub struct Got {
    /// Its arrival time, in milliseconds since the Unix epoch.
    pub at: f64,
    /// Its parsed head.
    pub head: FragmentHead,
    /// Its bytes.
    pub bytes: Bytes,
}

/// One epoch of a track.
#[derive(Debug, Clone)]
pub struct Epoch {
    /// The announced track.
    pub track: message::Track,
    /// The announced epoch number.
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
    /// Records for `span`.
    ///
    /// # Panics
    /// When unannounced media arrives, or the session ends.
    pub async fn record(&mut self, viewer: &mut Viewer, span: Duration) {
        let end = Instant::now() + span;
        while let Ok(event) = tokio::time::timeout_at(end.into(), viewer.next(DECODES)).await {
            self.note(&event);
        }
    }

    /// Records until an audio fragment arrives.
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
    /// Fragments that do not begin at the end of the previous one: their number in the epoch, and the missing time in seconds.
    pub fn holes(&self) -> Vec<(usize, f64)> {
        let ends = self.fragments.iter().map(|got| got.head.decode_time + got.head.duration);
        let missing = ends.zip(&self.fragments[1..]).map(|(end, next)| next.head.decode_time as i64 - end as i64);
        let holes = missing.enumerate().filter(|(_, ticks)| *ticks != 0);
        holes.map(|(n, ticks)| (n + 1, ticks as f64 / f64::from(self.track.timescale))).collect()
    }

    /// Converts ticks of its timescale to seconds.
    pub fn seconds(&self, ticks: u64) -> f64 {
        ticks as f64 / f64::from(self.track.timescale)
    }

    /// For every frame: its position on the timeline, its creation time in the camera, and its arrival time. In seconds, the
    /// latter two since the Unix epoch.
    ///
    /// # Panics
    /// When the frames are not the camera's.
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

    /// The beginnings of beeps on the timeline, in seconds.
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

/// The creation time of a frame in the camera, in seconds since the Unix epoch. `cells` are the frame's, which arrived at `at`
/// milliseconds since the epoch. None if the cells contain no valid clock.
pub(crate) fn made(cells: &[u8], at: f64) -> Option<f64> {
    let word = cells.iter().fold(0u64, |word, &cell| word << 1 | u64::from(cell > 126));
    let value = word >> BITS.1;
    let checksum = (value >> 16) * 31 + (value >> 8 & 0xff) * 17 + (value & 0xff) * 7 + 0x5a;
    // The clock contains the lowest bits of the milliseconds of a moment shortly before the arrival.
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

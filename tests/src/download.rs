//! Inspects a media file with FFmpeg: its tracks, whether it decodes, and the camera's clock and beeps in it.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::beeps;
use crate::stats::median;
use crate::tracks::{self, CELLS, CELLS_WIDTH, RATE, SOUND, made};
use crate::viewer::unix_ms;

/// A media file, removed on drop.
#[derive(Debug)]
pub struct Media {
    folder: TempDir,
}

/// One track.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// `video` or `audio`.
    pub kind: String,
    /// The codec as FFmpeg names it.
    pub codec: String,
    /// The time of its first packet, in seconds.
    pub start: f64,
    /// The number of its packets.
    pub packets: u64,
}

impl Media {
    /// Writes these bytes into a temporary file.
    ///
    /// # Panics
    /// When no folder can be created.
    pub fn new(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(folder.path().join("media.mp4"), bytes).expect("the temporary directory is writable");
        Self { folder }
    }

    /// Its duration in seconds, and its tracks.
    ///
    /// # Panics
    /// When FFmpeg cannot read it.
    pub fn probe(&self) -> (f64, Vec<Stream>) {
        let output = self.run("ffprobe", &["-of", "json", "-show_format", "-show_streams", "-count_packets"]);
        let found: Value = serde_json::from_slice(&output.stdout).expect("ffprobe writes JSON");
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{found:#}")).to_owned();
        let number = |value: &Value| text(value).parse::<f64>().expect("a number");
        let stream = |stream: &Value| Stream {
            kind: text(&stream["codec_type"]),
            codec: text(&stream["codec_name"]),
            start: number(&stream["start_time"]),
            packets: number(&stream["nb_read_packets"]) as u64,
        };
        let streams = found["streams"].as_array().expect("streams").iter().map(stream).collect();
        (number(&found["format"]["duration"]), streams)
    }

    /// A decoder's error messages for the whole file.
    pub fn complaints(&self) -> String {
        let mut command = Command::new("ffmpeg");
        // Frames closer together than the frame rate's interval, from a busy camera, are no fault of the file.
        let times = ["-fps_mode", "passthrough", "-enc_time_base", "-1"];
        command.args(["-v", "error", "-i"]).arg(self.path()).args(times).args(["-f", "null", "-"]);
        let output = command.output().expect("ffmpeg is installed");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { said } else { format!("{}: {said}", output.status) }
    }

    /// The delay of each beep relative to the clock in the frames, in seconds.
    ///
    /// # Panics
    /// When these are not frames of the camera from the last hours.
    pub async fn lateness(&self) -> Vec<f64> {
        let to = |name| self.folder.path().join(name);
        let options = ["-select_streams", "v", "-show_entries", "packet=pts_time", "-of", "csv=p=0"];
        let places = String::from_utf8(self.run("ffprobe", &options).stdout).expect("numbers");
        let places = places.lines().filter_map(|line| line.trim_end_matches(',').parse::<f64>().ok());
        let pixels = tracks::decode(&self.path(), &to("cells"), CELLS).await;
        let now = unix_ms();
        let origins = places.zip(pixels.chunks_exact(CELLS_WIDTH));
        let origin = median(origins.filter_map(|(place, cells)| Some(made(cells, now)? - place)).collect());
        let sound = tracks::decode(&self.path(), &to("sound"), SOUND).await;
        beeps::begin(&sound, RATE).map(|beep| (beep + origin + 0.5).rem_euclid(1.0) - 0.5).collect()
    }

    fn run(&self, program: &str, options: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(["-v", "error"]).args(options).arg(self.path());
        let output = command.output().unwrap_or_else(|e| panic!("{program}: {e}"));
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("media.mp4")
    }
}

//! Records received media into a file, without decoding or encoding.
//!
//! The file is a list of buffers that stay in the browser. From time to time they are joined into a blob, which browsers keep
//! on disk. A file begins with a key frame and holds one epoch: a camera restart, another codec, or audio turned on or off
//! starts a new file. A full file ends at the next key frame, and another begins.
//!
//! Input: announced tracks and media. Output: finished files. [`super::recording`] owns it.

use js_sys::{Array, ArrayBuffer, Uint8Array};
use sightline_protocol::fragment::{FragmentHead, HEAD_LEN_MAX};
use sightline_protocol::message::{Track, TrackKind};
use wasm_bindgen::JsValue;
use web_sys::Blob;

use crate::browser::{bytes, error::DomError, file};
use crate::player::recording;
use crate::state::Recorded;

/// Bytes gathered in the page's memory before they become a blob.
const GATHERED_MAX: u64 = 4 << 20;
/// Size at which the next key frame starts a new file: a browser's blob storage is limited.
const FILE_MAX: u64 = 1 << 30;
const MIME: &str = "video/mp4";

/// See the module.
#[derive(Default)]
pub(super) struct Recorder {
    /// The announced track; its init segment is the next message.
    announced: Option<Track>,
    video: Option<(Track, Vec<u8>)>,
    audio: Option<(Track, Vec<u8>)>,
    wanted: bool,
    file: Option<File>,
}

struct File {
    parts: Array,
    /// Bytes in parts that are not blobs yet.
    gathered: u64,
    /// Start of the file on the source's timeline, in seconds.
    base: f64,
    /// The decode time of the newest video frame, in ticks.
    newest: u64,
    has_audio: bool,
    recorded: Recorded,
}

impl Recorder {
    /// Announces a track: the next message is its init segment.
    pub(super) fn announce(&mut self, track: &Track) {
        self.announced = Some(track.clone());
    }

    /// Records from the next key frame on.
    pub(super) fn start(&mut self) {
        self.wanted = true;
    }

    /// Stops recording. Returns the file, if one was begun.
    pub(super) fn stop(&mut self) -> Result<Option<Blob>, DomError> {
        self.wanted = false;
        self.end()
    }

    /// The size of the current file; none while recording is off.
    pub(super) fn recorded(&self) -> Option<Recorded> {
        self.wanted.then(|| self.file.as_ref().map(|file| file.recorded).unwrap_or_default())
    }

    /// Handles an init segment or a fragment. Returns the file that it ends, if any.
    pub(super) fn media(&mut self, bytes: &ArrayBuffer) -> Result<Option<Blob>, DomError> {
        if let Some(track) = self.announced.take() {
            return self.begin_track(track, Uint8Array::new(bytes).to_vec());
        }
        if !self.wanted {
            return Ok(None);
        }
        let start = bytes::head(bytes, HEAD_LEN_MAX);
        let Ok(head) = FragmentHead::read(&start) else { return Ok(None) };
        let full = self.file.as_ref().is_some_and(|file| file.recorded.bytes > FILE_MAX);
        let is_video = head.track_id == TrackKind::Video.track_id();
        let ended = if full && is_video && head.keyframe { self.end()? } else { None };
        if self.file.is_none() && is_video && head.keyframe {
            self.file = self.begin(&head)?;
        }
        self.append(&head, &start, bytes)?;
        Ok(ended)
    }

    /// An unchanged init segment continues the file: the player has started over, not the source.
    fn begin_track(&mut self, track: Track, init: Vec<u8>) -> Result<Option<Blob>, DomError> {
        let known = match track.kind {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        };
        let new = Some((track, init));
        if *known == new {
            return Ok(None);
        }
        *known = new;
        self.end()
    }

    fn begin(&self, head: &FragmentHead) -> Result<Option<File>, DomError> {
        let Some((track, video)) = &self.video else { return Ok(None) };
        // Audio is in sync with the video only on the same source timeline.
        let audio = self.audio.as_ref().filter(|(audio, _)| audio.timeline == track.timeline);
        let both = audio.and_then(|(_, audio)| recording::merge(video, audio));
        let has_audio = both.is_some();
        let init = both.unwrap_or_else(|| video.clone());
        Ok(Some(File {
            parts: Array::of1(&Uint8Array::from(init.as_slice())),
            gathered: 0,
            base: head.decode_time as f64 / f64::from(track.timescale),
            newest: head.decode_time,
            has_audio,
            recorded: Recorded { seconds: 0.0, bytes: init.len() as u64 },
        }))
    }

    fn append(&mut self, head: &FragmentHead, start: &[u8], bytes: &ArrayBuffer) -> Result<(), DomError> {
        let is_video = head.track_id == TrackKind::Video.track_id();
        let track = if is_video { &self.video } else { &self.audio };
        let (Some(file), Some((track, _))) = (&mut self.file, track) else { return Ok(()) };
        let base = (file.base * f64::from(track.timescale)).round() as u64;
        // Skips audio from before the file, and frames that the relay repeats because the player has started over.
        let again = is_video && head.decode_time <= file.newest && file.recorded.seconds > 0.0;
        if again || head.decode_time < base || !(is_video || file.has_audio) {
            return Ok(());
        }
        let Some(patched) = recording::head(start, base) else { return Ok(()) };
        file.parts.push(&Uint8Array::from(patched.as_slice()));
        file.parts.push(&Uint8Array::new_with_byte_offset(bytes, patched.len() as u32));
        if is_video {
            file.newest = head.decode_time;
            file.recorded.seconds = (head.decode_time + head.duration - base) as f64 / f64::from(track.timescale);
        }
        let length = u64::from(bytes.byte_length());
        (file.recorded.bytes, file.gathered) = (file.recorded.bytes + length, file.gathered + length);
        if file.gathered > GATHERED_MAX {
            file.gathered = 0;
            file.parts = Array::of1(&JsValue::from(file::blob(&file.parts, MIME)?));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<Option<Blob>, DomError> {
        self.file.take().map(|file| file::blob(&file.parts, MIME)).transpose()
    }
}

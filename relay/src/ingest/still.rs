//! Decodes one frame of a rendition to JPEG, by an FFmpeg of its own between two pipes.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::init::InitSegment;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::time::timeout;

use super::confinement::Confinement;
use super::ffmpeg::still::{StillFormat, still};
use super::process::Launcher;

/// Time limit of the process: a GOP of ten seconds in 4K takes a few.
const LIMIT: Duration = Duration::from_secs(10);
/// Maximum size of an image: more than any frame of [`PIXELS_MAX`](super::ffmpeg) at the best quality.
const BYTES_MAX: u64 = 64 << 20;

/// The media of a still: frames from a key frame on, of which the last one is shown.
#[derive(Debug)]
pub(crate) struct StillMedia {
    pub(crate) init: Arc<InitSegment>,
    pub(crate) fragments: Vec<Arc<Fragment>>,
}

impl StillMedia {
    fn frames(&self) -> usize {
        self.fragments.iter().map(|fragment| fragment.head.samples as usize).sum()
    }
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StillError {
    /// FFmpeg could not be started.
    #[error("FFmpeg cannot be started: {0}")]
    Start(std::io::Error),
    /// FFmpeg wrote nothing, and this last line.
    #[error("FFmpeg does not decode the frame: {0}")]
    Undecodable(String),
    /// FFmpeg took too long.
    #[error("FFmpeg took more than {LIMIT:?} to decode the frame")]
    Late,
}

/// The last frame of `media` as JPEG.
pub(crate) async fn jpeg(launcher: &Launcher, media: &StillMedia, format: StillFormat) -> Result<Bytes, StillError> {
    let args = still(format, media.frames());
    let mut child = launcher.start(&args, &Confinement::of_pipes(None), Stdio::piped()).map_err(StillError::Start)?;
    let (stdin, stdout, stderr) = child.pipes();
    let decoded = timeout(LIMIT, async { tokio::join!(feed(stdin, media), image(stdout), last_line(stderr)) }).await;
    child.stop().await;
    let ((), image, said) = decoded.map_err(|_| StillError::Late)?;
    if image.is_empty() { Err(StillError::Undecodable(said)) } else { Ok(image.into()) }
}

/// Writes the media. FFmpeg ends without reading all of it once it has its frame.
async fn feed(stdin: Option<ChildStdin>, media: &StillMedia) {
    let Some(mut stdin) = stdin else { return };
    let fragments = media.fragments.iter().map(|fragment| &*fragment.bytes);
    let pieces = std::iter::once(&media.init.bytes[..]).chain(fragments);
    for piece in pieces {
        if stdin.write_all(piece).await.is_err() {
            return;
        }
    }
}

async fn image(stdout: ChildStdout) -> Vec<u8> {
    let mut image = Vec::new();
    // What came before an error is no image; its end is missing.
    match stdout.take(BYTES_MAX).read_to_end(&mut image).await {
        Ok(_) => image,
        Err(_) => Vec::new(),
    }
}

async fn last_line(mut stderr: ChildStderr) -> String {
    let mut said = Vec::new();
    let _ = stderr.read_to_end(&mut said).await;
    String::from_utf8_lossy(&said).trim().lines().last().unwrap_or("it said nothing").to_owned()
}

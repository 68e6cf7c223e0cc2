//! What FFmpeg says: to the log with the stream's name, and kept for the diagnosis of its end. Bounded: one line of at
//! most [`LINE_MAX`] bytes and one diagnosis.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tracing::{debug, warn};

use super::diagnosis::{Diagnosis, diagnose_source, is_harmless, refuses_audio};
use crate::config::SourceUrl;
use crate::hub::rendition::Rendition;
use crate::net::escaped::Escaped;

/// FFmpeg's lines are short; a library that dumps a buffer must not fill ours.
const LINE_MAX: u64 = 2048;
/// Lines of one process that reach the log, before the rest is only counted: a damaged stream can cause thousands.
const LOGGED_MAX: u64 = 50;

/// Facts from FFmpeg's log.
#[derive(Debug, Default)]
pub(super) struct StderrFindings {
    /// The first line that says why it failed.
    pub(super) diagnosis: Option<Diagnosis>,
    /// Whether FFmpeg could not begin the output that carries the source's audio.
    pub(super) audio_refused: bool,
    /// Whether it reads a file, which may end.
    pub(super) is_file: bool,
    /// The last line, without secrets.
    pub(super) last_line: Option<String>,
}

/// Reads `stderr` to its end.
pub(super) async fn read(
    stderr: impl AsyncRead + Unpin,
    rendition: Arc<Rendition>,
    url: Option<SourceUrl>,
) -> StderrFindings {
    let is_file = url.as_ref().is_some_and(SourceUrl::is_file);
    let mut findings = StderrFindings { is_file, ..StderrFindings::default() };
    let mut reader = BufReader::with_capacity(1024, stderr);
    let mut line = Vec::new();
    let mut lines = 0u64;
    loop {
        line.clear();
        match (&mut reader).take(LINE_MAX).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        let text = url.as_ref().map_or_else(|| text.to_owned(), |url| url.redact(text));
        if is_harmless(&text) {
            debug!(target: "ffmpeg", rendition = rendition.label(), "{}", Escaped(&text));
            continue;
        }
        lines += 1;
        if lines <= LOGGED_MAX {
            warn!(target: "ffmpeg", rendition = rendition.label(), "{}", Escaped(&text));
        }
        findings.audio_refused |= refuses_audio(&text);
        findings.diagnosis = findings.diagnosis.or_else(|| diagnose_source(&text, url.as_ref()));
        findings.last_line = Some(text);
    }
    if lines > LOGGED_MAX {
        warn!(target: "ffmpeg", rendition = rendition.label(), "{} more lines not logged", lines - LOGGED_MAX);
    }
    findings
}

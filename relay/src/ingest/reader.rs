//! Decides what reads a source: the relay itself, which adds no delay, or FFmpeg, which reads nearly everything.
//!
//! | configured | reads |
//! | --- | --- |
//! | `direct`, `ffmpeg` | that one, always |
//! | `auto` | the relay, where the source is RTSP over TCP without FFmpeg options; otherwise FFmpeg |
//!
//! `auto` falls back to FFmpeg when the direct reader finds a property of the camera that it does not support. The fallback is
//! remembered for [`REMEMBERED`], or until the stream's configuration changes, which starts a new policy. If the direct reader
//! only failed to understand the camera, FFmpeg gets one run as a trial, and the fallback is remembered once that run has had
//! video. A camera that cannot be reached, refuses credentials or goes away causes no fallback: these are not reported here.
//!
//! Pure: configuration, events and time in; decisions out.

use std::fmt;
use std::time::Duration;

use sightline_protocol::message::OfflineReason;
use tokio::time::Instant;

use crate::config::{Reader, RtspTransport, Source};

/// A fallback outlasts restarts of the camera, but not an upgrade of its firmware by more than this.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// A direct reader that had video for this long understands the camera: one packet was damaged, and another run is better than
/// FFmpeg's delay. A camera that is misunderstood more often goes to FFmpeg.
const UNDERSTOOD: Duration = Duration::from_secs(60);

/// What the direct reader does not support. A label of metrics: bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Frames come in another order than they are displayed.
    BFrames,
    /// The video is neither H.264 nor H.265.
    Codec,
    /// The audio is in a codec, or a packetization, that it does not know.
    Audio,
    /// More than one SPS or PPS, of which it would keep the last.
    ParameterSets,
    /// The marker bit ends each slice instead of each access unit.
    Slices,
    /// The camera sends media by UDP only.
    UdpOnly,
    /// An access unit that is larger than it accepts.
    FrameSize,
    /// The camera asks for a login of a kind that it does not know.
    Login,
    /// The session description has no video that it can find.
    NoVideo,
    /// A message or packet that it cannot parse.
    NotUnderstood,
    /// The configuration asks for what only FFmpeg does.
    Configuration,
}

impl Cause {
    /// As metrics name it.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::BFrames => "b_frames",
            Self::Codec => "codec",
            Self::Audio => "audio",
            Self::ParameterSets => "parameter_sets",
            Self::Slices => "slices",
            Self::UdpOnly => "udp_only",
            Self::FrameSize => "frame_size",
            Self::Login => "login",
            Self::NoVideo => "no_video",
            Self::NotUnderstood => "not_understood",
            Self::Configuration => "configuration",
        }
    }

    /// Whether FFmpeg may fail as well, so that the fallback is remembered only after FFmpeg had video.
    fn needs_trial(self) -> bool {
        matches!(self, Self::Login | Self::NoVideo | Self::NotUnderstood)
    }

    /// The reason that viewers receive where no other reader takes over.
    fn offline_reason(self) -> OfflineReason {
        match self {
            Self::Codec => OfflineReason::UnsupportedCodec,
            Self::NoVideo => OfflineReason::NoVideo,
            _ => OfflineReason::Failed,
        }
    }
}

/// Why the direct reader cannot read a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unsupported {
    /// The kind of reason.
    pub(super) cause: Cause,
    /// A clause without credentials, such as "the camera sends B-frames".
    pub(super) message: String,
}

impl Unsupported {
    pub(super) fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self { cause, message: message.into() }
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What reads the source in the next run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SelectedReader<'a> {
    /// The relay.
    Direct,
    /// FFmpeg, and why not the relay, where that has a reason other than the configuration of `reader` or the kind of source.
    Ffmpeg(Option<&'a Unsupported>),
}

/// What follows from an unsupported camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UnsupportedAction {
    /// FFmpeg reads it at once.
    Fallback,
    /// The run has failed.
    Fail(OfflineReason, String),
}

/// A fallback to FFmpeg in an earlier run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PastFallback {
    unsupported: Unsupported,
    /// Until when it is remembered; without, FFmpeg's next run is a trial.
    until: Option<Instant>,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct ReaderPolicy {
    configured: Reader,
    /// Why `auto` never tries the direct reader.
    ineligible: Option<Option<Unsupported>>,
    fallback: Option<PastFallback>,
}

impl ReaderPolicy {
    /// The policy for a source as it is configured.
    pub(super) fn new(source: &Source) -> Self {
        Self { configured: source.reader, ineligible: ineligible(source), fallback: None }
    }

    /// What reads the source in a run that begins at `now`.
    pub(super) fn choose(&mut self, now: Instant) -> SelectedReader<'_> {
        self.fallback.take_if(|fallback| fallback.until.is_some_and(|until| now >= until));
        match (self.configured, &self.ineligible, &self.fallback) {
            (Reader::Direct, ..) | (Reader::Auto, None, None) => SelectedReader::Direct,
            (Reader::Ffmpeg, ..) => SelectedReader::Ffmpeg(None),
            (Reader::Auto, Some(reason), _) => SelectedReader::Ffmpeg(reason.as_ref()),
            (Reader::Auto, None, Some(fallback)) => SelectedReader::Ffmpeg(Some(&fallback.unsupported)),
        }
    }

    /// The direct reader has stopped, after video for as long as `played`, at a camera that it does not support.
    pub(super) fn unsupported(
        &mut self,
        unsupported: Unsupported,
        played: Duration,
        now: Instant,
    ) -> UnsupportedAction {
        let Unsupported { cause, message } = &unsupported;
        if self.configured == Reader::Direct {
            let verb = if cause.needs_trial() { "tries" } else { "reads" };
            let message = format!("{message}; with reader = \"auto\", FFmpeg {verb} it");
            return UnsupportedAction::Fail(cause.offline_reason(), message);
        }
        if *cause == Cause::NotUnderstood && played >= UNDERSTOOD {
            return UnsupportedAction::Fail(
                OfflineReason::Ended,
                format!("the camera sent what cannot be read: {message}"),
            );
        }
        let until = (!cause.needs_trial()).then(|| now + REMEMBERED);
        self.fallback = Some(PastFallback { unsupported, until });
        UnsupportedAction::Fallback
    }

    /// A run of FFmpeg has ended. `had_video` is whether it had any.
    pub(super) fn ffmpeg_ended(&mut self, had_video: bool, now: Instant) {
        self.fallback = self.fallback.take().and_then(|fallback| match fallback.until {
            Some(_) => Some(fallback),
            None => had_video.then(|| PastFallback { until: Some(now + REMEMBERED), ..fallback }),
        });
    }
}

/// Why `auto` uses FFmpeg for `source`. The inner reason is set if another configuration would allow the direct reader.
fn ineligible(source: &Source) -> Option<Option<Unsupported>> {
    let reason = |message: &str| Some(Some(Unsupported::new(Cause::Configuration, message)));
    match source.url.scheme() {
        Some("rtsp") if source.rtsp_transport == RtspTransport::Udp => {
            reason("the configuration asks for RTSP over UDP")
        }
        Some("rtsp") if source.encode.is_some() => reason("the configuration asks for an encoder"),
        Some("rtsp") if !source.input_options.is_empty() => reason("the configuration has FFmpeg options"),
        Some("rtsp") => None,
        Some("rtsps") => reason("the source uses RTSP over TLS"),
        _ => Some(None),
    }
}

#[cfg(test)]
mod tests;

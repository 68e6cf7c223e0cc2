//! What FFmpeg's complaints mean to the person who configured the stream. Text in, kind and sentence out.

use sightline_protocol::message::OfflineReason;

/// A kind of failure and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// The kind of failure.
    pub reason: OfflineReason,
    /// The cause and its remedy.
    pub message: String,
}

/// What FFmpeg writes, in lower case, and what that means. The first match wins, so the specific come first.
const SIGNS: &[(&str, OfflineReason, &str)] = &[
    ("401 unauthorized", OfflineReason::Unauthorized, UNAUTHORIZED),
    ("403 forbidden", OfflineReason::Unauthorized, UNAUTHORIZED),
    ("404 not found", OfflineReason::NotFound, NOT_FOUND),
    ("404 stream not found", OfflineReason::NotFound, NOT_FOUND),
    ("no such file or directory", OfflineReason::NotFound, NOT_FOUND),
    ("matches no streams", OfflineReason::NoVideo, "the source has no video; choose one that has"),
    ("could not find tag for codec", OfflineReason::UnsupportedCodec, UNSUPPORTED),
    ("connection refused", OfflineReason::Unreachable, UNREACHABLE),
    ("connection timed out", OfflineReason::Unreachable, UNREACHABLE),
    ("operation timed out", OfflineReason::Unreachable, UNREACHABLE),
    ("no route to host", OfflineReason::Unreachable, UNREACHABLE),
    ("network is unreachable", OfflineReason::Unreachable, UNREACHABLE),
    ("failed to resolve hostname", OfflineReason::Unreachable, UNREACHABLE),
    ("name or service not known", OfflineReason::Unreachable, UNREACHABLE),
    ("error number -138 occurred", OfflineReason::Unreachable, UNREACHABLE),
];

const UNAUTHORIZED: &str = "the source refuses the user name or password; correct them in the configuration";
const NOT_FOUND: &str = "the source's server does not have this path; correct it in the configuration";
const UNREACHABLE: &str =
    "the source cannot be reached; check that it is switched on and that the address in the configuration is right";
const UNSUPPORTED: &str =
    "the source's video is neither H.264 nor H.265; set `encode = \"h264\"` for this stream in the configuration";

/// What a line of FFmpeg's log means, where it means anything to us.
pub fn diagnose(line: &str) -> Option<Diagnosis> {
    let line = line.to_ascii_lowercase();
    SIGNS
        .iter()
        .find(|(sign, ..)| line.contains(sign))
        .map(|&(_, reason, message)| Diagnosis { reason, message: message.to_owned() })
}

/// How FFmpeg names the second of its outputs, that of the source's audio, when it cannot begin it: 5.1 and newer ones.
const AUDIO_OUTPUT: &[&str] = &["header for output file #1", "[out#1/nut"];

/// Whether a line of FFmpeg's log says that it cannot begin the output of the source's audio.
pub fn refuses_audio(line: &str) -> bool {
    AUDIO_OUTPUT.iter().any(|output| line.contains(output)) && line.contains("Could not write header")
}

/// Warnings that FFmpeg logs at the start of every healthy source. The first packets of an RTSP session have no timestamps, one
/// fragment on a pipe is too little to estimate a frame rate, and telephone codecs do not declare their channel.
const HARMLESS: &[&str] = &[
    "codec frame size is not set",
    "guessed channel layout",
    "timestamps are unset in a packet",
    "previous: 0, current: 0; changing to 1",
    "not enough frames to estimate rate",
];

/// Whether a line of FFmpeg's log is of no interest to the operator.
pub fn is_harmless(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    HARMLESS.iter().any(|harmless| line.contains(harmless))
}

impl Diagnosis {
    /// The source's video cannot be forwarded.
    pub fn unsupported() -> Self {
        Self { reason: OfflineReason::UnsupportedCodec, message: UNSUPPORTED.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ffmpeg_errors_map_to_diagnoses() {
        for (line, reason) in [
            ("[rtsp @ 0x5] method DESCRIBE failed: 401 Unauthorized", OfflineReason::Unauthorized),
            ("rtsp://h/x: Server returned 404 Not Found", OfflineReason::NotFound),
            ("[tcp @ 0x5] Connection to tcp://127.0.0.1:1 failed: Connection refused", OfflineReason::Unreachable),
            ("Stream map '0:v:0' matches no streams.", OfflineReason::NoVideo),
            (
                "Could not find tag for codec vp8 in stream #0, codec not currently supported",
                OfflineReason::UnsupportedCodec,
            ),
        ] {
            assert_eq!(diagnose(line).map(|diagnosis| diagnosis.reason), Some(reason), "{line}");
        }
        assert!(refuses_audio("Could not write header for output file #1 (incorrect codec parameters ?): Invalid"));
        assert!(refuses_audio("[out#1/nut @ 0x5] Could not write header (incorrect codec parameters ?): Invalid"));
        assert!(!refuses_audio("Could not write header for output file #0 (incorrect codec parameters ?): Invalid"));
        let harmless = "[mp4 @ 0x5] Timestamps are unset in a packet for stream 0";
        assert_eq!((diagnose(harmless), is_harmless(harmless)), (None, true));
        assert!(!is_harmless("Non-monotonous DTS in output stream 0:0; previous: 900, current: 800; changing to 901"));
    }
}

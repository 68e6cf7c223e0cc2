//! What FFmpeg's complaints mean to the person who configured the stream. Text in, kind and sentence out.

use sightline_protocol::message::OfflineReason;

use crate::config::SourceUrl;

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
    ("failed: 453", OfflineReason::Failed, TOO_MANY_VIEWERS),
    ("failed: 454", OfflineReason::Failed, NO_SESSION),
    ("failed: 461", OfflineReason::Failed, UDP_ONLY),
    ("nonmatching transport in server reply", OfflineReason::Failed, UDP_ONLY),
    ("failed: 400", OfflineReason::Failed, BAD_REQUEST),
    ("400 bad request", OfflineReason::Failed, BAD_REQUEST),
    ("failed: 500", OfflineReason::Unreachable, BUSY),
    ("failed: 502", OfflineReason::Unreachable, BUSY),
    ("failed: 503", OfflineReason::Unreachable, BUSY),
    ("failed: 504", OfflineReason::Unreachable, BUSY),
    ("failed: 301", OfflineReason::Failed, REDIRECT),
    ("failed: 302", OfflineReason::Failed, REDIRECT),
    ("not on whitelist", OfflineReason::Failed, REDIRECT),
    ("exceeds specified max pixel count", OfflineReason::Failed, TOO_LARGE),
    ("cannot allocate memory", OfflineReason::Failed, MEMORY),
    // x264, which does not say why it cannot begin.
    ("malloc of size", OfflineReason::Failed, MEMORY),
    ("401 unauthorized", OfflineReason::Unauthorized, UNAUTHORIZED),
    ("403 forbidden", OfflineReason::Unauthorized, UNAUTHORIZED),
    ("404 not found", OfflineReason::NotFound, NOT_FOUND),
    ("404 stream not found", OfflineReason::NotFound, NOT_FOUND),
    ("no such file or directory", OfflineReason::NotFound, NOT_FOUND),
    ("no such device", OfflineReason::NotFound, NOT_FOUND),
    ("matches no streams", OfflineReason::NoVideo, "the source has no video; choose one that has"),
    ("could not find tag for codec", OfflineReason::UnsupportedCodec, UNSUPPORTED),
    ("failed to resolve hostname", OfflineReason::Unreachable, UNRESOLVED),
    ("failed to lookup address", OfflineReason::Unreachable, UNRESOLVED),
    ("name or service not known", OfflineReason::Unreachable, UNRESOLVED),
    ("name resolution", OfflineReason::Unreachable, UNRESOLVED),
    ("connection refused", OfflineReason::Unreachable, UNREACHABLE),
    ("connection timed out", OfflineReason::Unreachable, UNREACHABLE),
    ("operation timed out", OfflineReason::Unreachable, UNREACHABLE),
    ("no route to host", OfflineReason::Unreachable, UNREACHABLE),
    ("network is unreachable", OfflineReason::Unreachable, UNREACHABLE),
    ("error number -138 occurred", OfflineReason::Unreachable, UNREACHABLE),
];

const UNAUTHORIZED: &str = "the source refuses the user name or password; correct them in the configuration";
const NOT_FOUND: &str = "the source's server does not have this path; correct it in the configuration";
const UNREACHABLE: &str =
    "the source cannot be reached; check that it is switched on and that the address in the configuration is right";
const UNRESOLVED: &str = "the host name in the source's address does not resolve; correct it in the configuration, or check this \
                          machine's DNS. After an unescaped @ or / in the password, the rest of it is read as the host";
const UNSUPPORTED: &str =
    "the source's video is neither H.264 nor H.265; set `encode = \"h264\"` for this stream in the configuration";

const TOO_MANY_VIEWERS: &str = "the camera has too many viewers or too little bandwidth (453); close other viewers \
                                of the camera, or raise its limit of connections";
const NO_SESSION: &str =
    "the camera does not know the session that it has just begun (454); restart the camera or update its firmware";
const UDP_ONLY: &str =
    "the camera sends media by UDP only (461); set `rtsp_transport = \"udp\"` for this stream in the configuration";
const BAD_REQUEST: &str =
    "the camera does not accept the request (400 Bad Request); check the path of the address in the configuration";
const BUSY: &str = "the camera is busy or starting (500 to 504, such as 503); the relay tries again";
/// A redirect of RTSP, to whatever host.
pub const REDIRECT: &str =
    "the source leads to another address, which the relay does not follow; put that address into the configuration";
/// A frame of more pixels than FFmpeg decodes or browsers do.
pub const TOO_LARGE: &str = "the source's frames are larger than 8192x4352; lower its resolution";
/// The end of an FFmpeg by its memory limit.
const MEMORY: &str = "FFmpeg needs more memory than `limits.ffmpeg_mib` allows; lower the source's resolution, or raise it in \
                      the configuration";

/// What a source that ended says of itself.
pub const ENDED: &str = "the source ended; check that it is switched on";
/// The same for a file.
pub const FILE_ENDED: &str = "the file ended; `input_options = [\"-re\", \"-stream_loop\", \"-1\"]` repeats it";
/// What FFmpeg's refused login may mean besides a wrong password.
const SHA256: &str =
    "if they are right, the camera may ask for Digest SHA-256, which the relay knows with rtsp:// only";

/// What a line of FFmpeg's log, or an error of the direct reader, means, where it means anything to us.
pub fn diagnose(line: &str) -> Option<Diagnosis> {
    let line = line.to_ascii_lowercase();
    SIGNS
        .iter()
        .find(|(sign, ..)| line.contains(sign))
        .map(|&(_, reason, message)| Diagnosis { reason, message: message.to_owned() })
}

/// The diagnosis of a line of FFmpeg's log for this source, which is no camera where it is a file or a device.
pub fn diagnose_source(line: &str, source: Option<&SourceUrl>) -> Option<Diagnosis> {
    let mut found = diagnose(line)?;
    let Some(source) = source else { return Some(found) };
    match found.message.as_str() {
        NOT_FOUND if source.is_device() => {
            found.message = format!("there is no such device as {source}; check that it is connected, and its name");
        }
        NOT_FOUND if source.is_file() && !source.reveal().starts_with(['/', '.']) => {
            found.message = format!(
                "there is no such file as {source}; correct its name in the configuration. An address has a scheme, such as \
                 rtsp://{source}"
            );
        }
        NOT_FOUND if source.is_file() => {
            found.message = format!("there is no such file as {source}; correct its name in the configuration");
        }
        UNAUTHORIZED if source.scheme() == Some("rtsps") => found.message = format!("{UNAUTHORIZED}; {SHA256}"),
        _ => {}
    }
    Some(found)
}

/// How FFmpeg names the second of its outputs, that of the source's audio, when it cannot begin it: 5.1 and newer ones.
const AUDIO_OUTPUT: &[&str] = &["header for output file #1", "[out#1/nut"];

/// Whether a line of FFmpeg's log says that it cannot begin the output of the source's audio.
pub fn refuses_audio(line: &str) -> bool {
    AUDIO_OUTPUT.iter().any(|output| line.contains(output)) && line.contains("Could not write header")
}

/// Warnings that FFmpeg logs at the start of every healthy source. The first packets of an RTSP session have no timestamps. One
/// fragment on a pipe is too little to estimate a frame rate. Telephone codecs do not declare their channel.
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
    /// Whether it ends an FFmpeg that has had video as well.
    pub fn is_fatal(&self) -> bool {
        self.message == MEMORY || self.message == TOO_LARGE
    }

    /// The source's video cannot be forwarded.
    pub fn unsupported() -> Self {
        Self { reason: OfflineReason::UnsupportedCodec, message: UNSUPPORTED.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::http_guard::OTHER_HOST;
    use crate::ingest::rtsp::CLOCK_WRONG;
    use crate::ingest::rtsp_guard::Refusal;
    use crate::ingest::run::CLOCK_REWIND;

    #[test]
    fn ffmpeg_errors_map_to_diagnoses() {
        for (line, reason) in [
            ("[rtsp @ 0x5] method DESCRIBE failed: 401 Unauthorized", OfflineReason::Unauthorized),
            ("rtsp://h/x: Server returned 404 Not Found", OfflineReason::NotFound),
            ("[rtsp @ 0x5] method PLAY failed: 454 Session Not Found", OfflineReason::Failed),
            ("[rtsp @ 0x5] method DESCRIBE failed: 503 Service Unavailable", OfflineReason::Unreachable),
            ("[tcp @ 0x5] Connection to tcp://127.0.0.1:1 failed: Connection refused", OfflineReason::Unreachable),
            ("[rtsp @ 0x5] Failed to resolve hostname camera: Name or service not known", OfflineReason::Unreachable),
            ("failed to lookup address information: Name or service not known", OfflineReason::Unreachable),
            ("x264 [error]: malloc of size 21414530 failed", OfflineReason::Failed),
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

    #[test]
    fn files_and_devices_are_named() {
        let said = |source: &str, line: &str| {
            diagnose_source(line, Some(&SourceUrl::new(source))).map(|diagnosis| diagnosis.message).unwrap_or_default()
        };
        let missing = "No such file or directory";
        assert!(said("/dev/video9", missing).contains("no such device as /dev/video9"));
        assert!(said("/srv/a.mp4", missing).contains("no such file as /srv/a.mp4"));
        assert!(said("camera.lan/a", missing).contains("such as rtsp://camera.lan/a"));
        assert!(!said("/srv/a.mp4", missing).contains("rtsp://"));
        assert_eq!(said("rtsp://camera/a", missing), NOT_FOUND);
        assert_eq!(said("rtsp://camera/a", "Failed to resolve hostname camera"), UNRESOLVED);
        assert!(said("rtsps://camera/a", "401 Unauthorized").contains("SHA-256"));
    }

    #[test]
    fn troubleshooting_lists_every_sentence() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/troubleshooting.md");
        let page = std::fs::read_to_string(path).expect("the page is there");
        let own = [
            ENDED,
            FILE_ENDED,
            SHA256,
            OTHER_HOST,
            CLOCK_REWIND,
            CLOCK_WRONG,
            "there is no such device as",
            "there is no such file as",
        ];
        let refusals = Refusal::examples();
        let listed =
            SIGNS.iter().map(|(.., message)| (*message).to_owned()).chain(own.map(str::to_owned)).chain(refusals);
        for sentence in listed.chain([UNSUPPORTED.to_owned()]) {
            assert!(page.contains(&sentence), "docs/troubleshooting.md lacks: {sentence}");
        }
    }
}

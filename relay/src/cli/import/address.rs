//! One source of go2rtc: an address, or `ffmpeg:` and an input, with options after `#`.

use super::draft::DraftInput;
use super::literal;

/// Schemes that the relay reads.
const SCHEMES: [&str; 5] = ["rtsp", "rtsps", "rtmp", "http", "https"];
/// Options after `#` that mean nothing for the relay, or that it does by itself.
const NEEDLESS: [&str; 5] = ["backchannel", "timeout", "audio", "async", "killsignal"];

/// A source, and the notes on what is left out of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SourceAddress {
    pub(super) input: DraftInput,
    pub(super) notes: Vec<String>,
}

/// What a source of go2rtc is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SourceKind {
    /// An input of the relay.
    Address(SourceAddress),
    /// `ffmpeg:NAME`, another stream of the same file, encoded.
    Stream(String),
    /// None that the relay reads. The reason is a clause.
    Other(String),
}

impl SourceKind {
    /// Reads a source.
    pub(super) fn parse(text: &str) -> Self {
        let (body, options) = text.split_once('#').unwrap_or((text, ""));
        let (body, is_ffmpeg) = body.strip_prefix("ffmpeg:").map_or((body, false), |body| (body, true));
        let device = body.strip_prefix("v4l2:").unwrap_or(body);
        if let Some(query) = device.strip_prefix("device?") {
            return Self::device(query);
        }
        let (scheme, after) = body.split_once(':').unwrap_or((body, ""));
        if scheme == "rtspx" {
            let mut address = Self::address(&format!("rtsps:{after}"), options);
            address.notes.push("rtspx:// is rtsps:// here".to_owned());
            return Self::Address(address);
        }
        if SCHEMES.contains(&scheme) && after.starts_with("//") {
            return Self::Address(Self::address(body, options));
        }
        match scheme {
            _ if is_ffmpeg && body.starts_with('/') => Self::Address(Self::address(body, options)),
            _ if is_ffmpeg && after.is_empty() && !body.is_empty() && !body.contains('?') => {
                Self::Stream(body.to_owned())
            }
            "exec" | "echo" | "expr" => Self::Other(format!(
                "{scheme}: runs a program, and Sightline starts none; let the program publish to MediaMTX, and read it from there"
            )),
            "onvif" => {
                Self::Other("onvif:// asks the camera for its address; write the camera's rtsp:// address".to_owned())
            }
            _ if is_ffmpeg => Self::Other("its input is one of go2rtc's own; write an address".to_owned()),
            _ if after.is_empty() => Self::Other("its source has no scheme; write an rtsp:// address".to_owned()),
            scheme => Self::Other(format!(
                "Sightline does not read {scheme}: sources; write an rtsp:// address of the camera"
            )),
        }
    }

    fn address(body: &str, options: &str) -> SourceAddress {
        let (source, mut notes) = variables(body);
        let mut input = DraftInput { source, ..DraftInput::default() };
        let is_rtsp = input.source.starts_with("rtsp");
        for option in options.split('#').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match (name, value) {
                ("media", "video") => input.silent = true,
                ("transport", "udp") | ("input", "rtsp/udp") => input.udp = true,
                ("transport", "tcp") | ("input", "rtsp") | ("video", "copy") => {}
                // The relay encodes for the browsers that need it.
                ("video", _) if is_rtsp => {}
                ("video", _) => input.encode = true,
                (name, _) if NEEDLESS.contains(&name) => {}
                // The value may be a secret, as in `header`.
                (name, _) => notes.push(format!("the option #{name}")),
            }
        }
        SourceAddress { input, notes }
    }

    /// A webcam: `video=/dev/video0&video_size=1280x720`.
    fn device(query: &str) -> Self {
        let mut input =
            DraftInput { encode: true, input_options: vec!["-f".into(), "v4l2".into()], ..DraftInput::default() };
        let mut notes = Vec::new();
        for (name, value) in query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
            match name {
                "video" if value.starts_with("/dev/") => input.source = value.to_owned(),
                "video" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                    input.source = format!("/dev/video{value}");
                }
                "video_size" | "framerate" | "input_format" => {
                    input.input_options.extend([format!("-{name}"), literal(value)]);
                }
                name => notes.push(format!("the option {name} of a device")),
            }
        }
        if input.source.is_empty() {
            return Self::Other("the device has no name such as /dev/video0".to_owned());
        }
        Self::Address(SourceAddress { input, notes })
    }
}

/// go2rtc's variables, `${NAME}` and `${NAME:default}`, as those of the configuration.
fn variables(text: &str) -> (String, Vec<String>) {
    let (mut out, mut notes, mut rest) = (String::new(), Vec::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let name =
            after.split_once('}').map(|(inside, after)| (inside.split(':').next().unwrap_or_default(), inside, after));
        match name.filter(|(name, ..)| is_variable(name)) {
            Some((name, inside, after)) => {
                if name.len() < inside.len() {
                    notes.push(format!("the default of the variable {name}"));
                }
                out.extend(["${", name, "}"]);
                rest = after;
            }
            None => {
                out.push_str("$${");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    (out, notes)
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SourceAddress {
        match SourceKind::parse(text) {
            SourceKind::Address(address) => address,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn options_become_keys_or_notes() {
        let plain = |source: &str| DraftInput { source: source.to_owned(), ..DraftInput::default() };
        for (text, input, notes) in [
            ("rtsp://u:p@c/a?x=1#backchannel=0#timeout=30", plain("rtsp://u:p@c/a?x=1"), &[][..]),
            (
                "rtsp://c/a#media=video#transport=udp",
                DraftInput { silent: true, udp: true, ..plain("rtsp://c/a") },
                &[],
            ),
            ("ffmpeg:rtsp://c/a#video=h264#audio=aac", plain("rtsp://c/a"), &[]),
            ("ffmpeg:rtsp://c/a#video=h264#rotate=90", plain("rtsp://c/a"), &["the option #rotate"]),
            ("ffmpeg:http://c/a.mjpeg#video=h264", DraftInput { encode: true, ..plain("http://c/a.mjpeg") }, &[]),
            ("http://c/a#header=Authorization: Bearer S3cret", plain("http://c/a"), &["the option #header"]),
            ("ffmpeg:/media/a.mp4", plain("/media/a.mp4"), &[]),
            ("rtspx://c:7441/k", plain("rtsps://c:7441/k"), &["rtspx:// is rtsps:// here"]),
            ("rtsp://u:${PASS}@c/a", plain("rtsp://u:${PASS}@c/a"), &[]),
            ("rtsp://u:${PASS:x}@c/${a b}", plain("rtsp://u:${PASS}@c/$${a b}"), &["the default of the variable PASS"]),
        ] {
            let notes = notes.iter().map(|&note| note.to_owned()).collect();
            assert_eq!(address(text), SourceAddress { input, notes }, "{text}");
        }
        let device = address("ffmpeg:device?video=0&video_size=1280x720#video=h264").input;
        assert_eq!((device.source.as_str(), device.encode), ("/dev/video0", true));
        assert_eq!(device.input_options, ["-f", "v4l2", "-video_size", "1280x720"]);
    }

    #[test]
    fn other_sources_say_why() {
        assert_eq!(SourceKind::parse("ffmpeg:yard#audio=aac"), SourceKind::Stream("yard".to_owned()));
        for (text, says) in [
            ("exec:ffmpeg -i rtsp://u:S3cret@c -f rtsp {output}", "starts none"),
            ("echo:python3 x.py", "starts none"),
            ("onvif://u:S3cret@c", "rtsp:// address"),
            ("dvrip://u:S3cret@c", "does not read dvrip: sources"),
            ("homekit:x", "does not read homekit: sources"),
            ("ffmpeg:virtual?video", "own"),
            ("camera", "no scheme"),
            ("", "no scheme"),
            ("ffmpeg:device?audio=1", "/dev/video0"),
        ] {
            let SourceKind::Other(reason) = SourceKind::parse(text) else { panic!("{text}") };
            assert!(reason.contains(says) && !reason.contains("S3cret"), "{text}: {reason}");
        }
    }
}

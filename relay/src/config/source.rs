//! A stream's source, and the redaction of its address from everything that people see.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv4Addr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use sightline_protocol::stream::StreamName;
use url::Url;

use super::Label;

/// A stream's source in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// FFmpeg's input: an address, a device, a file or a filter graph.
    pub url: SourceUrl,
    /// FFmpeg options for that input, such as `-f v4l2`.
    pub input_options: Vec<String>,
    /// Hosts besides the address's that an HTTP source may lead to.
    pub redirect_hosts: Vec<String>,
    /// The program that reads the source.
    pub reader: Reader,
    /// The transport of RTSP media.
    pub rtsp_transport: RtspTransport,
    /// Encode with this codec, for sources without a codec that browsers play.
    pub encode: Option<Encode>,
    /// Whether to declare in the parameter sets of a stream without B-frames that it has none, so that decoders do not wait for
    /// any.
    pub amend_sps: bool,
    /// The handling of the source's audio.
    pub audio: Audio,
    /// Whether the source runs without viewers, too.
    pub keep_running: bool,
    /// The camera's second, smaller stream.
    pub sub: Option<SourceUrl>,
    /// The title and the group of the stream.
    pub label: Label,
}

impl Source {
    /// The source of the camera's sub stream, without audio: that of the main stream belongs to both.
    pub fn of_sub(&self) -> Option<Self> {
        let url = self.sub.clone()?;
        Some(Self { url, encode: None, audio: Audio::Off, keep_running: false, sub: None, ..self.clone() })
    }

    /// Whether both are read in the same way; their labels may differ.
    pub fn reads_as(&self, other: &Self) -> bool {
        Self { label: Label::default(), ..self.clone() } == Self { label: Label::default(), ..other.clone() }
    }

    /// The values of an input option, such as `-f`.
    pub fn option_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.input_options.windows(2).filter(move |pair| pair[0] == name);
        pairs.map(|pair| pair[1].as_str())
    }
}

/// The program that reads a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reader {
    /// The relay itself where it supports the source, otherwise FFmpeg.
    #[default]
    Auto,
    /// FFmpeg, which reads nearly everything and delays an RTSP camera by two frames.
    Ffmpeg,
    /// The relay itself, which supports H.264 and H.265 without B-frames by RTSP over TCP and adds no delay.
    Direct,
}

/// The handling of a source's audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Audio {
    /// Offers audio: AAC and Opus unchanged, other codecs as AAC.
    #[default]
    Auto,
    /// Offers audio, always encoded as AAC: for a camera with AAC that browsers do not play, or for viewers without Opus.
    Aac,
    /// Offers no audio.
    Off,
}

/// The transport of RTSP media (RFC 2326, section 12.39).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RtspTransport {
    /// Interleaved in the RTSP connection: lossless, and passes every firewall that the connection passes.
    #[default]
    Tcp,
    /// UDP packets, which may be lost.
    Udp,
}

/// The codecs that a source can be encoded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encode {
    /// H.264 with the configured encoder.
    H264,
    /// H.265 with libx265.
    H265,
}

/// The address of a source. User information, path and query may each contain a secret (a camera's password, a stream key, a
/// signed token). Only the reader of the source gets more than the scheme.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SourceUrl(String);

/// Characters of a stream's name to percent-encode in a source's URL. MediaMTX allows the others in its paths.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/').remove(b':');

/// Schemes of cameras and servers.
const SCHEMES: [&str; 5] = ["rtsp", "rtsps", "rtmp", "http", "https"];

/// Protocols that FFmpeg opens below the given address. Their addresses contain a host and a port only.
const HARMLESS: [&str; 2] = ["tcp", "udp"];

impl SourceUrl {
    /// An address from a configuration.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The whole address, for FFmpeg's command line only.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The address without user information, and the user name and password. `None` if the address is not a URL.
    pub fn parts(&self) -> Option<(Url, Option<(String, String)>)> {
        let mut url = Url::parse(&self.0).ok()?;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (user, password) = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        Some((url, (!user.is_empty()).then_some((user, password))))
    }

    /// The address with `name` in place of `placeholder`; slashes are kept. In a URL, characters that MediaMTX does not allow
    /// in paths are percent-encoded. FFmpeg takes file names unencoded.
    pub fn with_name(&self, placeholder: &str, name: &StreamName) -> Self {
        let name: Cow<'_, str> = match self.scheme() {
            None | Some("file") => name.as_str().into(),
            Some(_) => utf8_percent_encode(name.as_str(), NAME).into(),
        };
        Self(self.0.replace(placeholder, &name))
    }

    /// The part before `://`.
    pub fn scheme(&self) -> Option<&str> {
        self.0.split_once("://").map(|(scheme, _)| scheme)
    }

    /// Whether it is a device of this machine.
    pub fn is_device(&self) -> bool {
        self.0.starts_with("/dev/")
    }

    /// Whether it is a file of media.
    pub fn is_file(&self) -> bool {
        self.path().is_some() && !self.is_description()
    }

    /// Whether it is a session description (RFC 8866), which names a live source.
    pub fn is_description(&self) -> bool {
        self.0.ends_with(".sdp")
    }

    /// Whether it is a named pipe (fifo(7)) of this machine, which another program fills at its own pace.
    pub fn is_named_pipe(&self) -> bool {
        let metadata = self.path().and_then(|path| std::fs::metadata(path).ok());
        metadata.is_some_and(|metadata| metadata.file_type().is_fifo())
    }

    /// The path of a file of this machine: of media, or of a description of it. None for a device.
    pub fn path(&self) -> Option<&Path> {
        let path = match self.0.split_once("://") {
            Some(("file", path)) => path,
            Some(_) => return None,
            // A filter graph has options.
            None if self.0.contains(['=', ':']) => return None,
            None => &self.0,
        };
        (!self.is_device()).then_some(Path::new(path))
    }

    /// Whether it is an HLS playlist (RFC 8216, section 4) on a web server.
    pub fn is_playlist(&self) -> bool {
        matches!(self.scheme(), Some("http" | "https")) && self.extension() == Some("m3u8")
    }

    /// The extension of the last segment of its path.
    pub fn extension(&self) -> Option<&str> {
        let path = self.0.split(['?', '#']).next().unwrap_or_default();
        path.rsplit('/').next()?.rsplit_once('.').map(|(_, extension)| extension)
    }

    /// Whether it is an address that lacks its scheme, or the `://` after it: `192.0.2.10:554/a`, `user:password@camera/a`,
    /// `rtsp:/camera/a`. Only what can hardly be a file, a device or a filter graph is taken for one.
    pub fn lacks_scheme(&self) -> bool {
        if self.scheme().is_some() || self.0.starts_with(['/', '.']) {
            return false;
        }
        let authority = self.0.split(['/', '?', '#']).next().unwrap_or_default();
        let path_follows = authority.len() < self.0.len();
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let (name, port) = host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
        let has_port = port.is_some_and(|port| port.parse::<u16>().is_ok());
        let is_scheme =
            SCHEMES.iter().any(|scheme| name.eq_ignore_ascii_case(scheme)) && port.is_none_or(str::is_empty);
        let is_address = name.parse::<Ipv4Addr>().is_ok() && (port.is_none() || has_port);
        let is_login = user.is_some_and(|user| user.contains(':') && !user.contains(['=', '\'', ' ', ',']));
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
        (is_scheme && path_follows) || is_address || is_login || (is_name && has_port && path_follows)
    }

    /// A character in the user name or password that ends them, because it begins the path, query or fragment of an address
    /// (RFC 3986, section 3.2).
    pub fn misplaced_character(&self) -> Option<char> {
        let (_, rest) = self.0.split_once("://")?;
        let end = rest.find(['/', '?', '#'])?;
        let (before, after) = rest.split_at(end);
        // No camera's address has a fragment, and none begins before its path.
        if after.starts_with('#') && !before.contains('@') && after.contains('@') {
            return Some('#');
        }
        // What is before is a host, perhaps with a port, or a name and the beginning of a password.
        let (_, port) = before.rsplit_once(':')?;
        let is_port = before.contains('@') || before.starts_with('[') || port.bytes().all(|byte| byte.is_ascii_digit());
        (!is_port && after.contains('@')).then(|| after.chars().next()).flatten()
    }

    /// Removes the address's secrets from `text`, an external program's output that may repeat the address or parts of it.
    pub fn redact(&self, text: &str) -> String {
        let mut out = if self.scheme().is_some() { text.replace(&self.0, &self.to_string()) } else { text.to_owned() };
        for secret in self.secrets() {
            out = out.replace(secret, "***");
        }
        without_addresses(&out)
    }

    /// The user information, as FFmpeg and as people parse it, and the password in it. Longest first, so that replacing a
    /// shorter secret does not leave the rest of a longer one.
    fn secrets(&self) -> Vec<&str> {
        let Some((_, rest)) = self.0.split_once("://") else {
            return Vec::new();
        };
        let before_query = rest.split_once('?').map_or(rest, |(before, _)| before);
        let users = [rest, before_query].into_iter().filter_map(|part| Some(part.rsplit_once('@')?.0));
        let mut secrets: Vec<&str> =
            users.flat_map(|user| [Some(user), user.split_once(':').map(|(_, password)| password)]).flatten().collect();
        secrets.retain(|secret| !secret.is_empty());
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
    }
}

/// Reduces every address in `text` to its scheme. An address may be truncated, so it need not match the source's.
fn without_addresses(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let start = rest[..at].rfind(|c: char| !c.is_ascii_alphanumeric()).map_or(0, |before| before + 1);
        let after = &rest[at + 3..];
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"')).unwrap_or(after.len());
        let address = after[..end].trim_end_matches([':', ',', '.']);
        let shown = if HARMLESS.contains(&&rest[start..at]) { address } else { "…" };
        out.extend([&rest[..at], "://", shown]);
        rest = &after[address.len()..];
    }
    out + rest
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scheme() {
            Some(scheme) => write!(f, "{scheme}://…"),
            None => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_its_scheme_alone() {
        for (url, shown) in [
            ("rtsp://user:secret@10.0.0.2/a", "rtsp://…"),
            ("rtmp://10.0.0.2/live/secret", "rtmp://…"),
            ("/dev/video0", "/dev/video0"),
            ("testsrc2=s=64x36,drawtext=text=a@b", "testsrc2=s=64x36,drawtext=text=a@b"),
        ] {
            assert_eq!(SourceUrl::new(url).to_string(), shown);
        }
    }

    #[test]
    fn name_in_a_pattern_keeps_its_slashes() {
        let name = "site/cam:1 ü?&".parse().unwrap();
        for (pattern, url) in [
            ("rtsp://127.0.0.1:8554/{}", "rtsp://127.0.0.1:8554/site/cam:1%20%C3%BC%3F%26"),
            ("http://127.0.0.1/stream.mp4?src={}&x", "http://127.0.0.1/stream.mp4?src=site/cam:1%20%C3%BC%3F%26&x"),
            ("/var/cams/{}.mp4", "/var/cams/site/cam:1 ü?&.mp4"),
            ("file:///var/cams/{}.mp4", "file:///var/cams/site/cam:1 ü?&.mp4"),
        ] {
            assert_eq!(SourceUrl::new(pattern).with_name("{}", &name), SourceUrl::new(url));
        }
    }

    #[test]
    fn user_name_and_password_are_taken_out_of_an_address() {
        let parts = |url: &str| {
            let (url, user) = SourceUrl::new(url).parts().unwrap();
            (url.to_string(), user)
        };
        let user = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        assert_eq!(parts("rtsp://10.0.0.2:554/a?b=c"), ("rtsp://10.0.0.2:554/a?b=c".to_owned(), None));
        for (url, expected) in [
            ("rtsp://admin:se%40cr%3Aet@cam/a", user("admin", "se@cr:et")),
            ("rtsp://admin:se@cret@cam/a", user("admin", "se@cret")),
            ("rtsp://admin@cam/a", user("admin", "")),
            ("rtsp://admin:100%@cam/a", user("admin", "100%")),
        ] {
            assert_eq!(parts(url), ("rtsp://cam/a".to_owned(), expected), "{url}");
        }
        assert!(SourceUrl::new("/dev/video0").parts().is_none());
    }

    #[test]
    fn raw_characters_in_a_password_are_found() {
        let found = |url: &str| SourceUrl::new(url).misplaced_character();
        for (url, character) in [
            ("rtsp://admin:p#ss@cam/a", '#'),
            ("rtsp://admin:12#34@cam/a", '#'),
            ("rtsp://admin:p/ss@cam/a", '/'),
            ("rtsp://admin:p?ss@cam:554/a?b", '?'),
        ] {
            assert_eq!(found(url), Some(character), "{url}");
        }
        for url in [
            "rtsp://admin:p%23ss@cam/a@b",
            "rtsp://cam:554/a@b",
            "http://10.0.0.2/s.cgi?user=admin@x",
            "rtsp://[::1]:554/a@b",
            "rtsp://cam",
            "/srv/a:b/c@d",
        ] {
            assert_eq!(found(url), None, "{url}");
        }
    }

    #[test]
    fn address_without_its_scheme_is_found() {
        for address in [
            "192.0.2.10",
            "192.0.2.10/stream1",
            "192.0.2.10:554/stream1",
            "camera.lan:554/stream1",
            "admin:secret@192.0.2.10/stream1",
            "admin:secret@camera.lan",
            "rtsp:/192.0.2.10/stream1",
            "rtsp//192.0.2.10/stream1",
        ] {
            assert!(SourceUrl::new(address).lacks_scheme(), "{address}");
        }
        for other in [
            "",
            "x",
            "/dev/video0",
            "cam.mp4",
            "cams/yard.mp4",
            "./192.0.2.10/a",
            "pipe:0",
            "testsrc2=s=64x36:r=25",
            "testsrc2=s=64x36,drawtext=text='a:b@c'",
            "concat:a.ts|b.ts",
            "rtsp://camera/a",
            "udp://239.0.0.1:5000",
        ] {
            assert!(!SourceUrl::new(other).lacks_scheme(), "{other}");
        }
    }

    #[test]
    fn what_ffmpeg_says_is_cleaned() {
        let clean = |url: &str, line: &str| SourceUrl::new(url).redact(line);
        for url in [
            "rtsp://user:secret@10.0.0.2/a?key=hidden",
            "rtsp://user:se?cret@10.0.0.2/hidden",
            "rtsp://user:se@cr/et@10.0.0.2/hidden",
            "http://10.0.0.2/s.cgi?user=admin@hidden&pwd=secret",
        ] {
            let line = format!("{url}: 401 Unauthorized, also '{url}' and {}", &url[..url.len() - 3]);
            let clean = clean(url, &line);
            for leak in ["secret", "hidden", "cret", "cr/et", "admin"] {
                assert!(!clean.contains(leak), "{clean}");
            }
            assert!(clean.contains("://…: 401 Unauthorized"), "{clean}");
        }
        let url = "rtsp://user:secret@10.0.0.2/a";
        assert_eq!(clean(url, "tried user:secret, then secret"), "tried ***, then ***");
        let line = "Connection to tcp://127.0.0.1:1?timeout=10 failed: Connection refused";
        assert_eq!(clean("rtsp://127.0.0.1:1/x", line), line, "where it tried to connect helps and is no secret");
        assert_eq!(clean("/dev/video0", "/dev/video0: No such file"), "/dev/video0: No such file");
    }
}

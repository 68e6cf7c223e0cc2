//! Where a stream comes from, and how its address is kept out of everything that people see.

use std::fmt;

use serde::Deserialize;

/// The input of a stream, as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// FFmpeg's input: an address, a device, a file, a filter graph.
    pub url: SourceUrl,
    /// FFmpeg options for that input, such as `-f v4l2`.
    pub input_options: Vec<String>,
    /// How RTSP carries its media.
    pub rtsp_transport: RtspTransport,
    /// Encode with this codec, for sources that do not already have one that browsers play.
    pub encode: Option<Encode>,
}

/// How RTSP carries its media (RFC 2326, section 12.39).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RtspTransport {
    /// Interleaved in the RTSP connection: nothing is lost, and it passes every firewall the connection passed.
    #[default]
    Tcp,
    /// In UDP packets, which may be lost.
    Udp,
}

/// The codecs a source can be encoded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encode {
    /// H.264 with the configured encoder.
    H264,
    /// H.265 with libx265.
    H265,
}

/// The address of a source. It may hold credentials, so it shows them to nobody but FFmpeg: `Debug` and `Display`
/// leave out user, password and query.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SourceUrl(String);

impl SourceUrl {
    /// An address as it stands in a configuration.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The whole address, for FFmpeg's command line and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The part before `://`.
    pub fn scheme(&self) -> Option<&str> {
        self.0.split_once("://").map(|(scheme, _)| scheme)
    }

    /// `text`, which somebody else wrote and which may repeat the address or parts of it, without its secrets.
    pub fn redact(&self, text: &str) -> String {
        let mut out = text.replace(&self.0, &self.to_string());
        for secret in self.secrets() {
            out = out.replace(secret, "***");
        }
        out
    }

    /// Scheme, user information, the rest up to the query, and the query.
    fn parts(&self) -> (&str, Option<&str>, &str, Option<&str>) {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            return ("", None, &self.0, None);
        };
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        // The last `@`, so that a password with an unescaped one is hidden whole.
        let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
        (scheme, user, rest, query)
    }

    /// Longest first, so that a secret within a secret does not leave the rest of it behind.
    fn secrets(&self) -> Vec<&str> {
        let (_, user, _, query) = self.parts();
        let password = user.and_then(|user| Some(user.split_once(':')?.1));
        [query, user, password].into_iter().flatten().filter(|secret| !secret.is_empty()).collect()
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            ("", _, rest, _) => f.write_str(rest),
            (scheme, _, rest, query) => write!(f, "{scheme}://{rest}{}", if query.is_some() { "?…" } else { "" }),
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
    fn credentials_are_shown_to_nobody() {
        for (url, shown) in [
            ("rtsp://user:secret@10.0.0.2/a", "rtsp://10.0.0.2/a"),
            ("rtsp://user:p@ss/word@10.0.0.2:554/a", "rtsp://10.0.0.2:554/a"),
            ("http://10.0.0.2/s.cgi?user=admin&pwd=secret", "http://10.0.0.2/s.cgi?…"),
            ("rtsp://10.0.0.2/a", "rtsp://10.0.0.2/a"),
            ("/dev/video0", "/dev/video0"),
            ("testsrc2=s=64x36,drawtext=text=a@b", "testsrc2=s=64x36,drawtext=text=a@b"),
        ] {
            let url = SourceUrl::new(url);
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("secret"));
        }
    }

    #[test]
    fn what_ffmpeg_says_is_cleaned() {
        let url = SourceUrl::new("rtsp://user:secret@10.0.0.2/a?key=hidden");
        let line = "rtsp://user:secret@10.0.0.2/a?key=hidden: 401 (tried user:secret, then secret, key=hidden)";
        let clean = url.redact(line);
        assert!(clean.starts_with("rtsp://10.0.0.2/a?…: 401"), "{clean}");
        for leak in ["secret", "hidden", "user:"] {
            assert!(!clean.contains(leak), "{clean}");
        }
    }
}

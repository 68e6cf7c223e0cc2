//! The configuration: one TOML file, every key optional but a source. A misspelt key is an error, not a surprise.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;
use serde::Deserialize;
use sightline_protocol::stream::StreamName;

use crate::hub::ring;
use crate::ingest;
use crate::ingest::ffmpeg::{Encoder, Encoding};
use crate::ingest::places::Places;
use crate::ingest::process::Launcher;
use crate::ingest::source::{Audio, Encode, Reader, RtspTransport, Source, SourceUrl};

pub use access::Password;
pub use limits::{InForce, Limits};
pub use network::Network;
pub use oidc::{KeySource, Oidc};
pub use tls::Tls;
pub use token::TokenKey;
pub use webrtc::{Announced, IceServer, Webrtc};

mod access;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod limits;
mod network;
mod oidc;
mod tls;
mod token;
mod webrtc;

/// What stands in a pattern for the stream's name.
const PLACEHOLDER: &str = "{stream}";

/// The bit rate of a light picture of 640x360, in thousands a second: a tenth of a common HD camera's. Artefacts show
/// where much moves, and nowhere else.
const LOW_KBPS: u32 = 360;
/// What a light picture can be made with: below, nothing can be told apart; above, it is not light.
const LOW_KBPS_RANGE: std::ops::RangeInclusive<u32> = 50..=5000;

/// The relay's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// What it speaks TLS with; HTTP alone, if nothing.
    pub tls: Option<Tls>,
    /// Origins of pages, beside the relay's own, that may connect; `*` for any.
    pub allowed_origins: Vec<String>,
    /// What those who watch have to know; nothing, if none.
    pub password: Option<Password>,
    /// What signs tokens, with one of which it can be watched too.
    pub token_key: Option<TokenKey>,
    /// Whose tokens will do besides.
    pub oidc: Option<Oidc>,
    /// Whether everybody may watch who reaches an address that is not this machine's alone.
    pub open: bool,
    /// The FFmpeg to run.
    pub ffmpeg: PathBuf,
    /// How H.264 is encoded.
    pub encoding: Encoding,
    /// Whether streams have the light variant.
    pub low: bool,
    /// Its bit rate, in thousands a second.
    pub low_kbps: u32,
    /// How long FFmpeg runs on after the last viewer has left.
    pub linger: Duration,
    /// How long a source may send nothing before it is restarted.
    pub silence: Duration,
    /// What a rendition keeps.
    pub ring: ring::Limits,
    /// WebRTC.
    pub webrtc: Webrtc,
    /// What viewers may take of the relay.
    pub limits: Limits,
    /// The streams, in the order of the file.
    pub streams: IndexMap<StreamName, Source>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {0:?}: {1}")]
    Read(PathBuf, std::io::Error),
    /// The file is not TOML, has a key that does not exist, or a value of the wrong kind.
    #[error("line {line} of the configuration {path:?} is not right: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong. Never quotes the line, which may hold a password.
        message: String,
    },
    /// Values that contradict each other or make no sense.
    #[error("the configuration {0:?} is not right: {1}")]
    Invalid(PathBuf, String),
    /// The password in the environment is none.
    #[error("SIGHTLINE_PASSWORD {0}; set it to the password, or unset it")]
    Variable(&'static str),
    /// The password cannot be had.
    #[error("cannot take the password from {0:?}: {1}")]
    Password(PathBuf, String),
    /// The key of tokens in the environment is none.
    #[error("SIGHTLINE_TOKEN_KEY is no key for access tokens: {0}")]
    TokenVariable(String),
    /// The key of tokens cannot be had.
    #[error("cannot take the key of access tokens from {0:?}: {1}")]
    TokenKey(PathBuf, String),
}

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|e| ConfigError::Read(path.to_owned(), e))?;
        let file = File::parse(&text).map_err(|(line, message)| ConfigError::Parse {
            path: path.to_owned(),
            line,
            message,
        })?;
        let beside = |file: &Option<PathBuf>| file.as_ref().map(|file| path.with_file_name("").join(file));
        let (password_file, token_key_file) = (beside(&file.access.password_file), beside(&file.access.token_key_file));
        let mut config = file.resolve().map_err(|message| ConfigError::Invalid(path.to_owned(), message))?;
        if let Some(path) = password_file {
            let password = Password::read(&path).map_err(|message| ConfigError::Password(path, message))?;
            config.password = Some(password);
        }
        config.tls = config.tls.map(|tls| tls.beside(path));
        config.oidc = config.oidc.map(|oidc| oidc.beside(path));
        config.token_key = token_key_file.as_deref().map(TokenKey::read).transpose()?;
        Ok(config)
    }

    /// How its sources are run by `relay`, this program, within `limits`.
    pub fn ingest(&self, relay: Option<PathBuf>, limits: InForce) -> ingest::Settings {
        ingest::Settings {
            launcher: Launcher { ffmpeg: self.ffmpeg.clone(), relay },
            encoding: self.encoding.clone(),
            low_kbps: self.low_kbps,
            linger: self.linger,
            silence: self.silence,
            transcodes: Places::new(limits),
        }
    }

    /// The built-in streams, for a relay that is started without a configuration.
    ///
    /// # Panics
    /// Never: the file is part of the program and its test reads it.
    pub fn demo() -> Self {
        let file = File::parse(include_str!("demo.toml")).expect("demo.toml is right");
        file.resolve().expect("demo.toml is right")
    }
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    listen: SocketAddr,
    tls: Option<Tls>,
    allowed_origins: Vec<String>,
    access: access::Section,
    oidc: Option<oidc::Section>,
    ffmpeg: PathBuf,
    ingest: Ingest,
    webrtc: webrtc::Section,
    limits: limits::Section,
    streams: IndexMap<StreamName, Stream>,
    mediamtx: Option<Pattern>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            tls: None,
            allowed_origins: Vec::new(),
            access: access::Section::default(),
            oidc: None,
            ffmpeg: "ffmpeg".into(),
            ingest: Ingest::default(),
            webrtc: webrtc::Section::default(),
            limits: limits::Section::default(),
            streams: IndexMap::new(),
            mediamtx: None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Ingest {
    linger_seconds: f64,
    silence_seconds: f64,
    ring_mib: usize,
    encoder: Encoder,
    vaapi_device: String,
    low: bool,
    low_kbps: u32,
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            linger_seconds: 10.0,
            silence_seconds: 10.0,
            ring_mib: ring::Limits::default().bytes >> 20,
            encoder: Encoder::default(),
            vaapi_device: "/dev/dri/renderD128".to_owned(),
            low: true,
            low_kbps: LOW_KBPS,
        }
    }
}

/// One stream: `[streams.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stream {
    source: SourceUrl,
    #[serde(default)]
    input_options: Vec<String>,
    #[serde(default)]
    reader: Reader,
    #[serde(default)]
    rtsp_transport: RtspTransport,
    #[serde(default)]
    encode: Option<Encode>,
    #[serde(default = "yes")]
    amend_sps: bool,
    #[serde(default)]
    audio: Audio,
}

/// Many streams of one server: `[mediamtx]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pattern {
    source: SourceUrl,
    streams: Vec<StreamName>,
    #[serde(default)]
    reader: Reader,
    #[serde(default)]
    rtsp_transport: RtspTransport,
    #[serde(default = "yes")]
    amend_sps: bool,
    #[serde(default)]
    audio: Audio,
}

fn yes() -> bool {
    true
}

impl File {
    /// The file, or the line of the mistake and what it is.
    fn parse(text: &str) -> Result<Self, (usize, String)> {
        toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            (before.matches('\n').count() + 1, without_values(error.message()))
        })
    }

    fn resolve(self) -> Result<Config, String> {
        let mut streams: IndexMap<StreamName, Source> =
            self.streams.into_iter().map(|(name, stream)| (name, stream.into())).collect();
        if let Some(pattern) = self.mediamtx {
            for (name, source) in pattern.expand()? {
                if streams.contains_key(&name) {
                    return Err(format!("stream {name} is in [mediamtx] and in [streams.{name}]; remove one of them"));
                }
                streams.insert(name, source);
            }
        }
        if streams.is_empty() {
            return Err("it names no stream; add one, such as [streams.cam0] with source = \"rtsp://…\"".to_owned());
        }
        if let Some((name, _)) = streams.iter().find(|(_, source)| source.url.reveal().is_empty()) {
            return Err(format!("the source of stream {name} is empty"));
        }
        for (name, source) in &mut streams {
            read_directly(name, source)?;
        }
        if self.ingest.ring_mib == 0 {
            return Err("ingest.ring_mib must be at least 1".to_owned());
        }
        if !LOW_KBPS_RANGE.contains(&self.ingest.low_kbps) {
            let (least, most) = (LOW_KBPS_RANGE.start(), LOW_KBPS_RANGE.end());
            return Err(format!("ingest.low_kbps = {} is out of range: {least} to {most}", self.ingest.low_kbps));
        }
        Ok(Config {
            listen: self.listen,
            tls: self.tls,
            allowed_origins: self.allowed_origins,
            password: None,
            token_key: None,
            oidc: self.oidc.map(oidc::Section::resolve).transpose()?,
            open: self.access.open,
            ffmpeg: self.ffmpeg,
            encoding: Encoding { encoder: self.ingest.encoder, vaapi_device: self.ingest.vaapi_device },
            low: self.ingest.low,
            low_kbps: self.ingest.low_kbps,
            linger: seconds("ingest.linger_seconds", self.ingest.linger_seconds)?,
            silence: seconds("ingest.silence_seconds", self.ingest.silence_seconds)?,
            ring: ring::Limits { bytes: self.ingest.ring_mib << 20, ..ring::Limits::default() },
            webrtc: self.webrtc.resolve()?,
            limits: self.limits.resolve()?,
            streams,
        })
    }
}

/// Whether `source` can be as it is where the relay reads it itself. It then has no audio.
fn read_directly(name: &StreamName, source: &mut Source) -> Result<(), String> {
    if source.reader != Reader::Direct {
        return Ok(());
    }
    let beyond = |what: &str| Err(format!("stream {name} has reader = \"direct\", which {what}"));
    if source.url.scheme() != Some("rtsp") {
        return beyond("reads rtsp:// sources only; remove it");
    } else if source.rtsp_transport == RtspTransport::Udp {
        return beyond("reads RTSP over TCP only; remove it, or rtsp_transport");
    } else if source.encode.is_some() || !source.input_options.is_empty() {
        return beyond("takes no FFmpeg; remove it, or encode and input_options");
    } else if source.audio == Audio::Aac {
        return beyond("reads no audio; remove it, or audio");
    }
    source.audio = Audio::Off;
    Ok(())
}

/// A message of the deserializer without the text it found where it expected something else, which may be an address
/// with a password: `invalid type: string "rtsp://…", expected struct Stream`.
fn without_values(message: &str) -> String {
    match (message.find("string \""), message.rfind("\", expected")) {
        (Some(start), Some(end)) if start < end => format!("{}a text{}", &message[..start], &message[end + 1..]),
        _ => message.to_owned(),
    }
}

/// Anything from a tenth of a second to a day.
fn seconds(key: &str, value: f64) -> Result<Duration, String> {
    if (0.1..=86_400.0).contains(&value) {
        Ok(Duration::from_secs_f64(value))
    } else {
        Err(format!("{key} = {value} is out of range: 0.1 to 86400"))
    }
}

impl From<Stream> for Source {
    fn from(stream: Stream) -> Self {
        Self {
            url: stream.source,
            input_options: stream.input_options,
            reader: stream.reader,
            rtsp_transport: stream.rtsp_transport,
            encode: stream.encode,
            amend_sps: stream.amend_sps,
            audio: stream.audio,
        }
    }
}

impl Pattern {
    fn expand(self) -> Result<Vec<(StreamName, Source)>, String> {
        let pattern = self.source.reveal();
        if !pattern.contains(PLACEHOLDER) {
            return Err(format!("mediamtx.source has no {PLACEHOLDER}, so every stream would be the same"));
        }
        let source = |name: &StreamName| Source {
            url: SourceUrl::new(pattern.replace(PLACEHOLDER, name.as_str())),
            input_options: Vec::new(),
            reader: self.reader,
            rtsp_transport: self.rtsp_transport,
            encode: None,
            amend_sps: self.amend_sps,
            audio: self.audio,
        };
        Ok(self.streams.iter().map(|name| (name.clone(), source(name))).collect())
    }
}

#[cfg(test)]
mod tests;

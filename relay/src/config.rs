//! The configuration: parses one TOML file into values. Every key but a source is optional; an unknown key is an error.
//!
//! Imports no other module of the relay: the modules that use a value import it from here.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;
use references::Reference;
use serde::Deserialize;
use sightline_protocol::stream::StreamName;

pub use access::{Credentials, Password};
pub use allow::AllowRule;
pub use cluster::{Cluster, ClusterLogin, ClusterSecret};
pub use encoding::{Encoder, Encoding};
pub use label::Label;
pub use limits::Limits;
pub use listen::parse_listen;
pub use oidc::{KeySource, Oidc};
pub use source::{Audio, Encode, Reader, RtspTransport, Source, SourceUrl};
pub use tls::Tls;
pub use token::TokenKey;
pub use webrtc::{Announced, IceServer, Webrtc};

mod access;
mod allow;
mod cluster;
mod document;
#[cfg(test)]
mod documented;
mod encoding;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod hosts;
mod label;
mod limits;
mod listen;
mod metrics;
mod network;
mod oidc;
mod references;
mod restart;
mod source;
mod streams;
mod tls;
mod token;
mod webrtc;

/// Stands for the stream's name in a pattern.
const PLACEHOLDER: &str = "{stream}";

/// Maximum bytes of fragments in a rendition's ring: a GOP of 10 s at 20 Mbit/s has 25 MB.
pub const DEFAULT_RING_BYTES: usize = 32 * 1024 * 1024;

/// The bit rate of `low` at 640x360, in kbit/s: a tenth of a common HD camera's. Artefacts show only in areas with much motion.
const LOW_KBPS: u32 = 360;
/// The range of `low`'s bit rate, in kbit/s. Below it, nothing is recognizable; above it, the variant is not low.
const LOW_KBPS_RANGE: std::ops::RangeInclusive<u32> = 50..=5000;

/// The relay's configuration: a field for each top-level key and table of the file.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The TLS certificate. Without it the relay serves HTTP.
    pub tls: Option<Tls>,
    /// Origins of pages, besides the relay's own, that may connect; `*` for any.
    pub allowed_origins: Vec<String>,
    /// Host names of the relay that another site could use, too; `*` for any.
    pub allowed_hosts: Vec<String>,
    /// The password, if there is one.
    pub password: Option<Password>,
    /// The key of access tokens, if there is one.
    pub token_key: Option<TokenKey>,
    /// The identity provider, if there is one.
    pub oidc: Option<Oidc>,
    /// Ids (`jti`) of access tokens that are revoked.
    pub revoked: Vec<String>,
    /// Whether everyone may watch who reaches a non-loopback address.
    pub open: bool,
    /// Whether each request leaves a log line.
    pub access_log: bool,
    /// The address of a listener for `/metrics` alone, without credentials.
    pub metrics_listen: Option<SocketAddr>,
    /// The path of FFmpeg.
    pub ffmpeg: PathBuf,
    /// The encoder of H.264.
    pub encoding: Encoding,
    /// Whether streams have the variant `low`.
    pub low: bool,
    /// The bit rate of `low`, in kbit/s.
    pub low_kbps: u32,
    /// Time that a source keeps running after its last viewer has left.
    pub linger: Duration,
    /// Time without data after which a source is restarted.
    pub silence: Duration,
    /// Maximum bytes of fragments in a rendition's ring.
    pub ring_bytes: usize,
    /// WebRTC.
    pub webrtc: Webrtc,
    /// Limits of connections, viewers and transcodes.
    pub limits: Limits,
    /// The other relays. Without it, the relay is alone.
    pub cluster: Option<Cluster>,
    /// The streams, in the order of the file.
    pub streams: IndexMap<StreamName, Source>,
}

/// Why the configuration cannot be used.
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
        /// The line number, from 1.
        line: usize,
        /// The error. Never quotes the line, which may contain a password.
        message: String,
    },
    /// Values that contradict each other or are out of range.
    #[error("the configuration {0:?} is not right: {1}")]
    Invalid(PathBuf, String),
    /// `SIGHTLINE_PASSWORD` is invalid.
    #[error("cannot take the password from SIGHTLINE_PASSWORD: {0}; set it to the password, or unset it")]
    Variable(String),
    /// The password file cannot be used.
    #[error("cannot take the password from {0:?}: {1}")]
    Password(PathBuf, String),
    /// `SIGHTLINE_TOKEN_KEY` is invalid.
    #[error("SIGHTLINE_TOKEN_KEY is no key for access tokens: {0}")]
    TokenVariable(String),
    /// The file of the token key cannot be used.
    #[error("cannot take the key of access tokens from {0:?}: {1}")]
    TokenKey(PathBuf, String),
    /// A file of credentials for the NATS servers cannot be used.
    #[error("cannot take the credentials for NATS from {key} {path:?}: {problem}")]
    Cluster {
        /// The file's configuration key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The problem with it.
        problem: String,
    },
}

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|e| ConfigError::Read(path.to_owned(), e))?;
        let folder = path.with_file_name("");
        let look_up = |reference: Reference<'_>| reference.look_up(&folder);
        let (file, inserted) = document::parse::<File>(&text, &look_up)
            .map_err(|(line, message)| ConfigError::Parse { path: path.to_owned(), line, message })?;
        let beside = |file: &Option<PathBuf>| file.as_ref().map(|file| path.with_file_name("").join(file));
        let (password_file, token_key_file) = (beside(&file.access.password_file), beside(&file.access.token_key_file));
        let invalid = |message: String| ConfigError::Invalid(path.to_owned(), inserted.hide(&message));
        let mut config = file.resolve().map_err(invalid)?;
        if let Some(path) = password_file {
            let password = Password::read(&path).map_err(|message| ConfigError::Password(path, message))?;
            config.password = Some(password);
        }
        config.tls = config.tls.map(|tls| tls.beside(path));
        config.cluster = config.cluster.map(|cluster| cluster.read(path)).transpose()?;
        config.oidc = config.oidc.map(|oidc| oidc.beside(path));
        config.token_key = token_key_file.as_deref().map(TokenKey::read).transpose()?;
        Ok(config)
    }

    /// Checks the text of a configuration without the files and variables that it names.
    ///
    /// # Errors
    /// A sentence.
    pub fn check_text(text: &str) -> Result<(), String> {
        let any = |_: Reference<'_>| Ok("x".to_owned());
        let (file, _) = document::parse::<File>(text, &any).map_err(|(_, message)| message)?;
        file.resolve().map(drop)
    }

    /// The credentials, which may change while the relay runs.
    pub fn credentials(&self) -> Credentials {
        Credentials {
            password: self.password.clone(),
            token_key: self.token_key.clone(),
            revoked: self.revoked.clone(),
            allow: self.oidc.as_ref().map(|oidc| oidc.allow.clone()),
            open: self.open,
        }
    }

    /// Sentences about what is permitted and probably a mistake.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        let rules = self.oidc.as_ref().map(|oidc| oidc.allow.as_slice()).unwrap_or_default();
        allow::unmatched(rules, self.streams.keys())
    }

    /// The built-in streams, for a relay without a configuration.
    ///
    /// # Panics
    /// Never: the file is part of the program, and a test reads it.
    pub fn demo() -> Self {
        let file = File::parse(include_str!("config/demo.toml")).expect("demo.toml is right");
        file.resolve().expect("demo.toml is right")
    }
}

/// The file's structure.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    #[serde(deserialize_with = "listen::required")]
    listen: SocketAddr,
    tls: Option<Tls>,
    allowed_origins: Vec<String>,
    allowed_hosts: Vec<String>,
    access_log: bool,
    access: access::AccessSection,
    oidc: Option<oidc::OidcSection>,
    metrics: metrics::MetricsSection,
    ffmpeg: PathBuf,
    ingest: Ingest,
    webrtc: webrtc::WebrtcSection,
    limits: limits::LimitsSection,
    cluster: Option<cluster::ClusterSection>,
    #[serde(deserialize_with = "streams::unique")]
    streams: IndexMap<StreamName, StreamConfig>,
    mediamtx: Option<Pattern>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            tls: None,
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            access_log: false,
            access: access::AccessSection::default(),
            oidc: None,
            metrics: metrics::MetricsSection::default(),
            ffmpeg: "ffmpeg".into(),
            ingest: Ingest::default(),
            webrtc: webrtc::WebrtcSection::default(),
            limits: limits::LimitsSection::default(),
            cluster: None,
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
            ring_mib: DEFAULT_RING_BYTES >> 20,
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
struct StreamConfig {
    source: SourceUrl,
    #[serde(default)]
    input_options: Vec<String>,
    #[serde(default)]
    redirect_hosts: Vec<String>,
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
    #[serde(default)]
    keep_running: bool,
    #[serde(default)]
    sub: Option<SourceUrl>,
    #[serde(default)]
    title: Option<label::Line>,
    #[serde(default)]
    group: Option<label::Line>,
}

/// Several streams of one server: `[mediamtx]`.
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
    #[serde(default)]
    keep_running: bool,
    #[serde(default)]
    sub: Option<SourceUrl>,
    #[serde(default)]
    group: Option<label::Line>,
}

fn yes() -> bool {
    true
}

impl File {
    /// Parses a text without references. An error has its line and message.
    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let refuse = |_: Reference<'_>| Err("this text can have no reference".to_owned());
        document::parse(text, &refuse).map(|(file, _)| file)
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
        if streams.is_empty() && !self.cluster.as_ref().is_some_and(cluster::ClusterSection::serves) {
            return Err("it names no stream; add one, such as [streams.cam0] with source = \"rtsp://…\"".to_owned());
        }
        for (name, source) in &streams {
            check_source("source", name, source)?;
            if let Some(sub) = source.of_sub() {
                check_source("sub stream", name, &sub)?;
            }
        }
        if self.ingest.ring_mib == 0 {
            return Err("ingest.ring_mib must be at least 1".to_owned());
        }
        if !LOW_KBPS_RANGE.contains(&self.ingest.low_kbps) {
            let (least, most) = (LOW_KBPS_RANGE.start(), LOW_KBPS_RANGE.end());
            return Err(format!("ingest.low_kbps = {} is out of range: {least} to {most}", self.ingest.low_kbps));
        }
        access::check_revoked(&self.access.revoked)?;
        self.tls.as_ref().map(Tls::check).transpose()?;
        Ok(Config {
            listen: self.listen,
            tls: self.tls,
            allowed_origins: self.allowed_origins,
            allowed_hosts: hosts::checked(self.allowed_hosts)?,
            password: None,
            token_key: None,
            oidc: self.oidc.map(oidc::OidcSection::resolve).transpose()?,
            revoked: self.access.revoked,
            open: self.access.open,
            access_log: self.access_log,
            metrics_listen: self.metrics.listen,
            ffmpeg: self.ffmpeg,
            encoding: Encoding { encoder: self.ingest.encoder, vaapi_device: self.ingest.vaapi_device },
            low: self.ingest.low,
            low_kbps: self.ingest.low_kbps,
            linger: seconds("ingest.linger_seconds", self.ingest.linger_seconds)?,
            silence: seconds("ingest.silence_seconds", self.ingest.silence_seconds)?,
            ring_bytes: self.ingest.ring_mib << 20,
            webrtc: self.webrtc.resolve()?,
            limits: self.limits.resolve()?,
            cluster: self.cluster.map(cluster::ClusterSection::resolve).transpose()?,
            streams,
        })
    }
}

/// Checks the address of a stream's source or sub stream, and that the relay can read it as configured.
fn check_source(what: &str, name: &StreamName, source: &Source) -> Result<(), String> {
    if source.url.reveal().is_empty() {
        return Err(format!("the {what} of stream {name} is empty"));
    }
    if source.input_options.is_empty() && source.url.lacks_scheme() {
        return Err(format!(
            "the {what} of stream {name} has no scheme; write rtsp:// before it, as in \
             rtsp://user:password@192.0.2.10:554/stream1"
        ));
    }
    if let Some(character) = source.url.misplaced_character() {
        return Err(format!(
            "the user name or password in the {what} of stream {name} contains {character:?}, which ends it; write \
             %{:02X} in its place (percent-encoding)",
            u32::from(character)
        ));
    }
    read_directly(name, source)
}

/// Checks that the relay can read `source` directly if that is configured.
fn read_directly(name: &StreamName, source: &Source) -> Result<(), String> {
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
    }
    Ok(())
}

/// Accepts a tenth of a second to a day.
fn seconds(key: &str, value: f64) -> Result<Duration, String> {
    if (0.1..=86_400.0).contains(&value) {
        Ok(Duration::from_secs_f64(value))
    } else {
        Err(format!("{key} = {value} is out of range: 0.1 to 86400"))
    }
}

impl From<StreamConfig> for Source {
    fn from(stream: StreamConfig) -> Self {
        Self {
            url: stream.source,
            input_options: stream.input_options,
            redirect_hosts: stream.redirect_hosts,
            reader: stream.reader,
            rtsp_transport: stream.rtsp_transport,
            encode: stream.encode,
            amend_sps: stream.amend_sps,
            audio: stream.audio,
            keep_running: stream.keep_running,
            sub: stream.sub,
            label: Label {
                title: stream.title.map(label::Line::into_text),
                group: stream.group.map(label::Line::into_text),
            },
        }
    }
}

impl Pattern {
    fn expand(self) -> Result<Vec<(StreamName, Source)>, String> {
        let pattern = self.source.reveal();
        if !pattern.contains(PLACEHOLDER) {
            return Err(format!("mediamtx.source has no {PLACEHOLDER}, so every stream would be the same"));
        }
        if self.sub.as_ref().is_some_and(|sub| !sub.reveal().contains(PLACEHOLDER)) {
            return Err(format!("mediamtx.sub has no {PLACEHOLDER}, so every sub stream would be the same"));
        }
        let source = |name: &StreamName| Source {
            url: self.source.with_name(PLACEHOLDER, name),
            input_options: Vec::new(),
            redirect_hosts: Vec::new(),
            reader: self.reader,
            rtsp_transport: self.rtsp_transport,
            encode: None,
            amend_sps: self.amend_sps,
            audio: self.audio,
            keep_running: self.keep_running,
            sub: self.sub.as_ref().map(|sub| sub.with_name(PLACEHOLDER, name)),
            label: Label { title: None, group: self.group.clone().map(label::Line::into_text) },
        };
        Ok(self.streams.iter().map(|name| (name.clone(), source(name))).collect())
    }
}

#[cfg(test)]
mod tests;

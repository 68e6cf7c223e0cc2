//! The addresses of a stream.
//!
//! | address | resource |
//! | --- | --- |
//! | `/ws/mse/{stream}` | the stream's WebSocket |
//! | `/hls/{stream}/index.m3u8` | its multivariant playlist |
//! | `/hls/{stream}/{variant}/{file}` | a variant's media playlist, init segments, segments and parts; `audio` is one, too |
//! | `/api/streams/{stream}` | its entry of the catalogue |
//! | `/api/streams/{stream}/snapshot.jpg` | one frame as JPEG |
//! | `/whep/{stream}`, with any method but `PATCH` and `DELETE` | its WHEP endpoint |
//! | `/whep/{stream}/{session}`, with `PATCH` and `DELETE` | a WHEP session |
//! | `/go2rtc/api/ws?src={stream}` | its WebSocket in the API of go2rtc |
//! | `/go2rtc/api/frame.jpeg?src={stream}` | one frame as JPEG, in the same API |
//! | `/go2rtc/api/streams?src={stream}` | its description in the same API |
//!
//! A path is percent-decoded once, as a whole, and then parsed from the right. So an address means the same whether a proxy
//! decodes, encodes or keeps it. Each address has one meaning: `index.m3u8` is no file of a variant, and a WHEP session differs
//! from an endpoint by its method. A stream `a/copy` beside `a` has `/hls/a/copy/index.m3u8` and `/hls/a/copy/copy/media.m3u8`;
//! the variant `copy` of `a` has `/hls/a/copy/media.m3u8`. A stream `a/snapshot.jpg` has no address of its entry: that is the
//! snapshot of `a`.
//!
//! The API of go2rtc names the stream in the query, which is decoded as a form (URL standard,
//! application/x-www-form-urlencoded). The first `src` counts.

use std::fmt;

use crate::stream::name::{decode, encode_segment};
use crate::stream::{InvalidStreamName, StreamName};

const WEBSOCKET: &str = "/ws/mse/";
const HLS: &str = "/hls/";
const WHEP: &str = "/whep/";
const STREAMS: &str = "/api/streams/";
const SNAPSHOT: &str = "snapshot.jpg";
const GO2RTC: &str = "/go2rtc/api/";
/// The parameter that names the stream in the API of go2rtc.
const SRC: &str = "src";
/// The multivariant playlist.
const INDEX: &str = "index.m3u8";

/// A parsed address. `Display` writes it relative to the relay's, percent-encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A stream's WebSocket.
    WebSocket(StreamName),
    /// A stream's multivariant playlist.
    HlsIndex(StreamName),
    /// A file of a variant.
    HlsFile {
        /// The stream.
        stream: StreamName,
        /// The variant's name, not validated.
        variant: String,
        /// The file's name, such as `media.m3u8`.
        file: String,
    },
    /// A stream's entry of the catalogue.
    Stream(StreamName),
    /// One frame of a stream.
    Snapshot(StreamName),
    /// A stream's WHEP endpoint.
    Whep(StreamName),
    /// A session at a WHEP endpoint.
    WhepSession {
        /// The stream.
        stream: StreamName,
        /// The session's name.
        session: String,
    },
    /// A resource in the API of go2rtc.
    Go2rtc {
        /// The stream.
        stream: StreamName,
        /// The resource.
        resource: Go2rtcResource,
    },
}

/// A resource of a stream in the API of go2rtc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Go2rtcResource {
    /// The WebSocket.
    WebSocket,
    /// One frame as JPEG.
    Frame,
    /// The stream's description.
    Description,
}

impl Go2rtcResource {
    const ALL: [Self; 3] = [Self::WebSocket, Self::Frame, Self::Description];

    /// The last segment of its path.
    fn segment(self) -> &'static str {
        match self {
            Self::WebSocket => "ws",
            Self::Frame => "frame.jpeg",
            Self::Description => "streams",
        }
    }
}

/// Why a path is not an address of a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// Not an address of a stream.
    #[error("this address does not name a stream resource")]
    Unknown,
    /// The stream's name is invalid.
    #[error(transparent)]
    Name(#[from] InvalidStreamName),
}

impl Address {
    /// Parses a request's method, raw path and raw query.
    ///
    /// # Errors
    /// See [`BadAddress`].
    pub fn of_request(method: &str, path: &str, query: Option<&str>) -> Result<Self, BadAddress> {
        let segment = path.strip_prefix(GO2RTC);
        match Go2rtcResource::ALL.into_iter().find(|resource| Some(resource.segment()) == segment) {
            Some(resource) => Ok(Self::Go2rtc { stream: source(query.unwrap_or_default())?, resource }),
            None => Self::read(method, path),
        }
    }

    /// Parses a request's method and raw path. The addresses with the stream in the query are unknown to it.
    ///
    /// # Errors
    /// See [`BadAddress`].
    pub fn read(method: &str, path: &str) -> Result<Self, BadAddress> {
        if let Some(rest) = path.strip_prefix(WEBSOCKET) {
            return Ok(Self::WebSocket(StreamName::from_path(rest)?));
        }
        if let Some(rest) = path.strip_prefix(HLS) {
            let rest = decode(rest)?;
            let (before, file) = rest.rsplit_once('/').ok_or(BadAddress::Unknown)?;
            if file == INDEX {
                return Ok(Self::HlsIndex(before.parse()?));
            }
            let (stream, variant) = before.rsplit_once('/').ok_or(BadAddress::Unknown)?;
            let stream = stream.parse()?;
            return Ok(Self::HlsFile { stream, variant: variant.to_owned(), file: file.to_owned() });
        }
        if let Some(rest) = path.strip_prefix(STREAMS) {
            let rest = decode(rest)?;
            return match rest.rsplit_once('/') {
                Some((stream, SNAPSHOT)) => Ok(Self::Snapshot(stream.parse()?)),
                _ if rest.is_empty() => Err(BadAddress::Unknown),
                _ => Ok(Self::Stream(rest.parse()?)),
            };
        }
        let rest = decode(path.strip_prefix(WHEP).ok_or(BadAddress::Unknown)?)?;
        if !matches!(method, "PATCH" | "DELETE") {
            return Ok(Self::Whep(rest.parse()?));
        }
        let (stream, session) = rest.rsplit_once('/').ok_or(BadAddress::Unknown)?;
        Ok(Self::WhepSession { stream: stream.parse()?, session: session.to_owned() })
    }

    /// The stream of the address.
    pub fn stream(&self) -> &StreamName {
        match self {
            Self::WebSocket(stream)
            | Self::HlsIndex(stream)
            | Self::HlsFile { stream, .. }
            | Self::Stream(stream)
            | Self::Snapshot(stream)
            | Self::Whep(stream)
            | Self::WhepSession { stream, .. }
            | Self::Go2rtc { stream, .. } => stream,
        }
    }
}

/// The stream that a query names.
fn source(query: &str) -> Result<StreamName, BadAddress> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix(SRC)?.strip_prefix('='));
    Ok(decode(&value.ok_or(BadAddress::Unknown)?.replace('+', " "))?.parse()?)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, stream) = match self {
            Self::WebSocket(stream) => (WEBSOCKET, stream),
            Self::HlsIndex(stream) | Self::HlsFile { stream, .. } => (HLS, stream),
            Self::Stream(stream) | Self::Snapshot(stream) => (STREAMS, stream),
            Self::Whep(stream) | Self::WhepSession { stream, .. } => (WHEP, stream),
            Self::Go2rtc { stream, resource } => {
                let prefix = GO2RTC.trim_start_matches('/');
                // A form encodes every character that a path segment does, and more of them are encoded without harm.
                return write!(f, "{prefix}{}?{SRC}={}", resource.segment(), encode_segment(stream.as_str()));
            }
        };
        write!(f, "{}{}", prefix.trim_start_matches('/'), stream.to_path())?;
        match self {
            Self::WebSocket(_) | Self::Stream(_) | Self::Whep(_) => Ok(()),
            Self::HlsIndex(_) => write!(f, "/{INDEX}"),
            Self::Snapshot(_) => write!(f, "/{SNAPSHOT}"),
            Self::HlsFile { variant, file, .. } => {
                write!(f, "/{}/{}", encode_segment(variant), encode_segment(file))
            }
            Self::WhepSession { session, .. } => write!(f, "/{}", encode_segment(session)),
            Self::Go2rtc { .. } => Ok(()),
        }
    }
}

/// A new WHEP session's address relative to the request for `endpoint`, a raw path: its last segment and the session's name
/// (RFC 3986, section 5.2). Slashes of the stream's name that are encoded as `%2F` belong to that segment.
pub fn whep_session(endpoint: &str, session: &str) -> String {
    let last = endpoint.rsplit('/').next().unwrap_or_default();
    let last = decode(last).unwrap_or_default();
    format!("{}/{}", encode_segment(&last), encode_segment(session))
}

#[cfg(test)]
mod tests;

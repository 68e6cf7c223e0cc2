//! HLS responses: the body, the caching headers and the CORS headers.
//!
//! A cache in front of the relay (a CDN) can serve everything but errors. A name always stands for the same bytes, and a
//! blocking request for a playlist contains the awaited number in its address.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ORIGIN, RETRY_AFTER, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use sightline_protocol::stream::{InvalidStreamName, StreamName};

use super::body::SharedBody;
use crate::net::origin;

const PLAYLIST: &str = "application/vnd.apple.mpegurl";
const MP4: &str = "video/mp4";
/// Longer than any player's lag, and short enough that caches need no purging.
const MEDIA_SECONDS: u32 = 3600;
/// The list of variants changes when the camera's format does.
const MULTIVARIANT_SECONDS: u32 = 2;

/// A successful response.
#[derive(Debug)]
pub(super) struct HlsResponse {
    mime: &'static str,
    cache: String,
    pieces: Vec<Bytes>,
}

impl HlsResponse {
    /// An init segment, a segment or a part.
    pub(super) fn media(pieces: Vec<Bytes>) -> Self {
        Self { mime: MP4, cache: format!("max-age={MEDIA_SECONDS}, immutable"), pieces }
    }

    /// A media playlist. `blocking` says that the request named the media to wait for. A shared cache may keep either kind for
    /// half a target duration: all players request the same within less.
    ///
    /// A browser's own cache must not keep a blocking response: video.js (VHS 3.17) requests the same address again when a
    /// segment is complete, and would never get the next one. For the same reason it is not kept for six target durations,
    /// which RFC 8216bis, section 6.2.5.2, suggests.
    pub(super) fn playlist(text: String, target_duration: u32, blocking: bool) -> Self {
        let seconds = target_duration / 2;
        let cache = if blocking { format!("max-age=0, s-maxage={seconds}") } else { format!("max-age={seconds}") };
        Self { mime: PLAYLIST, cache, pieces: vec![text.into()] }
    }

    /// The multivariant playlist.
    pub(super) fn multivariant(text: String) -> Self {
        Self { mime: PLAYLIST, cache: format!("max-age={MULTIVARIANT_SECONDS}"), pieces: vec![text.into()] }
    }
}

impl IntoResponse for HlsResponse {
    fn into_response(self) -> Response {
        let headers = [(CONTENT_TYPE, self.mime.to_owned()), (CACHE_CONTROL, self.cache)];
        (headers, Body::new(SharedBody::from(self.pieces))).into_response()
    }
}

/// An error response; the body is one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum HlsError {
    /// No stream of that name is configured.
    #[error("{}", crate::egress::no_stream(.0))]
    UnknownStream(StreamName),
    /// The address contains no valid stream name.
    #[error("{0}")]
    BadName(InvalidStreamName),
    /// The stream does not have that variant.
    #[error("there is no variant named {named}; this stream has {known}")]
    UnknownVariant {
        /// The requested variant.
        named: String,
        /// The stream's variants.
        known: String,
    },
    /// The audio of a source that sends none.
    #[error("the source sends no audio, or the stream's configuration has audio = \"off\"")]
    NoAudio,
    /// Not an address of HLS.
    #[error("there is no such address; /hls/NAME/index.m3u8 exists for every stream")]
    UnknownAddress,
    /// The media has left the window, or the window is closed.
    #[error("this is no longer in the playlist; reload it")]
    Gone,
    /// The media does not exist and was not announced.
    #[error("this is not in the playlist; reload it")]
    NotYet,
    /// The request is malformed.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The requesting page's origin is not allowed.
    #[error("{}", crate::net::origin::refusal(.0))]
    Foreign(String),
    /// The source is offline.
    #[error("the source is offline: {message}")]
    Offline {
        /// The reason.
        message: Arc<str>,
        /// Time until the next retry.
        retry: Duration,
    },
    /// The awaited media did not arrive in time.
    #[error("the source sent no video in time; try again")]
    Late,
    /// The relay is stopping.
    #[error("the relay is stopping")]
    Stopping,
}

impl IntoResponse for HlsError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::BadRequest(_) | Self::BadName(_) => StatusCode::BAD_REQUEST,
            Self::Foreign(_) => StatusCode::FORBIDDEN,
            Self::UnknownStream(_)
            | Self::UnknownVariant { .. }
            | Self::NoAudio
            | Self::UnknownAddress
            | Self::Gone
            | Self::NotYet => StatusCode::NOT_FOUND,
            Self::Offline { .. } | Self::Late | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        let retry = match &self {
            Self::Offline { retry, .. } => Some(retry.as_secs_f64().ceil().max(1.0) as u64),
            Self::Late | Self::Stopping => Some(1),
            _ => None,
        };
        let mut response = (status, [(CACHE_CONTROL, "no-store")], format!("{self}\n")).into_response();
        if let Some(seconds) = retry {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// The CORS permission of the requesting page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CorsPermission(Option<HeaderValue>);

/// Checks the origin of the requesting page by the rule for WebSockets. Requests without an origin need no permission.
///
/// # Errors
/// [`HlsError::Foreign`] if the origin is not allowed.
pub(super) fn page(headers: &HeaderMap, encrypted: bool, allowed: &[String]) -> Result<CorsPermission, HlsError> {
    if allowed.iter().any(|entry| entry == "*") {
        return Ok(CorsPermission(Some(HeaderValue::from_static("*"))));
    }
    let Some(page) = headers.get(ORIGIN) else { return Ok(CorsPermission(None)) };
    match origin::foreign(headers, encrypted, allowed) {
        None => Ok(CorsPermission(Some(page.clone()))),
        Some(foreign) => Err(HlsError::Foreign(foreign)),
    }
}

impl CorsPermission {
    /// Adds the headers for browsers and caches to `response` (Fetch standard, section 3.2).
    pub(super) fn on(self, mut response: Response) -> Response {
        let any = self.0.as_ref().is_some_and(|origin| origin == "*");
        if !any {
            response.headers_mut().append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = self.0 {
            response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::HOST;

    use super::*;

    fn headers(origin: &'static str) -> HeaderMap {
        let host = (HOST, HeaderValue::from_static("cams.example.org"));
        [host, (ORIGIN, HeaderValue::from_static(origin))].into_iter().collect()
    }

    #[test]
    fn pages_allowed_for_websocket_are_allowed() {
        let listed = ["https://wall.example.org".to_owned()];
        let read = |origin, allowed: &[String]| page(&headers(origin), false, allowed);
        let permitted = |origin| Ok(CorsPermission(Some(HeaderValue::from_static(origin))));
        assert_eq!(read("https://cams.example.org", &[]), permitted("https://cams.example.org"));
        assert_eq!(read("https://wall.example.org", &listed), permitted("https://wall.example.org"));
        assert_eq!(read("https://evil.example", &["*".to_owned()]), permitted("*"));
        assert_eq!(read("https://evil.example", &listed), Err(HlsError::Foreign("https://evil.example".to_owned())));
        assert_eq!(page(&HeaderMap::new(), false, &listed), Ok(CorsPermission(None)), "no page at all");
    }

    #[test]
    fn response_varies_by_origin_unless_all_are_allowed() {
        let vary = |permission: CorsPermission| permission.on(Response::default()).headers().get(VARY).cloned();
        assert_eq!(vary(CorsPermission(None)), Some(HeaderValue::from_static("Origin")));
        assert_eq!(vary(CorsPermission(Some(HeaderValue::from_static("https://a.example")))).unwrap(), "Origin");
        assert_eq!(vary(CorsPermission(Some(HeaderValue::from_static("*")))), None, "the same for all");
    }

    #[test]
    fn error_has_retry_after_and_is_not_cached() {
        let offline = HlsError::Offline { message: "no route to host".into(), retry: Duration::from_millis(2100) };
        let response = offline.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "3");
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(HlsError::Gone.into_response().headers().get(RETRY_AFTER), None);
    }
}

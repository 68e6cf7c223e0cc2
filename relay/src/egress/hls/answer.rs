//! Answers: what goes out, how long caches may keep it, and which pages may read it.
//!
//! A cache in front of the relay (a CDN) carries everything but refusals: a name never stands for other bytes than
//! before, and a playlist that was waited for has the number it waited for in its address.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ORIGIN, RETRY_AFTER, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::body::Shared;
use crate::egress::origin;

const PLAYLIST: &str = "application/vnd.apple.mpegurl";
const MP4: &str = "video/mp4";
/// Longer than anybody plays behind, and shorter than what a cache would have to be told to forget.
const MEDIA_SECONDS: u32 = 3600;
/// The list of variants changes when the camera does.
const MULTIVARIANT_SECONDS: u32 = 2;

/// What a request gets.
#[derive(Debug)]
pub(super) struct Answer {
    mime: &'static str,
    cache: String,
    pieces: Vec<Bytes>,
}

impl Answer {
    /// An init segment, a segment or a part.
    pub(super) fn media(pieces: Vec<Bytes>) -> Self {
        Self { mime: MP4, cache: format!("max-age={MEDIA_SECONDS}, immutable"), pieces }
    }

    /// A media playlist; `blocking` where its address says what it has at least. What is waited for stays true for as long
    /// as anybody can want it; what is true now is not for longer than half a segment.
    pub(super) fn playlist(text: String, target_duration: u32, blocking: bool) -> Self {
        let seconds = if blocking { target_duration * 6 } else { target_duration / 2 };
        Self { mime: PLAYLIST, cache: format!("max-age={seconds}"), pieces: vec![text.into()] }
    }

    /// The multivariant playlist.
    pub(super) fn multivariant(text: String) -> Self {
        Self { mime: PLAYLIST, cache: format!("max-age={MULTIVARIANT_SECONDS}"), pieces: vec![text.into()] }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let headers = [(CONTENT_TYPE, self.mime.to_owned()), (CACHE_CONTROL, self.cache)];
        (headers, Body::new(Shared::from(self.pieces))).into_response()
    }
}

/// Why a request gets nothing; each is one sentence in the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// No stream of that name is configured.
    #[error("there is no stream named {0}; the relay's configuration names those there are")]
    UnknownStream(String),
    /// The stream cannot be had in that form.
    #[error("there is no variant named {named}; this stream has {known}")]
    UnknownVariant {
        /// What was asked for.
        named: String,
        /// What there is.
        known: String,
    },
    /// Nothing in HLS is named like that.
    #[error("there is no such address; /hls/NAME/index.m3u8 exists for every stream")]
    UnknownAddress,
    /// It has left the window, or the window is closed.
    #[error("this is no longer in the playlist; reload it")]
    Gone,
    /// It is not there and was not announced.
    #[error("this is not in the playlist; reload it")]
    NotYet,
    /// The request makes no sense.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The page is of a site that may not connect.
    #[error("pages of {0} may not connect; add it to allowed_origins in the configuration")]
    Foreign(String),
    /// The source cannot be read at the moment.
    #[error("the source is offline: {message}")]
    Offline {
        /// Why.
        message: Arc<str>,
        /// When it will be tried again.
        retry: Duration,
    },
    /// What was waited for did not come.
    #[error("the source sent no picture in time; try again")]
    Late,
    /// The relay ends.
    #[error("the relay is stopping")]
    Stopping,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Foreign(_) => StatusCode::FORBIDDEN,
            Self::UnknownStream(_) | Self::UnknownVariant { .. } | Self::UnknownAddress | Self::Gone | Self::NotYet => {
                StatusCode::NOT_FOUND
            }
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

/// What the page that asks may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Permission(Option<HeaderValue>);

/// Whether the page that asks may read the answer; where none does, there is nothing to permit. It is the rule by which
/// WebSockets are opened.
///
/// # Errors
/// [`Refusal::Foreign`] for a page that may not.
pub(super) fn page(headers: &HeaderMap, encrypted: bool, allowed: &[String]) -> Result<Permission, Refusal> {
    if allowed.iter().any(|entry| entry == "*") {
        return Ok(Permission(Some(HeaderValue::from_static("*"))));
    }
    let Some(page) = headers.get(ORIGIN) else { return Ok(Permission(None)) };
    match origin::foreign(headers, encrypted, allowed) {
        None => Ok(Permission(Some(page.clone()))),
        Some(foreign) => Err(Refusal::Foreign(foreign)),
    }
}

impl Permission {
    /// The answer with what browsers and caches must know of it (Fetch standard, section 3.2).
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
    fn pages_that_may_open_a_websocket_may_read() {
        let listed = ["https://wall.example.org".to_owned()];
        let read = |origin, allowed: &[String]| page(&headers(origin), false, allowed);
        let permitted = |origin| Ok(Permission(Some(HeaderValue::from_static(origin))));
        assert_eq!(read("https://cams.example.org", &[]), permitted("https://cams.example.org"));
        assert_eq!(read("https://wall.example.org", &listed), permitted("https://wall.example.org"));
        assert_eq!(read("https://evil.example", &["*".to_owned()]), permitted("*"));
        assert_eq!(read("https://evil.example", &listed), Err(Refusal::Foreign("https://evil.example".to_owned())));
        assert_eq!(page(&HeaderMap::new(), false, &listed), Ok(Permission(None)), "no page at all");
    }

    #[test]
    fn a_cache_knows_for_whom_an_answer_is() {
        let vary = |permission: Permission| permission.on(Response::default()).headers().get(VARY).cloned();
        assert_eq!(vary(Permission(None)), Some(HeaderValue::from_static("Origin")));
        assert_eq!(vary(Permission(Some(HeaderValue::from_static("https://a.example")))).unwrap(), "Origin");
        assert_eq!(vary(Permission(Some(HeaderValue::from_static("*")))), None, "the same for all");
    }

    #[test]
    fn refusals_say_when_to_try_again_and_are_not_kept() {
        let offline = Refusal::Offline { message: "no route to host".into(), retry: Duration::from_millis(2100) };
        let response = offline.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "3");
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(Refusal::Gone.into_response().headers().get(RETRY_AFTER), None);
    }
}

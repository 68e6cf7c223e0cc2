//! Error responses of WHEP: a status and one sentence.

use axum::http::header::{ALLOW, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use sightline_protocol::stream::{InvalidQuality, InvalidStreamName, StreamName};

use crate::limits::viewers::TooManyViewers;

/// `Accept-Post` (W3C Linked Data Platform, section 7.1), which the draft requires.
pub(super) const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
/// The type of a `POST` body (RFC 8866, section 8.1).
pub(super) const SDP: &str = "application/sdp";
/// The type of a `PATCH` body (RFC 8840, section 9).
pub(super) const SDP_FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// `Retry-After` in seconds. By then, some of the sessions that wait for their viewers have expired.
const RETRY_AFTER_SECONDS: &str = "5";

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum WhepError {
    /// WebRTC is disabled.
    #[error("WebRTC is turned off in this relay's configuration")]
    TurnedOff,
    /// The requesting page's origin is not allowed.
    #[error("{}", crate::net::origin::refusal(.0))]
    Foreign(String),
    /// The path names an unknown stream.
    #[error("there is no stream named {0}; GET /api/streams names those there are")]
    UnknownStream(StreamName),
    /// The path contains no valid stream name.
    #[error("{0}")]
    BadName(InvalidStreamName),
    /// The query names an unknown quality.
    #[error("{0}")]
    BadQuality(#[from] InvalidQuality),
    /// The path names no session of that stream; it may have ended.
    #[error("there is no such session; it has ended, or its address is not right")]
    UnknownSession,
    /// WHEP does not use this method.
    #[error("this address takes {0} only")]
    Method(&'static str),
    /// The body has another type.
    #[error("the body must be {0}, as its Content-Type says")]
    ContentType(&'static str),
    /// The body exceeds the limit.
    #[error("the body is longer than the {} KiB that an offer may have", .0 / 1024)]
    TooLarge(usize),
    /// The body has more lines than the limit.
    #[error("the body has more than the {0} lines that an offer may have")]
    TooManyLines(usize),
    /// The body is incomplete.
    #[error("the body was cut off")]
    CutOff,
    /// The body is not an SDP offer.
    #[error("the body is not an SDP offer of WebRTC: {0}")]
    NotSdp(String),
    /// The offer has no video section that receives.
    #[error("the offer asks for no video; it needs a video section that is recvonly or sendrecv")]
    NoVideo,
    /// No common codec.
    #[error("the offer has no codec in which this stream can be sent: {0}")]
    NoCodec(&'static str),
    /// The body is not an SDP fragment.
    #[error("the body is not an SDP fragment with ICE candidates")]
    NotFragment,
    /// The fragment belongs to another ICE session.
    #[error("the If-Match header does not name this session's ETag")]
    OtherIceSession,
    /// The fragment has other ICE credentials.
    #[error("ICE restarts are not supported; delete the session and post a new offer")]
    IceRestart,
    /// Too many sessions wait for their viewers.
    #[error("too many sessions wait for their viewers to connect; try again in {RETRY_AFTER_SECONDS} seconds")]
    Full,
    /// A limit of viewers is reached.
    #[error("{0}")]
    TooMany(#[from] TooManyViewers),
    /// The source has no video, mostly because the camera is offline.
    #[error("the stream has no video at the moment: {0}")]
    Unavailable(String),
}

impl WhepError {
    fn status(&self) -> StatusCode {
        match self {
            Self::BadName(_) | Self::BadQuality(_) | Self::NotSdp(_) | Self::NotFragment | Self::CutOff => {
                StatusCode::BAD_REQUEST
            }
            Self::Foreign(_) => StatusCode::FORBIDDEN,
            Self::TurnedOff | Self::UnknownStream(_) | Self::UnknownSession => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoVideo | Self::NoCodec(_) => StatusCode::NOT_ACCEPTABLE,
            Self::OtherIceSession => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge(_) | Self::TooManyLines(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::IceRestart => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Full | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for WhepError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut sentence = format!("{self}.\n");
        if let Some(first) = sentence.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let mut response = (status, sentence).into_response();
        let header = match self {
            Self::ContentType(SDP) => Some((ACCEPT_POST, SDP)),
            Self::Method(allowed) => Some((ALLOW, allowed)),
            Self::TooMany(_) | Self::Full | Self::Unavailable(_) => Some((RETRY_AFTER, RETRY_AFTER_SECONDS)),
            _ => None,
        };
        response.headers_mut().extend(header.map(|(name, value)| (name, HeaderValue::from_static(value))));
        response
    }
}

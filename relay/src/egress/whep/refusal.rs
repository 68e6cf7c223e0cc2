//! What a viewer is told that gets no session, or no such answer: a status and one sentence.

use axum::http::header::{ALLOW, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::egress::viewers::TooMany;

/// `Accept-Post` (W3C Linked Data Platform, section 7.1), which the draft asks for.
pub(super) const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
/// What is posted (RFC 8866, section 8.1).
pub(super) const SDP: &str = "application/sdp";
/// What is patched (RFC 8840, section 9).
pub(super) const SDP_FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// After so many seconds those who waited for nothing are gone.
const LATER: &str = "5";

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The configuration says so.
    #[error("WebRTC is turned off in this relay's configuration")]
    TurnedOff,
    /// The page is of another site.
    #[error("{}", crate::egress::origin::refusal(.0))]
    Foreign(String),
    /// The path names no stream of ours.
    #[error("there is no stream named {0}; GET /api/streams names those there are")]
    UnknownStream(String),
    /// The path names no session of that stream: it has ended, or never was.
    #[error("there is no such session; it has ended, or its address is not right")]
    UnknownSession,
    /// Only what WHEP has.
    #[error("this address takes {0} only")]
    Method(&'static str),
    /// Not what is expected.
    #[error("the body must be {0}, as its Content-Type says")]
    ContentType(&'static str),
    /// No offer is so long.
    #[error("the body is longer than the {} KiB that an offer may have", .0 / 1024)]
    TooLarge(usize),
    /// The body did not come to its end.
    #[error("the body was cut off")]
    CutOff,
    /// Not an offer.
    #[error("the body is not an SDP offer of WebRTC: {0}")]
    NotSdp(String),
    /// Nothing that could be a picture.
    #[error("the offer asks for no video; it needs a video section that is recvonly or sendrecv")]
    NoVideo,
    /// No codec of ours.
    #[error("the offer has no codec in which this stream can be sent: {0}")]
    NoCodec(&'static str),
    /// Not a candidate.
    #[error("the body is not an SDP fragment with ICE candidates")]
    NotFragment,
    /// The fragment is for another ICE session.
    #[error("the If-Match header does not name this session's ETag")]
    OtherIceSession,
    /// Other ICE credentials.
    #[error("ICE restarts are not supported; delete the session and post a new offer")]
    IceRestart,
    /// Too many sessions wait for their viewers.
    #[error("too many sessions wait for their viewers to connect; try again in {LATER} seconds")]
    Full,
    /// As many watch as may.
    #[error("{0}")]
    TooMany(#[from] TooMany),
    /// The camera, above all.
    #[error("the stream has no picture at the moment: {0}")]
    Unavailable(String),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotSdp(_) | Self::NotFragment | Self::CutOff => StatusCode::BAD_REQUEST,
            Self::Foreign(_) => StatusCode::FORBIDDEN,
            Self::TurnedOff | Self::UnknownStream(_) | Self::UnknownSession => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoVideo | Self::NoCodec(_) => StatusCode::NOT_ACCEPTABLE,
            Self::OtherIceSession => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::IceRestart => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Full | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for Refusal {
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
            Self::TooMany(_) | Self::Full | Self::Unavailable(_) => Some((RETRY_AFTER, LATER)),
            _ => None,
        };
        response.headers_mut().extend(header.map(|(name, value)| (name, HeaderValue::from_static(value))));
        response
    }
}

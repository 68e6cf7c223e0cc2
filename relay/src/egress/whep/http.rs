//! The HTTP routes of WHEP (draft-ietf-wish-whep): parse requests, call [`Endpoint`], write responses.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_MATCH, LINK,
    LOCATION, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use futures_util::StreamExt;
use serde::Deserialize;
use sightline_protocol::address::{self, Address, BadAddress};
use sightline_protocol::stream::{Quality, StreamName, VariantChoice};
use tokio::time::timeout;

use super::demux::SessionId;
use super::endpoint::Offer;
use super::error::{ACCEPT_POST, SDP, SDP_FRAGMENT, WhepError};
use super::inbox::InboxMessage;
use super::{Whep, sdp_fragment};
use crate::access::{Expiry, QueryToken};
use crate::egress::address::Requested;
use crate::egress::select::Choice;
use crate::net::origin;
use crate::net::peer::{PeerInfo, is_encrypted};

/// Maximum size of an offer: a browser's with every codec and a dozen candidates has 8 KiB.
const OFFER_MAX: usize = 64 * 1024;
/// Maximum lines. Parsing compares lines with each other: 2000 take 20 ms. Browsers' longest offers have 300.
pub(super) const LINES_MAX: usize = 512;
/// Maximum number of bytes to read of a body that is too long. A peer that is still sending when the connection closes does not
/// read the response.
const DRAIN_MAX: usize = 4 * 1024 * 1024;
/// Time limit for a body.
const BODY: Duration = Duration::from_secs(10);

/// The methods of an endpoint and a session. They share a route, because the path alone does not distinguish them.
const METHODS: &str = "POST, PATCH, DELETE, OPTIONS";
/// The session's variant (`copy`, `h264`, `low`), if the camera's format is known.
const VARIANT: HeaderName = HeaderName::from_static("sightline-variant");
/// Response headers that pages of other origins may read.
const EXPOSED: &str = "Location, Link, ETag, Retry-After, Sightline-Variant";

/// The routes.
pub(crate) fn router(whep: Whep) -> Router {
    let methods: MethodRouter<Whep> = post(create).patch(trickle).delete(delete).options(preflight);
    Router::new()
        .route("/whep/{*rest}", methods.fallback(async || WhepError::Method(METHODS)))
        .layer(from_fn_with_state(whep.clone(), cross_origin))
        .with_state(whep)
}

/// Refuses pages of origins that are not allowed, and adds CORS headers for the others (WHATWG Fetch, section 3.3).
async fn cross_origin(State(whep): State<Whep>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    if let Some(foreign) =
        origin::foreign(request.headers(), is_encrypted(request.extensions()), whep.allowed_origins())
    {
        return WhepError::Foreign(foreign).into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
    response
}

async fn preflight() -> Response {
    let headers = [
        (ALLOW, METHODS),
        (ACCEPT_POST, SDP),
        (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type, If-Match, Authorization"),
        (ACCESS_CONTROL_MAX_AGE, "3600"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// `?codec=auto|h265|h264|low` and `?quality=auto|high|low`, as in the page.
#[derive(Debug, Default, Deserialize)]
struct VariantQuery {
    codec: Option<String>,
    quality: Option<String>,
}

impl VariantQuery {
    fn choice(&self) -> Result<Choice, WhepError> {
        let codec = match self.codec.as_deref() {
            Some("h265") => VariantChoice::Copy,
            Some("h264") => VariantChoice::H264,
            Some("low") => VariantChoice::Low,
            _ => VariantChoice::Auto,
        };
        let quality: Option<Quality> = self.quality.as_deref().map(str::parse).transpose()?;
        Ok(Choice::new(codec, quality.unwrap_or_default()))
    }
}

async fn create(
    State(whep): State<Whep>,
    Requested(address): Requested,
    Query(wish): Query<VariantQuery>,
    peer: Option<axum::Extension<ConnectInfo<PeerInfo>>>,
    link: Option<axum::Extension<QueryToken>>,
    expiry: Option<axum::Extension<Expiry>>,
    request: Request,
) -> Result<Response, WhepError> {
    let endpoint = whep.endpoint()?;
    let address = address?;
    let name = address.stream();
    let stream = endpoint.stream(name)?;
    let choice = wish.choice()?;
    let path = request.uri().path().to_owned();
    let sent = request.headers().clone();
    let text = body(request, SDP).await?;
    let sdp = text.map_err(|_| WhepError::NotSdp("it is not text".to_owned()))?;
    let peer = peer.map(|axum::Extension(ConnectInfo(peer))| peer);
    let client = whep.viewers.client(peer.map(|peer| peer.address), &sent);
    let stream = stream.for_client(client);
    let permit = whep.viewers.acquire(name, client)?;
    let reached = peer.and_then(|peer| peer.local);
    let (name, expiry) = (name.clone(), expiry.map(|axum::Extension(expiry)| expiry));
    let offer = Offer { permit, name, sdp, choice, reached, client, expiry };
    let answer = endpoint.create(&stream, offer).await?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(SDP));
    headers.extend(answer.variant.map(|variant| (VARIANT, HeaderValue::from_static(variant.as_str()))));
    headers.extend(endpoint.links.iter().map(|link| (LINK, link.clone())));
    // A client that supports only addresses needs the token to end the session.
    let token = link.map(|axum::Extension(QueryToken(token))| format!("?token={token}")).unwrap_or_default();
    // Relative to the request's address (RFC 9110, section 10.2.2): a proxy may have added a path prefix.
    let location = format!("{}{token}", address::whep_session(&path, &answer.id.to_string()));
    for (header, text) in [(LOCATION, location), (ETAG, etag(&answer.ufrag))] {
        headers.extend(HeaderValue::try_from(text).map(|value| (header, value)));
    }
    Ok((StatusCode::CREATED, headers, answer.sdp).into_response())
}

async fn trickle(
    State(whep): State<Whep>,
    Requested(address): Requested,
    request: Request,
) -> Result<StatusCode, WhepError> {
    let endpoint = whep.endpoint()?;
    let (name, id) = session(address?)?;
    let (inbox, names) = endpoint.session(id, &name)?;
    let expected = request.headers().get(IF_MATCH).cloned();
    let text = body(request, SDP_FRAGMENT).await?.map_err(|_| WhepError::NotFragment)?;
    if expected.is_some_and(|expected| expected != "*" && expected != etag(&names.ours).as_str()) {
        return Err(WhepError::OtherIceSession);
    }
    let fragment = sdp_fragment::parse(&text).ok_or(WhepError::NotFragment)?;
    if fragment.ufrag.is_some() && names.theirs.is_some() && fragment.ufrag != names.theirs {
        return Err(WhepError::IceRestart);
    }
    for candidate in fragment.candidates {
        inbox.send(InboxMessage::Candidate(candidate)).await.map_err(|_| WhepError::UnknownSession)?;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn delete(State(whep): State<Whep>, Requested(address): Requested) -> Result<&'static str, WhepError> {
    let endpoint = whep.endpoint()?;
    let (name, id) = session(address?)?;
    endpoint.delete(id, &name).await?;
    Ok("The session has ended.\n")
}

fn session(address: Address) -> Result<(StreamName, SessionId), WhepError> {
    let Address::WhepSession { stream, session } = address else { return Err(WhepError::UnknownSession) };
    Ok((stream, session.parse().map_err(|_| WhepError::UnknownSession)?))
}

impl From<BadAddress> for WhepError {
    fn from(bad: BadAddress) -> Self {
        match bad {
            // A session's address is longer.
            BadAddress::Unknown => Self::UnknownSession,
            BadAddress::Name(error) => Self::BadName(error),
        }
    }
}

/// Identifies the ICE session (draft-ietf-wish-whep, section 4.6).
fn etag(ufrag: &str) -> String {
    format!("\"{ufrag}\"")
}

/// Reads the whole body, which must have the type `expected`. The caller handles a body that is not UTF-8.
async fn body(
    request: Request,
    expected: &'static str,
) -> Result<Result<String, std::string::FromUtf8Error>, WhepError> {
    let given = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    let fits = essence.eq_ignore_ascii_case(expected);
    let bytes = timeout(BODY, read(request.into_body())).await.unwrap_or(Err(WhepError::CutOff));
    if !fits {
        return Err(WhepError::ContentType(expected));
    }
    let bytes = bytes?;
    if bytes.iter().filter(|&&byte| byte == b'\n').count() > LINES_MAX {
        return Err(WhepError::TooManyLines(LINES_MAX));
    }
    Ok(String::from_utf8(bytes))
}

async fn read(body: Body) -> Result<Vec<u8>, WhepError> {
    let (mut bytes, mut length) = (Vec::new(), 0);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| WhepError::CutOff)?;
        length += piece.len();
        if length <= OFFER_MAX {
            bytes.extend_from_slice(&piece);
        } else if length > DRAIN_MAX {
            break;
        }
    }
    if length > OFFER_MAX { Err(WhepError::TooLarge(OFFER_MAX)) } else { Ok(bytes) }
}

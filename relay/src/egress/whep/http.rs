//! The HTTP side of WHEP (draft-ietf-wish-whep): reads requests, asks [`Endpoint`], writes answers.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_MATCH, LINK,
    LOCATION, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, patch, post};
use futures_util::StreamExt;
use serde::Deserialize;
use sightline_protocol::stream::{StreamName, VariantChoice};
use tokio::time::timeout;

use super::network::Message;
use super::refusal::{ACCEPT_POST, Refusal, SDP, SDP_FRAGMENT};
use super::table::SessionId;
use super::{Whep, fragment};
use crate::access::ByLink;
use crate::egress::origin;
use crate::server::{Reached, is_encrypted};

/// The longest offer: a browser's with every codec and a dozen candidates has 8 KiB.
const OFFER_MAX: usize = 64 * 1024;
/// A body that is too long is read to its end, up to here: a peer that is still sending when the connection closes
/// does not read the answer.
const DRAIN_MAX: usize = 4 * 1024 * 1024;
/// How long a body may take to come.
const BODY: Duration = Duration::from_secs(10);

const RESOURCE_METHODS: &str = "POST, OPTIONS";
const SESSION_METHODS: &str = "PATCH, DELETE, OPTIONS";

/// The routes.
pub(crate) fn router(whep: Whep) -> Router {
    let refused = |allowed| move || async move { Refusal::Method(allowed) };
    let resource: MethodRouter<Whep> =
        post(create).options(async || preflight(RESOURCE_METHODS)).fallback(refused(RESOURCE_METHODS));
    let session: MethodRouter<Whep> =
        patch(trickle).delete(delete).options(async || preflight(SESSION_METHODS)).fallback(refused(SESSION_METHODS));
    Router::new()
        .route("/whep/{stream}", resource)
        .route("/whep/{stream}/{session}", session)
        .layer(from_fn_with_state(whep.clone(), cross_origin))
        .with_state(whep)
}

/// Refuses pages of other sites, and lets those that may connect read the answers (WHATWG Fetch, section 3.3).
async fn cross_origin(State(whep): State<Whep>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    if let Some(foreign) =
        origin::foreign(request.headers(), is_encrypted(request.extensions()), whep.allowed_origins())
    {
        return Refusal::Foreign(foreign).into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Location, Link, ETag, Retry-After"));
    }
    response
}

fn preflight(methods: &'static str) -> Response {
    let headers = [
        (ALLOW, methods),
        (ACCEPT_POST, SDP),
        (ACCESS_CONTROL_ALLOW_METHODS, methods),
        (ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type, If-Match, Authorization"),
        (ACCESS_CONTROL_MAX_AGE, "3600"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// `?codec=auto|h265|h264`, as the page takes it, and `low`.
#[derive(Debug, Default, Deserialize)]
struct Wish {
    codec: Option<String>,
}

impl Wish {
    fn choice(&self) -> VariantChoice {
        match self.codec.as_deref() {
            Some("h265") => VariantChoice::Copy,
            Some("h264") => VariantChoice::H264,
            Some("low") => VariantChoice::Low,
            _ => VariantChoice::Auto,
        }
    }
}

async fn create(
    State(whep): State<Whep>,
    Path(name): Path<String>,
    Query(wish): Query<Wish>,
    reached: Option<axum::Extension<ConnectInfo<Reached>>>,
    link: Option<axum::Extension<ByLink>>,
    request: Request,
) -> Result<Response, Refusal> {
    let endpoint = whep.endpoint()?;
    let (name, stream) = endpoint.stream(&name)?;
    let sent = request.headers().clone();
    let text = body(request, SDP).await?;
    let offer = text.map_err(|_| Refusal::NotSdp("it is not text".to_owned()))?;
    let reached = reached.map(|axum::Extension(ConnectInfo(reached))| reached);
    let address = whep.viewers.address(reached.map(|reached| reached.peer), &sent);
    let viewer = whep.viewers.admit(&name, address)?;
    let reached = reached.and_then(|reached| reached.address);
    let answer = endpoint.create(viewer, &name, &stream, &offer, wish.choice(), reached).await?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(SDP));
    headers.extend(endpoint.links.iter().map(|link| (LINK, link.clone())));
    // Whoever has only an address ends the session by the one that it is given.
    let token = link.map(|axum::Extension(ByLink(token))| format!("?token={token}")).unwrap_or_default();
    // Relative to the request's own address (RFC 9110, section 10.2.2): a proxy may have put a path before it.
    for (header, text) in [(LOCATION, format!("{name}/{}{token}", answer.id)), (ETAG, etag(&answer.ufrag))] {
        headers.extend(HeaderValue::try_from(text).map(|value| (header, value)));
    }
    Ok((StatusCode::CREATED, headers, answer.sdp).into_response())
}

async fn trickle(
    State(whep): State<Whep>,
    Path((name, id)): Path<(String, String)>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let endpoint = whep.endpoint()?;
    let (name, id) = session(&name, &id)?;
    let (inbox, names) = endpoint.session(id, &name)?;
    let expected = request.headers().get(IF_MATCH).cloned();
    let text = body(request, SDP_FRAGMENT).await?.map_err(|_| Refusal::NotFragment)?;
    if expected.is_some_and(|expected| expected != "*" && expected != etag(&names.ours).as_str()) {
        return Err(Refusal::OtherIceSession);
    }
    let fragment = fragment::read(&text).ok_or(Refusal::NotFragment)?;
    if fragment.ufrag.is_some() && names.theirs.is_some() && fragment.ufrag != names.theirs {
        return Err(Refusal::IceRestart);
    }
    for candidate in fragment.candidates {
        inbox.send(Message::Candidate(candidate)).await.map_err(|_| Refusal::UnknownSession)?;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn delete(State(whep): State<Whep>, Path((name, id)): Path<(String, String)>) -> Result<&'static str, Refusal> {
    let endpoint = whep.endpoint()?;
    let (name, id) = session(&name, &id)?;
    endpoint.delete(id, &name).await?;
    Ok("The session has ended.\n")
}

fn session(name: &str, id: &str) -> Result<(StreamName, SessionId), Refusal> {
    let name = name.parse().map_err(|_| Refusal::UnknownSession)?;
    Ok((name, id.parse().map_err(|_| Refusal::UnknownSession)?))
}

/// Names the ICE session (draft-ietf-wish-whep, section 4.6).
fn etag(ufrag: &str) -> String {
    format!("\"{ufrag}\"")
}

/// The body, of that type, whole; whether it is text is the caller's to judge.
async fn body(request: Request, expected: &'static str) -> Result<Result<String, std::string::FromUtf8Error>, Refusal> {
    let given = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    let fits = essence.eq_ignore_ascii_case(expected);
    let bytes = timeout(BODY, read(request.into_body())).await.unwrap_or(Err(Refusal::CutOff));
    if !fits {
        return Err(Refusal::ContentType(expected));
    }
    bytes.map(String::from_utf8)
}

async fn read(body: Body) -> Result<Vec<u8>, Refusal> {
    let (mut bytes, mut length) = (Vec::new(), 0);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Refusal::CutOff)?;
        length += piece.len();
        if length <= OFFER_MAX {
            bytes.extend_from_slice(&piece);
        } else if length > DRAIN_MAX {
            break;
        }
    }
    if length > OFFER_MAX { Err(Refusal::TooLarge(OFFER_MAX)) } else { Ok(bytes) }
}

//! The API of go2rtc below `/go2rtc/`, as far as its players use it: `<video-rtc>` and `<video-stream>`, the WebRTC card and the
//! Advanced Camera Card of Home Assistant.
//!
//! | module | address | responsibility |
//! | --- | --- | --- |
//! | [`session`], [`message`], [`video`] | `/go2rtc/api/ws?src=NAME` | `mse` and `webrtc/offer` over one WebSocket |
//! | [`description`] | `/go2rtc/api/streams`, with or without `?src=NAME` | the streams |
//! | this one | `/go2rtc/api/frame.jpeg?src=NAME` | a snapshot |
//!
//! Nothing here writes: go2rtc's methods that add streams, and its other addresses, are absent. The WebSocket reads through the
//! same reader as every viewer, and WebRTC is the session of WHEP. A viewer holds no queue: back-pressure is the socket's.

mod description;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod message;
mod session;
mod video;

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{ConnectInfo, RawQuery, Request, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, ORIGIN, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde_json::Value;
use sightline_protocol::address::{Address, BadAddress};
use tokio::time::Instant;
use url::form_urlencoded;

use super::address::Requested;
use super::snapshot::Snapshots;
use super::websocket::{self, Handshake, SocketRequest, WebSocketContext};
use super::whep::Whep;
use crate::access::{Expiry, Permissions, Unauthorized};
use crate::hub::Hub;
use crate::net::origin;
use crate::net::peer::{PeerInfo, is_encrypted};
use session::Go2rtcSession;

/// The answer at `/go2rtc/`, for a person, and for the WebRTC card, which checks its server's address by a `HEAD` request.
const INDEX: &str = "Sightline speaks the API of go2rtc below this address: GET api/ws?src=NAME (a WebSocket with mse, \
                     webrtc/offer and webrtc/candidate), GET api/frame.jpeg?src=NAME, GET api/streams.\n";
/// The error of an address that names no stream.
const NO_SOURCE: &str = "name the stream in the address, as ?src=NAME";
/// The error of go2rtc for a stream that does not exist.
const NOT_FOUND: &str = "stream not found";

/// The state of the routes.
#[derive(Clone)]
struct Go2rtc {
    sockets: WebSocketContext,
    whep: Whep,
    snapshots: Snapshots,
}

/// The routes.
pub(crate) fn router(sockets: WebSocketContext, whep: Whep, snapshots: Snapshots) -> Router {
    let cross_origin = from_fn_with_state(sockets.allowed_origins.clone(), cross_origin);
    Router::new()
        .route("/go2rtc/", get(async || ([(CACHE_CONTROL, "no-store")], INDEX)))
        .route("/go2rtc/api/frame.jpeg", get(frame))
        .route("/go2rtc/api/streams", get(streams))
        .layer(cross_origin)
        // Refuses pages of other origins inside the WebSocket, where they can read it.
        .route("/go2rtc/api/ws", get(socket))
        .with_state(Go2rtc { sockets, whep, snapshots })
}

/// Refuses scripts of pages of an origin that is not allowed, and lets those of the others read the answer (WHATWG Fetch, section
/// 3.3).
async fn cross_origin(State(allowed): State<Arc<[String]>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    if let Some(foreign) = origin::foreign(request.headers(), is_encrypted(request.extensions()), &allowed) {
        return error(StatusCode::FORBIDDEN, &origin::refusal(&foreign));
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    headers.extend(origin.map(|origin| (ACCESS_CONTROL_ALLOW_ORIGIN, origin)));
    response
}

/// An error in the form of go2rtc: one line of text.
fn error(status: StatusCode, message: &str) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], format!("{message}\n")).into_response()
}

/// The error text of an address.
fn address_error(error: &BadAddress) -> String {
    match error {
        BadAddress::Unknown => NO_SOURCE.to_owned(),
        BadAddress::Name(error) => error.to_string(),
    }
}

async fn socket(
    State(Go2rtc { sockets, whep, .. }): State<Go2rtc>,
    Requested(address): Requested,
    peer: Option<Extension<ConnectInfo<PeerInfo>>>,
    stranger: Option<Extension<Unauthorized>>,
    expiry: Option<Extension<Expiry>>,
    handshake: Handshake,
) -> Response {
    let expiry = expiry.map(|Extension(expiry)| expiry);
    let reached = peer.and_then(|Extension(ConnectInfo(peer))| peer.local);
    let session = Go2rtcSession::new(whep, reached, expiry.clone());
    let address = address.map_err(|error| address_error(&error));
    let stranger = stranger.map(|Extension(stranger)| stranger);
    websocket::serve(sockets, SocketRequest { address, stranger, expiry, handshake }, session)
}

async fn frame(
    State(Go2rtc { snapshots, .. }): State<Go2rtc>,
    Requested(address): Requested,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let name = match address {
        Ok(address) => address.stream().clone(),
        Err(bad) => return error(StatusCode::BAD_REQUEST, &address_error(&bad)),
    };
    let query = query.unwrap_or_default();
    let parameters = form_urlencoded::parse(query.as_bytes());
    // go2rtc knows both names.
    let parameters =
        parameters.map(|(name, value)| if name == "w" { (Cow::from("width"), value) } else { (name, value) });
    snapshots.answer(name, parameters, &headers).await.into_response()
}

async fn streams(
    State(Go2rtc { sockets, .. }): State<Go2rtc>,
    Requested(address): Requested,
    Extension(permissions): Extension<Permissions>,
) -> Response {
    let described = match address {
        Ok(address) => description_of(&sockets.hub, &address),
        Err(BadAddress::Unknown) => Some(all(&sockets.hub, &permissions)),
        Err(bad) => return error(StatusCode::BAD_REQUEST, &address_error(&bad)),
    };
    match described {
        Some(described) => ([(CACHE_CONTROL, "no-store")], Json(described)).into_response(),
        None => error(StatusCode::NOT_FOUND, NOT_FOUND),
    }
}

/// The description of the stream of `address`, which the access check has permitted.
fn description_of(hub: &Hub, address: &Address) -> Option<Value> {
    hub.stream(address.stream()).map(|stream| description::describe(&stream, Instant::now()))
}

/// The descriptions of the permitted streams, by name.
fn all(hub: &Hub, permissions: &Permissions) -> Value {
    let now = Instant::now();
    let streams = hub.streams();
    let permitted = streams.iter().filter(|(name, _)| permissions.cover(name));
    permitted.map(|(name, stream)| (name.to_string(), description::describe(stream, now))).collect()
}

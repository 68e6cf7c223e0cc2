//! The HTTP routes: catalogue, events, metrics, health, and the client's files.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use memory_serve::CacheControl;
use serde_json::{Value, json};
use sightline_protocol::{SUBPROTOCOL, SUBPROTOCOL_PARAMETER, VERSION};
use tokio::time::Instant;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::access::{self, Access, ByCookie, Permissions};
use crate::clock;
use crate::egress::snapshot::Snapshots;
use crate::egress::{go2rtc, hls, websocket, whep};
use crate::hub::Hub;
use crate::limits::requests::RequestLimiter;
use crate::net::host::HostPolicy;

mod access_log;
mod body;
pub(crate) mod catalogue;
mod errors;
mod events;
mod headers;
mod hosts;
pub(crate) mod metrics;
mod requests;
mod stream;

/// The client's page.
const PAGE: &str = include_str!(env!("SIGHTLINE_PAGE"));

/// The description of the HTTP API (OpenAPI 3.1), without the version.
const OPENAPI: &str = include_str!("api/openapi.json");

/// What the configuration says of the responses.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Whether each request leaves a log line.
    pub access_log: bool,
    /// The `max-age` of `Strict-Transport-Security`.
    pub hsts_seconds: Option<u64>,
}

/// All routes of the relay.
pub(crate) fn router(
    context: websocket::WebSocketContext,
    (hls, whep, snapshots): (hls::HlsContext, whep::Whep, Snapshots),
    (access, metrics): (Access, metrics::Sources),
    (hosts, limiter): (HostPolicy, RequestLimiter),
    options: Options,
) -> Router {
    let webrtc = whep.is_on();
    let policy = headers::Policy::new(&[PAGE, access::login::FORM, errors::PAGE], &context.allowed_origins);
    let events = events::EventsState { hub: context.hub.clone(), webrtc, shutdown: context.shutdown.clone() };
    let streams = async move |State(hub): State<Arc<Hub>>,
                              Extension(permissions): Extension<Permissions>,
                              by_cookie: Option<Extension<ByCookie>>| {
        let mut catalogue = catalogue::catalogue(&hub, Instant::now(), webrtc);
        catalogue.streams.retain(|stream| permissions.cover(&stream.name));
        catalogue.can_log_out = by_cookie.is_some();
        Json(catalogue)
    };
    let api = Router::new()
        .route("/api/streams", get(streams))
        .route("/api/mse/test", get(mse_test))
        .route("/api/time", get(time))
        .route("/api/openapi.json", get(openapi))
        .route("/api/{*rest}", get(unknown))
        .with_state(context.hub.clone())
        .route("/metrics", get(metrics::metrics).with_state(metrics))
        .route("/api/events", get(events::events).with_state(events))
        // Responses change from one second to the next.
        .layer(SetResponseHeaderLayer::overriding(CACHE_CONTROL, HeaderValue::from_static("no-store")));
    let client = memory_serve::load!()
        .index_file(Some("/index.html"))
        // The same page; it shows its test view there.
        .add_alias("/test", "/index.html")
        // Trunk puts a hash of the contents into every other file's name.
        .html_cache_control(CacheControl::NoCache)
        .cache_control(CacheControl::Long)
        .into_router()
        .layer(middleware::from_fn(for_other_pages));
    let hub = context.hub.clone();
    let go2rtc = go2rtc::router(context.clone(), whep.clone(), snapshots.clone());
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/ws/mse/{*stream}", get(websocket::handle))
        .with_state(context)
        .merge(hls::router(hls))
        .merge(whep::router(whep))
        .route("/api/streams/{*rest}", get(stream::stream).with_state((hub, snapshots)))
        .merge(go2rtc)
        .merge(api)
        .merge(client)
        .route("/login", get(access::login::redirect_to_page).post(access::login::log_in).with_state(access.clone()))
        .route("/logout", post(access::login::log_out).get(access::login::redirect_to_page).with_state(access.clone()))
        .layer(DefaultBodyLimit::max(body::FORM_MAX))
        .layer(middleware::from_fn_with_state(access.clone(), access::guard))
        .layer(middleware::from_fn(body::limit))
        .layer(middleware::from_fn_with_state(hosts, hosts::own_host))
        .layer(middleware::from_fn_with_state((access.clone(), limiter), requests::limit))
        .layer(middleware::from_fn_with_state(access.clone(), count_rejections))
        .layer(middleware::from_fn(errors::negotiate))
        // Outside the guard and the errors, which respond with pages of their own.
        .layer(middleware::from_fn_with_state(policy, headers::secure));
    let router = match options.hsts_seconds {
        Some(seconds) => router.layer(middleware::from_fn_with_state(headers::Hsts::new(seconds), headers::hsts)),
        None => router,
    };
    // Outermost, so that it has the status that the client gets.
    if options.access_log { router.layer(middleware::from_fn_with_state(access, access_log::log)) } else { router }
}

/// The routes of the metrics' own listener: `/metrics`, without credentials.
pub(crate) fn metrics_router(sources: metrics::Sources, hosts: HostPolicy) -> Router {
    Router::new()
        .route("/metrics", get(metrics::metrics).with_state(sources))
        .layer(SetResponseHeaderLayer::overriding(CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .layer(middleware::from_fn_with_state(hosts, hosts::own_host))
}

/// Counts the responses that refuse a client. A missing address is none: players request segments that are gone.
async fn count_rejections(State(access): State<Access>, request: Request, next: Next) -> Response {
    let client = access.client(request.extensions(), request.headers());
    let response = next.run(request).await;
    if matches!(response.status().as_u16(), 400 | 401 | 403 | 408 | 413 | 421 | 429) {
        access.rejections().count(response.status().as_u16(), client);
    }
    response
}

/// Lets pages of any origin load the client's files, as `<sightline-player>` requires; access is checked where media is served.
/// Scripts without a hash in their names are revalidated at each load.
async fn for_other_pages(request: Request, next: Next) -> Response {
    let has_no_hash = matches!(request.uri().path(), "/sightline-player.js" | "/hls.js");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if has_no_hash {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    response
}

/// Liveness and version.
async fn healthz() -> impl IntoResponse {
    let health = json!({ "status": "ok", "version": VERSION, "commit": option_env!("SIGHTLINE_COMMIT") });
    ([(CACHE_CONTROL, "no-store")], Json(health))
}

/// The relay's clock, for clients that read capture times (EXT-X-PROGRAM-DATE-TIME) and have no WebSocket.
async fn time() -> impl IntoResponse {
    // Not secret: a page that embeds a player may read it.
    ([(ACCESS_CONTROL_ALLOW_ORIGIN, "*")], Json(json!({ "unix_ms": clock::unix_ms() })))
}

/// A summary of the MSE endpoint, for a person with curl.
async fn mse_test() -> Json<Value> {
    Json(json!({
        "endpoint": "/ws/mse/{stream}",
        "streams": "/api/streams",
        "events": "/api/events",
        "query": { "quality": ["auto", "high", "low"] },
        "dialects": {
            "plain": {
                "subprotocol": null,
                "steps": [
                    "optional: send the text h264 within 300 ms to ask for H.264",
                    "receive the text codec:hevc or codec:h264, or error:<reason> and a close code from 4400 on",
                    "receive binary messages: the init segment, then one fragment each, on a timeline that begins at 0 and has no \
                     gaps; end to end they are a playable file",
                ],
            },
            SUBPROTOCOL: {
                "subprotocol": SUBPROTOCOL,
                "or_query": format!("{SUBPROTOCOL_PARAMETER}={SUBPROTOCOL}"),
                "client_sends": ["play", "ack", "tracks", "resize", "quality", "switch", "pause", "resume", "ping", "pong"],
                "relay_sends": ["ready", "track", "state", "reason", "gap", "ping", "pong", "error"],
            },
        },
    }))
}

/// The description of this API. Guarded as the routes that it describes; every token may read it, since it names no stream.
async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], OPENAPI.replace("{version}", VERSION))
}

async fn unknown() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, "There is no such address; GET /api/openapi.json describes those there are.\n")
}

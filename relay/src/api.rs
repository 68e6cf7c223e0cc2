//! The HTTP side: catalogue, help, liveness, and the client itself.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use memory_serve::CacheControl;
use serde_json::{Value, json};
use sightline_protocol::{SUBPROTOCOL, VERSION};
use tokio::time::Instant;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::access::{self, Access, Rights};
use crate::clock;
use crate::egress::{hls, websocket, whep};
use crate::hub::Hub;

mod events;
mod headers;
mod metrics;

/// The client's page.
const PAGE: &str = include_str!(env!("SIGHTLINE_PAGE"));

/// Every route of the relay.
pub fn router(context: websocket::Context, hls: hls::Context, whep: whep::Whep, access: Access) -> Router {
    let webrtc = whep.is_on();
    let policy = headers::Policy::new(&[PAGE, access::FORM], &context.allowed_origins);
    let events = events::Feed { hub: context.hub.clone(), webrtc, shutdown: context.shutdown.clone() };
    let streams = async move |State(hub): State<Arc<Hub>>, Extension(rights): Extension<Rights>| {
        let mut catalogue = hub.catalogue(Instant::now(), webrtc);
        catalogue.streams.retain(|stream| rights.cover(stream.name.as_str()));
        Json(catalogue)
    };
    let api = Router::new()
        .route("/api/streams", get(streams))
        .route("/api/mse/test", get(mse_test))
        .route("/api/time", get(time))
        .route("/api/{*rest}", get(unknown))
        .route("/metrics", get(metrics::metrics))
        .with_state(context.hub.clone())
        .route("/api/events", get(events::events).with_state(events))
        // What is true now is not what was true a second ago.
        .layer(SetResponseHeaderLayer::overriding(CACHE_CONTROL, HeaderValue::from_static("no-store")));
    let client = memory_serve::load!()
        .index_file(Some("/index.html"))
        // The same page, which shows another of its faces there.
        .add_alias("/test", "/index.html")
        // Trunk puts a hash of the contents into every other file's name.
        .html_cache_control(CacheControl::NoCache)
        .cache_control(CacheControl::Long)
        .into_router()
        .layer(middleware::from_fn(for_other_pages));
    Router::new()
        .route("/healthz", get(healthz))
        .route("/ws/mse/{stream}", get(websocket::handle))
        .with_state(context)
        .merge(hls::router(hls))
        .merge(whep::router(whep))
        .merge(api)
        .merge(client)
        .route("/login", get(access::back_to_the_page).post(access::login).with_state(access.clone()))
        .layer(middleware::from_fn_with_state(access, access::guard))
        // Around the guard, which answers with a page of its own.
        .layer(middleware::from_fn_with_state(policy, headers::secure))
}

/// The client's files may be used by any page, which is what `<sightline-player>` is for: who may watch is decided where the
/// pictures are. Scripts that are loaded by their names have no hash in them and are asked for anew.
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

/// That it runs, and what it is.
async fn healthz() -> impl IntoResponse {
    let health = json!({ "status": "ok", "version": VERSION, "commit": option_env!("SIGHTLINE_COMMIT") });
    ([(CACHE_CONTROL, "no-store")], Json(health))
}

/// The relay's clock, for those who know of capture times (EXT-X-PROGRAM-DATE-TIME) and have no WebSocket to ask on.
async fn time() -> impl IntoResponse {
    // Nobody's secret: pages that embed a player may ask.
    ([(ACCESS_CONTROL_ALLOW_ORIGIN, "*")], Json(json!({ "unix_ms": clock::unix_ms() })))
}

/// What the MSE endpoint is and how to use it, for somebody with curl.
async fn mse_test() -> Json<Value> {
    Json(json!({
        "endpoint": "/ws/mse/{stream}",
        "streams": "/api/streams",
        "events": "/api/events",
        "dialects": {
            "plain": {
                "subprotocol": null,
                "steps": [
                    "optional: send the text h264 within 300 ms to ask for H.264",
                    "receive the text codec:hevc or codec:h264, or error:<reason> and a close code from 4400 on",
                    "receive binary messages: the init segment, then one fragment each; end to end they are a playable file",
                ],
            },
            SUBPROTOCOL: {
                "subprotocol": SUBPROTOCOL,
                "client_sends": ["play", "ack", "tracks", "switch", "pause", "resume", "ping", "pong"],
                "relay_sends": ["ready", "track", "state", "gap", "ping", "pong", "error"],
            },
        },
    }))
}

async fn unknown() -> impl IntoResponse {
    (
        StatusCode::NOT_FOUND,
        "There is no such address; GET /api/streams, /api/events, /api/time and /api/mse/test exist.\n",
    )
}

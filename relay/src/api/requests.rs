//! Refuses requests beyond the client's rate, with 429 (RFC 6585, section 4).

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::access::Access;
use crate::limits::requests::RequestLimiter;

/// Weight of a WHEP offer, and of a WebSocket of go2rtc's API, which takes one: parsing it, and the session's keys, take as long as answering as many playlists. A client may send 80 a
/// second, and 160 at once: more than the viewers that it may have.
const OFFER: u16 = 25;

/// Passes a request within its client's rate on.
pub(super) async fn limit(
    State((access, limiter)): State<(Access, RequestLimiter)>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let takes_offer = request.method() == Method::POST && path.starts_with("/whep/") || path == "/go2rtc/api/ws";
    let weight = if takes_offer { OFFER } else { 1 };
    match limiter.count(access.client(request.extensions(), request.headers()), weight) {
        Ok(()) => next.run(request).await,
        Err(refused) => {
            let headers = [(RETRY_AFTER, "1"), (CACHE_CONTROL, "no-store")];
            (StatusCode::TOO_MANY_REQUESTS, headers, format!("{refused}\n")).into_response()
        }
    }
}

//! Refuses requests beyond the client's rate, with 429 (RFC 6585, section 4).

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::access::Access;
use crate::limits::requests::RequestLimiter;

/// Passes a request within its client's rate on.
pub(super) async fn limit(
    State((access, limiter)): State<(Access, RequestLimiter)>,
    request: Request,
    next: Next,
) -> Response {
    match limiter.count(access.client(request.extensions(), request.headers())) {
        Ok(()) => next.run(request).await,
        Err(refused) => {
            let headers = [(RETRY_AFTER, "1"), (CACHE_CONTROL, "no-store")];
            (StatusCode::TOO_MANY_REQUESTS, headers, format!("{refused}\n")).into_response()
        }
    }
}

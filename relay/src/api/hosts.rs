//! Refuses requests that name no host or several, which a proxy in front of the relay may have read differently (RFC 9112,
//! section 3.2).

use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONNECTION, HOST};
use axum::http::{StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Passes a request with one `Host` on; HTTP/1.0 needs none. Others get 400.
pub(super) async fn one_host(request: Request, next: Next) -> Response {
    let hosts = request.headers().get_all(HOST).iter().count();
    if hosts == 1 || (hosts == 0 && request.version() < Version::HTTP_11) {
        return next.run(request).await;
    }
    let headers = [(CONNECTION, "close"), (CACHE_CONTROL, "no-store")];
    (StatusCode::BAD_REQUEST, headers, "a request needs exactly one Host header\n").into_response()
}

//! Refuses requests by their `Host`.
//!
//! | `Host` | response |
//! | --- | --- |
//! | none or several, which a proxy in front of the relay may have read differently (RFC 9112, section 3.2) | 400 |
//! | another site's name ([`HostPolicy`]), except for `/healthz` | 421 and a sentence |

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONNECTION, HOST};
use axum::http::{StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::net::foreign::Foreign;
use crate::net::host::HostPolicy;
use crate::net::peer::is_encrypted;

/// Passes a request with one `Host` on, if it is a name of the relay. HTTP/1.0 needs none.
pub(super) async fn own_host(State(policy): State<HostPolicy>, request: Request, next: Next) -> Response {
    let hosts = request.headers().get_all(HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() >= Version::HTTP_11) {
        let headers = [(CONNECTION, "close"), (CACHE_CONTROL, "no-store")];
        return (StatusCode::BAD_REQUEST, headers, "a request needs exactly one Host header\n").into_response();
    }
    // Monitors reach it by any name, and it tells nothing of the cameras.
    let foreign = (request.uri().path() != "/healthz")
        .then(|| policy.foreign(request.headers(), is_encrypted(request.extensions())))
        .flatten();
    match foreign {
        None => next.run(request).await,
        Some(name) => (StatusCode::MISDIRECTED_REQUEST, [(CACHE_CONTROL, "no-store")], refusal(&name)).into_response(),
    }
}

fn refusal(name: &str) -> String {
    let name = Foreign(name);
    format!(
        "the host name {name} may belong to another site; if it is this relay's, add it to allowed_hosts in the configuration, \
         or set a password\n"
    )
}

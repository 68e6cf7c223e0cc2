//! Refuses requests by their `Host`. HTTP/2 has it in the target, as `:authority` (RFC 9113, section 8.3.1), and HTTP/1.1 may
//! (RFC 9112, section 3.2.2): the handlers behind find it in `Host` in each case.
//!
//! | `Host` | response |
//! | --- | --- |
//! | none, or several, also a header beside another target: a proxy in front of the relay may read the other one (RFC 9112, section 3.2) | 400 |
//! | with user information (RFC 9110, section 4.2.4) | 400 |
//! | another site's name ([`HostPolicy`]), except for `/healthz` | 421 and a sentence |

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONNECTION, HOST};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::net::escaped::Escaped;
use crate::net::host::HostPolicy;
use crate::net::peer::is_encrypted;

/// Passes a request with one `Host` on, if it is a name of the relay.
pub(super) async fn own_host(State(policy): State<HostPolicy>, mut request: Request, next: Next) -> Response {
    let target = request.uri().clone();
    add_host(&target, request.headers_mut());
    if !has_valid_host(request.headers(), request.version()) {
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

/// Adds the host of `target` to the headers, unless they name it.
fn add_host(target: &Uri, headers: &mut HeaderMap) {
    let Some(authority) = target.authority().map(|authority| authority.as_str()) else { return };
    let is_named = |host: &HeaderValue| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes());
    // An authority is valid in a header.
    if let Ok(host) = HeaderValue::from_str(authority)
        && !headers.get(HOST).is_some_and(is_named)
    {
        headers.append(HOST, host);
    }
}

/// Whether there is one host, without user information. HTTP/1.0 needs none.
fn has_valid_host(headers: &HeaderMap, version: Version) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => version < Version::HTTP_11,
        (Some(host), None) => !host.as_bytes().contains(&b'@'),
        (Some(_), Some(_)) => false,
    }
}

fn refusal(name: &str) -> String {
    let name = Escaped(name);
    format!(
        "the host name {name} may belong to another site; if it is this relay's, add it to allowed_hosts in the configuration, \
         or set a password\n"
    )
}

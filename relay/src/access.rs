//! Who may watch: everybody, or those who know the password.
//!
//! One policy for everything that shows or tells of a camera. A browser logs in once and has a cookie from then on; players
//! and programs send the password with each request (RFC 7617). The page's own files, which every installation has alike, are
//! for all.
//!
//! | who asks | without the password |
//! | --- | --- |
//! | a browser for a page | a form that asks for it |
//! | a WebSocket | a refusal inside the WebSocket, where a page can read it |
//! | anything else | 401 and a sentence |

mod cookie;
mod gate;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Form;
use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, COOKIE, LOCATION, ORIGIN, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use tracing::{info, warn};

use crate::clock;
use crate::config::Password;
use crate::egress::origin;
use cookie::Signer;
use gate::Gate;

/// What a page is told, in place of a picture.
pub(crate) const LOG_IN: &str = "this relay asks for a password: load the page anew to log in";
const FORM: &str = include_str!("access/form.html");
/// Where the form says that a password was wrong.
const WRONG: &str = "<!--wrong-->";
/// Everything that shows or tells of a camera is below these.
const GUARDED: [&str; 4] = ["/api/", "/ws/", "/hls/", "/whep/"];
/// The pages, which are a form to those who have not logged in.
const PAGES: [&str; 3] = ["/", "/test", "/index.html"];

/// See the module.
#[derive(Clone)]
pub struct Access(Option<Arc<Locked>>);

struct Locked {
    password: Password,
    signer: Signer,
    gate: Gate,
}

/// Marks the request for a WebSocket of somebody who may not watch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NotLoggedIn;

/// What the form sends.
#[derive(Deserialize)]
pub(crate) struct Login {
    password: String,
}

impl Access {
    /// For those who know `password`; without one, for everybody who reaches the relay. Deriving the key takes a moment.
    pub fn new(password: Option<Password>) -> Self {
        Self(password.map(|password| {
            let signer = Signer::new(&password);
            Arc::new(Locked { password, signer, gate: Gate::default() })
        }))
    }
}

/// Lets a request through, or answers it.
pub(crate) async fn guard(State(access): State<Access>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let page = PAGES.contains(&path);
    let guarded = page || GUARDED.iter().any(|below| path.starts_with(below));
    // A preflight has no credentials, and gets none of what it asks about (Fetch standard, CORS protocol).
    let (true, false, Some(locked)) = (guarded, request.method() == Method::OPTIONS, &access.0) else {
        return next.run(request).await;
    };
    match locked.admits(request.headers()).await {
        Verdict::Yes => next.run(request).await,
        Verdict::Busy => busy(),
        Verdict::No if page => form(StatusCode::UNAUTHORIZED, false),
        Verdict::No if path.starts_with("/ws/") => {
            request.extensions_mut().insert(NotLoggedIn);
            next.run(request).await
        }
        Verdict::No => {
            // A browser would ask for itself, and again for each tile; it says that it is one (Fetch Metadata).
            let browser = request.headers().contains_key("sec-fetch-mode");
            let challenge = if browser { "Cookie" } else { "Basic realm=\"Sightline\", charset=\"UTF-8\"" };
            let headers = [(WWW_AUTHENTICATE, challenge), (CACHE_CONTROL, "no-store")];
            (StatusCode::UNAUTHORIZED, headers, format!("{LOG_IN}\n")).into_response()
        }
    }
}

/// `POST /login`, what the form sends: a cookie, and back to the page.
pub(crate) async fn login(State(access): State<Access>, headers: HeaderMap, Form(login): Form<Login>) -> Response {
    let back = |cookie: Option<String>| {
        let mut response = (StatusCode::SEE_OTHER, [(LOCATION, "."), (CACHE_CONTROL, "no-store")]).into_response();
        if let Some(cookie) = cookie.and_then(|cookie| cookie.parse().ok()) {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        response
    };
    let Some(locked) = &access.0 else { return back(None) };
    if let Some(origin) = origin::foreign(&headers, &[]) {
        return (StatusCode::FORBIDDEN, format!("{}\n", origin::refusal(&origin))).into_response();
    }
    match locked.gate.try_password(&locked.password, &login.password).await {
        Verdict::Yes => {
            info!("a browser logged in");
            let encrypted = headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https:"));
            back(Some(locked.signer.cookie(now(), encrypted)))
        }
        Verdict::No => {
            warn!("somebody gave a wrong password");
            form(StatusCode::UNAUTHORIZED, true)
        }
        Verdict::Busy => busy(),
    }
}

/// `GET /login`: somebody who typed it, or went back to it.
pub(crate) async fn back_to_the_page() -> impl IntoResponse {
    (StatusCode::SEE_OTHER, [(LOCATION, ".")])
}

/// Whether somebody may watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Yes,
    No,
    /// Too many are guessing.
    Busy,
}

impl Locked {
    async fn admits(&self, headers: &HeaderMap) -> Verdict {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        if cookies.flat_map(cookie::values).any(|value| self.signer.accepts(value, now())) {
            return Verdict::Yes;
        }
        match headers.get(AUTHORIZATION).and_then(|value| basic(value.to_str().ok()?)) {
            Some(password) => self.gate.try_password(&self.password, &password).await,
            None => Verdict::No,
        }
    }
}

/// The password of `Authorization: Basic` (RFC 7617, section 2), whatever the name.
fn basic(value: &str) -> Option<String> {
    let (scheme, credentials) = value.split_once(' ')?;
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| BASE64.decode(credentials.trim()).ok())??;
    Some(String::from_utf8(decoded).ok()?.split_once(':')?.1.to_owned())
}

/// Seconds since 1970.
fn now() -> u64 {
    (clock::unix_ms() / 1000.0) as u64
}

fn form(status: StatusCode, wrong: bool) -> Response {
    let text = if wrong { "<p role=alert>That is not the password.</p>" } else { "" };
    let headers =
        [(CONTENT_TYPE, "text/html; charset=utf-8"), (WWW_AUTHENTICATE, "Cookie"), (CACHE_CONTROL, "no-store")];
    (status, headers, FORM.replace(WRONG, text)).into_response()
}

fn busy() -> Response {
    let message = "too many passwords are being tried; try again in a few seconds\n";
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "2")], message).into_response()
}

/// Why a relay that listens on this address must not start, if that is so: who can reach it can watch.
pub(crate) fn refuses(listen: SocketAddr, password: Option<&Password>, open: bool) -> bool {
    !listen.ip().is_loopback() && password.is_none() && !open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_read() {
        let encoded = |text: &str| format!("Basic {}", BASE64.encode(text));
        assert_eq!(basic(&encoded(":secret")).as_deref(), Some("secret"));
        assert_eq!(basic(&encoded("me:se:cret")).as_deref(), Some("se:cret"));
        for nonsense in ["", "Basic", "Basic ???", "Bearer x", &encoded("no colon")] {
            assert_eq!(basic(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn what_everybody_can_reach_is_not_open_by_mistake() {
        let password = Password::new("x".to_owned());
        for (listen, password, open, refused) in [
            ("127.0.0.1:80", None, false, false),
            ("[::1]:80", None, false, false),
            ("0.0.0.0:80", None, false, true),
            ("192.168.1.2:80", None, false, true),
            ("0.0.0.0:80", None, true, false),
            ("0.0.0.0:80", Some(&password), false, false),
        ] {
            assert_eq!(refuses(listen.parse().unwrap(), password, open), refused, "{listen} {open}");
        }
    }
}

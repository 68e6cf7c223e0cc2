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
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, COOKIE, LOCATION, ORIGIN, RETRY_AFTER, SET_COOKIE, USER_AGENT,
    WWW_AUTHENTICATE,
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
/// The page that asks for the password.
pub(crate) const FORM: &str = include_str!("access/form.html");
/// Where the form says that a password was wrong.
const WRONG: &str = "<!--wrong-->";
/// Where the form says what page was asked for.
const TO: &str = "{to}";
/// How every browser's `User-Agent` begins, and hardly anybody else's.
const BROWSER: &[u8] = b"Mozilla/";
/// What is nobody's secret, beside the client's files.
const PUBLIC: [&str; 2] = ["/healthz", "/login"];
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
    /// The page that was asked for, from the form's own folder on.
    #[serde(default)]
    to: String,
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
    // A preflight has no credentials, and gets none of what it asks about (Fetch standard, CORS protocol).
    let open = !page && is_public(path) || request.method() == Method::OPTIONS;
    let (false, Some(locked)) = (open, &access.0) else { return next.run(request).await };
    match locked.admits(request.headers()).await {
        Verdict::Yes => next.run(request).await,
        Verdict::Busy => busy(),
        Verdict::No if page => form(&asked_for(&request), false),
        Verdict::No if path.starts_with("/ws/") => {
            request.extensions_mut().insert(NotLoggedIn);
            next.run(request).await
        }
        Verdict::No => {
            // A browser would ask for itself, and again for each tile.
            let browser = request.headers().get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(BROWSER));
            let challenge = if browser { "Cookie" } else { "Basic realm=\"Sightline\", charset=\"UTF-8\"" };
            let headers = [(WWW_AUTHENTICATE, challenge), (CACHE_CONTROL, "no-store")];
            (StatusCode::UNAUTHORIZED, headers, format!("{LOG_IN}\n")).into_response()
        }
    }
}

/// Whether strangers may have it. What is not known to be for all is not, so that a new route is guarded before anybody has
/// thought of it. The client's files are beside its page, and are all that has an extension there.
fn is_public(path: &str) -> bool {
    PUBLIC.contains(&path) || path.strip_prefix('/').is_some_and(|name| name.contains('.') && !name.contains('/'))
}

/// `POST /login`, what the form sends: a cookie, and back to the page.
pub(crate) async fn login(State(access): State<Access>, headers: HeaderMap, Form(login): Form<Login>) -> Response {
    let to = if is_page(&login.to) { &login.to } else { "." };
    let back = |cookie: Option<String>| {
        let mut response = (StatusCode::SEE_OTHER, [(LOCATION, to), (CACHE_CONTROL, "no-store")]).into_response();
        if let Some(cookie) = cookie.and_then(|cookie| cookie.parse().ok()) {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        response
    };
    let Some(locked) = &access.0 else { return back(None) };
    // A browser that tells nobody where it comes from sends "null"; there is nothing to be gained by a login.
    if let Some(origin) = origin::foreign(&headers, &[]).filter(|origin| origin != "null") {
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
            form(to, true)
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
        let mut cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        if cookies.any(|header| self.signer.admits(header, now())) {
            return Verdict::Yes;
        }
        match headers.get(AUTHORIZATION).and_then(|value| credentials(str::from_utf8(value.as_bytes()).ok()?)) {
            Some(password) => self.gate.try_password(&self.password, &password).await,
            None => Verdict::No,
        }
    }
}

/// The password of `Authorization: Basic` (RFC 7617, section 2), whatever the name, or of `Bearer` (RFC 6750, section 2.1),
/// which is what clients of WHEP have.
fn credentials(value: &str) -> Option<String> {
    let (scheme, credentials) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(credentials.trim().to_owned());
    }
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| BASE64.decode(credentials.trim()).ok())??;
    Some(String::from_utf8(decoded).ok()?.split_once(':')?.1.to_owned())
}

/// Seconds since 1970.
fn now() -> u64 {
    (clock::unix_ms() / 1000.0) as u64
}

/// The page that a request is for, relative to its folder, wherever a proxy has that.
fn asked_for(request: &Request) -> String {
    let path = request.uri().path().trim_start_matches('/');
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("./{path}{query}")
}

/// Whether that is one of the pages, and no way out of here.
fn is_page(to: &str) -> bool {
    let path = to.split('?').next().and_then(|path| path.strip_prefix('.'));
    path.is_some_and(|path| PAGES.contains(&path)) && to.bytes().all(|byte| byte.is_ascii_graphic())
}

fn form(to: &str, wrong: bool) -> Response {
    let text = if wrong { "<p role=alert>That is not the password.</p>" } else { "" };
    let headers =
        [(CONTENT_TYPE, "text/html; charset=utf-8"), (WWW_AUTHENTICATE, "Cookie"), (CACHE_CONTROL, "no-store")];
    let to = to.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    (StatusCode::UNAUTHORIZED, headers, FORM.replace(WRONG, text).replace(TO, &to)).into_response()
}

fn busy() -> Response {
    let message = "too many passwords are being tried; try again in a few seconds\n";
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "2")], message).into_response()
}

/// Whether a relay must not start that listens on this address: everybody who reaches it could watch.
pub(crate) fn refuses(listen: SocketAddr, password: Option<&Password>, open: bool) -> bool {
    !listen.ip().is_loopback() && password.is_none() && !open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read() {
        let encoded = |text: &str| format!("Basic {}", BASE64.encode(text));
        assert_eq!(credentials(&encoded(":secret")).as_deref(), Some("secret"));
        assert_eq!(credentials(&encoded("me:se:cret")).as_deref(), Some("se:cret"));
        assert_eq!(credentials("bearer secret").as_deref(), Some("secret"));
        for nonsense in ["", "Basic", "Basic ???", "Digest x", &encoded("no colon")] {
            assert_eq!(credentials(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn only_the_client_s_files_and_the_way_in_are_for_all() {
        for path in ["/healthz", "/login", "/hls.js", "/client-0a1b_bg.wasm"] {
            assert!(is_public(path), "{path}");
        }
        for path in ["/", "/api/streams", "/hls/cam/copy/1.m4s", "/metrics", "//hls.js", "/ws/mse/x", "/login/"] {
            assert!(!is_public(path), "{path}");
        }
    }

    #[test]
    fn the_form_leads_back_to_the_page_and_nowhere_else() {
        for to in ["./", "./?stream=yard&codec=h264", "./test?stream=yard"] {
            assert!(is_page(to), "{to}");
        }
        for to in
            ["", ".", "//evil.example", "./../", "https://evil.example/", "./\r\nX: y", "./api/streams", ".//evil"]
        {
            assert!(!is_page(to), "{to}");
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

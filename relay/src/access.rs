//! Who may watch: everybody, or those who know the password, or have a token.
//!
//! One policy for everything that shows or tells of a camera. A browser logs in once and has a cookie from then on; players
//! and programs send the password with each request (RFC 7617). A password is for all that there is, a token for its streams
//! and its time ([`token`], [`rights`]). The page's own files, which every installation has alike, are for all.
//!
//! | who asks | without either |
//! | --- | --- |
//! | a browser for a page | a form that asks for the password, if there is one |
//! | a WebSocket | a refusal inside the WebSocket, where a page can read it |
//! | anything else | 401 and a sentence; 403 for a stream that the token is not for |

mod cookie;
mod gate;
mod rights;
pub mod token;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, COOKIE, LOCATION, ORIGIN, RETRY_AFTER, SET_COOKIE, USER_AGENT,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use tracing::{info, warn};

use crate::config::{Password, TokenKey};
use crate::egress::origin;
use crate::server::{Reached, is_encrypted};
use cookie::Signer;
use gate::Gate;
pub(crate) use rights::Rights;
use token::Verifier;

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

/// By a password, by tokens, or by both.
struct Locked {
    password: Option<Login>,
    tokens: Option<Verifier>,
}

struct Login {
    password: Password,
    signer: Signer,
    gate: Gate,
}

/// Why somebody may not watch, as it is told in place of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Nothing was shown, or a wrong password, where there is one.
    #[error("this relay asks for a password: load the page anew to log in")]
    LogIn,
    /// Nothing was shown, where there are only tokens.
    #[error("this relay asks for an access token: open it by a link that has one")]
    NoToken,
    /// The token was good once.
    #[error("the access token has expired: ask for a new one")]
    Expired,
    /// The token will be good.
    #[error("the access token is not valid yet: try again later")]
    Early,
    /// It was not made with this relay's key, or is no token at all.
    #[error("the access token is not one of this relay's: ask for a new one")]
    Foreign,
    /// The token is for something else.
    #[error("the access token is not for this: ask for one that names the stream")]
    OtherStream,
}

/// Marks a request that was let in by the token in its address, for answers that name other addresses.
#[derive(Debug, Clone)]
pub(crate) struct ByLink(pub(crate) String);

/// Marks the request for a WebSocket of somebody who may not watch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NotAdmitted(pub(crate) Refusal);

/// What the form sends.
#[derive(Deserialize)]
pub(crate) struct Filled {
    password: String,
    /// The page that was asked for, from the form's own folder on.
    #[serde(default)]
    to: String,
}

impl Access {
    /// For those who know `password` or have a token that `token_key` has signed; without either, for everybody who reaches
    /// the relay. Deriving the key of cookies takes a moment.
    pub fn new(password: Option<Password>, token_key: Option<&TokenKey>) -> Self {
        let password = password.map(|password| {
            let signer = Signer::new(&password);
            Login { password, signer, gate: Gate::default() }
        });
        let tokens = token_key.map(Verifier::new);
        let locked = password.is_some() || tokens.is_some();
        Self(locked.then(|| Arc::new(Locked { password, tokens })))
    }
}

/// Lets a request through, or answers it.
pub(crate) async fn guard(State(access): State<Access>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let page = PAGES.contains(&path);
    // A preflight has no credentials, and gets none of what it asks about (Fetch standard, CORS protocol).
    let open = !page && is_public(path) || request.method() == Method::OPTIONS;
    let (false, Some(locked)) = (open, &access.0) else {
        request.extensions_mut().insert(Rights::All);
        return next.run(request).await;
    };
    let admission = match locked.admits(request.uri(), request.headers()).await {
        Admission::Admitted(rights) if !rights.reach(path) => Admission::Refused(Refusal::OtherStream),
        admission => admission,
    };
    match admission {
        Admission::Admitted(rights) => {
            let link = locked.link(&request);
            // A page that was opened by a link asks for everything else without its token.
            let cookie = link.as_ref().filter(|_| page).and_then(|(_, cookie)| cookie.parse().ok());
            request.extensions_mut().insert(rights);
            if let Some((link, _)) = link {
                request.extensions_mut().insert(link);
            }
            let mut response = next.run(request).await;
            if let Some(cookie) = cookie {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
            response
        }
        Admission::Busy => busy(),
        Admission::Refused(why) if page && locked.password.is_some() => form(&asked_for(&request), told(why)),
        Admission::Refused(why) if path.starts_with("/ws/") => {
            request.extensions_mut().insert(NotAdmitted(why));
            next.run(request).await
        }
        Admission::Refused(why @ Refusal::OtherStream) => {
            (StatusCode::FORBIDDEN, [(CACHE_CONTROL, "no-store")], format!("{why}\n")).into_response()
        }
        Admission::Refused(why) => {
            // A browser would ask for itself, and again for each tile.
            let browser = request.headers().get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(BROWSER));
            let challenge = match (&locked.password, browser) {
                (None, _) => "Bearer realm=\"Sightline\"",
                (Some(_), true) => "Cookie",
                (Some(_), false) => "Basic realm=\"Sightline\", charset=\"UTF-8\"",
            };
            let headers = [(WWW_AUTHENTICATE, challenge), (CACHE_CONTROL, "no-store")];
            (StatusCode::UNAUTHORIZED, headers, format!("{why}\n")).into_response()
        }
    }
}

/// What the form says to somebody whose token is not good.
fn told(why: Refusal) -> Option<String> {
    (why != Refusal::LogIn).then(|| format!("Not let in: {why}."))
}

/// Whether strangers may have it. What is not known to be for all is not, so that a new route is guarded before anybody has
/// thought of it. The client's files are beside its page, and are all that has an extension there.
fn is_public(path: &str) -> bool {
    PUBLIC.contains(&path) || path.strip_prefix('/').is_some_and(|name| name.contains('.') && !name.contains('/'))
}

/// `POST /login`, what the form sends: a cookie, and back to the page.
pub(crate) async fn login(
    State(access): State<Access>,
    reached: Option<Extension<ConnectInfo<Reached>>>,
    headers: HeaderMap,
    Form(filled): Form<Filled>,
) -> Response {
    let to = if is_page(&filled.to) { &filled.to } else { "." };
    let back = |cookie: Option<String>| {
        let mut response = (StatusCode::SEE_OTHER, [(LOCATION, to), (CACHE_CONTROL, "no-store")]).into_response();
        if let Some(cookie) = cookie.and_then(|cookie| cookie.parse().ok()) {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        response
    };
    let Some(login) = access.0.as_ref().and_then(|locked| locked.password.as_ref()) else { return back(None) };
    let by_tls = reached.is_some_and(|Extension(ConnectInfo(reached))| reached.encrypted);
    // A browser that tells nobody where it comes from sends "null"; there is nothing to be gained by a login.
    if let Some(origin) = origin::foreign(&headers, by_tls, &[]).filter(|origin| origin != "null") {
        return (StatusCode::FORBIDDEN, format!("{}\n", origin::refusal(&origin))).into_response();
    }
    match login.gate.try_password(&login.password, &filled.password).await {
        Verdict::Yes => {
            info!("a browser logged in");
            let by_https = headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https:"));
            back(Some(login.signer.cookie(now(), by_tls || by_https)))
        }
        Verdict::No => {
            warn!("somebody gave a wrong password");
            form(to, Some("That is not the password.".to_owned()))
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

/// Whether a request is let in.
enum Admission {
    Admitted(Rights),
    Refused(Refusal),
    /// Too many are guessing.
    Busy,
}

impl From<Result<(Rights, u64), Refusal>> for Admission {
    fn from(verified: Result<(Rights, u64), Refusal>) -> Self {
        verified.map_or_else(Self::Refused, |(rights, _)| Self::Admitted(rights))
    }
}

impl Locked {
    /// By what shows the most first; what comes by itself, the cookie of a link, last.
    async fn admits(&self, uri: &Uri, headers: &HeaderMap) -> Admission {
        let now = now();
        let mut cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        if let Some(login) = &self.password
            && cookies.any(|header| login.signer.admits(header, now))
        {
            return Admission::Admitted(Rights::All);
        }
        let shown = || token::in_query(uri).or_else(|| token::in_protocols(headers));
        if let Some((tokens, token)) = self.tokens.as_ref().and_then(|tokens| Some((tokens, shown()?))) {
            return tokens.verify(token, now).into();
        }
        if let Some(given) =
            headers.get(AUTHORIZATION).and_then(|value| credentials(str::from_utf8(value.as_bytes()).ok()?))
        {
            return self.try_credentials(&given, now).await;
        }
        let kept = self.tokens.as_ref().and_then(|tokens| Some(tokens.verify(tokens.kept(headers)?, now)));
        kept.map_or(Admission::Refused(self.question()), Admission::from)
    }

    /// A token, or the password.
    async fn try_credentials(&self, given: &str, now: u64) -> Admission {
        match (self.tokens.as_ref().map(|tokens| tokens.verify(given, now)), &self.password) {
            (Some(verified), None) => verified.into(),
            // It has our signature, so it is no password.
            (Some(verified @ (Ok(_) | Err(Refusal::Expired | Refusal::Early))), _) => verified.into(),
            (_, Some(login)) => match login.gate.try_password(&login.password, given).await {
                Verdict::Yes => Admission::Admitted(Rights::All),
                Verdict::No => Admission::Refused(Refusal::LogIn),
                Verdict::Busy => Admission::Busy,
            },
            (None, None) => Admission::Refused(self.question()),
        }
    }

    /// What somebody is told who shows nothing.
    fn question(&self) -> Refusal {
        if self.password.is_some() { Refusal::LogIn } else { Refusal::NoToken }
    }

    /// The token of an address, if it is good, and the cookie for a page that was opened with it.
    fn link(&self, request: &Request) -> Option<(ByLink, String)> {
        // Only a proxy knows whether its side is encrypted.
        let by_https = request.headers().get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
        let encrypted = by_https || is_encrypted(request.extensions());
        let token = token::in_query(request.uri())?;
        let cookie = self.tokens.as_ref()?.keep(token, now(), encrypted)?;
        Some((ByLink(token.to_owned()), cookie))
    }
}

/// The password, or the token, of `Authorization: Basic` (RFC 7617, section 2), whatever the name, or of `Bearer` (RFC 6750, section 2.1),
/// which is what clients of WHEP have.
fn credentials(value: &str) -> Option<String> {
    let (scheme, credentials) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(credentials.trim().to_owned());
    }
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| BASE64.decode(credentials.trim()).ok())??;
    Some(String::from_utf8(decoded).ok()?.split_once(':')?.1.to_owned())
}

/// Seconds since 1970, by the system's clock as it is now: whoever made a token went by theirs, and a machine may have set its
/// own since the relay started.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The page that a request is for, relative to its folder, wherever a proxy has that; without a token, which was none.
fn asked_for(request: &Request) -> String {
    let path = request.uri().path().trim_start_matches('/');
    let pairs = request.uri().query().into_iter().flat_map(|query| query.split('&'));
    let query = pairs.filter(|pair| !pair.starts_with(token::PARAMETER)).collect::<Vec<_>>().join("&");
    if query.is_empty() { format!("./{path}") } else { format!("./{path}?{query}") }
}

/// Whether that is one of the pages, and no way out of here.
fn is_page(to: &str) -> bool {
    let path = to.split('?').next().and_then(|path| path.strip_prefix('.'));
    path.is_some_and(|path| PAGES.contains(&path)) && to.bytes().all(|byte| byte.is_ascii_graphic())
}

fn form(to: &str, told: Option<String>) -> Response {
    let text = told.map(|told| format!("<p role=alert>{told}</p>")).unwrap_or_default();
    let headers =
        [(CONTENT_TYPE, "text/html; charset=utf-8"), (WWW_AUTHENTICATE, "Cookie"), (CACHE_CONTROL, "no-store")];
    let to = to.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    (StatusCode::UNAUTHORIZED, headers, FORM.replace(WRONG, &text).replace(TO, &to)).into_response()
}

fn busy() -> Response {
    let message = "too many passwords are being tried; try again in a few seconds\n";
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "2")], message).into_response()
}

/// Whether a relay must not start that listens on this address: everybody who reaches it could watch.
pub(crate) fn refuses(listen: SocketAddr, locked: bool, open: bool) -> bool {
    !listen.ip().is_loopback() && !locked && !open
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
        for (listen, locked, open, refused) in [
            ("127.0.0.1:80", false, false, false),
            ("[::1]:80", false, false, false),
            ("0.0.0.0:80", false, false, true),
            ("192.168.1.2:80", false, false, true),
            ("0.0.0.0:80", false, true, false),
            ("0.0.0.0:80", true, false, false),
        ] {
            assert_eq!(refuses(listen.parse().unwrap(), locked, open), refused, "{listen} {open}");
        }
    }
}

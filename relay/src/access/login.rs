//! The login form; `POST /login`: a password in, a session cookie and a redirect to the requested page out; and `POST /logout`.

use axum::Form;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, ORIGIN, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tracing::info;

use super::cookie::LoginId;
use super::login_throttle::GuessVerdict;
use super::{Access, PAGES, Refusal, now, token};
use crate::net::origin;
use crate::net::peer::is_encrypted;
use crate::net::rejections::LoginMethod;

/// The login page.
pub(crate) const FORM: &str = include_str!("form.html");
/// Replaced by an error message.
const WRONG: &str = "<!--wrong-->";
/// Replaced by the page that was requested.
const TO: &str = "{to}";

/// The submitted form.
#[derive(Deserialize)]
pub(crate) struct LoginForm {
    password: String,
    /// The page that was requested, relative to the form's folder.
    #[serde(default)]
    to: String,
}

/// `POST /login`: sets the session cookie and redirects to the requested page.
pub(crate) async fn log_in(
    State(access): State<Access>,
    extensions: Extensions,
    headers: HeaderMap,
    Form(submitted): Form<LoginForm>,
) -> Response {
    let to = if is_page(&submitted.to) { &submitted.to } else { "." };
    let back = |cookie: Option<String>| {
        let mut response = (StatusCode::SEE_OTHER, [(LOCATION, to), (CACHE_CONTROL, "no-store")]).into_response();
        if let Some(cookie) = cookie.and_then(|cookie| cookie.parse().ok()) {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        response
    };
    let Some(login) = access.shared.configured().password.clone() else { return back(None) };
    let by_tls = is_encrypted(&extensions);
    if let Some(refusal) = foreign_page(&headers, by_tls) {
        return refusal;
    }
    let client = access.client(&extensions, &headers);
    match login.try_password(&submitted.password, LoginMethod::Form, client).await {
        GuessVerdict::Yes => {
            info!("a browser logged in");
            let by_https = headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https:"));
            back(Some(login.signer.cookie(now(), by_tls || by_https)))
        }
        GuessVerdict::No | GuessVerdict::Repeated => form(to, Some("That is not the password.".to_owned())),
        GuessVerdict::Busy => busy(),
    }
}

/// The refusal of a form that a page of another site sent. A browser that hides the page's origin sends "null". A forged login
/// or logout gains nothing, so "null" is allowed.
fn foreign_page(headers: &HeaderMap, by_tls: bool) -> Option<Response> {
    let origin = origin::foreign(headers, by_tls, &[]).filter(|origin| origin != "null")?;
    Some((StatusCode::FORBIDDEN, format!("{}\n", origin::refusal(&origin))).into_response())
}

/// `POST /logout`: removes the cookies of the login and of a link, and redirects to the page. The login ends with its sessions,
/// also for a copy of its cookie. A link's token stays valid.
pub(crate) async fn log_out(State(access): State<Access>, extensions: Extensions, headers: HeaderMap) -> Response {
    if let Some(refusal) = foreign_page(&headers, is_encrypted(&extensions)) {
        return refusal;
    }
    let mut response = (StatusCode::SEE_OTHER, [(LOCATION, "."), (CACHE_CONTROL, "no-store")]).into_response();
    let (configured, now) = (access.shared.configured(), now());
    if let Some(login) = &configured.password
        && let Some(LoginId { id, until }) = login.of_cookie(&headers, now)
    {
        login.logouts.add(id, until, now);
        let sessions = access.shared.end_revoked();
        info!(sessions, "a browser logged out");
    }
    let login = configured.password.as_ref().map(|login| login.signer.name());
    let link = configured.tokens.as_ref().map(|tokens| tokens.cookie());
    for name in [login, link].into_iter().flatten() {
        let removed = format!("{name}=; Max-Age=0; HttpOnly; SameSite=Lax");
        response.headers_mut().extend(removed.parse().map(|value| (SET_COOKIE, value)));
    }
    response
}

/// `GET /login` or `GET /logout`, typed by hand or reached by the back button.
pub(crate) async fn redirect_to_page() -> impl IntoResponse {
    (StatusCode::SEE_OTHER, [(LOCATION, ".")])
}

/// The form's message for a token that was refused.
pub(super) fn refusal_text(why: &Refusal) -> Option<String> {
    (*why != Refusal::LogIn).then(|| format!("Not let in: {why}."))
}

/// The requested page, relative to its folder so that a proxy may add a path prefix, and without the refused token.
pub(super) fn return_to(request: &Request) -> String {
    let path = request.uri().path().trim_start_matches('/');
    let pairs = request.uri().query().into_iter().flat_map(|query| query.split('&'));
    let query = pairs.filter(|pair| !pair.starts_with(token::PARAMETER)).collect::<Vec<_>>().join("&");
    if query.is_empty() { format!("./{path}") } else { format!("./{path}?{query}") }
}

/// Whether `to` is one of the relay's pages, so that the form never redirects elsewhere.
pub(super) fn is_page(to: &str) -> bool {
    let path = to.split('?').next().and_then(|path| path.strip_prefix('.'));
    path.is_some_and(|path| PAGES.contains(&path)) && to.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(super) fn form(to: &str, refusal: Option<String>) -> Response {
    let text = refusal.map(|refusal| format!("<p role=alert>{}</p>", in_html(&refusal))).unwrap_or_default();
    let headers =
        [(CONTENT_TYPE, "text/html; charset=utf-8"), (WWW_AUTHENTICATE, "Cookie"), (CACHE_CONTROL, "no-store")];
    (StatusCode::UNAUTHORIZED, headers, FORM.replace(WRONG, &text).replace(TO, &in_html(to))).into_response()
}

/// Escapes text for HTML, also within a quoted attribute.
pub(crate) fn in_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

pub(super) fn busy() -> Response {
    let message = "too many passwords are being tried; try again in a few seconds\n";
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "2")], message).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_redirects_to_the_relays_pages_only() {
        for to in ["./", "./?stream=yard&codec=h264", "./test?stream=yard"] {
            assert!(is_page(to), "{to}");
        }
        for to in
            ["", ".", "//evil.example", "./../", "https://evil.example/", "./\r\nX: y", "./api/streams", ".//evil"]
        {
            assert!(!is_page(to), "{to}");
        }
    }
}

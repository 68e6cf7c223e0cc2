//! Decides who may watch: everyone, or clients with the password, an access token or a sign-in at an identity provider.
//!
//! One middleware guards every route that shows or lists a stream. A browser logs in once and gets a cookie; players and
//! programs send the password with each request (RFC 7617). The password and a provider's token ([`oidc`]) allow every stream.
//! An access token allows the streams that it names ([`token`], [`permissions`]). The client's files are public.
//!
//! | request without credentials | response |
//! | --- | --- |
//! | a browser's, for a page | the login form, if there is a password ([`login`]) |
//! | for a WebSocket | an error inside the WebSocket, which a page can read |
//! | any other | 401 and a sentence; 403 for a stream that the token does not name |

mod cookie;
mod expiry;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod login;
mod login_throttle;
pub mod oidc;
mod permissions;
mod refusal;
pub mod token;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, SET_COOKIE, USER_AGENT, WWW_AUTHENTICATE};
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::config::{Password, TokenKey};
use crate::limits::LiveLimits;
use crate::net::client::client_address;
use crate::net::peer::{is_encrypted, peer_address};
use crate::net::rejections::{LoginMethod, Rejections};
use cookie::Signer;
pub(crate) use expiry::Expiry;
use login_throttle::LoginThrottle;
pub(crate) use permissions::Permissions;
pub(crate) use refusal::Refusal;
use token::Verifier;

/// The start of the `User-Agent` of browsers, and of hardly any other client.
const BROWSER: &[u8] = b"Mozilla/";
/// Public routes, besides the client's files.
const PUBLIC: [&str; 3] = ["/healthz", "/login", "/logout"];
/// The pages. The login form replaces them for a client without credentials.
const PAGES: [&str; 3] = ["/", "/test", "/index.html"];

/// See the [module](self).
#[derive(Clone)]
pub struct Access {
    /// The credentials; `None` if everyone may watch.
    locked: Option<Arc<Locked>>,
    limits: LiveLimits,
    rejections: Rejections,
}

/// The configured credentials; at least one of the fields is set.
struct Locked {
    password: Option<Login>,
    tokens: Option<Verifier>,
    oidc: Option<oidc::Verifier>,
}

struct Login {
    password: Password,
    signer: Signer,
    throttle: LoginThrottle,
    rejections: Rejections,
}

/// Extension of a request that the token in its query allowed, for responses that contain other addresses.
#[derive(Debug, Clone)]
pub(crate) struct QueryToken(pub(crate) String);

/// Extension of a WebSocket request that is refused after the upgrade.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unauthorized(pub(crate) Refusal);

impl Access {
    /// Allows clients with `password`, a token signed with `token_key`, or a token that `oidc` verifies. Without any of the
    /// three, allows everyone. `limits` names the trusted proxies. Blocks while it derives the key of the cookies.
    pub(crate) fn new(
        password: Option<Password>,
        token_key: Option<&TokenKey>,
        oidc: Option<oidc::Verifier>,
        limits: LiveLimits,
        rejections: Rejections,
    ) -> Self {
        let password = password.map(|password| {
            let signer = Signer::new(&password);
            Login { password, signer, throttle: LoginThrottle::default(), rejections: rejections.clone() }
        });
        let tokens = token_key.map(Verifier::new);
        let locked = password.is_some() || tokens.is_some() || oidc.is_some();
        Self { locked: locked.then(|| Arc::new(Locked { password, tokens, oidc })), limits, rejections }
    }

    /// The address of a request's client. `None` behind a proxy or tunnel that does not name its clients.
    pub(crate) fn client(&self, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
        client_address(peer_address(extensions)?, headers, &self.limits.now().trusted_proxies)
    }

    /// The counts of rejected requests.
    pub(crate) fn rejections(&self) -> &Rejections {
        &self.rejections
    }
}

/// Passes a request on, or responds with a refusal.
pub(crate) async fn guard(State(access): State<Access>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let page = PAGES.contains(&path);
    // A preflight has no credentials and reveals nothing of the resource (Fetch standard, CORS protocol).
    let open = !page && is_public(path) || request.method() == Method::OPTIONS;
    let (false, Some(locked)) = (open, &access.locked) else {
        request.extensions_mut().insert(Permissions::All);
        return next.run(request).await;
    };
    let client = access.client(request.extensions(), request.headers());
    let admission = match locked.admits(request.uri(), request.headers(), client).await {
        Admission::Admitted(permissions, _) if !permissions.reach(request.method().as_str(), path) => {
            Admission::Refused(Refusal::OtherStream)
        }
        admission => admission,
    };
    match admission {
        Admission::Admitted(permissions, expiry) => {
            let link = locked.link(&request);
            // A page that was opened by a link requests everything else without the token.
            let cookie = link.as_ref().filter(|_| page).and_then(|(_, cookie)| cookie.parse().ok());
            request.extensions_mut().insert(permissions);
            if let Some(expiry) = expiry {
                request.extensions_mut().insert(expiry);
            }
            if let Some((link, _)) = link {
                request.extensions_mut().insert(link);
            }
            let mut response = next.run(request).await;
            keep_private(response.headers_mut());
            if let Some(cookie) = cookie {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
            response
        }
        Admission::Busy => login::busy(),
        Admission::Refused(why) if page && locked.password.is_some() => {
            login::form(&login::asked_for(&request), login::told(why))
        }
        Admission::Refused(why) if path.starts_with("/ws/") => {
            request.extensions_mut().insert(Unauthorized(why));
            next.run(request).await
        }
        Admission::Refused(why @ Refusal::OtherStream) => {
            (StatusCode::FORBIDDEN, [(CACHE_CONTROL, "no-store")], format!("{why}\n")).into_response()
        }
        Admission::Refused(why) => {
            // A browser would open its own password dialog, once for each tile.
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

/// Forbids shared caches to store the response, which would serve it without credentials (RFC 9111, section 5.2.2.7). The
/// browser's own cache keeps it as before. `s-maxage` would allow them again (section 3.5).
fn keep_private(headers: &mut HeaderMap) {
    let given = headers.get(CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kept = given.split(',').map(str::trim).filter(|directive| {
        let name = directive.split('=').next().unwrap_or_default();
        !name.is_empty() && !["public", "private", "s-maxage"].iter().any(|shared| name.eq_ignore_ascii_case(shared))
    });
    let directives = std::iter::once("private").chain(kept).collect::<Vec<_>>().join(", ");
    // The directives come from a header value.
    headers.insert(CACHE_CONTROL, HeaderValue::try_from(directives).unwrap_or(HeaderValue::from_static("no-store")));
}

/// Whether `path` needs no credentials. Unknown paths do, so that a new route is guarded by default. The client's files are in
/// the root folder and are the only names with an extension there.
fn is_public(path: &str) -> bool {
    PUBLIC.contains(&path) || path.strip_prefix('/').is_some_and(|name| name.contains('.') && !name.contains('/'))
}

/// The result of a password attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Yes,
    No,
    /// The wrong password that this client has just sent before.
    Repeated,
    /// The throttle is full.
    Busy,
}

/// The result of checking a request's credentials.
enum Admission {
    /// Until the expiry of the token, if it was one.
    Admitted(Permissions, Option<Expiry>),
    Refused(Refusal),
    /// The throttle is full.
    Busy,
}

impl From<Result<(Permissions, u64), Refusal>> for Admission {
    fn from(verified: Result<(Permissions, u64), Refusal>) -> Self {
        verified
            .map_or_else(Self::Refused, |(permissions, exp)| Self::Admitted(permissions, Some(Expiry::at(exp, now()))))
    }
}

impl Login {
    /// Checks a password that is not a cookie's. Logs and counts a wrong one.
    async fn try_password(&self, guess: &str, method: LoginMethod, client: Option<IpAddr>) -> Verdict {
        let verdict = self.throttle.try_password(&self.password, guess, method, client).await;
        match verdict {
            Verdict::No => self.rejections.failed_login(method, client),
            Verdict::Repeated => self.rejections.repeated_login(method),
            Verdict::Yes | Verdict::Busy => {}
        }
        verdict
    }
}

impl Locked {
    /// Checks the credentials that allow most first. A link's cookie, which the browser sends unasked, is last.
    async fn admits(&self, uri: &Uri, headers: &HeaderMap, client: Option<IpAddr>) -> Admission {
        let now = now();
        let mut cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        if let Some(login) = &self.password
            && cookies.any(|header| login.signer.admits(header, now))
        {
            return Admission::Admitted(Permissions::All, None);
        }
        let mut why = self.question();
        if let Some((oidc, token)) = self.oidc.as_ref().and_then(|oidc| Some((oidc, oidc::brought(headers)?))) {
            match oidc.verify(token, now).await {
                Ok(verified) => return Ok(verified).into(),
                Err(refusal) => why = refusal,
            }
        }
        let shown = || token::in_query(uri).or_else(|| token::in_protocols(headers));
        if let Some((tokens, token)) = self.tokens.as_ref().and_then(|tokens| Some((tokens, shown()?))) {
            return tokens.verify(token, now).into();
        }
        if let Some((method, given)) =
            headers.get(AUTHORIZATION).and_then(|value| credentials(str::from_utf8(value.as_bytes()).ok()?))
        {
            return self.try_credentials(&given, method, client, now).await;
        }
        let kept = self.tokens.as_ref().and_then(|tokens| Some(tokens.verify(tokens.kept(headers)?, now)));
        kept.map_or(Admission::Refused(why), Admission::from)
    }

    /// Checks an access token, a provider's token or the password.
    async fn try_credentials(&self, given: &str, method: LoginMethod, client: Option<IpAddr>, now: u64) -> Admission {
        let mut verified = self.tokens.as_ref().map(|tokens| tokens.verify(given, now));
        if let (None | Some(Err(Refusal::Foreign)), Some(oidc)) = (&verified, &self.oidc) {
            verified = Some(oidc.verify(given, now).await);
        }
        match (verified, &self.password) {
            (Some(verified), None) => verified.into(),
            (Some(Ok(verified)), _) => Ok(verified).into(),
            (Some(Err(why)), _) if why.is_of_a_token() => Admission::Refused(why),
            (_, Some(login)) => match login.try_password(given, method, client).await {
                Verdict::Yes => Admission::Admitted(Permissions::All, None),
                Verdict::No | Verdict::Repeated => Admission::Refused(Refusal::LogIn),
                Verdict::Busy => Admission::Busy,
            },
            (None, None) => Admission::Refused(self.question()),
        }
    }

    /// The refusal of a request without credentials.
    fn question(&self) -> Refusal {
        match (&self.password, &self.oidc) {
            (Some(_), _) => Refusal::LogIn,
            (None, Some(_)) => Refusal::SignIn,
            (None, None) => Refusal::NoToken,
        }
    }

    /// The access token of the request's query, if it is valid, and the cookie for a page that is opened with it.
    fn link(&self, request: &Request) -> Option<(QueryToken, String)> {
        // Only a proxy knows whether its own connection to the client is encrypted.
        let by_https = request.headers().get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
        let encrypted = by_https || is_encrypted(request.extensions());
        let token = token::in_query(request.uri())?;
        let cookie = self.tokens.as_ref()?.keep(token, now(), encrypted)?;
        Some((QueryToken(token.to_owned()), cookie))
    }
}

/// The password or token of an `Authorization` header, and its scheme. `Basic` may have any user name (RFC 7617, section 2). `Bearer` is what
/// WHEP clients send (RFC 6750, section 2.1).
fn credentials(value: &str) -> Option<(LoginMethod, String)> {
    let (scheme, credentials) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some((LoginMethod::Bearer, credentials.trim().to_owned()));
    }
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| BASE64.decode(credentials.trim()).ok())??;
    Some((LoginMethod::Basic, String::from_utf8(decoded).ok()?.split_once(':')?.1.to_owned()))
}

/// Seconds since 1970 by the system's current clock. The issuer of a token used its own clock, and this machine may have set
/// its clock since the relay started.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The shortest password, in characters, of a relay that other machines reach (NIST SP 800-63B, section 5.1.1.2).
pub(crate) const PASSWORD_MIN: usize = 8;

/// Whether the password is too short for a relay that listens on this address.
pub(crate) fn is_too_short(listen: SocketAddr, password: &Password) -> bool {
    !listen.ip().is_loopback() && password.reveal().chars().count() < PASSWORD_MIN
}

/// Whether a relay must not listen on this address: anyone who reaches it could watch.
pub(crate) fn refuses(listen: SocketAddr, locked: bool, open: bool) -> bool {
    !listen.ip().is_loopback() && !locked && !open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read() {
        let encoded = |text: &str| format!("Basic {}", BASE64.encode(text));
        let read = |method, text: &str| Some((method, text.to_owned()));
        assert_eq!(credentials(&encoded(":secret")), read(LoginMethod::Basic, "secret"));
        assert_eq!(credentials(&encoded("me:se:cret")), read(LoginMethod::Basic, "se:cret"));
        assert_eq!(credentials("bearer secret"), read(LoginMethod::Bearer, "secret"));
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
    fn shared_caches_keep_nothing_of_a_locked_relay() {
        let after = |given: &'static str| {
            let mut headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static(given))]);
            keep_private(&mut headers);
            headers[CACHE_CONTROL].to_str().unwrap().to_owned()
        };
        assert_eq!(after("max-age=3600, immutable"), "private, max-age=3600, immutable");
        assert_eq!(after("max-age=0, s-maxage=1"), "private, max-age=0");
        assert_eq!(after("public,S-MaxAge=1"), "private");
        assert_eq!(after("no-store"), "private, no-store");
        let mut none = HeaderMap::new();
        keep_private(&mut none);
        assert_eq!(none[CACHE_CONTROL], "private");
    }

    #[test]
    fn short_password_is_for_this_machine_only() {
        for (listen, password, short) in [
            ("127.0.0.1:80", "1", false),
            ("0.0.0.0:80", "1234567", true),
            ("0.0.0.0:80", "12345678", false),
            ("[::]:80", "üüüüüüü", true),
        ] {
            assert_eq!(is_too_short(listen.parse().unwrap(), &Password::new(password.to_owned())), short, "{listen}");
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

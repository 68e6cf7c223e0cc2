//! Decides who may watch: everyone, or clients with the password, an access token or a sign-in at an identity provider.
//!
//! One middleware guards every route that shows or lists a stream. A browser logs in once and gets a cookie; players and
//! programs send the password with each request (RFC 7617). The password allows every stream. An access token allows the streams
//! that its patterns match ([`token`], [`permissions`]), a provider's token those of the rules for its claims ([`oidc`]). The
//! client's files are public. The credentials and the rules may change while the relay runs; a revoked credential ends its
//! sessions ([`sessions`], [`expiry`]).
//!
//! | request without credentials | response |
//! | --- | --- |
//! | a browser's, for a page | the login form, if there is a password ([`login`]) |
//! | for a WebSocket | an error inside the WebSocket, which a page can read |
//! | any other | 401 and a sentence; 403 for a stream that the token does not permit |

mod cookie;
mod credential;
mod credential_set;
mod expiry;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod login;
mod login_throttle;
mod logouts;
pub mod oidc;
mod permissions;
mod refusal;
pub mod secret;
mod sessions;
mod subject;
pub mod token;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, SET_COOKIE, USER_AGENT, WWW_AUTHENTICATE};
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::info;

use crate::config::{Credentials, Password};
use crate::limits::LiveLimits;
use crate::net::client::client_address;
use crate::net::peer::peer_address;
use crate::net::rejections::Rejections;
pub(crate) use credential::{ByCookie, Credential};
use credential_set::{Admission, CredentialSet, Grant};
pub(crate) use expiry::Expiry;
pub(crate) use permissions::Permissions;
pub(crate) use refusal::Refusal;
use sessions::{OpenSessions, SessionGrant, SessionScope};
pub(crate) use subject::Subject;

/// The start of the `User-Agent` of browsers, and of hardly any other client.
const BROWSER: &[u8] = b"Mozilla/";
/// Public routes, besides the client's files.
const PUBLIC: [&str; 3] = ["/healthz", "/login", "/logout"];
/// The pages. The login form replaces them for a client without credentials.
const PAGES: [&str; 3] = ["/", "/test", "/index.html"];

/// See the [module](self).
#[derive(Clone)]
pub struct Access {
    shared: Arc<Shared>,
    limits: LiveLimits,
    rejections: Rejections,
}

/// The credentials that are in force, and the sessions that they admitted.
struct Shared {
    configured: RwLock<Arc<CredentialSet>>,
    sessions: OpenSessions,
}

impl Shared {
    fn configured(&self) -> Arc<CredentialSet> {
        self.configured.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the sessions of credentials that are revoked. Returns their number.
    fn end_revoked(&self) -> usize {
        let configured = self.configured();
        self.sessions.end_unless(|grant| configured.is_valid(grant))
    }
}

/// Extension of a request that the token in its query allowed, for responses that contain other addresses.
#[derive(Debug, Clone)]
pub(crate) struct QueryToken(pub(crate) String);

/// Extension of a WebSocket request that is refused after the upgrade.
#[derive(Debug, Clone)]
pub(crate) struct Unauthorized(pub(crate) Refusal);

impl Access {
    /// Allows clients with one of `credentials`, or a token that `oidc` verifies. Without any of them, allows everyone.
    /// `limits` names the trusted proxies. Blocks while it derives the key of the cookies.
    pub(crate) fn new(
        credentials: &Credentials,
        oidc: Option<oidc::OidcVerifier>,
        limits: LiveLimits,
        rejections: Rejections,
    ) -> Self {
        let configured = CredentialSet::new(credentials, oidc.map(Arc::new), &rejections);
        let shared = Shared { configured: RwLock::new(Arc::new(configured)), sessions: OpenSessions::default() };
        Self { shared: Arc::new(shared), limits, rejections }
    }

    /// Replaces the credentials and the rules of the provider, and ends the sessions that they no longer permit. Logins stay if
    /// the password does. Blocks while it derives the key of the cookies.
    pub(crate) fn set(&self, credentials: &Credentials) {
        let before = self.shared.configured();
        let credentials = &before.with_rules_kept(credentials);
        if before.has(credentials) {
            return;
        }
        let configured = Arc::new(before.with(credentials, &self.rejections));
        *self.shared.configured.write().unwrap_or_else(PoisonError::into_inner) = configured;
        let ended = self.shared.end_revoked();
        let Credentials { password, token_key, revoked, allow, .. } = credentials;
        let (password, token_key, revoked) = (password.is_some(), token_key.is_some(), revoked.len());
        let rules = allow.as_ref().map(Vec::len);
        info!(
            password,
            token_key, revoked, rules, ended, "credentials changed; sessions that they do not permit ended"
        );
    }

    /// Whether everyone may watch.
    pub(crate) fn is_open(&self) -> bool {
        self.shared.configured().is_open()
    }

    /// The address of a request's client. `None` behind a proxy or tunnel that does not name its clients.
    pub(crate) fn client(&self, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
        client_address(peer_address(extensions)?, headers, &self.limits.now().trusted_proxies)
    }

    /// The counts of rejected requests.
    pub(crate) fn rejections(&self) -> &Rejections {
        &self.rejections
    }

    /// Adds what handlers read of a request's admission.
    fn grant(&self, grant: Grant, request: &mut Request) {
        let Grant { permissions, credential, until, by_cookie } = grant;
        let scope =
            SessionScope::of(request.method().as_str(), request.uri().path(), request.uri().query(), &permissions);
        let extensions = request.extensions_mut();
        extensions.insert(permissions);
        extensions.insert(Expiry::new(SessionGrant { credential, scope }, until, now(), self.shared.clone()));
        if by_cookie {
            extensions.insert(ByCookie);
        }
    }
}

/// Passes a request on, or responds with a refusal. The response has the [`Credential`] as an extension.
pub(crate) async fn guard(State(access): State<Access>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let page = PAGES.contains(&path);
    // A preflight has no credentials and reveals nothing of the resource (Fetch standard, CORS protocol).
    if !page && is_public(path) || request.method() == Method::OPTIONS {
        request.extensions_mut().insert(Permissions::All);
        return next.run(request).await;
    }
    let configured = access.shared.configured();
    let client = access.client(request.extensions(), request.headers());
    let admission = match configured.authenticate(request.method(), request.uri(), request.headers(), client).await {
        Admission::Admitted(grant)
            if !grant.permissions.reach(request.method().as_str(), path, request.uri().query()) =>
        {
            let by_provider = matches!(grant.credential, Credential::Provider { .. });
            Admission::Refused(if by_provider { Refusal::OtherStreamOfSignIn } else { Refusal::OtherStream })
        }
        admission => admission,
    };
    match admission {
        Admission::Admitted(grant) => {
            let credential = grant.credential.clone();
            let link = configured.link(&request);
            // A page that was opened by a link requests everything else without the token.
            let cookie = link.as_ref().filter(|_| page).and_then(|(_, cookie)| cookie.parse().ok());
            access.grant(grant, &mut request);
            if let Some((link, _)) = link {
                request.extensions_mut().insert(link);
            }
            let mut response = next.run(request).await;
            if credential != Credential::Open {
                keep_private(response.headers_mut());
            }
            if let Some(cookie) = cookie {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
            response.extensions_mut().insert(credential);
            response
        }
        Admission::Busy => login::busy(),
        Admission::Refused(why) if page && configured.password.is_some() => {
            login::form(&login::return_to(&request), login::refusal_text(&why))
        }
        Admission::Refused(why) if is_websocket(path) => {
            request.extensions_mut().insert(Unauthorized(why));
            next.run(request).await
        }
        Admission::Refused(why) if why.is_forbidden() => {
            (StatusCode::FORBIDDEN, [(CACHE_CONTROL, "no-store")], format!("{why}\n")).into_response()
        }
        Admission::Refused(why) => {
            // A browser would open its own password dialog, once for each tile.
            let browser = request.headers().get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(BROWSER));
            let challenge = match (&configured.password, browser) {
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

/// Whether `path` serves WebSockets, inside which refusals are reported.
fn is_websocket(path: &str) -> bool {
    path.starts_with("/ws/") || path == "/go2rtc/api/ws"
}

/// Seconds since 1970 by the system's current clock. The issuer of a token used its own clock, and this machine may have set
/// its clock since the relay started.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The shortest password, in characters, of a relay that other machines reach (NIST SP 800-63B, section 5.1.1.2).
pub(crate) const PASSWORD_MIN: usize = 8;

/// Whether the password is too short for a relay that listens on this address. A hash does not tell.
pub(crate) fn is_too_short(listen: SocketAddr, password: &Password) -> bool {
    !listen.ip().is_loopback() && !password.is_hash() && password.reveal().chars().count() < PASSWORD_MIN
}

/// Whether a relay must not listen on this address: anyone who reaches it could watch.
pub(crate) fn refuses(listen: SocketAddr, locked: bool, open: bool) -> bool {
    !listen.ip().is_loopback() && !locked && !open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_client_s_files_and_the_way_in_are_for_all() {
        for path in ["/healthz", "/login", "/hls.js", "/client-0a1b_bg.wasm"] {
            assert!(is_public(path), "{path}");
        }
        for path in
            ["/", "/api/streams", "/hls/cam/copy/1.m4s", "/metrics", "//hls.js", "/ws/mse/x", "/login/", "/go2rtc/x.js"]
        {
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

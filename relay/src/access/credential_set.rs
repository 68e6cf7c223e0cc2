//! Checks a request's credentials against the configured ones.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::{HeaderMap, Method, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tracing::warn;

use super::cookie::{LoginId, Signer};
use super::credential::Credential;
use super::login_throttle::{GuessVerdict, LoginThrottle};
use super::logouts::Logouts;
use super::permissions::Permissions;
use super::refusal::Refusal;
use super::secret::Secret;
use super::sessions::SessionGrant;
use super::{QueryToken, now, oidc, token};
use crate::config::{Credentials, Password};
use crate::net::escaped::Escaped;
use crate::net::peer::is_encrypted;
use crate::net::rejections::{LoginMethod, Rejections};

/// The configured credentials. Without any, everyone may watch.
pub(super) struct CredentialSet {
    configured: Credentials,
    pub(super) password: Option<Arc<Login>>,
    pub(super) tokens: Option<token::Verifier>,
    oidc: Option<Arc<oidc::OidcVerifier>>,
    /// What the provider's tokens permit.
    rules: oidc::AllowRules,
    refused_subjects: oidc::RefusedSubjects,
}

/// The password, and the browsers that have logged in with it.
pub(super) struct Login {
    secret: Arc<Secret>,
    pub(super) signer: Signer,
    pub(super) logouts: Logouts,
    throttle: LoginThrottle,
    rejections: Rejections,
}

/// The permissions of an admitted request, and its credential.
pub(super) struct Grant {
    pub(super) permissions: Permissions,
    pub(super) credential: Credential,
    /// The credential's expiry in seconds since 1970, if it ends sessions.
    pub(super) until: Option<u64>,
    /// Whether the credential came in a cookie that a logout removes.
    pub(super) by_cookie: bool,
}

/// The result of checking a request's credentials.
pub(super) enum Admission {
    Admitted(Grant),
    Refused(Refusal),
    /// The throttle is full.
    Busy,
}

impl From<Result<Grant, Refusal>> for Admission {
    fn from(verified: Result<Grant, Refusal>) -> Self {
        verified.map_or_else(Self::Refused, Self::Admitted)
    }
}

impl Grant {
    /// Everything, without an end.
    fn all(credential: Credential) -> Self {
        Self { permissions: Permissions::All, credential, until: None, by_cookie: false }
    }
}

impl Login {
    fn new(password: &Password, rejections: &Rejections) -> Self {
        Self {
            secret: Arc::new(Secret::new(password)),
            signer: Signer::new(password),
            logouts: Logouts::default(),
            throttle: LoginThrottle::default(),
            rejections: rejections.clone(),
        }
    }

    /// Checks a password that is not a cookie's. Logs and counts a wrong one.
    pub(super) async fn try_password(&self, guess: &str, method: LoginMethod, client: Option<IpAddr>) -> GuessVerdict {
        let verdict = self.throttle.try_password(&self.secret, guess, method, client).await;
        match verdict {
            GuessVerdict::No => self.rejections.failed_login(method, client),
            GuessVerdict::Repeated => self.rejections.repeated_login(method),
            GuessVerdict::Yes | GuessVerdict::Busy => {}
        }
        verdict
    }

    /// The login of the request's cookie, if it is valid at `now` and has not ended.
    pub(super) fn of_cookie(&self, headers: &HeaderMap, now: u64) -> Option<LoginId> {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut logins = cookies.filter_map(|header| self.signer.admits(header, now));
        logins.find(|login| !self.logouts.contains(&login.id))
    }

    /// The password's name in a [`Credential`].
    fn name(&self) -> Arc<str> {
        self.signer.name().clone()
    }
}

impl CredentialSet {
    /// Blocks while it derives the key of the cookies.
    pub(super) fn new(
        credentials: &Credentials,
        oidc: Option<Arc<oidc::OidcVerifier>>,
        rejections: &Rejections,
    ) -> Self {
        let password = credentials.password.as_ref().map(|password| Arc::new(Login::new(password, rejections)));
        Self::assemble(credentials, password, oidc)
    }

    fn assemble(
        credentials: &Credentials,
        password: Option<Arc<Login>>,
        oidc: Option<Arc<oidc::OidcVerifier>>,
    ) -> Self {
        let tokens = credentials.token_key.as_ref().map(|key| token::Verifier::new(key, &credentials.revoked));
        let rules = oidc::AllowRules::new(credentials.allow.as_deref().unwrap_or_default());
        let (configured, refused_subjects) = (credentials.clone(), oidc::RefusedSubjects::default());
        Self { configured, password, tokens, oidc, rules, refused_subjects }
    }

    /// Whether these are the configured credentials.
    pub(super) fn has(&self, credentials: &Credentials) -> bool {
        self.configured == *credentials
    }

    /// `credentials` with the current rules, if their configuration has no provider. The provider stays until a restart, and
    /// without its rules it would open every stream.
    pub(super) fn with_rules_kept(&self, credentials: &Credentials) -> Credentials {
        let allow = credentials.allow.clone().or_else(|| self.configured.allow.clone());
        Credentials { allow, ..credentials.clone() }
    }

    /// The same with other credentials. Logins stay if the password does.
    pub(super) fn with(&self, credentials: &Credentials, rejections: &Rejections) -> Self {
        if credentials.password == self.configured.password {
            return Self::assemble(credentials, self.password.clone(), self.oidc.clone());
        }
        Self::new(credentials, self.oidc.clone(), rejections)
    }

    pub(super) fn is_open(&self) -> bool {
        self.password.is_none() && self.tokens.is_none() && self.oidc.is_none()
    }

    /// Whether a credential that admitted a session is still valid for it, apart from its expiry.
    pub(super) fn is_valid(&self, SessionGrant { credential, scope }: &SessionGrant) -> bool {
        let login = |of: &Arc<str>| self.password.as_ref().filter(|login| login.signer.name() == of);
        match credential {
            Credential::Open => self.is_open(),
            Credential::Password { of } => login(of).is_some(),
            Credential::Login { of, id } => login(of).is_some_and(|login| !login.logouts.contains(id)),
            Credential::Token { of, id } => {
                self.tokens.as_ref().is_some_and(|tokens| tokens.is_valid(of, id.as_deref()))
            }
            Credential::Provider { matched, .. } => {
                self.oidc.is_some() && scope.is_within(&self.rules.permissions(matched))
            }
        }
    }

    /// Checks the login's cookie, a provider's token, a token in the query or the subprotocol, `Authorization`, and last a link's
    /// cookie, which the browser sends unasked. A query's or subprotocol's token that is refused ends the search. A proxy adds a
    /// provider's token to every request; if that does not permit the address, another credential of the request may.
    pub(super) async fn authenticate(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        client: Option<IpAddr>,
    ) -> Admission {
        if self.is_open() {
            return Admission::Admitted(Grant::all(Credential::Open));
        }
        let now = now();
        if let Some(login) = &self.password
            && let Some(LoginId { id, .. }) = login.of_cookie(headers, now)
        {
            let credential = Credential::Login { of: login.name(), id };
            return Admission::Admitted(Grant { by_cookie: true, ..Grant::all(credential) });
        }
        let (mut why, mut limited) = (self.missing_credentials(), None);
        if let Some((oidc, token)) = self.oidc.as_ref().and_then(|oidc| Some((oidc, oidc::cloudflare_token(headers)?)))
        {
            match oidc.verify(token, now).await.and_then(|verified| self.of_provider(verified)) {
                Ok(grant) if grant.permissions.reach(method.as_str(), uri.path(), uri.query()) => {
                    return Admission::Admitted(grant);
                }
                Ok(grant) => limited = Some(grant),
                Err(refusal) => why = refusal,
            }
        }
        match (self.try_others(uri, headers, client, now, why).await, limited) {
            (Admission::Refused(_), Some(grant)) => Admission::Admitted(grant),
            (other, _) => other,
        }
    }

    /// Checks the credentials that a client sends on its own account. Without any, refuses with `why`.
    async fn try_others(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        client: Option<IpAddr>,
        now: u64,
        why: Refusal,
    ) -> Admission {
        let shown = || token::in_query(uri).or_else(|| token::in_protocols(headers));
        if let Some((tokens, token)) = self.tokens.as_ref().and_then(|tokens| Some((tokens, shown()?))) {
            return of_token(tokens, token, now).into();
        }
        if let Some((method, given)) =
            headers.get(AUTHORIZATION).and_then(|value| credentials(str::from_utf8(value.as_bytes()).ok()?))
        {
            return self.try_credentials(&given, method, client, now).await;
        }
        let kept = self.tokens.as_ref().and_then(|tokens| Some(of_token(tokens, tokens.kept(headers)?, now)));
        kept.map_or(Admission::Refused(why), |kept| kept.map(|grant| Grant { by_cookie: true, ..grant }).into())
    }

    /// Checks an access token, a provider's token or the password.
    async fn try_credentials(&self, given: &str, method: LoginMethod, client: Option<IpAddr>, now: u64) -> Admission {
        let mut verified = self.tokens.as_ref().map(|tokens| of_token(tokens, given, now));
        if let (None | Some(Err(Refusal::Foreign)), Some(oidc)) = (&verified, &self.oidc) {
            verified = Some(oidc.verify(given, now).await.and_then(|verified| self.of_provider(verified)));
        }
        match (verified, &self.password) {
            (Some(verified), None) => verified.into(),
            (Some(Ok(verified)), _) => Admission::Admitted(verified),
            (Some(Err(why)), _) if why.is_of_a_token() => Admission::Refused(why),
            (_, Some(login)) => match login.try_password(given, method, client).await {
                GuessVerdict::Yes => Admission::Admitted(Grant::all(Credential::Password { of: login.name() })),
                GuessVerdict::No | GuessVerdict::Repeated => Admission::Refused(Refusal::LogIn),
                GuessVerdict::Busy => Admission::Busy,
            },
            (None, None) => Admission::Refused(self.missing_credentials()),
        }
    }

    /// What a provider's token permits. Logs a subject that no rule permits anything, once.
    fn of_provider(&self, verified: oidc::OidcIdentity) -> Result<Grant, Refusal> {
        let oidc::OidcIdentity { until, subject, claims } = verified;
        let matched = self.rules.matched(&claims).inspect_err(|why| {
            let subject = subject.as_deref();
            if self.refused_subjects.is_new(subject) {
                warn!(subject = %Escaped(subject.unwrap_or("unknown")), "sign-in refused: {}", Escaped(why));
            }
        })?;
        let permissions = self.rules.permissions(&matched);
        let credential = Credential::Provider { subject, matched };
        Ok(Grant { permissions, credential, until: Some(until), by_cookie: false })
    }

    /// The refusal of a request without credentials.
    fn missing_credentials(&self) -> Refusal {
        match (&self.password, &self.oidc) {
            (Some(_), _) => Refusal::LogIn,
            (None, Some(_)) => Refusal::SignIn,
            (None, None) => Refusal::NoToken,
        }
    }

    /// The access token of the request's query, if it is valid, and the cookie for a page that is opened with it.
    pub(super) fn link(&self, request: &Request) -> Option<(QueryToken, String)> {
        // Only a proxy knows whether its own connection to the client is encrypted.
        let by_https = request.headers().get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
        let encrypted = by_https || is_encrypted(request.extensions());
        let token = token::in_query(request.uri())?;
        let cookie = self.tokens.as_ref()?.to_cookie(token, now(), encrypted)?;
        Some((QueryToken(token.to_owned()), cookie))
    }
}

fn of_token(tokens: &token::Verifier, token: &str, now: u64) -> Result<Grant, Refusal> {
    let token::Verified { permissions, until, id } = tokens.verify(token, now)?;
    let credential = Credential::Token { of: tokens.cookie().clone(), id };
    Ok(Grant { permissions, credential, until: Some(until), by_cookie: false })
}

/// The password or token of an `Authorization` header, and its scheme. `Basic` may have any user name (RFC 7617, section 2). `Bearer` is what
/// WHEP clients send (RFC 6750, section 2.1).
pub(super) fn credentials(value: &str) -> Option<(LoginMethod, String)> {
    let (scheme, credentials) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some((LoginMethod::Bearer, credentials.trim().to_owned()));
    }
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| BASE64.decode(credentials.trim()).ok())??;
    Some((LoginMethod::Basic, String::from_utf8(decoded).ok()?.split_once(':')?.1.to_owned()))
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
}

//! `[oidc]`: an identity provider.

use std::path::{Path, PathBuf};

use axum::http::Uri;
use serde::Deserialize;

use super::allow::{AllowRule, AllowSection};

/// An identity provider (OpenID Connect, Cloudflare Access).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oidc {
    /// The exact `iss` claim of its tokens.
    pub issuer: String,
    /// The `aud` claim of tokens for this relay.
    pub audience: String,
    /// The location of its public keys.
    pub keys: KeySource,
    /// The streams that its tokens permit, by their claims. Without a rule, every token permits every stream.
    pub allow: Vec<AllowRule>,
}

/// The location of a JSON Web Key Set (RFC 7517, section 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file.
    File(PathBuf),
    /// An HTTPS address; HTTP only on this machine.
    Url(Uri),
}

/// The section's structure.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OidcSection {
    issuer: String,
    audience: String,
    keys: String,
    #[serde(default)]
    allow: Vec<AllowSection>,
}

impl OidcSection {
    pub(super) fn resolve(self) -> Result<Oidc, String> {
        let Self { issuer, audience, keys, allow } = self;
        for (key, value) in [("issuer", &issuer), ("audience", &audience), ("keys", &keys)] {
            if value.is_empty() {
                return Err(format!("oidc.{key} is empty; without it any token would do"));
            }
        }
        let keys = if keys.contains("://") { KeySource::Url(address(&keys)?) } else { KeySource::File(keys.into()) };
        let allow = allow.into_iter().map(AllowSection::resolve).collect::<Result<_, _>>()?;
        Ok(Oidc { issuer, audience, keys, allow })
    }
}

impl Oidc {
    /// Resolves a file relative to the configuration's folder.
    pub(super) fn beside(mut self, configuration: &Path) -> Self {
        if let KeySource::File(file) = &mut self.keys {
            *file = configuration.with_file_name("").join(&*file);
        }
        self
    }
}

/// Parses the address. Requires HTTPS: an attacker who replaces the keys in transit could admit anyone.
fn address(text: &str) -> Result<Uri, String> {
    let example = "such as \"https://TEAM.cloudflareaccess.com/cdn-cgi/access/certs\"";
    let address: Uri = text.parse().map_err(|_| format!("oidc.keys = {text:?} is not an address {example}"))?;
    let host = address.host().unwrap_or_default().trim_matches(['[', ']']);
    let here = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    if address.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("oidc.keys has a name or a password in it, and the relay sends none".to_owned());
    }
    match address.scheme_str() {
        Some("https") => Ok(address),
        Some("http") if here => Ok(address),
        Some("http") => Err(format!(
            "oidc.keys = {text:?} could be changed by anybody on the way, and with it who may watch; it has to be https://"
        )),
        _ => Err(format!("oidc.keys = {text:?} is neither an address {example} nor the name of a file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(keys: &str) -> Result<Oidc, String> {
        let (issuer, audience) = ("https://id.example.org".into(), "a".into());
        OidcSection { issuer, audience, keys: keys.into(), allow: Vec::new() }.resolve()
    }

    #[test]
    fn keys_come_from_a_file_or_by_a_safe_way() {
        for keys in [
            "https://team.cloudflareaccess.com/cdn-cgi/access/certs",
            "http://127.0.0.1:8000/keys",
            "http://[::1]/keys",
            "http://localhost:80/",
        ] {
            assert_eq!(resolved(keys).unwrap().keys, KeySource::Url(keys.parse().unwrap()));
        }
        let beside = resolved("keys.json").unwrap().beside(Path::new("/etc/sightline/sightline.toml"));
        assert_eq!(beside.keys, KeySource::File("/etc/sightline/keys.json".into()));
        let elsewhere = resolved("/run/keys.json").unwrap().beside(Path::new("/etc/sightline/sightline.toml"));
        assert_eq!(elsewhere.keys, KeySource::File("/run/keys.json".into()));
        for (keys, named) in [
            ("", "oidc.keys is empty"),
            ("http://id.example.org/keys", "has to be https://"),
            ("http://127.0.0.1.example.org/keys", "has to be https://"),
            ("http://localhost@example.org/keys", "a name or a password"),
            ("https://me:secret@example.org/keys", "a name or a password"),
            ("ftp://127.0.0.1/keys", "neither an address such as"),
            ("https://", "is not an address such as"),
        ] {
            let error = resolved(keys).unwrap_err();
            assert!(error.contains(named) && !error.contains("secret"), "{keys}: {error}");
        }
    }
}

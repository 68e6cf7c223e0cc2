//! Security headers of all responses, and the content security policy of pages.
//!
//! All pages share one policy. It makes injected markup harmless: scripts and connections must belong to the relay, and the
//! pages' inline scripts are allowed by their hashes.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::net::peer::is_encrypted;

/// W3C Permissions Policy: features that a player does not need.
const PERMISSIONS: (&str, &str) = ("permissions-policy", "camera=(), geolocation=(), microphone=()");

/// The content security policy as a header value.
#[derive(Debug, Clone)]
pub(super) struct Policy(Arc<HeaderValue>);

impl Policy {
    /// The policy for `pages`. Pages of `origins` may embed them in a frame; `*` stands for every origin.
    pub(super) fn new(pages: &[&str], origins: &[String]) -> Self {
        let text = policy(pages, origins);
        // A configured origin may contain characters that are invalid in a header.
        Self(Arc::new(HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("default-src 'none'"))))
    }
}

/// Content Security Policy Level 3.
fn policy(pages: &[&str], origins: &[String]) -> String {
    let hashes = |tag| pages.iter().flat_map(move |page| inline(page, tag)).map(hash).collect::<String>();
    let (scripts, styles) = (hashes("script"), hashes("style"));
    let frames: String = origins.iter().map(|origin| format!(" {origin}")).collect();
    [
        "default-src 'none'".to_owned(),
        // Compiling WebAssembly counts as evaluation (CSP 3, section 6.1.10).
        format!("script-src 'self' 'wasm-unsafe-eval'{scripts}"),
        format!("style-src 'self'{styles}"),
        // Tiles are positioned by their style attributes.
        "style-src-attr 'unsafe-inline'".to_owned(),
        // Includes WebSockets to the same host (CSP 3, section 6.7.2.8).
        "connect-src 'self'".to_owned(),
        // The address of a MediaSource is a `blob:` URL.
        "media-src 'self' blob:".to_owned(),
        "img-src 'self' data: blob:".to_owned(),
        "base-uri 'none'".to_owned(),
        "form-action 'self'".to_owned(),
        format!("frame-ancestors 'self'{frames}"),
    ]
    .join("; ")
}

/// The non-empty texts of the elements with this tag.
fn inline<'a>(page: &'a str, tag: &str) -> impl Iterator<Item = &'a str> {
    let (begin, end) = (format!("<{tag}"), format!("</{tag}>"));
    let elements = page.match_indices(&begin).map(|(at, _)| &page[at..]).collect::<Vec<_>>();
    elements.into_iter().filter_map(move |element| {
        let (_, rest) = element.split_once('>')?;
        rest.split_once(&end).map(|(text, _)| text).filter(|text| !text.is_empty())
    })
}

fn hash(text: &str) -> String {
    format!(" 'sha256-{}'", BASE64.encode(digest(&SHA256, text.as_bytes())))
}

/// Adds the headers to every response.
pub(super) async fn secure(State(policy): State<Policy>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")) {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::clone(&policy.0));
        // Addresses contain stream names, which other sites must not learn.
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        headers.insert(HeaderName::from_static(PERMISSIONS.0), HeaderValue::from_static(PERMISSIONS.1));
    }
    response
}

/// The value of `Strict-Transport-Security` (RFC 6797, section 6.1).
#[derive(Debug, Clone)]
pub(super) struct Hsts(HeaderValue);

impl Hsts {
    /// For `seconds`; 0 makes browsers forget an earlier value.
    pub(super) fn new(seconds: u64) -> Self {
        // A number is valid in a header.
        Self(HeaderValue::try_from(format!("max-age={seconds}")).unwrap_or(HeaderValue::from_static("max-age=0")))
    }
}

/// Adds the header to every response over the relay's own TLS; over HTTP it must not be sent (RFC 6797, section 7.2).
pub(super) async fn hsts(State(Hsts(value)): State<Hsts>, request: Request, next: Next) -> Response {
    let encrypted = is_encrypted(request.extensions());
    let mut response = next.run(request).await;
    if encrypted {
        response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_scripts_are_known_by_their_hash_and_others_by_their_address() {
        let page = "<script type=\"module\">alert(1)</script><script src=\"a.js\"></script><style>p{}</style>";
        assert_eq!(inline(page, "script").collect::<Vec<_>>(), ["alert(1)"]);
        let text = policy(&[page], &[]);
        // printf 'alert(1)' | openssl dgst -sha256 -binary | base64
        assert!(
            text.contains(
                "script-src 'self' 'wasm-unsafe-eval' 'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI=';"
            ),
            "{text}"
        );
        assert!(text.contains("style-src 'self' 'sha256-") && text.ends_with("frame-ancestors 'self'"), "{text}");
        assert!(!text.contains("unsafe-eval' 'unsafe") && !text.contains("script-src 'unsafe-inline'"));
    }

    #[test]
    fn the_origins_of_the_configuration_may_frame_the_page() {
        let origins = ["https://wall.example".to_owned()];
        assert!(policy(&[], &origins).ends_with("frame-ancestors 'self' https://wall.example"));
        assert!(policy(&[], &["*".to_owned()]).ends_with("frame-ancestors 'self' *"));
    }

    #[test]
    fn an_origin_that_no_header_can_hold_shuts_the_page_rather_than_opening_it() {
        let Policy(value) = Policy::new(&[], &["https://a\n.example".to_owned()]);
        assert_eq!(value.to_str().unwrap(), "default-src 'none'");
    }
}

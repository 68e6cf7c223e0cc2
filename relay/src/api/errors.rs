//! The form of error responses, by the client's `Accept` (RFC 9110, section 12.5.1). Handlers answer with one sentence of text; one
//! layer around all routes converts it.
//!
//! | `Accept` names | form |
//! | --- | --- |
//! | `application/json` or `application/problem+json` | problem details (RFC 9457) |
//! | `text/html`, and the status of a `GET` is 404 | a page with the sentence and a link to the wall |
//! | neither | the sentence |

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use serde::Serialize;

use crate::access::login::in_html;

/// The page of an address that does not exist.
pub(super) const PAGE: &str = include_str!("not-found.html");
/// Replaced by the sentence.
const SENTENCE: &str = "{sentence}";
/// Replaced by the address of the wall.
const ROOT: &str = "{root}";
/// The sentence of an address without a route.
const NO_ROUTE: &str = "there is no such address on this relay\n";
/// Maximum length of a sentence. The longest names a stream of 128 bytes, or an origin of a header's length.
const SENTENCE_MAX: usize = 64 * 1024;
/// The media type of problem details (RFC 9457, section 6.1).
const PROBLEM: &str = "application/problem+json";

/// Problem details (RFC 9457, section 3.1). The status says everything that a program needs, so the type is `about:blank`, and the
/// title is the status's phrase (section 4.2.1).
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

/// Converts the text of an error response into the form that the client asks for.
pub(super) async fn negotiate(request: Request, next: Next) -> Response {
    let problem = accepts(request.headers(), &["application/json", PROBLEM]);
    let page = matches!(*request.method(), Method::GET | Method::HEAD) && accepts(request.headers(), &["text/html"]);
    let root = root_from(request.uri().path());
    let response = next.run(request).await;
    if !is_text_error(&response) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = to_bytes(body, SENTENCE_MAX).await.unwrap_or_default();
    let mut text = String::from_utf8_lossy(&text).into_owned();
    if text.is_empty() && parts.status == StatusCode::NOT_FOUND {
        NO_ROUTE.clone_into(&mut text);
    }
    let (kind, body) = if problem {
        (PROBLEM, problem_details(parts.status, text.trim()))
    } else if page && parts.status == StatusCode::NOT_FOUND {
        ("text/html; charset=utf-8", not_found(text.trim(), &root))
    } else {
        ("text/plain; charset=utf-8", text)
    };
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // A cache may otherwise keep a 404 for a time of its choice (RFC 9110, section 15.5.5).
    parts.headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    parts.headers.append(VARY, HeaderValue::from_static("Accept"));
    Response::from_parts(parts, Body::from(body))
}

/// Whether the response is an error that says nothing, or a sentence of text.
fn is_text_error(response: &Response) -> bool {
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE);
    (status.is_client_error() || status.is_server_error())
        && kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"))
}

/// Whether `Accept` names one of `kinds`, with a weight above 0. A range such as `*/*` does not count: its client takes text.
fn accepts(headers: &HeaderMap, kinds: &[&str]) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let is_zero = |part: &str| {
            let weight = part.strip_prefix(['q', 'Q']).and_then(|part| part.strip_prefix('='));
            weight.is_some_and(|weight| weight.parse() == Ok(0.0_f32))
        };
        kinds.iter().any(|named| kind.eq_ignore_ascii_case(named)) && !parts.any(is_zero)
    })
}

fn problem_details(status: StatusCode, sentence: &str) -> String {
    let problem = Problem {
        r#type: "about:blank",
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        detail: Some(sentence).filter(|sentence| !sentence.is_empty()),
    };
    // Texts and a number are valid JSON.
    serde_json::to_string(&problem).unwrap_or_default()
}

/// The page of an address that does not exist. Its first letter is a capital, and it ends with a period.
fn not_found(sentence: &str, root: &str) -> String {
    let mut sentence = sentence.trim_end_matches('.').to_owned() + ".";
    if let Some(first) = sentence.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    PAGE.replace(ROOT, root).replace(SENTENCE, &in_html(&sentence))
}

/// The relay's root relative to `path`, so that a proxy may add a path prefix.
fn root_from(path: &str) -> String {
    match path.matches('/').count() {
        0 | 1 => "./".to_owned(),
        slashes => "../".repeat(slashes - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_names_a_type_unless_its_weight_is_zero() {
        let json = |accept: &'static str| {
            accepts(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]), &["application/json", PROBLEM])
        };
        for accept in
            ["application/json", "text/html, Application/JSON;q=0.1", "application/problem+json;charset=utf-8;q=1"]
        {
            assert!(json(accept), "{accept}");
        }
        for accept in ["", "*/*", "application/*", "application/json;q=0", "application/json ; Q=0.000", "text/json"] {
            assert!(!json(accept), "{accept}");
        }
        assert!(!accepts(&HeaderMap::new(), &["text/html"]));
    }

    #[test]
    fn page_escapes_its_sentence_and_leads_to_the_root_below_any_prefix() {
        let page = not_found("there is no stream named <b>{root}", "../");
        assert!(page.contains("<p>There is no stream named &lt;b>{root}.</p>"), "{page}");
        assert!(page.contains("href=\"../\""), "{page}");
        for (path, root) in [("/a", "./"), ("/a/", "../"), ("/a/b", "../"), ("/a/b/c", "../../"), ("*", "./")] {
            assert_eq!(root_from(path), root, "{path}");
        }
    }

    #[test]
    fn problem_without_a_sentence_has_no_detail() {
        let problem = problem_details(StatusCode::METHOD_NOT_ALLOWED, "");
        assert_eq!(problem, r#"{"type":"about:blank","title":"Method Not Allowed","status":405}"#);
    }
}

//! The form of errors by the client's `Accept`: problem details, a page, or a sentence.

use serde_json::Value;

use super::logins::{basic, locked, token};
use super::*;

const JSON: &str = "Accept: application/json\r\n";
/// The `Accept` of a browser that opens an address.
const HTML: &str = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";

/// The head in lower case, and the body.
fn parts(answer: &str) -> (String, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
    (head.to_lowercase(), body)
}

#[tokio::test(start_paused = true)]
async fn client_that_accepts_json_gets_problem_details_and_others_the_sentence() {
    let relay = locked();
    for (method, path, credentials, expected, title) in [
        ("GET", "/api/streams", String::new(), 401, "Unauthorized"),
        ("GET", "/api/streams/cam1", token(60), 403, "Forbidden"),
        ("GET", "/api/streams/nope", basic(), 404, "Not Found"),
        ("GET", "/api/streams/a//b", basic(), 400, "Bad Request"),
        ("GET", "/api/streams/cam0/snapshot.jpg?width=1", basic(), 400, "Bad Request"),
        ("GET", "/api/nope", basic(), 404, "Not Found"),
        ("GET", "/hls/nope/index.m3u8", basic(), 404, "Not Found"),
        ("POST", "/whep/cam0", basic(), 404, "Not Found"),
        ("GET", "/go2rtc/api/streams?src=nope", basic(), 404, "Not Found"),
        ("GET", "/not/there", basic(), 404, "Not Found"),
    ] {
        let text = relay.request(method, path, &credentials).await;
        let (head, sentence) = parts(&text);
        assert_eq!(status(&text), expected.to_string(), "{path}: {text}");
        assert!(head.contains("content-type: text/plain"), "{path}: {text}");
        assert!(head.contains("vary: accept"), "{path}: {text}");
        let answer = relay.request(method, path, &format!("{credentials}{JSON}")).await;
        let (head, body) = parts(&answer);
        assert!(head.contains("content-type: application/problem+json"), "{path}: {answer}");
        let problem: Value = serde_json::from_str(body).expect("JSON");
        let detail = sentence.trim();
        let complete =
            serde_json::json!({ "type": "about:blank", "title": title, "status": expected, "detail": detail });
        assert!(problem == complete && !detail.is_empty(), "{path}: {answer}");
    }
    let answer = relay.request("GET", "/api/streams", &format!("{}{JSON}", basic())).await;
    assert!(parts(&answer).0.contains("content-type: application/json"), "no error: {answer}");
    let open = TestRelay::new(|_| {});
    let foreign = format!("GET /api/streams HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n{JSON}\r\n");
    let answer = open.send(&foreign).await;
    assert!(status(&answer) == "421" && parts(&answer).0.contains("problem+json"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn browser_at_an_unknown_address_gets_a_page_with_a_link_to_the_wall() {
    let relay = locked();
    let browser = format!("{}{HTML}", basic());
    for (path, says, root) in [
        ("/not/there", "There is no such address on this relay.", "../"),
        ("/there", "There is no such address on this relay.", "./"),
        ("/api/streams/nope", "There is no stream named nope", "../../"),
    ] {
        let answer = relay.request("GET", path, &browser).await;
        let (head, body) = parts(&answer);
        assert!(status(&answer) == "404" && head.contains("content-type: text/html"), "{path}: {answer}");
        assert!(body.contains(says) && body.contains(&format!("<a href=\"{root}\">")), "{path}: {answer}");
        let style = body.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>")).expect("a style").0;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, style.as_bytes());
        let hash = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest);
        assert!(answer.contains(&format!("'sha256-{hash}'")), "the policy permits the style: {answer}");
        let head_only = relay.request("HEAD", path, &browser).await;
        assert_eq!(parts(&head_only), (head, ""), "{path}");
    }
    let answer = relay.request("GET", "/not/there", HTML).await;
    assert!(status(&answer) == "401" && !answer.contains("<a"), "without credentials: {answer}");
    let answer = TestRelay::new(|_| {}).request("GET", "/not/there", HTML).await;
    assert!(parts(&answer).0.contains("cache-control: no-store"), "an open relay: {answer}");
    let answer = relay.request("POST", "/not/there", &browser).await;
    assert!(parts(&answer).0.contains("text/plain"), "no page is asked for: {answer}");
}

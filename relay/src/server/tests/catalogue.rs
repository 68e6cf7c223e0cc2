//! The catalogue and its entries.

use serde_json::Value;

use super::logins::{basic, key, token};
use super::*;
use crate::config::Password;

fn json(answer: &str) -> Value {
    assert_eq!(status(answer), "200", "{answer}");
    serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
}

#[tokio::test(start_paused = true)]
async fn entry_of_a_stream_is_its_element_of_the_catalogue() {
    let relay = TestRelay::new(|config| {
        config.password = Some(Password::new(super::logins::PASSWORD.to_owned()));
        config.token_key = Some(key());
        let source = config.streams.values().next().expect("a demo stream").clone();
        config.streams.insert("site/cam 1".parse().expect("a name"), source);
    });
    let catalogue = json(&relay.request("GET", "/api/streams", &basic()).await);
    for (path, credentials) in [
        ("/api/streams/cam0", basic()),
        ("/api/streams/cam0", token(60)),
        ("/api/streams/site/cam%201", basic()),
        ("/api/streams/site%2Fcam%201", basic()),
    ] {
        let answer = relay.request("GET", path, &credentials).await;
        assert!(answer.to_lowercase().contains("no-store"), "{path}: {answer}");
        let entry = json(&answer);
        let streams = catalogue["streams"].as_array().expect("streams");
        assert_eq!(Some(&entry), streams.iter().find(|stream| stream["name"] == entry["name"]), "{path}");
        assert_eq!(entry["name"], if path.ends_with("cam0") { "cam0" } else { "site/cam 1" });
    }
}

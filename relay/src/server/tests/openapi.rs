//! The OpenAPI description against the relay: its routes, methods, statuses, media types and JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::logins::{PASSWORD, basic, key, token};
use super::*;
use crate::access::token::issue;
use crate::config::Password;

/// The route of all other addresses below `/api/`, which answers with 404.
const UNKNOWN: &str = "/api/{*rest}";
/// The methods that a description of a path may have, in lower case. Every `get` answers `HEAD`.
const METHODS: [&str; 6] = ["get", "put", "post", "delete", "options", "patch"];
/// The request of a WebSocket (RFC 6455, section 4.1).
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

async fn relay() -> TestRelay {
    TestRelay::with_webrtc(|config| {
        config.password = Some(Password::new(PASSWORD.to_owned()));
        config.token_key = Some(key());
    })
    .await
}

/// The description as the relay serves it.
async fn description(relay: &TestRelay) -> Value {
    let answer = relay.request("GET", "/api/openapi.json", &token(60)).await;
    assert_eq!(status(&answer), "200", "a token for one stream reads it: {answer:.500}");
    serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
}

/// The value itself, or the one that its `$ref` names.
fn resolve<'a>(description: &'a Value, value: &'a Value) -> &'a Value {
    let Some(reference) = value["$ref"].as_str() else { return value };
    let pointer = reference.strip_prefix('#').expect("a reference into the description");
    description.pointer(pointer).unwrap_or_else(|| panic!("{reference} is missing"))
}

/// The operations of the description: path, method and description.
fn operations(description: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = description["paths"].as_object().expect("paths").iter();
    paths.flat_map(|(path, item)| {
        item.as_object()
            .expect("methods")
            .iter()
            .map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// The parameters of an operation.
fn parameters<'a>(description: &'a Value, operation: &'a Value) -> impl Iterator<Item = &'a Value> {
    operation["parameters"].as_array().into_iter().flatten().map(|parameter| resolve(description, parameter))
}

/// The path with the examples of its parameters, and the query of the required ones.
fn example(description: &Value, path: &str, operation: &Value) -> String {
    let mut path = path.to_owned();
    for parameter in parameters(description, operation).filter(|parameter| parameter["required"] == true) {
        let name = parameter["name"].as_str().expect("a name");
        let value = parameter["example"].as_str().unwrap_or_else(|| panic!("{name} needs an example"));
        match parameter["in"].as_str() {
            Some("path") => path = path.replace(&format!("{{{name}}}"), value),
            _ => path += &format!("?{name}={value}"),
        }
    }
    assert!(!path.contains('{'), "{path}: a parameter is missing");
    path
}

/// The paths of the routes in the relay's sources.
fn routes() -> BTreeSet<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![source.join("api.rs"), source.join("access.rs")];
    let mut folders: Vec<PathBuf> = ["api", "egress", "access"].iter().map(|name| source.join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    let mut routes = BTreeSet::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        let text = std::fs::read_to_string(file).expect("a source");
        let calls =
            text.split(".route(").skip(1).filter_map(|call| call.trim_start().strip_prefix('"')?.split_once('"'));
        routes.extend(calls.map(|(path, _)| path.to_owned()));
    }
    routes
}

/// The route that serves a described path: the one with the longest common text.
fn route_of<'a>(routes: &'a BTreeSet<String>, path: &str) -> Option<&'a str> {
    let common = |route: &str| match route.split_once("{*") {
        Some((prefix, _)) => path.starts_with(prefix).then_some(prefix.len()),
        None => (route == path).then_some(usize::MAX),
    };
    let (_, route) = routes.iter().filter_map(|route| Some((common(route)?, route.as_str()))).max()?;
    Some(route)
}

#[tokio::test(start_paused = true)]
async fn description_has_every_route_and_no_other() {
    let (relay, routes) = (relay().await, routes());
    assert!(routes.len() > 10 && routes.contains("/hls/{*rest}"), "{routes:?}");
    let description = description(&relay).await;
    assert_eq!(description["info"]["version"], sightline_protocol::VERSION);
    let mut described: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (path, method, _) in operations(&description) {
        let route = route_of(&routes, path).filter(|route| *route != UNKNOWN);
        described.entry(route.unwrap_or_else(|| panic!("{path} has no route"))).or_default().insert(method);
    }
    let missing: Vec<_> =
        routes.iter().filter(|route| *route != UNKNOWN && !described.contains_key(route.as_str())).collect();
    assert!(missing.is_empty(), "relay/src/api/openapi.json lacks {missing:?}");
    for (path, _, operation) in operations(&description) {
        let example = example(&description, path, operation);
        let documented = &described[route_of(&routes, path).expect("a route")];
        for method in METHODS {
            let (status, ..) = answer(&relay, method, &example, &format!("Connection: close\r\n{}", basic())).await;
            assert_eq!(status != "405", documented.contains(method), "{method} {example}: {status}");
        }
    }
}

/// The status, the media type and the body of an answer. Only a JSON body is read: events never end.
async fn answer(relay: &TestRelay, method: &str, path: &str, lines: &str) -> (String, Option<String>, Option<Value>) {
    let mut connection = BufReader::new(relay.connect(CLIENT));
    let request =
        format!("{} {path} HTTP/1.1\r\nHost: relay\r\n{lines}Content-Length: 0\r\n\r\n", method.to_uppercase());
    connection.write_all(request.as_bytes()).await.expect("the relay reads");
    let (mut head, mut kind) = (Vec::new(), None);
    loop {
        let mut line = String::new();
        timeout(LIMIT, connection.read_line(&mut line)).await.expect("an answer").expect("a line");
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        if let Some((_, value)) = line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            kind = value.split(';').next().map(str::to_owned);
        }
        head.push(line);
    }
    let is_json = kind.as_deref().is_some_and(|kind| kind.ends_with("json"));
    let body =
        if is_json { Some(serde_json::from_str(&read_to_end(&mut connection).await).expect("JSON")) } else { None };
    (status(&head[0]).to_owned(), kind, body)
}

/// Checks that `value` has the form of `schema`: no undescribed field, every required one, and the listed values.
fn check(description: &Value, schema: &Value, value: &Value, at: &str) {
    let schema = resolve(description, schema);
    if let Some(values) = schema["enum"].as_array() {
        assert!(values.contains(value), "{at} is {value}");
    }
    if let (Some(described), Some(fields)) = (schema["properties"].as_object(), value.as_object()) {
        for (name, field) in fields {
            let schema = described.get(name).unwrap_or_else(|| panic!("{at}.{name} is not described"));
            check(description, schema, field, &format!("{at}.{name}"));
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(fields.contains_key(name.as_str().expect("a name")), "{at} lacks {name}");
        }
    }
    for item in value.as_array().into_iter().flatten().filter(|_| schema["items"].is_object()) {
        check(description, &schema["items"], item, at);
    }
}

#[tokio::test(start_paused = true)]
async fn answers_have_the_described_statuses_media_types_and_fields() {
    let relay = relay().await;
    let description = description(&relay).await;
    let other = issue(&key(), &["cam1".to_owned()], u64::MAX / 2, "visitor").expect("a token");
    let other = format!("Authorization: Bearer {other}\r\n");
    for (path, method, operation) in operations(&description) {
        let example = example(&description, path, operation);
        let is_socket = operation["responses"].get("101").is_some();
        let connection = if is_socket { UPGRADE } else { "Connection: close\r\n" };
        let unknown = example.replace("cam0", "nope");
        let requests = [
            (&example, connection, String::new()),
            (&example, connection, basic()),
            (&example, connection, token(60)),
            (&example, connection, other.clone()),
            (&example, "Connection: close\r\n", format!("{}Accept: application/json\r\n", basic())),
            (&unknown, connection, basic()),
            (&unknown, connection, format!("{}Accept: text/html\r\n", basic())),
        ];
        for (address, connection, credentials) in requests {
            let (status, kind, body) = answer(&relay, method, address, &format!("{connection}{credentials}")).await;
            let at = format!("{method} {address} {status}");
            let response = resolve(&description, &operation["responses"][&status]);
            assert!(response.is_object(), "{at} is not described");
            let content = response["content"].as_object();
            let described = kind.as_deref().and_then(|kind| content?.get(kind));
            assert_eq!(described.is_some(), kind.is_some(), "{at} with {kind:?} is not described");
            if let (Some(described), Some(body)) = (described, &body) {
                check(&description, &described["schema"], body, &at);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn described_parameters_of_pictures_and_playlists_are_read() {
    let relay = relay().await;
    let description = description(&relay).await;
    let mut refused = 0;
    for (path, method, operation) in operations(&description).filter(|(_, method, _)| *method == "get") {
        let example = example(&description, path, operation);
        let is_read = operation["responses"].get("400").is_some() && operation["responses"].get("503").is_some();
        for parameter in parameters(&description, operation).filter(|parameter| is_read && parameter["in"] == "query") {
            let name = parameter["name"].as_str().expect("a name");
            if name == "src" {
                continue;
            }
            let address = format!("{example}{}{name}=-1", if example.contains('?') { '&' } else { '?' });
            let (status, ..) = answer(&relay, method, &address, &format!("Connection: close\r\n{}", basic())).await;
            assert_eq!(status, "400", "{address}");
            refused += 1;
        }
    }
    assert!(refused >= 10, "{refused}");
}

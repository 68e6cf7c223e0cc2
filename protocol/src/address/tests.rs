use proptest::prelude::*;

use super::*;
use crate::stream::name::tests::names;

fn name(text: &str) -> StreamName {
    text.parse().unwrap()
}

fn file(stream: &str, variant: &str, file: &str) -> Address {
    Address::HlsFile { stream: name(stream), variant: variant.to_owned(), file: file.to_owned() }
}

/// Parses the path of a `GET` request.
fn get(path: &str) -> Result<Address, BadAddress> {
    Address::read("GET", path)
}

#[test]
fn names_that_look_like_routes_are_unambiguous() {
    for (path, address) in [
        ("/hls/a/index.m3u8", Address::HlsIndex(name("a"))),
        ("/hls/a/copy/media.m3u8", file("a", "copy", "media.m3u8")),
        ("/hls/a/copy/index.m3u8", Address::HlsIndex(name("a/copy"))),
        ("/hls/a/copy/copy/media.m3u8", file("a/copy", "copy", "media.m3u8")),
        ("/hls/a/media.m3u8/index.m3u8", Address::HlsIndex(name("a/media.m3u8"))),
        ("/hls/a/media.m3u8/copy/media.m3u8", file("a/media.m3u8", "copy", "media.m3u8")),
        ("/hls/a/index.m3u8/index.m3u8", Address::HlsIndex(name("a/index.m3u8"))),
        ("/hls/a/index.m3u8/low/1.m4s", file("a/index.m3u8", "low", "1.m4s")),
        ("/hls/index.m3u8/index.m3u8", Address::HlsIndex(name("index.m3u8"))),
        ("/hls/copy/copy/1.0.m4s", file("copy", "copy", "1.0.m4s")),
        ("/ws/mse/a/copy", Address::WebSocket(name("a/copy"))),
        ("/ws/mse/a/index.m3u8", Address::WebSocket(name("a/index.m3u8"))),
        ("/whep/a/b", Address::Whep(name("a/b"))),
        ("/api/streams/a/b", Address::Stream(name("a/b"))),
        ("/api/streams/snapshot.jpg", Address::Stream(name("snapshot.jpg"))),
        ("/api/streams/a/snapshot.jpg", Address::Snapshot(name("a"))),
        ("/api/streams/snapshot.jpg/snapshot.jpg", Address::Snapshot(name("snapshot.jpg"))),
    ] {
        assert_eq!(get(path).as_ref(), Ok(&address), "{path}");
        assert_eq!(format!("/{address}"), path);
    }
    let session = Address::WhepSession { stream: name("a"), session: "b".to_owned() };
    for method in ["PATCH", "DELETE"] {
        assert_eq!(Address::read(method, "/whep/a/b"), Ok(session.clone()));
    }
    assert_eq!(session.to_string(), "whep/a/b");
}

#[test]
fn go2rtc_address_names_its_stream_in_the_query() {
    let at = |path, query| Address::of_request("GET", path, query);
    let frame = |stream: &str| Ok(Address::Go2rtc { stream: name(stream), resource: Go2rtcResource::Frame });
    for (query, expected) in [
        ("src=yard", "yard"),
        ("token=a.b.c&src=yard&w=320", "yard"),
        ("src=yard&src=gate", "yard"),
        ("src=site/cam+1", "site/cam 1"),
        ("src=site%2Fcam%201%2F%C3%BC", "site/cam 1/ü"),
        ("src=a%2Bb", "a+b"),
    ] {
        assert_eq!(at("/go2rtc/api/frame.jpeg", Some(query)), frame(expected), "{query}");
    }
    for query in [None, Some(""), Some("src"), Some("source=yard"), Some("%73rc=yard")] {
        assert_eq!(at("/go2rtc/api/ws", query), Err(BadAddress::Unknown), "{query:?}");
    }
    for query in ["src=", "src=rtsp://192.0.2.1/", "src=a%252Fb", "src=../gate", "src=%ff"] {
        assert!(matches!(at("/go2rtc/api/streams", Some(query)), Err(BadAddress::Name(_))), "{query}");
    }
    for path in ["/go2rtc/api/ws/", "/go2rtc/api/stream.mjpeg", "/go2rtc/", "/api/ws", "/go2rtc/api/%77s"] {
        assert_eq!(at(path, Some("src=yard")), Err(BadAddress::Unknown), "{path}");
    }
    assert_eq!(at("/ws/mse/yard", Some("src=gate")), Ok(Address::WebSocket(name("yard"))), "the path alone");
}

#[test]
fn other_paths_are_unknown() {
    for path in [
        "",
        "/",
        "/ws/mse",
        "/hls",
        "/hls/",
        "/hls/a",
        "/hls/index.m3u8",
        "/whep",
        "/api/streams/",
        "//hls/a/index.m3u8",
        "/%68ls/a/index.m3u8",
        "/hls%2Fa/index.m3u8",
        "/HLS/a/index.m3u8",
        "hls/a/index.m3u8",
    ] {
        assert_eq!(get(path), Err(BadAddress::Unknown), "{path}");
    }
    assert_eq!(Address::read("DELETE", "/whep/a"), Err(BadAddress::Unknown));
}

#[test]
fn paths_without_a_name_are_refused() {
    for path in [
        "/ws/mse/",
        "/ws/mse//a",
        "/ws/mse/a/",
        "/ws/mse/a/../b",
        "/ws/mse/a/%2e%2e/b",
        "/ws/mse/a%2F..%2Fb",
        "/ws/mse/a%252Fb",
        "/hls//index.m3u8",
        "/hls//a/index.m3u8",
        "/hls/a//index.m3u8",
        "/hls/a/../b/index.m3u8",
        "/hls/a/%2e%2e/b/copy/media.m3u8",
        "/hls/a%5C..%5Cb/index.m3u8",
        "/hls/a%00/index.m3u8",
        "/hls/%ff/index.m3u8",
        "/whep/",
        "/whep/a/",
    ] {
        assert!(matches!(get(path), Err(BadAddress::Name(_))), "{path}: {:?}", get(path));
    }
}

#[test]
fn whep_session_is_relative_to_the_endpoint() {
    for (endpoint, relative) in [
        ("/whep/yard", "yard/id"),
        ("/whep/site/cam%201/%C3%BC", "%C3%BC/id"),
        ("/whep/site/cam 1/ü", "%C3%BC/id"),
        ("/whep/site%2Fcam%201%2F%C3%BC", "site%2Fcam%201%2F%C3%BC/id"),
        // A colon would make it a scheme (RFC 3986, section 4.2).
        ("/whep/cam:1", "cam%3A1/id"),
    ] {
        assert_eq!(whep_session(endpoint, "id"), relative, "{endpoint}");
        let Ok(Address::Whep(stream)) = Address::read("POST", endpoint) else { panic!("{endpoint}") };
        let (base, _) = endpoint.rsplit_once('/').unwrap();
        let session = Address::read("DELETE", &format!("{base}/{relative}"));
        assert_eq!(session, Ok(Address::WhepSession { stream, session: "id".to_owned() }));
    }
}

/// An address and the method of its request.
fn addresses() -> impl Strategy<Value = (&'static str, Address)> {
    let segment = || "[a-z0-9.?% ü-]{1,9}|copy|media\\.m3u8|index\\.m3u8";
    (names(), segment(), segment(), 0..5).prop_filter_map("two addresses in one", |(stream, variant, file, kind)| {
        Some(match kind {
            0 => ("GET", Address::WebSocket(stream)),
            1 => ("GET", Address::HlsIndex(stream)),
            2 if file == INDEX => return None,
            2 => ("GET", Address::HlsFile { stream, variant, file }),
            3 => ("POST", Address::Whep(stream)),
            _ => ("DELETE", Address::WhepSession { stream, session: file }),
        })
    })
}

/// The path after a proxy that decodes it and re-encodes invalid characters (nginx with a path in `proxy_pass`).
fn recoded(path: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#').add(b'"');
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8().unwrap();
    percent_encoding::utf8_percent_encode(&decoded, KEPT).to_string()
}

proptest! {
    #[test]
    fn address_round_trips((method, address) in addresses()) {
        let path = format!("/{address}");
        prop_assert_eq!(Address::read(method, &path), Ok(address.clone()));
        prop_assert_eq!(Address::read(method, &recoded(&path)), Ok(address.clone()));
        let prefix = [WEBSOCKET, HLS, WHEP].into_iter().find(|prefix| path.starts_with(prefix)).unwrap();
        let slashes_encoded = format!("{prefix}{}", path[prefix.len()..].replace('/', "%2F"));
        prop_assert_eq!(Address::read(method, &slashes_encoded), Ok(address));
    }

    #[test]
    fn go2rtc_address_round_trips(stream in names(), resource in 0..Go2rtcResource::ALL.len()) {
        let address = Address::Go2rtc { stream, resource: Go2rtcResource::ALL[resource] };
        let text = format!("/{address}");
        let (path, query) = text.split_once('?').unwrap();
        prop_assert_eq!(Address::of_request("GET", path, Some(query)), Ok(address));
    }

    #[test]
    fn any_path_parses_or_is_refused(method in "GET|POST|DELETE", path in "/(ws/mse|hls|whep)/(\\PC{0,4}|[a-z./%0-9]{0,12}){0,4}") {
        if let Ok(address) = Address::read(&method, &path) {
            prop_assert_eq!(Address::read(&method, &format!("/{address}")), Ok(address));
        }
    }
}

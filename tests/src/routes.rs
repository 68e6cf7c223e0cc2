//! The protected routes, for the tests of each authentication method.

/// Every address that reveals a camera, `cam`, and its method. An authorized response of `/api/events` does not end, so a
/// separate test covers it.
pub const GUARDED: [(&str, &str); 28] = [
    ("GET", "/"),
    ("GET", "/?stream=cam"),
    ("GET", "/test"),
    ("GET", "/index.html"),
    ("GET", "/api/streams"),
    ("GET", "/api/streams/cam"),
    ("GET", "/api/streams/cam/snapshot.jpg"),
    ("GET", "/api/streams/site/cam%201/snapshot.jpg"),
    ("GET", "/metrics"),
    ("GET", "/api/time"),
    ("GET", "/api/mse/test"),
    ("GET", "/api/openapi.json"),
    ("GET", "/ws/mse/cam"),
    ("GET", "/hls/cam/index.m3u8"),
    ("GET", "/hls/cam/copy/index.m3u8"),
    ("GET", "/hls/cam/copy/1.m4s"),
    ("POST", "/whep/cam"),
    ("DELETE", "/whep/cam/1"),
    ("PATCH", "/whep/cam/1"),
    // Names are paths.
    ("GET", "/ws/mse/site/cam%201"),
    ("GET", "/hls/site/cam%201/index.m3u8"),
    ("GET", "/hls/site/cam%201/copy/1.m4s"),
    ("POST", "/whep/site/cam%201"),
    ("GET", "/go2rtc/api/ws?src=cam"),
    ("GET", "/go2rtc/api/frame.jpeg?src=cam"),
    ("GET", "/go2rtc/api/streams?src=cam"),
    ("GET", "/go2rtc/api/streams"),
    ("GET", "/what/there/is/not"),
];

/// Whether the address serves WebSockets. The relay rejects a request that is no opening handshake there before it checks
/// credentials, and reports refusals inside the WebSocket.
pub fn is_websocket(path: &str) -> bool {
    path.starts_with("/ws/") || path.starts_with("/go2rtc/api/ws")
}

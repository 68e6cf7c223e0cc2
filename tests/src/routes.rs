//! What has to be guarded, for the tests of each way in.

/// Every address that shows or tells of a camera, `cam`, and how it is asked. Those who are let in get no end of `/api/events`, so its
/// own test asks that.
pub const GUARDED: [(&str, &str); 16] = [
    ("GET", "/"),
    ("GET", "/?stream=cam"),
    ("GET", "/test"),
    ("GET", "/index.html"),
    ("GET", "/api/streams"),
    ("GET", "/metrics"),
    ("GET", "/api/time"),
    ("GET", "/api/mse/test"),
    ("GET", "/ws/mse/cam"),
    ("GET", "/hls/cam/index.m3u8"),
    ("GET", "/hls/cam/copy/index.m3u8"),
    ("GET", "/hls/cam/copy/1.m4s"),
    ("POST", "/whep/cam"),
    ("DELETE", "/whep/cam/1"),
    ("PATCH", "/whep/cam/1"),
    ("GET", "/what/there/is/not"),
];

//! What those who are let in may see: everything, or some streams and nothing of the others.

use super::PAGES;

/// Below which addresses the next part of the path is a stream's name.
const STREAMS: [&str; 3] = ["/ws/mse/", "/hls/", "/whep/"];
/// What tells of no stream but those that may be seen.
const COMMON: [&str; 4] = ["/api/streams", "/api/events", "/api/time", "/api/mse/test"];

/// Of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rights {
    /// Everything there is.
    All,
    /// The streams of these names.
    Streams(Vec<String>),
}

impl Rights {
    /// Whether they cover the stream of that name.
    pub(crate) fn cover(&self, stream: &str) -> bool {
        match self {
            Self::All => true,
            Self::Streams(names) => names.iter().any(|name| name == stream),
        }
    }

    /// Whether they cover that address. What is not known to be of a stream of theirs is not covered, so that a new route
    /// shows nothing before anybody has thought of it. A name that is escaped is another here, and so covered less.
    pub(super) fn reach(&self, path: &str) -> bool {
        if *self == Self::All {
            return true;
        }
        match STREAMS.iter().find_map(|prefix| path.strip_prefix(prefix)) {
            Some(rest) => self.cover(rest.split('/').next().unwrap_or_default()),
            None => PAGES.contains(&path) || COMMON.contains(&path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_to_a_stream_are_to_nothing_of_another() {
        let yard = Rights::Streams(vec!["yard".to_owned()]);
        for path in [
            "/",
            "/test",
            "/api/streams",
            "/api/events",
            "/ws/mse/yard",
            "/hls/yard/index.m3u8",
            "/hls/yard/copy/1.m4s",
            "/whep/yard",
        ] {
            assert!(yard.reach(path), "{path}");
        }
        for path in [
            "/ws/mse/gate",
            "/ws/mse/yard2",
            "/hls/gate/index.m3u8",
            "/hls//yard/index.m3u8",
            "/hls/yard%2f..%2fgate/index.m3u8",
            "/whep/gate/yard",
            "/whep/",
            "/metrics",
            "/api/else",
            "",
        ] {
            assert!(!yard.reach(path), "{path}");
            assert!(Rights::All.reach(path), "{path}");
        }
    }
}

//! The streams that a request may see: all, or the ones that its token or its provider's claims permit.

use sightline_protocol::address::Address;
use sightline_protocol::stream::{StreamName, StreamPattern};

use super::PAGES;

/// Routes that reveal only permitted streams.
const COMMON: [&str; 7] = [
    "/api/streams",
    "/api/events",
    "/api/time",
    "/api/mse/test",
    "/api/openapi.json",
    "/go2rtc/",
    "/go2rtc/api/streams",
];

/// The permissions of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Permissions {
    /// All streams.
    All,
    /// Only streams that one of these patterns matches.
    Streams(Vec<StreamPattern>),
}

impl FromIterator<StreamPattern> for Permissions {
    /// The streams that one of the patterns matches.
    fn from_iter<I: IntoIterator<Item = StreamPattern>>(patterns: I) -> Self {
        let patterns: Vec<_> = patterns.into_iter().collect();
        if patterns.iter().any(StreamPattern::is_all) { Self::All } else { Self::Streams(patterns) }
    }
}

impl Permissions {
    /// Whether `stream` is permitted.
    pub(crate) fn cover(&self, stream: &StreamName) -> bool {
        match self {
            Self::All => true,
            Self::Streams(patterns) => patterns.iter().any(|pattern| pattern.matches(stream)),
        }
    }

    /// Whether these permit all that `others` permit. Compares patterns as texts, so the answer may be no where one pattern
    /// matches more than another.
    pub(super) fn include(&self, others: &Self) -> bool {
        match (self, others) {
            (Self::All, _) => true,
            (Self::Streams(_), Self::All) => false,
            (Self::Streams(patterns), Self::Streams(others)) => others.iter().all(|other| patterns.contains(other)),
        }
    }

    /// Whether the request is permitted. The stream's address is parsed as its handler does ([`Address::of_request`]), so that both
    /// see the same stream. An address without a stream is permitted only if it is listed here, so that a new route reveals
    /// nothing.
    pub(super) fn reach(&self, method: &str, path: &str, query: Option<&str>) -> bool {
        if *self == Self::All {
            return true;
        }
        match Address::of_request(method, path, query) {
            Ok(address) => self.cover(address.stream()),
            Err(_) => PAGES.contains(&path) || COMMON.contains(&path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permissions(names: &[&str]) -> Permissions {
        Permissions::Streams(names.iter().map(|name| name.parse().unwrap()).collect())
    }

    #[test]
    fn rights_to_a_stream_are_to_nothing_of_another() {
        let yard = permissions(&["yard"]);
        for path in [
            "/",
            "/test",
            "/api/streams",
            "/api/events",
            "/ws/mse/yard",
            "/ws/mse/%79ard",
            "/hls/yard/index.m3u8",
            "/hls/yard%2Findex.m3u8",
            "/hls/yard/copy/1.m4s",
            "/whep/yard",
            "/api/streams/yard",
            "/api/streams/yard/snapshot.jpg",
        ] {
            assert!(yard.reach("GET", path, None), "{path}");
        }
        for path in [
            "/ws/mse/gate",
            "/ws/mse/yard2",
            "/ws/mse/yard/",
            "/ws/mse//yard",
            "/ws/mse/yard/../gate",
            "/ws/mse/yard%2F%2e%2e%2Fgate",
            "/ws/mse/yard%252Fgate",
            "/ws/mse/gate/yard",
            "/hls/gate/index.m3u8",
            "/api/streams/gate/snapshot.jpg",
            "/api/streams/gate",
            "/api/streams/",
            "/api/streams/yard/",
            "/api/streams/yard/../gate",
            "/api/streams/yard/../gate/snapshot.jpg",
            "/hls//yard/index.m3u8",
            "/hls/yard/copy/index.m3u8",
            "/hls/yard/copy/low/media.m3u8",
            "/hls/yard%2f..%2fgate/index.m3u8",
            "/hls/yard/%2e%2e/gate/index.m3u8",
            "/hls/gate/copy/yard/copy/media.m3u8",
            "/whep/gate/yard",
            "/whep/yard/gate",
            "/whep/yard/",
            "/whep/",
            "/metrics",
            "/api/else",
            "",
        ] {
            assert!(!yard.reach("GET", path, None), "{path}");
            assert!(Permissions::All.reach("GET", path, None), "{path}");
        }
    }

    #[test]
    fn stream_of_a_go2rtc_address_is_in_its_query() {
        let yard = permissions(&["yard"]);
        for path in ["/go2rtc/api/ws", "/go2rtc/api/frame.jpeg", "/go2rtc/api/streams"] {
            assert!(yard.reach("GET", path, Some("src=yard")), "{path}");
            for query in ["src=gate", "src=gate&src=yard", "src=%67ate&token=yard", "src=yard2", "src=+yard"] {
                assert_eq!(yard.reach("GET", path, Some(query)), query == "src=+yard" && path.ends_with("/streams"));
            }
        }
        assert!(yard.reach("GET", "/go2rtc/api/streams", None), "the permitted streams");
        assert!(yard.reach("GET", "/go2rtc/", None));
        for path in ["/go2rtc/api/ws", "/go2rtc/api/frame.jpeg", "/go2rtc/api/else"] {
            assert!(!yard.reach("GET", path, None), "{path}");
        }
    }

    #[test]
    fn pattern_permits_the_streams_that_it_matches_and_nothing_else() {
        let studio = permissions(&["studio/*"]);
        for name in ["studio/a", "studio/a/b", "studio/copy", "studio%2Fa", "%73tudio/a"] {
            for (method, path) in [
                ("GET", format!("/ws/mse/{name}")),
                ("GET", format!("/hls/{name}/index.m3u8")),
                ("GET", format!("/hls/{name}/copy/1.m4s")),
                ("GET", format!("/api/streams/{name}")),
                ("GET", format!("/api/streams/{name}/snapshot.jpg")),
                ("POST", format!("/whep/{name}")),
                ("DELETE", format!("/whep/{name}/1")),
            ] {
                assert!(studio.reach(method, &path, None), "{method} {path}");
            }
        }
        for name in
            ["studio", "studio2/a", "x/studio/a", "studio/../gate", "studio//gate", "studio%252Fa", "studio/", "*"]
        {
            for (method, path) in [
                ("GET", format!("/ws/mse/{name}")),
                ("GET", format!("/hls/{name}/index.m3u8")),
                ("GET", format!("/api/streams/{name}")),
                ("GET", format!("/api/streams/{name}/snapshot.jpg")),
                ("POST", format!("/whep/{name}")),
            ] {
                assert!(!studio.reach(method, &path, None), "{method} {path}");
            }
        }
        // The playlist's name and the session's are no part of the stream's name.
        assert!(
            !studio.reach("GET", "/hls/studio/index.m3u8", None) && !studio.reach("DELETE", "/whep/studio/1", None)
        );
        assert!(!studio.reach("GET", "/metrics", None));
        let names = |patterns: &[&str]| patterns.iter().map(|text| text.parse().unwrap()).collect::<Permissions>();
        assert_eq!((names(&["yard", "*"]), names(&[])), (Permissions::All, Permissions::Streams(vec![])));
    }

    #[test]
    fn permissions_include_those_of_their_patterns() {
        let (both, one, none) = (permissions(&["yard", "studio/*"]), permissions(&["studio/*"]), permissions(&[]));
        for (more, less) in [(&both, &one), (&one, &none), (&Permissions::All, &both)] {
            assert!(more.include(less) && more.include(more) && !less.include(more), "{more:?} {less:?}");
        }
    }

    #[test]
    fn a_session_is_of_the_stream_before_it() {
        let (yard, inner) = (permissions(&["yard"]), permissions(&["yard/id"]));
        for method in ["PATCH", "DELETE"] {
            assert!(
                yard.reach(method, "/whep/yard/id", None) && !inner.reach(method, "/whep/yard/id", None),
                "{method}"
            );
        }
        assert!(!yard.reach("POST", "/whep/yard/id", None) && inner.reach("POST", "/whep/yard/id", None));
    }

    #[test]
    fn names_are_covered_however_the_address_is_encoded() {
        let site = permissions(&["site/cam 1/ü"]);
        for name in ["site/cam%201/%C3%BC", "site%2Fcam%201%2F%C3%BC", "site/cam 1/ü", "site/cam%201/u%CC%88"] {
            for path in
                [format!("/ws/mse/{name}"), format!("/hls/{name}/index.m3u8"), format!("/hls/{name}/copy/media.m3u8")]
            {
                assert!(site.reach("GET", &path, None), "{path}");
            }
            assert!(site.reach("POST", &format!("/whep/{name}"), None), "{name}");
        }
        for name in ["site/cam%25201/%C3%BC", "site", "site/cam%201", "site/cam+1/%C3%BC", "site//cam%201/%C3%BC"] {
            assert!(!site.reach("GET", &format!("/ws/mse/{name}"), None), "{name}");
        }
    }
}

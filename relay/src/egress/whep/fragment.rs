//! The SDP fragments that a viewer trickles its candidates in (RFC 8840, section 4).

use str0m::Candidate;

/// What a fragment says.
#[derive(Debug, Default)]
pub(super) struct Fragment {
    /// The viewer's user fragment, where it names one.
    pub(super) ufrag: Option<String>,
    /// The candidates that are addresses. A browser hides its own behind names that it alone resolves (mDNS): those are
    /// passed over, and learned when it sends from them.
    pub(super) candidates: Vec<Candidate>,
}

/// Reads a fragment; none where `text` holds nothing of the kind.
pub(super) fn read(text: &str) -> Option<Fragment> {
    let mut fragment = Fragment::default();
    let mut known = false;
    for line in text.lines() {
        let Some(attribute) = line.trim_end().strip_prefix("a=") else { continue };
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        match name {
            "candidate" => fragment.candidates.extend(Candidate::from_sdp_string(attribute).ok()),
            "ice-ufrag" => fragment.ufrag = Some(value.to_owned()),
            "end-of-candidates" | "ice-pwd" | "ice-options" | "mid" | "group" => {}
            _ => continue,
        }
        known = true;
    }
    known.then_some(fragment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn candidates_are_read_and_names_passed_over() {
        let text = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
            a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n\
            a=candidate:3471623853 1 udp 2122194687 5b1b3a1c-0d6f-4b5a-9a63-1b8d0f6c7e55.local 61765 typ host\r\n\
            a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0\r\n\
            a=end-of-candidates\r\n";
        let fragment = read(text).unwrap();
        assert_eq!(fragment.ufrag.as_deref(), Some("EsAw"));
        let addresses: Vec<String> = fragment.candidates.iter().map(|c| c.addr().to_string()).collect();
        assert_eq!(addresses, ["192.0.2.1:61764", "192.0.2.1:9"]);
        assert!(read("a=end-of-candidates\r\n").unwrap().candidates.is_empty());
    }

    #[test]
    fn what_is_no_fragment_is_told_apart() {
        for text in ["", "{}", "a=rtpmap:96 H264/90000", "candidate:1"] {
            assert!(read(text).is_none(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn reading_any_text_never_panics(text in "(a=candidate:)?\\PC{0,80}") {
            let _ = read(&text);
        }
    }
}

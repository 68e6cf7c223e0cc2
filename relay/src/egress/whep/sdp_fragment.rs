//! Parses the SDP fragments of Trickle ICE (RFC 8840, section 4).

use str0m::{Candidate, IceCreds};

/// The content of an SDP fragment.
#[derive(Debug, Default)]
pub(super) struct SdpFragment {
    /// The viewer's user fragment, if there is one.
    pub(super) ufrag: Option<String>,
    /// Candidates with IP addresses. Ignores mDNS names, which only the browser can resolve; such addresses are learned from
    /// the browser's packets.
    pub(super) candidates: Vec<Candidate>,
}

/// Parses a fragment. `None` if `text` contains no known attribute.
pub(super) fn parse(text: &str) -> Option<SdpFragment> {
    let mut fragment = SdpFragment::default();
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

/// The ICE credentials of an offer or answer: the session's, or those of the first section that has both (RFC 8839, section
/// 5.4).
pub(super) fn credentials(sdp: &str) -> Option<IceCreds> {
    let (mut ufrag, mut pass) = (None, None);
    for line in sdp.lines().map(str::trim_end) {
        if line.starts_with("m=") {
            (ufrag, pass) = (None, None);
        }
        ufrag = line.strip_prefix("a=ice-ufrag:").or(ufrag);
        pass = line.strip_prefix("a=ice-pwd:").or(pass);
        if let (Some(ufrag), Some(pass)) = (ufrag, pass) {
            return Some(IceCreds { ufrag: ufrag.to_owned(), pass: pass.to_owned() });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn candidates_are_parsed_and_mdns_names_ignored() {
        let text = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
            a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n\
            a=candidate:3471623853 1 udp 2122194687 5b1b3a1c-0d6f-4b5a-9a63-1b8d0f6c7e55.local 61765 typ host\r\n\
            a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0\r\n\
            a=end-of-candidates\r\n";
        let fragment = parse(text).unwrap();
        assert_eq!(fragment.ufrag.as_deref(), Some("EsAw"));
        let addresses: Vec<String> = fragment.candidates.iter().map(|c| c.addr().to_string()).collect();
        assert_eq!(addresses, ["192.0.2.1:61764", "192.0.2.1:9"]);
        assert!(parse("a=end-of-candidates\r\n").unwrap().candidates.is_empty());
    }

    #[test]
    fn invalid_fragment_is_none() {
        for text in ["", "{}", "a=rtpmap:96 H264/90000", "candidate:1"] {
            assert!(parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn credentials_are_those_of_the_first_section_with_both() {
        let of = |sdp: &str| credentials(sdp).map(|creds| (creds.ufrag, creds.pass));
        let expected = Some(("u".to_owned(), "p".to_owned()));
        assert_eq!(
            of("v=0\r\na=ice-pwd:p\r\na=ice-ufrag:u\r\nm=video 9\r\na=ice-ufrag:x\r\na=ice-pwd:y\r\n"),
            expected
        );
        assert_eq!(of("v=0\r\nm=audio 9\r\na=ice-ufrag:x\r\nm=video 9\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\n"), expected);
        assert_eq!(of("v=0\r\nm=audio 9\r\na=ice-ufrag:x\r\nm=video 9\r\na=ice-pwd:p\r\n"), None);
    }

    proptest! {
        #[test]
        fn parsing_any_text_never_panics(text in "(a=candidate:)?\\PC{0,80}") {
            let _ = parse(&text);
        }
    }
}

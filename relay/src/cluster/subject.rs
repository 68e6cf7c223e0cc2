//! The subjects of the cluster. Below the prefix:
//!
//! | subject | publisher | subscribers | payload |
//! | --- | --- | --- | --- |
//! | `presence.RELAY` | the relay | all that serve | [`Announcement`](super::message::Announcement) |
//! | `interest.RELAY.STREAM.RENDITION` | a relay with viewers | the relay | [`Interest`](super::message::Interest), as JSON |
//! | `join.RELAY.STREAM.RENDITION` | a relay with viewers, as a request | the relay | the same; the answer has media |
//! | `clock.RELAY` | any, as a request | the relay | the answer has its clock |
//! | `media.RELAY.STREAM.RENDITION` | the relay | relays with viewers | messages of [`wire`](super::wire) |
//!
//! A name of a relay is one token. A name of a stream is percent-encoded into one. So permissions of the NATS server decide which
//! relay may show which stream.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sightline_protocol::stream::StreamName;

use super::message::RenditionId;

/// Characters to percent-encode in a token: dots divide tokens, `*` and `>` are wildcards, and spaces end a subject.
const TOKEN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// The subjects below a prefix.
#[derive(Debug, Clone)]
pub(super) struct Subjects {
    prefix: String,
}

impl Subjects {
    /// The subjects below `prefix`.
    pub(super) fn new(prefix: String) -> Self {
        Self { prefix }
    }

    /// Announcements of `relay`.
    pub(super) fn presence(&self, relay: &str) -> String {
        format!("{}.presence.{relay}", self.prefix)
    }

    /// Announcements of all relays.
    pub(super) fn presence_of_all(&self) -> String {
        self.presence("*")
    }

    /// Interest in a rendition of `relay`.
    pub(super) fn interest(&self, relay: &str, stream: &StreamName, rendition: RenditionId) -> String {
        self.of_rendition("interest", relay, stream, rendition)
    }

    /// Interest in any rendition of `relay`.
    pub(super) fn interests(&self, relay: &str) -> String {
        format!("{}.interest.{relay}.*.*", self.prefix)
    }

    /// Requests for the newest GOP of a rendition of `relay`.
    pub(super) fn join(&self, relay: &str, stream: &StreamName, rendition: RenditionId) -> String {
        self.of_rendition("join", relay, stream, rendition)
    }

    /// Requests for the newest GOP of any rendition of `relay`.
    pub(super) fn joins(&self, relay: &str) -> String {
        format!("{}.join.{relay}.*.*", self.prefix)
    }

    /// Requests for the time of `relay`.
    pub(super) fn clock(&self, relay: &str) -> String {
        format!("{}.clock.{relay}", self.prefix)
    }

    /// The media of a rendition of `relay`.
    pub(super) fn media(&self, relay: &str, stream: &StreamName, rendition: RenditionId) -> String {
        self.of_rendition("media", relay, stream, rendition)
    }

    fn of_rendition(&self, what: &str, relay: &str, stream: &StreamName, rendition: RenditionId) -> String {
        let stream = utf8_percent_encode(stream.as_str(), TOKEN);
        format!("{}.{what}.{relay}.{stream}.{}", self.prefix, rendition.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_name_is_one_token() {
        let subjects = Subjects::new("site.sightline".into());
        for (name, token) in [("cam0", "cam0"), ("site/cam 1/ü", "site%2Fcam%201%2F%C3%BC"), ("a.b>", "a%2Eb%3E")] {
            let subject = subjects.media("north", &name.parse().unwrap(), RenditionId::Low);
            assert_eq!(subject, format!("site.sightline.media.north.{token}.low"));
        }
        assert_eq!(subjects.presence_of_all(), "site.sightline.presence.*");
    }
}

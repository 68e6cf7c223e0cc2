//! Negotiation for viewers that do not signal by WHEP: they send their offer over a connection of their own, such as the WebSocket
//! of go2rtc's API.
//!
//! The session is the same, and does not end with that connection.

use std::net::IpAddr;

use sightline_protocol::stream::StreamName;
use str0m::Candidate;

use super::Whep;
use super::endpoint::Offer;
use super::error::WhepError;
use super::http::LINES_MAX;
use super::inbox::{Inbox, InboxMessage};
use crate::access::Expiry;
use crate::egress::select::Choice;
use crate::hub::Stream;

/// A viewer that offers.
#[derive(Debug, Clone)]
pub(in crate::egress) struct OfferingViewer {
    /// The stream, for the viewer's client.
    pub(in crate::egress) stream: Stream,
    pub(in crate::egress) name: StreamName,
    /// The address by which the viewer counts.
    pub(in crate::egress) client: Option<IpAddr>,
    /// The local address of its connection.
    pub(in crate::egress) reached: Option<IpAddr>,
    /// The expiry of its credential.
    pub(in crate::egress) expiry: Option<Expiry>,
}

/// The answer to an offer.
#[derive(Debug)]
pub(in crate::egress) struct Negotiation {
    /// The SDP answer, with all candidates of the relay.
    pub(in crate::egress) sdp: String,
    /// Absent if the session has ended already.
    inbox: Option<Inbox>,
}

impl Negotiation {
    /// Passes a candidate of the viewer on. Ignores a text that is none, an mDNS name, and a candidate for which a busy session
    /// has no room. A candidate is a hint: the viewer's packets show its address.
    pub(in crate::egress) fn add_candidate(&self, text: &str) {
        if let (Some(inbox), Ok(candidate)) = (&self.inbox, Candidate::from_sdp_string(text)) {
            let _ = inbox.try_send(InboxMessage::Candidate(candidate));
        }
    }
}

impl Whep {
    /// Creates a session for an offer. The caller bounds its size.
    ///
    /// # Errors
    /// One sentence, without a full stop.
    pub(in crate::egress) async fn negotiate(
        &self,
        viewer: OfferingViewer,
        sdp: String,
    ) -> Result<Negotiation, String> {
        self.try_negotiate(viewer, sdp).await.map_err(|error| error.to_string())
    }

    async fn try_negotiate(&self, viewer: OfferingViewer, sdp: String) -> Result<Negotiation, WhepError> {
        let endpoint = self.endpoint()?;
        if sdp.bytes().filter(|&byte| byte == b'\n').count() > LINES_MAX {
            return Err(WhepError::TooManyLines(LINES_MAX));
        }
        let OfferingViewer { stream, name, client, reached, expiry } = viewer;
        let permit = self.viewers.acquire(&name, client)?;
        let offer = Offer { permit, name: name.clone(), sdp, choice: Choice::default(), reached, client, expiry };
        let answer = endpoint.create(&stream, offer).await?;
        let inbox = endpoint.session(answer.id, &name).ok().map(|(inbox, _)| inbox);
        Ok(Negotiation { sdp: answer.sdp, inbox })
    }
}

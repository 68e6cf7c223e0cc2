//! STUN messages of a viewer, for tests.

use std::net::SocketAddr;

use str0m::IceCreds;
use str0m::crypto::from_feature_flags;
use str0m::ice::{StunMessage, StunMessageBuilder, TransId};

use super::sdp_fragment;

/// The highest priority, so that a request with it replaces any other path.
const PRIORITY: u32 = u32::MAX >> 1;

/// The ICE credentials of a session's two sides.
#[derive(Debug, Clone)]
pub(crate) struct TestViewer {
    relay: IceCreds,
    viewer: IceCreds,
}

impl TestViewer {
    /// Takes the credentials from an offer and its answer.
    pub(crate) fn new(offer: &str, answer: &str) -> Self {
        let of = |sdp| sdp_fragment::credentials(sdp).expect("credentials");
        Self { relay: of(answer), viewer: of(offer) }
    }

    /// A binding request with USE-CANDIDATE.
    pub(crate) fn request(&self) -> Vec<u8> {
        binding_request(&format!("{}:{}", self.relay.ufrag, self.viewer.ufrag), &self.relay.pass)
    }

    /// The answer to a request of the relay. `None` if `packet` is none.
    pub(crate) fn answer(&self, packet: &[u8]) -> Option<Vec<u8>> {
        answer(packet, &self.viewer.pass)
    }
}

/// A binding request with USE-CANDIDATE (RFC 8445, section 7.1.2).
pub(crate) fn binding_request(username: &str, password: &str) -> Vec<u8> {
    write(StunMessage::binding_request(username, TransId::new(), true, 1, PRIORITY, true), password)
}

/// The answer to a binding request. `None` if `packet` is none.
pub(crate) fn answer(packet: &[u8], password: &str) -> Option<Vec<u8>> {
    let message = StunMessage::parse(packet).ok().filter(StunMessage::is_binding_request)?;
    let relay: SocketAddr = ([127, 0, 0, 1], 9).into();
    let builder = StunMessageBuilder::new().binding().success().xor_mapped_address(relay);
    Some(write(builder.build(message.trans_id()), password))
}

fn write(message: StunMessage<'_>, password: &str) -> Vec<u8> {
    let (crypto, mut buffer) = (from_feature_flags(), vec![0; 1024]);
    let hmac = |key: &[u8], parts: &[&[u8]]| crypto.sha1_hmac_provider.sha1_hmac(key, parts);
    let length = message.to_bytes(Some(password.as_bytes()), &mut buffer, hmac).expect("it fits");
    buffer.truncate(length);
    buffer
}

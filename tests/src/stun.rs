//! STUN messages of a WebRTC viewer, sent from sockets of the test's choice.

use std::net::SocketAddr;

use str0m::IceCreds;
use str0m::crypto::from_feature_flags;
use str0m::ice::{StunMessage, StunMessageBuilder, TransId};

/// The highest priority of a candidate (RFC 8445, section 5.1.2), so that a nomination with it replaces any other path.
const PRIORITY: u32 = 0x7fff_ffff;

/// The ICE credentials of a session's two sides, and the relay's UDP address.
#[derive(Debug, Clone)]
pub struct IceSession {
    viewer: IceCreds,
    relay: IceCreds,
    /// The relay's address in the answer.
    pub address: SocketAddr,
}

impl IceSession {
    /// Reads an offer and its answer.
    ///
    /// # Panics
    /// When one of them has no credentials, or the answer has no candidate.
    pub fn new(offer: &str, answer: &str) -> Self {
        let candidate = answer.lines().find_map(|line| line.strip_prefix("a=candidate:")).expect("a candidate");
        let parts: Vec<&str> = candidate.split(' ').collect();
        let address = format!("{}:{}", parts[4], parts[5]).parse().expect("an address");
        Self { viewer: credentials(offer), relay: credentials(answer), address }
    }

    /// A binding request that nominates the path on which it is sent.
    pub fn nomination(&self) -> Vec<u8> {
        let username = format!("{}:{}", self.relay.ufrag, self.viewer.ufrag);
        let request = StunMessage::binding_request(&username, TransId::new(), true, 1, PRIORITY, true);
        write(request, &self.relay.pass)
    }

    /// The answer to a binding request of the relay. `None` if `packet` is none.
    pub fn answer(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let request = StunMessage::parse(packet).ok().filter(StunMessage::is_binding_request)?;
        let builder = StunMessageBuilder::new().binding().success().xor_mapped_address(self.address);
        Some(write(builder.build(request.trans_id()), &self.viewer.pass))
    }
}

fn credentials(sdp: &str) -> IceCreds {
    let value = |name| sdp.lines().find_map(|line| line.strip_prefix(name)).expect("it has credentials").to_owned();
    IceCreds { ufrag: value("a=ice-ufrag:"), pass: value("a=ice-pwd:") }
}

fn write(message: StunMessage<'_>, password: &str) -> Vec<u8> {
    let (crypto, mut buffer) = (from_feature_flags(), vec![0; 1024]);
    let hmac = |key: &[u8], parts: &[&[u8]]| crypto.sha1_hmac_provider.sha1_hmac(key, parts);
    let length = message.to_bytes(Some(password.as_bytes()), &mut buffer, hmac).expect("it fits");
    buffer.truncate(length);
    buffer
}

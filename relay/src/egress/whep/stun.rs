//! STUN messages of one session (RFC 8489): checks those of the viewer, and writes the relay's own requests.
//!
//! str0m's ICE-lite agent sends no requests and answers each one that has the session's password. The relay asks an address
//! with its own requests before that agent learns of it ([`Consent`](super::consent::Consent)).

use std::sync::Arc;

use bytes::Bytes;
use str0m::IceCreds;
use str0m::crypto::CryptoProvider;
use str0m::ice::{StunMessage, TransId};

/// The highest first byte of a STUN message (RFC 7983, section 7).
const FIRST_BYTE_MAX: u8 = 3;
/// The priority of a peer-reflexive candidate (RFC 8445, section 5.1.2), which every request has to state.
const PRIORITY: u32 = (110 << 24) | (0xffff << 8) | 0xff;
/// Larger than a request with the longest user fragments, 256 bytes each (RFC 8445, section 5.3).
const REQUEST_MAX: usize = 1024;

/// The kind of a received packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PacketKind {
    /// A request that has the session's password.
    Request,
    /// An answer to this transaction that has the viewer's password.
    Answer(TransId),
    /// A message that is damaged or has another password.
    Forged,
    /// DTLS, SRTP, SRTCP, or another STUN message.
    Other,
}

/// The ICE credentials of both sides of a session.
#[derive(Debug)]
pub(super) struct IceCredentials {
    ours: IceCreds,
    theirs: IceCreds,
    /// Needed to decide which side is controlling, which the relay never is (RFC 8445, section 6.1.1).
    tie_breaker: u64,
    crypto: Arc<CryptoProvider>,
}

impl IceCredentials {
    pub(super) fn new(ours: IceCreds, theirs: IceCreds, crypto: Arc<CryptoProvider>) -> Self {
        Self { ours, theirs, tie_breaker: rand::random(), crypto }
    }

    /// Checks a packet. Changes nothing.
    pub(super) fn check(&self, packet: &[u8]) -> PacketKind {
        if !is_stun(packet) {
            return PacketKind::Other;
        }
        let Ok(message) = StunMessage::parse(packet) else { return PacketKind::Forged };
        let has = |password: &str| message.verify(password.as_bytes(), |key, parts| self.hmac(key, parts));
        if message.is_binding_request() {
            let names = Some((self.ours.ufrag.as_str(), self.theirs.ufrag.as_str()));
            if message.split_username() == names && has(&self.ours.pass) {
                PacketKind::Request
            } else {
                PacketKind::Forged
            }
        } else if message.is_successful_binding_response() {
            // A response has the password of its request.
            if has(&self.theirs.pass) { PacketKind::Answer(message.trans_id()) } else { PacketKind::Forged }
        } else {
            PacketKind::Other
        }
    }

    /// A binding request to the viewer. `None` if its user fragment is longer than the standard permits.
    pub(super) fn request(&self, transaction: TransId) -> Option<Bytes> {
        let username = format!("{}:{}", self.theirs.ufrag, self.ours.ufrag);
        let message = StunMessage::binding_request(&username, transaction, false, self.tie_breaker, PRIORITY, false);
        let mut buffer = vec![0; REQUEST_MAX];
        let password = self.theirs.pass.as_bytes();
        let length = message.to_bytes(Some(password), &mut buffer, |key, parts| self.hmac(key, parts)).ok()?;
        buffer.truncate(length);
        Some(buffer.into())
    }

    fn hmac(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
        self.crypto.sha1_hmac_provider.sha1_hmac(key, parts)
    }
}

/// Whether a packet is a STUN message (RFC 7983, section 7).
pub(super) fn is_stun(packet: &[u8]) -> bool {
    packet.first().is_some_and(|&first| first <= FIRST_BYTE_MAX)
}

/// Credentials of the relay for one session. str0m's own come from a generator that is not cryptographic.
pub(super) fn random_credentials() -> IceCreds {
    let (ufrag, pass) = (rand::random::<u64>(), rand::random::<u128>());
    IceCreds { ufrag: format!("{ufrag:016x}"), pass: format!("{pass:032x}") }
}

/// A transaction id that cannot be guessed (RFC 8489, section 5).
pub(super) fn transaction_id() -> TransId {
    // `TransId::new` is not cryptographic either. Only parsing gives other ids: of a binding indication without attributes.
    let header = [&[0x00, 0x11, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &rand::random::<[u8; 12]>()].concat();
    StunMessage::parse(&header).map_or_else(|_| TransId::new(), |message| message.trans_id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::whep::test_viewer;
    use str0m::crypto::from_feature_flags;

    fn creds(ufrag: &str) -> IceCreds {
        IceCreds { ufrag: ufrag.to_owned(), pass: format!("{ufrag}-with-a-password") }
    }

    /// The credentials as the relay has them, and as the viewer does.
    fn both() -> (IceCredentials, IceCredentials) {
        let crypto = Arc::new(from_feature_flags());
        let of = |ours, theirs| IceCredentials::new(creds(ours), creds(theirs), crypto.clone());
        (of("relay", "viewer"), of("viewer", "relay"))
    }

    #[test]
    fn request_needs_the_password_and_both_names() {
        let (relay, viewer) = both();
        let request = viewer.request(transaction_id()).unwrap();
        assert_eq!(relay.check(&request), PacketKind::Request);
        let mut damaged = request.to_vec();
        damaged[30] ^= 1;
        assert_eq!(relay.check(&damaged), PacketKind::Forged);
        for (ours, theirs) in [("relay", "other"), ("other", "viewer")] {
            let other = IceCredentials::new(creds(ours), creds(theirs), relay.crypto.clone());
            assert_eq!(other.check(&request), PacketKind::Forged);
        }
        assert_eq!(relay.check(&request[..40]), PacketKind::Forged);
        assert_eq!(relay.check(&[0x80, 0x60, 0, 0]), PacketKind::Other);
        assert_eq!(relay.check(&[]), PacketKind::Other);
    }

    #[test]
    fn answer_needs_the_password_of_the_viewer() {
        let (relay, _) = both();
        let transaction = transaction_id();
        let request = relay.request(transaction).unwrap();
        let answer = |password: &str| test_viewer::answer(&request, password).unwrap();
        assert_eq!(relay.check(&answer("viewer-with-a-password")), PacketKind::Answer(transaction));
        assert_eq!(relay.check(&answer("relay-with-a-password")), PacketKind::Forged);
    }

    #[test]
    fn transaction_ids_and_credentials_differ() {
        assert_ne!(transaction_id(), transaction_id());
        let (one, two) = (random_credentials(), random_credentials());
        assert!(one.ufrag != two.ufrag && one.pass != two.pass);
        assert!(one.ufrag.len() >= 4 && one.pass.len() >= 22, "RFC 8445, section 5.3");
    }
}

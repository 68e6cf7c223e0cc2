use std::time::Duration;

use super::waiting::WAITING_MAX;
use super::*;
use crate::egress::whep::test_viewer;

fn stream(name: &str) -> StreamName {
    name.parse().unwrap()
}

fn names(ours: &str) -> Ufrags {
    Ufrags { ours: ours.to_owned(), theirs: None }
}

fn address(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

/// A binding request of the viewer `theirs` to the session `ours`.
fn request(ours: &str) -> Vec<u8> {
    test_viewer::binding_request(&format!("{ours}:theirs"), "password")
}

/// A request of the relay, and the answer to it.
fn transaction() -> (TransId, Vec<u8>) {
    let request = request("theirs");
    let transaction = StunMessage::parse(&request).unwrap().trans_id();
    (transaction, test_viewer::answer(&request, "password").unwrap())
}

fn two() -> SessionDemux<char> {
    let (mut demux, now) = (SessionDemux::default(), Instant::now());
    demux.add(SessionId(1), stream("cam0"), names("uone"), None, 'a', now).unwrap();
    demux.add(SessionId(2), stream("cam1"), names("utwo"), None, 'b', now).unwrap();
    demux
}

const MEDIA: [u8; 4] = [0x80, 0x60, 0, 0];

#[test]
fn request_and_answer_are_routed_by_their_content() {
    let mut demux = two();
    let (transaction, answer) = transaction();
    assert_eq!(demux.route(address(1), &answer), None);
    demux.expect(SessionId(2), transaction);
    assert_eq!(demux.route(address(1), &answer), Some('b'));
    assert_eq!(demux.route(address(1), &request("uone")), Some('a'));
    assert_eq!(demux.route(address(1), &request("nobody")), None);
    assert_eq!(demux.route(address(1), &[]), None);
    assert_eq!(demux.route_connection(&request("uone")), Some('a'));
    assert_eq!(demux.route_connection(&MEDIA), None);
    assert_eq!(demux.route_connection(&answer), None);
}

#[test]
fn request_with_a_forged_source_moves_no_address() {
    let mut demux = two();
    demux.note(SessionId(1), address(1));
    assert_eq!(demux.route(address(1), &request("utwo")), Some('b'));
    assert_eq!(demux.route(address(1), &MEDIA), Some('a'), "the address is still the first session's");
    assert_eq!(demux.route(address(2), &request("utwo")), Some('b'));
    assert_eq!(demux.route(address(2), &MEDIA), None);
}

#[test]
fn proven_address_belongs_to_its_newest_session() {
    let mut demux = two();
    demux.note(SessionId(1), address(1));
    demux.note(SessionId(2), address(1));
    assert_eq!(demux.route(address(1), &MEDIA), Some('b'), "the same address, used again");
    assert!(demux.sessions[&SessionId(1)].addresses.is_empty());
}

#[test]
fn removed_session_leaves_no_state() {
    let mut demux = two();
    demux.note(SessionId(1), address(1));
    demux.note(SessionId(2), address(1));
    demux.expect(SessionId(2), transaction().0);
    assert_eq!(demux.remove(SessionId(1)), Some('a'));
    assert_eq!(demux.route(address(1), &MEDIA), Some('b'), "the address is the other's now");
    assert_eq!((demux.remove(SessionId(2)), demux.remove(SessionId(2))), (Some('b'), None));
    assert!(demux.sessions.is_empty() && demux.by_ufrag.is_empty() && demux.by_address.is_empty());
    assert!(demux.by_transaction.is_empty());
    assert_eq!(demux.waiting.len(), 0);
}

#[test]
fn session_needs_stream_and_id() {
    let demux = two();
    assert_eq!(demux.find(SessionId(1), &stream("cam0")), Some(('a', &names("uone"))));
    assert_eq!(demux.find(SessionId(1), &stream("cam1")), None);
    assert_eq!(demux.find(SessionId(3), &stream("cam0")), None);
    let id = SessionId(0xab);
    assert_eq!(id.to_string().parse(), Ok(id));
    assert_eq!(id.to_string().len(), 32);
}

#[test]
fn unconnected_sessions_are_bounded_and_connected_are_not() {
    let (mut demux, mut now) = (SessionDemux::default(), Instant::now());
    let add = |demux: &mut SessionDemux<u128>, id, now| {
        demux.add(SessionId(id), stream("a"), names(&format!("u{id:03}")), None, id, now)
    };
    for id in 0..WAITING_MAX as u128 {
        assert_eq!(add(&mut demux, id, now), Ok(None));
    }
    assert_eq!((add(&mut demux, 1000, now), demux.has_room(None, now)), (Err(Full), false));
    demux.connected(SessionId(0));
    assert_eq!((add(&mut demux, 1001, now), add(&mut demux, 1002, now)), (Ok(None), Err(Full)));
    now += Duration::from_secs(5);
    assert_eq!(add(&mut demux, 1003, now), Ok(Some(1)), "the oldest that is not connected");
    assert_eq!(demux.find(SessionId(1), &stream("a")), None);
    assert!(demux.find(SessionId(0), &stream("a")).is_some());
}

#[test]
fn addresses_and_transactions_per_session_are_bounded() {
    let mut demux = two();
    let mut newest = transaction();
    for port in 1..1000 {
        demux.note(SessionId(1), address(port));
        newest = transaction();
        demux.expect(SessionId(1), newest.0);
    }
    assert_eq!((demux.by_address.len(), demux.by_transaction.len()), (ADDRESSES_MAX, TRANSACTIONS_MAX));
    assert_eq!(demux.route(address(999), &MEDIA), Some('a'));
    assert_eq!(demux.route(address(1), &MEDIA), None);
    assert_eq!(demux.route(address(1), &newest.1), Some('a'));
}

use super::*;

fn stream(name: &str) -> StreamName {
    name.parse().unwrap()
}

fn names(ours: &str) -> Ufrags {
    Ufrags { ours: ours.to_owned(), theirs: None }
}

fn address(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

/// A binding request (RFC 8489, section 5) of the viewer `theirs` to the session `ours`.
fn request(ours: &str) -> Vec<u8> {
    let username = format!("{ours}:theirs");
    let padded = username.len().div_ceil(4) * 4;
    let mut attributes = [&0x0006u16.to_be_bytes()[..], &(username.len() as u16).to_be_bytes()].concat();
    attributes.extend(username.as_bytes());
    attributes.resize(4 + padded, 0);
    // PRIORITY and ICE-CONTROLLING (RFC 8445, section 16.1), MESSAGE-INTEGRITY.
    attributes.extend([0x00, 0x24, 0, 4, 1, 2, 3, 4, 0x80, 0x2a, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0x00, 0x08, 0, 20]);
    attributes.extend([0; 20]);
    let header = [&[0, 1][..], &(attributes.len() as u16).to_be_bytes(), &[0x21, 0x12, 0xa4, 0x42], &[7; 12]].concat();
    [header, attributes].concat()
}

fn two() -> SessionDemux<char> {
    let mut demux = SessionDemux::default();
    demux.add(SessionId(1), stream("cam0"), names("uone"), 'a').unwrap();
    demux.add(SessionId(2), stream("cam1"), names("utwo"), 'b').unwrap();
    demux
}

#[test]
fn binding_request_routes_its_source_address() {
    let mut demux = two();
    let media = [0x80, 0x60, 0, 0];
    assert_eq!(demux.route(address(1), &media), None, "of an address that nobody is known by");
    assert_eq!(demux.route(address(1), &request("uone")), Some('a'));
    assert_eq!(demux.route(address(1), &media), Some('a'));
    assert_eq!(demux.route(address(2), &media), None);
    assert_eq!(demux.route(address(1), &request("utwo")), Some('b'), "the same address, used again");
    assert_eq!(demux.route(address(1), &media), Some('b'));
    assert_eq!(demux.route(address(3), &request("nobody")), None);
    assert_eq!(demux.route(address(3), &[]), None);
    assert_eq!(demux.route_connection(&request("uone")), Some('a'));
    assert_eq!(demux.route_connection(&media), None);
}

#[test]
fn removed_session_leaves_no_state() {
    let mut demux = two();
    demux.route(address(1), &request("uone"));
    demux.route(address(1), &request("utwo"));
    demux.remove(SessionId(1));
    assert_eq!(demux.route(address(1), &[0x80]), Some('b'), "the address is the other's now");
    demux.remove(SessionId(2));
    demux.remove(SessionId(2));
    assert!(demux.sessions.is_empty() && demux.by_ufrag.is_empty() && demux.by_address.is_empty());
    assert_eq!(demux.waiting, 0);
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
    let mut demux = SessionDemux::default();
    let add = |demux: &mut SessionDemux<()>, id| demux.add(SessionId(id), stream("a"), names(&format!("u{id:03}")), ());
    for id in 0..UNCONNECTED_MAX as u128 {
        assert_eq!(add(&mut demux, id), Ok(()));
    }
    assert_eq!(add(&mut demux, 1000), Err(Full));
    demux.connected(SessionId(5));
    demux.connected(SessionId(5));
    assert_eq!(add(&mut demux, 1001), Ok(()));
    assert_eq!(add(&mut demux, 1002), Err(Full));
    demux.remove(SessionId(5));
    assert_eq!(add(&mut demux, 1003), Err(Full), "it no longer waited");
    demux.remove(SessionId(6));
    assert_eq!(add(&mut demux, 1004), Ok(()));
}

#[test]
fn addresses_per_session_are_bounded() {
    let mut demux = two();
    for port in 1..1000 {
        demux.route(address(port), &request("uone"));
    }
    assert_eq!(demux.by_address.len(), ADDRESSES_MAX);
    assert_eq!(demux.route(address(999), &[0x80]), Some('a'));
    assert_eq!(demux.route(address(1), &[0x80]), None);
}

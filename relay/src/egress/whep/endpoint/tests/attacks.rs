//! Attacks on the port: forged sources, wrong passwords, and connections in a session's name.

use std::net::SocketAddr;

use str0m::ice::StunMessage;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::*;
use crate::config::Limits;
use crate::egress::whep::test_viewer::{TestViewer, binding_request};
use crate::limits::LiveLimits;
use crate::limits::connections::ConnectionLimiter;
use crate::limits::permit::{Permits, Scope};
use crate::net::rejections::Rejections;

/// Time limit for what the relay does at once, on a busy machine; less than the time in which a viewer has to connect.
const SOON: Duration = Duration::from_secs(5);
/// No packet within this time means that none is sent.
const NOTHING: Duration = Duration::from_millis(300);
const MEDIA: [u8; 4] = [0x80, 0x60, 0, 0];

/// An endpoint with sessions.
struct Scene {
    endpoint: Endpoint,
    limiter: ConnectionLimiter,
    rejections: Rejections,
}

/// A session without a connected viewer.
struct Session {
    viewer: TestViewer,
    ufrag: String,
    inbox: Inbox,
}

impl Scene {
    async fn open() -> Self {
        Self::with_connections(100).await
    }

    /// With this `limits.connections`.
    async fn with_connections(connections: usize) -> Self {
        let bound = bind(&Webrtc::default(), "127.0.0.1:0".parse().unwrap()).await.unwrap().unwrap();
        let hub = Hub::new(["cam".parse().unwrap()], RingLimits::default(), true);
        let limits = LiveLimits::new(Limits { connections, ..Limits::default() });
        let (limiter, rejections) = (ConnectionLimiter::new(limits, usize::MAX), Rejections::default());
        let gate = ConnectionGate::new(limiter.clone(), rejections.clone());
        let endpoint = Endpoint::start(bound, Arc::new(hub), gate, CancellationToken::new()).unwrap();
        Self { endpoint, limiter, rejections }
    }

    /// Waits until a permit is free.
    async fn permit(&self) -> Permit {
        let permit = async {
            loop {
                match self.limiter.acquire("127.0.0.1:1".parse().unwrap()) {
                    Ok(permit) => return permit,
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        timeout(SOON, permit).await.expect("a closed connection returns its permit")
    }

    fn port(&self) -> SocketAddr {
        self.endpoint.port.address
    }

    async fn session(&self) -> Session {
        let name: StreamName = "cam".parse().unwrap();
        let permit = Permits::default().acquire([(Scope::Total, 1, ())]).unwrap();
        let sdp = offer(&[section("video", 0, "96", "recvonly", &h264(96, "42e01f"))]);
        let (choice, stream) = (Choice::default(), self.endpoint.stream(&name).unwrap());
        let offer =
            Offer { permit, name: name.clone(), sdp: sdp.clone(), choice, reached: None, client: None, expiry: None };
        let answer = self.endpoint.create(&stream, offer).await.unwrap_or_else(|error| panic!("{error}"));
        let (inbox, _) = self.endpoint.session(answer.id, &name).unwrap();
        Session { viewer: TestViewer::new(&sdp, &answer.sdp), ufrag: answer.ufrag, inbox }
    }

    async fn socket(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(self.port()).await.unwrap();
        socket
    }

    /// Whether packets from `source` go to `session`.
    fn owns(&self, session: &Session, source: &UdpSocket) -> bool {
        let inbox = lock(&self.endpoint.sessions).route(source.local_addr().unwrap(), &MEDIA);
        inbox.is_some_and(|inbox| inbox.same_channel(&session.inbox))
    }

    /// Sends `first` over a new TCP connection.
    async fn connect(&self, first: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.port()).await.unwrap();
        let length = u16::try_from(first.len()).unwrap().to_be_bytes();
        // The relay may have closed the connection.
        let _ = stream.write_all(&[&length, first].concat()).await;
        stream
    }
}

async fn receive(socket: &UdpSocket, within: Duration) -> Option<Vec<u8>> {
    let mut packet = vec![0; 2048];
    let length = timeout(within, socket.recv(&mut packet)).await.ok()?.ok()?;
    packet.truncate(length);
    Some(packet)
}

/// Whether the relay closes the connection.
async fn is_closed(stream: &mut TcpStream, within: Duration) -> bool {
    let mut answer = [0; 512];
    let closed = async { while stream.read(&mut answer).await.is_ok_and(|length| length > 0) {} };
    timeout(within, closed).await.is_ok()
}

#[tokio::test]
async fn forged_source_gets_one_request_for_each_until_it_answers() {
    let scene = Scene::open().await;
    let (session, victim) = (scene.session().await, scene.socket().await);
    let mut newest = Vec::new();
    for _ in 0..20 {
        let request = session.viewer.request();
        victim.send(&request).await.unwrap();
        newest = receive(&victim, SOON).await.expect("a request of the relay");
        assert!(session.viewer.answer(&newest).is_some(), "it gets no answer, which would confirm the path");
        assert!(newest.len() <= request.len(), "{} bytes for {}", newest.len(), request.len());
    }
    assert_eq!(receive(&victim, NOTHING).await, None, "the relay does not repeat its requests");
    assert!(!scene.owns(&session, &victim));

    victim.send(&session.viewer.answer(&newest).unwrap()).await.unwrap();
    let answer = receive(&victim, SOON).await.expect("the answer to the request that waited");
    assert!(StunMessage::parse(&answer).unwrap().is_successful_binding_response());
    assert!(scene.owns(&session, &victim));
}

#[tokio::test]
async fn address_of_a_viewer_is_not_taken_by_another_session() {
    let scene = Scene::open().await;
    let (session, attacker, socket) = (scene.session().await, scene.session().await, scene.socket().await);
    socket.send(&session.viewer.request()).await.unwrap();
    let check = receive(&socket, SOON).await.unwrap();
    socket.send(&session.viewer.answer(&check).unwrap()).await.unwrap();
    receive(&socket, SOON).await.expect("an answer");
    assert!(scene.owns(&session, &socket));

    // The attacker knows its own session's password and forges the source. The viewer does not answer for that session.
    socket.send(&attacker.viewer.request()).await.unwrap();
    receive(&socket, SOON).await.expect("a request of the relay");
    assert!(scene.owns(&session, &socket) && !scene.owns(&attacker, &socket));
}

#[tokio::test]
async fn request_with_a_wrong_password_changes_nothing_and_gets_nothing() {
    let scene = Scene::open().await;
    let (session, socket) = (scene.session().await, scene.socket().await);
    let request = binding_request(&format!("{}:EsAw", session.ufrag), "a password that is not the session's");
    socket.send(&request).await.unwrap();
    assert_eq!(receive(&socket, NOTHING).await, None);
    assert!(!scene.owns(&session, &socket));
    assert!(is_closed(&mut scene.connect(&request).await, SOON).await, "a TCP connection is closed");
}

#[tokio::test]
async fn refused_tcp_connections_of_a_session_are_closed_at_once() {
    let scene = Scene::with_connections(9).await;
    let session = scene.session().await;
    let mut streams = Vec::new();
    for _ in 0..30 {
        // The session has eight, so the relay has one for the next.
        drop(scene.permit().await);
        let mut stream = scene.connect(&session.viewer.request()).await;
        // The relay answers the request or closes the connection.
        let is_open = timeout(SOON, stream.read_exact(&mut [0; 2])).await.expect("an answer or an end").is_ok();
        streams.push((stream, is_open));
    }
    assert_eq!(streams.iter().filter(|(_, is_open)| *is_open).count(), 8);
    // The relay's end is closed too, though the clients keep theirs.
    let _last = scene.permit().await;
    assert_eq!(scene.rejections.codes(), []);
}

#[tokio::test]
async fn tcp_connection_beyond_the_limit_is_closed_at_once_and_counted() {
    let scene = Scene::with_connections(3).await;
    let session = scene.session().await;
    let _http = scene.permit().await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = scene.connect(&session.viewer.request()).await;
        stream.read_exact(&mut [0; 2]).await.expect("an answer");
        held.push(stream);
    }
    for n in 1..=20 {
        assert!(is_closed(&mut scene.connect(&[]).await, SOON).await);
        assert_eq!(scene.rejections.codes(), [(429, n)]);
    }
    held.clear();
    let _free = scene.permit().await;
}

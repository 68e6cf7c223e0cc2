//! WebRTC offers that nothing follows, and packets in a session's name.

use std::time::Duration;

use sightline_tests::run::until;
use sightline_tests::stun::IceSession;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::scene::Scene;

/// An offer of a player for H.264.
const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
    a=fingerprint:sha-256 AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB\r\n\
    a=setup:actpass\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:96 H264/90000\r\n";
/// TCP connections that one session may have.
const LINKS: usize = 8;
/// No packet within this time means that none is sent.
const NOTHING: Duration = Duration::from_millis(300);

/// Creates a session that never connects.
async fn session(scene: &Scene) -> IceSession {
    let answer = scene.ask("POST", "/whep/cam", "application/sdp", OFFER).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    IceSession::new(OFFER, &answer.text())
}

/// Connections and nominations in the name of a session.
pub(super) async fn addresses(scene: &Scene) {
    scene
        .row("100 ICE-TCP connections in one session's name", 3.0, async || {
            let (ice, before) = (session(scene).await, scene.relay.descriptors());
            let mut held = Vec::new();
            for _ in 0..100 {
                let mut stream = TcpStream::connect(ice.address).await.expect("it listens");
                let request = ice.nomination();
                // RFC 4571, section 2. The relay may have closed the connection.
                let length = u16::try_from(request.len()).expect("it is short").to_be_bytes();
                let _ = stream.write_all(&[&length, &request[..]].concat()).await;
                held.push(stream);
            }
            let refused = async || (scene.relay.descriptors() <= before + LINKS + 2).then_some(());
            until("all but eight to be closed", Duration::from_secs(5), refused).await;
            held
        })
        .await;
    scene
        .row("50 nominations of a foreign address", 3.0, async || {
            let ice = session(scene).await;
            let (foreign, mut sent) = (UdpSocket::bind("127.0.0.1:0").await.expect("a free port"), 0);
            for _ in 0..50 {
                sent += foreign.send_to(&ice.nomination(), ice.address).await.expect("it is sent");
            }
            let (mut received, mut buffer) = (0, [0; 2048]);
            while let Ok(Ok(length)) = timeout(NOTHING, foreign.recv(&mut buffer)).await {
                received += length;
                // STUN begins with two zero bits (RFC 7983, section 7), and each request may cause one that is a little longer.
                assert!(buffer[0] < 4, "no media: {}", buffer[0]);
            }
            assert!(received <= sent + 50 * 20, "{received} bytes for {sent}");
        })
        .await;
}

/// Offers that are never connected.
pub(super) async fn offers(scene: &Scene) {
    scene
        .row("200 WebRTC offers of 500 lines, never connected", 30.0, async || {
            let lines: String = (0..480).map(|n| format!("a=ssrc:{n} cname:a\r\n")).collect();
            let (offer, mut created) = (format!("{OFFER}{lines}"), 0);
            for _ in 0..200 {
                match scene.ask("POST", "/whep/cam", "application/sdp", &offer).await.status {
                    201 => created += 1,
                    status => assert!([503, 429].contains(&status), "{status}"),
                }
            }
            assert!(created > 0, "every offer was refused");
        })
        .await;
}

//! Tests of the impaired link itself, on which other tests rely.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sightline_tests::impaired_link::ImpairedLink;
use sightline_tests::run::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that sends `flood` bytes of a pattern and then echoes its input.
async fn echo(flood: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(&pattern(flood)).await?;
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    address
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 7 % 251) as u8).collect()
}

async fn ask(stream: &mut TcpStream) -> Duration {
    let start = Instant::now();
    stream.write_all(b"?").await.unwrap();
    stream.read_u8().await.unwrap();
    start.elapsed()
}

#[test]
fn delay_applies_in_both_directions_and_can_be_removed() {
    within(Duration::from_secs(20), async || {
        let link = ImpairedLink::to(echo(0).await).await;
        let mut stream = TcpStream::connect(link.address()).await.unwrap();
        ask(&mut stream).await;
        link.delay(Duration::from_millis(100), Duration::from_millis(50));
        for _ in 0..5 {
            let trip = ask(&mut stream).await;
            assert!(trip >= Duration::from_millis(200), "{trip:?}");
        }
        link.delay(Duration::ZERO, Duration::ZERO);
        let trips = [ask(&mut stream).await, ask(&mut stream).await, ask(&mut stream).await];
        assert!(trips.iter().min().unwrap() < &Duration::from_millis(100), "{trips:?}");
    });
}

#[test]
fn throttled_link_delivers_every_byte_unchanged() {
    within(Duration::from_secs(30), async || {
        const LENGTH: usize = 400_000;
        let link = ImpairedLink::to(echo(LENGTH).await).await;
        link.throttle(Some(200_000));
        let start = Instant::now();
        let mut stream = TcpStream::connect(link.address()).await.unwrap();
        let mut got = vec![0; LENGTH];
        stream.read_exact(&mut got).await.unwrap();
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(1900), "{took:?} for two seconds' worth");
        assert!(got == pattern(LENGTH), "bytes were changed or moved");
        assert_eq!((link.delivered(), link.connections()), (LENGTH as u64, 1));
    });
}

#[test]
fn stalled_link_keeps_connections_and_their_bytes() {
    within(Duration::from_secs(20), async || {
        let link = ImpairedLink::to(echo(0).await).await;
        let mut stream = TcpStream::connect(link.address()).await.unwrap();
        ask(&mut stream).await;
        link.stall(true);
        stream.write_all(b"x").await.unwrap();
        let nothing = tokio::time::timeout(Duration::from_millis(500), stream.read_u8()).await;
        assert!(nothing.is_err(), "{nothing:?}");
        link.stall(false);
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
    });
}

#[test]
fn link_cuts_resets_and_refuses_connections() {
    within(Duration::from_secs(20), async || {
        let link = ImpairedLink::to(echo(0).await).await;
        let mut cut = TcpStream::connect(link.address()).await.unwrap();
        ask(&mut cut).await;
        link.cut();
        assert_eq!(cut.read(&mut [0]).await.unwrap(), 0, "the end of the stream");
        let mut reset = TcpStream::connect(link.address()).await.unwrap();
        ask(&mut reset).await;
        link.reset();
        assert_eq!(reset.read(&mut [0]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        link.refuse(true);
        let mut refused = TcpStream::connect(link.address()).await.unwrap();
        assert!(matches!(refused.read(&mut [0]).await, Ok(0) | Err(_)), "closed at once");
        link.refuse(false);
        ask(&mut TcpStream::connect(link.address()).await.unwrap()).await;
        assert_eq!(link.connections(), 3, "but for the refused");
    });
}

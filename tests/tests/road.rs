//! The road does what it says: the tests that use it would otherwise prove nothing.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sightline_tests::road::Road;
use sightline_tests::run::alone;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that sends back what it gets, with `flood` bytes of a pattern before that.
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
fn it_delays_each_way_and_stops_doing_so() {
    alone(Duration::from_secs(20), async || {
        let road = Road::to(echo(0).await).await;
        let mut stream = TcpStream::connect(road.address()).await.unwrap();
        ask(&mut stream).await;
        road.delay(Duration::from_millis(100), Duration::from_millis(50));
        for _ in 0..5 {
            let trip = ask(&mut stream).await;
            assert!(trip >= Duration::from_millis(200), "{trip:?}");
        }
        road.delay(Duration::ZERO, Duration::ZERO);
        let trips = [ask(&mut stream).await, ask(&mut stream).await, ask(&mut stream).await];
        assert!(trips.iter().min().unwrap() < &Duration::from_millis(100), "{trips:?}");
    });
}

#[test]
fn it_throttles_and_loses_nothing_though_it_takes_everything_at_once() {
    alone(Duration::from_secs(30), async || {
        const LENGTH: usize = 400_000;
        let road = Road::to(echo(LENGTH).await).await;
        road.throttle(Some(200_000));
        let start = Instant::now();
        let mut stream = TcpStream::connect(road.address()).await.unwrap();
        let mut got = vec![0; LENGTH];
        stream.read_exact(&mut got).await.unwrap();
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(1900), "{took:?} for two seconds' worth");
        assert!(got == pattern(LENGTH), "bytes were changed or moved");
        assert_eq!((road.delivered(), road.connections()), (LENGTH as u64, 1));
    });
}

#[test]
fn a_stalled_road_keeps_its_connections_and_their_bytes() {
    alone(Duration::from_secs(20), async || {
        let road = Road::to(echo(0).await).await;
        let mut stream = TcpStream::connect(road.address()).await.unwrap();
        ask(&mut stream).await;
        road.stall(true);
        stream.write_all(b"x").await.unwrap();
        let nothing = tokio::time::timeout(Duration::from_millis(500), stream.read_u8()).await;
        assert!(nothing.is_err(), "{nothing:?}");
        road.stall(false);
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
    });
}

#[test]
fn it_cuts_resets_and_refuses() {
    alone(Duration::from_secs(20), async || {
        let road = Road::to(echo(0).await).await;
        let mut cut = TcpStream::connect(road.address()).await.unwrap();
        ask(&mut cut).await;
        road.cut();
        assert_eq!(cut.read(&mut [0]).await.unwrap(), 0, "the end of the stream");
        let mut reset = TcpStream::connect(road.address()).await.unwrap();
        ask(&mut reset).await;
        road.reset();
        assert_eq!(reset.read(&mut [0]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        road.refuse(true);
        let mut refused = TcpStream::connect(road.address()).await.unwrap();
        assert!(matches!(refused.read(&mut [0]).await, Ok(0) | Err(_)), "closed at once");
        road.refuse(false);
        ask(&mut TcpStream::connect(road.address()).await.unwrap()).await;
        assert_eq!(road.connections(), 3, "but for the refused");
    });
}

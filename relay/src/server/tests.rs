//! Attacks on the assembled relay, in this process: connections are in memory, and time is paused.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Application;
use super::connection_context::ConnectionContext;
use crate::config::Config;
use crate::egress::whep;
use crate::hub::{Hub, ring};
use crate::ingest::Settings;
use crate::ingest::supervisor::Supervisor;
use crate::limits::LiveLimits;
use crate::limits::connections::ConnectionLimiter;
use crate::net::peer::PeerInfo;

mod bodies;
mod catalogue;
mod credentials;
mod errors;
mod go2rtc;
mod hosts;
mod http2;
mod http2_attacks;
mod http2_limits;
mod identity;
mod logins;
mod openapi;
mod operation;
mod outside;
mod probing;
mod requests;
mod slow_readers;
mod sockets;
mod transcodes;
mod visitors;
mod whep_sessions;

/// The address of a client.
const CLIENT: &str = "203.0.113.7";
/// Time limit for an answer, of paused time.
const LIMIT: Duration = Duration::from_secs(3600);

/// A relay with the demo streams and without WebRTC.
struct TestRelay {
    application: Application,
    config: Config,
    hub: Arc<Hub>,
    limits: LiveLimits,
    shutdown: CancellationToken,
}

impl TestRelay {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::demo();
        change(&mut config);
        Self::start(config, None)
    }

    /// The same with WebRTC.
    async fn with_webrtc(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::demo();
        change(&mut config);
        let address = "127.0.0.1:0".parse().expect("an address");
        let webrtc = whep::bind(&config.webrtc, address).await.expect("a free port");
        Self::start(config, webrtc)
    }

    fn start(config: Config, webrtc: Option<whep::BoundPort>) -> Self {
        let hub = Arc::new(Hub::new(config.streams.keys().cloned(), ring::RingLimits::default(), config.low));
        let (limits, shutdown) = (LiveLimits::new(config.limits.clone()), CancellationToken::new());
        let limiter = ConnectionLimiter::new(limits.clone(), usize::MAX);
        let launcher = Settings::new(&config, None, limits.clone()).launcher;
        let application =
            Application::new(config.clone(), webrtc, hub.clone(), launcher, (&limits, &limiter), &shutdown);
        Self { application, config, hub, limits, shutdown }
    }

    /// Runs the sources while they have viewers.
    async fn start_sources(&self) {
        let settings = Arc::new(Settings::new(&self.config, None, self.limits.clone()));
        let mut supervisor = Supervisor::new(self.hub.clone(), settings, self.shutdown.clone());
        supervisor.set(self.config.streams.clone()).await;
    }

    /// Connects from `address`.
    fn connect(&self, address: &str) -> DuplexStream {
        self.connect_to(self.application.router.clone(), address, false)
    }

    /// Connects to `router`, over TLS of the relay if `encrypted`.
    fn connect_to(&self, router: Router, address: &str, encrypted: bool) -> DuplexStream {
        let address: IpAddr = address.parse().expect("an address");
        let peer = PeerInfo { local: None, address, encrypted };
        let serving = ConnectionContext::new(router, peer, self.limits.now(), self.shutdown.clone());
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        tokio::spawn(serving.serve(theirs));
        ours
    }

    /// Connects from `address` by HTTP/2, over TLS of the relay if `encrypted`. The client writes no more than `ahead` bytes
    /// that the relay has not read.
    fn connect_http2(&self, address: &str, encrypted: bool, ahead: usize) -> DuplexStream {
        let peer = PeerInfo { local: None, address: address.parse().expect("an address"), encrypted };
        let router = self.application.router.clone();
        let serving = ConnectionContext::new(router, peer, self.limits.now(), self.shutdown.clone());
        let (ours, theirs) = tokio::io::duplex(ahead);
        tokio::spawn(super::http2::serve(serving, theirs));
        ours
    }

    /// The answer to `request`, until the relay closes the connection.
    async fn send(&self, request: &str) -> String {
        self.send_from(CLIENT, request).await
    }

    /// The same for a request from another address.
    async fn send_from(&self, address: &str, request: &str) -> String {
        let mut connection = self.connect(address);
        connection.write_all(request.as_bytes()).await.expect("the relay reads");
        read_to_end(&mut connection).await
    }

    /// The answer to a request with these header lines, each with its line end.
    async fn request(&self, method: &str, path: &str, headers: &str) -> String {
        self.send(&format!("{method} {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n{headers}\r\n")).await
    }

    /// The value of a metric. `credentials` are header lines.
    async fn metric(&self, credentials: &str, name: &str) -> u64 {
        let text = self.request("GET", "/metrics", credentials).await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().expect("a count"))
    }
}

/// Reads until the relay closes the connection.
async fn read_to_end(connection: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let read = timeout(LIMIT, connection.read_to_end(&mut bytes)).await;
    read.expect("the relay closes the connection").expect("it does so in order");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The status of an answer.
fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or(answer)
}

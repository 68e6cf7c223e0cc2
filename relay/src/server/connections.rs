//! Accepts connections and serves HTTP/1 on each, within limits. A connection that is upgraded counts until it ends.
//!
//! | what | beyond the limit |
//! | --- | --- |
//! | connections, in all and of one address | 429 and a sentence; those that come too fast for that are closed |
//! | time for the head of a request | the connection is closed |
//! | length of the head of a request | 431 |
//! | file descriptors | connections wait in the system's queue; a line in the log, one a minute |

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::{Reached, give_up_when_stuck, hurry};
use crate::config::{Limits, Network};
use crate::counts::{Counts, household};

/// Between tries to accept while the system has no descriptor: viewers leave all the time, and nobody notices a wait so
/// short.
const PAUSE: Duration = Duration::from_millis(100);
/// Between lines in the log about that.
const TELL: Duration = Duration::from_secs(60);
/// How many are told at a time that there are too many: a few descriptors more than the limit says.
const FAREWELLS: usize = 32;
/// What they get to ask and to take the answer: a connection that is closed with bytes unread is reset, and the peer never
/// sees the answer.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves `app` until `shutdown`, then until every connection that was not upgraded has ended.
pub(super) async fn serve(listener: TcpListener, app: Router, limits: &Limits, shutdown: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.header).max_header_size(limits.header_bytes);
    let (ledger, farewells) = (Ledger::new(limits), Arc::new(Semaphore::new(FAREWELLS)));
    let tasks = TaskTracker::new();
    let mut trouble = Trouble::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_the_connection(&error) => continue,
            Err(error) => {
                if trouble.is_to_be_told(Instant::now()) {
                    warn!(%error, "connections cannot be accepted and wait; raise the limit of open files (ulimit -n)");
                }
                sleep(PAUSE).await;
                continue;
            }
        };
        match ledger.admit(peer) {
            Ok(slot) => {
                hurry(&stream);
                give_up_when_stuck(&stream);
                let address = stream.local_addr().ok().map(|address| address.ip());
                let reached = Reached { address, peer: peer.ip() };
                let connection = Counted { stream, _slot: slot };
                tasks.spawn(converse(http.clone(), connection, app.clone(), reached, shutdown.clone()));
            }
            Err(refused) => {
                debug!(%peer, "{refused}");
                if let Ok(place) = farewells.clone().try_acquire_owned() {
                    tokio::spawn(async move {
                        let _ = timeout(FAREWELL, refuse(stream, &refused)).await;
                        drop(place);
                    });
                }
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// One connection, until it ends or is upgraded.
async fn converse(
    http: http1::Builder,
    connection: Counted<TcpStream>,
    app: Router,
    reached: Reached,
    shutdown: CancellationToken,
) {
    let service = service_fn(move |request| answer(app.clone(), reached, request));
    let mut connection = pin!(http.serve_connection(TokioIo::new(connection), service).with_upgrades());
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        debug!(%error, "a connection ended");
    }
}

async fn answer(app: Router, reached: Reached, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(reached));
    TowerToHyperService::new(app).call(request).await
}

/// Whether it was the peer that went away before it was accepted, which is nobody's trouble.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// When to tell of a trouble that goes on.
#[derive(Debug, Default)]
struct Trouble {
    told: Option<Instant>,
}

impl Trouble {
    fn is_to_be_told(&mut self, now: Instant) -> bool {
        let due = self.told.is_none_or(|told| now >= told + TELL);
        if due {
            self.told = Some(now);
        }
        due
    }
}

/// Why a connection is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("this relay has as many connections as limits.connections allows ({0}); try again later")]
    Full(usize),
    #[error("your address has as many connections as limits.connections_per_address allows ({0}); close some")]
    Address(usize),
}

/// Tells a peer why there is no more for it, and lets it take that. An answer before there is a request is none: clients
/// drop it with the connection.
async fn refuse(mut stream: TcpStream, refused: &Refused) -> io::Result<()> {
    let mut unread = [0; 1024];
    if stream.read(&mut unread).await? == 0 {
        return Ok(());
    }
    stream.write_all(refusal(refused).as_bytes()).await?;
    stream.shutdown().await?;
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

/// The answer, whatever was asked (RFC 6585, section 4).
fn refusal(refused: &Refused) -> String {
    let body = format!("{refused}\n");
    let length = body.len();
    format!(
        "HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 5\r\n\
         Cache-Control: no-store\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// The connections there are.
#[derive(Debug, Clone)]
struct Ledger {
    connections: usize,
    per_address: usize,
    trusted: Arc<[Network]>,
    counts: Arc<Mutex<Connections>>,
}

#[derive(Debug, Default)]
struct Connections {
    all: usize,
    by_address: Counts<IpAddr>,
}

impl Ledger {
    fn new(limits: &Limits) -> Self {
        Self {
            connections: limits.connections,
            per_address: limits.connections_per_address,
            trusted: limits.trusted_proxies.as_slice().into(),
            counts: Arc::default(),
        }
    }

    /// A place for one more. A proxy or a tunnel brings everybody, and so has no limit of its own; whatever comes from
    /// this machine is one.
    fn admit(&self, peer: SocketAddr) -> Result<Slot, Refused> {
        let brings_everybody = |ip: IpAddr| ip.is_loopback() || self.trusted.iter().any(|network| network.contains(ip));
        let address = Some(peer.ip().to_canonical()).filter(|&ip| !brings_everybody(ip)).map(household);
        let mut counts = lock(&self.counts);
        if counts.all >= self.connections {
            return Err(Refused::Full(self.connections));
        }
        if let Some(address) = address {
            if counts.by_address.of(&address) >= self.per_address {
                return Err(Refused::Address(self.per_address));
            }
            counts.by_address.add(address);
        }
        counts.all += 1;
        Ok(Slot { counts: self.counts.clone(), address })
    }
}

/// A connection's place, which it leaves when it is dropped.
#[derive(Debug)]
struct Slot {
    counts: Arc<Mutex<Connections>>,
    address: Option<IpAddr>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        counts.all -= 1;
        if let Some(address) = &self.address {
            counts.by_address.remove(address);
        }
    }
}

// A panic while the lock was held leaves at worst one that is counted and not there.
fn lock(counts: &Mutex<Connections>) -> std::sync::MutexGuard<'_, Connections> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stream that has its place for as long as it is open, whoever holds it after an upgrade.
struct Counted<S> {
    stream: S,
    _slot: Slot,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    // Header and payload of a fragment leave in one write.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(connections: usize, per_address: usize) -> Ledger {
        Ledger { connections, per_address, trusted: ["10.0.0.0/8".parse().unwrap()].into(), counts: Arc::default() }
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_is_dropped() {
        let (ledger, peer) = (ledger(3, 2), |ip: &str| SocketAddr::new(ip.parse().unwrap(), 1));
        let first = ledger.admit(peer("192.0.2.1")).unwrap();
        let _second = ledger.admit(peer("192.0.2.1")).unwrap();
        assert_eq!(ledger.admit(peer("192.0.2.1")).unwrap_err(), Refused::Address(2));
        let _other = ledger.admit(peer("192.0.2.2")).unwrap();
        assert_eq!(ledger.admit(peer("192.0.2.3")).unwrap_err(), Refused::Full(3));
        drop(first);
        assert!(ledger.admit(peer("192.0.2.1")).is_ok());
    }

    #[test]
    fn connections_of_this_machine_and_of_proxies_bring_everybody() {
        let ledger = ledger(3, 1);
        let peers = ["127.0.0.1:1", "[::ffff:127.0.0.1]:2", "[::1]:3"];
        let slots = peers.map(|peer| ledger.admit(peer.parse().unwrap()).unwrap());
        assert_eq!(ledger.admit("[::1]:4".parse().unwrap()).unwrap_err(), Refused::Full(3));
        drop(slots);
        assert_eq!(lock(&ledger.counts).all, 0);
        let proxy = ["10.0.0.1:1", "10.0.0.1:2"].map(|peer| ledger.admit(peer.parse().unwrap()));
        assert!(proxy.iter().all(Result::is_ok), "{proxy:?}");
    }

    #[test]
    fn a_refusal_is_an_answer_that_names_the_limit() {
        let text = refusal(&Refused::Address(7));
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 429 ") && head.contains("\r\nRetry-After: 5"), "{head}");
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
        assert!(body.contains("limits.connections_per_address allows (7)"), "{body}");
    }

    #[test]
    fn trouble_is_told_once_a_minute() {
        let (mut trouble, begun) = (Trouble::default(), Instant::now());
        let told = (0..1200).filter(|&tick| trouble.is_to_be_told(begun + PAUSE * tick)).count();
        assert_eq!(told, 2);
    }
}

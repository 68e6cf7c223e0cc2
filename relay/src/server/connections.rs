//! Accepts connections and serves HTTP on each, within limits: HTTP/1 and, with TLS, HTTP/2 ([`http2`](super::http2)). An upgraded
//! connection counts until it ends.
//!
//! | resource | beyond the limit |
//! | --- | --- |
//! | connections, in total and per client | 429 and a sentence; closed without an answer if many are refused at once |
//! | time for the TLS handshake and for the request head | the connection is closed |
//! | size of the request head | 431 |
//! | time to take an answer | the connection is closed ([`write_rate`](super::write_rate)) |
//! | file descriptors | 429 before the last ones are used ([`crate::limits::descriptors`]); without any, connections wait in the system's queue; one log line per minute |

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::counted::Counted;
use super::http2;
use super::write_rate::{Upgraded, WriteRate};
use crate::config::Limits;
use crate::limits::LiveLimits;
use crate::limits::connections::{ConnectionLimiter, TooManyConnections};
use crate::net::log_interval::LogInterval;
use crate::net::peer::PeerInfo;
use crate::net::{tcp, tls};

/// Interval between attempts to accept while the system has no free descriptor. Viewers leave all the time, and the delay is
/// too short to notice.
const PAUSE: Duration = Duration::from_millis(100);
/// Maximum of concurrent refusals with an answer. They use descriptors beyond the connection limit.
const REFUSALS: usize = 32;
/// Time limit to read a request and write the refusal. Closing a connection with unread bytes resets it, and the peer never
/// sees the answer.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// Serves `app` until `shutdown`, then until every connection that was not upgraded has ended.
pub(super) async fn serve(
    listener: TcpListener,
    certificate: Option<tls::CurrentTls>,
    app: Router,
    limits: &LiveLimits,
    limiter: ConnectionLimiter,
    shutdown: CancellationToken,
) {
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let tasks = TaskTracker::new();
    let mut log_interval = LogInterval::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if tcp::is_of_the_connection(&error) => continue,
            Err(error) => {
                if log_interval.is_due(Instant::now()) {
                    warn!(%error, "connections cannot be accepted and wait; raise the limit of open files (ulimit -n)");
                }
                sleep(PAUSE).await;
                continue;
            }
        };
        let tls = certificate.as_ref().map(|certificate| certificate.borrow().clone());
        match limiter.acquire(peer) {
            Ok(permit) => {
                tcp::set_nodelay(&stream);
                tcp::set_user_timeout(&stream);
                let local = stream.local_addr().ok().map(|address| address.ip());
                let peer = PeerInfo { local, address: peer.ip(), encrypted: tls.is_some() };
                let serving = Serving::new(app.clone(), peer, limits.now(), shutdown.clone());
                let connection = Counted::new(stream, permit);
                match tls {
                    Some(tls) => tasks.spawn(serving.encrypted(connection, tls)),
                    None => tasks.spawn(serving.converse(connection)),
                };
            }
            Err(refused) => {
                debug!(%peer, "{refused}");
                if let Ok(permit) = refusals.clone().try_acquire_owned() {
                    tokio::spawn(async move {
                        let _ = timeout(SHUTDOWN_GRACE, refuse(stream, tls, &refused)).await;
                        drop(permit);
                    });
                }
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Serves one connection.
pub(super) struct Serving {
    pub(super) app: Router,
    pub(super) peer: PeerInfo,
    pub(super) limits: Arc<Limits>,
    pub(super) shutdown: CancellationToken,
}

impl Serving {
    pub(super) fn new(app: Router, peer: PeerInfo, limits: Arc<Limits>, shutdown: CancellationToken) -> Self {
        Self { app, peer, limits, shutdown }
    }

    /// Performs the TLS handshake within its time limit, then serves the version of HTTP that it agreed on.
    async fn encrypted(self, connection: Counted<TcpStream>, tls: Arc<ServerConfig>) {
        let handshake = async {
            if tls::is_tls(connection.inner()).await? {
                return tls::accept(connection, tls).await;
            }
            tell(connection, &unencrypted()).await?;
            Err(io::Error::other("it does not speak TLS"))
        };
        let done = tokio::select! {
            done = timeout(self.limits.header, handshake) => done,
            () = self.shutdown.cancelled() => return,
        };
        match done {
            Ok(Ok(connection)) if tls::is_http2(&connection) => http2::converse(self, connection).await,
            Ok(Ok(connection)) => self.converse(connection).await,
            Ok(Err(error)) => debug!(%error, "a connection ended in its handshake"),
            Err(_) => debug!("a handshake took too long"),
        }
    }

    /// Serves HTTP/1 until the connection ends or is upgraded.
    pub(super) async fn converse(self, connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { app, peer, limits, shutdown } = self;
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(limits.header).max_header_size(limits.header_bytes);
        let upgraded = Upgraded::default();
        let connection = TokioIo::new(WriteRate::new(connection, upgraded.clone()));
        let service = service_fn(move |request| {
            let (answer, upgraded) = (answer(app.clone(), peer, request), upgraded.clone());
            async move {
                let response = answer.await?;
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    upgraded.set();
                }
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = pin!(http.serve_connection(connection, service).with_upgrades());
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
}

/// The application's answer to a request of `peer`.
pub(super) async fn answer(
    app: Router,
    peer: PeerInfo,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    TowerToHyperService::new(app).call(request).await
}

/// Sends the reason of the refusal as HTTP/1.1, with TLS if the peer speaks it.
async fn refuse(stream: TcpStream, tls: Option<Arc<ServerConfig>>, refused: &TooManyConnections) -> io::Result<()> {
    match tls {
        Some(tls) if tls::is_tls(&stream).await? => {
            let tls = tls::without_http2(&tls);
            tell(tls::accept(stream, tls).await?, &refusal(refused)).await
        }
        _ => tell(stream, &refusal(refused)).await,
    }
}

/// Answers any request with `answer` and waits until the peer has closed the connection. Clients discard an answer that arrives
/// before they have sent a request.
async fn tell(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) -> io::Result<()> {
    let mut unread = [0; 1024];
    if stream.read(&mut unread).await? == 0 {
        return Ok(());
    }
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

/// A 429 response (RFC 6585, section 4).
fn refusal(refused: &TooManyConnections) -> String {
    written("429 Too Many Requests\r\nRetry-After: 5", &refused.to_string())
}

/// The response to `http://` on an HTTPS port.
fn unencrypted() -> String {
    written("400 Bad Request", "this relay speaks HTTPS here: begin its address with https://")
}

/// A response that does not depend on the request.
fn written(status: &str, sentence: &str) -> String {
    let length = sentence.len() + 1;
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n\
         Connection: close\r\nContent-Length: {length}\r\n\r\n{sentence}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_an_answer_that_names_the_limit() {
        let text = refusal(&TooManyConnections::Client(7));
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 429 ") && head.contains("\r\nRetry-After: 5"), "{head}");
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
        assert!(body.contains("limits.connections_per_address allows (7)"), "{body}");
    }

    #[test]
    fn http_where_https_is_spoken_is_told_so() {
        let text = unencrypted();
        assert!(text.starts_with("HTTP/1.1 400 ") && text.contains("https://"), "{text}");
    }
}

//! Accepts connections and serves HTTP/1 on each, with TLS if there is a certificate, within limits. A connection that is
//! upgraded counts until it ends.
//!
//! | what | beyond the limit |
//! | --- | --- |
//! | connections, in all and of one address | 429 and a sentence; those that come too fast for that are closed |
//! | time for the handshake of TLS, and for the head of a request | the connection is closed |
//! | length of the head of a request | 431 |
//! | file descriptors | connections wait in the system's queue; a line in the log, one a minute |

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
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
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::ledger::{Counted, Ledger, Refused};
use super::{Reached, give_up_when_stuck, hurry, tls};
use crate::config::Limits;

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
pub(super) async fn serve(
    listener: TcpListener,
    certificate: Option<tls::Current>,
    app: Router,
    limits: &Limits,
    shutdown: CancellationToken,
) {
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
        let tls = certificate.as_ref().map(|certificate| certificate.borrow().clone());
        match ledger.admit(peer) {
            Ok(slot) => {
                hurry(&stream);
                give_up_when_stuck(&stream);
                let address = stream.local_addr().ok().map(|address| address.ip());
                let reached = Reached { address, peer: peer.ip(), encrypted: tls.is_some() };
                let serving = Serving { http: http.clone(), app: app.clone(), reached, shutdown: shutdown.clone() };
                let connection = Counted::new(stream, slot);
                match tls {
                    Some(tls) => tasks.spawn(serving.encrypted(connection, tls, limits.header)),
                    None => tasks.spawn(serving.converse(connection)),
                };
            }
            Err(refused) => {
                debug!(%peer, "{refused}");
                if let Ok(place) = farewells.clone().try_acquire_owned() {
                    tokio::spawn(async move {
                        let _ = timeout(FAREWELL, refuse(stream, tls, &refused)).await;
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

/// What is done with one connection.
struct Serving {
    http: http1::Builder,
    app: Router,
    reached: Reached,
    shutdown: CancellationToken,
}

impl Serving {
    /// The handshake of TLS, which has to be done `within` that time, and what follows it.
    async fn encrypted(self, connection: Counted<TcpStream>, tls: Arc<ServerConfig>, within: Duration) {
        let handshake = async {
            if tls::is_spoken(connection.inner()).await? {
                return tls::accept(connection, tls).await;
            }
            tell(connection, &unencrypted()).await?;
            Err(io::Error::other("it does not speak TLS"))
        };
        let done = tokio::select! {
            done = timeout(within, handshake) => done,
            () = self.shutdown.cancelled() => return,
        };
        match done {
            Ok(Ok(connection)) => self.converse(connection).await,
            Ok(Err(error)) => debug!(%error, "a connection ended in its handshake"),
            Err(_) => debug!("a handshake took too long"),
        }
    }

    /// HTTP, until the connection ends or is upgraded.
    async fn converse(self, connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { http, app, reached, shutdown } = self;
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

/// Tells a peer why there is no more for it, in the language that it speaks.
async fn refuse(stream: TcpStream, tls: Option<Arc<ServerConfig>>, refused: &Refused) -> io::Result<()> {
    match tls {
        Some(tls) if tls::is_spoken(&stream).await? => tell(tls::accept(stream, tls).await?, &refusal(refused)).await,
        _ => tell(stream, &refusal(refused)).await,
    }
}

/// Gives the same answer whatever is asked, and lets the peer take it. An answer before there is a request is none: clients
/// drop it with the connection.
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

/// RFC 6585, section 4.
fn refusal(refused: &Refused) -> String {
    written("429 Too Many Requests\r\nRetry-After: 5", &refused.to_string())
}

/// What browsers get that try `http://` where `https://` is spoken.
fn unencrypted() -> String {
    written("400 Bad Request", "this relay speaks HTTPS here: begin its address with https://")
}

/// An answer that does without the request.
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
        let text = refusal(&Refused::Address(7));
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

    #[test]
    fn trouble_is_told_once_a_minute() {
        let (mut trouble, begun) = (Trouble::default(), Instant::now());
        let told = (0..1200).filter(|&tick| trouble.is_to_be_told(begun + PAUSE * tick)).count();
        assert_eq!(told, 2);
    }
}

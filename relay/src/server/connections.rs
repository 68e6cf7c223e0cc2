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

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::connection_context::ConnectionContext;
use super::http2;
use super::permitted_connection::PermittedConnection;
use crate::limits::LiveLimits;
use crate::limits::connections::{ConnectionLimiter, TooManyConnections};
use crate::net::acceptor::Acceptor;
use crate::net::peer::PeerInfo;
use crate::net::{tcp, tls};

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
    let mut acceptor = Acceptor::new(listener, "connections");
    loop {
        let (stream, peer) = tokio::select! {
            accepted = acceptor.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let tls = certificate.as_ref().map(|certificate| certificate.borrow().clone());
        match limiter.acquire(peer) {
            Ok(permit) => {
                tcp::set_nodelay(&stream);
                tcp::set_user_timeout(&stream);
                let local = stream.local_addr().ok().map(|address| address.ip());
                let peer = PeerInfo { local, address: peer.ip(), encrypted: tls.is_some() };
                let serving = ConnectionContext::new(app.clone(), peer, limits.now(), shutdown.clone());
                let connection = PermittedConnection::new(stream, permit);
                match tls {
                    Some(tls) => tasks.spawn(encrypted(serving, connection, tls)),
                    None => tasks.spawn(serving.serve(connection)),
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
    drop(acceptor);
    tasks.close();
    tasks.wait().await;
}

/// Performs the TLS handshake within its time limit, then serves the version of HTTP that it agreed on.
async fn encrypted(serving: ConnectionContext, connection: PermittedConnection<TcpStream>, tls: Arc<ServerConfig>) {
    let handshake = async {
        if tls::is_tls(connection.inner()).await? {
            return tls::accept(connection, tls).await;
        }
        tell(connection, &unencrypted()).await?;
        Err(io::Error::other("it does not speak TLS"))
    };
    let done = tokio::select! {
        done = timeout(serving.limits.header, handshake) => done,
        () = serving.shutdown.cancelled() => return,
    };
    match done {
        Ok(Ok(connection)) if tls::is_http2(&connection) => http2::serve(serving, connection).await,
        Ok(Ok(connection)) => serving.serve(connection).await,
        Ok(Err(error)) => debug!(%error, "a connection ended in its handshake"),
        Err(_) => debug!("a handshake took too long"),
    }
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

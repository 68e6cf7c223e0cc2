//! The only way from an FFmpeg that reads HTTP to the network: a proxy on the loopback interface (RFC 9110, section 7.3.2). It
//! connects to the source's host and to the hosts that the configuration adds.
//!
//! FFmpeg follows redirects and the entries of playlists to any host, and has no option against it. A source could have it fetch
//! from the inner network. FFmpeg gets the proxy by the variable `http_proxy`, which covers `http`, `https`, `rtsps` and `rtmps`, and may
//! connect to nothing else ([`Confinement`](super::confinement::Confinement)).
//!
//! A connection carries one request, or one tunnel. Its bytes are copied without being kept.
//!
//! | module | task |
//! | --- | --- |
//! | [`request`] | the head of a request |
//! | [`upstream`] | the operator's own proxy, if there is one |

mod request;
mod upstream;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tracing::warn;

use crate::net::acceptor::Acceptor;
use crate::net::escaped::Escaped;
use request::{HEAD_MAX, Head};
use upstream::Upstream;

/// Time for FFmpeg to send a request's head, which it does at once.
const HEAD_WAIT: Duration = Duration::from_secs(5);
/// FFmpeg has one connection at a time, HLS two, and one for sound.
const CONNECTIONS_MAX: usize = 16;

/// The sentence for viewers of a source that leads elsewhere.
pub(super) const OTHER_HOST: &str = "the source leads to another host, which the relay does not follow; add that host to \
                                     `redirect_hosts` of this stream in the configuration";

/// See the [module](self). It ends with this.
#[derive(Debug)]
pub(super) struct HttpGuard {
    port: u16,
    shared: Arc<Proxy>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Proxy {
    /// In lower case.
    hosts: Vec<String>,
    upstream: Option<Upstream>,
    connects_within: Duration,
    refused: watch::Sender<bool>,
    /// The last error of a connection to the source.
    error: Mutex<Option<io::Error>>,
}

impl HttpGuard {
    /// Starts a guard that connects to these hosts.
    ///
    /// # Errors
    /// There is no loopback interface.
    pub(super) async fn open(hosts: impl Iterator<Item = String>, connects_within: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Proxy {
            hosts: hosts.map(|host| request::normalized(&host)).collect(),
            upstream: Upstream::from_environment(),
            connects_within,
            refused: watch::Sender::new(false),
            error: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, shared.clone())).abort_handle();
        Ok(Self { port, shared, task })
    }

    /// Its port on the loopback interface.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Returns once the source has led to another host.
    pub(super) async fn refused(&self) {
        // The sender lives in `shared`: it does not fail.
        let _ = self.shared.refused.subscribe().wait_for(|refused| *refused).await;
    }

    /// Why the last connection to the source failed.
    pub(super) fn error(&self) -> Option<String> {
        self.shared.error.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(ToString::to_string)
    }
}

impl Drop for HttpGuard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Proxy>) {
    // Aborts its tasks when it is dropped.
    let mut connections = JoinSet::new();
    let mut acceptor = Acceptor::new(listener, "connections of FFmpeg");
    loop {
        let (connection, _) = acceptor.accept().await;
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        let shared = shared.clone();
        connections.spawn(async move {
            // Either end closes, or a connection breaks: the other learns it by the end of its own.
            let _ = shared.serve(connection).await;
        });
    }
}

impl Proxy {
    async fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let mut buffer = BytesMut::new();
        let Ok(Ok(Some(head))) = timeout(HEAD_WAIT, read_head(&mut client, &mut buffer)).await else {
            return answer(&mut client, "400 Bad Request").await;
        };
        if !self.hosts.contains(&head.host) {
            warn!(host = %Escaped(&head.host), "refused: the source leads to another host");
            self.refused.send_replace(true);
            return answer(&mut client, "403 Forbidden").await;
        }
        let upstream = self.upstream.as_ref().filter(|upstream| upstream.serves(&head.host));
        let mut server = match timeout(self.connects_within, connect(&head, upstream)).await {
            Ok(Ok(server)) => server,
            failed => {
                let error = failed
                    .map_or_else(|_| io::ErrorKind::TimedOut.into(), |connected| connected.expect_err("it failed"));
                *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                return answer(&mut client, "502 Bad Gateway").await;
            }
        };
        server.set_nodelay(true)?;
        if head.is_tunnel {
            return tunnel(client, server, &head, upstream, &buffer).await;
        }
        let forwarded = match upstream {
            Some(upstream) => head.for_proxy(upstream.authorization.as_deref()),
            None => head.for_origin(),
        };
        server.write_all(&forwarded).await?;
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, _to_server) = server.split();
        tokio::select! {
            copied = copy(&mut from_server, &mut to_client) => copied.map(|_| ()),
            // FFmpeg has closed, or begins another request, which belongs into another connection.
            read = from_client.read_buf(&mut buffer) => read.map(|_| ()),
        }
    }
}

/// Connects to the host, or to the operator's proxy.
async fn connect(head: &Head, upstream: Option<&Upstream>) -> io::Result<TcpStream> {
    let address = upstream.map_or((head.host.as_str(), head.port), |upstream| (upstream.host.as_str(), upstream.port));
    TcpStream::connect(address).await
}

async fn tunnel(
    mut client: TcpStream,
    mut server: TcpStream,
    head: &Head,
    upstream: Option<&Upstream>,
    sent: &[u8],
) -> io::Result<()> {
    match upstream {
        // The operator's proxy answers itself.
        Some(upstream) => server.write_all(&head.for_proxy(upstream.authorization.as_deref())).await?,
        None => client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?,
    }
    server.write_all(sent).await?;
    copy_bidirectional(&mut client, &mut server).await.map(|_| ())
}

/// Reads the head of a request; none if it is not one. What follows it stays in `buffer`.
async fn read_head(client: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<Option<Head>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = buffer.split_to(end + 4);
            return Ok(std::str::from_utf8(&head).ok().and_then(Head::parse));
        }
        if buffer.len() > HEAD_MAX || client.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

async fn answer(client: &mut TcpStream, status: &str) -> io::Result<()> {
    client.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    client.shutdown().await
}

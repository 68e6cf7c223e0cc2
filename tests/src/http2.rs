//! A client of HTTP/2, with a certificate of [`crate::tls`].

use std::io;
use std::net::SocketAddr;

use h2::RecvStream;
use h2::client::SendRequest;
use tokio::task::JoinHandle;
use tokio_rustls::rustls::version;
use tokio_tungstenite::tungstenite::Bytes;
use tokio_tungstenite::tungstenite::http::{Request, Response};

use crate::tls::{Identity, NAME};

/// One connection. Dropping it closes it.
#[derive(Debug)]
pub struct Client {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    /// Connects to `server`, which has the certificate of `identity`.
    ///
    /// # Errors
    /// When the connection fails or the server speaks no HTTP/2.
    pub async fn connect(identity: &Identity, server: SocketAddr) -> io::Result<Self> {
        Self::with(identity, server, &h2::client::Builder::new()).await
    }

    /// The same with these settings.
    ///
    /// # Errors
    /// As for [`Self::connect`].
    pub async fn with(identity: &Identity, server: SocketAddr, settings: &h2::client::Builder) -> io::Result<Self> {
        let stream = identity.connect_for_page(server, &version::TLS13).await?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(io::Error::other("the server speaks no HTTP/2"));
        }
        let (requests, connection) = settings.handshake(stream).await.map_err(io::Error::other)?;
        Ok(Self { requests, connection: tokio::spawn(connection) })
    }

    /// The head of the answer to a GET.
    ///
    /// # Errors
    /// When the server closes the connection or refuses the stream.
    pub async fn ask(&self, path: &str) -> Result<Response<RecvStream>, h2::Error> {
        let request = Request::get(format!("https://{NAME}{path}")).body(()).expect("a valid path");
        let (answer, _) = self.requests.clone().ready().await?.send_request(request, true)?;
        answer.await
    }

    /// Sends a GET and cancels it at once.
    ///
    /// # Errors
    /// When the server has closed the connection.
    pub async fn cancel(&self, path: &str) -> Result<(), h2::Error> {
        let request = Request::get(format!("https://{NAME}{path}")).body(()).expect("a valid path");
        let (_, mut stream) = self.requests.clone().ready().await?.send_request(request, false)?;
        stream.send_reset(h2::Reason::CANCEL);
        // The connection's task sends both.
        tokio::task::yield_now().await;
        Ok(())
    }

    /// The status and the body of the answer to a GET.
    ///
    /// # Errors
    /// As for [`Self::ask`].
    pub async fn get(&self, path: &str) -> Result<(u16, String), h2::Error> {
        let (head, mut body) = self.ask(path).await?.into_parts();
        let mut bytes = Vec::new();
        while let Some(piece) = body.data().await {
            let piece = piece?;
            body.flow_control().release_capacity(piece.len())?;
            bytes.extend_from_slice(&piece);
        }
        Ok((head.status.as_u16(), String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Whether the server has closed the connection.
    pub fn is_closed(&self) -> bool {
        self.connection.is_finished()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

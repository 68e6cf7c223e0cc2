//! Self-signed certificates, and clients that trust one of them and no other.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use tokio_rustls::{TlsAcceptor, TlsConnector, rustls};

use crate::http::Response;

/// The name in the certificate.
pub(crate) const NAME: &str = "localhost";
/// The protocols that browsers offer for a page, and for a WebSocket.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];
const ALPN_WEBSOCKET: [&[u8]; 1] = [b"http/1.1"];

/// A certificate and its key.
pub struct Identity(CertifiedKey<KeyPair>);

impl Identity {
    /// A new certificate for `localhost`.
    ///
    /// # Panics
    /// Only if the cryptography fails.
    pub fn new() -> Self {
        Self(generate_simple_self_signed([NAME.to_owned()]).expect("a certificate"))
    }

    /// A TLS acceptor for servers of a test.
    ///
    /// # Panics
    /// Only if the cryptography fails.
    pub fn acceptor(&self) -> TlsAcceptor {
        let server = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let server = server.with_safe_default_protocol_versions().expect("there are some").with_no_client_auth();
        let key = PrivateKeyDer::try_from(self.0.signing_key.serialize_der()).expect("a key");
        let server = server.with_single_cert(vec![self.0.cert.der().clone()], key).expect("its own key");
        TlsAcceptor::from(Arc::new(server))
    }

    /// Connects to `server`, which must present this certificate, for HTTP/1.1.
    ///
    /// # Errors
    /// When it presents another, or does not speak TLS.
    pub async fn connect(&self, server: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        self.connect_by(server, &version::TLS13, &ALPN_WEBSOCKET).await
    }

    /// Connects as a browser does for a page, which agrees on HTTP/2 with a server that speaks it.
    ///
    /// # Errors
    /// As for [`Self::connect`].
    pub async fn connect_for_page(
        &self,
        server: SocketAddr,
        version: &'static SupportedProtocolVersion,
    ) -> io::Result<TlsStream<TcpStream>> {
        self.connect_by(server, version, &ALPN).await
    }

    async fn connect_by(
        &self,
        server: SocketAddr,
        version: &'static SupportedProtocolVersion,
        protocols: &[&[u8]],
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.cert.der().clone()).map_err(io::Error::other)?;
        let client = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let client = client.with_protocol_versions(&[version]).map_err(io::Error::other)?;
        let mut client = client.with_root_certificates(roots).with_no_client_auth();
        client.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let connection = TcpStream::connect(server).await?;
        let name = ServerName::try_from(NAME).expect("it is a name");
        TlsConnector::from(Arc::new(client)).connect(name, connection).await
    }

    /// Sends a request to `server`, as [`crate::http::send`] does.
    ///
    /// # Errors
    /// When the connection fails or the response is not HTTP.
    pub async fn send(
        &self,
        server: SocketAddr,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<Response> {
        exchange(self.connect(server).await?, method, path, headers, body).await
    }

    /// GETs `path`.
    ///
    /// # Errors
    /// As for [`Self::send`].
    pub async fn get(&self, server: SocketAddr, path: &str) -> io::Result<Response> {
        self.send(server, "GET", path, &[], "").await
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a connection's error means that the server presented another certificate.
pub fn is_another(error: &io::Error) -> bool {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}

/// Sends one request and reads the response, then closes the connection.
///
/// # Errors
/// When the connection fails or the response is not HTTP.
pub async fn exchange(
    mut connection: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<Response> {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\nContent-Length: {length}\r\n");
    connection.write_all(format!("{head}{lines}\r\n{body}").as_bytes()).await?;
    let mut read = Vec::new();
    connection.read_to_end(&mut read).await?;
    let strange = || io::Error::other(format!("no HTTP: {}", String::from_utf8_lossy(&read)));
    let end = read.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(strange)?;
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let (first, rest) = head.split_once("\r\n").ok_or_else(strange)?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(strange)?;
    let pairs = rest.lines().filter_map(|line| line.split_once(':'));
    let headers = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    Ok(Response { status, headers, body: read[end + 4..].to_vec() })
}

/// A folder with the files of a certificate.
#[derive(Debug)]
pub struct Files(TempDir);

impl Files {
    /// Writes the files of `identity`.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn new(identity: &Identity) -> Self {
        let files = Self(tempfile::tempdir().expect("a temporary directory"));
        files.write_certificate(identity);
        files.write_key(identity);
        files
    }

    /// Replaces the certificate.
    pub fn write_certificate(&self, identity: &Identity) {
        self.replace("cert.pem", &identity.0.cert.pem());
    }

    /// Replaces the key.
    pub fn write_key(&self, identity: &Identity) {
        self.replace("key.pem", &identity.0.signing_key.serialize_pem());
    }

    fn replace(&self, name: &str, text: &str) {
        let (new, path) = (self.path("new"), self.path(name));
        std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path)).expect("a folder of the test's own");
    }

    /// The file with the certificate.
    pub fn certificate(&self) -> PathBuf {
        self.path("cert.pem")
    }

    /// The file with the key.
    pub fn key(&self) -> PathBuf {
        self.path("key.pem")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The part of a configuration that names the files.
    pub fn config(&self) -> String {
        format!("[tls]\ncertificate = {:?}\nkey = {:?}\n", self.path("cert.pem"), self.path("key.pem"))
    }
}

/// A viewer's connection.
pub trait Connection: AsyncRead + AsyncWrite + Unpin + Send + Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Debug> Connection for T {}

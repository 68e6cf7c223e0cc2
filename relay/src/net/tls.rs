//! TLS: the configured certificate, which may be renewed while the relay runs, and the handshake.
//!
//! A renewal replaces the files one after the other or both at once, by a rename or a link. The relay therefore rereads them
//! every few seconds and at each SIGHUP. A pair that does not match is logged once and not used. Open connections keep their
//! certificate.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{Error, InconsistentKeys, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, rustls};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::config::Tls;

/// Interval between reads of the files. They are small, and a certificate is renewed weeks before it expires.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The protocols (RFC 7301), the preferred one first. For a WebSocket, browsers offer HTTP/1.1 only.
const ALPN: [&[u8]; 2] = [HTTP_2, b"http/1.1"];
const HTTP_2: &[u8] = b"h2";
/// The first byte of a TLS connection: the record type (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The relay cannot read a file.
    #[error("cannot read {key} {path:?}: {error}{remedy}", remedy = if error.kind() == io::ErrorKind::PermissionDenied {
        "; let the account of the relay read it, such as by its group"
    } else { "" })]
    Read {
        /// The file's configuration key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The file has no certificate in PEM (RFC 7468).
    #[error(
        "tls.certificate {0:?} has no certificate in PEM, which begins with BEGIN CERTIFICATE; if it is in DER, \
         `openssl x509 -inform der -in FILE -out cert.pem` turns it into that"
    )]
    NoCertificate(PathBuf),
    /// The file has no private key in PEM.
    #[error(
        "tls.key {0:?} has no private key in PEM, which begins with BEGIN PRIVATE KEY; if it is in DER, \
         `openssl pkey -inform der -in FILE -out key.pem` turns it into that"
    )]
    NoKey(PathBuf),
    /// The key has a passphrase.
    #[error(
        "tls.key {0:?} is encrypted, and nobody is there to say its passphrase; `openssl pkey -in FILE -out key.pem` \
         writes it without"
    )]
    Encrypted(PathBuf),
    /// The key belongs to another certificate.
    #[error(
        "tls.key {key:?} is not the key of the first certificate in {certificate:?}; the relay's own comes first there, \
         then those between it and its root"
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The TLS library refuses the certificate or the key.
    #[error("the certificate in {0:?} cannot be used with its key: {1}")]
    Unusable(PathBuf, Error),
}

/// The contents of both files, unchecked.
struct CertificatePair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl CertificatePair {
    fn read(files: &Tls) -> Result<Self, TlsError> {
        let read = |key, path: &Path| {
            std::fs::read(path).map_err(|error| TlsError::Read { key, path: path.to_owned(), error })
        };
        Ok(Self { certificate: read("tls.certificate", &files.certificate)?, key: read("tls.key", &files.key)? })
    }

    /// Identifies the contents, to detect a change.
    fn digest(&self) -> Vec<u8> {
        let mut context = Context::new(&SHA256);
        context.update(&self.certificate.len().to_be_bytes());
        context.update(&self.certificate);
        context.update(&self.key);
        context.finish().as_ref().to_vec()
    }

    /// The TLS configuration of connections with this pair.
    fn settings(&self, files: &Tls) -> Result<ServerConfig, TlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsError::NoCertificate(files.certificate.clone()))?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate(files.certificate.clone()));
        }
        // Encrypted keys: RFC 7468, section 11; RFC 1421, section 4.6.1.1, in OpenSSL's form.
        let text = String::from_utf8_lossy(&self.key);
        if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(TlsError::Encrypted(files.key.clone()));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| TlsError::NoKey(files.key.clone()))?;
        let unusable = |error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::Mismatch { certificate: files.certificate.clone(), key: files.key.clone() }
            }
            error => TlsError::Unusable(files.certificate.clone(), error),
        };
        let versions = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let mut settings = versions.with_no_client_auth().with_single_cert(chain, key).map_err(unusable)?;
        settings.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        Ok(settings)
    }
}

/// The certificate in use and its renewal.
#[derive(Debug)]
pub struct Certificate {
    files: Tls,
    current: watch::Sender<Arc<ServerConfig>>,
    /// Digest of the files at the last read, valid or not. `None` if they could not be read.
    seen: Option<Vec<u8>>,
}

/// The certificate in use, for tasks that accept connections.
pub(crate) type CurrentTls = watch::Receiver<Arc<ServerConfig>>;

impl Certificate {
    /// Reads the certificate from its files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(files: &Tls) -> Result<Self, TlsError> {
        let pair = CertificatePair::read(files)?;
        let current = watch::Sender::new(Arc::new(pair.settings(files)?));
        Ok(Self { files: files.clone(), current, seen: Some(pair.digest()) })
    }

    pub(crate) fn current(&self) -> CurrentTls {
        self.current.subscribe()
    }

    /// Rereads the files until `shutdown`.
    pub(crate) async fn follow(mut self, shutdown: CancellationToken) {
        let mut hangup = signal(SignalKind::hangup()).ok();
        loop {
            let asked = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep(CHECK_INTERVAL) => {}
                _ = asked => {}
                () = shutdown.cancelled() => return,
            }
            let files = self.files.clone();
            // Blocking: the files may be on a disk that does not answer.
            let Ok(found) = tokio::task::spawn_blocking(move || CertificatePair::read(&files)).await else { continue };
            self.take(found);
        }
    }

    /// Uses the pair that was read, if it is new and valid. Logs an invalid pair once.
    fn take(&mut self, found: Result<CertificatePair, TlsError>) {
        let seen = found.as_ref().ok().map(CertificatePair::digest);
        if seen == self.seen {
            return;
        }
        self.seen = seen;
        match found.and_then(|pair| pair.settings(&self.files)) {
            Ok(settings) => {
                info!(certificate = ?self.files.certificate, "certificate reloaded");
                self.current.send_replace(Arc::new(settings));
            }
            Err(error) => error!("certificate reload failed; keeping the current certificate: {error}"),
        }
    }
}

/// Waits for the first byte and tells whether it starts a TLS record. Consumes nothing.
pub(crate) async fn is_tls(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 0 || first[0] == HANDSHAKE)
}

/// Performs the handshake, without a time limit.
pub(crate) async fn accept<S>(stream: S, settings: Arc<ServerConfig>) -> io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    TlsAcceptor::from(settings).accept(stream).await
}

/// Whether the handshake agreed on HTTP/2.
pub(crate) fn is_http2<S>(connection: &TlsStream<S>) -> bool {
    connection.get_ref().1.alpn_protocol() == Some(HTTP_2)
}

/// The same settings for a connection that gets an answer in HTTP/1.1 whatever it asks for.
pub(crate) fn without_http2(settings: &ServerConfig) -> Arc<ServerConfig> {
    let mut settings = settings.clone();
    settings.alpn_protocols.retain(|protocol| protocol != HTTP_2);
    Arc::new(settings)
}

#[cfg(test)]
mod tests;

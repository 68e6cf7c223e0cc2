//! TLS: the certificate of the configuration, which may be renewed while the relay runs, and the handshake.
//!
//! Whoever renews a certificate replaces its files, one after the other or both at once, by a rename or a link. So they are
//! read again every few seconds and at each SIGHUP, and what does not go together is told once and not used. Connections
//! that are open keep what they began with.

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

/// Between looks at the files. They are small, and a certificate is renewed weeks before it ends.
const LOOK: Duration = Duration::from_secs(5);
/// The only protocol there is (RFC 7301). A WebSocket needs it, and browsers that know HTTP/2 do not offer it alone.
const ALPN: &[u8] = b"http/1.1";
/// The first byte of whoever speaks TLS: the type of a record (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that the relay cannot read.
    #[error("cannot read {key} {path:?}: {error}{remedy}", remedy = if error.kind() == io::ErrorKind::PermissionDenied {
        "; let the account of the relay read it, such as by its group"
    } else { "" })]
    Read {
        /// The configuration's name for it.
        key: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// No certificate in PEM (RFC 7468).
    #[error(
        "tls.certificate {0:?} has no certificate in PEM, which begins with BEGIN CERTIFICATE; if it is in DER, \
         `openssl x509 -inform der -in FILE -out cert.pem` turns it into that"
    )]
    NoCertificate(PathBuf),
    /// No private key in PEM.
    #[error(
        "tls.key {0:?} has no private key in PEM, which begins with BEGIN PRIVATE KEY; if it is in DER, \
         `openssl pkey -inform der -in FILE -out key.pem` turns it into that"
    )]
    NoKey(PathBuf),
    /// A key with a passphrase.
    #[error(
        "tls.key {0:?} is encrypted, and nobody is there to say its passphrase; `openssl pkey -in FILE -out key.pem` \
         writes it without"
    )]
    Encrypted(PathBuf),
    /// A key of another certificate.
    #[error(
        "tls.key {key:?} is not the key of the first certificate in {certificate:?}; the relay's own comes first there, \
         then those between it and its root"
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's.
        key: PathBuf,
    },
    /// Something that TLS cannot be done with.
    #[error("the certificate in {0:?} cannot be used with its key: {1}")]
    Unusable(PathBuf, Error),
}

/// What is in both files, and nothing said about it yet.
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Pair {
    fn read(files: &Tls) -> Result<Self, TlsError> {
        let read = |key, path: &Path| {
            std::fs::read(path).map_err(|error| TlsError::Read { key, path: path.to_owned(), error })
        };
        Ok(Self { certificate: read("tls.certificate", &files.certificate)?, key: read("tls.key", &files.key)? })
    }

    /// To know it again by.
    fn digest(&self) -> Vec<u8> {
        let mut context = Context::new(&SHA256);
        context.update(&self.certificate.len().to_be_bytes());
        context.update(&self.certificate);
        context.update(&self.key);
        context.finish().as_ref().to_vec()
    }

    /// How connections with it are made.
    fn settings(&self, files: &Tls) -> Result<ServerConfig, TlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsError::NoCertificate(files.certificate.clone()))?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate(files.certificate.clone()));
        }
        // RFC 7468, section 11, and RFC 1421, section 4.6.1.1, as OpenSSL writes it.
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
        settings.alpn_protocols = vec![ALPN.to_vec()];
        Ok(settings)
    }
}

/// The certificate in use, as it is renewed.
#[derive(Debug)]
pub struct Certificate {
    files: Tls,
    current: watch::Sender<Arc<ServerConfig>>,
    /// What was in the files when they were last looked at, good or not; nothing, if they could not be read.
    seen: Option<Vec<u8>>,
}

/// How those who accept connections know it.
pub(super) type Current = watch::Receiver<Arc<ServerConfig>>;

impl Certificate {
    /// The one that the files have now.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(files: &Tls) -> Result<Self, TlsError> {
        let pair = Pair::read(files)?;
        let current = watch::Sender::new(Arc::new(pair.settings(files)?));
        Ok(Self { files: files.clone(), current, seen: Some(pair.digest()) })
    }

    pub(super) fn current(&self) -> Current {
        self.current.subscribe()
    }

    /// Follows the files until `shutdown`.
    pub(super) async fn follow(mut self, shutdown: CancellationToken) {
        let mut hangup = signal(SignalKind::hangup()).ok();
        loop {
            let asked = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep(LOOK) => {}
                _ = asked => {}
                () = shutdown.cancelled() => return,
            }
            let files = self.files.clone();
            // They may be on a disk that does not answer.
            let Ok(found) = tokio::task::spawn_blocking(move || Pair::read(&files)).await else { continue };
            self.take(found);
        }
    }

    /// Uses what was found in the files, if it is something new and good. What is not is told once.
    fn take(&mut self, found: Result<Pair, TlsError>) {
        let seen = found.as_ref().ok().map(Pair::digest);
        if seen == self.seen {
            return;
        }
        self.seen = seen;
        match found.and_then(|pair| pair.settings(&self.files)) {
            Ok(settings) => {
                info!(certificate = ?self.files.certificate, "new connections have the certificate that is there now");
                self.current.send_replace(Arc::new(settings));
            }
            Err(error) => error!("the certificate in use stays until its files are right: {error}"),
        }
    }
}

/// Whether a connection begins as TLS does, once it begins. Nothing is taken from it.
pub(super) async fn is_spoken(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 0 || first[0] == HANDSHAKE)
}

/// The handshake, for as long as the peer takes.
pub(super) async fn accept<S>(stream: S, settings: Arc<ServerConfig>) -> io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    TlsAcceptor::from(settings).accept(stream).await
}

#[cfg(test)]
mod tests;

//! Assembles the relay in the order the data flows, and runs it until it is told to stop.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::http::Extensions;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::access::{self, Access};
use crate::config::Config;
use crate::egress::viewers::Viewers;
use crate::egress::{hls, websocket, whep};
use crate::hub::Hub;
use streams::Streams;

pub use streams::Sources;
pub use tls::{Certificate, TlsError};

mod connections;
pub(crate) mod forwarded;
mod ledger;
mod streams;
mod tls;

/// How much of a viewer's data the kernel holds that has not left yet. The default lets some seconds of video pile up
/// there, out of our reach, on a link that has become slow; a fragment or two keep a fast link busy.
const NOT_SENT: u32 = 64 * 1024;
/// How long a connection may take nothing of what was sent. An HTTP answer has no time limit of its own, and one that is
/// stuck keeps the segment alive that it sends.
#[cfg(any(target_os = "linux", target_os = "android"))]
const STUCK: Duration = Duration::from_secs(30);
/// What viewers and FFmpegs get to end by themselves when the relay stops.
const FAREWELL: Duration = Duration::from_secs(4);

/// Why the relay does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}{remedy}", remedy = if error.kind() == io::ErrorKind::AddrInUse {
        "; another program does: stop it, or choose another port with --listen"
    } else { "" })]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// Everybody who reaches the address could watch, and nobody said that they may.
    #[error(
        "everybody who reaches {0} could watch: set a password, as SIGHTLINE_PASSWORD or in the file that \
             access.password_file names, or a key for access tokens (access.token_key_file), or say access.open = true"
    )]
    Open(SocketAddr),
    /// There is no certificate that the relay could speak TLS with.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address for WebRTC cannot be listened on.
    #[error(
        "cannot listen on {address} for WebRTC: {error}; choose another address with webrtc.listen, or turn it off with \
             webrtc.enabled = false"
    )]
    Webrtc {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
}

/// A relay that listens.
#[derive(Debug)]
pub struct Relay {
    listener: TcpListener,
    certificate: Option<Certificate>,
    webrtc: Option<whep::Bound>,
    config: Config,
}

impl Relay {
    /// Takes the addresses, so that a failure is known before anything else is said or started.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn bind(config: Config) -> Result<Self, ServeError> {
        let address = config.listen;
        if access::refuses(address, config.password.is_some() || config.token_key.is_some(), config.open) {
            return Err(ServeError::Open(address));
        }
        let certificate = config.tls.as_ref().map(Certificate::load).transpose()?;
        let listener = TcpListener::bind(address).await.map_err(|error| ServeError::Listen { address, error })?;
        let webrtc = whep::bind(&config.webrtc, address).await;
        let webrtc = webrtc.map_err(|(address, error)| ServeError::Webrtc { address, error })?;
        Ok(Self { listener, certificate, webrtc, config })
    }

    /// The address that was taken; where the configuration says port 0, the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.config.listen)
    }

    /// The scheme of its pages.
    pub fn scheme(&self) -> &'static str {
        if self.certificate.is_some() { "https" } else { "http" }
    }

    /// Runs until `shutdown`, then says goodbye to viewers and ends every FFmpeg. In between its streams are always those that
    /// came last from `changes`.
    pub async fn run(
        self,
        relay: Option<std::path::PathBuf>,
        changes: mpsc::Receiver<Sources>,
        shutdown: CancellationToken,
    ) {
        let hub = Arc::new(Hub::new(self.config.streams.keys().cloned(), self.config.ring, self.config.low));
        let limits = self.config.limits.clone();
        let settings = Arc::new(self.config.ingest(relay));
        let mut streams = Streams::new(hub.clone(), settings, shutdown.clone());
        streams.set(self.config.streams).await;
        let streams = tokio::spawn(streams.follow(changes));

        let allowed_origins: Arc<[String]> = self.config.allowed_origins.into();
        let (ring, low_kbps) = (self.config.ring.bytes, self.config.low_kbps);
        let hls = hls::Context::new(hub.clone(), ring, low_kbps, allowed_origins.clone(), shutdown.clone());
        let viewers = Viewers::new(limits.clone());
        let whep =
            whep::Whep::start(self.webrtc, hub.clone(), allowed_origins.clone(), viewers.clone(), shutdown.clone());
        let context = websocket::Context { hub, allowed_origins, viewers, shutdown: shutdown.clone() };
        let access = Access::new(self.config.password, self.config.token_key.as_ref());
        let app = crate::api::router(context, hls, whep.clone(), access);
        let certificate = self.certificate.as_ref().map(Certificate::current);
        if let Some(certificate) = self.certificate {
            tokio::spawn(certificate.follow(shutdown.clone()));
        }
        tokio::select! {
            () = connections::serve(self.listener, certificate, app, &limits, shutdown.clone()) => {}
            () = async { shutdown.cancelled().await; tokio::time::sleep(FAREWELL).await } => {}
        }
        let ended = async { tokio::join!(whep.ended(), streams) };
        if tokio::time::timeout(FAREWELL, ended).await.is_err() {
            info!("some sources did not end in time; they end with the relay");
        }
    }
}

/// Lets a connection send what it has.
pub(crate) fn hurry(stream: &TcpStream) {
    // A fragment is late if it waits for the next (RFC 896).
    let set = stream.set_nodelay(true).and_then(|()| SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT));
    if let Err(error) = set {
        debug!(%error, "a connection keeps the system's buffering");
    }
}

/// Has the system close a connection of which nothing is taken.
fn give_up_when_stuck(stream: &TcpStream) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(STUCK)) {
        debug!(%error, "a connection keeps the system's time limit");
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = stream;
}

/// Whether a request came by TLS, as far as this relay does that itself.
pub(crate) fn is_encrypted(extensions: &Extensions) -> bool {
    extensions.get::<ConnectInfo<Reached>>().is_some_and(|ConnectInfo(reached)| reached.encrypted)
}

/// Between which addresses an HTTP connection is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reached {
    /// Ours that it came to.
    pub(crate) address: Option<IpAddr>,
    /// Whose it is: the viewer's, or a proxy's.
    pub(crate) peer: IpAddr,
    /// Whether by TLS.
    pub(crate) encrypted: bool,
}

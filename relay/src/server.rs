//! Assembles the relay in the order the data flows, and runs it until shutdown.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustix::process::{Resource, getrlimit};
use rustix::system::uname;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::access::{self, Access, oidc};
use crate::api;
use crate::cluster;
use crate::config::{Config, Credentials, KeySource};
use crate::egress::snapshot::Snapshots;
use crate::egress::{hls, websocket, whep};
use crate::hub::{Hub, ring};
use crate::ingest::Settings;
use crate::ingest::process::Launcher;
use crate::ingest::supervisor::Supervisor;
use crate::limits::connections::ConnectionLimiter;
use crate::limits::requests::RequestLimiter;
use crate::limits::viewers::ViewerLimiter;
use crate::limits::{LiveLimits, descriptors};
use crate::net::host::HostPolicy;
use crate::net::rejections::Rejections;
use crate::net::tls::{Certificate, TlsError};
use reload::Reload;
pub use reload::ReloadedConfig;

mod connection_context;
mod connections;
mod http2;
mod permitted_connection;
mod read_rate;
mod reload;
mod response_tracker;
#[cfg(test)]
mod tests;
mod write_rate;

/// Time limit for sessions and FFmpeg processes to end at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(4);

/// Maximum connections to the metrics' own listener. One monitoring system needs one or two.
const METRICS_CONNECTIONS: usize = 16;

/// Why the relay does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Listening on the address fails.
    #[error("cannot listen on {address}: {error}{remedy}", remedy = if error.kind() == io::ErrorKind::AddrInUse {
        "; another program does: stop it, or choose another port with --listen"
    } else { "" })]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
    /// Other machines reach the address, no credentials are configured, and `access.open` is not set.
    #[error(
        "everybody who reaches {0} could watch: set a password, as SIGHTLINE_PASSWORD or in the file that \
             access.password_file names, or a key for access tokens (access.token_key_file), or name an identity provider \
             ([oidc]), or say access.open = true"
    )]
    Open(SocketAddr),
    /// Other machines reach the address, and the password is short enough to guess.
    #[error(
        "the password is too short for a relay that other machines reach at {address}: set one of {least} characters or more, as \
             SIGHTLINE_PASSWORD or in the file that access.password_file names"
    )]
    ShortPassword {
        /// The address.
        address: SocketAddr,
        /// The minimum length.
        least: usize,
    },
    /// The configured certificate cannot be used for TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The identity provider's key file has no usable keys.
    #[error(transparent)]
    Keys(#[from] oidc::KeysError),
    /// Listening on the metrics' address fails.
    #[error(
        "cannot listen on {address} for metrics: {error}; choose another address with metrics.listen, or remove it"
    )]
    Metrics {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
    /// Listening on the WebRTC address fails.
    #[error(
        "cannot listen on {address} for WebRTC: {error}; choose another address with webrtc.listen, or turn it off with \
             webrtc.enabled = false"
    )]
    Webrtc {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
}

/// A relay with bound sockets.
#[derive(Debug)]
pub struct Relay {
    listener: TcpListener,
    metrics: Option<TcpListener>,
    certificate: Option<Certificate>,
    webrtc: Option<whep::BoundPort>,
    config: Config,
}

impl Relay {
    /// Binds the sockets, so that a failure is known before anything else is logged or started.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn bind(config: Config) -> Result<Self, ServeError> {
        let address = config.listen;
        check_credentials(address, &config.credentials(), config.oidc.is_some())?;
        // Reads only a key file: a provider's URL may not answer yet when the machine has just started.
        if let Some(file @ KeySource::File(_)) = config.oidc.as_ref().map(|oidc| &oidc.keys) {
            oidc::fetch_key_count(file).await?;
        }
        let certificate = config.tls.as_ref().map(Certificate::load).transpose()?;
        let listener = TcpListener::bind(address).await.map_err(|error| ServeError::Listen { address, error })?;
        let metrics = match config.metrics_listen {
            Some(address) => {
                Some(TcpListener::bind(address).await.map_err(|error| ServeError::Metrics { address, error })?)
            }
            None => None,
        };
        let webrtc = whep::bind(&config.webrtc, address).await;
        let webrtc = webrtc.map_err(|(address, error)| ServeError::Webrtc { address, error })?;
        Ok(Self { listener, metrics, certificate, webrtc, config })
    }

    /// The bound address. If the configuration has port 0, it contains the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.config.listen)
    }

    /// The scheme of the relay's pages.
    pub fn scheme(&self) -> &'static str {
        if self.certificate.is_some() { "https" } else { "http" }
    }

    /// Runs until `shutdown`, then closes sessions with a reason and ends every FFmpeg. Until then, streams, limits and
    /// credentials follow `changes`.
    pub async fn run(
        self,
        relay: Option<std::path::PathBuf>,
        changes: mpsc::Receiver<ReloadedConfig>,
        shutdown: CancellationToken,
    ) {
        let hub = Arc::new(Hub::new(
            self.config.streams.keys().cloned(),
            ring::RingLimits::new(self.config.ring_bytes),
            self.config.low,
        ));
        let limits = LiveLimits::new(self.config.limits.clone());
        let subs = self.config.streams.values().filter(|source| source.sub.is_some()).count();
        let limiter = connection_limiter(self.config.streams.len() + subs, &limits);
        let settings = Arc::new(Settings::new(&self.config, relay, limits.clone()));
        let launcher = settings.launcher.clone();
        let mut supervisor = Supervisor::new(hub.clone(), settings, shutdown.clone());
        supervisor.set(self.config.streams.clone()).await;
        let (listen, provider) = (self.address(), self.config.oidc.is_some());
        let (cluster, linger) = (self.config.cluster.clone(), self.config.linger);
        let Application { router, metrics, access, whep, sessions, cluster: stats } =
            Application::new(self.config, self.webrtc, hub.clone(), launcher, (&limits, &limiter), &shutdown);
        if let (Some(config), Some(stats)) = (cluster, stats) {
            tokio::spawn(cluster::run(config, hub, linger, stats, shutdown.clone()));
        }
        let reload = Reload { supervisor, limits: limits.clone(), access, listen, provider };
        let streams = tokio::spawn(reload.run(changes, shutdown.clone()));
        if let Some(listener) = self.metrics {
            let limiter = ConnectionLimiter::new(limits.clone(), METRICS_CONNECTIONS);
            let (limits, shutdown) = (limits.clone(), shutdown.clone());
            tokio::spawn(async move {
                connections::serve(listener, None, metrics, &limits, limiter, shutdown).await;
            });
        }
        let certificate = self.certificate.as_ref().map(Certificate::current);
        if let Some(certificate) = self.certificate {
            tokio::spawn(certificate.follow(shutdown.clone()));
        }
        tokio::select! {
            () = connections::serve(self.listener, certificate, router, &limits, limiter, shutdown.clone()) => {}
            () = async { shutdown.cancelled().await; tokio::time::sleep(SHUTDOWN_GRACE).await } => {}
        }
        sessions.close();
        let ended = async { tokio::join!(whep.ended(), streams, sessions.wait()) };
        if tokio::time::timeout(SHUTDOWN_GRACE, ended).await.is_err() {
            info!("some sources or sessions did not end in time; they end with the relay");
        }
    }
}

/// Whether a relay that listens on `address` may have these credentials.
fn check_credentials(address: SocketAddr, credentials: &Credentials, provider: bool) -> Result<(), ServeError> {
    if access::refuses(address, credentials.are_any(provider), credentials.open) {
        return Err(ServeError::Open(address));
    }
    if credentials.password.as_ref().is_some_and(|password| access::is_too_short(address, password)) {
        return Err(ServeError::ShortPassword { address, least: access::PASSWORD_MIN });
    }
    Ok(())
}

/// Limits connections to the file descriptors of this process, and logs the result.
fn connection_limiter(sources: usize, limits: &LiveLimits) -> ConnectionLimiter {
    let (open_files, now) = (getrlimit(Resource::Nofile).current, limits.now());
    let capacity = descriptors::capacity(open_files, sources, now.transcodes);
    let (connections, configured) = (now.connections.min(capacity), now.connections);
    info!(
        connections,
        configured, open_files, "limit of connections, by limits.connections and the limit of open files"
    );
    ConnectionLimiter::new(limits.clone(), capacity)
}

/// The routes, and the sessions behind them.
struct Application {
    router: Router,
    /// The routes of the metrics' own listener.
    metrics: Router,
    access: Access,
    whep: whep::Whep,
    sessions: TaskTracker,
    /// Counts of the cluster, if the relay is part of one.
    cluster: Option<Arc<cluster::stats::Stats>>,
}

impl Application {
    fn new(
        config: Config,
        webrtc: Option<whep::BoundPort>,
        hub: Arc<Hub>,
        launcher: Launcher,
        (limits, limiter): (&LiveLimits, &ConnectionLimiter),
        shutdown: &CancellationToken,
    ) -> Self {
        let machine = uname().nodename().to_str().ok().map(str::to_owned);
        // The metrics' own listener has no credentials.
        let metrics_hosts = HostPolicy::new(false, &config.allowed_hosts, machine.clone());
        let credentials = config.credentials();
        let hosts = HostPolicy::new(credentials.are_any(config.oidc.is_some()), &config.allowed_hosts, machine);
        let options = api::Options {
            access_log: config.access_log,
            hsts_seconds: config.tls.as_ref().and_then(|tls| tls.hsts_seconds),
        };
        let allowed_origins: Arc<[String]> = config.allowed_origins.into();
        let (ring, low_kbps) = (config.ring_bytes, config.low_kbps);
        let viewers = ViewerLimiter::new(limits.clone());
        let (origins, stop) = (allowed_origins.clone(), shutdown.clone());
        let hls = hls::HlsContext::new(hub.clone(), ring, low_kbps, origins, viewers.clone(), stop);
        let (sessions, rejections) = (TaskTracker::new(), Rejections::default());
        let gate = whep::ConnectionGate::new(limiter.clone(), rejections.clone());
        let origins = allowed_origins.clone();
        let whep = whep::Whep::start(webrtc, hub.clone(), origins, viewers.clone(), gate, shutdown.clone());
        let cluster = config.cluster.is_some().then(Arc::default);
        let sources = api::metrics::Sources { hub: hub.clone(), rejections: rejections.clone(), cluster };
        let metrics = api::metrics_router(sources.clone(), metrics_hosts);
        let snapshots = Snapshots::new(hub.clone(), launcher, allowed_origins.clone());
        let context = websocket::WebSocketContext {
            hub,
            allowed_origins,
            viewers,
            shutdown: shutdown.clone(),
            sessions: sessions.clone(),
            rejections: rejections.clone(),
        };
        let oidc = config.oidc.map(|oidc| oidc::OidcVerifier::start(oidc, shutdown.clone()));
        let access = Access::new(&credentials, oidc, limits.clone(), rejections);
        let requests = RequestLimiter::new(limits.clone());
        let cluster = sources.cluster.clone();
        let protected = (access.clone(), sources);
        let router = api::router(context, (hls, whep.clone(), snapshots), protected, (hosts, requests), options);
        Self { router, metrics, access, whep, sessions, cluster }
    }
}

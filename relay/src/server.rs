//! Assembles the relay in the order the data flows, and runs it until it is told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use crate::config::Config;
use crate::egress::{hls, websocket};
use crate::hub::Hub;
use crate::ingest;
use crate::ingest::process::Launcher;

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
    /// Accepting connections failed for good.
    #[error("the server failed: {0}")]
    Serve(io::Error),
}

/// A relay that listens.
#[derive(Debug)]
pub struct Relay {
    listener: TcpListener,
    config: Config,
}

impl Relay {
    /// Takes the address, so that a failure is known before anything else is said or started.
    ///
    /// # Errors
    /// [`ServeError::Listen`].
    pub async fn bind(config: Config) -> Result<Self, ServeError> {
        let address = config.listen;
        let listener = TcpListener::bind(address).await.map_err(|error| ServeError::Listen { address, error })?;
        Ok(Self { listener, config })
    }

    /// The address that was taken; where the configuration says port 0, the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.config.listen)
    }

    /// Runs until `shutdown`, then says goodbye to viewers and ends every FFmpeg.
    ///
    /// # Errors
    /// [`ServeError::Serve`].
    pub async fn run(self, relay: Option<std::path::PathBuf>, shutdown: CancellationToken) -> Result<(), ServeError> {
        let hub = Arc::new(Hub::new(self.config.streams.keys().cloned(), self.config.ring, self.config.low));
        let settings = Arc::new(ingest::Settings {
            launcher: Launcher { ffmpeg: self.config.ffmpeg, relay },
            encoding: self.config.encoding,
            low_kbps: self.config.low_kbps,
            linger: self.config.linger,
            silence: self.config.silence,
        });
        let tasks = TaskTracker::new();
        for (name, source) in self.config.streams {
            if let Some(stream) = hub.stream(&name) {
                ingest::start(stream, &source, &settings, &tasks, &shutdown);
            }
        }
        tasks.close();

        let allowed_origins: Arc<[String]> = self.config.allowed_origins.into();
        let (ring, low_kbps) = (self.config.ring.bytes, self.config.low_kbps);
        let hls = hls::Context::new(&hub, ring, low_kbps, allowed_origins.clone(), &shutdown);
        let context = websocket::Context { hub, allowed_origins, shutdown: shutdown.clone() };
        let app = crate::api::router(context, hls);
        let listener = self.listener.tap_io(|stream| {
            // A fragment is late if it waits for the next (RFC 896).
            if let Err(error) =
                stream.set_nodelay(true).and_then(|()| SockRef::from(&*stream).set_tcp_notsent_lowat(NOT_SENT))
            {
                debug!(%error, "a connection keeps the system's buffering");
            }
            #[cfg(any(target_os = "linux", target_os = "android"))]
            if let Err(error) = SockRef::from(&*stream).set_tcp_user_timeout(Some(STUCK)) {
                debug!(%error, "a connection keeps the system's time limit");
            }
        });
        let serve = axum::serve(listener, app).with_graceful_shutdown(shutdown.clone().cancelled_owned());
        tokio::select! {
            served = serve => served.map_err(ServeError::Serve)?,
            () = async { shutdown.cancelled().await; tokio::time::sleep(FAREWELL).await } => {}
        }
        if tokio::time::timeout(FAREWELL, tasks.wait()).await.is_err() {
            info!("some sources did not end in time; they end with the relay");
        }
        Ok(())
    }
}

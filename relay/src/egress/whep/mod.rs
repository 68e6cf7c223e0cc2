//! `POST /whep/{stream}`: the same fragments over WebRTC (draft-ietf-wish-whep), from the relay itself.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`http`], [`refusal`], [`links`], [`fragment`] | requests and answers |
//! | [`endpoint`] | makes sessions and finds them |
//! | [`payload`] | which codecs the viewer takes, and how they are numbered |
//! | [`network`], [`table`], [`address`] | one port for all viewers, and whose a packet is |
//! | [`session`] | one viewer: the loop around str0m, which knows ICE, DTLS, SRTP and SDP |
//! | [`feed`], [`annex_b`], [`rtp_time`] | from the ring to pictures as RTP takes them |
//! | [`pace`], [`replay`], [`life`] | how fast, how often again, how long |
//!
//! A viewer is a cursor and an ICE-lite agent. A picture is converted when it is its turn, and nothing is queued behind it.
//! Those that have been answered and do not come are bounded in number and in time.

mod address;
mod annex_b;
mod endpoint;
mod feed;
mod fragment;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod http;
mod life;
mod links;
mod network;
mod pace;
mod payload;
mod refusal;
mod replay;
mod rtp_time;
mod session;
mod table;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::Webrtc;
use crate::egress::viewers::Viewers;
use crate::hub::Hub;
use endpoint::Endpoint;
use network::Port;
use refusal::Refusal;

pub(crate) use http::router;

/// The port where the configuration has none: beside those of MediaMTX and go2rtc, which may run on the same machine.
const DEFAULT_PORT: u16 = 8190;

/// The port, taken before anything is said or started.
#[derive(Debug)]
pub(crate) struct Bound {
    port: Port,
    settings: Webrtc,
}

/// Takes the port; none where WebRTC is turned off. `http` is where HTTP listens.
pub(crate) async fn bind(settings: &Webrtc, http: SocketAddr) -> Result<Option<Bound>, (SocketAddr, io::Error)> {
    if !settings.enabled {
        return Ok(None);
    }
    let default = SocketAddr::new(http.ip(), if http.port() == 0 { 0 } else { DEFAULT_PORT });
    let listen = settings.listen.unwrap_or(default);
    let port = match Port::bind(settings, listen).await {
        Err(error) if settings.listen.is_none() && error.kind() == io::ErrorKind::AddrInUse => {
            warn!(%listen, "another program has the port for WebRTC; webrtc.listen chooses one, now the system does");
            Port::bind(settings, SocketAddr::new(http.ip(), 0)).await
        }
        taken => taken,
    };
    let port = port.map_err(|error| (listen, error))?;
    Ok(Some(Bound { port, settings: settings.clone() }))
}

/// WHEP, or the knowledge that it is turned off.
#[derive(Clone)]
pub struct Whep {
    allowed_origins: Arc<[String]>,
    viewers: Viewers,
    endpoint: Option<Arc<Endpoint>>,
}

impl Whep {
    /// Serves the port until `shutdown`; without one, says that there is none.
    pub(crate) fn start(
        bound: Option<Bound>,
        hub: Arc<Hub>,
        allowed_origins: Arc<[String]>,
        viewers: Viewers,
        shutdown: CancellationToken,
    ) -> Self {
        let endpoint = bound.and_then(|bound| Endpoint::start(bound, hub, shutdown)).map(Arc::new);
        Self { allowed_origins, viewers, endpoint }
    }

    /// Whether there is a port for it.
    pub(crate) fn is_on(&self) -> bool {
        self.endpoint.is_some()
    }

    /// Waits until every session has ended, which they do on shutdown.
    pub(crate) async fn ended(&self) {
        if let Some(endpoint) = &self.endpoint {
            endpoint.tasks.wait().await;
        }
    }

    fn allowed_origins(&self) -> &[String] {
        &self.allowed_origins
    }

    fn endpoint(&self) -> Result<&Endpoint, Refusal> {
        self.endpoint.as_deref().ok_or(Refusal::TurnedOff)
    }
}

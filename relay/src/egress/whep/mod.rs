//! `POST /whep/{stream}`: the shared fragments over WebRTC (draft-ietf-wish-whep), from the relay itself.
//!
//! | module | responsibility |
//! | --- | --- |
//! | [`http`], [`error`], [`ice_links`], [`sdp_fragment`] | requests and responses |
//! | [`endpoint`] | creates and finds sessions |
//! | [`signalling`] | sessions for offers over another connection than HTTP |
//! | [`payload`], [`answer`] | the viewer's codecs, and the SDP answer |
//! | [`network`], [`ice_tcp`], [`demux`], [`inbox`], [`address`] | one port for all viewers, and the session of each packet |
//! | [`paths`], [`consent`], [`stun`] | the viewer's addresses, and which of them get packets |
//! | [`session`] | one viewer: the loop around str0m, which implements ICE, DTLS, SRTP and SDP |
//! | [`frame_reader`], [`annex_b`], [`rtp_time`] | from the ring to frames in RTP's form |
//! | [`audio`], [`track`] | the stream's sound, on the clock of its video |
//! | [`channel`] | announces epochs to the viewer |
//! | [`pacer`], [`keyframe_limiter`], [`timeout`] | bursts, repeated GOPs, time limits |
//!
//! A viewer costs a cursor and an ICE-lite agent. A frame is converted when it is sent, and no queue follows. Sessions without
//! a connected viewer are limited in number and time. An address gets packets only while it answers ([`consent`]).

mod address;
mod annex_b;
mod answer;
mod audio;
mod channel;
mod consent;
mod demux;
mod endpoint;
mod error;
mod frame_reader;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod http;
mod ice_links;
mod ice_tcp;
mod inbox;
mod keyframe_limiter;
mod network;
mod pacer;
mod paths;
mod payload;
mod rtp_time;
mod sdp_fragment;
mod session;
mod signalling;
mod stun;
#[cfg(test)]
pub(crate) mod test_viewer;
mod timeout;
mod track;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::Webrtc;
use crate::hub::Hub;
use crate::limits::viewers::ViewerLimiter;
use endpoint::Endpoint;
use error::WhepError;
use network::Port;

pub(crate) use http::router;
pub(crate) use ice_tcp::ConnectionGate;
pub(in crate::egress) use signalling::{Negotiation, OfferingViewer};

/// The default port, different from those of MediaMTX and go2rtc, which may run on the same machine.
const DEFAULT_PORT: u16 = 8190;

/// The bound port.
#[derive(Debug)]
pub(crate) struct BoundPort {
    port: Port,
    settings: Webrtc,
}

/// Binds the port. `None` if WebRTC is disabled. `http` is HTTP's address.
pub(crate) async fn bind(settings: &Webrtc, http: SocketAddr) -> Result<Option<BoundPort>, (SocketAddr, io::Error)> {
    if !settings.enabled {
        return Ok(None);
    }
    let default = SocketAddr::new(http.ip(), if http.port() == 0 { 0 } else { DEFAULT_PORT });
    let listen = settings.listen.unwrap_or(default);
    let port = match Port::bind(settings, listen).await {
        Err(error) if settings.listen.is_none() && error.kind() == io::ErrorKind::AddrInUse => {
            warn!(%listen, "the WebRTC port is in use; using a port that the system chose (webrtc.listen sets one)");
            Port::bind(settings, SocketAddr::new(http.ip(), 0)).await
        }
        taken => taken,
    };
    let port = port.map_err(|error| (listen, error))?;
    Ok(Some(BoundPort { port, settings: settings.clone() }))
}

/// The state of WHEP's routes; without an endpoint if WebRTC is disabled.
#[derive(Clone)]
pub struct Whep {
    allowed_origins: Arc<[String]>,
    viewers: ViewerLimiter,
    endpoint: Option<Arc<Endpoint>>,
}

impl Whep {
    /// Serves the port until `shutdown`, within the limits of `connections`. Without a port, refuses all requests.
    pub(crate) fn start(
        bound: Option<BoundPort>,
        hub: Arc<Hub>,
        allowed_origins: Arc<[String]>,
        viewers: ViewerLimiter,
        connections: ConnectionGate,
        shutdown: CancellationToken,
    ) -> Self {
        let endpoint = bound.and_then(|bound| Endpoint::start(bound, hub, connections, shutdown)).map(Arc::new);
        Self { allowed_origins, viewers, endpoint }
    }

    /// Whether WebRTC is enabled.
    pub(crate) fn is_on(&self) -> bool {
        self.endpoint.is_some()
    }

    /// Waits until every session has ended after shutdown.
    pub(crate) async fn ended(&self) {
        if let Some(endpoint) = &self.endpoint {
            endpoint.tasks.wait().await;
        }
    }

    fn allowed_origins(&self) -> &[String] {
        &self.allowed_origins
    }

    fn endpoint(&self) -> Result<&Endpoint, WhepError> {
        self.endpoint.as_deref().ok_or(WhepError::TurnedOff)
    }
}

//! One connection: what serving it needs, and HTTP/1 on it.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::write_rate::{Upgraded, WriteRate};
use crate::config::Limits;
use crate::net::peer::PeerInfo;

/// Serves one connection.
pub(super) struct ConnectionContext {
    pub(super) app: Router,
    pub(super) peer: PeerInfo,
    pub(super) limits: Arc<Limits>,
    pub(super) shutdown: CancellationToken,
}

impl ConnectionContext {
    pub(super) fn new(app: Router, peer: PeerInfo, limits: Arc<Limits>, shutdown: CancellationToken) -> Self {
        Self { app, peer, limits, shutdown }
    }

    /// Serves HTTP/1 until the connection ends or is upgraded.
    pub(super) async fn serve(self, connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { app, peer, limits, shutdown } = self;
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(limits.header).max_header_size(limits.header_bytes);
        let upgraded = Upgraded::default();
        let connection = TokioIo::new(WriteRate::new(connection, upgraded.clone()));
        let service = service_fn(move |request| {
            let (answer, upgraded) = (answer(app.clone(), peer, request), upgraded.clone());
            async move {
                let response = answer.await?;
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    upgraded.set();
                }
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = pin!(http.serve_connection(connection, service).with_upgrades());
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = served {
            debug!(%error, "a connection ended");
        }
    }
}

/// The application's answer to a request of `peer`.
pub(super) async fn answer(
    app: Router,
    peer: PeerInfo,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    TowerToHyperService::new(app).call(request).await
}

//! `GET /api/streams/{stream}`: one stream's entry of the catalogue. The route is shared with the stream's snapshot: a stream's
//! name may contain slashes, so the router cannot distinguish them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use sightline_protocol::address::Address;
use sightline_protocol::stream::StreamName;
use tokio::time::Instant;

use super::catalogue::stream_info;
use crate::egress::address::Requested;
use crate::egress::no_stream;
use crate::egress::snapshot::Snapshots;
use crate::hub::Hub;

/// The route's handler.
pub(super) async fn stream(
    State((hub, snapshots)): State<(Arc<Hub>, Snapshots)>,
    Requested(address): Requested,
    request: Request,
) -> Response {
    match address {
        Ok(Address::Stream(name)) => entry(&hub, &name),
        address => snapshots.serve(address, request).await.into_response(),
    }
}

fn entry(hub: &Hub, name: &StreamName) -> Response {
    let headers = [(CACHE_CONTROL, "no-store")];
    match hub.stream(name) {
        Some(stream) => (headers, Json(stream_info(name, &stream, Instant::now()))).into_response(),
        None => (StatusCode::NOT_FOUND, headers, format!("{}\n", no_stream(name))).into_response(),
    }
}

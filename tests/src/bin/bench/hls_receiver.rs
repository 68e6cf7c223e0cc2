//! An LL-HLS viewer without a browser. It requests the playlist that contains the next part (RFC 8216bis, section 6.2.5.2),
//! then the part, on one connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sightline_tests::playlist::Playlist;
use tokio_tungstenite::tungstenite::Bytes;

use crate::delay::Arrivals;

/// Receives this stream until a request fails.
pub(crate) async fn receive(
    relay: SocketAddr,
    stream: &'static str,
    received: Arc<AtomicU64>,
    mut arrivals: Option<Arrivals>,
) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let folder = format!("http://{relay}/hls/{stream}/copy");
    let mut query = String::new();
    let mut last: Option<String> = None;
    while let Some(text) = get(&client, format!("{folder}/media.m3u8{query}"), &received).await {
        let playlist = Playlist::read(&String::from_utf8_lossy(&text));
        let (segment, part) = playlist.edge();
        query = format!("?_HLS_msn={segment}&_HLS_part={part}&_HLS_skip=YES");
        let parts: Vec<&str> =
            playlist.segments.iter().flat_map(|segment| &segment.parts).map(|part| part.1.as_str()).collect();
        // A new receiver starts with the newest part: the bench measures the stream, not the start.
        let known = last.as_deref().and_then(|last| parts.iter().position(|part| *part == last));
        let next = known.map_or(parts.len().saturating_sub(1), |known| known + 1);
        for name in &parts[next..] {
            let Some(part) = get(&client, format!("{folder}/{name}"), &received).await else { return };
            if let Some(arrivals) = &mut arrivals {
                arrivals.feed(&part);
            }
        }
        last = parts.last().map(|&name| name.to_owned());
    }
}

/// None unless the relay answers with success.
async fn get(client: &Client<HttpConnector, Empty<Bytes>>, url: String, received: &AtomicU64) -> Option<Bytes> {
    let answer = client.get(url.parse().ok()?).await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    let mut body = answer.into_body();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame.ok()?.into_data() {
            received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            all.extend_from_slice(&bytes);
        }
    }
    Some(all.into())
}

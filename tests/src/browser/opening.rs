//! Measures any page's time to its first frame. The page is opened through an [`Injector`], so that the measuring script runs
//! before the page's own.

use std::time::Duration;

use serde::Deserialize;

use super::Browser;
use crate::http::Injector;
use crate::run::until;

/// Records both times in the page.
pub const LOOK_ON: &str = concat!("{", include_str!("videos.js"), include_str!("opening.js"), "}");

/// Times of a page's events, in ms since its navigation began.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Opening {
    /// The first request for media: a WebSocket, a peer connection or a playlist request. None if the browser requests media
    /// itself.
    pub connected: Option<f64>,
    /// The first frame.
    pub shown: Option<f64>,
}

impl Browser {
    /// Opens a page through an injector of [`LOOK_ON`] and waits for its first frame. `shown` is none if no frame came within
    /// `limit`.
    pub async fn time_opening(&self, way: &Injector, path: &str, limit: Duration) -> Opening {
        self.leave().await;
        self.open(&way.url(path)).await;
        let read = async || {
            let opening = self.script("return window.sightlineOpening ?? null", vec![]).await;
            serde_json::from_value::<Opening>(opening).ok().filter(|opening| opening.shown.is_some())
        };
        let shown = tokio::time::timeout(limit, until("the first picture", limit * 2, read)).await;
        shown.unwrap_or(Opening { connected: None, shown: None })
    }
}

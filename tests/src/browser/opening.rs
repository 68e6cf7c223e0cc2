//! How long a page of anybody's takes to its first picture. The page is opened by way of an [`Injector`], so that a script
//! that looks on is there before the page's own.

use std::time::Duration;

use serde::Deserialize;

use super::Browser;
use crate::http::Injector;
use crate::run::until;

/// Notes both times in the page.
pub const LOOK_ON: &str = concat!("{", include_str!("videos.js"), include_str!("opening.js"), "}");

/// When things happened in a page, in ms since its navigation began.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Opening {
    /// It first asked for media: opened a WebSocket, made a peer connection, requested a playlist. None where the browser does
    /// that by itself.
    pub connected: Option<f64>,
    /// It showed its first picture.
    pub shown: Option<f64>,
}

impl Browser {
    /// Opens a page by a way that carries [`LOOK_ON`], and waits for its first picture; none has come after `limit` where
    /// `shown` is none.
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

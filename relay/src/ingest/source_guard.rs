//! What stands between FFmpeg and the network of its source.
//!
//! | source | guard | why |
//! | --- | --- | --- |
//! | `rtsp` | [`RtspGuard`] | no redirect; bounded messages; logs in, so that FFmpeg's arguments hold no password |
//! | `http`, `https`, `rtsps`, `rtmps` | [`HttpGuard`] | connections to the source's host only |
//! | others | none | they have no redirects |
//!
//! FFmpeg's options can ask for a connection that the guards do not know, such as RTSP inside HTTP; then there is none.

use std::time::Duration;

use sightline_protocol::message::OfflineReason;
use tokio::time::timeout;

use super::confinement::TcpAccess;
use super::diagnosis::{Diagnosis, diagnose};
use super::ffmpeg;
use super::http_guard::{HttpGuard, OTHER_HOST};
use super::publisher::StopReason;
use super::rtsp_guard::{MediaBudget, Refusal, RtspGuard};
use crate::config::{Source, SourceUrl};

/// See the [module](self).
#[derive(Debug)]
pub(super) enum SourceGuard {
    None,
    Rtsp(RtspGuard),
    Http(HttpGuard),
}

impl SourceGuard {
    /// Opens the guard of `source`, within `limit`.
    ///
    /// # Errors
    /// The camera cannot be reached, in words that [`diagnose`] knows.
    pub(super) async fn open(source: &Source, limit: Duration) -> Result<Self, String> {
        let Some((url, login)) = source.url.parts().filter(|_| !ffmpeg::connects_itself(source)) else {
            return Ok(Self::None);
        };
        let opened = match (url.scheme(), url.host_str()) {
            ("rtsp", Some(_)) => {
                let opened = timeout(limit, RtspGuard::open(&url, login, MediaBudget::Counted)).await;
                opened.map(|opened| opened.map(Self::Rtsp))
            }
            ("http" | "https" | "rtsps" | "rtmps", Some(host)) => {
                let hosts = std::iter::once(host.to_owned()).chain(source.redirect_hosts.iter().cloned());
                Ok(HttpGuard::open(hosts, limit).await.map(Self::Http))
            }
            _ => return Ok(Self::None),
        };
        match opened {
            Ok(Ok(guard)) => Ok(guard),
            Ok(Err(error)) => Err(source.url.redact(&error.to_string())),
            // As FFmpeg says it.
            Err(_) => Err("Connection timed out".to_owned()),
        }
    }

    /// The address for FFmpeg in place of the source's.
    pub(super) fn url(&self) -> Option<SourceUrl> {
        match self {
            Self::Rtsp(guard) => Some(SourceUrl::new(guard.url().as_str())),
            Self::None | Self::Http(_) => None,
        }
    }

    /// Where FFmpeg connects to.
    pub(super) fn network(&self) -> TcpAccess {
        match self {
            Self::None => TcpAccess::Any,
            Self::Rtsp(guard) => guard.url().port().map_or(TcpAccess::Any, TcpAccess::Guard),
            Self::Http(guard) => TcpAccess::Proxy(guard.port()),
        }
    }

    /// Returns once the source has led to another host.
    pub(super) async fn refused(&self) -> StopReason {
        match self {
            // FFmpeg's connection ends with it.
            Self::None | Self::Rtsp(_) => std::future::pending().await,
            Self::Http(guard) => guard.refused().await,
        }
        StopReason::Refused(OTHER_HOST.to_owned())
    }

    /// Why the guard refused the source or, if it has not `played`, could not reach it.
    pub(super) fn diagnosis(&self, played: bool) -> Option<Diagnosis> {
        let failed = |message| Diagnosis { reason: OfflineReason::Failed, message };
        match self {
            Self::None => None,
            Self::Rtsp(guard) => guard.refusal().map(|refusal| match refusal {
                Refusal::Challenge(_) => {
                    Diagnosis { reason: OfflineReason::Unauthorized, message: refusal.to_string() }
                }
                refusal => failed(refusal.to_string()),
            }),
            Self::Http(guard) => guard.error().filter(|_| !played).and_then(|error| diagnose(&error)),
        }
    }
}

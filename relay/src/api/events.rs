//! `GET /api/events`: what `GET /api/streams` tells, when it changes, as server-sent events (HTML standard, section 9.2).
//!
//! | event | data | when |
//! | --- | --- | --- |
//! | `streams` | what `GET /api/streams` answers | at first, and when streams come or go |
//! | `stream` | one of its `streams` | when that one's state, viewers, codec or notes change |
//!
//! Measured rates change all the time and are no event. Whoever was away asks again and is told everything: there are no
//! event numbers to remember.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream, StreamExt};
use sightline_protocol::catalogue::{Catalogue, StreamInfo, VariantInfo};
use sightline_protocol::message::StreamState;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::access::Rights;
use crate::hub::Hub;

/// What changes together is told together: a viewer who comes starts a source.
const TOGETHER: Duration = Duration::from_millis(100);
/// So that proxies do not take the connection for an idle one.
const ALIVE: Duration = Duration::from_secs(15);

/// What the route needs.
#[derive(Debug, Clone)]
pub(super) struct Feed {
    pub(super) hub: Arc<Hub>,
    pub(super) webrtc: bool,
    pub(super) shutdown: CancellationToken,
}

/// The route's handler.
pub(super) async fn events(
    State(feed): State<Feed>,
    Extension(rights): Extension<Rights>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stopped = feed.shutdown.clone().cancelled_owned();
    let listener = Listener { changes: feed.hub.changes().watch(), feed, rights, told: None };
    let news = stream::unfold(listener, Listener::next).flat_map(stream::iter);
    Sse::new(news.take_until(stopped).map(Ok)).keep_alive(KeepAlive::new().interval(ALIVE))
}

/// Somebody who is told.
struct Listener {
    feed: Feed,
    rights: Rights,
    changes: watch::Receiver<()>,
    /// Nothing at first.
    told: Option<Vec<StreamInfo>>,
}

impl Listener {
    /// The next events, once there are any.
    async fn next(mut self) -> Option<(Vec<Event>, Self)> {
        loop {
            if self.told.is_some() {
                // The hub has the sender.
                self.changes.changed().await.ok()?;
                sleep(TOGETHER).await;
            }
            self.changes.mark_unchanged();
            let mut catalogue = self.feed.hub.catalogue(Instant::now(), self.feed.webrtc);
            catalogue.streams.retain(|stream| self.rights.cover(stream.name.as_str()));
            let news: Vec<_> = news(&mut self.told, catalogue).iter().filter_map(News::event).collect();
            if !news.is_empty() {
                return Some((news, self));
            }
        }
    }
}

/// What somebody is told.
#[derive(Debug, Clone, PartialEq)]
enum News {
    All(Catalogue),
    One(StreamInfo),
}

impl News {
    fn event(&self) -> Option<Event> {
        // What we write as JSON has nothing that cannot be.
        match self {
            Self::All(catalogue) => Event::default().event("streams").json_data(catalogue).ok(),
            Self::One(stream) => Event::default().event("stream").json_data(stream).ok(),
        }
    }
}

/// What to tell somebody who was `told` that before, and what has been told then.
fn news(told: &mut Option<Vec<StreamInfo>>, catalogue: Catalogue) -> Vec<News> {
    let now: Vec<_> = catalogue.streams.iter().map(without_measures).collect();
    let names = |streams: &[StreamInfo]| streams.iter().map(|stream| stream.name.clone()).collect::<Vec<_>>();
    match told.replace(now.clone()) {
        Some(before) if names(&before) == names(&now) => {
            let changed = catalogue.streams.into_iter().zip(before.iter().zip(&now));
            changed.filter(|(_, (before, now))| before != now).map(|(stream, _)| News::One(stream)).collect()
        }
        _ => vec![News::All(catalogue)],
    }
}

/// What is not different by the time alone.
fn without_measures(stream: &StreamInfo) -> StreamInfo {
    let state = |state: &StreamState| match state.clone() {
        StreamState::Offline { reason, message, .. } => StreamState::Offline { reason, message, retry_in_ms: 0 },
        state => state,
    };
    let variant =
        |of: &VariantInfo| VariantInfo { state: state(&of.state), frame_rate: None, bit_rate: None, ..of.clone() };
    let mut stream = StreamInfo {
        state: state(&stream.state),
        variants: stream.variants.iter().map(variant).collect(),
        ..stream.clone()
    };
    if let Some(audio) = &mut stream.audio {
        audio.bit_rate = None;
    }
    stream
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::rendition::{Purpose, Status, Way};
    use crate::hub::ring::Limits;
    use sightline_protocol::message::OfflineReason;
    use sightline_protocol::stream::{StreamName, Variant};

    fn name(text: &str) -> StreamName {
        text.parse().unwrap()
    }

    #[test]
    fn everything_is_told_once_and_then_what_has_changed() {
        let hub = Hub::new([name("yard"), name("gate")], Limits::default(), true);
        let now = Instant::now();
        let mut told = None;
        let mut ask = |now| news(&mut told, hub.catalogue(now, false));
        assert!(matches!(ask(now).as_slice(), [News::All(all)] if all.streams.len() == 2));
        assert_eq!(ask(now), []);

        let viewer = hub.stream(&name("gate")).unwrap().rendition(Variant::Copy).subscribe(Purpose::View(Way::Mse));
        let told_now = ask(now);
        let [News::One(gate)] = told_now.as_slice() else { panic!("{told_now:?}") };
        assert_eq!((gate.name.as_str(), gate.variants[0].viewers), ("gate", 1));

        // Nearer to the next try is nothing new.
        let retry_at = now + Duration::from_secs(8);
        viewer.rendition().fail(Status::Offline { reason: OfflineReason::Failed, message: "no".into(), retry_at });
        assert_eq!(ask(now).len(), 1);
        assert_eq!(ask(now + Duration::from_secs(2)), []);

        hub.set([name("yard")]);
        assert!(matches!(ask(now).as_slice(), [News::All(all)] if all.streams.len() == 1));
    }
}

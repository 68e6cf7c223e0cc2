//! `GET /api/events`: changes of `GET /api/streams` as server-sent events (HTML standard, section 9.2).
//!
//! | event | data | when |
//! | --- | --- | --- |
//! | `streams` | the response of `GET /api/streams` | first, and when streams are added or removed |
//! | `expired` | a sentence | last, when the credential of the request expires or is revoked |
//! | `stream` | one element of its `streams` | when that stream's state, viewers, codec or notes change |
//!
//! Measured rates change all the time and cause no event. A client that reconnects gets the whole catalogue again, so events
//! have no ids.

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

use super::catalogue::catalogue;
use crate::access::{ByCookie, Expiry, Permissions};
use crate::hub::Hub;

/// Collects changes with one cause into one event: a new viewer starts a source.
const TOGETHER: Duration = Duration::from_millis(100);
/// Keep-alive interval, so that proxies do not close an idle connection.
const ALIVE: Duration = Duration::from_secs(15);
/// The data of the event `expired`.
const EXPIRED: &str =
    "the access token or the sign-in has expired or was revoked: ask for a new token, or sign in again";

/// The route's state.
#[derive(Debug, Clone)]
pub(super) struct EventsState {
    pub(super) hub: Arc<Hub>,
    pub(super) webrtc: bool,
    pub(super) shutdown: CancellationToken,
}

/// The route's handler.
pub(super) async fn events(
    State(feed): State<EventsState>,
    Extension(permissions): Extension<Permissions>,
    expiry: Option<Extension<Expiry>>,
    by_cookie: Option<Extension<ByCookie>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stopped = feed.shutdown.clone().cancelled_owned();
    let (changes, can_log_out) = (feed.hub.changes().watch(), by_cookie.is_some());
    let listener = Listener { changes, feed, permissions, can_log_out, last_sent: None };
    let news = stream::unfold(listener, Listener::next).flat_map(stream::iter);
    let expired = Expiry::passed(expiry.map(|Extension(expiry)| expiry));
    let farewell = stream::once(async { Event::default().event("expired").data(EXPIRED) });
    let news = news.take_until(expired).chain(farewell);
    Sse::new(news.take_until(stopped).map(Ok)).keep_alive(KeepAlive::new().interval(ALIVE))
}

/// One client of the route.
struct Listener {
    feed: EventsState,
    permissions: Permissions,
    can_log_out: bool,
    changes: watch::Receiver<()>,
    /// The streams of the last event; `None` before the first.
    last_sent: Option<Vec<StreamInfo>>,
}

impl Listener {
    /// Waits for the next events.
    async fn next(mut self) -> Option<(Vec<Event>, Self)> {
        loop {
            if self.last_sent.is_some() {
                // Ends if the hub is gone, which holds the sender.
                self.changes.changed().await.ok()?;
                sleep(TOGETHER).await;
            }
            self.changes.mark_unchanged();
            let mut catalogue = catalogue(&self.feed.hub, Instant::now(), self.feed.webrtc);
            catalogue.streams.retain(|stream| self.permissions.cover(&stream.name));
            catalogue.can_log_out = self.can_log_out;
            let news: Vec<_> =
                catalogue_events(&mut self.last_sent, catalogue).iter().filter_map(CatalogueEvent::event).collect();
            if !news.is_empty() {
                return Some((news, self));
            }
        }
    }
}

/// An event's content.
#[derive(Debug, Clone, PartialEq)]
enum CatalogueEvent {
    All(Catalogue),
    One(Box<StreamInfo>),
}

impl CatalogueEvent {
    fn event(&self) -> Option<Event> {
        // Serialization does not fail for these types.
        match self {
            Self::All(catalogue) => Event::default().event("streams").json_data(catalogue).ok(),
            Self::One(stream) => Event::default().event("stream").json_data(stream).ok(),
        }
    }
}

/// The events for a client that has last seen `last_sent`; updates `last_sent`.
fn catalogue_events(last_sent: &mut Option<Vec<StreamInfo>>, catalogue: Catalogue) -> Vec<CatalogueEvent> {
    let now: Vec<_> = catalogue.streams.iter().map(without_measures).collect();
    let names = |streams: &[StreamInfo]| streams.iter().map(|stream| stream.name.clone()).collect::<Vec<_>>();
    match last_sent.replace(now.clone()) {
        Some(before) if names(&before) == names(&now) => {
            let changed = catalogue.streams.into_iter().zip(before.iter().zip(&now));
            changed
                .filter(|(_, (before, now))| before != now)
                .map(|(stream, _)| CatalogueEvent::One(Box::new(stream)))
                .collect()
        }
        _ => vec![CatalogueEvent::All(catalogue)],
    }
}

/// The stream without values that change by time alone.
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
    use crate::config::Label;
    use crate::hub::StreamOptions;
    use crate::hub::rendition::{Protocol, Purpose, Status};
    use crate::hub::ring::RingLimits;
    use sightline_protocol::message::OfflineReason;
    use sightline_protocol::stream::{StreamName, Variant};

    fn name(text: &str) -> StreamName {
        text.parse().unwrap()
    }

    #[test]
    fn everything_is_told_once_and_then_what_has_changed() {
        let hub = Hub::new([name("yard"), name("gate")], RingLimits::default(), true);
        let now = Instant::now();
        let mut last_sent = None;
        let mut ask = |now| catalogue_events(&mut last_sent, catalogue(&hub, now, false));
        assert!(matches!(ask(now).as_slice(), [CatalogueEvent::All(all)] if all.streams.len() == 2));
        assert_eq!(ask(now), []);

        let viewer =
            hub.stream(&name("gate")).unwrap().rendition(Variant::Copy).subscribe(Purpose::View(Protocol::Mse));
        let told_now = ask(now);
        let [CatalogueEvent::One(gate)] = told_now.as_slice() else { panic!("{told_now:?}") };
        assert_eq!((gate.name.as_str(), gate.variants[0].viewers), ("gate", 1));

        // Only the time until the next retry changes, which causes no event.
        let retry_at = now + Duration::from_secs(8);
        viewer.rendition().fail(Status::Offline { reason: OfflineReason::Failed, message: "no".into(), retry_at });
        assert_eq!(ask(now).len(), 1);
        assert_eq!(ask(now + Duration::from_secs(2)), []);

        hub.set([(name("yard"), StreamOptions::default())]);
        assert!(matches!(ask(now).as_slice(), [CatalogueEvent::All(all)] if all.streams.len() == 1));

        // A reload changes a title.
        let label = Label { title: Some("Yard, north".to_owned()), group: None };
        hub.set([(name("yard"), StreamOptions { label, ..StreamOptions::default() })]);
        let told_now = ask(now);
        let [CatalogueEvent::One(yard)] = told_now.as_slice() else { panic!("{told_now:?}") };
        assert_eq!((yard.title.as_deref(), yard.group.as_deref()), (Some("Yard, north"), None));
    }
}

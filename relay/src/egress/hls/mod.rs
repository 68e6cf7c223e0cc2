//! `GET /hls/{stream}/index.m3u8`: Low-Latency HLS (RFC 8216bis) from the fragments that every other viewer gets, of the
//! picture alone so far.
//!
//! | step | module |
//! | --- | --- |
//! | requests hold the rendition and wait for what is not there yet | [`feed`] |
//! | fragments become parts and segments | [`window`], [`segment`], [`shape`] |
//! | a request is read and judged | [`name`], [`reload`] |
//! | a playlist is written | [`multivariant`], [`playlist`], [`date`]; [`carry`] takes a token on |
//! | an answer, with what caches and pages of other sites may do with it | [`answer`], [`body`] |
//!
//! A request that waits is the only thing there is of a viewer, and it waits for a few segments at most.

mod answer;
mod body;
mod carry;
mod date;
mod feed;
mod multivariant;
mod name;
mod playlist;
mod reload;
mod segment;
mod shape;
mod window;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Path, RawQuery, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use sightline_protocol::stream::{StreamName, Variant};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::ByLink;
use crate::hub::rendition::{Rendition, Status};
use crate::hub::{Hub, Stream};
use crate::ingest::ffmpeg::light;
use crate::server::is_encrypted;
use answer::{Answer, Refusal};
use feed::{Feed, Unanswered};
use multivariant::{Camera, Known, Light};
use name::Name;
use playlist::Report;
use reload::{Decision, Reload};
use window::{Found, Window};

/// How long a viewer waits for a source that is starting: longer than the slowest that still comes.
const START: Duration = Duration::from_secs(25);
/// How long a request waits for what comes next, in target durations (RFC 8216bis, section 6.2.5.2).
const BLOCK: u32 = 3;
/// What a window may hold, in rings of a rendition: the list is longer than the ring.
const RINGS: usize = 2;

/// What the requests of HLS need: one for the relay.
#[derive(Debug, Clone)]
pub struct Context {
    hub: Arc<Hub>,
    /// Of the streams that somebody has asked for.
    feeds: Arc<Mutex<HashMap<StreamName, Arc<Feeds>>>>,
    /// What each may hold, in bytes.
    limit: usize,
    shutdown: CancellationToken,
    allowed_origins: Arc<[String]>,
    low_kbps: u32,
}

/// A stream and the feeds of its variants.
#[derive(Debug)]
struct Feeds {
    stream: Stream,
    feeds: Vec<(Variant, Arc<Feed>)>,
}

impl Context {
    /// For the streams of `hub`, whose rings hold `ring` bytes each and whose light variant, where there is one, has
    /// `low_kbps`. All that waits ends with `shutdown`.
    pub fn new(
        hub: Arc<Hub>,
        ring: usize,
        low_kbps: u32,
        allowed_origins: Arc<[String]>,
        shutdown: CancellationToken,
    ) -> Self {
        Self { hub, feeds: Arc::default(), limit: ring * RINGS, shutdown, allowed_origins, low_kbps }
    }

    fn stream(&self, name: &str) -> Result<Arc<Feeds>, Refusal> {
        let parsed = name.parse::<StreamName>().ok();
        let found = parsed.and_then(|name| Some((self.hub.stream(&name)?, name)));
        let unknown = || Refusal::UnknownStream(name.chars().take(StreamName::MAX_LEN).collect());
        let (stream, name) = found.ok_or_else(unknown)?;
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = feeds.get(&name).filter(|known| known.stream.is(&stream)) {
            return Ok(known.clone());
        }
        // A good moment to forget streams that the relay no longer has.
        let streams = self.hub.streams();
        feeds.retain(|name, _| streams.contains_key(name));
        let made = Arc::new(Feeds::new(stream, self.limit, &self.shutdown));
        feeds.insert(name, made.clone());
        Ok(made)
    }
}

impl Feeds {
    fn new(stream: Stream, limit: usize, shutdown: &CancellationToken) -> Self {
        let feed = |rendition: &Arc<Rendition>| Feed::new(rendition.clone(), limit, shutdown.clone());
        let feeds = stream.renditions().map(|rendition| (rendition.variant(), feed(rendition))).collect();
        Self { stream, feeds }
    }

    fn feed(&self, variant: &str) -> Result<&Arc<Feed>, Refusal> {
        let named = |(known, _): &&(Variant, Arc<Feed>)| known.to_string() == variant;
        let found = self.feeds.iter().find(named).map(|(_, feed)| feed);
        found.ok_or_else(|| Refusal::UnknownVariant {
            named: variant.chars().take(StreamName::MAX_LEN).collect(),
            known: self.feeds.iter().map(|(variant, _)| variant.to_string()).collect::<Vec<_>>().join(", "),
        })
    }

    fn copy(&self) -> &Arc<Feed> {
        // It is the first of every stream's.
        &self.feeds[0].1
    }
}

/// Every address of HLS.
pub(crate) fn router(context: Context) -> Router {
    let addresses = Router::new()
        .route("/{stream}/index.m3u8", get(index))
        .route("/{stream}/{variant}/{name}", get(named))
        .fallback(|| async { Refusal::UnknownAddress })
        .layer(middleware::from_fn_with_state(context.allowed_origins.clone(), origins))
        .with_state(context);
    Router::new().nest("/hls", addresses)
}

/// Refuses pages of other sites that the configuration does not name, and tells browsers that the others may read.
async fn origins(State(allowed): State<Arc<[String]>>, request: Request, next: Next) -> Response {
    match answer::page(request.headers(), is_encrypted(request.extensions()), &allowed) {
        Ok(permission) => permission.on(next.run(request).await),
        Err(refusal) => answer::Permission::default().on(axum::response::IntoResponse::into_response(refusal)),
    }
}

/// The multivariant playlist, once it is known what the camera sends. It holds `copy`, which every variant is made from.
async fn index(
    State(context): State<Context>,
    Path(name): Path<String>,
    link: Option<Extension<ByLink>>,
) -> Result<Answer, Refusal> {
    let feeds = context.stream(&name)?;
    let feed = feeds.copy();
    let lease = feed.lease();
    let camera = lease.until(Instant::now() + START, |state| {
        let init = state.window.as_ref().and_then(Window::init).filter(|_| state.status == Status::Live);
        let camera = init.and_then(|init| {
            Some(Camera {
                codec: init.video_codec()?.clone(),
                b_frames: init.order == crate::fmp4::init::PictureOrder::Reordered,
                size: init.size,
            })
        });
        camera.map(Ok).or_else(|| offline(&state.status).map(Err))
    });
    let camera = camera.await.map_err(|unanswered| late(unanswered, &feed.look(|state| state.status.clone())))??;
    let light = camera.size.filter(|_| feeds.stream.has_low()).map(|size| {
        let light::Light { size, kbps } = light::Light::of(size, context.low_kbps);
        Light { size, kbps }
    });
    let known = |variant| {
        let info = feeds.stream.rendition(variant).info(Instant::now());
        Known { codec: info.codec, size: info.size, bit_rate: info.bit_rate, frame_rate: info.frame_rate }
    };
    Ok(Answer::multivariant(carried(multivariant::multivariant(&camera, light, known), link.as_deref())))
}

/// What a variant consists of, by its name.
async fn named(
    State(context): State<Context>,
    Path((stream, variant, name)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    link: Option<Extension<ByLink>>,
) -> Result<Answer, Refusal> {
    let feeds = context.stream(&stream)?;
    let feed = feeds.feed(&variant)?;
    match name.parse().map_err(|name::Unknown| Refusal::UnknownAddress)? {
        Name::Playlist => {
            let reload = Reload::parse(query.as_deref().unwrap_or_default()).map_err(Refusal::BadRequest)?;
            media(&feeds, feed, reload, link.as_deref()).await
        }
        Name::Init(id) => {
            let map = window(feed, |window| window.map(id).cloned());
            map.flatten().map(|bytes| Answer::media(vec![bytes])).ok_or(Refusal::Gone)
        }
        Name::Segment(msn) => match window(feed, |window| window.segment(msn)) {
            Some(Found::Here(bytes)) => Ok(Answer::media(bytes)),
            Some(Found::Soon | Found::Never) => Err(Refusal::NotYet),
            Some(Found::Gone) | None => Err(Refusal::Gone),
        },
        Name::Part(msn, number) => part(feed, msn, number).await,
    }
}

/// Looks into the window if there is one. What has a name is or was in a playlist, so asking for it alone starts nothing;
/// but it keeps alive what there is.
fn window<T>(feed: &Arc<Feed>, look: impl FnOnce(&Window) -> T) -> Option<T> {
    let _lease = feed.look(|state| state.window.is_some()).then(|| feed.lease())?;
    feed.look(|state| state.window.as_ref().map(look))
}

async fn media(feeds: &Feeds, feed: &Arc<Feed>, reload: Reload, link: Option<&ByLink>) -> Result<Answer, Refusal> {
    let reports: Vec<Report> = feeds
        .feeds
        .iter()
        .filter(|(_, other)| !Arc::ptr_eq(other, feed))
        .filter_map(|(variant, other)| other.look(|state| Report::of(*variant, state.window.as_ref()?)))
        .collect();
    let lease = feed.lease();
    let known = feed.look(|state| state.window.as_ref().and_then(Window::shape));
    let wait = known.map_or(START, |shape| Duration::from_secs(u64::from(shape.target_duration)) * BLOCK);
    let answered = lease.until(Instant::now() + wait, |state| {
        let window = state.window.as_ref()?;
        let Some(shape) = window.shape() else { return offline(&state.status).map(Err) };
        // Players outlive a short outage on what they have, if they are not told of it.
        let patience = Duration::from_secs(u64::from(shape.target_duration)) * BLOCK;
        if state.fed.is_some_and(|fed| fed.elapsed() >= patience)
            && let Some(refusal) = offline(&state.status)
        {
            return Some(Err(refusal));
        }
        match reload.decide(window) {
            Decision::Answer => {
                let text = carried(playlist::media(window, reload.delta, &reports)?, link);
                Some(Ok(Answer::playlist(text, shape.target_duration, reload.blocks())))
            }
            Decision::Wait => None,
            Decision::Refuse(why) => Some(Err(Refusal::BadRequest(why))),
        }
    });
    answered.await.map_err(|unanswered| late(unanswered, &feed.look(|state| state.status.clone())))?
}

/// A playlist for somebody who came by a link, or not.
fn carried(text: String, link: Option<&ByLink>) -> String {
    match link {
        Some(ByLink(token)) => carry::carry(&text, token),
        None => text,
    }
}

/// A part, which may be one that was only announced.
async fn part(feed: &Arc<Feed>, msn: u64, number: usize) -> Result<Answer, Refusal> {
    let shape = window(feed, Window::shape).flatten().ok_or(Refusal::Gone)?;
    let lease = feed.lease();
    let wait = Duration::from_secs(u64::from(shape.target_duration)) * BLOCK;
    let found = lease.until(Instant::now() + wait, |state| match state.window.as_ref()?.part(msn, number) {
        Found::Here(bytes) => Some(Ok(Answer::media(bytes))),
        Found::Soon => None,
        Found::Gone => Some(Err(Refusal::Gone)),
        Found::Never => Some(Err(Refusal::NotYet)),
    });
    found.await.map_err(|unanswered| late(unanswered, &feed.look(|state| state.status.clone())))?
}

/// The refusal that an offline source means.
fn offline(status: &Status) -> Option<Refusal> {
    match status {
        Status::Offline { message, retry_at, .. } => Some(Refusal::Offline {
            message: message.clone(),
            retry: retry_at.saturating_duration_since(Instant::now()),
        }),
        Status::Idle | Status::Starting | Status::Live => None,
    }
}

fn late(unanswered: Unanswered, status: &Status) -> Refusal {
    match unanswered {
        Unanswered::Stopping => Refusal::Stopping,
        Unanswered::Late => offline(status).unwrap_or(Refusal::Late),
    }
}

#[cfg(test)]
mod tests;

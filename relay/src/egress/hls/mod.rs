//! `GET /hls/{stream}/index.m3u8` and the addresses in it: Low-Latency HLS (RFC 8216bis) from the shared fragments of video and
//! audio.
//!
//! | step | module |
//! | --- | --- |
//! | requests subscribe to the rendition and wait for new media | [`packager`] |
//! | fragments become parts and segments | [`window`], [`segment`], [`target_duration`]; [`lead`] aligns variants, [`audio`] their audio |
//! | a request is parsed and decided | [`file_name`], [`reload`] |
//! | a playlist is written | [`multivariant`], [`playlist`]; [`append_token`] appends a token |
//! | a response, with its caching and CORS headers | [`response`], [`body`] |
//!
//! A viewer costs one waiting request, and waits for a few segments at most.

mod append_token;
mod audio;
mod body;
mod file_name;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod lead;
mod multivariant;
mod packager;
mod playlist;
mod reload;
mod response;
mod segment;
mod target_duration;
mod window;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, RawQuery, Request, State};
use axum::http::HeaderMap;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use sightline_protocol::address::{Address, BadAddress};
use sightline_protocol::codec::AudioCodec;
use sightline_protocol::stream::{InvalidQuality, Quality, StreamName, Variant};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::access::QueryToken;
use crate::egress::SOURCE_START_TIMEOUT;
use crate::egress::address::Requested;
use crate::hub::rendition::{AudioForm, Status};
use crate::hub::{Hub, Stream};
use crate::ingest::ffmpeg::audio::converted;
use crate::ingest::ffmpeg::low::LowVariant;
use crate::limits::viewers::ViewerLimiter;
use crate::net::peer::{PeerInfo, is_encrypted};
use file_name::{FileName, RenditionName};
use multivariant::{AudioGroup, CameraInfo, MeasuredVariant};
use packager::{Lease, Packager, WaitError};
use playlist::RenditionReport;
use reload::{PlaylistReload, ReloadDecision};
use response::{HlsError, HlsResponse};
use window::{Lookup, Window};

/// Time limit of a blocking request, in target durations (RFC 8216bis, section 6.2.5.2).
const BLOCKING_TARGET_DURATIONS: u32 = 3;
/// Maximum size of a window, relative to a rendition's ring: a playlist is longer than the ring.
const RINGS_PER_WINDOW: usize = 2;
/// Time that a camera which has announced audio gets to send some once its video is live: the direct reader waits up to 5 s for
/// the camera's sender reports. Some cameras announce a microphone that they do not have.
const AUDIO_START_TIMEOUT: Duration = Duration::from_secs(6);

/// Who sent a request, as far as responses depend on it.
#[derive(Debug, Clone, Copy, Default)]
struct Requester<'a> {
    link: Option<&'a QueryToken>,
    /// The client by which limits count it.
    client: Option<IpAddr>,
}

/// The state of all HLS routes.
#[derive(Debug, Clone)]
pub struct HlsContext {
    hub: Arc<Hub>,
    /// The packagers of requested streams.
    packagers: Arc<Mutex<HashMap<StreamName, Arc<StreamPackagers>>>>,
    /// Maximum bytes of each window.
    limit: usize,
    shutdown: CancellationToken,
    allowed_origins: Arc<[String]>,
    viewers: ViewerLimiter,
    low_kbps: u32,
}

/// A stream and the packagers of its renditions.
#[derive(Debug)]
struct StreamPackagers {
    stream: Stream,
    packagers: Vec<(RenditionName, Arc<Packager>)>,
}

impl HlsContext {
    /// The routes' state for the streams of `hub`. Each ring holds `ring` bytes; the variant `low`, if there is one, has
    /// `low_kbps`. `viewers` names a request's client. Waiting requests end at `shutdown`.
    pub fn new(
        hub: Arc<Hub>,
        ring: usize,
        low_kbps: u32,
        allowed_origins: Arc<[String]>,
        viewers: ViewerLimiter,
        shutdown: CancellationToken,
    ) -> Self {
        let limit = ring * RINGS_PER_WINDOW;
        Self { hub, packagers: Arc::default(), limit, shutdown, allowed_origins, viewers, low_kbps }
    }

    fn stream(&self, name: &StreamName) -> Result<Arc<StreamPackagers>, HlsError> {
        let stream = self.hub.stream(name).ok_or_else(|| HlsError::UnknownStream(name.clone()))?;
        let mut packagers = self.packagers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = packagers.get(name).filter(|known| known.is_of(&stream)) {
            return Ok(known.clone());
        }
        // Drops the packagers of streams that were removed.
        let streams = self.hub.streams();
        packagers.retain(|name, _| streams.contains_key(name));
        let made = Arc::new(StreamPackagers::new(stream, self.limit, &self.shutdown));
        packagers.insert(name.clone(), made.clone());
        Ok(made)
    }
}

impl StreamPackagers {
    fn new(stream: Stream, limit: usize, shutdown: &CancellationToken) -> Self {
        let mut packagers = Vec::<(RenditionName, Arc<Packager>)>::new();
        for rendition in stream.renditions() {
            // The first rendition is `copy`.
            let leader = packagers.first().map(|(_, leader)| leader.clone());
            // A sub stream has a timeline and key frames of its own.
            let leader = leader.filter(|_| !stream.is_sub(rendition.variant()));
            let packager = Packager::new(rendition.clone(), leader, limit, shutdown.clone());
            packagers.push((RenditionName::Video(rendition.variant()), packager));
        }
        let leader = packagers.first().map(|(_, leader)| leader.clone());
        let audio = Packager::new(stream.audio(AudioForm::AsIs).clone(), leader, limit, shutdown.clone());
        packagers.push((RenditionName::Audio, audio));
        Self { stream, packagers }
    }

    /// Whether these are packagers of this stream with the same variants.
    fn is_of(&self, stream: &Stream) -> bool {
        self.stream.is(stream) && self.stream.has_sub() == stream.has_sub()
    }

    fn packager(&self, name: &str) -> Result<(RenditionName, &Arc<Packager>), HlsError> {
        let found = self.packagers.iter().find(|(known, _)| known.to_string() == name);
        found.map(|(known, packager)| (*known, packager)).ok_or_else(|| HlsError::UnknownVariant {
            named: name.chars().take(StreamName::MAX_LEN).collect(),
            known: self.packagers.iter().map(|(known, _)| known.to_string()).collect::<Vec<_>>().join(", "),
        })
    }

    fn copy(&self) -> &Arc<Packager> {
        // Every stream's first packager.
        &self.packagers[0].1
    }
}

/// All addresses of HLS.
pub(crate) fn router(context: HlsContext) -> Router {
    Router::new()
        .route("/hls/{*rest}", get(serve))
        .layer(middleware::from_fn_with_state(context.allowed_origins.clone(), origins))
        .with_state(context)
}

/// Refuses pages of origins that are not allowed, and adds CORS headers for the others.
async fn origins(State(allowed): State<Arc<[String]>>, request: Request, next: Next) -> Response {
    match response::page(request.headers(), is_encrypted(request.extensions()), &allowed) {
        Ok(permission) => permission.on(next.run(request).await),
        Err(refusal) => response::CorsPermission::default().on(axum::response::IntoResponse::into_response(refusal)),
    }
}

async fn serve(
    State(context): State<HlsContext>,
    Requested(address): Requested,
    RawQuery(query): RawQuery,
    link: Option<Extension<QueryToken>>,
    peer: Option<Extension<ConnectInfo<PeerInfo>>>,
    headers: HeaderMap,
) -> Result<HlsResponse, HlsError> {
    let link = link.as_deref();
    let peer = peer.map(|Extension(ConnectInfo(peer))| peer.address);
    let query = query.as_deref().unwrap_or_default();
    let from = Requester { link, client: context.viewers.client(peer, &headers) };
    match address {
        Ok(Address::HlsIndex(stream)) => {
            let quality = Quality::in_query(query)?.unwrap_or_default();
            index(&*context.stream(&stream)?, context.low_kbps, quality, link).await
        }
        Ok(Address::HlsFile { stream, variant, file }) => {
            serve_file(&*context.stream(&stream)?, (&variant, &file), query, from).await
        }
        Ok(_) | Err(BadAddress::Unknown) => Err(HlsError::UnknownAddress),
        Err(BadAddress::Name(error)) => Err(HlsError::BadName(error)),
    }
}

/// The format of the camera's video, once `packager` knows it, and a lease of that.
async fn camera(packager: &Arc<Packager>) -> Result<(CameraInfo, Lease), HlsError> {
    let lease = packager.lease();
    let camera = lease.until(Instant::now() + SOURCE_START_TIMEOUT, |state| {
        let init = state.window.as_ref().and_then(Window::init).filter(|_| state.status == Status::Live);
        let camera = init.and_then(|init| {
            Some(CameraInfo {
                codec: init.video_codec()?.clone(),
                b_frames: init.reordering == sightline_media::fmp4::init::Reordering::Present,
                size: init.size,
            })
        });
        camera.map(Ok).or_else(|| offline(&state.status).map(Err))
    });
    let camera = camera.await.map_err(|error| wait_error(error, &packager.read(|state| state.status.clone())))??;
    Ok((camera, lease))
}

/// The audio that viewers of a live camera can get. Waits for its first bytes if the camera has announced it.
async fn audio_group(stream: &Stream) -> Option<AudioGroup> {
    let source = stream.audio_buffer();
    source.audio()?;
    timeout(AUDIO_START_TIMEOUT, source.heard()).await.ok()?;
    let expected = converted(&source.audio()?, source.is_encoded());
    let sent = stream.audio(AudioForm::AsIs).info(Instant::now());
    let codec = match (expected, sent.codec.and_then(|codec| codec.parse().ok())) {
        (AudioCodec::Aac { .. }, Some(codec @ AudioCodec::Aac { .. })) => codec,
        _ => expected,
    };
    let unplayable = matches!(stream.audio(AudioForm::AsIs).status(), Status::Offline { .. });
    (!unplayable).then_some(AudioGroup { codec, bit_rate: sent.bit_rate })
}

/// The multivariant playlist of a quality, once the camera's format is known. Subscribes to `copy`, the source of all variants,
/// or to the sub stream if that alone is listed. A sub stream has no audio on its timeline.
async fn index(
    packagers: &StreamPackagers,
    low_kbps: u32,
    quality: Quality,
    link: Option<&QueryToken>,
) -> Result<HlsResponse, HlsError> {
    // A stream without `low` lists what there is.
    let only_low = quality == Quality::Low && packagers.stream.has_low();
    let is_sub = packagers.stream.has_sub();
    let packager = if only_low && is_sub { packagers.packager(Variant::Low.as_str())?.1 } else { packagers.copy() };
    let (camera, _lease) = camera(packager).await?;
    let audio = if only_low && is_sub { None } else { audio_group(&packagers.stream).await };
    // Players that switch at the next media sequence number need aligned segments (`lead`), which a sub stream does not have.
    let has_low = packagers.stream.has_low() && !is_sub && quality != Quality::High;
    let low = camera.size.filter(|_| has_low).map(|size| LowVariant::of(size, low_kbps));
    let known = |variant| {
        let info = packagers.stream.rendition(variant).info(Instant::now());
        MeasuredVariant { codec: info.codec, size: info.size, bit_rate: info.bit_rate, frame_rate: info.frame_rate }
    };
    let text = if only_low {
        multivariant::low_only(&camera, low, audio, known)
    } else {
        multivariant::multivariant(&camera, low, audio, known)
    };
    Ok(HlsResponse::multivariant(with_token(text, link)))
}

/// A playlist, init segment, segment or part of a rendition, by its name.
async fn serve_file(
    packagers: &StreamPackagers,
    (rendition, name): (&str, &str),
    query: &str,
    from: Requester<'_>,
) -> Result<HlsResponse, HlsError> {
    let (rendition, packager) = packagers.packager(rendition)?;
    match name.parse().map_err(|file_name::UnknownFile| HlsError::UnknownAddress)? {
        FileName::Playlist => {
            let reload = PlaylistReload::parse(query).map_err(HlsError::BadRequest)?;
            if rendition == RenditionName::Audio && packager.read(|state| state.window.is_none()) {
                let (_, _lease) = camera(packagers.copy()).await?;
                audio_group(&packagers.stream).await.ok_or(HlsError::NoAudio)?;
            }
            media(packagers, packager, reload, from).await
        }
        FileName::Init(id) => {
            let map = window(packager, |window| window.map(id).cloned());
            map.flatten().map(|bytes| HlsResponse::media(vec![bytes])).ok_or(HlsError::Gone)
        }
        FileName::Segment(msn) => match window(packager, |window| window.segment(msn)) {
            Some(Lookup::Available(bytes)) => Ok(HlsResponse::media(bytes)),
            Some(Lookup::Pending | Lookup::NotFound) => Err(HlsError::NotYet),
            Some(Lookup::Evicted) | None => Err(HlsError::Gone),
        },
        FileName::Part(msn, number) => part(packager, msn, number).await,
    }
}

/// Reads the window if there is one. Names come from a playlist, so requesting one starts no source, but it keeps a running one
/// alive.
fn window<T>(packager: &Arc<Packager>, read: impl FnOnce(&Window) -> T) -> Option<T> {
    let _lease = packager.read(|state| state.window.is_some()).then(|| packager.lease())?;
    packager.read(|state| state.window.as_ref().map(read))
}

async fn media(
    packagers: &StreamPackagers,
    packager: &Arc<Packager>,
    reload: PlaylistReload,
    from: Requester<'_>,
) -> Result<HlsResponse, HlsError> {
    let reports: Vec<RenditionReport> = packagers
        .packagers
        .iter()
        .filter(|(_, other)| !Arc::ptr_eq(other, packager))
        .filter_map(|(rendition, other)| other.read(|state| RenditionReport::of(*rendition, state.window.as_ref()?)))
        .collect();
    let lease = packager.lease_for(from.client);
    let known = packager.read(|state| state.window.as_ref().and_then(Window::durations));
    let wait = known.map_or(SOURCE_START_TIMEOUT, |durations| {
        Duration::from_secs(u64::from(durations.target_duration)) * BLOCKING_TARGET_DURATIONS
    });
    let response = lease.until(Instant::now() + wait, |state| {
        let window = state.window.as_ref()?;
        let Some(durations) = window.durations() else { return offline(&state.status).map(Err) };
        // Players survive a short outage with buffered media unless the playlist returns an error.
        let patience = Duration::from_secs(u64::from(durations.target_duration)) * BLOCKING_TARGET_DURATIONS;
        if state.last_fragment.is_some_and(|at| at.elapsed() >= patience)
            && let Some(refusal) = offline(&state.status)
        {
            return Some(Err(refusal));
        }
        match reload.decide(window) {
            ReloadDecision::Respond => {
                let text = with_token(playlist::media(window, reload.delta, &reports)?, from.link);
                Some(Ok(HlsResponse::playlist(text, durations.target_duration, reload.blocks())))
            }
            ReloadDecision::Wait => None,
            ReloadDecision::Refuse(why) => Some(Err(HlsError::BadRequest(why))),
        }
    });
    response.await.map_err(|error| wait_error(error, &packager.read(|state| state.status.clone())))?
}

/// The playlist with the link's token, if the request has one.
fn with_token(text: String, link: Option<&QueryToken>) -> String {
    match link {
        Some(QueryToken(token)) => append_token::append_token(&text, token),
        None => text,
    }
}

/// A part, which may only be announced so far.
async fn part(packager: &Arc<Packager>, msn: u64, number: usize) -> Result<HlsResponse, HlsError> {
    let durations = window(packager, Window::durations).flatten().ok_or(HlsError::Gone)?;
    let lease = packager.lease();
    let wait = Duration::from_secs(u64::from(durations.target_duration)) * BLOCKING_TARGET_DURATIONS;
    let found = lease.until(Instant::now() + wait, |state| match state.window.as_ref()?.part(msn, number) {
        Lookup::Available(bytes) => Some(Ok(HlsResponse::media(bytes))),
        Lookup::Pending => None,
        Lookup::Evicted => Some(Err(HlsError::Gone)),
        Lookup::NotFound => Some(Err(HlsError::NotYet)),
    });
    found.await.map_err(|error| wait_error(error, &packager.read(|state| state.status.clone())))?
}

/// The refusal for an offline source.
fn offline(status: &Status) -> Option<HlsError> {
    match status {
        Status::Offline { message, retry_at, .. } => Some(HlsError::Offline {
            message: message.clone(),
            retry: retry_at.saturating_duration_since(Instant::now()),
        }),
        Status::Idle | Status::Starting | Status::Live => None,
    }
}

impl From<InvalidQuality> for HlsError {
    fn from(_: InvalidQuality) -> Self {
        Self::BadRequest(InvalidQuality::MESSAGE)
    }
}

fn wait_error(error: WaitError, status: &Status) -> HlsError {
    match error {
        WaitError::Stopping => HlsError::Stopping,
        WaitError::Late => offline(status).unwrap_or(HlsError::Late),
    }
}

#[cfg(test)]
mod tests;

//! `GET /api/streams/{stream}/snapshot.jpg`: one frame of the camera's video as JPEG.
//!
//! | parameter | meaning |
//! | --- | --- |
//! | `width` | the largest width in pixels, 16 to 4096; without it, the video's |
//! | `quality` | 1 to 100; without it, 80 |
//! | `at` | `newest-keyframe` (without it) needs no decoding of other frames; `now` is the newest frame |
//!
//! The frame comes from the ring; a source without viewers is started for it. FFmpeg decodes it, in at most [`PROCESSES`] processes at
//! a time. All requests of the same form share an image while it is the newest, and for [`FRESH`].

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use sightline_protocol::address::{Address, BadAddress};
use sightline_protocol::stream::{InvalidStreamName, StreamName, Variant};
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use url::form_urlencoded;

use super::SOURCE_START_TIMEOUT;
use crate::hub::rendition::{Event, Purpose, Status, Subscription};
use crate::hub::ring::Step;
use crate::hub::{Hub, Stream};
use crate::ingest::ffmpeg::still::StillFormat;
use crate::ingest::process::Launcher;
use crate::ingest::still::{self, StillError, StillMedia};
use crate::net::origin;
use crate::net::peer::is_encrypted;

/// Maximum of concurrent FFmpeg processes.
const PROCESSES: usize = 2;
/// Time to wait for one of them.
const QUEUE_WAIT: Duration = Duration::from_secs(5);
/// Time limit of an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Time during which an image is served again although there is a newer frame: some cameras send key frames only.
const FRESH: Duration = Duration::from_millis(500);
/// Maximum of images kept per stream, one for each form.
const KEPT: usize = 4;
const WIDTHS: std::ops::RangeInclusive<u16> = 16..=4096;
const QUALITIES: std::ops::RangeInclusive<u8> = 1..=100;
const QUALITY: u8 = 80;

/// Which frame is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    NewestKeyFrame,
    Now,
}

/// The form of a snapshot, from a request's query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    format: StillFormat,
    at: At,
}

impl Form {
    fn parse(query: &str) -> Result<Self, SnapshotError> {
        Self::of(form_urlencoded::parse(query.as_bytes()))
    }

    /// Ignores other parameters, such as an access token.
    fn of<'a>(parameters: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>) -> Result<Self, SnapshotError> {
        let mut form = Self { format: StillFormat { width: None, quality: QUALITY }, at: At::NewestKeyFrame };
        for (name, value) in parameters {
            match &*name {
                "width" => {
                    let width = value.parse().ok().filter(|width| WIDTHS.contains(width));
                    form.format.width =
                        Some(width.ok_or(SnapshotError::BadRequest("width is a number from 16 to 4096"))?);
                }
                "quality" => {
                    let quality = value.parse().ok().filter(|quality| QUALITIES.contains(quality));
                    form.format.quality =
                        quality.ok_or(SnapshotError::BadRequest("quality is a number from 1 to 100"))?;
                }
                "at" => {
                    form.at = match &*value {
                        "newest-keyframe" => At::NewestKeyFrame,
                        "now" => At::Now,
                        _ => return Err(SnapshotError::BadRequest("at is newest-keyframe or now")),
                    }
                }
                _ => {}
            }
        }
        Ok(form)
    }
}

/// The state of the route.
#[derive(Debug, Clone)]
pub struct Snapshots {
    hub: Arc<Hub>,
    launcher: Launcher,
    allowed_origins: Arc<[String]>,
    processes: Arc<Semaphore>,
    /// The images of requested streams.
    streams: Arc<Mutex<HashMap<StreamName, Arc<StreamImages>>>>,
}

/// The images of one stream. The lock is held while one is made: requests of the same form share it.
#[derive(Debug)]
struct StreamImages {
    stream: Stream,
    images: AsyncMutex<Vec<(Form, Image)>>,
}

/// An image, and when it was found to be the newest.
#[derive(Debug, Clone)]
struct Image {
    etag: String,
    bytes: Bytes,
    newest: Instant,
}

/// An error response; the body is one sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error("there is no such address; /api/streams/NAME and /api/streams/NAME/snapshot.jpg exist for every stream")]
    UnknownAddress,
    #[error("{0}")]
    BadName(InvalidStreamName),
    #[error("{}", super::no_stream(.0))]
    UnknownStream(StreamName),
    #[error("{0}")]
    BadRequest(&'static str),
    #[error("{}", origin::refusal(.0))]
    Foreign(String),
    #[error("the source is offline: {0}")]
    Offline(Arc<str>, Duration),
    #[error("the source sent no key frame in time; try again")]
    Late,
    #[error("the relay makes as many snapshots as it can; try again later")]
    Busy,
    #[error(transparent)]
    Still(#[from] StillError),
}

impl IntoResponse for SnapshotError {
    fn into_response(self) -> Response {
        let (status, retry) = match &self {
            Self::UnknownAddress | Self::UnknownStream(_) => (StatusCode::NOT_FOUND, None),
            Self::BadName(_) | Self::BadRequest(_) => (StatusCode::BAD_REQUEST, None),
            Self::Foreign(_) => (StatusCode::FORBIDDEN, None),
            Self::Offline(_, retry) => (StatusCode::SERVICE_UNAVAILABLE, Some(retry.as_secs() + 1)),
            Self::Late | Self::Busy | Self::Still(_) => (StatusCode::SERVICE_UNAVAILABLE, Some(1)),
        };
        let mut response = (status, [(CACHE_CONTROL, "no-store")], format!("{self}\n")).into_response();
        if let Some(seconds) = retry {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl Snapshots {
    /// The route's state for the streams of `hub`. `launcher` starts FFmpeg.
    pub fn new(hub: Arc<Hub>, launcher: Launcher, allowed_origins: Arc<[String]>) -> Self {
        Self { hub, launcher, allowed_origins, processes: Arc::new(Semaphore::new(PROCESSES)), streams: Arc::default() }
    }

    /// Answers a request for the route's address. Refuses scripts of pages of an origin that is not allowed. Images in pages name
    /// no origin; the browser hides their pixels.
    pub(crate) async fn serve(
        &self,
        address: Result<Address, BadAddress>,
        request: Request,
    ) -> Result<Response, SnapshotError> {
        let (headers, encrypted) = (request.headers(), is_encrypted(request.extensions()));
        if let Some(foreign) = origin::foreign(headers, encrypted, &self.allowed_origins) {
            return Err(SnapshotError::Foreign(foreign));
        }
        let name = match address {
            Ok(Address::Snapshot(stream)) => stream,
            Ok(_) | Err(BadAddress::Unknown) => return Err(SnapshotError::UnknownAddress),
            Err(BadAddress::Name(error)) => return Err(SnapshotError::BadName(error)),
        };
        let form = Form::parse(request.uri().query().unwrap_or_default())?;
        self.respond(name, form, headers).await
    }

    /// Answers a request for an image of the stream `name` with these parameters, at another address than the route's.
    pub(super) async fn answer<'a>(
        &self,
        name: StreamName,
        parameters: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
        headers: &HeaderMap,
    ) -> Result<Response, SnapshotError> {
        self.respond(name, Form::of(parameters)?, headers).await
    }

    async fn respond(&self, name: StreamName, form: Form, headers: &HeaderMap) -> Result<Response, SnapshotError> {
        // Requests wait for the one before: for a source that sends nothing, the last of many would wait for hours.
        let images = self.images(name)?;
        let image = timeout(ANSWER_LIMIT, images.image(form, self)).await;
        let Image { etag, bytes, .. } = image.map_err(|_| SnapshotError::Late)??;
        let is_known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
        // A client keeps it, and asks each time whether it is still the newest.
        let caching = [(ETAG, etag), (CACHE_CONTROL, "private, no-cache".to_owned())];
        Ok(if is_known {
            (StatusCode::NOT_MODIFIED, caching).into_response()
        } else {
            (caching, [(CONTENT_TYPE, "image/jpeg")], bytes).into_response()
        })
    }

    fn images(&self, name: StreamName) -> Result<Arc<StreamImages>, SnapshotError> {
        let Some(stream) = self.hub.stream(&name) else { return Err(SnapshotError::UnknownStream(name)) };
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = streams.get(&name).filter(|known| known.stream.is(&stream)) {
            return Ok(known.clone());
        }
        // Drops the images of streams that were removed.
        let configured = self.hub.streams();
        streams.retain(|name, _| configured.contains_key(name));
        let images = Arc::new(StreamImages { stream, images: AsyncMutex::default() });
        streams.insert(name, images.clone());
        Ok(images)
    }
}

impl StreamImages {
    /// The newest image of this form.
    async fn image(&self, form: Form, snapshots: &Snapshots) -> Result<Image, SnapshotError> {
        let mut images = self.images.lock().await;
        let position = images.iter().position(|(known, _)| *known == form);
        let image = match position.map(|position| images.remove(position).1) {
            Some(known) if known.newest.elapsed() < FRESH => known,
            known => self.newest_image(known, form, snapshots).await?,
        };
        images.truncate(KEPT - 1);
        images.insert(0, (form, image.clone()));
        Ok(image)
    }

    /// `known`, if it still shows the newest frame, or a new image.
    async fn newest_image(
        &self,
        known: Option<Image>,
        form: Form,
        snapshots: &Snapshots,
    ) -> Result<Image, SnapshotError> {
        let copy = self.stream.rendition(Variant::Copy).subscribe(Purpose::Transcode);
        let media = newest(copy, form.at).await?;
        let etag = etag(&media, form);
        if let Some(known) = known.filter(|known| known.etag == etag) {
            return Ok(Image { newest: Instant::now(), ..known });
        }
        let permit = timeout(QUEUE_WAIT, snapshots.processes.acquire()).await;
        let _permit = permit.map_err(|_| SnapshotError::Busy)?;
        let bytes = still::jpeg(&snapshots.launcher, &media, form.format).await?;
        Ok(Image { etag, bytes, newest: Instant::now() })
    }
}

/// The newest media of a subscription to `copy`, once there is some.
async fn newest(mut copy: Subscription, at: At) -> Result<StillMedia, SnapshotError> {
    let limit = Instant::now() + SOURCE_START_TIMEOUT;
    let mut init = None;
    loop {
        match timeout_at(limit, copy.event()).await.map_err(|_| SnapshotError::Late)? {
            Event::Step(Step::Init(new)) => init = Some(new),
            // The first one after an init segment is the newest key frame.
            Event::Step(Step::Fragment(fragment)) => {
                let Some(init) = init else { continue };
                let mut fragments = vec![fragment];
                while at == At::Now
                    && let Step::Fragment(fragment) = copy.step()
                {
                    fragments.push(fragment);
                }
                return Ok(StillMedia { init, fragments });
            }
            Event::Status(Status::Offline { message, retry_at, .. }) => {
                return Err(SnapshotError::Offline(message, retry_at.saturating_duration_since(Instant::now())));
            }
            Event::Step(_) | Event::Status(_) => {}
        }
    }
}

/// Names the frame and the form of the image.
fn etag(StillMedia { init, fragments }: &StillMedia, Form { format, at }: Form) -> String {
    let time = fragments.last().map_or(0, |fragment| fragment.head.decode_time);
    let (width, now) = (format.width.unwrap_or_default(), u8::from(at == At::Now));
    format!("\"{}-{time}-{width}-{}-{now}\"", init.timeline, format.quality)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::test_stream::{H264, publish, start_epoch, stream};

    #[test]
    fn form_comes_from_the_query() {
        let form = |width, quality, at| Form { format: StillFormat { width, quality }, at };
        for (query, expected) in [
            ("", form(None, 80, At::NewestKeyFrame)),
            ("token=abc&width=320&quality=50&at=now", form(Some(320), 50, At::Now)),
            ("at=newest-keyframe&other", form(None, 80, At::NewestKeyFrame)),
        ] {
            assert_eq!(Form::parse(query).unwrap(), expected, "{query}");
        }
        for query in
            ["width=", "width=15", "width=4097", "width=-1", "quality=0", "quality=101", "quality=x", "at=then"]
        {
            let error = Form::parse(query).unwrap_err();
            assert_eq!(error.into_response().status(), StatusCode::BAD_REQUEST, "{query}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn media_is_the_newest_key_frame_or_all_from_there() {
        let stream = stream();
        start_epoch(&stream, Variant::Copy, H264, false);
        for frame in 0..5 {
            publish(&stream, Variant::Copy, frame * 40, frame % 3 == 0);
        }
        let media = async |at| newest(stream.rendition(Variant::Copy).subscribe(Purpose::Transcode), at).await.unwrap();
        let times = |media: &StillMedia| media.fragments.iter().map(|f| f.head.decode_time).collect::<Vec<_>>();
        let (key, now) = (media(At::NewestKeyFrame).await, media(At::Now).await);
        assert_eq!((times(&key), times(&now)), (vec![120], vec![120, 160]));
        let form = |at| Form { format: StillFormat { width: None, quality: 80 }, at };
        assert_ne!(etag(&key, form(At::NewestKeyFrame)), etag(&now, form(At::Now)));
    }

    #[tokio::test(start_paused = true)]
    async fn source_without_media_is_a_refusal() {
        let stream = stream();
        let subscribe = || stream.rendition(Variant::Copy).subscribe(Purpose::Transcode);
        assert!(matches!(newest(subscribe(), At::Now).await, Err(SnapshotError::Late)));
        let offline = async {
            tokio::task::yield_now().await;
            let (reason, message) = (sightline_protocol::message::OfflineReason::Ended, "it ended".into());
            stream.rendition(Variant::Copy).fail(Status::Offline { reason, message, retry_at: Instant::now() });
        };
        let (refused, ()) = tokio::join!(newest(subscribe(), At::Now), offline);
        let response = refused.unwrap_err().into_response();
        assert_eq!(
            (response.status(), &response.headers()[RETRY_AFTER]),
            (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap())
        );
    }
}

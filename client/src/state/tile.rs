//! One stream on the page.

use sightline_protocol::codec::{VideoCodec, codec_of};
use sightline_protocol::message::{Ready, Size, StreamState, TrackKind, VariantReason};
use sightline_protocol::stream::{InvalidStreamName, StreamName, Variant};

use super::Phase;

/// What is known about the picture of the present epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Which of the stream's variants it is.
    pub variant: Variant,
    /// Why this one.
    pub why: VariantReason,
    /// RFC 6381 codec string.
    pub codec: String,
    /// In pixels.
    pub size: Option<Size>,
    /// Frames a second, announced or measured.
    pub frame_rate: Option<f64>,
}

/// What happened to one stream.
#[derive(Debug, Clone, PartialEq)]
pub enum TileEvent {
    /// A connection is being made.
    Connecting,
    /// The connection stands.
    Connected,
    /// There is no connection; the next try comes in `retry_ms`.
    Lost {
        /// Milliseconds until the next try.
        retry_ms: f64,
    },
    /// A new epoch begins; `epoch` counts them since the page was opened.
    Ready {
        /// Counts epochs since the page was opened.
        epoch: u32,
        /// What the relay said about it.
        ready: Ready,
    },
    /// The relay told what the source is doing.
    Source(StreamState),
    /// The first frame of the epoch was presented.
    Presented {
        /// Milliseconds since the WebSocket opened, if it is the first of its connection.
        first_picture_ms: Option<f64>,
    },
    /// The frame rate was measured.
    FrameRate(f64),
    /// The picture on screen is no longer renewed, or is again.
    Stale(bool),
    /// It cannot go on; one sentence says why and what to do.
    Failed(String),
    /// The browser plays only after a tap (`true`), or plays now.
    TapNeeded(bool),
    /// The browser failed on the camera's own codec although it had promised to play it.
    FellBack,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Link {
    Connecting,
    Open,
    Lost { retry_ms: f64 },
}

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Tile {
    /// The name as the address or the catalogue has it.
    pub name: String,
    /// The name to connect with; none if the text is not a name.
    pub stream: Option<StreamName>,
    /// What is known about the picture.
    pub picture: Option<Picture>,
    /// Counts epochs since the page was opened.
    pub epoch: u32,
    /// From the WebSocket's opening to the first picture, for the newest connection that showed one.
    pub first_picture_ms: Option<f64>,
    /// The browser wants a tap before it plays.
    pub tap_needed: bool,
    link: Link,
    was_connected: bool,
    source: StreamState,
    presented: bool,
    stale: bool,
    failure: Option<String>,
    fell_back: bool,
}

impl Tile {
    /// A stream of which nothing is known.
    pub fn new(stream: StreamName) -> Self {
        Self {
            name: stream.to_string(),
            stream: Some(stream),
            picture: None,
            epoch: 0,
            first_picture_ms: None,
            tap_needed: false,
            link: Link::Connecting,
            was_connected: false,
            source: StreamState::Starting,
            presented: false,
            stale: false,
            failure: None,
            fell_back: false,
        }
    }

    /// A text in the address that is not the name of a stream.
    pub fn refused(error: &InvalidStreamName) -> Self {
        // Any valid name will do to fill the form: what is shown is the error.
        let mut tile = Self::new("none".parse().expect("a valid name"));
        (tile.name, tile.stream) = ("Not a stream".to_owned(), None);
        tile.failure = Some(sentence(&error.to_string()));
        tile
    }

    /// Takes note of an event.
    pub fn apply(&mut self, event: TileEvent) {
        match event {
            TileEvent::Connecting => self.link = Link::Connecting,
            TileEvent::Connected => {
                (self.link, self.was_connected) = (Link::Open, true);
                (self.presented, self.failure) = (false, None);
            }
            TileEvent::Lost { retry_ms } => {
                self.link = Link::Lost { retry_ms };
                self.presented = false;
            }
            TileEvent::Ready { epoch, ready } => self.begin_epoch(epoch, ready),
            TileEvent::Source(state) => self.source = state,
            TileEvent::Presented { first_picture_ms } => {
                self.presented = true;
                self.first_picture_ms = first_picture_ms.or(self.first_picture_ms);
                self.failure = None;
            }
            TileEvent::FrameRate(rate) => {
                if let Some(picture) = &mut self.picture {
                    picture.frame_rate = Some(rate);
                }
            }
            TileEvent::Stale(stale) => self.stale = stale,
            TileEvent::Failed(message) => self.failure = Some(sentence(&message)),
            TileEvent::TapNeeded(needed) => self.tap_needed = needed,
            TileEvent::FellBack => self.fell_back = true,
        }
    }

    fn begin_epoch(&mut self, epoch: u32, ready: Ready) {
        self.epoch = epoch;
        self.presented = false;
        // An epoch is announced when its media is there.
        self.source = StreamState::Live;
        self.picture = ready.tracks.into_iter().find(|track| track.kind == TrackKind::Video).map(|track| Picture {
            variant: ready.variant,
            why: ready.why,
            codec: codec_of(&track.mime).to_owned(),
            size: track.size,
            frame_rate: track.frame_rate,
        });
    }

    /// The state in one word.
    pub fn phase(&self) -> Phase {
        if self.failure.is_some() {
            return Phase::Error;
        }
        match (self.link, &self.source) {
            (Link::Lost { .. }, _) => Phase::Reconnecting,
            (Link::Connecting, _) if self.was_connected => Phase::Reconnecting,
            (Link::Connecting, _) => Phase::Connecting,
            (Link::Open, StreamState::Offline { .. }) => Phase::Offline,
            // A browser that wants a tap shows the first frame and stops.
            (Link::Open, _) if self.presented && !self.tap_needed && self.stale => Phase::Stalled,
            (Link::Open, _) if self.presented && !self.tap_needed => Phase::Live,
            (Link::Open, _) => Phase::Starting,
        }
    }

    /// One sentence about the state, except while live.
    pub fn message(&self) -> Option<String> {
        if let Some(failure) = &self.failure {
            return Some(failure.clone());
        }
        let message = match (self.phase(), self.link, &self.source) {
            (Phase::Live, ..) => return None,
            (Phase::Stalled, ..) => "No new picture arrives: this one is old.".to_owned(),
            (Phase::Offline, _, StreamState::Offline { message, retry_in_ms, .. }) => {
                format!("{} {}", sentence(message), again(*retry_in_ms as f64))
            }
            (Phase::Reconnecting, Link::Lost { retry_ms }, _) if self.was_connected => {
                format!("The connection to the relay was lost. {}", again(retry_ms))
            }
            (Phase::Reconnecting, Link::Lost { retry_ms }, _) => {
                format!("The relay cannot be reached. {}", again(retry_ms))
            }
            (Phase::Reconnecting, ..) => "The connection to the relay was lost. Reconnecting…".to_owned(),
            (Phase::Connecting, ..) => "Connecting to the relay…".to_owned(),
            _ if self.tap_needed => "The browser plays this only after a tap.".to_owned(),
            (_, _, StreamState::Live) => "Waiting for the first picture…".to_owned(),
            _ => "Starting the camera…".to_owned(),
        };
        Some(message)
    }

    /// The codec's family and what was done to the picture, with the reason where it is not the camera's own.
    pub fn codec_label(&self) -> Option<String> {
        let picture = self.picture.as_ref()?;
        let family = match picture.codec.parse::<VideoCodec>() {
            Ok(codec) => codec.family().to_string(),
            Err(_) => picture.codec.clone(),
        };
        Some(match picture.variant {
            Variant::Copy => format!("{family} · untouched"),
            Variant::H264 if self.fell_back => {
                format!("{family} · transcoded — this browser failed to decode the camera's codec")
            }
            Variant::H264 => format!("{family} · transcoded — {}", picture.why),
        })
    }

    /// Size and frame rate of the picture.
    pub fn picture_label(&self) -> Option<String> {
        let picture = self.picture.as_ref()?;
        let size = picture.size.map(|size| format!("{}×{}", size.width, size.height));
        let rate = picture.frame_rate.map(|rate| format!("{} fps", (rate * 10.0).round() / 10.0));
        let parts: Vec<_> = size.into_iter().chain(rate).collect();
        (!parts.is_empty()).then(|| parts.join(" · "))
    }
}

fn again(retry_ms: f64) -> String {
    match (retry_ms / 1000.0).round() as u64 {
        0 => "Trying again now.".to_owned(),
        seconds => format!("Trying again in {seconds} s."),
    }
}

/// Errors are written to be put into other texts: on the page they stand alone. They begin with ASCII, and the tables
/// of all other scripts' capitals are worth several kilobytes.
fn sentence(text: &str) -> String {
    let mut sentence = text.trim().to_owned();
    if let Some(first) = sentence.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    if !sentence.ends_with(['.', '!', '?', '…']) {
        sentence.push('.');
    }
    sentence
}

//! One stream on the page.

use sightline_protocol::catalogue::StreamInfo;
use sightline_protocol::codec::codec_of;
use sightline_protocol::message::{Ready, Size, StreamState, TrackKind, VariantReason};
use sightline_protocol::stream::{InvalidStreamName, StreamName, Variant};

use super::Phase;
use super::choices::Protocol;
use super::history::{History, Sample};
use super::log::Level;

mod words;

pub use words::bit_rate;

/// What is known about the picture of the present epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Which of the stream's variants it is.
    pub variant: Variant,
    /// Why this one, where the relay says it.
    pub why: Option<VariantReason>,
    /// RFC 6381 codec string.
    pub codec: String,
    /// In pixels.
    pub size: Option<Size>,
    /// Frames a second, announced or measured.
    pub frame_rate: Option<f64>,
}

/// The kinds of failure; each has its own repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// There is no connection to the relay.
    Unreachable,
    /// The relay will not do what it was asked, or the browser will not start a player.
    Refused,
    /// The browser cannot decode what it is sent.
    Undecodable,
    /// The browser does not play without a tap.
    AutoplayBlocked,
    /// The picture stands still.
    Stalled,
    /// The browser took the player's memory away.
    Reclaimed,
    /// The relay has no picture from the camera.
    Offline,
}

impl Failure {
    /// The word for it in `data-failure`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Undecodable => "undecodable",
            Self::AutoplayBlocked => "autoplay-blocked",
            Self::Stalled => "stalled",
            Self::Reclaimed => "reclaimed",
            Self::Offline => "offline",
        }
    }
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
    /// A new epoch begins, with what the relay said about it.
    Ready(Ready),
    /// The same, of a way on which the relay says nothing.
    Picture(Picture),
    /// The relay told what the source is doing.
    Source(StreamState),
    /// The first frame of the epoch was presented.
    Presented {
        /// Milliseconds since the WebSocket opened, if it is the first of its connection.
        first_picture_ms: Option<f64>,
    },
    /// The frame rate was measured.
    FrameRate(f64),
    /// How old the picture on screen is, in milliseconds, where that is known.
    Age(Option<f64>),
    /// The picture on screen is no longer renewed, or is again.
    Stale(bool),
    /// Playing failed, and is being repaired.
    Trouble(Failure),
    /// It cannot go on; one sentence says why and what to do.
    Failed(Failure, String),
    /// Whether anybody can see the picture; while nobody can, none is sent.
    Watched(bool),
    /// Whether the user hears it.
    Listening(bool),
    /// The browser plays only after a tap (`true`), or plays now.
    TapNeeded(bool),
    /// The browser failed on the camera's own codec although it had promised to play it.
    FellBack,
    /// How the stream gets here now, and one sentence why.
    Using(Protocol, String),
    /// How the stream did in the last second.
    Sample(Sample),
    /// What is being recorded so far; none when nothing is.
    Recording(Option<Recorded>),
    /// Something that somebody who looks for a fault should know.
    Note(Level, String),
}

/// How much has been recorded.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Recorded {
    /// Of media.
    pub seconds: f64,
    /// Of the file.
    pub bytes: u64,
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
    /// Whether the stream has sound that could be heard.
    pub audio: bool,
    /// Whether it is heard.
    pub listening: bool,
    /// How old the picture on screen is, in milliseconds: from its arrival at the relay's machine to the screen. None
    /// where that is not known.
    pub age_ms: Option<f64>,
    /// How it is to get here.
    pub protocol: Protocol,
    /// How it gets here now, and one sentence why.
    pub using: Option<(Protocol, String)>,
    /// How loud it is when it is heard, 0 to 1.
    pub volume: f64,
    /// What is being recorded, if anything.
    pub recording: Option<Recorded>,
    /// How it did lately.
    pub history: History,
    /// What the relay says an operator should know.
    pub notes: Vec<String>,
    /// The size of the picture that the catalogue tells, until one is here.
    listed: Option<Size>,
    link: Link,
    was_connected: bool,
    source: StreamState,
    presented: bool,
    stale: bool,
    failure: Option<(Failure, String)>,
    /// What is being repaired.
    trouble: Option<Failure>,
    watched: bool,
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
            audio: false,
            listening: false,
            age_ms: None,
            protocol: Protocol::default(),
            using: None,
            volume: 1.0,
            recording: None,
            history: History::default(),
            notes: Vec::new(),
            listed: None,
            link: Link::Connecting,
            was_connected: false,
            source: StreamState::Starting,
            presented: false,
            stale: false,
            failure: None,
            trouble: None,
            watched: true,
            fell_back: false,
        }
    }

    /// A text in the address that is not the name of a stream.
    pub fn refused(error: &InvalidStreamName) -> Self {
        // Any valid name will do to fill the form: what is shown is the error.
        let mut tile = Self::new("none".parse().expect("a valid name"));
        (tile.name, tile.stream) = ("Not a stream".to_owned(), None);
        tile.failure = Some((Failure::Refused, words::sentence(&error.to_string())));
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
            TileEvent::Ready(ready) => {
                let audio = ready.audio;
                self.begin_epoch(picture_of(ready), audio);
            }
            TileEvent::Picture(picture) => self.begin_epoch(Some(picture), false),
            TileEvent::Source(state) => self.source = state,
            TileEvent::Presented { first_picture_ms } => {
                (self.presented, self.trouble) = (true, None);
                self.first_picture_ms = first_picture_ms.or(self.first_picture_ms);
                self.failure = None;
            }
            TileEvent::FrameRate(rate) => {
                if let Some(picture) = &mut self.picture {
                    picture.frame_rate = Some(rate);
                }
            }
            TileEvent::Age(age_ms) => self.age_ms = age_ms,
            TileEvent::Stale(stale) => self.stale = stale,
            TileEvent::Trouble(failure) => (self.trouble, self.presented) = (Some(failure), false),
            TileEvent::Failed(failure, message) => self.failure = Some((failure, words::sentence(&message))),
            TileEvent::Watched(watched) => (self.watched, self.presented) = (watched, false),
            TileEvent::TapNeeded(needed) => self.tap_needed = needed,
            TileEvent::FellBack => self.fell_back = true,
            TileEvent::Listening(audio) => self.listening = audio,
            TileEvent::Using(protocol, why) => {
                if self.using.as_ref().is_some_and(|(before, _)| *before != protocol) {
                    self.leave_way();
                }
                self.using = Some((protocol, why));
            }
            TileEvent::Sample(sample) => self.history.add(sample),
            TileEvent::Recording(recorded) => self.recording = recorded,
            TileEvent::Note(..) => {}
        }
    }

    /// Takes note of what the catalogue says of it.
    pub fn list(&mut self, info: &StreamInfo) {
        self.notes.clone_from(&info.notes);
        self.listed = info.variants.iter().find_map(|variant| variant.size);
    }

    /// Width by height of the picture: of this one, or as the catalogue has it, or as most are.
    pub fn aspect(&self) -> f64 {
        let size = self.picture.as_ref().and_then(|picture| picture.size).or(self.listed);
        let aspect = size.map(|size| f64::from(size.width) / f64::from(size.height));
        aspect.filter(|aspect| aspect.is_finite() && *aspect > 0.0).unwrap_or(16.0 / 9.0)
    }

    fn begin_epoch(&mut self, picture: Option<Picture>, audio: bool) {
        self.epoch += 1;
        self.presented = false;
        // An epoch is announced when its media is there.
        self.source = StreamState::Live;
        (self.picture, self.audio) = (picture, audio);
    }

    /// Whether what arrives can be kept as it is: the other ways hand it to the browser.
    pub fn can_record(&self) -> bool {
        self.using.as_ref().is_some_and(|(protocol, _)| *protocol == Protocol::Mse)
    }

    /// Nothing that was known of another way is true of this one, but what is on screen.
    fn leave_way(&mut self) {
        (self.presented, self.stale, self.failure, self.trouble) = (false, false, None, None);
        (self.audio, self.listening, self.age_ms, self.recording) = (false, false, None, None);
        (self.source, self.link) = (StreamState::Starting, Link::Connecting);
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
            (Link::Open, _) if !self.watched => Phase::Paused,
            // A browser that wants a tap shows the first frame and stops.
            (Link::Open, _) if self.presented && !self.tap_needed && self.stale => Phase::Stalled,
            (Link::Open, _) if self.presented && !self.tap_needed => Phase::Live,
            (Link::Open, _) => Phase::Starting,
        }
    }

    /// What is wrong, if anything is.
    pub fn failure(&self) -> Option<Failure> {
        if let Some((failure, _)) = self.failure {
            return Some(failure);
        }
        match self.phase() {
            Phase::Reconnecting => Some(Failure::Unreachable),
            Phase::Offline => Some(Failure::Offline),
            Phase::Stalled => Some(Failure::Stalled),
            _ if self.tap_needed => Some(Failure::AutoplayBlocked),
            _ => self.trouble,
        }
    }
}

fn picture_of(ready: Ready) -> Option<Picture> {
    let Ready { variant, why, tracks, .. } = ready;
    let track = tracks.into_iter().find(|track| track.kind == TrackKind::Video)?;
    let (codec, size) = (codec_of(&track.mime).to_owned(), track.size);
    Some(Picture { variant, why: Some(why), codec, size, frame_rate: track.frame_rate })
}

#[cfg(test)]
mod tests;

//! The state of one stream on the page.

use sightline_protocol::catalogue::StreamInfo;
use sightline_protocol::codec::codec_of;
use sightline_protocol::message::{Ready, Size, StreamState, TrackKind, VariantReason};
use sightline_protocol::stream::{InvalidStreamName, Quality, StreamName, Variant};

use super::Phase;
use super::choices::Protocol;
use super::history::{History, Sample};
use super::log::Level;

mod fault;
mod labels;

pub use fault::{Cause, Fault, Retry};
pub use labels::bit_rate;

/// A description of the current epoch's video.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoInfo {
    /// The variant.
    pub variant: Variant,
    /// The relay's reason for this variant, if it gives one.
    pub why: Option<VariantReason>,
    /// RFC 6381 codec string.
    pub codec: String,
    /// In pixels.
    pub size: Option<Size>,
    /// Frames per second, announced or measured.
    pub frame_rate: Option<f64>,
}

/// The kinds of failure; each has its own recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// There is no connection to the relay.
    Unreachable,
    /// The relay refuses the request, or the browser cannot start a player.
    Refused,
    /// The browser cannot decode the stream.
    Undecodable,
    /// The browser requires a user gesture before it plays.
    AutoplayBlocked,
    /// The video stands still.
    Stalled,
    /// The browser reclaimed the player's memory.
    Reclaimed,
    /// The relay receives no video from the camera.
    Offline,
}

impl Failure {
    /// The value of `data-failure`.
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

/// An event of one stream.
#[derive(Debug, Clone, PartialEq)]
pub enum TileEvent {
    /// A connection is being made.
    Connecting,
    /// The connection is established.
    Connected,
    /// The connection was lost, or could not be made.
    Lost {
        /// Milliseconds until the next attempt.
        retry_ms: f64,
    },
    /// A new epoch begins; the relay described it.
    Ready(Ready),
    /// The variant stays, for another reason: the relay's answer to a new quality.
    Reason(VariantReason),
    /// A new epoch begins, over a protocol on which the relay does not describe it.
    VideoInfo(VideoInfo),
    /// The relay reported the source's state.
    Source(StreamState),
    /// The first frame of the epoch was presented.
    Presented {
        /// Milliseconds since the socket opened (MSE, WebCodecs) or the connection attempt began (WebRTC, HLS), if it is the first frame
        /// since.
        first_frame_ms: Option<f64>,
    },
    /// The frame rate was measured.
    FrameRate(f64),
    /// The age of the presented frame, in milliseconds, if known.
    Age(Option<f64>),
    /// Whether the video is stale.
    Stale(bool),
    /// Playback failed, and recovery is under way.
    PlaybackFailed(Failure),
    /// Playback cannot continue; one sentence gives the reason and the remedy.
    Failed(Failure, String),
    /// The page retries in this many milliseconds.
    RetryPlanned(f64),
    /// Whether the tile is visible; while it is not, the relay sends nothing.
    VisibilityChanged(bool),
    /// Whether the stream has audio, over a protocol that does not announce it in its epochs.
    HasAudio(bool),
    /// Whether audio is on.
    Listening(bool),
    /// Whether the browser requires a user gesture before it plays.
    TapNeeded(bool),
    /// The browser failed to decode the camera's own codec although it had reported it as supported.
    FellBack,
    /// The protocol in use, and the reason in one sentence.
    ProtocolSelected(Protocol, String),
    /// Another player plays over the same connection; its protocol, and the reason in one sentence.
    PlayerSelected(Protocol, String),
    /// The statistics of the last second.
    Sample(Sample),
    /// The size of the current recording; none while recording is off.
    Recording(Option<Recorded>),
    /// A log entry for troubleshooting.
    Note(Level, String),
}

/// The size of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Recorded {
    /// Duration of the media.
    pub seconds: f64,
    /// Size of the file.
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Link {
    Connecting,
    Open,
}

/// See the module. One flat record: every event may change any of it, and the page renders it whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Tile {
    /// The name in the address or the catalogue.
    pub name: String,
    /// The name to connect with; none if the text is not a valid name.
    pub stream: Option<StreamName>,
    /// A description of the video.
    pub video_info: Option<VideoInfo>,
    /// Counts epochs since the page was opened.
    pub epoch: u32,
    /// The last known `first_frame_ms` of [`TileEvent::Presented`].
    pub first_frame_ms: Option<f64>,
    /// The browser requires a user gesture before it plays.
    pub tap_needed: bool,
    /// Whether the stream has playable audio.
    pub audio: bool,
    /// Whether audio is on.
    pub listening: bool,
    /// The age of the presented frame, in milliseconds: the time since its arrival at the relay's machine. None if unknown.
    pub age_ms: Option<f64>,
    /// The selected protocol.
    pub protocol: Protocol,
    /// The selected quality.
    pub quality: Quality,
    /// The protocol in use, and the reason in one sentence.
    pub using: Option<(Protocol, String)>,
    /// The volume while audio is on, 0 to 1.
    pub volume: f64,
    /// The size of the current recording; none while recording is off.
    pub recording: Option<Recorded>,
    /// Recent statistics.
    pub history: History,
    /// The relay's notes for an operator.
    pub notes: Vec<String>,
    /// The size of the video in the catalogue, used until an epoch states it.
    listed: Option<Size>,
    /// The title in the catalogue.
    listed_title: Option<String>,
    link: Link,
    was_connected: bool,
    source: StreamState,
    presented: bool,
    stale: bool,
    fault: Option<Fault>,
    /// The failure from which the session is recovering.
    playback_failure: Option<Failure>,
    visible: bool,
    fell_back: bool,
}

impl Tile {
    /// A new stream.
    pub fn new(stream: StreamName) -> Self {
        Self {
            name: stream.to_string(),
            stream: Some(stream),
            video_info: None,
            epoch: 0,
            first_frame_ms: None,
            tap_needed: false,
            audio: false,
            listening: false,
            age_ms: None,
            protocol: Protocol::default(),
            quality: Quality::default(),
            using: None,
            volume: 1.0,
            recording: None,
            history: History::default(),
            notes: Vec::new(),
            listed: None,
            listed_title: None,
            link: Link::Connecting,
            was_connected: false,
            source: StreamState::Starting,
            presented: false,
            stale: false,
            fault: None,
            playback_failure: None,
            visible: true,
            fell_back: false,
        }
    }

    /// A tile for a text in the address that is not a valid stream name.
    pub fn refused(error: &InvalidStreamName) -> Self {
        // A placeholder name: the tile shows only the error.
        let mut tile = Self::new("none".parse().expect("a valid name"));
        (tile.name, tile.stream) = ("Not a stream".to_owned(), None);
        tile.fail(Cause::Failed(Failure::Refused), labels::sentence(&error.to_string()), f64::INFINITY);
        tile
    }

    /// Applies an event that happened `at` milliseconds since the Unix epoch.
    pub fn apply(&mut self, event: TileEvent, at: f64) {
        self.note_fault(&event, at);
        match event {
            TileEvent::Connecting => self.link = Link::Connecting,
            // A frame can be on screen already: WebRTC reports its connection state independently of frames.
            TileEvent::Connected => (self.link, self.was_connected) = (Link::Open, true),
            TileEvent::Lost { .. } => (self.link, self.presented) = (Link::Connecting, false),
            TileEvent::Ready(ready) => {
                let audio = ready.audio;
                self.begin_epoch(video_info(ready), audio);
            }
            TileEvent::VideoInfo(video_info) => self.begin_epoch(Some(video_info), self.audio),
            TileEvent::Reason(why) => {
                if let Some(video_info) = &mut self.video_info {
                    video_info.why = Some(why);
                }
            }
            TileEvent::HasAudio(audio) => self.audio = audio,
            TileEvent::Source(state) => self.source = state,
            TileEvent::Presented { first_frame_ms } => {
                (self.presented, self.playback_failure) = (true, None);
                self.first_frame_ms = first_frame_ms.or(self.first_frame_ms);
            }
            TileEvent::FrameRate(rate) => {
                if let Some(video_info) = &mut self.video_info {
                    video_info.frame_rate = Some(rate);
                }
            }
            TileEvent::Age(age_ms) => self.age_ms = age_ms,
            TileEvent::Stale(stale) => self.stale = stale,
            TileEvent::PlaybackFailed(failure) => (self.playback_failure, self.presented) = (Some(failure), false),
            TileEvent::VisibilityChanged(visible) => (self.visible, self.presented) = (visible, false),
            TileEvent::TapNeeded(needed) => self.tap_needed = needed,
            TileEvent::FellBack => self.fell_back = true,
            TileEvent::Listening(audio) => self.listening = audio,
            TileEvent::ProtocolSelected(protocol, why) => {
                if self.using.as_ref().is_some_and(|(before, _)| *before != protocol) {
                    self.leave_way();
                }
                self.using = Some((protocol, why));
            }
            TileEvent::PlayerSelected(protocol, why) => self.using = Some((protocol, why)),
            TileEvent::Sample(sample) => self.history.add(sample),
            TileEvent::Recording(recorded) => self.recording = recorded,
            TileEvent::Failed(..) | TileEvent::RetryPlanned(_) | TileEvent::Note(..) => {}
        }
    }

    /// Updates the fault: an event may report one, plan a retry, or end it.
    fn note_fault(&mut self, event: &TileEvent, at: f64) {
        match event {
            TileEvent::Lost { retry_ms } => {
                let cause = if self.was_connected { Cause::Disconnected } else { Cause::NoRelay };
                // The relay's refusal says more than the loss of the next connection.
                if !matches!(self.fault.as_ref().map(|fault| fault.cause), Some(Cause::Failed(_))) {
                    self.fail(cause, labels::disconnected(cause), at);
                }
                self.plan_retry(*retry_ms, true, at);
            }
            TileEvent::Source(StreamState::Offline { reason, message, retry_in_ms }) => {
                self.fail(Cause::Offline(*reason), labels::sentence(message), at);
                self.plan_retry(*retry_in_ms as f64, false, at);
            }
            TileEvent::Failed(failure, message) => self.fail(Cause::Failed(*failure), labels::sentence(message), at),
            TileEvent::Stale(true) => self.fail(Cause::Stalled, labels::NO_NEW_VIDEO.to_owned(), at),
            TileEvent::RetryPlanned(ms) => self.plan_retry(*ms, true, at),
            TileEvent::Connecting => self.retrying(),
            // The reason stays while the source is retried, until media arrives.
            TileEvent::Source(StreamState::Starting | StreamState::Idle) => {
                self.clear_fault(|cause| !matches!(cause, Cause::Offline(_)));
                self.retrying();
            }
            TileEvent::Connected => {
                self.clear_fault(|cause| matches!(cause, Cause::NoRelay | Cause::Disconnected));
                self.retrying();
            }
            TileEvent::Source(StreamState::Live) => self.clear_fault(|cause| cause != Cause::Stalled),
            TileEvent::Ready(_) | TileEvent::VideoInfo(_) => {
                self.clear_fault(|cause| !matches!(cause, Cause::Failed(_)));
            }
            TileEvent::Presented { .. } => self.clear_fault(|_| true),
            TileEvent::Stale(false) => self.clear_fault(|cause| cause == Cause::Stalled),
            _ => {}
        }
    }

    fn fail(&mut self, cause: Cause, reason: String, at: f64) {
        match &mut self.fault {
            Some(fault) => fault.again(cause, reason),
            None => self.fault = Some(Fault::new(cause, reason, at)),
        }
    }

    fn clear_fault(&mut self, is_over: impl FnOnce(Cause) -> bool) {
        self.fault.take_if(|fault| is_over(fault.cause));
    }

    fn plan_retry(&mut self, ms: f64, by_page: bool, at: f64) {
        if let Some(fault) = &mut self.fault {
            fault.retry = if ms > 0.0 { Retry::At { at: at + ms, by_page } } else { Retry::Underway };
        }
    }

    fn retrying(&mut self) {
        if let Some(fault) = &mut self.fault {
            fault.retry = Retry::Underway;
        }
    }

    /// Applies the catalogue's entry for this stream.
    pub fn list(&mut self, info: &StreamInfo) {
        self.notes.clone_from(&info.notes);
        self.listed = info.variants.iter().find_map(|variant| variant.size);
        self.listed_title.clone_from(&info.title);
    }

    /// What people read: the title, or else the name.
    pub fn title(&self) -> &str {
        self.listed_title.as_deref().unwrap_or(&self.name)
    }

    /// The aspect ratio of the video: of the current epoch, or else the catalogue's, or else the most common one.
    pub fn aspect(&self) -> f64 {
        let size = self.video_info.as_ref().and_then(|video_info| video_info.size).or(self.listed);
        let aspect = size.map(|size| f64::from(size.width) / f64::from(size.height));
        aspect.filter(|aspect| aspect.is_finite() && *aspect > 0.0).unwrap_or(16.0 / 9.0)
    }

    fn begin_epoch(&mut self, video_info: Option<VideoInfo>, audio: bool) {
        self.epoch += 1;
        self.presented = false;
        // The relay announces an epoch only when it has media.
        self.source = StreamState::Live;
        (self.video_info, self.audio) = (video_info, audio);
    }

    /// Whether the received media can be recorded unchanged: only MSE and WebCodecs pass it through the page.
    pub fn can_record(&self) -> bool {
        self.plays_by(Protocol::Mse) || self.plays_by(Protocol::WebCodecs)
    }

    /// Whether this protocol is in use.
    pub fn plays_by(&self, protocol: Protocol) -> bool {
        self.using.as_ref().is_some_and(|(used, _)| *used == protocol)
    }

    /// Resets the state that belongs to the previous protocol. The frame on screen stays.
    fn leave_way(&mut self) {
        (self.presented, self.stale, self.playback_failure) = (false, false, None);
        self.clear_fault(|cause| matches!(cause, Cause::Stalled | Cause::Failed(_)));
        (self.audio, self.listening, self.age_ms, self.recording) = (false, false, None, None);
        (self.source, self.link) = (StreamState::Starting, Link::Connecting);
    }

    /// The tile's state.
    pub fn phase(&self) -> Phase {
        match (self.fault.as_ref().map(|fault| fault.cause), self.link) {
            (Some(Cause::Failed(_)), _) => Phase::Error,
            (Some(Cause::NoRelay | Cause::Disconnected), _) => Phase::Reconnecting,
            (Some(Cause::Offline(_)), _) => Phase::Offline,
            (_, Link::Connecting) if self.was_connected => Phase::Reconnecting,
            (_, Link::Connecting) => Phase::Connecting,
            (_, Link::Open) if !self.visible => Phase::Paused,
            // A browser that requires a user gesture presents the first frame and stops.
            (_, Link::Open) if self.presented && !self.tap_needed && self.stale => Phase::Stalled,
            (_, Link::Open) if self.presented && !self.tap_needed => Phase::Live,
            (_, Link::Open) => Phase::Starting,
        }
    }

    /// The fault to display, if any.
    pub fn fault(&self) -> Option<&Fault> {
        let said = matches!(self.phase(), Phase::Stalled | Phase::Offline | Phase::Reconnecting | Phase::Error);
        self.fault.as_ref().filter(|_| said)
    }

    /// The kind of the current failure, if any.
    pub fn failure(&self) -> Option<Failure> {
        match (self.fault().map(|fault| fault.cause), self.phase()) {
            (Some(Cause::Failed(failure)), _) => Some(failure),
            (_, Phase::Reconnecting) => Some(Failure::Unreachable),
            (_, Phase::Offline) => Some(Failure::Offline),
            (_, Phase::Stalled) => Some(Failure::Stalled),
            _ if self.tap_needed => Some(Failure::AutoplayBlocked),
            _ => self.playback_failure,
        }
    }
}

fn video_info(ready: Ready) -> Option<VideoInfo> {
    let Ready { variant, why, tracks, .. } = ready;
    let track = tracks.into_iter().find(|track| track.kind == TrackKind::Video)?;
    let (codec, size) = (codec_of(&track.mime).to_owned(), track.size);
    Some(VideoInfo { variant, why: Some(why), codec, size, frame_rate: track.frame_rate })
}

#[cfg(test)]
mod tests;

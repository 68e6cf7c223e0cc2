//! A `sightline.v1` session as a state machine: input and time in, [`SessionAction`]s out.
//!
//! A session sends one variant, which a [`VariantReader`] reads, and holds no queue but the actions of one input.
//! [`AbrController`] decides how much is sent and whether it is `low`. Audio is sent independently of video
//! ([`audio`]). The caller writes the actions of an input before it calls [`Session::advance`], which sees what
//! the ring has received meanwhile.

mod audio;
mod interface;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::init::InitSegment;
use sightline_protocol::codec::VideoCodec;
use sightline_protocol::message::{Ack, ClientMessage, GapReason, Ping, Play, Pong, ServerMessage, VariantReason};
use sightline_protocol::stream::{Quality, Variant, VariantChoice};

use super::abr_controller::{AbrController, PingRequest};
use super::send_window::SendDecision;
use super::variant_selector::{Level, Rates};
use crate::egress::select::{Choice, Wanted};
use crate::egress::variant_reader::{self, VariantReader, VideoEvent};
use crate::hub::Stream;
use crate::hub::rendition::{InFlightBytes, Protocol, Status, Subscription};
use audio::{AudioTrack, VideoStart};

pub(in crate::egress) use interface::ViewerFault;
pub(super) use interface::{Now, SessionAction, SessionInput};

/// A viewer without any message for this long, not even a pong, is gone, whatever its socket says.
const VIEWER_TIMEOUT: Duration = Duration::from_secs(12);

/// Time without another attempt after the sub stream of a small tile has failed.
const SUB_UNAVAILABLE: Duration = Duration::from_secs(60);

/// The video that the viewer is sent.
struct VideoTrack {
    reader: VariantReader,
    /// The codecs that the viewer plays.
    playable: Vec<VideoCodec>,
    /// The variant and the quality that it chose.
    choice: (VariantChoice, Quality),
    /// An init segment that waits for its first fragment.
    init: Option<Arc<InitSegment>>,
    /// Number of init segments sent.
    epoch: u32,
    /// The start of the video. `None` while it is awaited.
    start: Option<VideoStart>,
    /// Whether media waited in the ring when the last fragment was sent.
    behind: bool,
    /// The last known rate of the full variant, in bytes per second.
    full_rate: Option<f64>,
    /// The time from which a small tile may get the sub stream.
    sub_from: Duration,
}

/// See the [module](self).
pub(super) struct Session {
    stream: Stream,
    video: VideoTrack,
    audio: AudioTrack,
    abr: AbrController,
    in_flight_bytes: InFlightBytes,
    /// Whether the viewer has paused.
    paused: bool,
    /// Whether sending was held back since the last message.
    held: bool,
    /// The time of the viewer's last message.
    last_message: Duration,
    actions: VecDeque<SessionAction>,
}

impl Session {
    /// The session of a viewer that sent `play`. `first` is a subscription to the [`first_variant`] of `stream`.
    pub(super) fn new(stream: Stream, first: Subscription, play: &Play) -> Self {
        let playable = playable(play);
        let mut audio = AudioTrack::default();
        audio.want(&play.tracks, &stream);
        let in_flight_bytes = InFlightBytes::new(first.rendition().clone());
        let mut reader = VariantReader::new(stream.clone(), Protocol::Mse, first, wanted(play));
        reader.set_shown(play.size);
        let video = VideoTrack {
            reader,
            playable,
            choice: (play.variant, play.quality.unwrap_or_default()),
            init: None,
            epoch: 0,
            start: None,
            behind: false,
            full_rate: None,
            sub_from: Duration::ZERO,
        };
        Self {
            stream,
            video,
            audio,
            abr: AbrController::default(),
            in_flight_bytes,
            paused: false,
            held: false,
            last_message: Duration::ZERO,
            actions: VecDeque::new(),
        }
    }

    /// The next thing to write.
    pub(super) fn next_action(&mut self) -> Option<SessionAction> {
        self.actions.pop_front()
    }

    /// Waits for the next media, as far as `decision` permits. Cancel-safe.
    pub(super) async fn next(&mut self, decision: SendDecision) -> SessionInput {
        let may_send = decision == SendDecision::Send;
        tokio::select! {
            biased;
            event = self.video.reader.next(may_send) => SessionInput::Video(event),
            fragment = self.audio.next(self.video.start.filter(|_| may_send)) => SessionInput::Audio(fragment),
        }
    }

    /// The same without waiting, for video.
    #[cfg(test)]
    pub(super) fn poll_video(&mut self, decision: SendDecision) -> Option<SessionInput> {
        self.video.reader.poll(decision == SendDecision::Send).map(SessionInput::Video)
    }

    /// Handles an input.
    ///
    /// # Errors
    /// The viewer has to be refused.
    pub(super) fn handle(&mut self, input: SessionInput, now: Now) -> Result<(), ViewerFault> {
        match input {
            SessionInput::Video(VideoEvent::Epoch(init)) => self.video.init = Some(init),
            SessionInput::Video(VideoEvent::Frame(fragment)) => self.send_video(fragment, now),
            SessionInput::Video(VideoEvent::Gap(skipped)) => self.gap(skipped, GapReason::Overrun),
            SessionInput::Video(VideoEvent::Status(status)) => self.on_status(status, now),
            SessionInput::Audio(fragment) => self.send_audio(fragment, now),
            SessionInput::Message(message) => return self.on_message(message, now),
            SessionInput::Heartbeat if now.time.saturating_sub(self.last_message) > VIEWER_TIMEOUT => {
                return Err(ViewerFault::too_slow("no message from the viewer for 12 s; connect again"));
            }
            SessionInput::Heartbeat => self.ping(0, false, now),
        }
        Ok(())
    }

    /// Decides whether the session may send, after the actions so far were written. Skips media for which it is too late.
    ///
    /// # Errors
    /// The viewer has to be refused.
    pub(super) fn advance(&mut self, now: Now) -> Result<SendDecision, ViewerFault> {
        if std::mem::take(&mut self.video.behind) {
            self.skip(self.tolerated_lag(now), GapReason::Behind);
        }
        self.choose_level(now);
        if !self.paused {
            self.ping_if_due(now);
        }
        self.in_flight_bytes.set(self.video.reader.rendition(), self.abr.in_flight());
        match self.abr.send_decision(now.time) {
            SendDecision::Close => Err(ViewerFault::too_slow("nothing was acknowledged for 10 s; connect again")),
            _ if self.paused => Ok(SendDecision::Hold),
            SendDecision::Send if !self.waits_for_low(now) => {
                if std::mem::take(&mut self.held) {
                    self.skip(self.tolerated_lag(now), GapReason::Behind);
                }
                Ok(SendDecision::Send)
            }
            SendDecision::Send | SendDecision::Hold => {
                self.held = true;
                Ok(SendDecision::Hold)
            }
        }
    }

    fn on_message(&mut self, message: ClientMessage, now: Now) -> Result<(), ViewerFault> {
        self.last_message = now.time;
        match message {
            ClientMessage::Ack(Ack { received, at, .. }) => {
                if let Some(age) = self.abr.on_ack(received, at, now.time)? {
                    self.video.reader.rendition().stats().record_delivery(age);
                }
            }
            ClientMessage::Ping(ping) => {
                self.message(ServerMessage::Pong(Pong { sent: ping.sent, at: now.unix_ms, received: None }));
            }
            ClientMessage::Pong(Pong { sent, at, received }) => self.abr.on_pong(sent, at, received, now.time)?,
            ClientMessage::Pause => {
                self.paused = true;
                self.abr.interrupted(now.time);
            }
            ClientMessage::Resume => self.resume(now),
            ClientMessage::Resize { size } => self.video.reader.set_shown(Some(size)),
            ClientMessage::Quality { quality } => self.set_quality(quality, now),
            ClientMessage::Switch { variant } => self.want((variant, self.video.choice.1), now),
            ClientMessage::Tracks { tracks } => self.audio.want(&tracks, &self.stream),
            ClientMessage::Play(play) => {
                self.audio.want(&play.tracks, &self.stream);
                self.video.playable = playable(&play);
                self.video.reader.set_shown(play.size);
                self.want((play.variant, play.quality.unwrap_or(self.video.choice.1)), now);
            }
        }
        Ok(())
    }

    /// Resumes after a pause. Restarts with the init segment for a viewer that has not paused.
    fn resume(&mut self, now: Now) {
        self.abr.interrupted(now.time);
        if std::mem::take(&mut self.paused) {
            return self.skip(Duration::ZERO, GapReason::Paused);
        }
        (self.video.init, self.video.start) = (None, None);
        self.video.reader.rewind();
        self.audio.rewind();
    }

    /// Follows the viewer's choice of quality. A variant that stays gets no `ready`; `reason` tells the viewer its new reason.
    fn set_quality(&mut self, quality: Quality, now: Now) {
        let before = self.settled();
        self.want((self.video.choice.0, quality), now);
        let has_begun = self.video.epoch > 0 && self.video.init.is_none();
        if let (Some((variant, old)), Some((same, why))) = (before, self.settled())
            && has_begun
            && variant == same
            && old != why
        {
            self.message(ServerMessage::Reason { why });
        }
    }

    /// The variant that is sent, and its reason, unless another one is awaited.
    fn settled(&self) -> Option<(Variant, VariantReason)> {
        Some((self.video.reader.variant(), self.video.reader.settled_reason()?))
    }

    fn want(&mut self, choice: (VariantChoice, Quality), now: Now) {
        self.video.choice = choice;
        let choice = Choice::new(choice.0, choice.1);
        self.video.reader.want(Wanted::Choice(choice, self.video.playable.clone()));
        self.choose_level(now);
    }

    /// Follows the decisions for the full variant or `low`, by the link and by the tile's size, and keeps `low` running while the
    /// link may want it.
    fn choose_level(&mut self, now: Now) {
        self.video.reader.keep_low(self.abr.low_wanted_for(now.time).is_some());
        self.abr.set_may_use_low(self.video.reader.may_choose_low(), now.time);
        let sub_is_available = now.time >= self.video.sub_from;
        self.video.reader.follow(self.abr.level() == Level::Low, sub_is_available);
    }

    fn on_status(&mut self, status: Status, now: Now) {
        let offline = |status: &Status| matches!(status, Status::Offline { .. });
        let camera_fails = || offline(&self.stream.rendition(Variant::Copy).status());
        if offline(&status) && self.video.reader.is_low_chosen() && !camera_fails() {
            // Only `low` has failed. `advance` chooses another variant.
            self.abr.unavailable(now.time);
        } else if offline(&status) && self.video.reader.is_small() {
            self.video.sub_from = now.time + SUB_UNAVAILABLE;
        } else {
            self.actions.push_back(SessionAction::Status(status));
        }
    }

    fn send_video(&mut self, fragment: Arc<Fragment>, now: Now) {
        if let Some(init) = self.video.init.take() {
            self.video.epoch += 1;
            let reader = &self.video.reader;
            self.abr.begin(reader.rendition().bit_rate().map(|bits| bits as f64 / 8.0), now.time);
            let audio = self.stream.audio_buffer().audio().is_some();
            self.message(ServerMessage::Ready(self.video.reader.ready(&init, self.video.epoch, audio)));
            self.send_init(init.bytes.clone(), now);
            let time = init.time(fragment.head.decode_time);
            let is_sub = self.video.reader.is_sub();
            self.video.start = Some(VideoStart { timeline: init.timeline, time, is_sub });
        }
        let lag = self.video.reader.lag();
        self.video.behind = !lag.is_zero();
        self.send_fragment(fragment, lag, now);
    }

    fn send_audio(&mut self, fragment: Arc<Fragment>, now: Now) {
        if let Some((track, init)) = self.audio.begin() {
            self.message(track);
            self.send_init(init.bytes.clone(), now);
        }
        // The video's lag decides the variant, so it is recorded for audio too.
        let lag = self.video.reader.lag();
        self.send_fragment(fragment, lag, now);
    }

    fn send_init(&mut self, init: Bytes, now: Now) {
        self.abr.on_sent(init.len(), Duration::ZERO, now.time);
        self.actions.push_back(SessionAction::Init(init));
    }

    /// Sends a fragment after the video has `waited` to be sent.
    fn send_fragment(&mut self, fragment: Arc<Fragment>, waited: Duration, now: Now) {
        self.abr.on_sent(fragment.bytes.len(), waited, now.time);
        self.actions.push_back(SessionAction::Fragment(fragment));
    }

    /// Skips to the newest key frame if the lag exceeds `tolerated`.
    fn skip(&mut self, tolerated: Duration, why: GapReason) {
        let skipped = self.video.reader.skip_if_behind(tolerated, why);
        if skipped > 0 {
            self.gap(skipped, why);
        }
    }

    fn gap(&mut self, skipped: u64, why: GapReason) {
        self.message(ServerMessage::Gap { skipped, why });
    }

    fn ping_if_due(&mut self, now: Now) {
        let rates = self.rates();
        match self.abr.ping_due(rates, now.time) {
            Some(PingRequest::One(padding)) => self.ping(padding, false, now),
            Some(PingRequest::Train(padding)) => {
                self.ping(0, false, now);
                self.ping(padding, true, now);
            }
            None => {}
        }
    }

    fn ping(&mut self, padding: usize, train: bool, now: Now) {
        // Whole milliseconds survive the round trip through JSON.
        let ping = Ping { sent: now.unix_ms.round(), padding: ".".repeat(padding) };
        self.abr.on_ping_sent(ping.sent, padding, train, now.time);
        self.message(ServerMessage::Ping(ping));
    }

    fn message(&mut self, message: ServerMessage) {
        self.actions.push_back(SessionAction::Message(message));
    }

    /// The level of the variant that is sent.
    fn sending(&self) -> Level {
        if self.video.reader.variant() == Variant::Low { Level::Low } else { Level::Full }
    }

    /// Whether sending pauses until `low` has started.
    fn waits_for_low(&self, now: Now) -> bool {
        let reader = &self.video.reader;
        reader.is_low_chosen() && self.abr.waits_for_low(self.sending(), reader.lag(), now.time)
    }

    fn tolerated_lag(&self, now: Now) -> Duration {
        self.abr.tolerated_lag(self.sending(), now.time)
    }

    /// The rates of both variants while `low` is chosen, as far as they are known.
    fn rates(&mut self) -> Option<Rates> {
        let full = self.video.reader.full_variant().filter(|_| self.video.reader.is_low_chosen())?;
        let bytes = |variant| Some(self.stream.rendition(variant).bit_rate()? as f64 / 8.0);
        // A transcoded full variant may have stopped: the last rate counts.
        self.video.full_rate = bytes(full).or(self.video.full_rate);
        Some(Rates { full: self.video.full_rate?, low: bytes(Variant::Low)? })
    }
}

/// The variant that a viewer gets first which sent `play`.
pub(super) fn first_variant(stream: &Stream, play: &Play) -> Variant {
    variant_reader::first_variant(stream, &wanted(play), play.size)
}

fn wanted(play: &Play) -> Wanted {
    Wanted::Choice(Choice::new(play.variant, play.quality.unwrap_or_default()), playable(play))
}

/// The codecs that the viewer plays. Ignores codecs that the relay never sends.
pub(super) fn playable(play: &Play) -> Vec<VideoCodec> {
    play.codecs.iter().filter_map(|codec| codec.parse().ok()).collect()
}

#[cfg(test)]
mod tests;

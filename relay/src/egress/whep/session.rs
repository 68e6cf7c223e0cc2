//! One viewer: the thin loop around str0m, which implements WebRTC, and the policies of the other modules.
//!
//! Input: packets, frames and sound. Output: packets. A frame is read from the ring after the previous one has been sent. The session
//! holds only the packets of one frame, and those for retransmission ([`RESEND`]).

use std::net::SocketAddr;
use std::time::Duration;

use str0m::media::{MediaTime, Pt};
use str0m::net::{Protocol, Receive};
use str0m::{Event, Input, Output, Rtc, RtcError};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::audio::{AudioSender, NegotiatedAudio, Sound};
use super::channel::ReadyChannel;
use super::frame_reader::{FrameReader, Media, RtpFrame};
use super::inbox::InboxMessage;
use super::keyframe_limiter::KeyframeLimiter;
use super::pacer::Pacer;
use super::paths::Paths;
use super::payload::{self, Payload};
use super::rtp_time::{CLOCK_RATE, RtpClock, SessionTime};
use super::timeout::{EndReason, SessionTimeout};
use super::track::Track;
use crate::access::Expiry;

/// Packets kept for retransmission, more than the largest key frames have. They take a megabyte, nearly all of a viewer's
/// memory.
pub(super) const RESEND: usize = 512;
/// Maximum number of trickled candidates: several per network of the viewer.
const CANDIDATES_MAX: usize = 64;
/// The largest maximum at which Chromium shows a frame as soon as it is decoded, if the minimum is 0. Above it, Chromium paces
/// frames.
const PLAYOUT_DELAY_MAX: Duration = Duration::from_millis(400);

/// The least delay of frames while the viewer gets sound, which is at least this late (130 ms in Chromium on the same machine).
/// An Opus packet holds 20 ms, FFmpeg writes it with the next one, and the receiver buffers packets before its sound card.
/// Chromium aligns the tracks in small steps over ten seconds, to within 30 ms; so it begins near the end.
const PLAYOUT_DELAY_WITH_AUDIO: Duration = Duration::from_millis(100);

/// The result of negotiation with the viewer.
pub(super) struct Negotiated {
    pub(super) rtc: Rtc,
    pub(super) video: Track,
    /// The payload types of video.
    pub(super) payloads: Vec<Payload>,
    /// The section for sound, if the viewer offers one and the stream may have sound.
    pub(super) audio: Option<NegotiatedAudio>,
    /// The addresses of the relay's candidates.
    pub(super) local: Vec<(Protocol, SocketAddr)>,
}

/// See the [module](self). A field for each policy of the loop: they share its turns and nothing else.
pub(super) struct WhepSession {
    negotiated: Negotiated,
    frames: FrameReader,
    audio: Option<AudioSender>,
    paths: Paths,
    inbox: mpsc::Receiver<InboxMessage>,
    candidates: usize,
    /// The expiry of the token that admitted the viewer.
    pub(super) expiry: Option<Expiry>,
    began: Instant,
    timeout: SessionTimeout,
    pacer: Pacer,
    clock: RtpClock,
    keyframe_limiter: KeyframeLimiter,
    channel: ReadyChannel,
    /// The payload type of the current epoch. `None` before the first.
    pt: Option<Pt>,
    /// The times of the newest key frame and the newest frame that were sent.
    gop: Option<(i64, i64)>,
    /// Number of frames sent.
    pub(super) sent: u64,
}

impl WhepSession {
    pub(super) fn new(
        negotiated: Negotiated,
        frames: FrameReader,
        audio: Option<AudioSender>,
        paths: Paths,
        inbox: mpsc::Receiver<InboxMessage>,
        expiry: Option<Expiry>,
    ) -> Self {
        Self {
            negotiated,
            frames,
            audio,
            paths,
            inbox,
            candidates: 0,
            expiry,
            began: Instant::now(),
            timeout: SessionTimeout::default(),
            pacer: Pacer::default(),
            clock: RtpClock::default(),
            keyframe_limiter: KeyframeLimiter::default(),
            channel: ReadyChannel::default(),
            pt: None,
            gop: None,
            sent: 0,
        }
    }

    /// Runs until the session ends.
    pub(super) async fn run(&mut self, shutdown: &CancellationToken) -> EndReason {
        let expired = Expiry::passed(self.expiry.take());
        let turns = async {
            loop {
                if let Err(ended) = self.turn(shutdown).await {
                    break ended;
                }
            }
        };
        let ended = tokio::select! {
            ended = turns => ended,
            () = expired => EndReason::Expired,
        };
        // Tells the viewer, if it still takes packets.
        if self.negotiated.rtc.close().is_ok() {
            let _ = timeout(Duration::from_millis(500), self.flush()).await;
        }
        ended
    }

    /// Sends pending packets, then waits for one event and handles it.
    async fn turn(&mut self, shutdown: &CancellationToken) -> Result<(), EndReason> {
        let due = self.flush().await?;
        let now = self.time();
        if let Some(ended) = self.timeout.ended(now) {
            return Err(ended);
        }
        let wait = self.pacer.wait(now);
        // Before the viewer is connected, only the variant is determined, so that a transcoder starts.
        let wanted = if self.timeout.is_connected() { wait.is_zero() } else { !self.frames.has_begun() };
        let mut wake = due.min(self.began + self.timeout.ends_at());
        if self.timeout.is_connected() && !wait.is_zero() {
            wake = wake.min(self.began + now + wait);
        }
        tokio::select! {
            () = shutdown.cancelled() => Err(EndReason::Stopping),
            message = self.inbox.recv() => match message {
                Some(message) => self.receive(message).await,
                None => Err(EndReason::Left),
            },
            media = self.frames.next(), if wanted => self.send(media).await,
            sound = next_sound(&mut self.audio) => self.send_sound(&sound).await,
            () = sleep_until(wake) => self.input(Input::Timeout(std::time::Instant::now())),
        }
    }

    /// Sends all pending packets. Returns the time at which there may be more.
    async fn flush(&mut self) -> Result<Instant, EndReason> {
        loop {
            match self.negotiated.rtc.poll_output().map_err(rtc_error)? {
                Output::Timeout(_) if !self.negotiated.rtc.is_alive() => return Err(EndReason::Left),
                Output::Timeout(due) => return Ok(due.into()),
                Output::Transmit(packet) => {
                    let now = self.time();
                    self.paths.send(packet, now).await?;
                }
                Output::Event(event) => self.handle(&event)?,
            }
        }
    }

    fn handle(&mut self, event: &Event) -> Result<(), EndReason> {
        let now = self.time();
        match event {
            Event::Connected => {
                self.timeout.on_connected(now);
                self.paths.guard.connected();
                self.audio.iter_mut().for_each(AudioSender::start);
            }
            Event::KeyframeRequest(_) if self.keyframe_limiter.allows(self.gop_so_far(), now) => {
                debug!(id = %self.paths.guard.id, "key frame requested: repeating the GOP");
                self.keyframe_limiter.began(now);
                self.frames.rewind();
            }
            Event::ChannelOpen(id, label) => self.channel.opened(&mut self.negotiated.rtc, *id, label)?,
            Event::ChannelClose(id) => self.channel.closed(*id),
            _ => {}
        }
        Ok(())
    }

    async fn receive(&mut self, message: InboxMessage) -> Result<(), EndReason> {
        match message {
            InboxMessage::Packet { protocol, source, bytes } => {
                let now = self.time();
                match self.paths.receive(protocol, source, bytes, now).await {
                    Some(packet) => self.packet(protocol, source, &packet),
                    None => Ok(()),
                }
            }
            InboxMessage::Connection { source, outbox, first } => {
                if self.paths.connect(source, outbox, &first) {
                    return self.packet(Protocol::Tcp, source, &first);
                }
                Ok(())
            }
            InboxMessage::Candidate(candidate) => {
                self.candidates += 1;
                if self.candidates <= CANDIDATES_MAX {
                    self.negotiated.rtc.add_remote_candidate(candidate);
                }
                Ok(())
            }
            InboxMessage::Delete => Err(EndReason::Left),
            InboxMessage::Replaced => Err(EndReason::Replaced),
        }
    }

    fn packet(&mut self, protocol: Protocol, source: SocketAddr, bytes: &[u8]) -> Result<(), EndReason> {
        // A wildcard socket does not know the destination address. It only selects the candidate pair.
        let ours = |&&(of, at): &&(Protocol, SocketAddr)| of == protocol && at.is_ipv4() == source.is_ipv4();
        let Some(&(_, destination)) = self.negotiated.local.iter().find(ours) else {
            return Ok(());
        };
        let Ok(received) = Receive::new(protocol, source, destination, bytes) else {
            return Ok(());
        };
        let input = Input::Receive(std::time::Instant::now(), received);
        if !self.negotiated.rtc.accepts(&input) {
            return Ok(());
        }
        self.timeout.on_packet(self.time());
        self.input(input)
    }

    fn input(&mut self, input: Input<'_>) -> Result<(), EndReason> {
        self.negotiated.rtc.handle_input(input).map_err(rtc_error)
    }

    async fn send(&mut self, media: Media) -> Result<(), EndReason> {
        match media {
            Media::Epoch { codec, timeline, same } => {
                self.audio.iter_mut().for_each(|audio| audio.follow(timeline));
                self.pt = Some(payload::choose(&self.negotiated.payloads, &codec).ok_or(EndReason::OtherCodec)?);
                if !same {
                    self.clock.begin_epoch(timeline.number);
                    self.keyframe_limiter.began(self.time());
                    self.gop = None;
                    if let Some(ready) = self.frames.ready(self.channel.epochs() + 1) {
                        self.channel.announce(&mut self.negotiated.rtc, ready);
                    }
                }
                Ok(())
            }
            Media::Frames(frames) => {
                for frame in frames {
                    self.write(frame)?;
                    self.flush().await?;
                }
                Ok(())
            }
        }
    }

    async fn send_sound(&mut self, sound: &Sound) -> Result<(), EndReason> {
        let session = self.session_time();
        let Some(audio) = &mut self.audio else { return Ok(()) };
        audio.write(&mut self.negotiated.rtc, sound, &self.clock, session).map_err(rtc_error)?;
        self.flush().await.map(drop)
    }

    fn write(&mut self, frame: RtpFrame) -> Result<(), EndReason> {
        let session = self.session_time();
        let now = session.elapsed();
        let time = self.clock.stamp(frame.time, frame.lag, (now.as_secs_f64() * CLOCK_RATE as f64) as i64);
        let key_frame = self.gop.map(|(key_frame, _)| key_frame).filter(|_| !frame.keyframe);
        self.gop = Some((key_frame.unwrap_or(frame.time), frame.time));
        self.pacer.sent(frame.bytes.len(), now);
        let (Some(pt), Some(writer)) = (self.pt, self.negotiated.video.writer(&mut self.negotiated.rtc)) else {
            return Ok(());
        };
        self.sent += 1;
        let time = MediaTime::from_90khz(time);
        let has_audio = self.audio.as_ref().is_some_and(AudioSender::has_begun);
        let least = if has_audio { PLAYOUT_DELAY_WITH_AUDIO } else { Duration::ZERO };
        let delay = |limit: Duration| MediaTime::from_90khz(limit.as_millis() as u64 * CLOCK_RATE / 1000);
        writer
            .playout_delay(delay(least), delay(PLAYOUT_DELAY_MAX))
            .write(pt, session.wallclock(time.into()), time, frame.bytes)
            .map_err(rtc_error)
    }

    /// The duration of the current GOP so far.
    fn gop_so_far(&self) -> Duration {
        let ticks = self.gop.map_or(0, |(key_frame, newest)| newest.saturating_sub(key_frame).max(0));
        Duration::from_secs_f64(ticks as f64 / CLOCK_RATE as f64)
    }

    /// The time since the session began.
    fn time(&self) -> Duration {
        self.began.elapsed()
    }

    fn session_time(&self) -> SessionTime {
        SessionTime { began: self.began.into_std(), now: std::time::Instant::now() }
    }
}

/// The next sound. Pending for a viewer without sound. Cancel-safe.
async fn next_sound(audio: &mut Option<AudioSender>) -> Sound {
    match audio {
        Some(audio) => audio.next().await,
        None => std::future::pending().await,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn rtc_error(error: RtcError) -> EndReason {
    EndReason::Broken(error.to_string())
}

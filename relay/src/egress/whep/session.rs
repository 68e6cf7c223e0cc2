//! One viewer: the thin loop around str0m, which knows WebRTC, and the policies beside this file.
//!
//! Enters: packets and pictures. Leaves: packets. A picture is taken from the ring when the one before has left, so
//! nothing waits here but the packets of one picture, and those that may have to be sent again ([`RESEND`]).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use str0m::media::{MediaTime, Mid, Pt};
use str0m::net::{Protocol, Receive, Transmit};
use str0m::{Event, Input, Output, Rtc, RtcError};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::feed::{Feed, Media, Picture};
use super::life::{Ended, Life};
use super::network::{self, Message, Sessions};
use super::pace::Pace;
use super::payload::{self, Payload};
use super::replay::ReplayLimiter;
use super::rtp_time::{CLOCK_RATE, RtpClock};
use super::table::SessionId;

/// Packets that are kept to be sent again, 600 KB: the worst case of a viewer's memory.
pub(super) const RESEND: usize = 512;
/// How long a TCP connection may take nothing.
pub(super) const STUCK: Duration = Duration::from_secs(10);
/// Candidates that a viewer may trickle: some for each of its networks.
const CANDIDATES_MAX: usize = 64;
/// TCP connections of one viewer: it tries each candidate once.
const CONNECTIONS_MAX: usize = 8;
/// Up to here Chromium shows a picture as soon as it is decoded, where the least delay is none; above, it paces them.
const PLAYOUT_DELAY_MAX: Duration = Duration::from_millis(400);

/// The session's place in the table, which it leaves when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) sessions: Sessions,
    pub(super) id: SessionId,
}

impl Drop for Place {
    fn drop(&mut self) {
        network::lock(&self.sessions).remove(self.id);
    }
}

/// What was agreed on with the viewer.
pub(super) struct Agreed {
    pub(super) rtc: Rtc,
    pub(super) mid: Mid,
    pub(super) payloads: Vec<Payload>,
    /// Our candidates' addresses.
    pub(super) local: Vec<(Protocol, SocketAddr)>,
}

/// See the [module](self).
pub(super) struct Session {
    agreed: Agreed,
    feed: Feed,
    place: Place,
    inbox: mpsc::Receiver<Message>,
    udp: Option<Arc<UdpSocket>>,
    tcp: Vec<(SocketAddr, mpsc::Sender<Bytes>)>,
    candidates: usize,
    began: Instant,
    life: Life,
    pace: Pace,
    clock: RtpClock,
    replay: ReplayLimiter,
    /// The payload type of the current epoch; none where there is none for its codec.
    pt: Option<Pt>,
    /// The time of the newest key frame that was sent, and of the newest picture.
    gop: Option<(i64, i64)>,
    /// Pictures sent.
    pub(super) sent: u64,
}

impl Session {
    pub(super) fn new(
        agreed: Agreed,
        feed: Feed,
        place: Place,
        inbox: mpsc::Receiver<Message>,
        udp: Option<Arc<UdpSocket>>,
    ) -> Self {
        Self {
            agreed,
            feed,
            place,
            inbox,
            udp,
            tcp: Vec::new(),
            candidates: 0,
            began: Instant::now(),
            life: Life::default(),
            pace: Pace::default(),
            clock: RtpClock::default(),
            replay: ReplayLimiter::default(),
            pt: None,
            gop: None,
            sent: 0,
        }
    }

    /// Runs until there is a reason to end.
    pub(super) async fn run(&mut self, shutdown: &CancellationToken) -> Ended {
        let ended = loop {
            if let Err(ended) = self.turn(shutdown).await {
                break ended;
            }
        };
        // The viewer is told, as far as it still takes anything.
        if self.agreed.rtc.close().is_ok() {
            let _ = timeout(Duration::from_millis(500), self.flush()).await;
        }
        ended
    }

    /// Sends what is to be sent, then waits for one thing and does it.
    async fn turn(&mut self, shutdown: &CancellationToken) -> Result<(), Ended> {
        let due = self.flush().await?;
        let now = self.time();
        if let Some(ended) = self.life.ended(now) {
            return Err(ended);
        }
        let wait = self.pace.wait(now);
        // Before the viewer is there, only what to send is found out, so that the transcoder starts.
        let wanted = if self.life.is_connected() { wait.is_zero() } else { !self.feed.has_begun() };
        let mut wake = due.min(self.began + self.life.ends_at());
        if self.life.is_connected() && !wait.is_zero() {
            wake = wake.min(self.began + now + wait);
        }
        tokio::select! {
            () = shutdown.cancelled() => Err(Ended::Stopping),
            message = self.inbox.recv() => match message {
                Some(message) => self.receive(message),
                None => Err(Ended::Left),
            },
            media = self.feed.next(), if wanted => self.send(media).await,
            () = sleep_until(wake) => self.input(Input::Timeout(std::time::Instant::now())),
        }
    }

    /// Sends all packets that there are, and gives the time at which there may be more.
    async fn flush(&mut self) -> Result<Instant, Ended> {
        loop {
            match self.agreed.rtc.poll_output().map_err(broken)? {
                Output::Timeout(_) if !self.agreed.rtc.is_alive() => return Err(Ended::Left),
                Output::Timeout(due) => return Ok(due.into()),
                Output::Transmit(packet) => self.transmit(packet).await?,
                Output::Event(event) => self.handle(&event),
            }
        }
    }

    fn handle(&mut self, event: &Event) {
        let now = self.time();
        match event {
            Event::Connected => {
                self.life.connected(now);
                network::lock(&self.place.sessions).connected(self.place.id);
            }
            Event::KeyframeRequest(_) if self.replay.allows(self.gop_so_far(), now) => {
                debug!(id = %self.place.id, "the viewer asks for a key frame: the GOP is sent again");
                self.replay.began(now);
                self.feed.rewind();
            }
            _ => {}
        }
    }

    async fn transmit(&mut self, packet: Transmit) -> Result<(), Ended> {
        match packet.proto {
            Protocol::Udp => {
                if let Some(udp) = &self.udp {
                    network::send_udp(udp, packet.destination, &packet.contents).await;
                }
                Ok(())
            }
            _ => {
                let Some((_, outbox)) = self.tcp.iter().find(|(peer, _)| *peer == packet.destination) else {
                    return Ok(());
                };
                // A connection that has ended takes nothing; whether the viewer comes by another is seen by its silence.
                let sent = timeout(STUCK, outbox.send(network::frame(&packet.contents))).await;
                sent.map(drop).map_err(|_| Ended::Stuck)
            }
        }
    }

    fn receive(&mut self, message: Message) -> Result<(), Ended> {
        match message {
            Message::Packet { protocol, source, bytes } => self.packet(protocol, source, &bytes),
            Message::Connection(peer, outbox) => {
                self.tcp.retain(|(_, outbox)| !outbox.is_closed());
                if self.tcp.len() < CONNECTIONS_MAX {
                    self.tcp.push((peer, outbox));
                }
                Ok(())
            }
            Message::Candidate(candidate) => {
                self.candidates += 1;
                if self.candidates <= CANDIDATES_MAX {
                    self.agreed.rtc.add_remote_candidate(candidate);
                }
                Ok(())
            }
            Message::Delete => Err(Ended::Left),
        }
    }

    fn packet(&mut self, protocol: Protocol, source: SocketAddr, bytes: &[u8]) -> Result<(), Ended> {
        // Which of our addresses it was sent to is not known on a socket for all of them, and all that is made of it
        // is which candidate pair it belongs to.
        let ours = |&&(of, at): &&(Protocol, SocketAddr)| of == protocol && at.is_ipv4() == source.is_ipv4();
        let Some(&(_, destination)) = self.agreed.local.iter().find(ours) else {
            return Ok(());
        };
        let Ok(received) = Receive::new(protocol, source, destination, bytes) else {
            return Ok(());
        };
        let input = Input::Receive(std::time::Instant::now(), received);
        if !self.agreed.rtc.accepts(&input) {
            return Ok(());
        }
        self.life.heard(self.time());
        self.input(input)
    }

    fn input(&mut self, input: Input<'_>) -> Result<(), Ended> {
        self.agreed.rtc.handle_input(input).map_err(broken)
    }

    async fn send(&mut self, media: Media) -> Result<(), Ended> {
        match media {
            Media::Epoch { codec, same } => {
                self.pt = payload::choose(&self.agreed.payloads, &codec);
                if !same {
                    self.clock.begin_epoch();
                    self.replay.began(self.time());
                    self.gop = None;
                }
                Ok(())
            }
            Media::Pictures(pictures) => {
                for picture in pictures {
                    self.write(picture)?;
                    self.flush().await?;
                }
                Ok(())
            }
        }
    }

    fn write(&mut self, picture: Picture) -> Result<(), Ended> {
        let now = self.time();
        let time = self.clock.stamp(picture.time, picture.lag, (now.as_secs_f64() * CLOCK_RATE as f64) as i64);
        let key_frame = self.gop.map(|(key_frame, _)| key_frame).filter(|_| !picture.keyframe);
        self.gop = Some((key_frame.unwrap_or(picture.time), picture.time));
        self.pace.sent(picture.bytes.len(), now);
        let (Some(pt), Some(writer)) = (self.pt, self.agreed.rtc.writer(self.agreed.mid)) else {
            return Ok(());
        };
        self.sent += 1;
        let most = MediaTime::from_90khz(PLAYOUT_DELAY_MAX.as_millis() as u64 * CLOCK_RATE / 1000);
        writer
            .playout_delay(MediaTime::from_90khz(0), most)
            .write(pt, std::time::Instant::now(), MediaTime::from_90khz(time), picture.bytes)
            .map_err(broken)
    }

    /// How long the GOP lasts that is being sent.
    fn gop_so_far(&self) -> Duration {
        let ticks = self.gop.map_or(0, |(key_frame, newest)| newest.saturating_sub(key_frame).max(0));
        Duration::from_secs_f64(ticks as f64 / CLOCK_RATE as f64)
    }

    /// The time since the session began.
    fn time(&self) -> Duration {
        self.began.elapsed()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn broken(error: RtcError) -> Ended {
    Ended::Broken(error.to_string())
}

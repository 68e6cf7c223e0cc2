//! A WebRTC viewer without a browser, with configurable offer and feedback.

use std::net::SocketAddr;
use std::time::{Duration, Instant, UNIX_EPOCH};

use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid, SenderFeedback};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};
use tokio::net::UdpSocket;

use crate::http;
use crate::relay::Relay;
use crate::stun::IceSession;
use crate::viewer::unix_ms;

/// The time limit of connecting: some round trips on loopback, on a busy machine.
const CONNECT: Duration = Duration::from_secs(5);

/// A received frame.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Its codec.
    pub codec: Codec,
    /// Its RTP time, in ticks of 90 kHz.
    pub time: u64,
    /// Its arrival, in milliseconds since the Unix epoch.
    pub at: f64,
    /// Its bytes in Annex B format.
    pub bytes: Vec<u8>,
}

impl Picture {
    /// The types of its NAL units.
    pub fn units(&self) -> Vec<u8> {
        let starts = self.bytes.windows(4).filter(|window| window[..3] == [0, 0, 1]).map(|window| window[3]);
        starts.map(|header| if self.codec == Codec::H265 { header >> 1 & 0x3f } else { header & 0x1f }).collect()
    }

    /// Whether it is a key frame.
    pub fn is_key(&self) -> bool {
        let key = if self.codec == Codec::H265 { 16..=21 } else { 5..=5 };
        self.units().iter().any(|unit| key.contains(unit))
    }
}

/// A received packet of sound.
#[derive(Debug, Clone)]
pub struct Packet {
    /// Its codec.
    pub codec: Codec,
    /// Its RTP time, in ticks of its codec.
    pub time: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A received sender report (RFC 3550, section 6.4.1).
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// The kind of its track.
    pub kind: MediaKind,
    /// Its NTP time, in seconds since the Unix epoch.
    ntp: f64,
    /// Its RTP time, in ticks of the track's codec.
    time: u64,
}

impl Report {
    fn new(kind: MediaKind, feedback: &SenderFeedback) -> Self {
        let info = feedback.sender_info;
        let ntp = info.ntp_time.duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
        Self { kind, ntp, time: info.rtp_time.numer() }
    }
}

/// See the [module](self).
pub struct Peer {
    rtc: Rtc,
    socket: UdpSocket,
    mid: Mid,
    connected: bool,
    /// Its ICE session.
    pub ice: IceSession,
    /// All frames since the start.
    pub pictures: Vec<Picture>,
    /// All packets of sound since the start.
    pub packets: Vec<Packet>,
    /// All sender reports since the start.
    pub reports: Vec<Report>,
}

impl Peer {
    /// Offers these codecs to `path` and connects: with Opus, a section for sound before that for video. PCMA needs Opus.
    ///
    /// # Panics
    /// When that fails.
    pub async fn watch(relay: &Relay, path: &str, codecs: &[Codec]) -> Self {
        Self::watch_at(relay.address(), path, codecs).await
    }

    /// Connects to a relay at this address.
    ///
    /// # Panics
    /// When that fails.
    pub async fn watch_at(relay: SocketAddr, path: &str, codecs: &[Codec]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let config = Rtc::builder().clear_codecs();
        let config = config.enable_h264(codecs.contains(&Codec::H264)).enable_h265(codecs.contains(&Codec::H265));
        let config = config.enable_opus(codecs.contains(&Codec::Opus), false);
        let config = config.enable_pcma(codecs.contains(&Codec::PCMA), false);
        let mut rtc = config.build(Instant::now());
        let address = socket.local_addr().expect("it is bound");
        rtc.add_local_candidate(Candidate::host(address, "udp").expect("an address"));
        let mut changes = rtc.sdp_api();
        if codecs.contains(&Codec::Opus) {
            changes.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
        }
        let mid = changes.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let (offer, pending) = changes.apply().expect("there is something to offer");
        let ice = accept(&mut rtc, relay, path, &offer.to_sdp_string(), pending).await;
        let mut peer = Self {
            rtc,
            socket,
            mid,
            connected: false,
            ice,
            pictures: Vec::new(),
            packets: Vec::new(),
            reports: Vec::new(),
        };
        peer.run(CONNECT, |_, peer| !peer.connected).await;
        assert!(peer.connected, "not connected within {CONNECT:?}");
        peer
    }

    /// Ticks per second of the RTP times of a track of this kind.
    pub(crate) fn rate(&self, kind: MediaKind) -> f64 {
        match self.packets.last().map(|packet| packet.codec) {
            _ if kind.is_video() => 90_000.0,
            Some(Codec::PCMA) => 8000.0,
            _ => 48_000.0,
        }
    }

    /// The NTP time minus the RTP time of a report, in seconds since the Unix epoch: the moment at which the track's RTP time was 0.
    pub fn origin(&self, report: &Report) -> f64 {
        report.ntp - report.time as f64 / self.rate(report.kind)
    }

    /// Requests a key frame, as a decoder without one does (PLI).
    pub fn ask_for_key_frame(&mut self) {
        if let Some(stream) = self.rtc.direct_api().stream_rx_by_mid(self.mid, None) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
    }

    /// Receives for `span`, or until `more` returns false. `more` is called repeatedly with the elapsed time.
    ///
    /// # Panics
    /// When the connection breaks.
    pub async fn run(&mut self, span: Duration, mut more: impl FnMut(Duration, &mut Self) -> bool) {
        /// Short enough for `more` to act in time.
        const TURN: Duration = Duration::from_millis(10);
        let begun = Instant::now();
        let mut buffer = vec![0; 2048];
        let local = self.socket.local_addr().expect("it is bound");
        while begun.elapsed() < span && more(begun.elapsed(), self) {
            self.drain().await;
            let received = tokio::time::timeout(TURN, self.socket.recv_from(&mut buffer)).await;
            let now = Instant::now();
            let input = match &received {
                Ok(Ok((length, source))) => match Receive::new(Protocol::Udp, *source, local, &buffer[..*length]) {
                    Ok(packet) => Input::Receive(now, packet),
                    Err(_) => continue,
                },
                _ => Input::Timeout(now),
            };
            self.rtc.handle_input(input).expect("what the relay sends is right");
        }
    }

    async fn drain(&mut self) {
        loop {
            match self.rtc.poll_output().expect("the connection holds") {
                Output::Timeout(_) => return,
                Output::Transmit(packet) => {
                    // A packet may be lost.
                    let _ = self.socket.send_to(&packet.contents, packet.destination).await;
                }
                Output::Event(Event::Connected) => self.connected = true,
                Output::Event(Event::SenderFeedback(feedback)) => {
                    let kind = if feedback.mid == self.mid { MediaKind::Video } else { MediaKind::Audio };
                    self.reports.push(Report::new(kind, &feedback));
                }
                Output::Event(Event::MediaData(media)) if media.mid != self.mid => {
                    let (codec, time) = (media.params.spec().codec, media.time.numer());
                    self.packets.push(Packet { codec, time, bytes: media.data.to_vec() });
                }
                Output::Event(Event::MediaData(media)) => {
                    let (codec, time) = (media.params.spec().codec, media.time.numer());
                    // In H.265, str0m returns each fragment of a frame as separate media data.
                    match self.pictures.last_mut().filter(|last| last.time == time) {
                        Some(last) => last.bytes.extend_from_slice(&media.data),
                        None => self.pictures.push(Picture { codec, time, at: unix_ms(), bytes: media.data.to_vec() }),
                    }
                }
                Output::Event(_) => {}
            }
        }
    }
}

/// Posts the offer and accepts the answer.
async fn accept(rtc: &mut Rtc, relay: SocketAddr, path: &str, offer: &str, pending: SdpPendingOffer) -> IceSession {
    let headers = [("Content-Type", "application/sdp")];
    let answer = http::send(relay, "POST", path, &headers, offer.into()).await.expect("an answer");
    assert_eq!(answer.status, 201, "{path}: {}", answer.text());
    let text = answer.text();
    let answer = SdpAnswer::from_sdp_string(&text).expect("an answer in SDP");
    rtc.sdp_api().accept_answer(pending, answer).expect("an answer to the offer");
    IceSession::new(offer, &text)
}

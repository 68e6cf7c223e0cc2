//! Creates sessions from SDP offers, and finds them for later requests.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use sightline_protocol::codec::{Family, VideoCodec};
use sightline_protocol::stream::{StreamName, Variant};
use str0m::change::SdpOffer;
use str0m::config::{CryptoProvider, DtlsCert};
use str0m::crypto::from_feature_flags;
use str0m::media::{Direction, Mid};
use str0m::rtp::Extension;
use str0m::{Candidate, Rtc, RtcConfig};
use tokio::time::Instant;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::audio::{self, AudioSender, NegotiatedAudio};
use super::demux::{self, SessionId, Ufrags};
use super::error::WhepError;
use super::frame_reader::{self, FrameReader};
use super::ice_tcp::ConnectionGate;
use super::inbox::{Inbox, InboxMessage, SessionGuard, Sessions, inbox, lock};
use super::network::Port;
use super::paths::Paths;
use super::payload::{self, AudioPayloads, Payload};
use super::session::{self, Negotiated, WhepSession};
use super::stun::{self, IceCredentials};
use super::track::Track;
use super::{BoundPort, address, answer, ice_links, sdp_fragment};
use crate::access::{Expiry, Subject};
use crate::config::Announced;
use crate::egress::select::Choice;
use crate::hub::{Hub, Stream};
use crate::limits::permit::Permit;
use crate::net::escaped::Escaped;

/// An extension id that str0m does not use; the answer takes the offer's.
const PLAYOUT_DELAY_ID: u8 = 7;
/// The interval of sender reports for video is one second, too. Receivers align the tracks once they have two of each.
const AUDIO_REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Time limit for a viewer without H.264 to learn the camera's format.
const FORMAT_WAIT: Duration = Duration::from_secs(8);

/// Creates and finds sessions.
pub(super) struct Endpoint {
    hub: Arc<Hub>,
    port: Arc<Port>,
    announced: Vec<Announced>,
    pub(super) links: Vec<HeaderValue>,
    crypto: Arc<CryptoProvider>,
    /// One certificate until the relay ends. Its fingerprint in the answer binds it to a session.
    certificate: DtlsCert,
    sessions: Sessions,
    pub(super) tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// A viewer's offer.
pub(super) struct Offer {
    pub(super) permit: Permit,
    pub(super) name: StreamName,
    pub(super) sdp: String,
    pub(super) choice: Choice,
    /// The local address of its HTTP connection.
    pub(super) reached: Option<IpAddr>,
    /// The address by which the viewer counts.
    pub(super) client: Option<IpAddr>,
    /// The expiry of its token.
    pub(super) expiry: Option<Expiry>,
}

/// The response to an offer.
pub(super) struct Answer {
    pub(super) id: SessionId,
    pub(super) ufrag: String,
    pub(super) sdp: String,
    /// The variant that is sent, if the camera's format is known.
    pub(super) variant: Option<Variant>,
}

impl Endpoint {
    pub(super) fn start(
        bound: BoundPort,
        hub: Arc<Hub>,
        connections: ConnectionGate,
        shutdown: CancellationToken,
    ) -> Option<Self> {
        let BoundPort { mut port, settings } = bound;
        let crypto = Arc::new(from_feature_flags());
        let Some(certificate) = crypto.dtls_provider.generate_certificate() else {
            warn!("WebRTC disabled: no certificate could be generated");
            return None;
        };
        let sessions = Sessions::default();
        info!(address = %port.address, udp = settings.udp, tcp = settings.tcp, "WebRTC listening");
        let tasks = TaskTracker::new();
        for served in port.serve(connections, &sessions, &tasks) {
            tasks.spawn(run_until(shutdown.clone(), served));
        }
        tasks.close();
        let links = ice_links::ice_links(&settings.ice_servers);
        let announced = settings.candidates;
        Some(Self { hub, port: Arc::new(port), announced, links, crypto, certificate, sessions, tasks, shutdown })
    }

    pub(super) fn stream(&self, name: &StreamName) -> Result<Stream, WhepError> {
        self.hub.stream(name).ok_or_else(|| WhepError::UnknownStream(name.clone()))
    }

    /// Creates a session for an offer.
    pub(super) async fn create(&self, stream: &Stream, offer: Offer) -> Result<Answer, WhepError> {
        if !lock(&self.sessions).has_room(offer.client, Instant::now()) {
            return Err(WhepError::Full);
        }
        let sound = audio::is_possible(stream);
        let (mut negotiated, sdp) = self.negotiate(&offer.sdp, offer.reached, sound)?;
        let playable = payload::playable(&negotiated.payloads);
        let takes_h264 = payload::has(&negotiated.payloads, Family::H264);
        let choice = if takes_h264 { offer.choice } else { Choice::default() };
        if !takes_h264 {
            wait_for_h265(stream, &playable).await?;
        }
        let frames = FrameReader::new(stream.clone(), choice, playable);
        if let Some(failure) = frames.failure() {
            return Err(WhepError::Unavailable(failure.trim_end_matches('.').to_owned()));
        }
        let variant = frames.expected_variant();
        let ours = negotiated.rtc.direct_api().local_ice_credentials();
        let theirs = sdp_fragment::credentials(&offer.sdp)
            .ok_or_else(|| WhepError::NotSdp("it has no ice-ufrag and ice-pwd".to_owned()))?;
        let ufrag = ours.ufrag.clone();
        let names =
            Ufrags { ours: ufrag.clone(), theirs: sdp_fragment::parse(&offer.sdp).and_then(|offer| offer.ufrag) };
        let id = SessionId(rand::random());
        let (sender, inbox) = inbox();
        let added = lock(&self.sessions).add(id, offer.name.clone(), names, offer.client, sender, Instant::now());
        if let Some(replaced) = added.map_err(|demux::Full| WhepError::Full)? {
            // A full inbox means that packets keep it busy. It then ends by its own time limit.
            let _ = replaced.try_send(InboxMessage::Replaced);
        }
        let guard = SessionGuard { sessions: self.sessions.clone(), id };
        let paths = Paths::new(guard, IceCredentials::new(ours, theirs, self.crypto.clone()), self.port.udp.clone());
        let audio = negotiated.audio.take().map(|negotiated| AudioSender::new(negotiated, stream.clone()));
        self.spawn(WhepSession::new(negotiated, frames, audio, paths, inbox, offer.expiry), offer.name, offer.permit);
        Ok(Answer { id, ufrag, sdp, variant })
    }

    /// Runs a session, which holds `permit` until it ends.
    fn spawn(&self, mut session: WhepSession, name: StreamName, permit: Permit) {
        let shutdown = self.shutdown.clone();
        let subject = Subject::of(session.expiry.as_ref());
        subject.log_start(&name, "WebRTC viewer started");
        self.tasks.spawn(async move {
            let begun = Instant::now();
            let _permit = permit;
            let ended = session.run(&shutdown).await;
            let (seconds, subject) = (begun.elapsed().as_secs_f64(), subject.field());
            let (stream, frames) = (name.as_str(), session.sent);
            info!(stream, subject, seconds, frames, "WebRTC viewer ended: {}", Escaped(&ended));
        });
    }

    /// Negotiates with the viewer's offer. `sound` says whether the stream may have sound.
    pub(super) fn negotiate(
        &self,
        offer: &str,
        reached: Option<IpAddr>,
        sound: bool,
    ) -> Result<(Negotiated, String), WhepError> {
        let offer =
            SdpOffer::from_sdp_string(offer).map_err(|error| WhepError::NotSdp(one_line(&error.to_string())))?;
        let mut config = RtcConfig::new()
            .set_crypto_provider(self.crypto.clone())
            .set_dtls_cert(self.certificate.clone())
            .set_ice_lite(true)
            .set_local_ice_credentials(stun::random_credentials())
            .set_extension(PLAYOUT_DELAY_ID, Extension::PlayoutDelay)
            .set_rtcp_report_interval_audio(AUDIO_REPORT_INTERVAL)
            .set_send_buffer_video(session::RESEND);
        *config.codec_config() = payload::offered_by_us();
        let mut rtc = config.build(std::time::Instant::now());
        let addresses = address::candidates(&self.announced, self.port.address, reached, address::route());
        let candidates = self.port.candidates(&addresses);
        let local = candidates.iter().map(|candidate| (candidate.proto(), candidate.addr())).collect();
        candidates.into_iter().for_each(|candidate: Candidate| drop(rtc.add_local_candidate(candidate).cloned()));
        let answer =
            rtc.sdp_api().accept_offer(offer).map_err(|error| WhepError::NotSdp(one_line(&error.to_string())))?;
        let answer = answer.to_sdp_string();
        let mids: Vec<Mid> = answer.lines().filter_map(|line| Some(Mid::from(line.strip_prefix("a=mid:")?))).collect();
        let video = |rtc: &Rtc, mid| rtc.media(mid).is_some_and(|m| m.kind().is_video() && m.direction().is_sending());
        let video: Vec<Mid> = mids.iter().copied().filter(|&mid| video(&rtc, mid)).collect();
        let payloads = |rtc: &mut Rtc, mid| -> Vec<Payload> {
            rtc.writer(mid).map(|writer| writer.payload_params().filter_map(Payload::of).collect()).unwrap_or_default()
        };
        let sent = video.iter().map(|&mid| (mid, payloads(&mut rtc, mid))).find(|(_, payloads)| !payloads.is_empty());
        let Some((mid, payloads)) = sent else {
            return Err(if video.is_empty() {
                WhepError::NoVideo
            } else {
                WhepError::NoCodec("it takes H.264 or H.265")
            });
        };
        let audio = mids.iter().filter(|_| sound).find_map(|&mid| Some((mid, audio_payloads(&mut rtc, mid)?)));
        let audio_mid = audio.map(|(mid, _)| mid);
        for other in mids {
            let sends = other == mid || Some(other) == audio_mid;
            // Takes effect at once. No new offer is needed, because the answer contains the direction.
            rtc.sdp_api().set_direction(other, if sends { Direction::SendOnly } else { Direction::Inactive });
        }
        let answer = answer::send_only(&answer, &mid, audio_mid.as_deref());
        let video = Track::new(&mut rtc, mid).ok_or(WhepError::NoVideo)?;
        let audio =
            audio.and_then(|(mid, payloads)| Some(NegotiatedAudio { track: Track::new(&mut rtc, mid)?, payloads }));
        Ok((Negotiated { rtc, video, payloads, audio, local }, answer))
    }

    /// The inbox of a session of that stream, and its user fragments.
    pub(super) fn session(&self, id: SessionId, name: &StreamName) -> Result<(Inbox, Ufrags), WhepError> {
        let sessions = lock(&self.sessions);
        let (inbox, names) = sessions.find(id, name).ok_or(WhepError::UnknownSession)?;
        Ok((inbox, names.clone()))
    }

    pub(super) async fn delete(&self, id: SessionId, name: &StreamName) -> Result<(), WhepError> {
        let (inbox, _) = self.session(id, name)?;
        lock(&self.sessions).remove(id);
        inbox.send(InboxMessage::Delete).await.map_err(|_| WhepError::UnknownSession)
    }
}

/// The payload types of section `mid`, if sound can be sent in it.
fn audio_payloads(rtc: &mut Rtc, mid: Mid) -> Option<AudioPayloads> {
    let media = rtc.media(mid)?;
    let sends = media.kind().is_audio() && media.direction().is_sending();
    AudioPayloads::of(rtc.writer(mid).filter(|_| sends)?.payload_params())
}

/// Waits until the camera's format is known. Fails unless it is H.265 that the viewer plays.
async fn wait_for_h265(stream: &Stream, playable: &[VideoCodec]) -> Result<(), WhepError> {
    match timeout(FORMAT_WAIT, frame_reader::camera_fits(stream, playable)).await {
        Ok(Some(true)) => Ok(()),
        Ok(Some(false)) => {
            Err(WhepError::NoCodec("it has H.265 alone, and the camera's video cannot be sent as H.265"))
        }
        Ok(None) => Err(WhepError::Unavailable("its source has failed".to_owned())),
        Err(_) => Err(WhepError::Unavailable("its source is still starting".to_owned())),
    }
}

/// The parser's error in one line, because it may quote the body at length.
fn one_line(message: &str) -> String {
    let line = message.split(['\r', '\n']).next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(120).collect()
}

async fn run_until(shutdown: CancellationToken, served: impl Future<Output = ()>) {
    tokio::select! {
        () = served => {}
        () = shutdown.cancelled() => {}
    }
}

#[cfg(test)]
mod tests;

//! Makes sessions out of offers, and finds them again.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use sightline_protocol::codec::Family;
use sightline_protocol::stream::{StreamName, VariantChoice};
use str0m::change::SdpOffer;
use str0m::config::{CryptoProvider, DtlsCert};
use str0m::crypto::from_feature_flags;
use str0m::media::Mid;
use str0m::rtp::Extension;
use str0m::{Candidate, RtcConfig};
use tokio::time::Instant;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::feed::{self, Feed};
use super::network::{self, Inbox, Message, Port, Sessions};
use super::payload::{self, Payload};
use super::refusal::Refusal;
use super::session::{self, Agreed, Place, Session};
use super::table::{self, SessionId, Ufrags};
use super::{Bound, address, fragment, links};
use crate::config::Announced;
use crate::egress::viewers;
use crate::hub::{Hub, Stream};

/// A number that str0m leaves free; the answer uses that of the offer.
const PLAYOUT_DELAY_ID: u8 = 7;
/// How long a viewer without H.264 waits for the camera to show what it sends.
const CAMERA: Duration = Duration::from_secs(8);

/// Makes sessions and finds them.
pub(super) struct Endpoint {
    hub: Arc<Hub>,
    port: Arc<Port>,
    announced: Vec<Announced>,
    pub(super) links: Vec<HeaderValue>,
    crypto: Arc<CryptoProvider>,
    /// One for the relay's life: what binds it to a session is its fingerprint in the answer.
    certificate: DtlsCert,
    sessions: Sessions,
    pub(super) tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// What a viewer is told that has a session now.
pub(super) struct Answer {
    pub(super) id: SessionId,
    pub(super) ufrag: String,
    pub(super) sdp: String,
}

impl Endpoint {
    pub(super) fn start(bound: Bound, hub: Arc<Hub>, shutdown: CancellationToken) -> Option<Self> {
        let Bound { mut port, settings } = bound;
        let crypto = Arc::new(from_feature_flags());
        let Some(certificate) = crypto.dtls_provider.generate_certificate() else {
            warn!("WebRTC is off: no certificate could be made");
            return None;
        };
        let sessions = Sessions::default();
        info!(address = %port.address, udp = settings.udp, tcp = settings.tcp, "WebRTC");
        let tasks = TaskTracker::new();
        for served in port.serve(&sessions, &tasks) {
            tasks.spawn(until(shutdown.clone(), served));
        }
        tasks.close();
        let links = links::links(&settings.ice_servers);
        let announced = settings.candidates;
        Some(Self { hub, port: Arc::new(port), announced, links, crypto, certificate, sessions, tasks, shutdown })
    }

    pub(super) fn stream(&self, name: &str) -> Result<(StreamName, Stream), Refusal> {
        let shown = || Refusal::UnknownStream(name.chars().take(StreamName::MAX_LEN).collect());
        let name = name.parse().map_err(|_| shown())?;
        let stream = self.hub.stream(&name).ok_or_else(shown)?;
        Ok((name, stream))
    }

    /// Answers an offer that came by an HTTP connection to the address `reached`.
    pub(super) async fn create(
        &self,
        viewer: viewers::Place,
        name: &StreamName,
        stream: &Stream,
        offer: &str,
        choice: VariantChoice,
        reached: Option<IpAddr>,
    ) -> Result<Answer, Refusal> {
        if !network::lock(&self.sessions).has_room() {
            return Err(Refusal::Full);
        }
        let (mut agreed, sdp) = self.agree(offer, reached)?;
        let playable = payload::playable(&agreed.payloads);
        let takes_h264 = payload::has(&agreed.payloads, Family::H264);
        let choice = if takes_h264 { choice } else { VariantChoice::Auto };
        if !takes_h264 {
            match timeout(CAMERA, feed::camera_fits(stream, &playable)).await {
                Ok(Some(true)) => {}
                Ok(Some(false)) => {
                    return Err(Refusal::NoCodec("it has H.265 alone, and the camera's own picture cannot be sent so"));
                }
                Ok(None) => return Err(Refusal::Unavailable("its source has failed".to_owned())),
                Err(_) => return Err(Refusal::Unavailable("its source is still starting".to_owned())),
            }
        }
        let mut feed = Feed::new(stream.clone(), choice, playable);
        if let Some(failure) = feed.failure() {
            return Err(Refusal::Unavailable(failure.trim_end_matches('.').to_owned()));
        }
        let ufrag = agreed.rtc.direct_api().local_ice_credentials().ufrag;
        let theirs = fragment::read(offer).and_then(|offer| offer.ufrag);
        let names = Ufrags { ours: ufrag.clone(), theirs };
        let id = SessionId(rand::random());
        let (reach, inbox) = network::inbox();
        let added = network::lock(&self.sessions).add(id, name.clone(), names, reach);
        added.map_err(|table::Full| Refusal::Full)?;
        let place = Place { sessions: self.sessions.clone(), id };
        let mut session = Session::new(agreed, feed, place, inbox, self.port.udp.clone());
        let (shutdown, name) = (self.shutdown.clone(), name.clone());
        self.tasks.spawn(async move {
            let begun = Instant::now();
            let _viewer = viewer;
            let ended = session.run(&shutdown).await;
            let seconds = begun.elapsed().as_secs_f64();
            info!(stream = %name, seconds, pictures = session.sent, "WebRTC viewer ended: {ended}");
        });
        Ok(Answer { id, ufrag, sdp })
    }

    /// What can be agreed on with a viewer who offers this.
    pub(super) fn agree(&self, offer: &str, reached: Option<IpAddr>) -> Result<(Agreed, String), Refusal> {
        let offer = SdpOffer::from_sdp_string(offer).map_err(|error| Refusal::NotSdp(brief(&error.to_string())))?;
        let mut config = RtcConfig::new()
            .set_crypto_provider(self.crypto.clone())
            .set_dtls_cert(self.certificate.clone())
            .set_ice_lite(true)
            .set_extension(PLAYOUT_DELAY_ID, Extension::PlayoutDelay)
            .set_send_buffer_video(session::RESEND);
        *config.codec_config() = payload::offered_by_us();
        let mut rtc = config.build(std::time::Instant::now());
        let addresses = address::candidates(&self.announced, self.port.address, reached, address::route());
        let candidates = self.port.candidates(&addresses);
        let local = candidates.iter().map(|candidate| (candidate.proto(), candidate.addr())).collect();
        candidates.into_iter().for_each(|candidate: Candidate| drop(rtc.add_local_candidate(candidate).cloned()));
        let answer = rtc.sdp_api().accept_offer(offer).map_err(|error| Refusal::NotSdp(brief(&error.to_string())))?;
        let mut asked = false;
        let answer = answer.to_sdp_string();
        for mid in answer.lines().filter_map(|line| Some(Mid::from(line.strip_prefix("a=mid:")?))) {
            let sends = rtc.media(mid).is_some_and(|media| media.kind().is_video() && media.direction().is_sending());
            asked |= sends;
            let payloads: Vec<Payload> = match rtc.writer(mid).filter(|_| sends) {
                Some(writer) => writer.payload_params().filter_map(Payload::of).collect(),
                None => continue,
            };
            if !payloads.is_empty() {
                return Ok((Agreed { rtc, mid, payloads, local }, answer));
            }
        }
        Err(if asked { Refusal::NoCodec("it takes H.264 or H.265") } else { Refusal::NoVideo })
    }

    /// How a session of that stream is reached, and its user fragments.
    pub(super) fn session(&self, id: SessionId, name: &StreamName) -> Result<(Inbox, Ufrags), Refusal> {
        let sessions = network::lock(&self.sessions);
        let (inbox, names) = sessions.find(id, name).ok_or(Refusal::UnknownSession)?;
        Ok((inbox, names.clone()))
    }

    pub(super) async fn delete(&self, id: SessionId, name: &StreamName) -> Result<(), Refusal> {
        let (inbox, _) = self.session(id, name)?;
        network::lock(&self.sessions).remove(id);
        inbox.send(Message::Delete).await.map_err(|_| Refusal::UnknownSession)
    }
}

/// An error of the parser, which may quote the body at length, in a line.
fn brief(message: &str) -> String {
    let line = message.split(['\r', '\n']).next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(120).collect()
}

async fn until(shutdown: CancellationToken, served: impl Future<Output = ()>) {
    tokio::select! {
        () = served => {}
        () = shutdown.cancelled() => {}
    }
}

#[cfg(test)]
mod tests;

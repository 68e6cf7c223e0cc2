//! Receives video, and sound if wanted, over WebRTC, negotiated by WHEP (draft-ietf-wish-whep).

use std::cell::RefCell;
use std::rc::Rc;

use gloo_net::http::Request;
use js_sys::{Map, Reflect};
use sightline_protocol::SUBPROTOCOL;
use sightline_protocol::message::{Ready, ServerMessage};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    HtmlVideoElement, MediaStream, MessageEvent, RtcDataChannel, RtcPeerConnection, RtcPeerConnectionState,
    RtcRtpTransceiverDirection, RtcRtpTransceiverInit, RtcSdpType, RtcSessionDescriptionInit, RtcTrackEvent, Url,
};

use super::error::DomError;
use super::listener::Listener;

/// An event of the connection.
#[derive(Debug, Clone, PartialEq)]
pub enum PeerEvent {
    /// The relay accepted the offer, or refused it.
    Answered(Result<(), Refusal>),
    /// The connection is established.
    Connected,
    /// The connection failed.
    Failed,
    /// The statistics of the received media.
    Received(Received),
    /// The relay announced an epoch on the data channel.
    Ready(Ready),
}

/// The reason for a missing answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The response's status code; none if the relay cannot be reached, or the browser failed.
    pub status: Option<u16>,
    /// A sentence.
    pub message: String,
}

/// The browser's receive statistics (W3C webrtc-stats).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Received {
    /// Bytes of media.
    pub bytes: u64,
    /// In milliseconds.
    pub jitter_ms: Option<f64>,
    /// In milliseconds.
    pub round_trip_ms: Option<f64>,
}

/// A connection that plays in a video; dropping it closes it.
#[must_use = "dropping the connection ends it"]
pub struct Peer {
    connection: RtcPeerConnection,
    video: HtmlVideoElement,
    /// The WHEP resource: the address at which the session is deleted.
    resource: Rc<RefCell<Option<String>>>,
    /// The data channel on which the relay announces epochs.
    _channel: RtcDataChannel,
    _listeners: [Listener; 3],
}

impl Peer {
    /// Connects to a WHEP endpoint. With `audio`, offers to receive sound beside video.
    ///
    /// # Errors
    /// If the browser cannot create a connection.
    pub fn open(
        video: &HtmlVideoElement,
        (endpoint, audio): (String, bool),
        on_event: impl Fn(PeerEvent) + Clone + 'static,
    ) -> Result<Self, DomError> {
        let connection = RtcPeerConnection::new()?;
        let init = RtcRtpTransceiverInit::new();
        init.set_direction(RtcRtpTransceiverDirection::Recvonly);
        let transceiver = connection.add_transceiver_with_str_and_init("video", &init);
        // The least delay that the network allows (W3C webrtc-extensions, jitterBufferTarget).
        let _ =
            Reflect::set(&transceiver.receiver(), &JsValue::from_str("jitterBufferTarget"), &JsValue::from_f64(0.0));
        if audio {
            let _ = connection.add_transceiver_with_str_and_init("audio", &init);
        }
        let channel = connection.create_data_channel(SUBPROTOCOL);
        let ready = {
            let on_event = on_event.clone();
            Listener::new(&channel, "message", move |event| {
                let event: MessageEvent = event.unchecked_into();
                // A newer relay may send messages that this client does not know.
                let message = event.data().as_string().and_then(|text| serde_json::from_str(&text).ok());
                if let Some(ServerMessage::Ready(ready)) = message {
                    on_event(PeerEvent::Ready(ready));
                }
            })
        };
        let state = {
            let (connection, on_event) = (connection.clone(), on_event.clone());
            Listener::new(&connection.clone(), "connectionstatechange", move |_| match connection.connection_state() {
                RtcPeerConnectionState::Connected => on_event(PeerEvent::Connected),
                RtcPeerConnectionState::Failed => on_event(PeerEvent::Failed),
                _ => {}
            })
        };
        let track = {
            let (video, stream) = (video.clone(), MediaStream::new()?);
            Listener::new(&connection, "track", move |event| {
                let event: RtcTrackEvent = event.unchecked_into();
                stream.add_track(&event.track());
                // Setting it again would start over.
                if video.src_object().as_ref() != Some(&stream) {
                    video.set_src_object(Some(&stream));
                }
            })
        };
        let resource = Rc::new(RefCell::new(None));
        let (asking, place) = (connection.clone(), Rc::downgrade(&resource));
        spawn_local(async move {
            let answered = negotiate(&asking, &endpoint).await.map(|location| {
                match place.upgrade() {
                    Some(place) => drop(place.replace(location)),
                    // The connection was dropped during the negotiation.
                    None => end(location),
                }
            });
            on_event(PeerEvent::Answered(answered));
        });
        Ok(Self { connection, video: video.clone(), resource, _channel: channel, _listeners: [state, track, ready] })
    }

    /// Reads the receive statistics and reports them.
    pub fn measure(&self, on_event: impl Fn(PeerEvent) + 'static) {
        let stats = self.connection.get_stats();
        spawn_local(async move {
            if let Ok(report) = JsFuture::from(stats).await {
                on_event(PeerEvent::Received(received(&report)));
            }
        });
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.connection.close();
        self.video.set_src_object(None);
        end(self.resource.take());
    }
}

/// Deletes the WHEP session; otherwise the relay would time it out after some seconds.
fn end(resource: Option<String>) {
    if let Some(resource) = resource {
        spawn_local(async move { drop(Request::delete(&resource).send().await) });
    }
}

/// Sends the offer and applies the answer. Returns the address of the session. The client sends no ICE candidates: the relay
/// replies to the address from which packets arrive.
async fn negotiate(connection: &RtcPeerConnection, endpoint: &str) -> Result<Option<String>, Refusal> {
    let refused = |thrown: JsValue| Refusal { status: None, message: DomError::from(thrown).to_string() };
    let unreachable = |_| Refusal { status: None, message: "the relay cannot be reached".to_owned() };
    let offer = JsFuture::from(connection.create_offer()).await.map_err(refused)?;
    let sdp = Reflect::get(&offer, &JsValue::from_str("sdp")).ok().and_then(|sdp| sdp.as_string()).unwrap_or_default();
    let description = RtcSessionDescriptionInit::new(RtcSdpType::Offer);
    description.set_sdp(&sdp);
    JsFuture::from(connection.set_local_description(&description)).await.map_err(refused)?;
    let request = Request::post(endpoint).header("Content-Type", "application/sdp").body(sdp).map_err(unreachable)?;
    let response = request.send().await.map_err(unreachable)?;
    let text = response.text().await.unwrap_or_default();
    if response.status() != 201 {
        return Err(Refusal { status: Some(response.status()), message: text.trim().to_owned() });
    }
    let location = response.headers().get("location");
    let resource = location.and_then(|location| Url::new_with_base(&location, endpoint).ok()).map(|url| url.href());
    let description = RtcSessionDescriptionInit::new(RtcSdpType::Answer);
    description.set_sdp(&text);
    JsFuture::from(connection.set_remote_description(&description)).await.map_err(refused)?;
    Ok(resource)
}

fn received(report: &JsValue) -> Received {
    let get =
        |object: &JsValue, name: &str| Reflect::get(object, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED);
    let number = |object: &JsValue, name: &str| get(object, name).as_f64();
    let text = |object: &JsValue, name: &str| get(object, name).as_string().unwrap_or_default();
    let entries: Vec<JsValue> = js_sys::try_iter(&report.unchecked_ref::<Map>().values())
        .ok()
        .flatten()
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    let of = |kind: &'static str| entries.iter().filter(move |entry| text(entry, "type") == kind);
    let mut received = Received::default();
    if let Some(inbound) = of("inbound-rtp").find(|entry| text(entry, "kind") == "video") {
        received.bytes = number(inbound, "bytesReceived").unwrap_or_default() as u64;
        received.jitter_ms = number(inbound, "jitter").map(|seconds| seconds * 1e3);
    }
    let pair = of("candidate-pair").find_map(|pair| number(pair, "currentRoundTripTime"));
    received.round_trip_ms = pair.map(|seconds| seconds * 1e3);
    received
}

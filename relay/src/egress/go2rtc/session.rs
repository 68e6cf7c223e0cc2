//! One WebSocket of go2rtc's API: the loop around the video and the negotiation of WebRTC.
//!
//! Players ask for both at once, and close the WebSocket when WebRTC shows a frame. Its session is one of WHEP and lives on. A
//! connection serves one `mse` and one offer: players open a new one for more.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use sightline_protocol::close;
use tokio::time::{Instant, timeout_at};
use tokio_websockets::Message;

use super::message::{self, MSE, OFFER, ViewerMessage, about};
use super::video::{Video, VideoMedia};
use crate::access::Expiry;
use crate::egress::websocket::{AdmittedViewer, Dialect, SessionEnd, Socket, ViewerFault};
use crate::egress::whep::{Negotiation, OfferingViewer, Whep};
use crate::net::escaped::Escaped;

/// Time without a message after which a WebSocket without video is closed: such a viewer takes a connection and no permit.
/// Browsers send their last candidate after ten seconds at most.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum size of a message: the largest offer that the relay takes by WHEP.
const MESSAGE_MAX: usize = 64 * 1024;

/// An offer that is being answered.
type PendingAnswer = Pin<Box<dyn Future<Output = Result<Negotiation, String>> + Send>>;

/// The WebRTC of a connection.
enum WebRtc {
    /// No offer has come.
    Absent,
    /// The offer is being answered.
    Pending(PendingAnswer),
    /// The offer was answered.
    Agreed(Negotiation),
    /// The offer was refused.
    Refused,
}

/// See the [module](self).
pub(super) struct Go2rtcSession {
    whep: Whep,
    /// The local address of the connection.
    reached: Option<IpAddr>,
    expiry: Option<Expiry>,
    video: Option<Video>,
    webrtc: WebRtc,
    /// The time of the newest message.
    last_message: Instant,
}

/// What the loop waits for.
enum SocketInput {
    Media(VideoMedia),
    Answer(Result<Negotiation, String>),
    Message(Message),
}

impl Go2rtcSession {
    /// The session of a viewer that connected to `reached`, until its credential expires.
    pub(super) fn new(whep: Whep, reached: Option<IpAddr>, expiry: Option<Expiry>) -> Self {
        Self { whep, reached, expiry, video: None, webrtc: WebRtc::Absent, last_message: Instant::now() }
    }

    async fn next(&mut self, socket: &mut Socket) -> Result<SocketInput, SessionEnd> {
        let Self { video, webrtc, last_message, .. } = self;
        let idle = *last_message + IDLE_TIMEOUT;
        tokio::select! {
            media = next_media(video, idle) => Ok(SocketInput::Media(media?)),
            answer = next_answer(webrtc) => Ok(SocketInput::Answer(answer)),
            message = socket.receive() => Ok(SocketInput::Message(message?)),
        }
    }

    async fn on_message(
        &mut self,
        message: &Message,
        socket: &mut Socket,
        viewer: &AdmittedViewer,
    ) -> Result<(), SessionEnd> {
        self.last_message = Instant::now();
        let reply = match parse(message)? {
            ViewerMessage::Mse(_) if self.video.is_some() => about(MSE, "it is sent already; open another WebSocket"),
            ViewerMessage::Mse(codecs) => match message::playable(&codecs) {
                Ok(playable) => {
                    let permit =
                        viewer.permit().map_err(|full| ViewerFault::new(full.code, about(MSE, full.message)))?;
                    self.video = Some(Video::new(&viewer.stream, playable, permit));
                    return Ok(());
                }
                Err(refused) => about(MSE, refused),
            },
            ViewerMessage::Offer(sdp) if matches!(self.webrtc, WebRtc::Absent) => {
                self.webrtc = WebRtc::Pending(self.negotiate(sdp, viewer));
                return Ok(());
            }
            ViewerMessage::Offer(_) => about(OFFER, "a WebSocket takes one offer; open another one"),
            ViewerMessage::Candidate(candidate) => {
                // One that comes before the answer is not needed: the viewer's packets show its addresses.
                if let WebRtc::Agreed(negotiation) = &self.webrtc {
                    negotiation.add_candidate(&candidate);
                }
                return Ok(());
            }
            ViewerMessage::Other(kind) => message::unsupported(&kind),
        };
        Ok(socket.send_text(message::error(&reply)).await?)
    }

    fn negotiate(&self, sdp: String, viewer: &AdmittedViewer) -> PendingAnswer {
        let AdmittedViewer { stream, name, client, .. } = viewer;
        let (reached, expiry, whep) = (self.reached, self.expiry.clone(), self.whep.clone());
        let viewer = OfferingViewer { stream: stream.clone(), name: name.clone(), client: *client, reached, expiry };
        Box::pin(async move { whep.negotiate(viewer, sdp).await })
    }
}

impl Dialect for Go2rtcSession {
    const NAME: &'static str = "go2rtc";
    const MESSAGE_MAX: usize = MESSAGE_MAX;

    fn error(fault: &ViewerFault) -> String {
        message::error(&fault.message)
    }

    async fn run(&mut self, socket: &mut Socket, viewer: &AdmittedViewer) -> Result<Infallible, SessionEnd> {
        loop {
            match self.next(socket).await? {
                SocketInput::Media(VideoMedia::Init(init)) => {
                    socket.send_text(message::mse(&init.track(None).mime)).await?;
                    socket.send_init(init.bytes.clone()).await?;
                }
                SocketInput::Media(VideoMedia::Fragment(fragment, retiming)) => {
                    socket.send_retimed(&fragment.bytes, retiming).await?;
                }
                SocketInput::Answer(Ok(negotiation)) => {
                    socket.send_text(message::answer(&negotiation.sdp)).await?;
                    self.webrtc = WebRtc::Agreed(negotiation);
                }
                SocketInput::Answer(Err(refused)) => {
                    socket.send_text(message::error(&about(OFFER, refused))).await?;
                    self.webrtc = WebRtc::Refused;
                }
                SocketInput::Message(message) => self.on_message(&message, socket, viewer).await?,
            }
        }
    }
}

/// Parses a message of the viewer.
fn parse(message: &Message) -> Result<ViewerMessage, ViewerFault> {
    let text = message.as_text().ok_or_else(|| ViewerFault::bad_request("players send text, not binary messages"))?;
    ViewerMessage::parse(text)
        .map_err(|error| ViewerFault::bad_request(format!("not a message of go2rtc's API: {}", Escaped(error))))
}

/// The next media. Without video, waits for `idle`. Cancel-safe.
async fn next_media(video: &mut Option<Video>, idle: Instant) -> Result<VideoMedia, ViewerFault> {
    match video {
        Some(video) => video.next().await,
        None => {
            // Completes never, but for the time limit.
            let waited = timeout_at(idle, std::future::pending()).await;
            let message = format!("no message for {} s; send mse or an offer", IDLE_TIMEOUT.as_secs());
            waited.unwrap_or(Err(ViewerFault::new(close::TOO_SLOW, message)))
        }
    }
}

/// The answer to a pending offer. Cancel-safe.
async fn next_answer(webrtc: &mut WebRtc) -> Result<Negotiation, String> {
    match webrtc {
        WebRtc::Pending(answer) => answer.await,
        WebRtc::Absent | WebRtc::Agreed(_) | WebRtc::Refused => std::future::pending().await,
    }
}

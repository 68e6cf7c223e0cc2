//! What a session takes and what it gives.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sightline_media::fmp4::Fragment;
use sightline_protocol::close;
use sightline_protocol::message::{ClientMessage, ServerMessage};

use crate::egress::variant_reader::VideoEvent;
use crate::egress::websocket::send_window::ImpossibleAck;
use crate::hub::rendition::Status;

/// A moment of a session.
#[derive(Debug, Clone, Copy)]
pub(in crate::egress::websocket) struct Now {
    /// The time since the session began.
    pub(in crate::egress::websocket) time: Duration,
    /// Milliseconds since the Unix epoch.
    pub(in crate::egress::websocket) unix_ms: f64,
}

/// What happens to a session.
#[derive(Debug)]
pub(in crate::egress::websocket) enum SessionInput {
    Video(VideoEvent),
    Audio(Arc<Fragment>),
    Message(ClientMessage),
    /// The interval of pings has passed.
    Heartbeat,
}

/// What is to be written to the viewer.
#[derive(Debug)]
pub(in crate::egress::websocket) enum SessionAction {
    Message(ServerMessage),
    /// A status. The wait for its retry counts from the time of writing.
    Status(Status),
    Init(Bytes),
    Fragment(Arc<Fragment>),
}

/// Why a viewer is refused: a close code and a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::egress) struct ViewerFault {
    pub(in crate::egress) code: u16,
    pub(in crate::egress) message: String,
}

impl ViewerFault {
    pub(in crate::egress) fn new(code: u16, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(in crate::egress) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(close::BAD_REQUEST, message)
    }

    pub(super) fn too_slow(message: &str) -> Self {
        Self::new(close::TOO_SLOW, message)
    }
}

impl From<ImpossibleAck> for ViewerFault {
    fn from(error: ImpossibleAck) -> Self {
        Self::bad_request(error.to_string())
    }
}

//! A session's connection to the relay: opens it, reopens it when it is lost, and plans the retries.
//!
//! The WebSocket engine owns it. At most one connection exists at a time; events of earlier ones are recognized by their generation
//! and ignored.

use sightline_protocol::close;
use sightline_protocol::message::Size;
use sightline_protocol::stream::{Quality, VariantChoice};

use super::input::Input;
use super::retry::RetryTimer;
use crate::browser::error::DomError;
use crate::browser::mailbox::Sender;
use crate::browser::socket;
use crate::time::Moment;
use crate::transport::websocket::{Connection, Incoming, Traffic};

/// Interval of retries after a permanent failure: an administrator may fix the configuration while the page is open.
pub(super) const SLOW_RETRY_MS: f64 = 30_000.0;

/// See the module.
pub(super) struct RelayConnection {
    url: String,
    sender: Sender<Input>,
    connection: Option<Connection>,
    generation: u32,
    retry: RetryTimer,
    /// The error message that the relay sent before it closed.
    refusal: Option<String>,
    /// The offset of the relay's clock from the page's, as last measured.
    ahead_ms: Option<f64>,
}

/// The meaning of a close.
pub(super) enum CloseReason {
    /// A new connection may work.
    Lost,
    /// A new connection would be refused as well, for this reason.
    Refused(String),
}

impl RelayConnection {
    pub(super) fn new(url: String, sender: Sender<Input>) -> Self {
        Self {
            url,
            retry: RetryTimer::new(sender.clone()),
            sender,
            connection: None,
            generation: 0,
            refusal: None,
            ahead_ms: None,
        }
    }

    /// Starts to connect.
    pub(super) fn connect(&mut self, now: Moment) -> Result<(), DomError> {
        self.retry.cancel();
        self.refusal = None;
        self.generation += 1;
        let (sender, generation) = (self.sender.clone(), self.generation);
        let on_event = move |event| sender.send(Input::Socket(generation, event));
        self.connection = Some(Connection::open(&self.url, now, on_event)?);
        Ok(())
    }

    /// Whether a retry is planned.
    pub(super) fn is_waiting(&self) -> bool {
        self.retry.is_waiting()
    }

    /// Handles an event of the socket of this generation. None if the session has nothing to do.
    pub(super) fn receive(&mut self, generation: u32, event: socket::SocketEvent, now: Moment) -> Option<Incoming> {
        let connection = self.connection.as_mut().filter(|_| generation == self.generation)?;
        // When a connection is refused at once, Firefox sometimes drops the last message and reports only the close.
        if let (socket::SocketEvent::Closed { reason, .. }, None) = (&event, &self.refusal) {
            self.refusal = Some(reason.clone()).filter(|reason| !reason.is_empty());
        }
        let incoming = connection.receive(event, now);
        self.ahead_ms = connection.clock().ahead().or(self.ahead_ms);
        incoming
    }

    /// Stores the reason that the relay gives before it closes.
    pub(super) fn refused(&mut self, message: String) {
        self.refusal = Some(message);
    }

    /// Interprets the code with which the connection was closed.
    pub(super) fn closed(&mut self, code: u16, stream: &str) -> CloseReason {
        let refusal = self.refusal.take();
        match code {
            close::UNKNOWN_STREAM => {
                CloseReason::Refused(refusal.unwrap_or_else(|| format!("The relay has no stream named {stream}.")))
            }
            close::BAD_REQUEST | close::FORBIDDEN => {
                let message = refusal.unwrap_or_else(|| "The relay refused the request.".to_owned());
                CloseReason::Refused(format!("{message} Reload the page."))
            }
            // Another viewer may leave later, and the relay's text names other remedies.
            close::TOO_MANY => CloseReason::Refused(
                refusal.unwrap_or_else(|| "There are too many viewers; try again later.".to_owned()),
            ),
            _ => CloseReason::Lost,
        }
    }

    /// Requests the stream.
    pub(super) fn play(&self, codecs: &[String], choice: (VariantChoice, Quality), size: Size) {
        self.connection.iter().for_each(|connection| connection.play(codecs, choice, size));
    }

    /// Requests another quality, once the connection is open.
    pub(super) fn set_quality(&self, quality: Quality) {
        self.connection.iter().for_each(|connection| connection.set_quality(quality));
    }

    /// Tells the relay the size at which the video is shown.
    pub(super) fn resize(&self, size: Size) {
        self.connection.iter().for_each(|connection| connection.resize(size));
    }

    /// Requests audio beside video, or video alone.
    pub(super) fn listen(&self, audio: bool) {
        self.connection.iter().for_each(|connection| connection.listen(audio));
    }

    /// Requests that the relay send no media.
    pub(super) fn pause(&self) {
        self.connection.iter().for_each(Connection::pause);
    }

    /// Requests that the relay resume; if it was not paused, that it start again with an init segment.
    pub(super) fn resume(&self) {
        self.connection.iter().for_each(Connection::resume);
    }

    /// Sends messages that are due; `lag_ms` is the distance from the presented frame to the newest fragment. Returns whether
    /// the connection is dead.
    pub(super) fn send_due(&mut self, now: Moment, lag_ms: impl FnOnce() -> Option<f64>) -> bool {
        self.connection.as_mut().is_some_and(|connection| connection.send_due(now, lag_ms))
    }

    /// Tests the connection after an event that often breaks connections without an error.
    pub(super) fn probe(&mut self, now: Moment) {
        self.connection.iter_mut().for_each(|connection| connection.probe(now));
    }

    /// The offset of the relay's clock from the page's, as last measured.
    pub(super) fn ahead_ms(&self) -> Option<f64> {
        self.ahead_ms
    }

    /// The media that the current connection has received.
    pub(super) fn traffic(&self) -> Traffic {
        self.connection.as_ref().map(Connection::traffic).unwrap_or_default()
    }

    /// The shortest of the recent round trips, in milliseconds.
    pub(super) fn round_trip_ms(&self) -> Option<f64> {
        self.connection.as_ref()?.clock().round_trip()
    }

    /// Closes the connection and plans a retry. Returns its delay in milliseconds.
    pub(super) fn lose(&mut self, now: Moment) -> f64 {
        let lived_ms = self.connection.as_ref().map_or(0.0, |connection| connection.lived_ms(now));
        self.drop_connection();
        self.retry.after(lived_ms)
    }

    /// Closes the connection and plans a retry after [`SLOW_RETRY_MS`], which becomes immediate when the page or the network is
    /// back.
    pub(super) fn give_up(&mut self) {
        self.drop_connection();
        self.retry.plan(SLOW_RETRY_MS);
    }

    fn drop_connection(&mut self) {
        // Events that the socket still emits belong to an earlier generation.
        self.generation += 1;
        self.connection = None;
    }
}

//! A session's connection to the relay: makes it, makes it anew when it is lost, and knows how long to wait.
//!
//! At most one connection at a time; events of an earlier one are told by their generation and mean nothing.

use sightline_protocol::close;
use sightline_protocol::stream::VariantChoice;

use super::input::Input;
use super::retry::Retry;
use crate::browser::error::DomError;
use crate::browser::mailbox::Sender;
use crate::browser::socket;
use crate::time::Moment;
use crate::transport::websocket::{Connection, Incoming, Traffic};

/// What failed for good is tried again this seldom: someone may mend the configuration while the page is open.
const SLOW_RETRY_MS: f64 = 30_000.0;

/// See the module.
pub(super) struct Link {
    url: String,
    sender: Sender<Input>,
    connection: Option<Connection>,
    generation: u32,
    retry: Retry,
    /// What the relay said before it closed.
    refusal: Option<String>,
    /// What the relay's clock is ahead of ours, as last known.
    ahead_ms: Option<f64>,
}

/// What a close means.
pub(super) enum Closed {
    /// Another connection will do.
    Lost,
    /// Another will be refused as well: one sentence says why.
    Refused(String),
}

impl Link {
    pub(super) fn new(url: String, sender: Sender<Input>) -> Self {
        Self {
            url,
            retry: Retry::new(sender.clone()),
            sender,
            connection: None,
            generation: 0,
            refusal: None,
            ahead_ms: None,
        }
    }

    /// Begins to connect.
    pub(super) fn connect(&mut self, now: Moment) -> Result<(), DomError> {
        self.retry.cancel();
        self.refusal = None;
        self.generation += 1;
        let (sender, generation) = (self.sender.clone(), self.generation);
        let on_event = move |event| sender.send(Input::Socket(generation, event));
        self.connection = Some(Connection::open(&self.url, now, on_event)?);
        Ok(())
    }

    /// Whether it waits for the time of its next try.
    pub(super) fn is_waiting(&self) -> bool {
        self.retry.is_waiting()
    }

    /// Understands an event of the socket of this generation. None if nobody else needs to know.
    pub(super) fn receive(&mut self, generation: u32, event: socket::Event, now: Moment) -> Option<Incoming> {
        let connection = self.connection.as_mut().filter(|_| generation == self.generation)?;
        // Firefox now and then tells of a connection that is refused at once only that it was closed, and drops the message
        // before that.
        if let (socket::Event::Closed { reason, .. }, None) = (&event, &self.refusal) {
            self.refusal = Some(reason.clone()).filter(|reason| !reason.is_empty());
        }
        let incoming = connection.receive(event, now);
        self.ahead_ms = connection.clock().ahead().or(self.ahead_ms);
        incoming
    }

    /// The relay said why it is about to close.
    pub(super) fn refused(&mut self, message: String) {
        self.refusal = Some(message);
    }

    /// The connection was closed with this code.
    pub(super) fn closed(&mut self, code: u16, stream: &str) -> Closed {
        let refusal = self.refusal.take();
        match code {
            close::UNKNOWN_STREAM => {
                Closed::Refused(refusal.unwrap_or_else(|| format!("The relay has no stream named {stream}.")))
            }
            close::BAD_REQUEST | close::FORBIDDEN => {
                let message = refusal.unwrap_or_else(|| "The relay refused the request.".to_owned());
                Closed::Refused(format!("{message} Reload the page."))
            }
            // Someone else may leave, and the text says what else helps.
            close::TOO_MANY => {
                Closed::Refused(refusal.unwrap_or_else(|| "There are too many viewers; try again later.".to_owned()))
            }
            _ => Closed::Lost,
        }
    }

    /// Asks for the stream.
    pub(super) fn play(&self, codecs: &[String], choice: VariantChoice) {
        self.connection.iter().for_each(|connection| connection.play(codecs, choice));
    }

    /// Asks for audio beside video, or for none.
    pub(super) fn listen(&self, audio: bool) {
        self.connection.iter().for_each(|connection| connection.listen(audio));
    }

    /// Asks the relay to send no media.
    pub(super) fn pause(&self) {
        self.connection.iter().for_each(Connection::pause);
    }

    /// Asks the relay to go on, or, if it was not asked to pause, to start again with an init segment.
    pub(super) fn resume(&self) {
        self.connection.iter().for_each(Connection::resume);
    }

    /// Sends what is due; `lag_ms` is the presented lag. Returns whether the connection turns out to be dead.
    pub(super) fn attend(&mut self, now: Moment, lag_ms: impl FnOnce() -> Option<f64>) -> bool {
        self.connection.as_mut().is_some_and(|connection| connection.attend(now, lag_ms))
    }

    /// Something has happened after which connections are often dead without knowing it: asks whether this one is.
    pub(super) fn probe(&mut self, now: Moment) {
        self.connection.iter_mut().for_each(|connection| connection.probe(now));
    }

    /// What the relay's clock is ahead of ours, as last known.
    pub(super) fn ahead_ms(&self) -> Option<f64> {
        self.ahead_ms
    }

    /// What the present connection has received.
    pub(super) fn traffic(&self) -> Traffic {
        self.connection.as_ref().map(Connection::traffic).unwrap_or_default()
    }

    /// The quickest of the newest round trips, in milliseconds.
    pub(super) fn round_trip_ms(&self) -> Option<f64> {
        self.connection.as_ref()?.clock().round_trip()
    }

    /// Gives the connection up and plans another. Returns in how many milliseconds.
    pub(super) fn lose(&mut self, now: Moment) -> f64 {
        let lived_ms = self.connection.as_ref().map_or(0.0, |connection| connection.lived_ms(now));
        self.drop_connection();
        self.retry.after(lived_ms)
    }

    /// Gives the connection up; another is tried when somebody may have mended what is wrong.
    pub(super) fn give_up(&mut self) {
        self.drop_connection();
        self.retry.plan(SLOW_RETRY_MS);
    }

    fn drop_connection(&mut self) {
        // Whatever the socket still has to say is said by an earlier generation.
        self.generation += 1;
        self.connection = None;
    }
}

//! A connection to the NATS server, which connects again for ever, and its state.
//!
//! A relay has two: one for announcements and requests, one for media. A queue of media then delays no announcement. Each queue
//! is bounded. A full queue of outgoing messages makes the publisher wait, so that its cursor in the ring skips to a key frame. A
//! full queue of incoming messages loses the newest, which is a gap in the numbers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Client, ClientError, ConnectOptions, Event, ServerError};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::stats::Stats;
use super::wire::Packet;
use crate::config::{Cluster, ClusterLogin};

/// Outgoing messages that wait for the connection: at most 16 MiB in chunks of 128 KiB, and usually a second of frames.
const OUTGOING_MAX: usize = 128;
/// Incoming messages of one subscription that wait for its task. The task waits for nothing else.
const INCOMING_MAX: usize = 512;
/// Interval of pings to the server. Two without an answer end the connection: after about the time in which an announcement expires.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// Time limit for connecting to one server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest delay between two attempts. Viewers of other relays wait for it when the server returns.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// The delay of the third attempt; the first two come at once.
const RETRY_FIRST: Duration = Duration::from_millis(50);

/// The state of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LinkState {
    /// Connected.
    Up,
    /// Not connected, for this reason.
    Away(Arc<str>),
}

/// See the [module](self).
#[derive(Debug, Clone)]
pub(super) struct NatsLink {
    pub(super) client: Client,
    state: watch::Receiver<LinkState>,
}

/// The last problem of the connections of a relay, which is logged once.
#[derive(Debug, Default)]
pub(super) struct LinkLog {
    last: Mutex<Option<String>>,
}

impl LinkLog {
    /// Logs a problem unless it is the last one.
    fn problem(&self, text: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_deref() != Some(text) {
            *last = Some(text.to_owned());
            warn!("{text}");
        }
    }

    fn solved(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl NatsLink {
    /// Opens a connection of this purpose. It is usually [`LinkState::Away`] at first.
    pub(super) async fn open(
        config: &Cluster,
        purpose: &'static str,
        log: Arc<LinkLog>,
        stats: Arc<Stats>,
    ) -> Result<Self, String> {
        let (sender, state) = watch::channel(LinkState::Away("the relay is connecting to the NATS server".into()));
        let events = Arc::new(Events { purpose, state: sender, log, stats });
        let options = credentials(ConnectOptions::new(), &config.login)?;
        let options = match &config.ca_file {
            Some(file) => options.add_root_certificates(file.clone()),
            None => options,
        };
        let options = options
            .name(format!("sightline {} {purpose}", config.name))
            .retry_on_initial_connect()
            .ping_interval(PING_INTERVAL)
            .connection_timeout(CONNECT_TIMEOUT)
            .client_capacity(OUTGOING_MAX)
            .subscription_capacity(INCOMING_MAX)
            .reconnect_delay_callback(retry_delay)
            .event_callback(move |event| {
                events.take(event);
                std::future::ready(())
            });
        let client = options.connect(config.servers.clone()).await.map_err(|error| error.to_string())?;
        Ok(Self { client, state })
    }

    /// Why it is not connected, if it is not.
    pub(super) fn away(&self) -> Option<Arc<str>> {
        match &*self.state.borrow() {
            LinkState::Up => None,
            LinkState::Away(why) => Some(why.clone()),
        }
    }

    /// The state, and its changes from now on.
    pub(super) fn watch(&self) -> watch::Receiver<LinkState> {
        let mut state = self.state.clone();
        state.mark_unchanged();
        state
    }
}

/// Sends a message in chunks that the server takes, and tells `sent` the length of each. A message that cannot be sent is a gap in the
/// numbers.
pub(super) async fn send(client: &Client, subject: &str, packet: &Packet, mut sent: impl FnMut(usize)) {
    for chunk in packet.chunks(client.max_payload()) {
        let length = chunk.len();
        if let Err(error) = client.publish(subject.to_owned(), chunk).await {
            debug!(subject, "not published: {error}");
            return;
        }
        sent(length);
    }
}

/// The delay before an attempt to connect, the first of which is number 1.
fn retry_delay(attempt: usize) -> Duration {
    let doublings = attempt.saturating_sub(3).min(16) as u32;
    if attempt < 3 { Duration::ZERO } else { (RETRY_FIRST * 2u32.pow(doublings)).min(RETRY_MAX) }
}

fn credentials(options: ConnectOptions, login: &ClusterLogin) -> Result<ConnectOptions, String> {
    Ok(match login {
        ClusterLogin::None => options,
        ClusterLogin::Password { user, password } => {
            options.user_and_password(user.clone(), password.reveal().to_owned())
        }
        ClusterLogin::Token(token) => options.token(token.reveal().to_owned()),
        ClusterLogin::Credentials(text) => options.credentials(text.reveal()).map_err(|_| {
            "cluster.credentials_file has no JWT and NKey seed; `nsc generate creds` writes a file with both".to_owned()
        })?,
    })
}

/// Follows a connection.
#[derive(Debug)]
struct Events {
    purpose: &'static str,
    state: watch::Sender<LinkState>,
    log: Arc<LinkLog>,
    stats: Arc<Stats>,
}

impl Events {
    fn take(&self, event: Event) {
        match event {
            Event::Connected => {
                info!(purpose = self.purpose, "connected to the NATS server");
                self.log.solved();
                self.stats.connected();
                self.state.send_replace(LinkState::Up);
            }
            Event::Disconnected => {
                self.stats.disconnected();
                self.away("the connection to the NATS server is lost; the relay connects again");
            }
            Event::ClientError(ClientError::Other(error)) => self.away(&explain(&error)),
            Event::ServerError(ServerError::Other(error)) => {
                self.log.problem(&format!("the NATS server reports: {error}"));
            }
            other => debug!(purpose = self.purpose, "NATS: {other}"),
        }
    }

    fn away(&self, why: &str) {
        self.log.problem(why);
        self.state.send_if_modified(|state| {
            let changed = LinkState::Away(why.into());
            let is_news = *state != changed;
            *state = changed;
            is_news
        });
    }
}

/// The sentence for a failed attempt to connect, by the client's words for its kind.
fn explain(error: &str) -> String {
    match error {
        "authorization violation" => "the NATS server refuses this relay's credentials; check cluster.user and \
                                      cluster.password_file, or the file of the token or credentials"
            .to_owned(),
        "failed signing nonce" => "the NKey in cluster.credentials_file cannot sign; make the file again".to_owned(),
        "TLS error" => {
            "the TLS connection to the NATS server fails; check its certificate, and cluster.ca_file if the \
                        system does not trust it"
                .to_owned()
        }
        other => format!(
            "no NATS server of cluster.servers answers ({other}); check the addresses, and for tls:// the certificate and \
             cluster.ca_file"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_to_connect_are_at_most_a_second_apart() {
        let delays: Vec<_> = (1..=8).map(|attempt| retry_delay(attempt).as_millis()).collect();
        assert_eq!(delays, [0, 0, 50, 100, 200, 400, 800, 1000]);
        assert_eq!(retry_delay(usize::MAX), RETRY_MAX);
    }

    #[test]
    fn refused_credentials_have_their_own_sentence() {
        assert!(explain("authorization violation").contains("refuses this relay's credentials"));
        assert!(explain("IO error").contains("no NATS server of cluster.servers answers (IO error)"));
    }
}

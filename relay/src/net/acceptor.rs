//! Accepts connections for as long as the process lives, whatever fails meanwhile.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::log_interval::LogInterval;
use super::tcp;

/// Interval between attempts to accept while the system has no free descriptor. Viewers leave all the time, and the delay is
/// too short to notice.
const PAUSE: Duration = Duration::from_millis(100);

/// A listener that survives errors of `accept`: a connection that its peer has closed is skipped, and while the process has too many
/// open files, connections wait.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listener: TcpListener,
    /// What it accepts, in the log.
    name: &'static str,
    log_interval: LogInterval,
}

impl Acceptor {
    pub(crate) fn new(listener: TcpListener, name: &'static str) -> Self {
        Self { listener, name, log_interval: LogInterval::default() }
    }

    /// The next connection. Cancel-safe.
    pub(crate) async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) if tcp::is_of_the_connection(&error) => {}
                Err(error) => {
                    if self.log_interval.is_due(Instant::now()) {
                        let name = self.name;
                        warn!(%error, "{name} cannot be accepted and wait; raise the limit of open files (ulimit -n)");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

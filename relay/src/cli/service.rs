//! Tells the service manager what the relay does (sd_notify(3)). Without one, `NOTIFY_SOCKET` is not set and nothing is sent.
//!
//! | message | sent |
//! | --- | --- |
//! | `READY=1` | once the sockets are bound, and after each reload |
//! | `RELOADING=1` | at SIGHUP |
//! | `STOPPING=1` | at SIGINT and SIGTERM |
//! | `WATCHDOG=1` | twice in each `WATCHDOG_USEC`, by a task: a runtime that runs no tasks is restarted |

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

/// The relay accepts viewers, or has taken over its configuration.
pub(super) fn ready() {
    send(&[NotifyState::Ready]);
}

/// The relay reads its configuration again.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => warn!(%error, "the service manager does not learn of this reload"),
    }
}

/// The relay ends its sessions.
pub(super) fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// Sends signs of life for as long as the runtime runs, if the service manager waits for them.
pub(super) fn keep_alive() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    tokio::spawn(async move {
        let mut ticks = interval(limit / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            send(&[NotifyState::Watchdog]);
        }
    });
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "the service manager does not get a message");
    }
}

//! Applies reloaded configurations while the relay runs: streams, limits and credentials.

use std::net::SocketAddr;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::check_credentials;
use crate::access::Access;
use crate::config::{Credentials, Limits};
use crate::ingest::supervisor::{Sources, Supervisor};
use crate::limits::LiveLimits;

/// What another configuration changes while the relay runs.
#[derive(Debug, Clone)]
pub struct ReloadedConfig {
    /// Its streams.
    pub streams: Sources,
    /// Its limits.
    pub limits: Limits,
    /// Its credentials.
    pub credentials: Credentials,
    /// The keys that changed and need a restart.
    pub restart_keys: Vec<&'static str>,
    /// Cancelled when the change has been applied or refused.
    pub applied: CancellationToken,
}

/// What a change is applied to.
pub(super) struct Reload {
    pub(super) supervisor: Supervisor,
    pub(super) limits: LiveLimits,
    pub(super) access: Access,
    /// The relay's address.
    pub(super) listen: SocketAddr,
    /// Whether an identity provider is configured.
    pub(super) provider: bool,
}

impl Reload {
    /// Applies what comes, until the relay stops and every source has ended.
    pub(super) async fn run(mut self, mut changes: mpsc::Receiver<ReloadedConfig>, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                Some(change) = changes.recv() => self.apply(change).await,
                () = shutdown.cancelled() => break,
            }
        }
        self.supervisor.end().await;
    }

    /// Applies a change, or none of it if its credentials cannot be used.
    pub(super) async fn apply(&mut self, change: ReloadedConfig) {
        let ReloadedConfig { streams, limits, credentials, restart_keys, applied } = change;
        let _applied = applied.drop_guard();
        if let Err(error) = check_credentials(self.listen, &credentials, self.provider) {
            error!("the reload is rejected, the current configuration stays: {error}");
            return;
        }
        // A tunnel may let others reach a relay that listens on this machine only.
        if !self.access.is_open() && !credentials.are_any(self.provider) {
            error!(
                "the reload is rejected, the current configuration stays: no credentials are left; restart the relay to let everyone watch"
            );
            return;
        }
        let access = self.access.clone();
        // Blocks while it derives a key.
        let set = tokio::task::spawn_blocking(move || access.set(&credentials)).await;
        if let Err(error) = set {
            error!(%error, "the reload of the credentials failed, the current ones stay");
        }
        self.limits.set(limits);
        self.supervisor.set(streams).await;
        info!("streams, limits and credentials of the configuration are in force");
        if !restart_keys.is_empty() {
            let keys = restart_keys.join(", ");
            warn!(keys, "these keys changed and need a restart; until then their old values stay");
        }
    }
}

//! Notifies watchers that the catalogue has changed. Carries no data; watchers read the hub.

use tokio::sync::watch;

/// See the [module](self). Shared by all renditions of a hub.
#[derive(Debug, Clone, Default)]
pub struct Changes(watch::Sender<()>);

impl Changes {
    /// Notifies all watchers.
    pub(super) fn notify(&self) {
        self.0.send_replace(());
    }

    /// A receiver of changes from now on.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}

//! That something of the catalogue is no longer as it was. What it is, who wants to know looks up.

use tokio::sync::watch;

/// See the [module](self). Shared by all renditions of a hub.
#[derive(Debug, Clone, Default)]
pub struct Changes(watch::Sender<()>);

impl Changes {
    /// There is a change.
    pub(super) fn say(&self) {
        self.0.send_replace(());
    }

    /// Changes from now on.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}

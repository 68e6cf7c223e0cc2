//! Runs the streams of the configuration. A reloaded configuration starts, stops or replaces only the streams that changed.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;
use indexmap::IndexMap;
use sightline_protocol::message::OfflineReason;
use sightline_protocol::stream::StreamName;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use super::Settings;
use crate::config::Source;
use crate::hub::rendition::Status;
use crate::hub::{Hub, Stream, StreamOptions};

/// The streams of a configuration.
pub type Sources = IndexMap<StreamName, Source>;

/// The message for viewers of a removed stream.
const GONE: &str = "this stream is no longer in the relay's configuration";
/// The same for viewers of a removed sub stream.
const VARIANT_GONE: &str = "this variant is no longer in the relay's configuration";

/// See the [module](self).
pub(crate) struct Supervisor {
    hub: Arc<Hub>,
    settings: Arc<Settings>,
    shutdown: CancellationToken,
    running: HashMap<StreamName, Running>,
}

/// The tasks that read a stream's source.
struct Running {
    source: Source,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Running {
    fn start(stream: &Stream, source: Source, settings: &Arc<Settings>, shutdown: &CancellationToken) -> Self {
        let (tasks, stop) = (TaskTracker::new(), shutdown.child_token());
        super::start(stream, &source, settings, &tasks, &stop);
        tasks.close();
        Self { source, tasks, stop }
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Supervisor {
    /// Runs no stream yet.
    pub(crate) fn new(hub: Arc<Hub>, settings: Arc<Settings>, shutdown: CancellationToken) -> Self {
        Self { hub, settings, shutdown, running: HashMap::new() }
    }

    /// Runs `sources` from now on. Viewers of a stream with a changed source continue with the new one.
    pub(crate) async fn set(&mut self, sources: Sources) {
        let before = self.hub.streams();
        self.hub.set(sources.iter().map(|(name, source)| (name.clone(), options(source))));
        let stays = |name: &StreamName, running: &mut Running| {
            sources.get(name).is_some_and(|source| source.reads_as(&running.source))
        };
        let ended: Vec<_> = self.running.extract_if(|name, running| !stays(name, running)).collect();
        let (ended, names): (Vec<_>, Vec<_>) = ended.into_iter().map(|(name, running)| (running.end(), name)).unzip();
        // In parallel: an FFmpeg ends slowly if its camera does not answer.
        join_all(ended).await;
        let (changed, removed): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| sources.contains_key(name));
        removed.iter().filter_map(|name| before.get(name)).for_each(say_gone);
        changed.iter().filter_map(|name| Some((before.get(name)?, self.hub.stream(name)?))).for_each(say_variants_gone);
        let mut begun = 0;
        for (name, source) in sources {
            let stream = self.hub.stream(&name).filter(|_| !self.running.contains_key(&name));
            if let Some(stream) = stream {
                begun += 1;
                self.running.insert(name, Running::start(&stream, source, &self.settings, &self.shutdown));
            }
        }
        let (changed, removed) = (changed.len(), removed.len());
        let added = begun - changed;
        info!(added, changed, removed, "streams");
    }

    /// Ends every source. They end by themselves when the relay stops.
    pub(crate) async fn end(self) {
        join_all(self.running.into_values().map(Running::end)).await;
    }
}

/// What the hub learns of a stream's configuration.
fn options(source: &Source) -> StreamOptions {
    StreamOptions { has_sub: source.sub.is_some(), label: source.label.clone() }
}

fn say_gone(stream: &Stream) {
    stream.renditions().chain(stream.audio_renditions()).for_each(|rendition| rendition.stop(gone(GONE)));
}

/// Tells viewers of the variants that `after` does not offer any more.
fn say_variants_gone((before, after): (&Stream, Stream)) {
    let is_offered = |variant| after.renditions().any(|rendition| rendition.variant() == variant);
    let ended = before.renditions().filter(|rendition| !is_offered(rendition.variant()));
    ended.for_each(|rendition| rendition.stop(gone(VARIANT_GONE)));
}

fn gone(message: &str) -> Status {
    Status::Offline { reason: OfflineReason::NotFound, message: message.into(), retry_at: Instant::now() }
}

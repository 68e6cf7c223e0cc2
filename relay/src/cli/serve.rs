//! `sightline`: runs the relay until SIGINT or SIGTERM. SIGHUP reloads streams, limits and credentials.

use std::net::SocketAddr;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::locate::Location;
use super::{print, read_config, service, this_program};
use crate::config::Config;
use crate::server::{Relay, ReloadedConfig};

/// Runs the relay with `config`, which was read from `location`, and FFmpeg of this version. `listen` is the address of the
/// command line.
pub(super) async fn run(
    config: Config,
    ffmpeg: &str,
    location: Location,
    listen: Option<SocketAddr>,
) -> Result<(), Box<dyn std::error::Error>> {
    let configuration = location.file().map(|path| path.display().to_string());
    info!(ffmpeg, streams = config.streams.len(), configuration, "starting");
    warn_of(&config);
    raise_descriptor_limit();
    let running = config.clone();
    let relay = Relay::bind(config).await?;
    let (version, scheme, address) = (env!("CARGO_PKG_VERSION"), relay.scheme(), relay.address());
    print(&format!("Sightline {version} shows {location} at {scheme}://{address}/\n"));
    let (changes, stop) = (changes_on_signal(running, location, listen)?, stop_on_signal()?);
    service::ready();
    service::keep_alive();
    relay.run(this_program(), changes, stop).await;
    info!("stopped");
    Ok(())
}

/// Raises the soft limit of open files to the hard limit. Each viewer needs one, and the usual soft limit of 1024 exists for
/// programs that use select(2).
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "the limit of open files cannot be raised");
    }
}

/// Logs what is permitted in the configuration and probably a mistake.
fn warn_of(config: &Config) {
    config.warnings().for_each(|warning| warn!("{warning}"));
}

/// Streams, limits and credentials of the configuration, read again at each SIGHUP, with the files that it names. A
/// configuration with an error changes nothing. `running` is the configuration at the start.
fn changes_on_signal(
    running: Config,
    location: Location,
    listen: Option<SocketAddr>,
) -> std::io::Result<mpsc::Receiver<ReloadedConfig>> {
    let (sender, receiver) = mpsc::channel(1);
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            service::reloading();
            match location.file().map(|_| read_config(&location)) {
                Some(Ok(mut config)) => {
                    warn_of(&config);
                    config.listen = listen.unwrap_or(config.listen);
                    let restart_keys = running.restart_keys(&config);
                    let (credentials, applied) = (config.credentials(), CancellationToken::new());
                    let (streams, limits) = (config.streams, config.limits);
                    let change =
                        ReloadedConfig { streams, limits, credentials, restart_keys, applied: applied.clone() };
                    if sender.send(change).await.is_ok() {
                        applied.cancelled().await;
                    }
                }
                Some(Err(error)) => error!("the reload is rejected, the current configuration stays: {error}"),
                None => info!("reload ignored: the demo streams have no configuration"),
            }
            service::ready();
        }
    });
    Ok(receiver)
}

/// Cancelled by SIGINT or SIGTERM.
fn stop_on_signal() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let cancel = token.clone();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        info!("stopping");
        service::stopping();
        cancel.cancel();
    });
    Ok(token)
}

//! `sightline`: the relay. See `sightline --help`.

mod mint;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rustix::process::{Resource, getrlimit, setrlimit};
use sightline_relay::config::{Config, Password, TokenKey};
use sightline_relay::ingest::{ffmpeg, process};
use sightline_relay::server::Relay;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

/// What is logged where RUST_LOG does not say otherwise. mp4-atom warns of every box that it passes over.
const LOG: &str = "info,memory_serve=warn,mp4_atom=error";

/// Live cameras in a browser tab, over nothing but HTTP and WebSocket.
///
/// Without a configuration it shows five built-in streams.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration (TOML).
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The address to listen on, instead of the configuration's [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What it does instead of being the relay.
#[derive(Debug, Subcommand)]
enum Command {
    Token(mint::Arguments),
}

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == process::BECOME_FFMPEG) {
        eprintln!("cannot become FFmpeg: {}", process::become_ffmpeg(args));
        return ExitCode::FAILURE;
    }
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    let done = match &arguments.command {
        Some(Command::Token(token)) => mint::run(token, arguments.config.as_deref()),
        None => run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sightline: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = match &arguments.config {
        Some(path) => Config::read(path)?,
        None => Config::demo(),
    };
    config.listen = arguments.listen.unwrap_or(config.listen);
    config.password = Password::from_environment()?.or(config.password);
    config.token_key = TokenKey::from_environment()?.or(config.token_key);
    let version = ffmpeg::check(&config.ffmpeg)?;
    info!(ffmpeg = version, streams = config.streams.len(), "starting");

    raise_descriptor_limit();
    let relay = Relay::bind(config).await?;
    println!("Sightline {} shows its cameras at http://{}/", env!("CARGO_PKG_VERSION"), relay.address());
    relay.run(this_program(), stop_on_signal()?).await?;
    info!("stopped");
    Ok(())
}

/// A viewer is a descriptor, and the customary soft limit of 1024 is for programs that use select(2).
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "the limit of open files stays as it is");
    }
}

/// This program, to be started anew: on Linux by a name that stays right when the file has been replaced by a newer one.
fn this_program() -> Option<PathBuf> {
    let linux = PathBuf::from("/proc/self/exe");
    if linux.exists() { Some(linux) } else { std::env::current_exe().ok() }
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
        cancel.cancel();
    });
    Ok(token)
}

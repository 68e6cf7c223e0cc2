//! `sightline`: the relay. See `sightline --help`.

mod mint;
mod paper;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use rustix::process::{Resource, getrlimit, setrlimit};
use sightline_relay::check;
use sightline_relay::config::{Config, Password, TokenKey};
use sightline_relay::ingest::{ffmpeg, process};
use sightline_relay::server::{Certificate, Relay, Sources};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

/// What is logged where RUST_LOG does not say otherwise. mp4-atom warns of every box that it passes over.
const LOG: &str = "info,memory_serve=warn,mp4_atom=error";

/// Live cameras in a browser tab, over nothing but HTTP and WebSocket.
///
/// Without a configuration it shows five built-in streams.
#[derive(Debug, Parser)]
#[command(name = "sightline", version)]
struct Arguments {
    /// The configuration (TOML).
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The address to listen on, instead of the configuration's [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// How the log is written.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, global = true, env = "SIGHTLINE_LOG_FORMAT")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum LogFormat {
    /// Lines for people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// What it does instead of being the relay.
#[derive(Debug, Subcommand)]
enum Command {
    /// Reads the configuration and looks at every source for a moment: what it delivers, or what is wrong.
    Check,
    Token(mint::Arguments),
    /// Print what makes a shell complete the arguments.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Writes the manual pages, for packages.
    #[command(hide = true)]
    Man {
        /// The folder that they are written to.
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == process::BECOME_FFMPEG) {
        complain(&format!("cannot become FFmpeg: {}", process::become_ffmpeg(args)));
        return ExitCode::FAILURE;
    }
    let arguments = Arguments::parse();
    // A table is easier to read when the log does not say the same.
    let usual = if arguments.command.is_some() { "error" } else { LOG };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    // What cannot be written because the disk is full cannot be complained about, either; viewers are not to notice.
    let log = log.log_internal_errors(false);
    match arguments.log_format {
        LogFormat::Human => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    let done = match &arguments.command {
        Some(Command::Token(token)) => mint::run(token, arguments.config.as_deref()),
        Some(Command::Completions { shell }) => paper::completions(Arguments::command(), *shell),
        Some(Command::Man { folder }) => paper::manual(Arguments::command(), folder),
        Some(Command::Check) | None => run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("sightline: {error}"));
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
    if let Some(Command::Check) = arguments.command {
        return look(&config).await;
    }
    info!(ffmpeg = version, streams = config.streams.len(), "starting");

    raise_descriptor_limit();
    let relay = Relay::bind(config).await?;
    let (version, scheme, address) = (env!("CARGO_PKG_VERSION"), relay.scheme(), relay.address());
    say(&format!("Sightline {version} shows its cameras at {scheme}://{address}/\n"));
    relay.run(this_program(), sources_on_signal(arguments.config.clone())?, stop_on_signal()?).await;
    info!("stopped");
    Ok(())
}

/// Prints it, or does without: the macros of the standard library panic where nobody listens or the disk is full.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// The same of what is wrong.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// `sightline check`.
async fn look(config: &Config) -> Result<(), Box<dyn std::error::Error>> {
    config.tls.as_ref().map(Certificate::load).transpose()?;
    let streams = check::check(config, this_program()).await;
    say(&check::table(&streams));
    match check::failed(&streams).len() {
        0 => Ok(()),
        failed => Err(format!("{failed} of {} sources show nothing", streams.len()).into()),
    }
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

/// The streams of the configuration, read anew at each SIGHUP. A configuration with a mistake changes nothing.
fn sources_on_signal(path: Option<PathBuf>) -> std::io::Result<mpsc::Receiver<Sources>> {
    let (sender, receiver) = mpsc::channel(1);
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match path.as_deref().map(Config::read) {
                Some(Ok(config)) => {
                    info!("the configuration's streams are taken over; the rest of it needs a restart");
                    let _ = sender.send(config.streams).await;
                }
                Some(Err(error)) => error!("everything stays as it is: {error}"),
                None => info!("there is no configuration to read anew"),
            }
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
        cancel.cancel();
    });
    Ok(token)
}

//! The command line of `sightline`: the relay itself, and the subcommands.
//!
//! | module | command |
//! | --- | --- |
//! | [`serve`] | `sightline` |
//! | [`check`] | `sightline check` |
//! | [`token`] | `sightline token` |
//! | [`password_hash`] | `sightline password-hash` |
//! | [`packaging`] | `sightline completions`, `sightline man` |

mod check;
mod packaging;
mod password_hash;
mod serve;
mod service;
mod token;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::config::{Config, ConfigError, Password, TokenKey};
use crate::ingest::ffmpeg;

/// Live cameras in a browser tab, over nothing but HTTP and WebSocket.
///
/// Without a configuration it shows five built-in streams.
#[derive(Debug, Parser)]
#[command(name = "sightline", version)]
pub struct Arguments {
    /// The configuration (TOML).
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The address to listen on, instead of the configuration's [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// How the log is written.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, global = true, env = "SIGHTLINE_LOG_FORMAT")]
    pub log_format: LogFormat,
    #[command(subcommand)]
    command: Option<Command>,
}

impl Arguments {
    /// Whether a subcommand is given.
    pub fn has_subcommand(&self) -> bool {
        self.command.is_some()
    }
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// What it does instead of being the relay.
#[derive(Debug, Subcommand)]
enum Command {
    /// Reads the configuration and probes every source: prints its format, or its fault and the remedy.
    Check,
    Token(token::TokenArguments),
    /// Read a password from standard input and print its hash, for access.password_file or SIGHTLINE_PASSWORD.
    PasswordHash,
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

/// Runs the command.
///
/// # Errors
/// The command's error, as a sentence for the terminal.
pub fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    match &arguments.command {
        Some(Command::Token(token)) => token::run(token, arguments.config.as_deref()),
        Some(Command::PasswordHash) => password_hash::run(),
        Some(Command::Completions { shell }) => packaging::completions(Arguments::command(), *shell),
        Some(Command::Man { folder }) => packaging::manual(Arguments::command(), folder),
        Some(Command::Check) | None => run_async(arguments),
    }
}

#[tokio::main]
async fn run_async(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = read_config(arguments.config.as_deref())?;
    config.listen = arguments.listen.unwrap_or(config.listen);
    let version = ffmpeg::check(&config.ffmpeg)?;
    match arguments.command {
        Some(Command::Check) => check::run(&config).await,
        _ => serve::run(config, &version, arguments.config.clone()).await,
    }
}

/// The configuration at `path`, or the built-in one, with the credentials of the environment.
fn read_config(path: Option<&Path>) -> Result<Config, ConfigError> {
    let mut config = match path {
        Some(path) => Config::read(path)?,
        None => Config::demo(),
    };
    config.password = Password::from_environment()?.or(config.password);
    config.token_key = TokenKey::from_environment()?.or(config.token_key);
    Ok(config)
}

/// Prints to standard output and ignores failures: the macros of the standard library panic on a closed pipe or a full disk.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// The path by which this program starts itself again. On Linux it stays valid when the file is replaced by an upgrade.
fn this_program() -> Option<PathBuf> {
    let linux = PathBuf::from("/proc/self/exe");
    if linux.exists() { Some(linux) } else { std::env::current_exe().ok() }
}

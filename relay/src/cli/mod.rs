//! The command line of `sightline`: the relay itself, and the subcommands.
//!
//! | module | command |
//! | --- | --- |
//! | [`serve`] | `sightline` |
//! | [`check`] | `sightline check` |
//! | [`import`] | `sightline import` |
//! | [`token`] | `sightline token` |
//! | [`password_hash`] | `sightline password-hash` |
//! | [`packaging`] | `sightline completions`, `sightline man` |

mod check;
mod import;
mod locate;
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

use crate::config::{Config, ConfigError, Password, TokenKey, parse_listen};
use crate::ingest::ffmpeg;
#[cfg(any(test, fuzzing))]
pub(crate) use import::fuzz;
use locate::{Location, TwoConfigurations};

/// The last part of the help.
const EXIT_STATUS: &str = "\
Exit status:
  0  success
  1  failure; of `check`: a source, the certificate or the identity provider cannot be used
  2  the command line or the configuration cannot be used";

/// Live cameras in a browser tab, over nothing but HTTP and WebSocket.
///
/// Reads FILE, or else ./sightline.toml, or else /etc/sightline/sightline.toml. Without any of them it shows five built-in demo
/// streams.
#[derive(Debug, Parser)]
#[command(name = "sightline", version, after_help = EXIT_STATUS)]
pub struct Arguments {
    /// The configuration (TOML).
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The same as an option.
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Show the built-in demo streams, whatever files there are.
    #[arg(long, global = true)]
    demo: bool,
    /// The address to listen on, instead of the configuration's [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR:PORT", value_parser = parse_listen)]
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

    /// The configuration that the command line names; `file` is the command's argument.
    fn named(&self, file: Option<&PathBuf>) -> Result<Option<Location>, Box<dyn std::error::Error>> {
        // A misspelled command is an argument.
        if let Some(word) = self.file.as_ref().filter(|word| is_word(word) && !word.exists()) {
            return Err(UnknownWord(word.clone()).into());
        }
        Ok(Location::named(&[self.config.as_ref(), self.file.as_ref(), file], self.demo)?)
    }
}

/// Whether it looks like a command and not like a file.
fn is_word(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
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
    ///
    /// With --log-format json it prints one JSON object.
    #[command(after_help = EXIT_STATUS)]
    Check {
        /// The configuration (TOML).
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    Import(import::ImportArguments),
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

/// An argument that is neither a command nor a file.
#[derive(Debug, thiserror::Error)]
#[error("there is no command and no file named {0:?}; `sightline --help` lists the commands")]
struct UnknownWord(PathBuf);

/// Runs the command.
///
/// # Errors
/// The command's error, as a sentence for the terminal.
pub fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    match &arguments.command {
        Some(Command::Token(token)) => token::run(token, arguments.named(None)?),
        Some(Command::Import(import)) => import::run(import),
        Some(Command::PasswordHash) => password_hash::run(),
        Some(Command::Completions { shell }) => packaging::completions(Arguments::command(), *shell),
        Some(Command::Man { folder }) => packaging::manual(Arguments::command(), folder),
        Some(Command::Check { file }) => run_async(arguments, file.as_ref()),
        None => run_async(arguments, None),
    }
}

/// The exit status of a command that failed.
pub fn exit_status(error: &(dyn std::error::Error + 'static)) -> u8 {
    let is_usage = error.is::<ConfigError>() || error.is::<TwoConfigurations>() || error.is::<UnknownWord>();
    if is_usage { 2 } else { 1 }
}

#[tokio::main]
async fn run_async(arguments: &Arguments, file: Option<&PathBuf>) -> Result<(), Box<dyn std::error::Error>> {
    let location = arguments.named(file)?.unwrap_or_else(Location::find);
    let mut config = read_config(&location)?;
    config.listen = arguments.listen.unwrap_or(config.listen);
    let version = ffmpeg::check(&config.ffmpeg)?;
    match arguments.command {
        Some(Command::Check { .. }) => check::run(&config, &location, arguments.log_format).await,
        _ => serve::run(config, &version, location, arguments.listen).await,
    }
}

/// The configuration at `location`, with the credentials of the environment.
fn read_config(location: &Location) -> Result<Config, ConfigError> {
    let mut config = location.read()?;
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

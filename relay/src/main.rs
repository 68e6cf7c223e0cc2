//! `sightline`: the relay. See `sightline --help`.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use sightline_relay::cli::{self, Arguments, LogFormat};
use sightline_relay::ingest::process;
use tracing_subscriber::EnvFilter;

/// The log filter without RUST_LOG. mp4-atom warns of every box that it skips, and h2 of every
/// connection that cancels requests without a pause, so that a stranger would fill the disk. The
/// module `cluster` says what async_nats logs, once.
const LOG: &str = "info,memory_serve=warn,mp4_atom=error,h2=error,async_nats=off";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == process::BECOME_FFMPEG) {
        print_error(&format!("cannot become FFmpeg: {}", process::become_ffmpeg(args)));
        return ExitCode::FAILURE;
    }
    if let Err(error) = process::protect_memory() {
        print_error(&format!("sightline: other processes of this account can read its memory: {error}"));
    }
    let arguments = Arguments::parse();
    start_log(&arguments);
    match cli::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&format!("sightline: {error}"));
            cli::exit_status(&*error).into()
        }
    }
}

fn start_log(arguments: &Arguments) {
    // The output of a subcommand says what the log would.
    let usual = if arguments.has_subcommand() { "error" } else { LOG };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    // An error of the log cannot be logged (the disk may be full), and must not disturb viewers.
    let log = log.log_internal_errors(false);
    match arguments.log_format {
        LogFormat::Human => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

/// Prints to standard error and ignores failures: `eprintln!` panics on a closed pipe or a full disk.
fn print_error(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

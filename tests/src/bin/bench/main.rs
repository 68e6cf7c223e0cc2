//! `make bench`: the figures that matter to a viewer and an operator, measured in one run on one machine.
//!
//! Absolute times differ between machines and between minutes on a busy one; the ratios are what to look at, which is
//! why the floor is measured beside the relay. Parts run alone when named: `bench picture`, `bench fanout`,
//! `bench latency`, `bench road`, `bench faults`, `bench page`, `bench size`; those that take minutes only when named: `bench
//! ways`; `bench hls`, or `bench hls 60` for 60 seconds of it; `bench soak`, or `bench soak 10` for ten minutes of it. With
//! names of browsers these alone are used: `bench road chromium`, `bench soak chromium firefox`.

mod crowd;
mod fanout;
mod faults;
mod floor;
mod frames;
mod hls;
mod latency;
mod page;
mod picture;
mod process;
mod road;
mod size;
mod soak;
mod ways;

use std::process::ExitCode;

use sightline_tests::browser::{Browser, Engine};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, source] = arguments.as_slice()
        && first == floor::COMMAND
    {
        floor::serve(source).await;
        return ExitCode::SUCCESS;
    }
    const PARTS: [&str; 10] = ["latency", "road", "faults", "picture", "page", "fanout", "size", "ways", "hls", "soak"];
    let number = arguments.iter().find_map(|argument| argument.parse().ok());
    let wanted = |engine: &Engine| arguments.iter().any(|argument| names(argument, *engine));
    let mut engines: Vec<Engine> = Engine::ALL.into_iter().filter(wanted).collect();
    if engines.is_empty() {
        engines.extend(Engine::ALL);
    }
    let is_part = |argument: &String| {
        argument.parse::<u64>().is_err() && !Engine::ALL.into_iter().any(|engine| names(argument, engine))
    };
    let arguments: Vec<String> = arguments.into_iter().filter(is_part).collect();
    if let Some(unknown) = arguments.iter().find(|part| !PARTS.contains(&part.as_str())) {
        eprintln!("there is no part {unknown:?}: the parts are {}", PARTS.join(", "));
        return ExitCode::FAILURE;
    }
    let chosen = |part: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == part);
    // Progress goes to standard error, the table to standard output.
    let mut rows = Vec::new();
    if chosen("size") {
        rows.extend(size::measure());
    }
    if chosen("picture") {
        rows.extend(picture::measure().await);
    }
    if chosen("page") {
        rows.extend(page::measure().await);
    }
    if chosen("latency") {
        rows.extend(latency::measure(&engines).await);
    }
    if chosen("road") {
        rows.extend(road::measure(&engines).await);
    }
    if chosen("faults") {
        rows.extend(faults::measure(&engines).await);
    }
    let named = |part: &str| arguments.iter().any(|argument| argument == part);
    if named("ways") {
        rows.extend(ways::measure(&engines).await);
    }
    if named("hls") {
        rows.extend(hls::measure(number.unwrap_or(hls::SECONDS)).await);
    }
    if named("soak") {
        rows.extend(soak::measure(number.unwrap_or(soak::MINUTES), &engines).await);
    }
    if chosen("fanout") {
        rows.extend(fanout::measure().await);
    }
    let widest = |column: fn(&Row) -> &str| rows.iter().map(|row| column(row).chars().count()).max().unwrap_or(0);
    let (width, measured) = (widest(|row| &row.what), widest(|row| &row.measured).max(28));
    println!("| {:width$} | {:>measured$} | {:>20} |", "what", "measured", "at most");
    println!("| {:-<width$} | {:->measured$} | {:->20} |", "", ":", ":");
    for row in rows {
        println!("| {:width$} | {:>measured$} | {:>20} |", row.what, row.measured, row.limit);
    }
    ExitCode::SUCCESS
}

/// Whether an argument is the name of this engine.
fn names(argument: &str, engine: Engine) -> bool {
    argument.eq_ignore_ascii_case(&engine.to_string())
}

/// What a part measures in each of these browsers, one after the other.
async fn in_each(part: &str, engines: &[Engine], measure: impl AsyncFn(&Browser) -> Vec<Row>) -> Vec<Row> {
    let mut rows = Vec::new();
    for &engine in engines {
        match Browser::start(engine).await {
            Some(browser) => rows.extend(measure(&browser).await),
            None => rows.push(Row::new(format!("{part}, {engine}"), "not installed", "")),
        }
    }
    rows
}

/// A line of the table.
#[derive(Debug, Clone)]
struct Row {
    what: String,
    measured: String,
    /// What we promise, where we do.
    limit: String,
}

impl Row {
    fn new(what: impl Into<String>, measured: impl Into<String>, limit: impl Into<String>) -> Self {
        Self { what: what.into(), measured: measured.into(), limit: limit.into() }
    }
}

//! `make bench`: the figures that matter to a viewer and an operator, measured in one run on one machine.
//!
//! Absolute times differ between machines and between minutes on a busy one; the ratios are what to look at, which is
//! why the floor is measured beside the relay. Parts run alone when named: `bench picture`, `bench fanout`,
//! `bench size`.

mod crowd;
mod fanout;
mod floor;
mod frames;
mod picture;
mod process;
mod size;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, source] = arguments.as_slice()
        && first == floor::COMMAND
    {
        floor::serve(source).await;
        return ExitCode::SUCCESS;
    }
    const PARTS: [&str; 3] = ["picture", "fanout", "size"];
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
    if chosen("fanout") {
        rows.extend(fanout::measure().await);
    }
    let width = rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
    println!("| {:width$} | {:>28} | {:>20} |", "what", "measured", "at most");
    println!("| {:-<width$} | {:->28} | {:->20} |", "", ":", ":");
    for row in rows {
        println!("| {:width$} | {:>28} | {:>20} |", row.what, row.measured, row.limit);
    }
    ExitCode::SUCCESS
}

/// A line of the table.
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

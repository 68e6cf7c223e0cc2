//! `make bench`: measures the figures that matter to viewers and operators, in one run on one machine.
//!
//! Absolute times differ between machines, and between minutes on a busy machine. Compare the ratios: raw TCP, the baseline and
//! the other servers are measured beside the relay.
//!
//! Parts run alone when named (`bench first-frame`). These parts take minutes and run only when named: `bench cameras`, `bench
//! compare`, `bench compare-impaired`, `bench plain`, `bench load`, `bench connections`, `bench protocols`, `bench players`, `bench
//! hls`, `bench churn`, `bench soak`. A number sets the duration: `bench hls 60` runs for 60 seconds, `bench soak 10` for ten minutes. Names of browsers restrict
//! the run to them: `bench impaired-link chromium`, `bench soak chromium firefox`.

mod calibration;
mod cameras;
mod chart;
mod churn;
mod compare;
mod compare_impaired;
mod connections;
mod delay;
mod fanout;
mod faults;
mod first_frame;
mod frames;
mod hls;
mod hls_receiver;
mod impaired_link;
mod latency;
mod load;
mod page;
mod players;
mod process;
mod protocols;
mod raw_tcp;
mod receivers;
mod report;
mod servers;
mod size;
mod soak;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use sightline_tests::browser::{Browser, Engine};

use report::{Part, Run};
use servers::Programs;

/// The default parts, and the parts that run only when named.
const PARTS: [&str; 8] = ["size", "calibration", "first-frame", "page", "latency", "impaired-link", "faults", "fanout"];
const NAMED: [&str; 11] = [
    "plain",
    "cameras",
    "compare",
    "compare-impaired",
    "load",
    "connections",
    "protocols",
    "players",
    "hls",
    "churn",
    "soak",
];

/// Measures the latency of cameras in browsers, the cost of a viewer, and playback on impaired links and after faults.
#[derive(Debug, Parser)]
struct Options {
    /// Parts to run, browsers to use, and a number: seconds for `hls`, minutes for `churn` and `soak`.
    words: Vec<String>,
    /// The folder for results.json and the charts.
    #[arg(long)]
    out: Option<PathBuf>,
    /// A Markdown page in which this run replaces the last one. May be given several times.
    #[arg(long)]
    page: Vec<PathBuf>,
    /// The program go2rtc, to be measured beside the relay.
    #[arg(long, default_value = "go2rtc")]
    go2rtc: PathBuf,
    /// The program mediamtx, to be measured beside the relay.
    #[arg(long, default_value = "mediamtx")]
    mediamtx: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [command, source] if command == raw_tcp::COMMAND => raw_tcp::serve(source).await,
        [command, camera] if command == servers::ORIGINAL => servers::serve_original(camera).await,
        _ => return measure(Options::parse()).await,
    }
    ExitCode::SUCCESS
}

async fn measure(options: Options) -> ExitCode {
    let is_engine = |word: &String| Engine::ALL.into_iter().any(|engine| names(word, engine));
    let number = options.words.iter().find_map(|word| word.parse().ok());
    let (engines, rest): (Vec<_>, Vec<_>) = options.words.iter().cloned().partition(is_engine);
    let parts: Vec<String> = rest.into_iter().filter(|word| word.parse::<u64>().is_err()).collect();
    if let Some(unknown) = parts.iter().find(|part| !PARTS.iter().chain(&NAMED).any(|known| known == part)) {
        eprintln!("there is no part {unknown:?}: the parts are {}, {}", PARTS.join(", "), NAMED.join(", "));
        return ExitCode::FAILURE;
    }
    let wanted = |engine: &Engine| engines.is_empty() || engines.iter().any(|word| names(word, *engine));
    let engines: Vec<Engine> = Engine::ALL.into_iter().filter(wanted).collect();
    let programs = Programs { go2rtc: options.go2rtc, mediamtx: options.mediamtx };
    // Progress goes to standard error, the table to standard output.
    let run = Run::this(std::env::args().skip(1));
    let mut all = Part::default();
    for part in PARTS.into_iter().chain(NAMED) {
        let chosen = if parts.is_empty() { PARTS.contains(&part) } else { parts.iter().any(|named| named == part) };
        if chosen {
            all.add(measure_part(part, number, &programs, &engines).await);
        }
    }
    print!("{}", all.table());
    match all.write(&run, options.out.as_deref(), &options.page) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the results cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure_part(part: &str, number: Option<u64>, programs: &Programs, engines: &[Engine]) -> Part {
    match part {
        "size" => size::measure().into(),
        "calibration" => calibration::measure(engines).await.into(),
        "first-frame" => first_frame::measure(engines).await.into(),
        "page" => page::measure().await.into(),
        "latency" => latency::measure(engines).await.into(),
        "impaired-link" => impaired_link::measure(engines).await.into(),
        "faults" => faults::measure(engines).await.into(),
        "compare" => compare::measure(programs, engines).await,
        "compare-impaired" => compare_impaired::measure(programs, engines).await,
        "cameras" => cameras::measure().await.into(),
        "load" => load::measure(programs).await,
        "players" => players::measure(engines).await.into(),
        "protocols" => protocols::measure(engines).await.into(),
        "hls" => hls::measure(number.unwrap_or(hls::SECONDS)).await.into(),
        "connections" => connections::measure().await.into(),
        "churn" => churn::measure(number.unwrap_or(churn::MINUTES)).await,
        "soak" => soak::measure(number.unwrap_or(soak::MINUTES), engines).await.into(),
        "fanout" => fanout::measure().await.into(),
        "plain" => fanout::measure_plain().await.into(),
        unknown => unreachable!("{unknown} is not in the list of parts"),
    }
}

/// Whether an argument names this engine.
fn names(argument: &str, engine: Engine) -> bool {
    argument.eq_ignore_ascii_case(&engine.to_string())
}

/// Runs a part in each of these browsers, one after the other.
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
    /// Our target, where we have one.
    limit: String,
}

impl Row {
    fn new(what: impl Into<String>, measured: impl Into<String>, limit: impl Into<String>) -> Self {
        Self { what: what.into(), measured: measured.into(), limit: limit.into() }
    }
}

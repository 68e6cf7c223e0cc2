//! The output of a run. It prints the table. `--out FOLDER` adds the table as JSON, with the machine and versions, and the
//! charts. `--page FILE` replaces the part between the marks of a Markdown page, with the whole output or its ratios.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::Row;
use crate::chart::Chart;
use crate::servers::version;

/// The lines around the generated part of a page.
type Marks = (&'static str, &'static str);
/// Marks of the whole output.
const WHOLE: Marks = ("<!-- the last run: written by the bench -->\n", "<!-- end of the last run -->\n");
/// Marks of the ratios.
const RATIOS: Marks = ("<!-- the last run's ratios: written by the bench -->\n", "<!-- end of the ratios -->\n");

/// The results of one part, or of all of them.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) rows: Vec<Row>,
    /// Rows that depend less on the machine: ratios.
    pub(crate) ratios: Vec<Row>,
    pub(crate) charts: Vec<Chart>,
    /// The same figures, for programs.
    pub(crate) figures: Vec<Value>,
    pub(crate) versions: BTreeMap<String, String>,
}

impl From<Vec<Row>> for Part {
    fn from(rows: Vec<Row>) -> Self {
        Self { rows, ..Self::default() }
    }
}

impl Part {
    /// Records the version of a measured program.
    pub(crate) fn version(&mut self, of: &str, version: &str) {
        self.versions.insert(of.to_owned(), version.to_owned());
    }

    pub(crate) fn add(&mut self, other: impl Into<Self>) {
        let other = other.into();
        self.rows.extend(other.rows);
        self.ratios.extend(other.ratios);
        self.charts.extend(other.charts);
        self.figures.extend(other.figures);
        self.versions.extend(other.versions);
    }

    /// The table in Markdown, ratios last.
    pub(crate) fn table(&self) -> String {
        table(self.rows.iter().chain(&self.ratios))
    }

    /// Writes the files that the options ask for.
    ///
    /// # Errors
    /// When a file cannot be read or written, or a page has no marks.
    pub(crate) fn write(&self, run: &Run, folder: Option<&Path>, pages: &[PathBuf]) -> io::Result<()> {
        if let Some(folder) = folder {
            fs::create_dir_all(folder)?;
            for chart in &self.charts {
                fs::write(folder.join(format!("{}.svg", chart.file)), chart.svg())?;
            }
            fs::write(folder.join("results.json"), format!("{:#}\n", self.json(run)))?;
        }
        let folder = folder.map(Path::to_string_lossy).unwrap_or_default();
        for page in pages {
            let text = fs::read_to_string(page)?;
            let written = between(WHOLE, &text, &self.page(run, &folder));
            let written = written.or_else(|| between(RATIOS, &text, &self.page_of_ratios(run)));
            let no_marks = || {
                let (name, whole, ratios) = (page.display(), WHOLE.0.trim(), RATIOS.0.trim());
                io::Error::other(format!("{name} has neither a line {whole:?} nor a line {ratios:?}"))
            };
            fs::write(page, written.ok_or_else(no_marks)?)?;
        }
        Ok(())
    }

    fn json(&self, run: &Run) -> Value {
        let row = |row: &Row| json!({ "what": row.what, "measured": row.measured, "at_most": row.limit });
        json!({
            "date": run.date, "commit": run.commit, "command": run.command,
            "machine": run.machine, "versions": self.all_versions(run),
            "table": self.rows.iter().chain(&self.ratios).map(row).collect::<Vec<_>>(), "figures": self.figures,
        })
    }

    fn page(&self, run: &Run, folder: &str) -> String {
        let versions: Vec<String> = self.all_versions(run).iter().map(|(of, is)| format!("{of}: {is}")).collect();
        let mut page = format!(
            "{}, commit {}, on {}.\n\n`{}`\n\n{}.\n\n{}",
            run.date,
            run.commit,
            run.machine,
            run.command,
            versions.join("; "),
            self.table()
        );
        for chart in self.charts.iter().filter(|_| !folder.is_empty()) {
            write!(page, "\n![{}]({folder}/{}.svg)\n", chart.title, chart.file).expect("a string takes it");
        }
        page
    }

    fn page_of_ratios(&self, run: &Run) -> String {
        let Run { date, machine, command, .. } = run;
        format!("{date}, on {machine}, `{command}`:\n\n{}", table(self.ratios.iter()))
    }

    fn all_versions(&self, run: &Run) -> BTreeMap<String, String> {
        self.versions.iter().chain(&run.versions).map(|(of, is)| (of.clone(), is.clone())).collect()
    }
}

/// Rows in Markdown with aligned columns.
fn table<'a>(rows: impl Iterator<Item = &'a Row> + Clone) -> String {
    let widest = |column: fn(&Row) -> &str| rows.clone().map(|row| column(row).chars().count()).max().unwrap_or(0);
    let (width, measured) = (widest(|row| &row.what), widest(|row| &row.measured).max(28));
    let mut table = format!("| {:width$} | {:>measured$} | {:>20} |\n", "what", "measured", "at most");
    let mut add = |line: String| writeln!(table, "{line}").expect("a string takes it");
    add(format!("| {:-<width$} | {:->measured$} | {:->20} |", "", ":", ":"));
    for row in rows {
        add(format!("| {:width$} | {:>measured$} | {:>20} |", row.what, row.measured, row.limit));
    }
    table
}

/// The time, machine and versions of a run.
#[derive(Debug)]
pub(crate) struct Run {
    date: String,
    commit: String,
    command: String,
    machine: String,
    versions: BTreeMap<String, String>,
}

impl Run {
    pub(crate) fn this(arguments: impl Iterator<Item = String>) -> Self {
        let first = |text: String, key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.split_once(':'));
            line.map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let memory: f64 = first(read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
        let cpu = first(read("/proc/cpuinfo"), "model name");
        let kernel = read("/proc/sys/kernel/osrelease");
        let browsers = [("Chromium", "chromium"), ("Firefox", "firefox-esr"), ("FFmpeg", "ffmpeg")];
        let argument = |program: &str| if program == "ffmpeg" { "-version" } else { "--version" };
        let versions = browsers
            .into_iter()
            .filter_map(|(name, program)| Some((name.to_owned(), version(Path::new(program), argument(program))?)));
        Self {
            date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            commit: said("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
            command: format!(
                "bench {}",
                arguments.map(|argument| without_place(&argument)).collect::<Vec<_>>().join(" ")
            ),
            machine: format!("{cores} cores of {cpu}, {:.0} GiB, Linux {}", memory / 1048576.0, kernel.trim()),
            versions: versions.collect(),
        }
    }
}

/// An argument as printed: absolute paths of this machine are reduced to the file's name.
fn without_place(argument: &str) -> String {
    let path = Path::new(argument);
    let name = path.is_absolute().then(|| path.file_name()).flatten();
    name.map_or_else(|| argument.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// A program's output without its end of line.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Replaces the text between these marks of a page. None without marks.
fn between(marks: Marks, page: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(marks.0)?;
    let (_, after) = rest.split_once(marks.1)?;
    Some(format!("{before}{}{text}\n{}{after}", marks.0, marks.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_told_by_its_name() {
        assert_eq!(without_place("/opt/go2rtc"), "go2rtc");
        assert_eq!(without_place("docs/benchmarks"), "docs/benchmarks");
    }

    #[test]
    fn a_run_replaces_the_one_before_in_a_page() {
        let page = format!("head\n{}old\n{}tail\n", WHOLE.0, WHOLE.1);
        let new = between(WHOLE, &page, "new").expect("it has marks");
        assert_eq!(new, format!("head\n{}new\n{}tail\n", WHOLE.0, WHOLE.1));
        assert_eq!(between(RATIOS, &page, "new"), None);
    }
}

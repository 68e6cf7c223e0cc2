//! `sightline import`: prints a configuration for the cameras of an existing `go2rtc.yaml`, `mediamtx.yml` or Frigate `config.yml`.
//!
//! Text in, text out: [`convert`] is pure, and [`run`] reads the file and prints. What cannot be carried over is a note, in the output
//! as a comment and on standard error. No note contains an address.
//!
//! | module | content |
//! | --- | --- |
//! | [`yaml`] | the file as a tree |
//! | [`address`] | one source of go2rtc |
//! | [`go2rtc`], [`mediamtx`], [`frigate`] | one format each: a tree in, a draft out |
//! | [`draft`] | streams and notes, and their text |

mod address;
mod draft;
mod frigate;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod go2rtc;
mod mediamtx;
mod yaml;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::print;
use crate::config::Config;
use draft::Draft;
use yaml::Node;

/// Maximum size of a file: a hundred times one with a hundred cameras.
const FILE_BYTES: u64 = 1024 * 1024;

/// Print a configuration for the cameras of a go2rtc.yaml, a mediamtx.yml or Frigate's config.yml.
///
/// Standard error and comments name the settings that cannot be carried over.
#[derive(Debug, Args)]
pub(super) struct ImportArguments {
    /// The file to read.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Why nothing is imported.
#[derive(Debug, thiserror::Error)]
enum ImportError {
    #[error("cannot read {0:?}: {1}")]
    Read(PathBuf, std::io::Error),
    #[error(
        "{0:?} is larger than 1 MiB, which no configuration of cameras is; name go2rtc.yaml, mediamtx.yml or config.yml"
    )]
    TooLarge(PathBuf),
    #[error("{0:?} is not text (UTF-8); name go2rtc.yaml, mediamtx.yml or config.yml")]
    NotText(PathBuf),
    #[error("{0:?} cannot be imported: {1}")]
    Unusable(PathBuf, String),
}

/// Reads the file, and prints the configuration and the notes.
pub(super) fn run(arguments: &ImportArguments) -> Result<(), Box<dyn std::error::Error>> {
    let path = &arguments.file;
    let draft = convert(&read(path)?).map_err(|problem| ImportError::Unusable(path.clone(), problem))?;
    for note in draft.notes() {
        // A closed pipe is no reason to fail.
        let _ = writeln!(std::io::stderr(), "not carried over: {note}");
    }
    if draft.is_empty() {
        let problem = "none of its cameras can be carried over".to_owned();
        return Err(ImportError::Unusable(path.clone(), problem).into());
    }
    print(&draft.to_toml());
    Ok(())
}

fn read(path: &Path) -> Result<String, ImportError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| ImportError::Read(path.to_owned(), error))?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(ImportError::TooLarge(path.to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| ImportError::NotText(path.to_owned()))
}

/// The streams of a configuration in one of the three formats.
///
/// # Errors
/// A clause: it is not YAML, or none of the formats.
fn convert(text: &str) -> Result<Draft, String> {
    let root = yaml::parse(text)?;
    let draft = if root.get("cameras").is_some() {
        frigate::convert(&root)
    } else if root.get("paths").is_some() {
        mediamtx::convert(&root)
    } else if root.get("streams").is_some() {
        go2rtc::convert(&root)
    } else {
        return Err("it has neither cameras (Frigate), paths (MediaMTX) nor streams (go2rtc)".to_owned());
    };
    Ok(draft.checked(Config::check_text))
}

/// The entries of a map; none of another value.
fn entries(node: Option<&Node>) -> impl Iterator<Item = (&str, &Node)> {
    node.and_then(Node::as_map).into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// `text` with every `${` as the configuration writes a literal one.
fn literal(text: &str) -> String {
    text.replace("${", "$${")
}

#[cfg(test)]
mod tests;

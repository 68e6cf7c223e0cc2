//! Files for packages: shell completions (`sightline completions`) and manual pages (`sightline man`). clap generates both from
//! the arguments, so that they always match.

use std::error::Error;
use std::io::Write;
use std::path::Path;

use clap::Command;
use clap_complete::{Shell, generate};

/// The program's name.
const NAME: &str = "sightline";

/// Prints the completions for `shell`.
pub(super) fn completions(mut command: Command, shell: Shell) -> Result<(), Box<dyn Error>> {
    let mut text = Vec::new();
    generate(shell, &mut command, NAME, &mut text);
    Ok(std::io::stdout().write_all(&text)?)
}

/// Writes sightline(1) and a page for each subcommand into `folder`, which it creates.
pub(super) fn manual(command: Command, folder: &Path) -> Result<(), Box<dyn Error>> {
    let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
    written.map_err(|error| format!("cannot write the manual pages into {folder:?}: {error}").into())
}

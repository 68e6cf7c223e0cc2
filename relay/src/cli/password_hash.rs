//! `sightline password-hash`: makes an Argon2id hash of the viewers' password, so that its file does not tell it.

use std::error::Error;
use std::io::{self, IsTerminal as _, Write as _};

use super::print;
use crate::access::{PASSWORD_MIN, secret};

/// Reads the first line of standard input and prints its hash and nothing else.
pub(super) fn run() -> Result<(), Box<dyn Error>> {
    if io::stdin().is_terminal() {
        let _ = writeln!(io::stderr(), "Type the password and Enter; the terminal shows it.");
    }
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(|error| format!("cannot read the password: {error}"))?;
    let password = line.trim_end_matches(['\r', '\n']);
    // The relay cannot tell the length of the password from its hash.
    if password.chars().count() < PASSWORD_MIN {
        return Err(format!("the password needs {PASSWORD_MIN} characters or more").into());
    }
    let hash = secret::hash(password).map_err(|error| format!("cannot make a hash: {error}"))?;
    print(&format!("{hash}\n"));
    Ok(())
}

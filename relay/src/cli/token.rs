//! `sightline token`: issues an access token, for a link or for a page of another site.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, SystemTime};

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use sightline_protocol::stream::{StreamName, StreamPattern};

use super::locate::Location;
use crate::access::token;
use crate::config::{Config, TokenKey};

/// The longest validity: ten years.
const LONGEST: u64 = 3650 * 24 * 3600;

/// Print an access token: signed with the key of access.token_key_file or SIGHTLINE_TOKEN_KEY.
#[derive(Debug, Args)]
pub(super) struct TokenArguments {
    /// A stream that it is for, or a pattern such as studio/*; may be repeated [default: all streams].
    #[arg(long = "stream", value_name = "NAME")]
    streams: Vec<StreamPattern>,
    /// How long it is good: a number and s, m, h or d.
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = time)]
    time: Duration,
    /// Its id (`jti`), by which access.revoked revokes it; several tokens may share one [default: a random one].
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    id: Option<String>,
}

/// Why no token can be issued.
#[derive(Debug, thiserror::Error)]
enum TokenError {
    #[error(
        "there is no key to sign a token with: name its file with access.token_key_file, or set SIGHTLINE_TOKEN_KEY; \
         `openssl rand -base64 32` makes one"
    )]
    NoKey,
    #[error("there is no stream {relation} {0}; the configuration has {1}", relation = if .0.is_name() { "named" } else { "that matches" })]
    UnknownStream(StreamPattern, String),
}

/// Prints a token and nothing else. Its id goes to a terminal on standard error. `named` is the configuration that the command
/// line names.
pub(super) fn run(arguments: &TokenArguments, named: Option<Location>) -> Result<(), Box<dyn std::error::Error>> {
    let key = TokenKey::from_environment()?;
    // A key of the environment needs no configuration.
    let location = named.or_else(|| key.is_none().then(Location::find));
    let config = location.as_ref().and_then(Location::file).map(Config::read).transpose()?;
    if let Some(config) = &config
        && let Some(unknown) =
            arguments.streams.iter().find(|pattern| !config.streams.keys().any(|name| pattern.matches(name)))
    {
        let known = config.streams.keys().map(StreamName::as_str).collect::<Vec<_>>().join(", ");
        return Err(TokenError::UnknownStream(unknown.clone(), known).into());
    }
    let key = key.or(config.and_then(|config| config.token_key)).ok_or(TokenError::NoKey)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let names: Vec<String> = arguments.streams.iter().map(ToString::to_string).collect();
    let id = arguments.id.clone().unwrap_or_else(token::new_id);
    println!("{}", token::issue(&key, &names, (now + arguments.time).as_secs(), &id)?);
    if std::io::stderr().is_terminal() {
        let _ = writeln!(std::io::stderr(), "Its id is {id:?}; access.revoked = [{id:?}] revokes it.");
    }
    Ok(())
}

/// Parses `90s`, `30m`, `12h` or `7d`.
fn time(text: &str) -> Result<Duration, String> {
    let seconds = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let unit = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 24 * 3600,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(unit).filter(|seconds| (1..=LONGEST).contains(seconds))
    };
    seconds().map(Duration::from_secs).ok_or_else(|| "say 90s, 30m, 12h or 7d, up to 3650d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_an_end() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("1h", 3600), ("3650d", LONGEST)] {
            assert_eq!(time(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for nonsense in ["", "1", "h", "0s", "-1h", "1.5h", "1 h", "3651d", "99999999999999999999d", "1ö"] {
            assert!(time(nonsense).is_err(), "{nonsense}");
        }
    }
}

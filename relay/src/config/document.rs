//! From the text of the file to its structure: TOML, then references to values elsewhere, then keys and types. An error has its
//! line, and never quotes a value that may be a secret.

use serde::Deserialize;
use toml::de::{DeTable, Deserializer, Error};

use super::references::{self, Inserted, LookUp};

/// Starts of messages that name the key or the stream themselves; the key is added to all others.
const NAMED: [&str; 2] = ["unknown field", "stream name"];

/// Parses `text` into `T`. Returns the values that replaced references, too.
///
/// # Errors
/// The line, from 1, and a sentence.
pub(super) fn parse<T: for<'de> Deserialize<'de>>(
    text: &str,
    look_up: LookUp<'_>,
) -> Result<(T, Inserted), (usize, String)> {
    let line = |at: usize| text.get(..at).unwrap_or_default().matches('\n').count() + 1;
    let wrong = |error: Error| (line(error.span().map_or(0, |span| span.start)), sentence(&error));
    let mut table = DeTable::parse(text).map_err(wrong)?;
    let inserted = references::resolve(table.get_mut(), look_up)
        .map_err(|unresolved| (line(unresolved.span.start), unresolved.message))?;
    match T::deserialize(Deserializer::from(table)) {
        Ok(file) => Ok((file, inserted)),
        Err(error) => {
            let (line, message) = wrong(error);
            Err((line, inserted.hide(&message)))
        }
    }
}

/// The message of `error`, after the key if it does not name it.
fn sentence(error: &Error) -> String {
    let message = without_values(error.message());
    match key(error) {
        Some(key) if !NAMED.iter().any(|start| message.starts_with(start)) => format!("{key}: {message}"),
        _ => message,
    }
}

/// The key that an error of the deserializer belongs to. The crate shows it as a last line: "in `access.open`".
fn key(error: &Error) -> Option<String> {
    let shown = error.to_string();
    let key = shown.strip_prefix(error.message())?.trim().strip_prefix("in `")?.strip_suffix('`')?;
    Some(key.to_owned())
}

/// The deserializer's message without the value that it quotes, which may be an address with a password: `invalid type: string
/// "rtsp://…", expected struct StreamConfig`.
fn without_values(message: &str) -> String {
    match (message.find("string \""), message.rfind("\", expected")) {
        (Some(start), Some(end)) if start < end => format!("{}a text{}", &message[..start], &message[end + 1..]),
        _ => message.to_owned(),
    }
}

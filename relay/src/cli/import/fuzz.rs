//! The target `import`: another program's configuration.

use super::convert;
use crate::config::Config;

/// See [`crate::fuzz`].
pub fn import(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(draft) = convert(text) else { return };
    let output = draft.to_toml();
    assert!(draft.is_empty() || Config::check_text(&output).is_ok(), "the output is a configuration:\n{output}");
}

//! Stores texts for this page (Web Storage API). The storage may be full, or blocked by the user.

use super::error::DomError;
use super::window;

/// Reads the text stored under `key`; none if there is none, or storage is blocked.
pub fn read(key: &str) -> Option<String> {
    window().local_storage().ok()??.get_item(key).ok()?
}

/// Stores a text under `key`.
///
/// # Errors
/// One sentence for the user, without a full stop.
pub fn keep(key: &str, text: &str) -> Result<(), String> {
    let storage = window().local_storage().ok().flatten().ok_or("its settings forbid it")?;
    storage.set_item(key, text).map_err(|thrown| match DomError::from(thrown) {
        DomError::QuotaExceeded => "the room that it has for this page is full".to_owned(),
        error => error.to_string(),
    })
}

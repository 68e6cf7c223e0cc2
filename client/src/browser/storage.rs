//! What the browser keeps for this page (Web Storage API). It may be full, or forbidden by the user.

use super::error::DomError;
use super::window;

/// The text kept under `key`; none where there is none, or where nothing may be kept.
pub fn read(key: &str) -> Option<String> {
    window().local_storage().ok()??.get_item(key).ok()?
}

/// Keeps a text under `key`.
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

//! Exceptions of the DOM, told apart by what can be done about them.

use js_sys::Reflect;
use wasm_bindgen::JsValue;

/// `DOMException.code` of a QuotaExceededError (Web IDL, section 2.8.1).
const QUOTA_CODE: f64 = 22.0;

/// What a call into the browser threw.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomError {
    /// The buffer is full.
    #[error("the browser's media buffer is full")]
    QuotaExceeded,
    /// The user has to act first, as for starting to play.
    #[error("the browser asks for a user's action first")]
    NotAllowed,
    /// The browser does not have what was asked for, such as a decoder for a type.
    #[error("the browser does not support this: {0}")]
    NotSupported(String),
    /// The call was cut short by a later one.
    #[error("the browser aborted the call")]
    Aborted,
    /// Anything else: name and message as the browser gave them.
    #[error("{name}: {message}")]
    Other {
        /// `DOMException.name`, or the like.
        name: String,
        /// Its message.
        message: String,
    },
}

impl From<JsValue> for DomError {
    fn from(thrown: JsValue) -> Self {
        let property = |name: &str| Reflect::get(&thrown, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED);
        let text = |name: &str| property(name).as_string();
        let name = text("name").unwrap_or_default();
        // QuotaExceededError is becoming a class of its own, with a `quota` property and without the code.
        let quota = Reflect::has(&thrown, &JsValue::from_str("quota")).unwrap_or(false);
        if name == "QuotaExceededError" || property("code").as_f64() == Some(QUOTA_CODE) || quota {
            return Self::QuotaExceeded;
        }
        match name.as_str() {
            "NotAllowedError" => Self::NotAllowed,
            "AbortError" => Self::Aborted,
            "NotSupportedError" => Self::NotSupported(text("message").unwrap_or_default()),
            _ => Self::Other { name, message: text("message").unwrap_or_else(|| format!("{thrown:?}")) },
        }
    }
}

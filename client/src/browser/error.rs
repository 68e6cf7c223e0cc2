//! Classifies exceptions of the DOM by the possible response.

use js_sys::Reflect;
use wasm_bindgen::JsValue;

/// `DOMException.code` of a QuotaExceededError (Web IDL, section 2.8.1).
const QUOTA_CODE: f64 = 22.0;

/// An exception thrown by a call into the browser.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomError {
    /// The buffer is full.
    #[error("the browser's media buffer is full")]
    QuotaExceeded,
    /// A user gesture is required first, for example to start playback.
    #[error("the browser asks for a user's action first")]
    NotAllowed,
    /// The browser lacks the requested feature, such as a decoder for a type.
    #[error("the browser does not support this: {0}")]
    NotSupported(String),
    /// A later call interrupted this one.
    #[error("the browser aborted the call")]
    Aborted,
    /// Any other exception, with the browser's name and message.
    #[error("{name}: {message}")]
    Other {
        /// `DOMException.name`, or the equivalent.
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

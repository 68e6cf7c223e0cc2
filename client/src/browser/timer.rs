//! Timers. Browsers slow those of a background tab to as little as one call per minute: no function may depend on timers alone.

use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;

use super::window;

/// Repeats until it is dropped (`setInterval`, `clearInterval`).
#[must_use = "dropping the interval stops it"]
pub struct Interval {
    id: i32,
    _callback: Closure<dyn FnMut()>,
}

impl Interval {
    /// Calls `callback` every `ms` milliseconds.
    pub fn new(ms: i32, callback: impl FnMut() + 'static) -> Self {
        let callback = Closure::<dyn FnMut()>::new(callback);
        let function = callback.as_ref().unchecked_ref();
        let id = window()
            .set_interval_with_callback_and_timeout_and_arguments_0(function, ms)
            .expect("setInterval does not throw for a function");
        Self { id, _callback: callback }
    }
}

impl Drop for Interval {
    fn drop(&mut self) {
        window().clear_interval_with_handle(self.id);
    }
}

/// Fires once, unless it is dropped first (`setTimeout`, `clearTimeout`).
#[must_use = "dropping the timeout cancels it"]
pub struct Timeout {
    id: i32,
    _callback: Closure<dyn FnMut()>,
}

impl Timeout {
    /// Calls `callback` after `ms` milliseconds.
    pub fn new(ms: f64, callback: impl FnMut() + 'static) -> Self {
        let callback = Closure::<dyn FnMut()>::new(callback);
        let function = callback.as_ref().unchecked_ref();
        let id = window()
            .set_timeout_with_callback_and_timeout_and_arguments_0(function, ms.round() as i32)
            .expect("setTimeout does not throw for a function");
        Self { id, _callback: callback }
    }
}

impl Drop for Timeout {
    fn drop(&mut self) {
        window().clear_timeout_with_handle(self.id);
    }
}

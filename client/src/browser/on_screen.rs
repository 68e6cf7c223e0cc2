//! Reports whether an element is within the viewport (Intersection Observer API).

use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{Element, IntersectionObserver, IntersectionObserverEntry, IntersectionObserverInit};

/// An element counts as visible at this distance from the viewport: resuming takes a round trip.
const MARGIN: &str = "100px";

/// Reports when an element enters or leaves the viewport, until it is dropped.
#[must_use = "dropping the watch ends it"]
pub struct OnScreen {
    observer: IntersectionObserver,
    _callback: Closure<dyn FnMut(js_sys::Array)>,
}

impl OnScreen {
    /// Calls `on_change` once soon, and at each change. None if the browser lacks the API.
    pub fn new(element: &Element, on_change: impl Fn(bool) + 'static) -> Option<Self> {
        let callback = Closure::<dyn FnMut(js_sys::Array)>::new(move |entries: js_sys::Array| {
            // Entries are in order: the last is the current state.
            if let Some(entry) = entries.iter().last() {
                on_change(entry.unchecked_ref::<IntersectionObserverEntry>().is_intersecting());
            }
        });
        let options = IntersectionObserverInit::new();
        options.set_root_margin(MARGIN);
        let observer = IntersectionObserver::new_with_options(callback.as_ref().unchecked_ref(), &options).ok()?;
        observer.observe(element);
        Some(Self { observer, _callback: callback })
    }
}

impl Drop for OnScreen {
    fn drop(&mut self) {
        self.observer.disconnect();
    }
}

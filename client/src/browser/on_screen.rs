//! Whether an element is on the part of the page that can be seen (Intersection Observer API).

use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{Element, IntersectionObserver, IntersectionObserverEntry, IntersectionObserverInit};

/// An element counts as on screen this far before it is: resuming takes a round trip.
const MARGIN: &str = "100px";

/// Tells when an element comes into view or leaves it, until it is dropped.
#[must_use = "dropping the watch ends it"]
pub struct OnScreen {
    observer: IntersectionObserver,
    _callback: Closure<dyn FnMut(js_sys::Array)>,
}

impl OnScreen {
    /// Calls `on_change` once soon, and whenever it changes. None where the browser cannot tell.
    pub fn new(element: &Element, on_change: impl Fn(bool) + 'static) -> Option<Self> {
        let callback = Closure::<dyn FnMut(js_sys::Array)>::new(move |entries: js_sys::Array| {
            // In order: the last is how it is now.
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

//! `<select>` elements.

use wasm_bindgen::JsCast;
use web_sys::{HtmlInputElement, HtmlSelectElement};
use yew::prelude::*;

/// Renders options from pairs of value and label.
pub fn options(choices: impl IntoIterator<Item = (String, String)>, chosen: &str) -> Html {
    let option = |(value, label): (String, String)| {
        let selected = value == chosen;
        html! { <option {value} {selected}>{ label }</option> }
    };
    choices.into_iter().map(option).collect()
}

/// The value of an event's input or select.
pub fn value(event: &web_sys::Event) -> String {
    let Some(target) = event.target() else { return String::new() };
    match target.dyn_into::<HtmlSelectElement>() {
        Ok(select) => select.value(),
        Err(target) => target.dyn_into::<HtmlInputElement>().map(|input| input.value()).unwrap_or_default(),
    }
}

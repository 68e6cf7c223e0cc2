//! Icons for buttons, drawn in a square of 16 units: not every system has an icon font.

use yew::prelude::*;

/// A loudspeaker with waves.
pub const LOUD: &[&str] = &[SPEAKER, "M10.5 5.5a3.5 3.5 0 0 1 0 5M12.5 3.5a6.4 6.4 0 0 1 0 9"];
/// A loudspeaker, crossed out.
pub const MUTED: &[&str] = &[SPEAKER, "M10.5 6l4 4M14.5 6l-4 4"];
/// A camera: save the frame.
pub const SNAPSHOT: &[&str] = &["", "M1.5 5h3l1.5-2h4l1.5 2h3v8h-13zM8 11.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z"];
/// A disc: record.
pub const RECORD: &[&str] = &["M8 12.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9z"];
/// A square: stop.
pub const STOP: &[&str] = &["M4 4h8v8H4z"];
/// A small video over a large one: picture-in-picture.
pub const PICTURE_IN_PICTURE: &[&str] = &["M8.5 8.5h5v3.5h-5z", "M14.5 6.5V3h-13v10h4"];
/// Four corners: fullscreen.
pub const FULLSCREEN: &[&str] = &["", "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4"];
/// A large rectangle with an arrow outwards: enlarge.
pub const LARGE: &[&str] = &["", "M2 2.5h12v11H2zM5 10.5l5.5-5M7 5.5h3.5v3.5"];
/// A curve: statistics.
pub const STATISTICS: &[&str] = &["", "M1.5 13.5h13M2 11l3.5-4.5 3 2.5L14 3"];
/// Three lines: the sidebar.
pub const MENU: &[&str] = &["", "M2 4h12M2 8h12M2 12h12"];
/// A cross: close.
pub const CLOSE: &[&str] = &["", "M4 4l8 8M12 4l-8 8"];
/// A triangle with an exclamation mark: a fault.
pub const FAULT: &[&str] = &["", "M8 2L1.5 13.5h13zM8 6.5v3.5M8 11.7v.1"];
/// An arrow up.
pub const UP: &[&str] = &["", "M8 13V3M4 7l4-4 4 4"];
/// An arrow down.
pub const DOWN: &[&str] = &["", "M8 3v10M4 9l4 4 4-4"];

const SPEAKER: &str = "M1 6h3l4-4v12l-4-4H1z";

/// Renders an icon: its first path filled, the second as a line.
pub fn icon(paths: &[&'static str]) -> Html {
    html! {
        <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
            <path d={paths[0]} />
            if let Some(line) = paths.get(1) {
                <path class="line" d={*line} />
            }
        </svg>
    }
}

/// Renders a button with an icon, and its label for screen readers and as a tooltip.
pub fn button(class: &'static str, label: &str, paths: &[&'static str], onclick: Callback<MouseEvent>) -> Html {
    html! {
        <button class={classes!("sign", class)} type="button" aria-label={label.to_owned()} title={label.to_owned()} {onclick}>
            { icon(paths) }
        </button>
    }
}

//! The controls of a tile.

use yew::prelude::*;

use super::Act;
use crate::browser::display;
use crate::state::Tile;
use crate::ui::choose::value;
use crate::ui::icons::{self, button};

const ALL: &str = "All cameras (Esc)";
const ONE: &str = "This camera alone (Enter)";

/// The bar of buttons. It leaves out features that this browser or stream does not support. `solo` is whether the tile fills
/// the grid; none without a grid.
pub(super) fn bar(tile: &Tile, solo: Option<bool>, act: &Callback<Act>) -> Html {
    let on = |what: Act| act.reform(move |_: MouseEvent| what);
    let recording = tile.recording.is_some();
    let can_float = display::can_float();
    html! {
        <div class="tile-bar" role="group" aria-label={format!("Controls of {}", tile.title())}>
            { sound(tile, act) }
            if tile.stream.is_some() {
                <span class="tile-more">
                    { button("tile-snapshot", "Save a snapshot (C)", icons::SNAPSHOT, on(Act::Snapshot)) }
                    if !tile.can_record() {
                    } else if recording {
                        { button("tile-record", "Stop recording and save (R)", icons::STOP, on(Act::Record)) }
                    } else {
                        { button("tile-record", "Record (R)", icons::RECORD, on(Act::Record)) }
                    }
                    if can_float {
                        { button("tile-picture-in-picture", "Picture in picture (P)", icons::PICTURE_IN_PICTURE, on(Act::PictureInPicture)) }
                    }
                    { button("tile-fullscreen", "Fill the screen (F)", icons::FULLSCREEN, on(Act::FillScreen)) }
                    if let Some(solo) = solo {
                        { button("tile-solo", if solo { ALL } else { ONE }, icons::LARGE, on(Act::Solo)) }
                    }
                </span>
            }
        </div>
    }
}

/// Renders the buttons for audio and volume, if the stream has audio.
fn sound(tile: &Tile, act: &Callback<Act>) -> Html {
    let (label, sign) = if tile.listening { ("Mute", icons::LOUD) } else { ("Unmute", icons::MUTED) };
    let onclick = act.reform(|_: MouseEvent| Act::Listen);
    let oninput = act.reform(|event: InputEvent| Act::Volume(value(&event).parse().unwrap_or(1.0)));
    html! {
        if tile.audio {
            if tile.listening {
                <input class="tile-volume" type="range" min="0" max="1" step="0.05" value={tile.volume.to_string()}
                    aria-label={format!("Volume of {}", tile.title())} {oninput} />
            }
            <button class="sign tile-speaker" type="button" {onclick} aria-label={label} title={format!("{label} (M)")}
                aria-pressed={tile.listening.to_string()}>
                { icons::icon(sign) }
            </button>
        }
    }
}

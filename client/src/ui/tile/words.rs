//! What lies over a picture to be read.

use yew::prelude::*;

use crate::state::{Phase, Recorded, Tile, bit_rate};
use crate::ui::curve::curve;

/// What the curves show: a minute.
const MINUTE: usize = 60;

/// The sentence over a picture that is not live.
pub(super) fn overlay(tile: &Tile, on_tap: Callback<MouseEvent>) -> Html {
    let busy = matches!(tile.phase(), Phase::Connecting | Phase::Starting | Phase::Reconnecting);
    html! {
        if let Some(message) = tile.message() {
            <div class={classes!("tile-overlay", busy.then_some("tile-busy"))}>
                if tile.tap_needed {
                    <button class="tile-tap" type="button" onclick={on_tap}>{ "Tap to play" }</button>
                } else if busy {
                    <span class="tile-spinner" aria-hidden="true" />
                }
                <p class="tile-message" role="status">{ message }</p>
                if let Some(old) = tile.old_picture() {
                    <p class="tile-age">{ old }</p>
                }
            </div>
        }
    }
}

/// Name, state, codec, size and frame rate.
pub(super) fn caption(tile: &Tile) -> Html {
    let codec = tile.codec_label();
    html! {
        <footer class="tile-caption">
            <div class="tile-line">
                <span class="tile-name"><span class="dot" aria-hidden="true" />{ &tile.name }</span>
                if let Some(Recorded { seconds, bytes }) = tile.recording {
                    <span class="tile-recording">{ format!("● {seconds:.0} s, {:.1} MB", bytes as f64 / 1e6) }</span>
                }
                <span class="tile-state">{ tile.phase().label() }</span>
            </div>
            <div class="tile-line tile-facts">
                if let Some(codec) = &codec {
                    <span class="tile-codec" title={codec.clone()}>{ codec }</span>
                }
                if let Some(age) = tile.age_label() {
                    <span class="tile-latency" title="From the camera's arrival at the relay to your screen">{ age }</span>
                }
                if let Some(label) = tile.picture_label() {
                    <span class="tile-picture">{ label }</span>
                }
            </div>
        </footer>
    }
}

/// Figures, and how latency and bit rate were in the last minute.
pub(super) fn statistics(tile: &Tile) -> Html {
    let ages = tile.history.values(MINUTE, |sample| sample.age_ms);
    let bits = tile.history.values(MINUTE, |sample| Some(sample.bits));
    html! {
        <div class="tile-statistics" role="group" aria-label={format!("Statistics of {}", tile.name)}>
            <dl>
                { for tile.statistics().into_iter().map(|(name, value)| html! { <><dt>{ name }</dt><dd>{ value }</dd></> }) }
            </dl>
            <div>
            { curve(&ages, MINUTE, 100.0, "Latency in the last minute", |top| format!("{top:.0} ms")) }
            { curve(&bits, MINUTE, 1e5, "Bit rate in the last minute", bit_rate) }
            </div>
        </div>
    }
}

//! The texts over a video.

use yew::prelude::*;

use super::Act;
use crate::browser;
use crate::state::{Fault, Phase, Recorded, Tile, bit_rate};
use crate::ui::curve::curve;
use crate::ui::icons::{self, icon};

/// Number of samples in the curves: one minute.
const MINUTE: usize = 60;

/// The message over a video that is not live.
pub(super) fn overlay(tile: &Tile, act: &Callback<Act>) -> Html {
    if let Some(fault) = tile.fault() {
        return self::fault(tile, fault, act);
    }
    let busy = matches!(tile.phase(), Phase::Connecting | Phase::Starting | Phase::Reconnecting);
    html! {
        if let Some(message) = tile.message() {
            <div class={classes!("tile-overlay", busy.then_some("tile-busy"))}>
                if tile.tap_needed {
                    <button class="tile-tap" type="button" onclick={act.reform(|_: MouseEvent| Act::Tap)}>{ "Tap to play" }</button>
                } else if busy {
                    <span class="tile-spinner" aria-hidden="true" />
                }
                <p class="tile-message" role="status">{ message }</p>
                if let Some(old) = tile.stale_frame_label() {
                    <p class="tile-age">{ old }</p>
                }
            </div>
        }
    }
}

/// The fault: its title, duration and next attempt, and the reason on demand.
fn fault(tile: &Tile, fault: &Fault, act: &Callback<Act>) -> Html {
    html! {
        <div class="tile-overlay">
            <div class="tile-fault">
                <p class="tile-title" role="status">{ icon(icons::FAULT) }{ fault.cause.title() }</p>
                // Not a live region: the text changes every second.
                if fault.since.is_finite() {
                    <p class="tile-age">{ fault.line(browser::unix_ms()) }</p>
                }
                if fault.can_retry() {
                    <button class="tile-retry" type="button" onclick={act.reform(|_: MouseEvent| Act::Retry)}>{ "Retry now" }</button>
                }
                <details open={fault.cause.needs_action()}>
                    <summary>{ "Details" }</summary>
                    <p class="tile-message">{ &fault.reason }</p>
                    if let Some(old) = tile.stale_frame_label() {
                        <p>{ old }</p>
                    }
                </details>
            </div>
        </div>
    }
}

/// The name; the state while the tile is not live; recording and audio. Codec, age and size appear under the pointer, at
/// keyboard focus, or after a tap.
pub(super) fn caption(tile: &Tile) -> Html {
    let codec = tile.codec_label();
    let phase = tile.phase();
    html! {
        <footer class="tile-caption">
            <div class="tile-facts">
                if let Some(codec) = &codec {
                    <span class="tile-codec" title={codec.clone()}>{ codec }</span>
                }
                if let Some(age) = tile.age_label() {
                    <span class="tile-latency" title="From the camera's arrival at the relay to your screen">{ age }</span>
                }
                if let Some(label) = tile.video_label() {
                    <span class="tile-picture">{ label }</span>
                }
            </div>
            <div class="tile-pill">
                <span class="tile-name" title={tile.name.clone()}>{ tile.title() }</span>
                if tile.listening {
                    { icon(icons::LOUD) }
                }
                if let Some(Recorded { seconds, bytes }) = tile.recording {
                    <span class="tile-recording">
                        <span class="dot" aria-hidden="true" />{ format!("{seconds:.0} s, {:.1} MB", bytes as f64 / 1e6) }
                    </span>
                }
                if phase != Phase::Live {
                    <span class="tile-state"><span class="dot" aria-hidden="true" />{ phase.label() }</span>
                }
            </div>
        </footer>
    }
}

/// The statistics, and curves of latency and bit rate over the last minute.
pub(super) fn statistics(tile: &Tile) -> Html {
    let ages = tile.history.values(MINUTE, |sample| sample.age_ms);
    let bits = tile.history.values(MINUTE, |sample| Some(sample.bits));
    html! {
        <div class="tile-statistics" role="group" aria-label={format!("Statistics of {}", tile.title())}>
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

//! One stream: its picture, its name and what it is, and one sentence where the picture is not live.

use std::rc::Rc;

use sightline_protocol::stream::VariantChoice;
use web_sys::HtmlVideoElement;
use yew::prelude::*;

use crate::session::Session;
use crate::state::{self, Event, Phase};

/// What a tile is given.
#[derive(Debug, Clone, PartialEq, Properties)]
pub struct Props {
    /// What to display.
    pub tile: state::Tile,
    /// The variant to ask for; it does not change while the page is open.
    pub choice: VariantChoice,
    /// Where its session reports to.
    pub on_event: Callback<Event>,
}

/// See the module.
pub struct Tile {
    video: NodeRef,
    session: Option<Rc<Session>>,
}

impl Component for Tile {
    type Message = ();
    type Properties = Props;

    fn create(_: &Context<Self>) -> Self {
        Self { video: NodeRef::default(), session: None }
    }

    fn rendered(&mut self, ctx: &Context<Self>, first_render: bool) {
        let Props { tile, choice, on_event } = ctx.props();
        if let (true, Some(stream), Some(video)) = (first_render, &tile.stream, self.video.cast::<HtmlVideoElement>()) {
            let (name, on_event) = (stream.clone(), on_event.clone());
            let report = Rc::new(move |event| on_event.emit(Event::Tile(name.clone(), event)));
            self.session = Some(Rc::new(Session::start(stream.clone(), *choice, video, report)));
        }
    }

    fn view(&self, ctx: &Context<Self>) -> Html {
        let tile = &ctx.props().tile;
        let picture = tile.picture.as_ref();
        html! {
            <article class="tile"
                data-stream={tile.name.clone()}
                data-state={tile.phase().as_str()}
                data-variant={picture.map(|picture| picture.variant.to_string())}
                data-codec={picture.map(|picture| picture.codec.clone())}
                data-epoch={tile.epoch.to_string()}
                data-first-picture-ms={tile.first_picture_ms.map(|ms| format!("{ms:.1}"))}
            >
                <video ref={self.video.clone()} autoplay=true muted=true playsinline=true aria-label={tile.name.clone()} />
                { overlay(tile, self.on_tap()) }
                { caption(tile) }
            </article>
        }
    }
}

impl Tile {
    /// Plays from within the event's handler: after it the browser no longer takes it for the user's wish.
    fn on_tap(&self) -> Callback<MouseEvent> {
        let session = self.session.clone();
        Callback::from(move |_| {
            if let Some(session) = &session {
                session.tapped();
            }
        })
    }
}

/// The sentence over a picture that is not live.
fn overlay(tile: &state::Tile, on_tap: Callback<MouseEvent>) -> Html {
    let busy = matches!(tile.phase(), Phase::Connecting | Phase::Starting | Phase::Reconnecting);
    html! {
        if let Some(message) = tile.message() {
            <div class="tile-overlay">
                if tile.tap_needed {
                    <button class="tile-tap" type="button" onclick={on_tap}>{ "Tap to play" }</button>
                } else if busy {
                    <span class="tile-spinner" aria-hidden="true" />
                }
                <p class="tile-message" role="status">{ message }</p>
            </div>
        }
    }
}

/// Name, state, codec, size and frame rate.
fn caption(tile: &state::Tile) -> Html {
    let codec = tile.codec_label();
    html! {
        <footer class="tile-caption">
            <div class="tile-line">
                <span class="tile-name"><span class="tile-dot" aria-hidden="true" />{ &tile.name }</span>
                <span class="tile-state">{ state_word(tile.phase()) }</span>
            </div>
            <div class="tile-line tile-facts">
                if let Some(codec) = &codec {
                    <span class="tile-codec" title={codec.clone()}>{ codec }</span>
                }
                if let Some(label) = tile.picture_label() {
                    <span class="tile-picture">{ label }</span>
                }
            </div>
        </footer>
    }
}

fn state_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Connecting => "Connecting",
        Phase::Starting => "Starting",
        Phase::Live => "Live",
        Phase::Stalled => "Stalled",
        Phase::Offline => "Offline",
        Phase::Reconnecting => "Reconnecting",
        Phase::Error => "Not available",
    }
}

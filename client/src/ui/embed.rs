//! One stream in a foreign page: the implementation of `<sightline-player>`. The element itself is a JavaScript class in
//! `client/embed/sightline-player.js`.

use std::rc::Rc;

use js_sys::Promise;
use serde::{Deserialize, Serialize};
use sightline_protocol::stream::{Quality, StreamName, VariantChoice};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, Element};
use yew::prelude::*;

use super::tile::TileView;
use crate::browser::{self, Relay, file};
use crate::state::{self, Event, Protocol, TileEvent, choice_of};

/// The element's attributes. Absent ones have the values of [`Default`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Attributes {
    /// The relay's address.
    pub src: Option<String>,
    /// The access token for the relay.
    pub token: Option<String>,
    /// The name of the stream.
    pub stream: String,
    /// `auto`, `mse`, `webcodecs`, `webrtc` or `hls`.
    pub protocol: String,
    /// `auto`, `h265`, `h264` or `low`.
    pub codec: String,
    /// `auto`, `high` or `low`.
    pub quality: String,
    /// Whether audio is off.
    pub muted: bool,
    /// Whether statistics are shown over the video.
    pub stats: bool,
    /// Whether the player has controls beside the video.
    pub controls: bool,
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            src: None,
            token: None,
            stream: String::new(),
            protocol: String::new(),
            codec: String::new(),
            quality: String::new(),
            muted: true,
            stats: false,
            controls: true,
        }
    }
}

/// The detail of a `statechange` event; `statistics` adds the latency.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventDetail {
    state: &'static str,
    message: Option<String>,
    protocol: Option<&'static str>,
    variant: Option<String>,
    codec: Option<String>,
    width: Option<u16>,
    height: Option<u16>,
    muted: bool,
    audio: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<f64>,
}

impl EventDetail {
    fn of(tile: &state::Tile) -> Self {
        let video_info = tile.video_info.as_ref();
        let size = video_info.and_then(|video_info| video_info.size);
        Self {
            state: tile.phase().as_str(),
            message: tile.message(),
            protocol: tile.using.as_ref().map(|(protocol, _)| protocol.as_str()),
            variant: video_info.map(|video_info| video_info.variant.to_string()),
            codec: video_info.map(|video_info| video_info.codec.clone()),
            width: size.map(|size| size.width),
            height: size.map(|size| size.height),
            muted: !tile.listening,
            audio: tile.audio,
            latency_ms: None,
        }
    }
}

/// The component's properties.
#[derive(Debug, Clone, PartialEq, Properties)]
pub struct EmbedProps {
    /// The element's attributes.
    pub attributes: Attributes,
    /// Called with the name of an event and its detail, as JSON.
    pub on_event: Callback<(&'static str, String)>,
}

/// See the module.
pub struct Embed {
    tile: Rc<state::Tile>,
    last_sent: Option<EventDetail>,
}

impl Component for Embed {
    type Message = Event;
    type Properties = EmbedProps;

    fn create(ctx: &Context<Self>) -> Self {
        Self { tile: Rc::new(tile(&ctx.props().attributes)), last_sent: None }
    }

    fn changed(&mut self, ctx: &Context<Self>, _: &EmbedProps) -> bool {
        // The element creates a new player for another stream, relay or codec; the other attributes change in place.
        let tile = Rc::make_mut(&mut self.tile);
        tile.protocol = protocol(&ctx.props().attributes);
        tile.quality = quality(&ctx.props().attributes);
        true
    }

    fn update(&mut self, ctx: &Context<Self>, event: Event) -> bool {
        match event {
            Event::Tile(_, event) => {
                let sampled = matches!(event, TileEvent::Sample(_));
                Rc::make_mut(&mut self.tile).apply(event, browser::unix_ms());
                self.tell(ctx, sampled);
                true
            }
            Event::Choose(state::Choice::Volume(_, volume)) => {
                Rc::make_mut(&mut self.tile).volume = volume;
                true
            }
            _ => false,
        }
    }

    fn rendered(&mut self, ctx: &Context<Self>, first_render: bool) {
        // An invalid stream name has no session, so no event would report the first state.
        if first_render {
            self.tell(ctx, false);
        }
    }

    fn view(&self, ctx: &Context<Self>) -> Html {
        let Attributes { src, token, codec, muted, stats, controls, .. } = &ctx.props().attributes;
        let relay = Relay { url: src.clone(), token: token.clone() };
        html! {
            <TileView tile={self.tile.clone()} {relay} choice={variant(codec)} muted={*muted} alone=true statistics={*stats}
                controls={*controls} on_event={ctx.link().callback(|event| event)} />
        }
    }
}

impl Embed {
    fn tell(&mut self, ctx: &Context<Self>, sampled: bool) {
        let on_event = &ctx.props().on_event;
        let now = EventDetail::of(&self.tile);
        let json = |detail: &EventDetail| serde_json::to_string(detail).unwrap_or_default();
        if self.last_sent.as_ref() != Some(&now) {
            on_event.emit(("statechange", json(&now)));
            self.last_sent = Some(now.clone());
        }
        if sampled {
            on_event.emit(("statistics", json(&EventDetail { latency_ms: self.tile.age_ms, ..now })));
        }
    }
}

fn tile(attributes: &Attributes) -> state::Tile {
    let mut tile = match StreamName::try_from(attributes.stream.clone()) {
        Ok(name) => state::Tile::new(name),
        Err(error) => state::Tile::refused(&error),
    };
    tile.protocol = protocol(attributes);
    tile.quality = quality(attributes);
    tile
}

fn quality(attributes: &Attributes) -> Quality {
    attributes.quality.parse().unwrap_or_default()
}

fn protocol(attributes: &Attributes) -> Protocol {
    attributes.protocol.parse().unwrap_or_default()
}

fn variant(codec: &str) -> VariantChoice {
    choice_of(codec).unwrap_or(VariantChoice::Auto)
}

/// A player in an element of the page.
#[wasm_bindgen]
pub struct EmbeddedPlayer {
    handle: Option<AppHandle<Embed>>,
    root: Element,
    on_event: Callback<(&'static str, String)>,
}

#[wasm_bindgen]
impl EmbeddedPlayer {
    /// Starts to play in `root`. `attributes` are an [`Attributes`] in JSON; `on_event` is called with the name of an event and
    /// its detail in JSON.
    #[wasm_bindgen(constructor)]
    pub fn new(root: Element, attributes: &str, on_event: js_sys::Function) -> Self {
        let on_event = Callback::from(move |(name, detail): (&'static str, String)| {
            // The browser reports exceptions of the page's listeners.
            let _ = on_event.call2(&JsValue::NULL, &JsValue::from_str(name), &JsValue::from_str(&detail));
        });
        let props = EmbedProps { attributes: read(attributes), on_event: on_event.clone() };
        let handle = yew::Renderer::<Embed>::with_root_and_props(root.clone(), props).render();
        Self { handle: Some(handle), root, on_event }
    }

    /// Applies new values of `protocol`, `quality`, `muted`, `stats` and `controls`. Other attributes need a new player.
    pub fn update(&mut self, attributes: &str) {
        if let Some(handle) = &mut self.handle {
            handle.update(EmbedProps { attributes: read(attributes), on_event: self.on_event.clone() });
        }
    }

    /// The frame on screen as a PNG: a Promise of a `Blob`, rejected while there is none.
    pub fn snapshot(&self) -> Promise {
        let find = |selector| self.root.query_selector(selector).ok().flatten();
        let surface = find("video").zip(find("canvas"));
        Promise::new(&mut move |resolve, reject| {
            let settle = move |blob: Option<Blob>| {
                let _ = match blob {
                    Some(blob) => resolve.call1(&JsValue::NULL, &blob),
                    None => reject.call1(&JsValue::NULL, &js_sys::Error::new("There is no frame yet.")),
                };
            };
            match surface.clone() {
                Some((video, over)) => file::snapshot(video.unchecked_ref(), over.unchecked_ref(), settle),
                None => settle(None),
            }
        })
    }

    /// Stops the player: closes the connection and unregisters everything from the page.
    pub fn stop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.destroy();
        }
    }
}

fn read(attributes: &str) -> Attributes {
    serde_json::from_str(attributes).unwrap_or_default()
}

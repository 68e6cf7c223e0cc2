//! Components render their properties and send the user's actions.

use std::cell::RefCell;
use std::rc::Rc;

use sightline_client::browser::{Relay, document, storage};
use sightline_client::state::history::Sample;
use sightline_client::state::{self, Choice, Event, Layout, Phase, Protocol, Theme, TileEvent};
use sightline_client::ui::embed::EmbeddedPlayer;
use sightline_client::ui::sidebar::{self, Row, Sidebar};
use sightline_client::ui::tile::{self, TileView};
use sightline_protocol::stream::{Quality, StreamName, VariantChoice};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_test::wasm_bindgen_test;
use web_sys::{Element, HtmlElement};
use yew::prelude::*;

use crate::fixture::until;

/// An element in the page, removed on drop.
struct Root(Element);

impl Root {
    fn new() -> Self {
        let root = document().create_element("div").unwrap();
        document().body().unwrap().prepend_with_node_1(&root).unwrap();
        Self(root)
    }

    fn render<C: BaseComponent>(props: C::Properties) -> (Self, AppHandle<C>)
    where
        C::Properties: 'static,
    {
        let root = Self::new();
        let handle = yew::Renderer::<C>::with_root_and_props(root.0.clone(), props).render();
        (root, handle)
    }

    fn find(&self, selector: &str) -> Option<HtmlElement> {
        self.0.query_selector(selector).unwrap().map(JsCast::unchecked_into)
    }

    async fn wait_for(&self, selector: &str) -> HtmlElement {
        until(selector, || self.find(selector).is_some()).await;
        self.find(selector).unwrap()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        self.0.remove();
    }
}

/// Records the events that a component sends.
fn events() -> (Rc<RefCell<Vec<Event>>>, Callback<Event>) {
    let events: Rc<RefCell<Vec<Event>>> = Rc::default();
    let log = events.clone();
    (events, Callback::from(move |event| log.borrow_mut().push(event)))
}

#[wasm_bindgen_test]
async fn sidebar_sends_the_selection() {
    let (sent, on_event) = events();
    let row = |name: &str| {
        let (name, title) = (name.into(), name.into());
        Row { name, title, phase: Phase::Live, protocol: None, quality: None }
    };
    let props = sidebar::SidebarProps {
        protocol: Protocol::Auto,
        hints: Protocol::ALL.map(|protocol| format!("hint of {protocol}")),
        quality: Quality::Auto,
        layout: Layout::Grid,
        theme: Theme::System,
        statistics: false,
        rows: vec![row("a"), row("b")],
        can_log_out: false,
        on_event,
    };
    let (root, handle) = Root::render::<Sidebar>(props);
    root.wait_for("[name=protocol][value=hls]").await.click();
    root.find("[name=quality][value=low]").unwrap().click();
    root.find("[name=layout][value=focus]").unwrap().click();
    root.find("[name=statistics]").unwrap().click();
    assert!(root.find("[aria-label='Move a up']").unwrap().has_attribute("disabled"));
    root.find("[aria-label='Move a down']").unwrap().click();
    root.find(".stream-name").unwrap().click();
    let expected = [
        Event::Choose(Choice::Protocol(Protocol::Hls)),
        Event::Choose(Choice::Quality(Quality::Low)),
        Event::Choose(Choice::Layout(Layout::Focus)),
        Event::Choose(Choice::Statistics(None)),
        Event::Move("a".into(), "b".into()),
        Event::Solo("a".into()),
    ];
    assert_eq!(*sent.borrow(), expected);
    assert!(root.find("fieldset").unwrap().text_content().unwrap().contains("hint of WebRTC"));
    handle.destroy();
}

fn tile_props(tile: state::Tile, on_event: Callback<Event>) -> tile::TileProps {
    tile::TileProps {
        tile: Rc::new(tile),
        place: None,
        solo: false,
        alone: false,
        choice: VariantChoice::Auto,
        // No server listens on this port.
        relay: Relay { url: Some("http://127.0.0.1:9/".to_owned()), token: None },
        muted: true,
        statistics: true,
        controls: true,
        on_event,
    }
}

#[wasm_bindgen_test]
async fn tile_shows_labels_statistics_and_curves_and_closes_its_session() {
    let (sent, on_event) = events();
    let mut state = state::Tile::new("yard".parse().unwrap());
    state.apply(TileEvent::Sample(Sample { bits: 1e6, frames: 25.0, age_ms: Some(150.0), ..Sample::default() }), 0.0);
    let (root, handle) = Root::render::<TileView>(tile_props(state, on_event));
    let article = root.wait_for("article.tile").await;
    assert_eq!(article.get_attribute("data-state").as_deref(), Some("connecting"));
    assert!(root.find(".tile-statistics").unwrap().text_content().unwrap().contains("1.0 Mbit/s"));
    assert_eq!(root.0.query_selector_all(".curve path").unwrap().length(), 2);
    assert!(root.find(".tile-speaker").is_none(), "it has no sound");
    root.find(".tile-solo").unwrap().click();
    until("the click", || sent.borrow().contains(&Event::Solo("yard".into()))).await;
    until("it to be told that there is no relay", || {
        sent.borrow().iter().any(|event| matches!(event, Event::Tile(_, TileEvent::Lost { .. })))
    })
    .await;
    handle.destroy();
    until("it to be gone", || root.0.inner_html().is_empty()).await;
}

#[wasm_bindgen_test]
async fn held_key_acts_once() {
    let (sent, on_event) = events();
    let (root, handle) = Root::render::<TileView>(tile_props(state::Tile::new("yard".parse().unwrap()), on_event));
    let article = root.wait_for("article.tile").await;
    let press = "tile.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', repeat, bubbles: true }))";
    let press = js_sys::Function::new_with_args("tile, repeat", press);
    for repeat in [false, true, true] {
        press.call2(&JsValue::NULL, &article, &repeat.into()).unwrap();
    }
    let solos = || sent.borrow().iter().filter(|event| **event == Event::Solo("yard".into())).count();
    until("the key to act", || solos() > 0).await;
    assert_eq!(solos(), 1);
    handle.destroy();
}

#[wasm_bindgen_test]
async fn invalid_name_opens_no_connection_and_shows_its_error() {
    let (sent, on_event) = events();
    let refused = state::Tile::refused(&StreamName::try_from("a//b".to_owned()).unwrap_err());
    let (root, handle) = Root::render::<TileView>(tile_props(refused, on_event));
    let message = root.wait_for(".tile-message").await.text_content().unwrap();
    assert!(message.contains("a//b"), "{message}");
    assert!(root.find(".tile-more").is_none() && sent.borrow().is_empty());
    handle.destroy();
}

#[wasm_bindgen_test]
async fn embedded_player_dispatches_events_and_cleans_up() {
    let root = Root::new();
    let told: Rc<RefCell<Vec<(String, String)>>> = Rc::default();
    let log = told.clone();
    let on_event = Closure::<dyn Fn(String, String)>::new(move |name, detail| log.borrow_mut().push((name, detail)));
    let attributes = r#"{"src":"http://127.0.0.1:9/","stream":"yard","stats":true}"#;
    let mut player = EmbeddedPlayer::new(root.0.clone(), attributes, on_event.as_ref().clone().unchecked_into());
    let says = |state: &str| {
        let state = format!(r#""state":"{state}""#);
        told.borrow().iter().any(|(name, detail)| name == "statechange" && detail.contains(&state))
    };
    until("the page to be told", || says("reconnecting")).await;
    assert!(root.find(".tile-statistics").is_some() && root.find(".tile-solo").is_none());
    player.update(r#"{"src":"http://127.0.0.1:9/","stream":"yard","stats":false,"controls":false}"#);
    until("it to take other attributes", || root.find(".tile-statistics, .tile-bar").is_none()).await;
    player.stop();
    until("it to be gone", || root.0.inner_html().is_empty()).await;
}

#[wasm_bindgen_test]
fn storage_over_quota_is_an_error_with_a_message() {
    storage::keep("sightline-test", "kept").unwrap();
    assert_eq!(storage::read("sightline-test").as_deref(), Some("kept"));
    let why = storage::keep("sightline-test", &"x".repeat(20 << 20)).unwrap_err();
    assert!(why.contains("full"), "{why}");
    assert_eq!(storage::read("sightline-test").as_deref(), Some("kept"), "what was there stays");
}

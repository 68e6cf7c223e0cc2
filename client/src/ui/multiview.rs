//! All videos: a grid of tiles with the sidebar beside it, or a sentence in their place.

use std::rc::Rc;

use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement};
use yew::prelude::*;

use super::grid::{self, Direction, Place, Size};
use super::icons;
use super::sidebar::{Row, Sidebar};
use super::tile::TileView;
use crate::browser;
use crate::browser::resize::Resize;
use crate::state::{self, App, Choice, Event, Layout, Protocol};
use sightline_protocol::stream::VariantChoice;

/// The page's contents.
pub fn view(app: &App, on_event: &Callback<Event>) -> Html {
    html! {
        <div class="multiview">
            if app.controls {
                { sidebar(app, on_event) }
            }
            // The open sidebar contains the page's heading.
            if !(app.controls && app.settings.sidebar) {
                <header class="unseen"><h1>{ "Sightline" }</h1></header>
            }
            if let Some(notice) = &app.notice {
                <p class="notice" role="status">{ notice }</p>
            } else {
                <Grid tiles={app.tiles.clone()} solo={app.solo.clone()} layout={app.layout()} choice={app.choice}
                    statistics={app.statistics()} controls={app.controls} on_event={on_event.clone()} />
            }
        </div>
    }
}

fn sidebar(app: &App, on_event: &Callback<Event>) -> Html {
    let on_open = on_event.reform(|_| Event::Choose(Choice::Sidebar(None)));
    let row = |tile: &Rc<state::Tile>| Row {
        name: tile.name.clone(),
        title: tile.title().to_owned(),
        phase: tile.phase(),
        protocol: app.settings.stream(&tile.name).protocol,
        quality: app.settings.stream(&tile.name).quality,
    };
    html! {
        if app.settings.sidebar {
            <Sidebar protocol={app.protocol()} hints={Protocol::ALL.map(|protocol| app.hint(protocol))} quality={app.quality()}
                layout={app.layout()} theme={app.settings.theme} statistics={app.statistics()} rows={app.tiles.iter().map(row).collect::<Vec<_>>()}
                can_log_out={app.can_log_out} on_event={on_event.clone()} />
        } else {
            { icons::button("sidebar-open", "Settings (B)", icons::MENU, on_open) }
        }
    }
}

/// The grid's properties.
#[derive(Debug, Clone, PartialEq, Properties)]
pub struct MultiviewProps {
    /// The tiles, in order.
    pub tiles: Vec<Rc<state::Tile>>,
    /// The name of the tile that fills the grid, if one does.
    pub solo: Option<String>,
    /// The layout of the tiles.
    pub layout: Layout,
    /// The variant to request.
    pub choice: VariantChoice,
    /// Whether statistics are shown over the videos.
    pub statistics: bool,
    /// Whether the tiles have controls beside the videos.
    pub controls: bool,
    /// Receives the events.
    pub on_event: Callback<Event>,
}

/// A message of the grid.
pub enum MultiviewMsg {
    /// The grid's size changed.
    Resized(Size),
    /// An arrow key was pressed on the tile of this name.
    Arrow(String, Direction),
}

/// The grid, which tracks its size.
pub struct Grid {
    element: NodeRef,
    size: Size,
    /// The tile that gets the focus once it is visible.
    focus: Option<String>,
    /// The focused element before the tiles moved: an element that moves within the page loses the focus.
    focused: Option<HtmlElement>,
    resize: Option<Resize>,
}

impl Component for Grid {
    type Message = MultiviewMsg;
    type Properties = MultiviewProps;

    fn create(_: &Context<Self>) -> Self {
        Self { element: NodeRef::default(), size: Size::default(), focus: None, focused: None, resize: None }
    }

    fn update(&mut self, ctx: &Context<Self>, msg: MultiviewMsg) -> bool {
        match msg {
            MultiviewMsg::Resized(size) => std::mem::replace(&mut self.size, size) != size,
            MultiviewMsg::Arrow(name, direction) => {
                self.walk(ctx.props(), &name, direction);
                true
            }
        }
    }

    fn changed(&mut self, ctx: &Context<Self>, before: &MultiviewProps) -> bool {
        let moved = names(ctx.props()).ne(names(before));
        if let Some(element) = self.element.cast::<Element>()
            && moved
        {
            self.focused = focused_within(&element);
        }
        true
    }

    fn rendered(&mut self, ctx: &Context<Self>, first_render: bool) {
        let Some(element) = self.element.cast::<Element>() else { return };
        if let Some(focused) = self.focused.take()
            && browser::document().active_element().as_ref() != Some(focused.as_ref())
        {
            // It stays without the focus if it has left the page.
            let _ = focused.focus();
        }
        if let Some(name) = self.focus.take_if(|name| ctx.props().solo.as_ref().is_none_or(|solo| solo == name)) {
            let tiles = ctx.props().tiles.iter().position(|tile| tile.name == name);
            let tile = tiles.and_then(|n| element.children().item(n as u32));
            if let Some(tile) = tile.and_then(|tile| tile.dyn_into::<HtmlElement>().ok()) {
                let _ = tile.focus();
            }
        }
        if first_render {
            let link = ctx.link().clone();
            self.resize = Resize::new(&element, move |width, height| {
                link.send_message(MultiviewMsg::Resized(Size { width, height }));
            });
        }
    }

    fn view(&self, ctx: &Context<Self>) -> Html {
        let MultiviewProps { tiles, solo, choice, statistics, controls, on_event, .. } = ctx.props();
        let shown = |tile: &state::Tile| is_shown(ctx.props(), tile);
        let places = self.places(ctx.props());
        let scrolls = grid::reach(&places) > self.size.height + 1.0;
        let mut places = places.into_iter();
        let tile = |tile: &Rc<state::Tile>| {
            let place = if shown(tile) { places.next() } else { None };
            html! {
                <TileView key={tile.name.clone()} tile={tile.clone()} {place} solo={solo.is_some()} choice={*choice}
                    statistics={*statistics} controls={*controls} on_event={on_event.clone()} />
            }
        };
        html! {
            <main class={classes!("grid", scrolls.then_some("grid-scrolls"))} ref={self.element.clone()} onkeydown={ctx.link().batch_callback(|event: KeyboardEvent| arrow(&event))}>
                { for tiles.iter().map(tile) }
            </main>
        }
    }
}

impl Grid {
    /// The positions of the visible tiles, in order.
    fn places(&self, props: &MultiviewProps) -> Vec<Place> {
        let aspects: Vec<_> =
            props.tiles.iter().filter(|tile| is_shown(props, tile)).map(|tile| tile.aspect()).collect();
        grid::place(self.size, &aspects, if props.solo.is_some() { Layout::Grid } else { props.layout })
    }

    /// Moves the focus from tile to tile, or, if one fills the window, shows the next camera.
    fn walk(&mut self, props: &MultiviewProps, name: &str, direction: Direction) {
        let Some(from) = props.tiles.iter().position(|tile| tile.name == name) else { return };
        let to = match props.solo {
            Some(_) => direction.step(from, props.tiles.len()),
            None => grid::neighbour(&self.places(props), from, direction),
        };
        self.focus = to.and_then(|to| props.tiles.get(to)).map(|tile| tile.name.clone());
        if let (Some(name), Some(_)) = (&self.focus, &props.solo) {
            props.on_event.emit(Event::Solo(name.clone()));
        }
    }
}

/// The names of the tiles, in order.
fn names(props: &MultiviewProps) -> impl Iterator<Item = &str> {
    props.tiles.iter().map(|tile| tile.name.as_str())
}

/// The element within `grid` that has the focus.
fn focused_within(grid: &Element) -> Option<HtmlElement> {
    let focused = browser::document().active_element()?;
    grid.contains(Some(&focused)).then(|| focused.dyn_into().ok()).flatten()
}

/// Whether a tile is visible: another may fill the grid.
fn is_shown(props: &MultiviewProps, tile: &state::Tile) -> bool {
    props.solo.as_ref().is_none_or(|solo| *solo == tile.name)
}

/// The message for an arrow key that was pressed on a tile itself.
fn arrow(event: &KeyboardEvent) -> Option<MultiviewMsg> {
    let modified = event.shift_key() || event.ctrl_key() || event.alt_key() || event.meta_key();
    let direction = Direction::of(&event.key()).filter(|_| !modified)?;
    let tile = event.target_dyn_into::<Element>().filter(|target| target.matches("article.tile").unwrap_or(false))?;
    event.prevent_default();
    Some(MultiviewMsg::Arrow(tile.get_attribute("data-stream")?, direction))
}

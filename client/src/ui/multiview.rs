//! All pictures: a grid of tiles, beside it the sidebar; or a sentence in their place.

use std::rc::Rc;

use web_sys::{Element, HtmlElement};
use yew::prelude::*;

use super::grid::{self, Size};
use super::icons;
use super::sidebar::{Row, Sidebar};
use super::tile::Tile;
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
            // The sidebar has the page's heading where it can be seen.
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
        phase: tile.phase(),
        protocol: own_protocol(app, tile),
    };
    html! {
        if app.settings.sidebar {
            <Sidebar protocol={app.protocol()} hints={Protocol::ALL.map(|protocol| app.hint(protocol))} layout={app.layout()}
                theme={app.settings.theme} statistics={app.statistics()} rows={app.tiles.iter().map(row).collect::<Vec<_>>()}
                on_event={on_event.clone()} />
        } else {
            { icons::button("sidebar-open", "Settings (B)", icons::MENU, on_open) }
        }
    }
}

/// What was chosen for that stream alone.
fn own_protocol(app: &App, tile: &state::Tile) -> Option<Protocol> {
    app.settings.stream(&tile.name).protocol
}

/// What the grid is given.
#[derive(Debug, Clone, PartialEq, Properties)]
pub struct Props {
    /// The tiles, in order.
    pub tiles: Vec<Rc<state::Tile>>,
    /// The one that fills the grid, if one does.
    pub solo: Option<String>,
    /// How they share it.
    pub layout: Layout,
    /// The variant to ask for.
    pub choice: VariantChoice,
    /// Whether statistics lie over the pictures.
    pub statistics: bool,
    /// Whether there is anything but the pictures.
    pub controls: bool,
    /// Where events go.
    pub on_event: Callback<Event>,
}

/// The grid, which knows its size.
pub struct Grid {
    element: NodeRef,
    size: Size,
    resize: Option<Resize>,
}

impl Component for Grid {
    type Message = Size;
    type Properties = Props;

    fn create(_: &Context<Self>) -> Self {
        Self { element: NodeRef::default(), size: Size::default(), resize: None }
    }

    fn update(&mut self, _: &Context<Self>, size: Size) -> bool {
        std::mem::replace(&mut self.size, size) != size
    }

    fn rendered(&mut self, ctx: &Context<Self>, first_render: bool) {
        let Some(element) = self.element.cast::<Element>().filter(|_| first_render) else { return };
        let link = ctx.link().clone();
        self.resize = Resize::new(&element, move |width, height| link.send_message(Size { width, height }));
    }

    fn view(&self, ctx: &Context<Self>) -> Html {
        let Props { tiles, solo, layout, choice, statistics, controls, on_event } = ctx.props();
        let shown = |tile: &state::Tile| solo.as_ref().is_none_or(|solo| *solo == tile.name);
        let aspects: Vec<_> = tiles.iter().filter(|tile| shown(tile)).map(|tile| tile.aspect()).collect();
        let layout = if solo.is_some() { Layout::Grid } else { *layout };
        let mut places = grid::place(self.size, &aspects, layout).into_iter();
        let tile = |tile: &Rc<state::Tile>| {
            let place = if shown(tile) { places.next() } else { None };
            html! {
                <Tile key={tile.name.clone()} tile={tile.clone()} {place} solo={solo.is_some()} choice={*choice}
                    statistics={*statistics} controls={*controls} on_event={on_event.clone()} />
            }
        };
        html! {
            <main class={classes!("grid", matches!(layout, Layout::Columns(_)).then_some("grid-columns"))} ref={self.element.clone()} onkeydown={Callback::from(|event: KeyboardEvent| walk(&event))}>
                { for tiles.iter().map(tile) }
            </main>
        }
    }
}

/// Arrow keys walk from tile to tile.
fn walk(event: &KeyboardEvent) {
    let step: i32 = match event.key().as_str() {
        _ if event.shift_key() || event.ctrl_key() || event.alt_key() || event.meta_key() => return,
        "ArrowRight" | "ArrowDown" => 1,
        "ArrowLeft" | "ArrowUp" => -1,
        _ => return,
    };
    let Some(tile) =
        event.target_dyn_into::<HtmlElement>().filter(|target| target.matches("article.tile").unwrap_or(false))
    else {
        return;
    };
    let next = if step > 0 { tile.next_element_sibling() } else { tile.previous_element_sibling() };
    if let Some(next) = next.and_then(|next| wasm_bindgen::JsCast::dyn_into::<HtmlElement>(next).ok()) {
        event.prevent_default();
        let _ = next.focus();
    }
}

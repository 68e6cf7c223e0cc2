//! The page: loads the catalogue where the address names no streams, and shows a tile for each stream.

use sightline_protocol::catalogue::Catalogue;
use yew::prelude::*;

use super::grid;
use super::tile::Tile;
use crate::browser;
use crate::browser::timer::Timeout;
use crate::state::{self, Event, Request};

/// A relay that is being restarted is back within seconds.
const CATALOGUE_RETRY_MS: f64 = 2_000.0;

/// What the page is told.
pub enum Msg {
    /// Load the catalogue.
    Load,
    /// Something for the reducer.
    Event(Event),
}

/// The root component.
pub struct App {
    state: state::App,
    retry: Option<Timeout>,
}

impl Component for App {
    type Message = Msg;
    type Properties = ();

    fn create(ctx: &Context<Self>) -> Self {
        let state = state::App::new(Request::read(browser::parameters()));
        if state.needs_catalogue() {
            ctx.link().send_message(Msg::Load);
        }
        Self { state, retry: None }
    }

    fn update(&mut self, ctx: &Context<Self>, msg: Msg) -> bool {
        match msg {
            Msg::Load => {
                self.retry = None;
                ctx.link().send_future(async { Msg::Event(load().await) });
                false
            }
            Msg::Event(event) => {
                if event == Event::CatalogueFailed {
                    let link = ctx.link().clone();
                    self.retry = Some(Timeout::new(CATALOGUE_RETRY_MS, move || link.send_message(Msg::Load)));
                }
                self.state.apply(event);
                true
            }
        }
    }

    fn view(&self, ctx: &Context<Self>) -> Html {
        let on_event = ctx.link().callback(Msg::Event);
        let tile = |tile: &state::Tile| {
            html! { <Tile tile={tile.clone()} choice={self.state.choice} on_event={on_event.clone()} /> }
        };
        let (columns, rows) = grid::shape(self.state.tiles.len());
        html! {
            if let Some(notice) = &self.state.notice {
                <p class="notice" role="status">{ notice }</p>
            } else {
                <main class="grid" style={format!("--columns: {columns}; --rows: {rows}")}>
                    { for self.state.tiles.iter().map(tile) }
                </main>
            }
        }
    }
}

async fn load() -> Event {
    let catalogue = async {
        let response = gloo_net::http::Request::get("api/streams").send().await.ok()?;
        response.json::<Catalogue>().await.ok()
    };
    catalogue.await.map_or(Event::CatalogueFailed, Event::Catalogue)
}

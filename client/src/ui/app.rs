//! The page: keeps the state, loads the catalogue, keeps settings, and shows the multiview or the test page.

use wasm_bindgen::JsCast;
use web_sys::{Element, KeyboardEvent};
use yew::prelude::*;

use super::{multiview, test_page};
use crate::browser;
use crate::browser::listener::Listener;
use crate::browser::storage;
use crate::browser::timer::Timeout;
use crate::state::{self, Choice, Event, Page, Request, Settings};

/// A relay that is being restarted is back within seconds.
const CATALOGUE_RETRY_MS: f64 = 2_000.0;
/// Streams come and go when somebody changes the relay's configuration: seldom.
const CATALOGUE_RENEW_MS: f64 = 10_000.0;
/// What is chosen is kept under this name.
const KEPT: &str = "sightline";

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
    /// One for the whole life of the page: components compare it, and a new one would draw all of them anew whenever
    /// anything happens to one.
    on_event: Callback<Event>,
    load: Option<Timeout>,
    _keys: Listener,
}

impl Component for App {
    type Message = Msg;
    type Properties = ();

    fn create(ctx: &Context<Self>) -> Self {
        ctx.link().send_message(Msg::Load);
        let link = ctx.link().clone();
        let keys = Listener::new(&browser::document(), "keydown", move |event| {
            if let Some(event) = key(event.unchecked_ref()) {
                link.send_message(Msg::Event(event));
            }
        });
        let request = Request::read(&browser::path(), browser::parameters());
        let settings = storage::read(KEPT).map(|kept| Settings::read(&kept)).unwrap_or_default();
        let state = state::App::new(request, settings, browser::abilities::abilities().clone());
        Self { state, on_event: ctx.link().callback(Msg::Event), load: None, _keys: keys }
    }

    fn update(&mut self, ctx: &Context<Self>, msg: Msg) -> bool {
        match msg {
            Msg::Load => {
                self.load = None;
                ctx.link().send_future(async { Msg::Event(load().await) });
                false
            }
            Msg::Event(event) => {
                let again_ms = match event {
                    Event::Catalogue(_) | Event::ForeignCatalogue(_) => Some(CATALOGUE_RENEW_MS),
                    Event::CatalogueFailed | Event::LoggedOut => Some(CATALOGUE_RETRY_MS),
                    _ => None,
                };
                if let Some(ms) = again_ms {
                    let link = ctx.link().clone();
                    self.load = Some(Timeout::new(ms, move || link.send_message(Msg::Load)));
                }
                let chosen = matches!(event, Event::Choose(_) | Event::Move(..));
                self.state.apply(event, browser::unix_ms());
                if chosen && let Err(why) = storage::keep(KEPT, &self.state.settings.to_json()) {
                    self.state.apply(Event::NotKept(why), browser::unix_ms());
                }
                true
            }
        }
    }

    fn view(&self, _: &Context<Self>) -> Html {
        let on_event = &self.on_event;
        let theme = self.state.settings.theme.as_str();
        html! {
            <div class="page" data-theme={theme}>
                { self.banner() }
                {
                    match self.state.page {
                        Page::Multiview => multiview::view(&self.state, on_event),
                        Page::Test => test_page::view(&self.state, on_event),
                    }
                }
            </div>
        }
    }
}

impl App {
    fn banner(&self) -> Html {
        let reload = Callback::from(|_| drop(browser::window().location().reload()));
        html! {
            if let Some((text, reloading)) = self.state.banner() {
                <p class="banner" role="status">
                    <span>{ text }</span>
                    if reloading {
                        <button type="button" onclick={reload}>{ "Reload" }</button>
                    }
                </p>
            }
        }
    }
}

/// What letters are typed into, or choose from. Of a radio button or a check box they mean nothing.
const TAKES_LETTERS: &str = "input:not([type=radio], [type=checkbox], [type=range]), select, textarea";

/// What a key means to the page as a whole. Those that mean something to one tile are handled there.
fn key(event: &KeyboardEvent) -> Option<Event> {
    let target: Option<Element> = event.target().and_then(|target| target.dyn_into().ok());
    let typing = target.is_some_and(|target| target.closest(TAKES_LETTERS).ok().flatten().is_some());
    if event.ctrl_key() || event.alt_key() || event.meta_key() {
        return None;
    }
    match event.key().as_str() {
        "Escape" => Some(Event::Back),
        _ if typing => None,
        "s" | "S" => Some(Event::Choose(Choice::Statistics(None))),
        "b" | "B" => Some(Event::Choose(Choice::Sidebar(None))),
        _ => None,
    }
}

async fn load() -> Event {
    let catalogue = async {
        let response = gloo_net::http::Request::get("api/streams").send().await.ok()?;
        if response.status() == 401 {
            return Some(Event::LoggedOut);
        }
        Some(state::read_catalogue(&response.text().await.ok()?))
    };
    catalogue.await.unwrap_or(Event::CatalogueFailed)
}

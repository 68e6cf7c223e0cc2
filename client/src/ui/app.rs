//! The page: owns the state, loads the catalogue, stores the settings, and shows the multiview or the test page.

use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, KeyboardEvent, PointerEvent};
use yew::html::Scope;
use yew::prelude::*;

use super::grid::Direction;
use super::{multiview, test_page};
use crate::browser;
use crate::browser::listener::Listener;
use crate::browser::storage;
use crate::browser::timer::Timeout;
use crate::state::activity::{Activity, Next};
use crate::state::{self, Choice, Event, Page, Request, Settings};

/// Interval of retries: a restarting relay is back within seconds.
const CATALOGUE_RETRY_MS: f64 = 2_000.0;
/// Interval of updates: streams change only with the relay's configuration, which is rare.
const CATALOGUE_RENEW_MS: f64 = 10_000.0;
/// The storage key of the settings.
const KEPT: &str = "sightline";
/// Elements that keep the controls visible: an open menu, a control with keyboard focus.
const HOLDS: &str = ".sidebar, details[open], :is(a, button, input, select, summary):focus-visible";

/// A message of the page.
pub enum AppMsg {
    /// Load the catalogue.
    Load,
    /// A key or a button was pressed, or the wheel was turned.
    Pressed,
    /// The pointer is at this position of the screen.
    Pointed(i32, i32),
    /// Check whether to hide the controls.
    Look,
    /// An event for the reducer.
    Event(Event),
}

/// The root component.
pub struct AppView {
    state: state::App,
    /// One callback for the life of the page: components compare it, and a new one would rerender all of them whenever one
    /// changes.
    on_event: Callback<Event>,
    load: Option<Timeout>,
    title: String,
    activity: Activity,
    look: Option<Timeout>,
    _listeners: [Listener; 4],
}

impl Component for AppView {
    type Message = AppMsg;
    type Properties = ();

    fn create(ctx: &Context<Self>) -> Self {
        ctx.link().send_message_batch(vec![AppMsg::Load, AppMsg::Look]);
        let request = Request::read(&browser::path(), browser::parameters());
        let settings = storage::read(KEPT).map(|kept| Settings::read(&kept)).unwrap_or_default();
        let state = state::App::new(request, settings, browser::abilities::abilities().clone());
        Self {
            state,
            on_event: ctx.link().callback(AppMsg::Event),
            load: None,
            title: String::new(),
            activity: Activity::new(browser::now()),
            look: None,
            _listeners: listeners(ctx.link()),
        }
    }

    fn update(&mut self, ctx: &Context<Self>, msg: AppMsg) -> bool {
        match msg {
            AppMsg::Load => {
                self.load = None;
                ctx.link().send_future(async { AppMsg::Event(load().await) });
                false
            }
            AppMsg::Pressed => {
                self.activity.pressed(browser::now());
                self.wake(ctx)
            }
            AppMsg::Pointed(x, y) => self.activity.pointed((x, y), browser::now()) && self.wake(ctx),
            AppMsg::Look => {
                let held = browser::document().query_selector(HOLDS).ok().flatten().is_some();
                let next = self.activity.look(held, browser::now());
                let link = ctx.link().clone();
                self.look = match next {
                    Next::Hide => None,
                    Next::LookAfter(ms) => Some(Timeout::new(ms, move || link.send_message(AppMsg::Look))),
                };
                self.state.apply(Event::Idle(next == Next::Hide), browser::unix_ms());
                next == Next::Hide
            }
            AppMsg::Event(event) => {
                let again_ms = match event {
                    Event::Catalogue(_) | Event::ForeignCatalogue(_) => Some(CATALOGUE_RENEW_MS),
                    Event::CatalogueFailed | Event::LoggedOut => Some(CATALOGUE_RETRY_MS),
                    _ => None,
                };
                if let Some(ms) = again_ms {
                    let link = ctx.link().clone();
                    self.load = Some(Timeout::new(ms, move || link.send_message(AppMsg::Load)));
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

    fn rendered(&mut self, _: &Context<Self>, _: bool) {
        let title = self.state.title();
        if title != self.title {
            browser::document().set_title(&title);
            self.title = title;
        }
    }

    fn view(&self, _: &Context<Self>) -> Html {
        let on_event = &self.on_event;
        let theme = self.state.settings.theme.as_str();
        html! {
            <div class={classes!("page", self.state.idle.then_some("idle"))} data-theme={theme}>
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

/// Listens to all input, and handles the page's keys.
fn listeners(link: &Scope<AppView>) -> [Listener; 4] {
    let document = browser::document();
    let pressed = |kind| {
        let link = link.clone();
        Listener::new(&document, kind, move |_| link.send_message(AppMsg::Pressed))
    };
    let (keys, pointer) = (link.clone(), link.clone());
    [
        Listener::new(&document, "keydown", move |event| {
            keys.send_message(AppMsg::Pressed);
            let event: &KeyboardEvent = event.unchecked_ref();
            if let Some(event) = key(event) {
                keys.send_message(AppMsg::Event(event));
            }
            focus_a_tile(event);
        }),
        Listener::new(&document, "pointermove", move |event| {
            let event: &PointerEvent = event.unchecked_ref();
            pointer.send_message(AppMsg::Pointed(event.screen_x(), event.screen_y()));
        }),
        pressed("pointerdown"),
        pressed("wheel"),
    ]
}

impl AppView {
    /// Shows the controls. Returns whether they were hidden.
    fn wake(&mut self, ctx: &Context<Self>) -> bool {
        let idle = self.state.idle;
        if idle {
            ctx.link().send_message(AppMsg::Look);
            self.state.apply(Event::Idle(false), browser::unix_ms());
        }
        idle
    }

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

/// Moves the focus to the first tile if an arrow key is pressed while no element has the focus, as on a page that was just
/// opened.
fn focus_a_tile(event: &KeyboardEvent) {
    let target: Option<Element> = event.target().and_then(|target| target.dyn_into().ok());
    if Direction::of(&event.key()).is_some() && target.is_some_and(|target| target.tag_name() == "BODY") {
        let tile = browser::document().query_selector(".grid .tile:not(.tile-aside)").ok().flatten();
        if let Some(tile) = tile.and_then(|tile| tile.dyn_into::<HtmlElement>().ok()) {
            let _ = tile.focus();
        }
    }
}

/// Controls in which a letter is text or selects an option, unlike radio buttons and check boxes.
const TAKES_LETTERS: &str = "input:not([type=radio], [type=checkbox], [type=range]), select, textarea";

/// The event for a key that concerns the whole page. A tile handles its own keys.
fn key(event: &KeyboardEvent) -> Option<Event> {
    let target: Option<Element> = event.target().and_then(|target| target.dyn_into().ok());
    let typing = target.is_some_and(|target| target.closest(TAKES_LETTERS).ok().flatten().is_some());
    if event.ctrl_key() || event.alt_key() || event.meta_key() || event.repeat() {
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
        // 403: the relay's rules no longer permit this page's sign-in any stream.
        if matches!(response.status(), 401 | 403) {
            return Some(Event::LoggedOut);
        }
        Some(state::read_catalogue(&response.text().await.ok()?))
    };
    catalogue.await.unwrap_or(Event::CatalogueFailed)
}

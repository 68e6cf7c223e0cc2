//! One stream: its picture, its name and what it is, what can be done with it, and one sentence where the picture is not
//! live.

use std::rc::Rc;

use sightline_protocol::stream::VariantChoice;
use web_sys::{Element, HtmlCanvasElement, HtmlElement, HtmlVideoElement, PointerEvent};
use yew::prelude::*;

use super::grid::Place;
use crate::browser::{self, Relay, display, file};
use crate::session::{Session, Wanted};
use crate::state::{self, Choice, Event, Level, TileEvent};

mod controls;
mod drag;
mod words;

use drag::Drag;

/// What a tile is given.
#[derive(Debug, Clone, PartialEq, Properties)]
pub struct Props {
    /// What to display.
    pub tile: Rc<state::Tile>,
    /// Where it is in the grid; nowhere while another fills it. Without a grid, see the style sheet.
    #[prop_or_default]
    pub place: Option<Place>,
    /// Whether one tile fills the grid.
    #[prop_or_default]
    pub solo: bool,
    /// Whether there is no grid to fill, and only the screen is larger.
    #[prop_or_default]
    pub alone: bool,
    /// The variant to ask for; it does not change while the tile is there.
    pub choice: VariantChoice,
    /// The relay that has it; it does not change either.
    #[prop_or_default]
    pub relay: Relay,
    /// Whether the page wants it silent until its user says otherwise.
    #[prop_or(true)]
    pub muted: bool,
    /// Whether statistics lie over the picture.
    #[prop_or_default]
    pub statistics: bool,
    /// Whether there is anything but the picture.
    #[prop_or(true)]
    pub controls: bool,
    /// Where its session and its user report to.
    pub on_event: Callback<Event>,
}

/// What the user does with a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Act {
    /// Let it play.
    Tap,
    /// Hear it, or no longer.
    Listen,
    /// Set how loud it is, 0 to 1.
    Volume(f64),
    /// Save what is on screen.
    Snapshot,
    /// Record what is received, or end that and save it.
    Record,
    /// Let it float above all windows, or take it back.
    Float,
    /// Let it fill the screen, or take it back.
    FillScreen,
    /// Let it fill the grid, or take it back.
    Solo,
    /// Exchange places with the next tile, or the one before.
    Move {
        /// Which of the two.
        forwards: bool,
    },
}

/// What the component is told.
pub enum Msg {
    /// The user did something.
    Act(Act),
    /// The pointer did something.
    Pointer(drag::What, PointerEvent),
}

/// See the module.
pub struct Tile {
    article: NodeRef,
    video: NodeRef,
    curtain: NodeRef,
    session: Option<Session>,
    drag: Drag,
    /// It was moved by a key: an element that a page puts elsewhere loses the focus.
    moved: bool,
}

impl Component for Tile {
    type Message = Msg;
    type Properties = Props;

    fn create(_: &Context<Self>) -> Self {
        let (article, video, curtain) = Default::default();
        Self { article, video, curtain, session: None, drag: Drag::default(), moved: false }
    }

    fn changed(&mut self, ctx: &Context<Self>, before: &Props) -> bool {
        if let Some(session) = &self.session
            && ctx.props().muted != before.muted
        {
            session.listen(!ctx.props().muted);
        }
        let (tile, before) = (&ctx.props().tile, &before.tile);
        if let Some(session) = &self.session {
            if tile.protocol != before.protocol {
                session.switch(tile.protocol);
            }
            if tile.volume != before.volume {
                session.set_volume(tile.volume);
            }
        }
        true
    }

    fn update(&mut self, ctx: &Context<Self>, msg: Msg) -> bool {
        match msg {
            Msg::Act(act) => self.act(act, ctx.props()),
            Msg::Pointer(what, event) => {
                let Some(article) = self.article.cast::<Element>() else { return false };
                let (redraw, over) = self.drag.pointer(what, &event, &article);
                if let Some(over) = over.filter(|over| *over != ctx.props().tile.name) {
                    ctx.props().on_event.emit(Event::Move(ctx.props().tile.name.clone(), over));
                }
                return redraw;
            }
        }
        false
    }

    fn rendered(&mut self, ctx: &Context<Self>, first_render: bool) {
        if std::mem::take(&mut self.moved)
            && let Some(article) = self.article.cast::<HtmlElement>()
        {
            let _ = article.focus();
        }
        let Props { tile, choice, relay, muted, on_event, .. } = ctx.props();
        if let (true, Some(stream), Some(elements)) = (first_render, &tile.stream, self.elements()) {
            let (name, on_event) = (stream.clone(), on_event.clone());
            let report = Rc::new(move |event| on_event.emit(Event::Tile(name.clone(), event)));
            let (stream, relay) = (stream.clone(), relay.clone());
            let session =
                Session::start(Wanted { stream, choice: *choice, protocol: tile.protocol, relay }, elements, report);
            session.set_volume(tile.volume);
            if !muted {
                session.listen(true);
            }
            self.session = Some(session);
        }
    }

    fn view(&self, ctx: &Context<Self>) -> Html {
        let Props { tile, place, solo, alone, statistics, controls, .. } = ctx.props();
        let picture = tile.picture.as_ref();
        let act = ctx.link().callback(Msg::Act);
        let pointer = |what| ctx.link().callback(move |event| Msg::Pointer(what, event));
        let style = place.map(|Place { left, top, size }| {
            format!("left:{left:.2}px;top:{top:.2}px;width:{:.2}px;height:{:.2}px", size.width, size.height)
        });
        let aside = *solo && place.is_none();
        html! {
            <article ref={self.article.clone()}
                class={classes!("tile", aside.then_some("tile-aside"), self.drag.moves().then_some("tile-dragged"))}
                {style}
                tabindex="0"
                aria-label={format!("{}, {}", tile.name, tile.phase().label())}
                ondblclick={on_solo(&act)}
                onkeydown={on_key(&act)}
                onpointerdown={pointer(drag::What::Down)}
                onpointermove={pointer(drag::What::Move)}
                onpointerup={pointer(drag::What::Up)}
                onpointercancel={pointer(drag::What::Up)}
                data-stream={tile.name.clone()}
                data-state={tile.phase().as_str()}
                data-failure={tile.failure().map(state::Failure::as_str)}
                data-protocol={tile.using.as_ref().map(|(protocol, _)| protocol.as_str())}
                data-variant={picture.map(|picture| picture.variant.to_string())}
                data-codec={picture.map(|picture| picture.codec.clone())}
                data-audio={if tile.listening { "on" } else if tile.audio { "off" } else { "none" }}
                data-epoch={tile.epoch.to_string()}
                data-latency-ms={tile.age_ms.map(|ms| format!("{ms:.1}"))}
                data-first-picture-ms={tile.first_picture_ms.map(|ms| format!("{ms:.1}"))}
            >
                <video ref={self.video.clone()} autoplay=true muted=true playsinline=true aria-label={tile.name.clone()} />
                <canvas ref={self.curtain.clone()} hidden=true aria-hidden="true" />
                { words::overlay(tile, act.reform(|_| Act::Tap)) }
                if *statistics {
                    { words::statistics(tile) }
                }
                if *controls {
                    { controls::bar(tile, (!alone).then_some(*solo), &act) }
                    { words::caption(tile) }
                }
            </article>
        }
    }
}

impl Tile {
    fn elements(&self) -> Option<(HtmlVideoElement, HtmlCanvasElement)> {
        self.video.cast().zip(self.curtain.cast())
    }

    /// Within the event's handler: after it the browser no longer takes it for the user's wish.
    fn act(&mut self, act: Act, props: &Props) {
        let Props { tile, on_event, .. } = props;
        let Some((video, curtain)) = self.elements() else { return };
        match (act, &self.session) {
            (Act::Solo, _) if !props.alone => on_event.emit(Event::Solo(tile.name.clone())),
            (Act::Volume(volume), _) => on_event.emit(Event::Choose(Choice::Volume(tile.name.clone(), volume))),
            (Act::Float, _) => display::float(&video),
            (Act::FillScreen | Act::Solo, _) => {
                if let Some(article) = self.article.cast::<Element>() {
                    display::fill_screen(&article, &video);
                }
            }
            (Act::Snapshot, _) => snapshot(&video, &curtain, props),
            (Act::Move { forwards }, _) => {
                if let Some(name) = self.article.cast::<Element>().and_then(|article| neighbour(&article, forwards)) {
                    self.moved = true;
                    on_event.emit(Event::Move(tile.name.clone(), name));
                }
            }
            (Act::Tap, Some(session)) => session.tapped(),
            (Act::Listen, Some(session)) if tile.audio => session.listen(!tile.listening),
            (Act::Record, Some(session)) if tile.can_record() => session.record(tile.recording.is_none()),
            (Act::Tap | Act::Listen | Act::Record, _) => {}
        }
    }
}

fn snapshot(video: &HtmlVideoElement, curtain: &HtmlCanvasElement, props: &Props) {
    let Some(stream) = props.tile.stream.clone() else { return };
    let on_event = props.on_event.clone();
    let name = file::name(stream.as_str(), &browser::iso_time(browser::unix_ms()), "png");
    file::snapshot(video, curtain, move |blob| {
        let saved = blob.ok_or("There is no picture to save yet.".to_owned()).and_then(|blob| {
            file::save(&blob, &name).map_err(|error| format!("The browser does not save the picture: {error}."))
        });
        let note = match saved {
            Ok(()) => TileEvent::Note(Level::Info, format!("Saved the picture as {name}.")),
            Err(why) => TileEvent::Note(Level::Warning, why),
        };
        on_event.emit(Event::Tile(stream, note));
    });
}

/// The name of the tile after this one, or before it.
fn neighbour(article: &Element, forwards: bool) -> Option<String> {
    let element = if forwards { article.next_element_sibling() } else { article.previous_element_sibling() };
    element?.get_attribute("data-stream")
}

/// Two clicks on the picture. Buttons take clicks for themselves.
fn on_solo(act: &Callback<Act>) -> Callback<MouseEvent> {
    let act = act.clone();
    Callback::from(move |event: MouseEvent| {
        if !drag::is_of_control(&event) {
            act.emit(Act::Solo);
        }
    })
}

/// What a key does while this tile, or something in it, has the focus.
fn on_key(act: &Callback<Act>) -> Callback<KeyboardEvent> {
    let act = act.clone();
    Callback::from(move |event: KeyboardEvent| {
        let in_control = drag::is_of_control(&event);
        let on_tile = event.target_dyn_into::<HtmlElement>().is_some_and(|target| target.class_list().contains("tile"));
        if event.ctrl_key() || event.alt_key() || event.meta_key() {
            return;
        }
        let meant = match event.key().as_str() {
            "Enter" if !in_control => Act::Solo,
            "ArrowRight" | "ArrowDown" if event.shift_key() && on_tile => Act::Move { forwards: true },
            "ArrowLeft" | "ArrowUp" if event.shift_key() && on_tile => Act::Move { forwards: false },
            "f" | "F" => Act::FillScreen,
            "p" | "P" => Act::Float,
            "m" | "M" => Act::Listen,
            "c" | "C" => Act::Snapshot,
            "r" | "R" => Act::Record,
            _ => return,
        };
        event.prevent_default();
        act.emit(meant);
    })
}

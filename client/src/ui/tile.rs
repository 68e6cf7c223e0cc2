//! One stream: its video, name, details and controls, and one sentence while it is not live.

use std::rc::Rc;

use sightline_protocol::stream::VariantChoice;
use web_sys::{Element, HtmlCanvasElement, HtmlElement, HtmlVideoElement, PointerEvent};
use yew::prelude::*;

use super::grid::Place;
use crate::browser::timer::Interval;
use crate::browser::{self, Relay, display, file};
use crate::session::{Session, SessionOptions};
use crate::state::{self, Choice, Event, Level, Protocol, TileEvent};

mod controls;
mod drag;
mod labels;
mod tap;

use drag::Drag;
use tap::Tap;

/// Interval at which a countdown is rendered.
const SECOND_MS: i32 = 1_000;

/// The tile's properties.
#[derive(Debug, Clone, PartialEq, Properties)]
pub struct TileProps {
    /// The state to render.
    pub tile: Rc<state::Tile>,
    /// The position in the grid; none while another tile fills it. Without a grid, the style sheet decides.
    #[prop_or_default]
    pub place: Option<Place>,
    /// Whether one tile fills the grid.
    #[prop_or_default]
    pub solo: bool,
    /// Whether the tile is outside a grid, so that it can be enlarged only to fullscreen.
    #[prop_or_default]
    pub alone: bool,
    /// The variant to request; constant for the life of the tile.
    pub choice: VariantChoice,
    /// The relay that serves the stream; constant as well.
    #[prop_or_default]
    pub relay: Relay,
    /// Whether audio is off until the user turns it on.
    #[prop_or(true)]
    pub muted: bool,
    /// Whether statistics are shown over the video.
    #[prop_or_default]
    pub statistics: bool,
    /// Whether the tile has controls beside the video.
    #[prop_or(true)]
    pub controls: bool,
    /// Receives the events of the session and the user.
    pub on_event: Callback<Event>,
}

/// An action of the user on a tile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Act {
    /// Start playback.
    Tap,
    /// Retry at once.
    Retry,
    /// Turn audio on or off.
    Listen,
    /// Set the volume, 0 to 1.
    Volume(f64),
    /// Save the frame on screen.
    Snapshot,
    /// Start a recording, or end it and save the file.
    Record,
    /// Enter or leave picture-in-picture.
    PictureInPicture,
    /// Enter or leave fullscreen.
    FillScreen,
    /// Fill the grid, or return to all tiles.
    Solo,
    /// Swap with the next or the previous tile.
    Move {
        /// Whether with the next.
        forwards: bool,
    },
}

/// A message of the component.
pub enum TileMsg {
    /// An action of the user.
    Act(Act),
    /// A pointer event.
    Pointer(drag::What, PointerEvent),
    /// A click, or the click that ends a tap.
    Click(MouseEvent),
    /// A second of a countdown has passed.
    Second,
}

/// See the module.
pub struct TileView {
    article: NodeRef,
    video: NodeRef,
    canvas: NodeRef,
    session: Option<Session>,
    drag: Drag,
    tap: Tap,
    /// Present while the tile has a fault, to update its times.
    second: Option<Interval>,
}

impl Component for TileView {
    type Message = TileMsg;
    type Properties = TileProps;

    fn create(_: &Context<Self>) -> Self {
        let (article, video, canvas) = Default::default();
        Self { article, video, canvas, session: None, drag: Drag::default(), tap: Tap::default(), second: None }
    }

    fn changed(&mut self, ctx: &Context<Self>, before: &TileProps) -> bool {
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
            if tile.quality != before.quality {
                session.set_quality(tile.quality);
            }
            if tile.volume != before.volume {
                session.set_volume(tile.volume);
            }
        }
        true
    }

    fn update(&mut self, ctx: &Context<Self>, msg: TileMsg) -> bool {
        match msg {
            TileMsg::Act(act) => self.act(act, ctx.props()),
            TileMsg::Pointer(what, event) => {
                let Some(article) = self.article.cast::<Element>() else { return false };
                if what == drag::What::Down {
                    self.tap.down(&event, &article);
                }
                let (redraw, over) = self.drag.pointer(what, &event, &article);
                if let Some(over) = over.filter(|over| *over != ctx.props().tile.name) {
                    ctx.props().on_event.emit(Event::Move(ctx.props().tile.name.clone(), over));
                }
                return redraw;
            }
            TileMsg::Click(event) => {
                if let Some(article) = self.article.cast::<HtmlElement>().filter(|_| !drag::is_of_control(&event)) {
                    self.tap.click(&article);
                }
            }
            TileMsg::Second => return true,
        }
        false
    }

    fn rendered(&mut self, ctx: &Context<Self>, first_render: bool) {
        if ctx.props().tile.fault().is_none() {
            self.second = None;
        } else if self.second.is_none() {
            let link = ctx.link().clone();
            self.second = Some(Interval::new(SECOND_MS, move || link.send_message(TileMsg::Second)));
        }
        let TileProps { tile, choice, relay, muted, on_event, .. } = ctx.props();
        if let (true, Some(stream), Some(elements)) = (first_render, &tile.stream, self.elements()) {
            let (name, on_event) = (stream.clone(), on_event.clone());
            let report = Rc::new(move |event| on_event.emit(Event::Tile(name.clone(), event)));
            let (stream, relay) = (stream.clone(), relay.clone());
            let session = Session::start(
                SessionOptions { stream, choice: *choice, protocol: tile.protocol, quality: tile.quality, relay },
                elements,
                report,
            );
            session.set_volume(tile.volume);
            if !muted {
                session.listen(true);
            }
            self.session = Some(session);
        }
    }

    fn view(&self, ctx: &Context<Self>) -> Html {
        let TileProps { tile, place, solo, alone, statistics, controls, .. } = ctx.props();
        let video_info = tile.video_info.as_ref();
        let act = ctx.link().callback(TileMsg::Act);
        let pointer = |what| ctx.link().callback(move |event| TileMsg::Pointer(what, event));
        let style = place.map(|Place { left, top, size }| {
            format!("left:{left:.2}px;top:{top:.2}px;width:{:.2}px;height:{:.2}px", size.width, size.height)
        });
        let aside = *solo && place.is_none();
        html! {
            <article ref={self.article.clone()}
                class={classes!("tile", aside.then_some("tile-aside"), self.drag.moves().then_some("tile-dragged"))}
                {style}
                tabindex="0"
                aria-label={format!("{}, {}", tile.title(), tile.phase().label())}
                onclick={ctx.link().callback(TileMsg::Click)}
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
                data-quality={tile.quality.as_str()}
                data-variant={video_info.map(|video_info| video_info.variant.to_string())}
                data-codec={video_info.map(|video_info| video_info.codec.clone())}
                data-audio={if tile.listening { "on" } else if tile.audio { "off" } else { "none" }}
                data-epoch={tile.epoch.to_string()}
                data-latency-ms={tile.age_ms.map(|ms| format!("{ms:.1}"))}
                data-first-frame-ms={tile.first_frame_ms.map(|ms| format!("{ms:.1}"))}
            >
                <video ref={self.video.clone()} autoplay=true muted=true playsinline=true aria-label={tile.title().to_owned()} />
                <canvas ref={self.canvas.clone()} hidden=true aria-hidden="true" />
                if *statistics {
                    { labels::statistics(tile) }
                }
                { labels::overlay(tile, &act) }
                if *controls {
                    { controls::bar(tile, (!alone).then_some(*solo), &act) }
                    { labels::caption(tile) }
                }
            </article>
        }
    }
}

impl TileView {
    fn elements(&self) -> Option<(HtmlVideoElement, HtmlCanvasElement)> {
        self.video.cast().zip(self.canvas.cast())
    }

    /// Called within the event's handler: afterwards the browser no longer recognizes a user gesture.
    fn act(&self, act: Act, props: &TileProps) {
        let TileProps { tile, on_event, .. } = props;
        let Some((video, canvas)) = self.elements() else { return };
        match (act, &self.session) {
            (Act::Solo, _) if !props.alone => on_event.emit(Event::Solo(tile.name.clone())),
            (Act::Volume(volume), _) => on_event.emit(Event::Choose(Choice::Volume(tile.name.clone(), volume))),
            // The video itself shows nothing then.
            (Act::PictureInPicture, Some(session)) if tile.plays_by(Protocol::WebCodecs) => {
                session.toggle_picture_in_picture();
            }
            (Act::PictureInPicture, _) => display::toggle_picture_in_picture(&video),
            (Act::FillScreen | Act::Solo, _) => {
                if let Some(article) = self.article.cast::<Element>() {
                    display::fill_screen(&article, &video);
                }
            }
            (Act::Snapshot, _) => snapshot(&video, &canvas, props),
            (Act::Move { forwards }, _) => {
                if let Some(name) = self.article.cast::<Element>().and_then(|article| neighbour(&article, forwards)) {
                    on_event.emit(Event::Move(tile.name.clone(), name));
                }
            }
            (Act::Tap, Some(session)) => session.tapped(),
            (Act::Retry, Some(session)) => session.retry(),
            (Act::Listen, Some(session)) if tile.audio => session.listen(!tile.listening),
            (Act::Record, Some(session)) if tile.can_record() => session.record(tile.recording.is_none()),
            (Act::Record, Some(_)) => {
                let why = "The browser buffers this protocol's media itself: choose MSE or WebCodecs to record.";
                if let Some(stream) = tile.stream.clone() {
                    on_event.emit(Event::Tile(stream, TileEvent::Note(Level::Warning, why.to_owned())));
                }
            }
            (Act::Tap | Act::Retry | Act::Listen | Act::Record, _) => {}
        }
    }
}

fn snapshot(video: &HtmlVideoElement, canvas: &HtmlCanvasElement, props: &TileProps) {
    let Some(stream) = props.tile.stream.clone() else { return };
    let on_event = props.on_event.clone();
    let name = file::name(stream.as_str(), &browser::iso_time(browser::unix_ms()), "png");
    file::snapshot(video, canvas, move |blob| {
        let saved = blob.ok_or("There is no frame to save yet.".to_owned()).and_then(|blob| {
            file::save(&blob, &name).map_err(|error| format!("The browser does not save the snapshot: {error}."))
        });
        let note = match saved {
            Ok(()) => TileEvent::Note(Level::Info, format!("Saved the snapshot as {name}.")),
            Err(why) => TileEvent::Note(Level::Warning, why),
        };
        on_event.emit(Event::Tile(stream, note));
    });
}

/// The name of the next or the previous tile.
fn neighbour(article: &Element, forwards: bool) -> Option<String> {
    let element = if forwards { article.next_element_sibling() } else { article.previous_element_sibling() };
    element?.get_attribute("data-stream")
}

/// Handles a double click on the video. Buttons handle their own clicks.
fn on_solo(act: &Callback<Act>) -> Callback<MouseEvent> {
    let act = act.clone();
    Callback::from(move |event: MouseEvent| {
        if !drag::is_of_control(&event) {
            act.emit(Act::Solo);
        }
    })
}

/// Handles a key while this tile, or an element within it, has the focus.
fn on_key(act: &Callback<Act>) -> Callback<KeyboardEvent> {
    let act = act.clone();
    Callback::from(move |event: KeyboardEvent| {
        let in_control = drag::is_of_control(&event);
        let on_tile = event.target_dyn_into::<HtmlElement>().is_some_and(|target| target.class_list().contains("tile"));
        if event.ctrl_key() || event.alt_key() || event.meta_key() {
            return;
        }
        // A key that is held down repeats: it must not switch a recording on and off.
        if event.repeat() && !event.key().starts_with("Arrow") {
            return;
        }
        let meant = match event.key().as_str() {
            "Enter" if !in_control => Act::Solo,
            "ArrowRight" | "ArrowDown" if event.shift_key() && on_tile => Act::Move { forwards: true },
            "ArrowLeft" | "ArrowUp" if event.shift_key() && on_tile => Act::Move { forwards: false },
            "f" | "F" => Act::FillScreen,
            "p" | "P" => Act::PictureInPicture,
            "m" | "M" => Act::Listen,
            "c" | "C" => Act::Snapshot,
            "r" | "R" => Act::Record,
            _ => return,
        };
        event.prevent_default();
        act.emit(meant);
    })
}

//! The settings for all streams, and the streams in their order.

use sightline_protocol::stream::Quality;
use yew::prelude::*;

use super::choose::{options, value};
use super::icons;
use crate::state::{Choice, Event, Layout, Phase, Protocol, Theme, quality_hint, quality_label};

/// One stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What people read in place of the name.
    pub title: String,
    /// Its state.
    pub phase: Phase,
    /// The protocol selected for it alone.
    pub protocol: Option<Protocol>,
    /// The quality selected for it alone.
    pub quality: Option<Quality>,
}

/// The sidebar's properties.
#[derive(Debug, Clone, PartialEq, Properties)]
pub struct SidebarProps {
    /// The protocol of all streams.
    pub protocol: Protocol,
    /// A description of each protocol, in the selector's order.
    pub hints: [String; Protocol::ALL.len()],
    /// The quality of all streams.
    pub quality: Quality,
    /// The layout of the tiles.
    pub layout: Layout,
    /// The color scheme.
    pub theme: Theme,
    /// Whether statistics are shown over the videos.
    pub statistics: bool,
    /// The streams, in order.
    pub rows: Vec<Row>,
    /// Whether the viewer can log out.
    pub can_log_out: bool,
    /// Receives the events.
    pub on_event: Callback<Event>,
}

/// Keys, and their actions.
const KEYS: [(&str, &str); 10] = [
    ("Enter", "one camera alone, and back"),
    ("Esc", "all cameras"),
    ("← → ↑ ↓", "from camera to camera"),
    ("Shift ← →", "move the tile"),
    ("F", "fill the screen"),
    ("P", "picture in picture"),
    ("M", "sound on and off"),
    ("C", "save a snapshot"),
    ("R", "record, and stop"),
    ("S / B", "statistics / this sidebar"),
];

/// See the module.
#[component]
pub fn Sidebar(props: &SidebarProps) -> Html {
    let choose = |choice: Choice| props.on_event.reform(move |_: MouseEvent| Event::Choose(choice.clone()));
    html! {
        <aside class="sidebar" aria-label="Settings">
            <header>
                { icons::button("", "Close settings (B)", icons::CLOSE, choose(Choice::Sidebar(Some(false)))) }
                <h1>{ "Sightline" }</h1>
            </header>
            { protocols(props) }
            { qualities(props) }
            { layouts(props) }
            { streams(props) }
            { appearance(props) }
            <details>
                <summary>{ "Keys" }</summary>
                <dl class="keys">
                    { for KEYS.map(|(key, what)| html! { <><dt><kbd>{ key }</kbd></dt><dd>{ what }</dd></> }) }
                </dl>
            </details>
            <p><a href="test">{ "Test page" }</a></p>
            if props.can_log_out {
                // Relative to the page, so that a proxy may add a path prefix. The relay answers with the login form.
                <form method="post" action="logout"><button>{ "Log out" }</button></form>
            }
        </aside>
    }
}

fn protocols(props: &SidebarProps) -> Html {
    let option = |(protocol, hint): (Protocol, &String)| {
        let onchange = props.on_event.reform(move |_| Event::Choose(Choice::Protocol(protocol)));
        html! {
            <label class="option">
                <input type="radio" name="protocol" value={protocol.as_str()} checked={props.protocol == protocol} {onchange} />
                <span><strong>{ protocol.to_string() }</strong><small>{ hint }</small></span>
            </label>
        }
    };
    html! {
        <fieldset>
            <legend>{ "Stream protocol" }</legend>
            { for Protocol::ALL.into_iter().zip(&props.hints).map(option) }
        </fieldset>
    }
}

fn qualities(props: &SidebarProps) -> Html {
    let option = |quality: Quality| {
        let onchange = props.on_event.reform(move |_| Event::Choose(Choice::Quality(quality)));
        let checked = props.quality == quality;
        html! {
            <label class="chip" title={quality_hint(quality)}>
                <input type="radio" name="quality" value={quality.as_str()} {checked} {onchange} />
                <span>{ quality_label(quality) }</span>
            </label>
        }
    };
    html! {
        <fieldset class="chips">
            <legend>{ "Quality" }</legend>
            { for Quality::ALL.map(option) }
            <small>{ quality_hint(props.quality) }</small>
        </fieldset>
    }
}

fn layouts(props: &SidebarProps) -> Html {
    let option = |layout: Layout| {
        let onchange = props.on_event.reform(move |_| Event::Choose(Choice::Layout(layout)));
        let label = match layout {
            Layout::Grid => "Fit all".to_owned(),
            Layout::Focus => "First one large".to_owned(),
            Layout::Columns(1) => "1 column".to_owned(),
            Layout::Columns(columns) => format!("{columns} columns"),
        };
        html! {
            <label class="chip">
                <input type="radio" name="layout" value={layout.to_string()} checked={props.layout == layout} {onchange} />
                <span>{ label }</span>
            </label>
        }
    };
    html! {
        <fieldset class="chips">
            <legend>{ "Layout" }</legend>
            { for Layout::ALL.map(option) }
        </fieldset>
    }
}

fn streams(props: &SidebarProps) -> Html {
    html! {
        <section>
            <h2>{ "Streams" }</h2>
            <ol class="streams">
                { for (0..props.rows.len()).map(|n| stream(props, n)) }
            </ol>
        </section>
    }
}

fn stream(props: &SidebarProps, n: usize) -> Html {
    let Row { name, title, phase, protocol, quality } = &props.rows[n];
    let move_to = |other: Option<usize>, label: &str, paths| {
        let to = other.and_then(|other| props.rows.get(other)).map(|row| row.name.clone());
        let name = name.clone();
        let disabled = to.is_none();
        let onclick = props.on_event.reform(move |_| Event::Move(name.clone(), to.clone().unwrap_or_default()));
        html! { <button class="sign" type="button" {disabled} aria-label={label.to_owned()} title={label.to_owned()} {onclick}>{ icons::icon(paths) }</button> }
    };
    let select = |make: fn(String, &str) -> Choice| {
        let name = name.clone();
        props.on_event.reform(move |event: web_sys::Event| Event::Choose(make(name.clone(), &value(&event))))
    };
    let on_protocol = select(|name, value| Choice::StreamProtocol(name, value.parse().ok()));
    let on_quality = select(|name, value| Choice::StreamQuality(name, value.parse().ok()));
    let solo = {
        let name = name.clone();
        props.on_event.reform(move |_| Event::Solo(name.clone()))
    };
    let protocols = std::iter::once((String::new(), "like all".to_owned()))
        .chain(Protocol::ALL.map(|protocol| (protocol.as_str().to_owned(), protocol.to_string())));
    let protocols = options(protocols, protocol.map(Protocol::as_str).unwrap_or_default());
    let qualities = std::iter::once((String::new(), "Quality: all".to_owned()))
        .chain(Quality::ALL.map(|quality| (quality.as_str().to_owned(), quality_label(quality).to_owned())));
    let qualities = options(qualities, quality.map(Quality::as_str).unwrap_or_default());
    let quality_title = Quality::ALL.map(|quality| format!("{}: {}", quality_label(quality), quality_hint(quality)));
    html! {
        <li key={name.clone()} data-state={phase.as_str()}>
            <button class="stream-name" type="button" onclick={solo} title="One camera alone, and back">
                <span class="dot" aria-hidden="true" /><bdi>{ title }</bdi>
                <small>{ phase.label() }</small>
            </button>
            <span class="stream-controls">
                <select aria-label={format!("Protocol of {title}")} title="Protocol" onchange={on_protocol}>{ protocols }</select>
                <select aria-label={format!("Quality of {title}")} title={quality_title.join("\n")} onchange={on_quality}>{ qualities }</select>
                { move_to(n.checked_sub(1), &format!("Move {title} up"), icons::UP) }
                { move_to(Some(n + 1), &format!("Move {title} down"), icons::DOWN) }
            </span>
        </li>
    }
}

fn appearance(props: &SidebarProps) -> Html {
    let statistics = props.on_event.reform(|_: web_sys::Event| Event::Choose(Choice::Statistics(None)));
    let theme = |theme: Theme| {
        let onchange = props.on_event.reform(move |_| Event::Choose(Choice::Theme(theme)));
        let label = match theme {
            Theme::System => "Like the system",
            Theme::Light => "Light",
            Theme::Dark => "Dark",
        };
        html! {
            <label class="chip">
                <input type="radio" name="theme" value={theme.as_str()} checked={props.theme == theme} {onchange} />
                <span>{ label }</span>
            </label>
        }
    };
    html! {
        <>
            <fieldset class="chips">
                <legend>{ "Appearance" }</legend>
                { for Theme::ALL.map(theme) }
            </fieldset>
            <label class="option">
                <input type="checkbox" name="statistics" checked={props.statistics} onchange={statistics} />
                <span>{ "Statistics over the video (S)" }</span>
            </label>
        </>
    }
}

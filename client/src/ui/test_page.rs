//! The test page: one stream, started and stopped by the user; statistics and curves; the log; the browser's abilities.

use sightline_protocol::stream::{Quality, StreamName, VariantChoice};
use yew::prelude::*;

use super::choose::{options, value};
use super::curve::curve;
use super::tile::TileView;
use crate::browser::{self, file};
use crate::state::history::Sample;
use crate::state::{self, App, CODECS, Event, Level, Protocol, TestEvent, choice_of, quality_label, word_of};

/// Number of samples in the curves: two minutes.
const SHOWN: usize = 120;

/// The label of a variant.
fn label(choice: VariantChoice) -> &'static str {
    match choice {
        VariantChoice::Auto => "Auto",
        VariantChoice::Copy => "The camera's own (H.265)",
        VariantChoice::H264 => "H.264",
        VariantChoice::Low => "Low",
    }
}

/// The page's contents.
pub fn view(app: &App, on_event: &Callback<Event>) -> Html {
    html! {
        <div class="test">
            <header>
                <h1>{ "Sightline test page" }</h1>
                <nav><a href="./">{ "All cameras" }</a></nav>
            </header>
            <main>
                { player(app, on_event) }
                { figures(app) }
                { curves(app) }
                { log(app, on_event) }
                { abilities(app) }
            </main>
        </div>
    }
}

fn player(app: &App, on_event: &Callback<Event>) -> Html {
    let running = !app.tiles.is_empty();
    let tile = |tile: &std::rc::Rc<state::Tile>| {
        html! { <TileView key={app.test.run} tile={tile.clone()} choice={app.choice} alone=true on_event={on_event.clone()} /> }
    };
    html! {
        <section class="test-player" aria-label="Player">
            { form(app, running, on_event) }
            <div class="test-picture" style={app.tiles.first().map(|tile| format!("aspect-ratio:{:.4}", tile.aspect()))}>
                if running {
                    { for app.tiles.iter().map(tile) }
                } else {
                    <p class="notice" role="status">{ app.notice.clone().filter(|_| app.listed.is_empty()).unwrap_or_else(|| "Stopped.".to_owned()) }</p>
                }
            </div>
            { for app.tiles.iter().flat_map(|tile| tile.notes.iter()).map(|note| html! { <p class="note">{ note }</p> }) }
        </section>
    }
}

fn form(app: &App, running: bool, on_event: &Callback<Event>) -> Html {
    let test = &app.test;
    let on = |make: fn(String) -> Option<TestEvent>| {
        let on_event = on_event.clone();
        Callback::from(move |event: web_sys::Event| {
            make(value(&event)).into_iter().for_each(|event| on_event.emit(Event::Test(event)));
        })
    };
    let named = test.stream.iter().filter(|name| !app.listed.iter().any(|info| info.name == **name));
    let listed = app.listed.iter().map(|info| (&info.name, info.title.as_deref().unwrap_or(info.name.as_str())));
    let names = listed.chain(named.map(|name| (name, name.as_str())));
    let streams = options(
        names.map(|(name, title)| (name.to_string(), title.to_owned())),
        test.stream.as_ref().map_or("", StreamName::as_str),
    );
    let variants =
        options(CODECS.map(|(choice, word)| (word.to_owned(), label(choice).to_owned())), word_of(test.choice));
    let protocols = options(
        Protocol::ALL.map(|protocol| (protocol.as_str().to_owned(), protocol.to_string())),
        test.protocol.as_str(),
    );
    let qualities = options(
        Quality::ALL.map(|quality| (quality.as_str().to_owned(), quality_label(quality).to_owned())),
        test.quality.as_str(),
    );
    let start = on_event.reform(|_: MouseEvent| Event::Test(TestEvent::Start));
    let stop = on_event.reform(|_: MouseEvent| Event::Test(TestEvent::Stop));
    html! {
        <div class="test-form">
            <label>{ "Stream" }<select name="stream" onchange={on(|name| Some(TestEvent::Stream(name.parse().ok()?)))}>{ streams }</select></label>
            <label>{ "Codec" }<select name="codec" onchange={on(|word| choice_of(&word).map(TestEvent::Variant))}>{ variants }</select></label>
            <label>{ "Protocol" }<select name="protocol" onchange={on(|word| Some(TestEvent::Protocol(word.parse().ok()?)))}>{ protocols }</select></label>
            <label>{ "Quality" }<select name="quality" onchange={on(|word| Some(TestEvent::Quality(word.parse().ok()?)))}>{ qualities }</select></label>
            <button class="primary" name="start" type="button" disabled={test.stream.is_none()} onclick={start}>{ if running { "Restart" } else { "Start" } }</button>
            <button name="stop" type="button" disabled={!running} onclick={stop}>{ "Stop" }</button>
            { copy_button("report", "Copy report", report(app)) }
        </div>
    }
}

fn report(app: &App) -> impl Fn() -> String + 'static {
    let app = app.clone();
    move || app.report(&browser::window().location().href().unwrap_or_default(), browser::iso_time)
}

/// Renders a button that copies a text, which is made at the click.
fn copy_button(name: &'static str, label: &'static str, text: impl Fn() -> String + 'static) -> Html {
    let onclick = Callback::from(move |event: MouseEvent| {
        let text = text();
        // Without a clipboard (a page loaded over plain HTTP), the text is downloaded as a file.
        if !browser::copy(&text) {
            let _ = file::save_text(&text, "sightline.txt");
        }
        if let Some(button) = event.target_dyn_into::<web_sys::HtmlElement>() {
            button.set_text_content(Some("Copied"));
        }
    });
    html! { <button {name} type="button" {onclick}>{ label }</button> }
}

fn figures(app: &App) -> Html {
    let Some(tile) = app.tiles.first() else { return Html::default() };
    let rows = tile.statistics().into_iter().chain(tile.details());
    html! {
        <section class="test-figures" aria-label="Statistics">
            <h2>{ "Now" }</h2>
            <dl>{ for rows.map(|(name, value)| html! { <div><dt>{ name }</dt><dd>{ value }</dd></div> }) }</dl>
        </section>
    }
}

type Value = fn(&Sample) -> Option<f64>;

/// The curves: name, value, minimum of the scale, and unit.
const CURVES: [(&str, Value, f64, &str); 9] = [
    ("Latency", |sample| sample.age_ms, 100.0, "ms"),
    ("Bit rate", |sample| Some(sample.bits / 1e3), 100.0, "kbit/s"),
    ("Frame rate", |sample| Some(sample.frames), 10.0, "fps"),
    ("Dropped frames", |sample| Some(sample.skipped), 5.0, "a second"),
    ("Fragments", |sample| Some(sample.fragments), 10.0, "a second"),
    ("Buffer", |sample| Some(sample.buffered * 1e3), 100.0, "ms"),
    ("Arrival jitter", |sample| sample.jitter_ms, 10.0, "ms"),
    ("Not acknowledged", |sample| Some(sample.unacknowledged as f64), 10.0, "fragments"),
    ("Playback rate", |sample| Some((sample.rate - 1.0).abs() * 100.0), 1.0, "% off"),
];

fn curves(app: &App) -> Html {
    let Some(tile) = app.tiles.first() else { return Html::default() };
    let draw = |(name, value, unit, of): (&'static str, Value, f64, &'static str)| {
        let values = tile.history.values(SHOWN, value);
        let now = values.last().copied().flatten().map_or_else(|| "–".to_owned(), |now| format!("{now:.0} {of}"));
        html! {
            <div class="test-curve">
                <h3>{ name }<span>{ now }</span></h3>
                { curve(&values, SHOWN, unit, &format!("{name} in the last two minutes"), |top| format!("{top:.0}")) }
            </div>
        }
    };
    html! {
        <section class="test-curves" aria-label="Last two minutes">
            <h2>{ "Last two minutes" }</h2>
            { for CURVES.map(draw) }
        </section>
    }
}

fn log(app: &App, on_event: &Callback<Event>) -> Html {
    let test = &app.test;
    let level = {
        let on_event = on_event.clone();
        Callback::from(move |event: web_sys::Event| {
            let word = value(&event);
            let level = Level::ALL.into_iter().find(|level| level.as_str() == word).unwrap_or(Level::Info);
            on_event.emit(Event::Test(TestEvent::Level(level)));
        })
    };
    let filter = on_event.reform(|event: InputEvent| Event::Test(TestEvent::Filter(value(&event))));
    let text = {
        let log = app.log.clone();
        move || log.to_text(browser::iso_time)
    };
    let save = {
        let text = text.clone();
        Callback::from(move |_: MouseEvent| drop(file::save_text(&text(), "sightline-log.txt")))
    };
    let entry = |entry: &std::rc::Rc<state::log::Entry>| {
        html! { <li data-level={entry.level.as_str()}><time>{ browser::iso_time(entry.at) }</time>{ entry.to_string() }</li> }
    };
    html! {
        <section class="test-log" aria-label="Log">
            <h2>{ "Log" }</h2>
            <div class="test-form">
                <label>{ "At least" }
                    <select name="level" onchange={level}>{ options(Level::ALL.map(|level| (level.as_str().to_owned(), level.as_str().to_owned())), test.level.as_str()) }</select>
                </label>
                <label>{ "Containing" }<input name="filter" type="search" value={test.filter.clone()} oninput={filter} /></label>
                { copy_button("copy-log", "Copy", text) }
                <button name="save-log" type="button" onclick={save}>{ "Download" }</button>
            </div>
            <ol tabindex="0" aria-label="Entries, newest first">{ for app.log.entries(test.level, &test.filter).rev().map(entry) }</ol>
        </section>
    }
}

fn abilities(app: &App) -> Html {
    html! {
        <section class="test-abilities" aria-label="This browser">
            <h2>{ "This browser" }</h2>
            <table>
                <thead><tr><th scope="col">{ "Asked for" }</th><th scope="col">{ "Answer" }</th></tr></thead>
                <tbody>
                    { for app.abilities.rows().into_iter().map(|(name, answer)| html! {
                        <tr><th scope="row">{ name }</th><td data-answer={answer.clone()}>{ answer }</td></tr>
                    }) }
                </tbody>
            </table>
            <p class="note">{ &app.abilities.user_agent }</p>
        </section>
    }
}

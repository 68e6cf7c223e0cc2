//! What an operator does with the page beside looking at it: choices that last, the keyboard alone, pictures and
//! recordings saved, and a page for a wall without anything but pictures.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use sightline_tests::browser::{Browser, Engine, MARK_POINTS, Rgb};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::figures::median;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{alone, say, until};
use sightline_tests::saved::{Media, Stream};

const GATE: Mount = Mount { path: "gate", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const YARD: Mount = Mount { path: "yard", kind: Kind::H264, mark: Rgb(0xc0, 0x40, 0x20) };
const DOOR: Mount = Mount { path: "door", kind: Kind::H264, mark: Rgb(0x20, 0xc0, 0x40) };
const H265: Mount = Mount { path: "h265", kind: Kind::H265, mark: Rgb(0xa0, 0x20, 0xa0) };
const SOUND: Mount = Mount { path: "sound", kind: Kind::WithAac, mark: Rgb(0x80, 0x80, 0x20) };

const LIVE: Duration = Duration::from_secs(40);
/// What the page does by itself.
const SOON: Duration = Duration::from_secs(8);
/// Of the 50 pictures that come in it, on a machine that is shared.
const MOVING: (Duration, u64) = (Duration::from_secs(2), 20);
const RECORDED: Duration = Duration::from_millis(4500);
/// From the next key frame, which may be a second away; on a busy machine keys and scripts take their time.
const LENGTH: std::ops::Range<f64> = 3.0..7.0;
/// What may lie between picture and sound, in seconds: ITU-R BT.1359 has 45 ms as detectable.
const SYNC: f64 = 0.04;

// Code points of keys in WebDriver (section 17.4.2).
const TAB: char = '\u{E004}';
const ENTER: char = '\u{E007}';
const SHIFT: char = '\u{E008}';
const ESCAPE: char = '\u{E00C}';
const LEFT: char = '\u{E012}';
const RIGHT: char = '\u{E014}';
const DOWN: char = '\u{E015}';

/// What the page shows beside pictures.
#[derive(Debug, Deserialize, PartialEq)]
struct Shown {
    /// The tiles that can be seen, in order.
    tiles: Vec<String>,
    /// How many statistics there are.
    statistics: usize,
    sidebar: bool,
    /// What is chosen in the sidebar.
    protocol: Option<String>,
    layout: Option<String>,
    /// For single streams, by their names.
    own: Vec<(String, String)>,
}

const SHOWN: &str = "
    const chosen = name => document.querySelector(`.sidebar input[name=${name}]:checked`)?.value ?? null;
    const seen = [...document.querySelectorAll('article.tile')].filter(tile => tile.checkVisibility());
    const own = [...document.querySelectorAll('.streams select')];
    return {
        tiles: seen.map(tile => tile.dataset.stream),
        statistics: document.querySelectorAll('.tile-statistics').length,
        sidebar: document.querySelector('.sidebar') !== null,
        protocol: chosen('protocol'),
        layout: chosen('layout'),
        own: own.filter(select => select.value).map(select => [select.getAttribute('aria-label').split(' ').at(-1), select.value]),
    };
";

async fn shown(browser: &Browser) -> Shown {
    serde_json::from_value(browser.script(SHOWN, vec![]).await).expect("what is shown")
}

async fn shows(browser: &Browser, what: &str, wanted: impl Fn(&Shown) -> bool) {
    let what = format!("{}: {what}", browser.engine());
    until(&what, SOON, async || wanted(&shown(browser).await).then_some(())).await;
}

async fn moves(browser: &Browser, stream: &str) {
    browser.wait_live(stream, LIVE).await;
    browser.wait_moving(stream, MOVING.0, MOVING.1, LIVE).await;
}

async fn scene(mounts: &[Mount]) -> (Camera, Relay) {
    let camera = Camera::start(mounts).await;
    let relay = Setup::config(camera.config()).start().await;
    (camera, relay)
}

#[test]
fn what_was_chosen_is_there_after_a_reload_and_nonsense_does_no_harm() {
    alone(Duration::from_secs(240), async || {
        let (_camera, relay) = scene(&[GATE, YARD, DOOR]).await;
        for browser in Browser::start_all().await {
            let engine = browser.engine();
            browser.open(&relay.url("/")).await;
            browser.wait_live("gate", LIVE).await;
            browser.key(&[], 'b').await;
            shows(&browser, "the sidebar", |shown| shown.sidebar && shown.tiles.len() == 3).await;
            browser.click(".option:has([name=protocol][value=mse])").await;
            browser.click(".chip:has([name=layout][value='2'])").await;
            browser.click(".streams select[aria-label$=yard] option[value=hls]").await;
            browser.script("document.querySelector('article[data-stream=gate]').focus()", vec![]).await;
            // The focus has to go with the tile.
            for (key, order) in [
                (RIGHT, ["yard", "gate", "door"]),
                (RIGHT, ["yard", "door", "gate"]),
                (LEFT, ["yard", "gate", "door"]),
                (LEFT, ["gate", "yard", "door"]),
                (RIGHT, ["yard", "gate", "door"]),
            ] {
                browser.key(&[SHIFT], key).await;
                shows(&browser, &format!("{order:?}"), |shown| shown.tiles == order).await;
            }
            assert_eq!(focus(&browser).await.0, "gate", "{engine}");
            // A moved video goes on.
            moves(&browser, "gate").await;
            let chosen = shown(&browser).await;
            assert_eq!((chosen.protocol.as_deref(), chosen.layout.as_deref()), (Some("mse"), Some("2")), "{engine}");
            assert_eq!(chosen.own, [("yard".to_owned(), "hls".to_owned())], "{engine}");

            browser.reload().await;
            browser.wait_live("gate", LIVE).await;
            assert_eq!(shown(&browser).await, chosen, "{engine}: after a reload");

            nonsense(&browser).await;
            browser.leave().await;
        }
    });
}

/// The page starts with whatever is kept under its name, takes of it what it understands, and writes over it.
async fn nonsense(browser: &Browser) {
    let engine = browser.engine();
    let foreign =
        r#"{"protocol":"carrier-pigeon","layout":"focus","sidebar":true,"streams":[7],"order":{"a":1},"v":9}"#;
    for (kept, layout) in [("{{{ \u{0} nonsense", None), (foreign, Some("focus")), ("null", None)] {
        browser.script("localStorage.sightline = arguments[0]", vec![json!(kept)]).await;
        browser.reload().await;
        browser.wait_live("door", LIVE).await;
        let now = shown(browser).await;
        assert_eq!((now.tiles.len(), now.layout.as_deref()), (3, layout), "{engine}: {kept}");
        assert_eq!(now.protocol.as_deref(), layout.map(|_| "auto"), "{engine}: {kept}");
        browser.key(&[], 's').await;
        shows(browser, "statistics", |shown| shown.statistics == 3).await;
        let text = browser.script("return localStorage.sightline", vec![]).await;
        let written: Value = serde_json::from_str(text.as_str().expect("a text")).expect("JSON");
        assert_eq!((&written["statistics"], &written["protocol"]), (&json!(true), &json!("auto")), "{engine}");
    }
}

/// What has the focus: the name of its tile, or what it is, and whether that can be seen.
async fn focus(browser: &Browser) -> (String, bool) {
    let script = "
        const focused = document.activeElement;
        const style = getComputedStyle(focused);
        const name = focused.matches('article.tile') ? focused.dataset.stream : focused.value ?? focused.tagName;
        const ring = style => style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
        const label = focused.nextElementSibling;
        return [name, focused.matches(':focus-visible') && (ring(style) || label !== null && ring(getComputedStyle(label)))];
    ";
    serde_json::from_value(browser.script(script, vec![]).await).expect("a name and whether it is seen")
}

/// Goes on by Tab until something of that name has the focus; all that has it on the way can be seen to.
async fn tab_to(browser: &Browser, name: &str) {
    let engine = browser.engine();
    let mut passed = Vec::new();
    for _ in 0..40 {
        browser.key(&[], TAB).await;
        let (focused, seen) = focus(browser).await;
        // Behind the last element browsers have buttons of their own.
        assert!(seen || focused == "BODY", "{engine}: nothing shows that {focused} has the focus");
        passed.push(focused);
        if passed.last().is_some_and(|last| last == name) {
            return;
        }
    }
    panic!("{engine}: Tab does not lead to {name}, but through {passed:?}");
}

#[test]
fn the_keyboard_is_enough_and_a_wall_needs_neither() {
    alone(Duration::from_secs(240), async || {
        let (_camera, relay) = scene(&[GATE, YARD]).await;
        for browser in Browser::start_all().await {
            let engine = browser.engine();
            browser.open(&relay.url("/")).await;
            browser.wait_live("yard", LIVE).await;
            tab_to(&browser, "gate").await;
            browser.key(&[], RIGHT).await;
            assert_eq!(focus(&browser).await, ("yard".to_owned(), true), "{engine}");
            browser.key(&[], ENTER).await;
            shows(&browser, "one picture", |shown| shown.tiles == ["yard"]).await;
            browser.key(&[], ESCAPE).await;
            shows(&browser, "all pictures", |shown| shown.tiles == ["gate", "yard"]).await;
            assert_eq!(focus(&browser).await.0, "yard", "{engine}: the focus stays");
            for statistics in [2, 0] {
                browser.key(&[], 's').await;
                shows(&browser, "statistics or none", |shown| shown.statistics == statistics).await;
            }
            browser.key(&[], 'b').await;
            shows(&browser, "the sidebar", |shown| shown.sidebar).await;

            // From the top of the page, where the sidebar is, which was kept open.
            browser.reload().await;
            browser.wait_live("yard", LIVE).await;
            tab_to(&browser, "auto").await;
            browser.key(&[], DOWN).await;
            shows(&browser, "the next protocol", |shown| shown.protocol.as_deref() == Some("mse")).await;
            // Letters mean nothing to a radio button.
            browser.key(&[], 's').await;
            shows(&browser, "statistics", |shown| shown.statistics == 2).await;
            browser.key(&[], 's').await;
            tab_to(&browser, "gate").await;

            wall(&browser, &relay).await;
            browser.leave().await;
        }
    });
}

/// Pictures alone, and what the address asks for, whatever was chosen before.
async fn wall(browser: &Browser, relay: &Relay) {
    let engine = browser.engine();
    let look = async || -> (usize, usize, f64, String) {
        let script = "
            const other = document.querySelectorAll('button, input, select, aside, footer, a').length;
            const statistics = document.querySelectorAll('.tile-statistics').length;
            const widths = [...document.querySelectorAll('article.tile')].map(tile => tile.offsetWidth / innerWidth);
            return [other, statistics, Math.min(...widths), localStorage.sightline];
        ";
        serde_json::from_value(browser.script(script, vec![]).await).expect("three numbers and a text")
    };
    let kept = look().await.3;
    assert!(kept.contains("\"sidebar\":true"), "{engine}: {kept}");
    browser.open(&relay.url("/?stream=gate&controls=none&layout=1")).await;
    browser.wait_live("gate", LIVE).await;
    let (other, statistics, ..) = look().await;
    assert_eq!((other, statistics), (0, 0), "{engine}");
    // In one column each of two is as wide as the window but for a scroll bar.
    browser.open(&relay.url("/?stream=gate&stream=yard&controls=none&layout=1&statistics")).await;
    moves(browser, "gate").await;
    let (other, statistics, width, still) = look().await;
    assert_eq!((other, statistics), (0, 2), "{engine}");
    assert!(width > 0.95, "{engine}: {width}");
    assert_eq!(still, kept, "{engine}: what an address asks for is not kept");
}

/// A picture of the camera's: its size, the clock in it, and its colour.
#[derive(Debug, Deserialize)]
struct Picture {
    size: [u32; 2],
    /// The lowest 24 bits of the milliseconds at which it was made.
    clock: Option<u32>,
    pixels: Vec<[u8; 3]>,
}

/// Reads a picture (`fixtures/live_sources.py`) from whatever a canvas draws.
const READER: &str = "
    window.read = (source, width, height, points) => {
        const canvas = Object.assign(document.createElement('canvas'), { width, height });
        const context = canvas.getContext('2d', { willReadFrequently: true });
        context.drawImage(source, 0, 0);
        const pixel = (x, y) => [...context.getImageData(Math.floor(x), Math.floor(y), 1, 1).data].slice(0, 3);
        let [value, sum] = [0, 0];
        for (let cell = 0; cell < 32; cell++) {
            const bit = pixel((cell + 0.5) * width / 32, height / 30)[1] > 127 ? 1 : 0;
            if (cell < 24) value = value << 1 | bit;
            else sum = sum << 1 | bit;
        }
        const right = (value >> 16) * 31 + (value >> 8 & 255) * 17 + (value & 255) * 7 + 0x5a & 255;
        const pixels = points.map(([x, y]) => pixel(x * width, y * height));
        return { size: [width, height], clock: sum === right ? value : null, pixels };
    };
";

fn points() -> Value {
    json!(MARK_POINTS.map(|(x, y)| [x, y]))
}

/// What the video shows now.
async fn on_screen(browser: &Browser) -> Picture {
    let script = "
        const video = document.querySelector('video');
        return read(video, video.videoWidth, video.videoHeight, arguments[0]);
    ";
    serde_json::from_value(browser.script(script, vec![points()]).await).expect("a picture")
}

/// The picture in the file of this number.
async fn in_file(browser: &Browser, index: usize) -> Picture {
    let script = "
        window.picture = null;
        createImageBitmap(sightlineSaved[arguments[0]].blob)
            .then(image => window.picture = read(image, image.width, image.height, arguments[1]));
    ";
    browser.script(script, vec![json!(index), points()]).await;
    let decoded = async || serde_json::from_value(browser.script("return picture", vec![]).await).expect("a picture");
    until("the browser to decode what it saved", SOON, decoded).await
}

/// Asserts that a file is named after the stream and the time: `gate-2026-11-24T22-36-01Z.png`.
fn named(name: &str, stream: &str, extension: &str) {
    let shape: String = name.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    let stream: String = stream.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert_eq!(shape, format!("{stream}-9999-99-99T99-99-99Z.{}", extension.replace('4', "9")), "{name}");
}

#[test]
fn what_is_saved_is_the_frame_on_screen_and_what_was_received() {
    alone(Duration::from_secs(240), async || {
        let (_camera, relay) = scene(&[H265]).await;
        for browser in Browser::start_all().await {
            browser.open(&relay.url("/?stream=h265")).await;
            moves(&browser, "h265").await;
            browser.catch_files().await;
            browser.script(READER, vec![]).await;
            tab_to(&browser, "h265").await;
            snapshot(&browser).await;
            let sent = if browser.engine().plays_h265() { "hevc" } else { "h264" };
            let (media, _) = record(&browser, "h265", 1, RECORDED).await;
            let (_, streams) = media.probe();
            assert_eq!(streams.iter().map(|stream| &*stream.codec).collect::<Vec<_>>(), [sent], "{}", browser.engine());
            browser.leave().await;
        }
    });
}

async fn snapshot(browser: &Browser) {
    let engine = browser.engine();
    // A frame that has just been replaced in the middle of the reading has no clock.
    let clock = async || on_screen(browser).await.clock;
    let before = until("a clock on screen", SOON, clock).await;
    browser.key(&[], 'c').await;
    let file = browser.saved(0, SOON).await;
    let after = until("a clock on screen", SOON, clock).await;
    named(&file.name, "h265", "png");
    assert_eq!(file.mime, "image/png", "{engine}");
    let (picture, screen) = (in_file(browser, 0).await, on_screen(browser).await);
    assert_eq!(picture.size, screen.size, "{engine}");
    let colours = [Rgb::median(&picture.pixels), Rgb::median(&screen.pixels)];
    assert!(colours.iter().all(|colour| colour.is_like(H265.mark)), "{engine}: {colours:?}");
    let taken = picture.clock.unwrap_or_else(|| panic!("{engine}: no clock in {picture:?}"));
    // The clock begins anew after some hours.
    let since = |clock: u32| clock.wrapping_sub(before) & 0xff_ffff;
    assert!(since(taken) <= since(after), "{engine}: not between {before} and {after}: {taken}");
}

/// Records the tile that has the focus for `span`, into the file of this number, and checks what is so of every
/// recording. Gives the file and its length in seconds.
async fn record(browser: &Browser, stream: &str, index: usize, span: Duration) -> (Media, f64) {
    let engine = browser.engine();
    browser.key(&[], 'r').await;
    let recording = async || {
        let script = "return document.querySelector('.tile-recording') !== null";
        (browser.script(script, vec![]).await == true).then_some(())
    };
    until(&format!("{engine}: the page to say that it records"), SOON, recording).await;
    tokio::time::sleep(span).await;
    browser.key(&[], 'r').await;
    let file = browser.saved(index, SOON).await;
    named(&file.name, stream, "mp4");
    assert_eq!(file.mime, "video/mp4", "{engine}");
    let media = Media::new(&file.bytes);
    let (length, streams) = media.probe();
    say(&format!("recorded in {engine}: {length:.2} s, {streams:?}"));
    let video = &streams[0];
    assert!(LENGTH.contains(&length), "{engine}: {length} s");
    assert_eq!((&*video.kind, video.start), ("video", 0.0), "{engine}");
    // Every picture that was received, of 25 a second.
    assert!(video.packets as f64 > 15.0 * length, "{engine}: {} pictures in {length} s", video.packets);
    assert_eq!(media.complaints(), "", "{engine}");
    (media, length)
}

#[test]
fn a_recording_has_the_sound_that_is_heard_in_sync() {
    alone(Duration::from_secs(120), async || {
        let (_camera, relay) = scene(&[SOUND]).await;
        let Some(browser) = Browser::start(Engine::Chromium).await else { return };
        browser.open(&relay.url("/?stream=sound")).await;
        moves(&browser, "sound").await;
        browser.catch_files().await;
        tab_to(&browser, "sound").await;
        let audio = async |state: &str| {
            let script = "return document.querySelector('article').dataset.audio";
            let known = async || (browser.script(script, vec![]).await == state).then_some(());
            until(&format!("sound to be {state}"), LIVE, known).await;
        };
        audio("off").await;
        browser.key(&[], 'm').await;
        audio("on").await;
        // The player starts over with sound.
        tokio::time::sleep(Duration::from_secs(2)).await;
        moves(&browser, "sound").await;
        let (media, length) = record(&browser, "sound", 0, RECORDED + Duration::from_secs(1)).await;
        let (_, streams) = media.probe();
        let [Stream { codec: video, .. }, Stream { codec: sound, start, packets, .. }] = &streams[..] else {
            panic!("picture and sound: {streams:?}")
        };
        assert_eq!((&**video, &**sound), ("h264", "aac"));
        // A piece of AAC is 1024 samples of 48 kHz.
        assert!(*start < 0.1 && *packets as f64 * 1024.0 / 48e3 > length - 0.5, "{streams:?}");
        let late = media.lateness().await;
        assert!(late.len() >= 3 && median(late.clone()).abs() < SYNC, "sound is late by {late:?} s");
        say(&format!("recorded sound is {:.1} ms late", median(late) * 1e3));
    });
}

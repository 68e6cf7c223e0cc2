//! Saved frames and recordings.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sightline_tests::browser::{Engine, MARK_POINTS};
use sightline_tests::download::{Media, Stream};
use sightline_tests::run::{say, within};
use sightline_tests::stats::median;

use super::*;

const SOUND: Mount = Mount { path: "sound", kind: Kind::WithAac, mark: Rgb(0x80, 0x80, 0x20) };
const RECORDED: Duration = Duration::from_millis(4500);
/// The greatest offset between sound and video in seconds. ITU-R BT.1359 calls 45 ms detectable.
const SYNC: f64 = 0.04;

/// A frame of the camera: its size, its clock and its colour.
#[derive(Debug, Deserialize)]
struct Picture {
    size: [u32; 2],
    /// The lowest 24 bits of its creation time in milliseconds.
    clock: Option<u32>,
    pixels: Vec<[u8; 3]>,
}

/// Reads a frame (`fixtures/live_sources.py`) from any source that a canvas can draw.
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

/// The current frame of the video.
async fn on_screen(browser: &Browser) -> Picture {
    let script = "
        const video = document.querySelector('video');
        return read(video, video.videoWidth, video.videoHeight, arguments[0]);
    ";
    serde_json::from_value(browser.script(script, vec![points()]).await).expect("a picture")
}

/// The image in the saved file with this index.
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
fn snapshot_is_the_frame_on_screen_and_recording_is_the_received_media() {
    within(Duration::from_secs(240), async || {
        let (_camera, relay) = scene(&[H265]).await;
        Browser::each(async |browser| {
            // By Auto, a busy browser may have left MSE for HLS, which cannot be recorded.
            browser.open(&relay.url("/?stream=h265&protocol=mse")).await;
            moves(browser, "h265").await;
            browser.catch_files().await;
            browser.script(READER, vec![]).await;
            tab_to(browser, "h265").await;
            snapshot(browser).await;
            let sent = if browser.engine().plays_h265() { "hevc" } else { "h264" };
            let (media, _) = record(browser, "h265", 1, RECORDED).await;
            let (_, streams) = media.probe();
            assert_eq!(streams.iter().map(|stream| &*stream.codec).collect::<Vec<_>>(), [sent], "{}", browser.engine());
        })
        .await;
    });
}

async fn snapshot(browser: &Browser) {
    let engine = browser.engine();
    // A frame that is replaced during the reading has no valid clock.
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
    // The clock wraps around after some hours.
    let since = |clock: u32| clock.wrapping_sub(before) & 0xff_ffff;
    assert!(since(taken) <= since(after), "{engine}: not between {before} and {after}: {taken}");
}

/// Records the focused tile for `span` into the file with this index, and checks the properties of every recording. Returns the
/// file and its duration in seconds.
async fn record(browser: &Browser, stream: &str, index: usize, span: Duration) -> (Media, f64) {
    let (engine, begun) = (browser.engine(), Instant::now());
    let (tile, focused) = (browser.tile(stream).await, focus(browser).await);
    browser.key(&[], 'r').await;
    let recording = async || {
        let script = "return document.querySelector('.tile-recording') !== null";
        (browser.script(script, vec![]).await == true).then_some(())
    };
    until(
        &format!("{engine}: the page to say that it records, before which {focused:?} and {tile:?}"),
        SOON,
        recording,
    )
    .await;
    tokio::time::sleep(span).await;
    browser.key(&[], 'r').await;
    // The first key takes effect at a key frame, and both when the browser gets to them.
    let duration = span.as_secs_f64() - 1.5..begun.elapsed().as_secs_f64() + 1.5;
    let file = browser.saved(index, SOON).await;
    named(&file.name, stream, "mp4");
    assert_eq!(file.mime, "video/mp4", "{engine}");
    let media = Media::new(&file.bytes);
    let (length, streams) = media.probe();
    say(&format!("recorded in {engine}: {length:.2} s, {streams:?}"));
    let video = &streams[0];
    assert!(duration.contains(&length), "{engine}: {length} s, not in {duration:?}");
    assert_eq!((&*video.kind, video.start), ("video", 0.0), "{engine}");
    // All received frames: 25 per second, and fewer from a camera on a busy machine.
    assert!(video.packets as f64 > 5.0 * length, "{engine}: {} pictures in {length} s", video.packets);
    assert_eq!(media.complaints(), "", "{engine}");
    (media, length)
}

mod one_browser {
    use super::*;

    #[test]
    fn recording_has_the_audio_in_sync() {
        within(Duration::from_secs(120), async || {
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
            // The player restarts with sound.
            tokio::time::sleep(Duration::from_secs(2)).await;
            moves(&browser, "sound").await;
            let (media, length) = record(&browser, "sound", 0, RECORDED + Duration::from_secs(1)).await;
            let (_, streams) = media.probe();
            let [Stream { codec: video, .. }, Stream { codec: sound, start, packets, .. }] = &streams[..] else {
                panic!("picture and sound: {streams:?}")
            };
            assert_eq!((&**video, &**sound), ("h264", "aac"));
            // A packet of AAC has 1024 samples at 48 kHz.
            assert!(*start < 0.1 && *packets as f64 * 1024.0 / 48e3 > length - 0.5, "{streams:?}");
            let late = media.lateness().await;
            assert!(late.len() >= 3 && median(late.clone()).abs() < SYNC, "sound is late by {late:?} s");
            say(&format!("recorded sound is {:.1} ms late", median(late) * 1e3));
        });
    }
}

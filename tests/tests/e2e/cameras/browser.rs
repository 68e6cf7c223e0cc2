//! The habits of cameras that matter to a player: the frames that browsers show, by the default reader.

use sightline_tests::browser::{Browser, Engine, Tile};
use sightline_tests::run::{until, within};
use sightline_tests::scripted_camera::case::{Clock, Marker};
use sightline_tests::scripted_camera::media::Media;

use super::*;

/// The time limit from the address to frames, with two browsers and several FFmpegs to be started on a busy machine.
const LIVE: Duration = Duration::from_secs(60);
const WATCHED: Duration = Duration::from_secs(4);

/// All cases are tiles of one page.
#[test]
fn cameras_of_the_field_play_in_browsers() {
    within(Duration::from_secs(240), async || {
        let gop = Case { media: Media::Gop(31), first: 1, interval: Duration::from_millis(200), ..Case::new("gop") };
        let cases = [
            Case { media: Media::Slices, marker: Marker::Slice, ..Case::new("slices") },
            Case { media: Media::TwoPps, ..Case::new("pps") },
            Case { media: Media::Resized, ..Case::new("dn") },
            Case { media: Media::WidePixels, ..Case::new("wide") },
            Case { clock: Clock::Milliseconds, ..Case::new("ms") },
            Case { media: Media::Fields, marker: Marker::Slice, ..Case::new("paff") },
            gop,
        ];
        let rows = cases.each_ref().map(|case| Row::new(case, AUTO));
        let scene = Scene::open(&rows).await;
        Browser::each_of(&[Engine::Chromium, Engine::Firefox], async |browser| {
            browser.open(&scene.relay.url("/")).await;
            for row in &rows {
                show(browser, &row.stream()).await;
                let tile = browser.wait_live(&row.stream(), LIVE).await;
                assert_eq!(tile.variant.as_deref(), Some("copy"), "{}: {tile:?}", browser.engine());
                // A third of the frames: two browsers decode six videos.
                let sent = WATCHED.as_secs_f64() / row.case.interval.as_secs_f64();
                browser.wait_moving(&row.stream(), WATCHED, (sent / 3.0) as u64, LIVE).await;
                say(&format!("{:<14} {:<8} plays", row.case.name, browser.engine()));
            }
            fill_the_screen_and_return(browser, "pps-auto").await;
            show(browser, "dn-auto").await;
            for width in [640, 320] {
                let has_width = |tile: &Tile| tile.width == width;
                browser.wait_for_tile("dn-auto", "a frame of the other size", LIVE, has_width).await;
            }
            show(browser, "wide-auto").await;
            // 8:3 pixels, 320 by 240.
            let wide = |tile: &Tile| (852..=854).contains(&tile.width);
            browser.wait_for_tile("wide-auto", "a video in the ratio 32:9", LIVE, wide).await;
        })
        .await;
        for row in &rows {
            let plays = scene.count(row.case.name, "PLAY");
            assert!((1..=2).contains(&plays), "{}: opened {plays} times, perhaps for FFmpeg once", row.stream());
        }
    });
}

/// The video plays on at both sizes.
async fn fill_the_screen_and_return(browser: &Browser, stream: &str) {
    show(browser, stream).await;
    for fills in [true, false] {
        browser.press(&format!("article[data-stream='{stream}']"), 'f').await;
        let script = "return document.fullscreenElement !== null";
        let arrived = async || (browser.script(script, vec![]).await == fills).then_some(());
        until(&format!("{}: full screen to be {fills}", browser.engine()), LIVE, arrived).await;
        browser.wait_moving(stream, WATCHED, 20, LIVE).await;
    }
}

/// Scrolls to a tile: those out of sight pause.
async fn show(browser: &Browser, stream: &str) {
    let script = "document.querySelector(`article[data-stream='${arguments[0]}']`).scrollIntoView({ block: 'center' })";
    until("the tile", LIVE, async || browser.tile(stream).await.map(drop)).await;
    browser.script(script, vec![stream.into()]).await;
}

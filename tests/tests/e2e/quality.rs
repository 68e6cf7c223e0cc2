//! The quality that a viewer chooses: Auto, High or Low, by every protocol, in addresses, messages and the page.

use std::time::Duration;

use serde_json::json;
use sightline_protocol::close;
use sightline_protocol::message::{ClientMessage, Play, ServerMessage, Size, TrackKind, VariantReason};
use sightline_protocol::stream::{Quality, Variant, VariantChoice};
use sightline_tests::browser::{Browser, Engine, Rgb, Tile, TileState, WALL};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::http;
use sightline_tests::offer::offer;
use sightline_tests::peer::Peer;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{until, within};
use sightline_tests::slow::SlowViewer;
use sightline_tests::viewer::{Event, PLAYS_H264, Viewer};
use str0m::format::Codec;

use crate::sub_streams::{LARGE, MAIN, MAIN_SIZE, SUB, SUB_SIZE, gets, relay, stays};

const TEST: Duration = Duration::from_secs(120);
const START: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(10);
/// The sentence that names the allowed values.
const ALLOWED: &str = "must be auto, high or low";

fn play(quality: Option<Quality>, size: Option<Size>) -> ClientMessage {
    let codecs = PLAYS_H264.iter().map(|&codec| codec.to_owned()).collect();
    let (variant, tracks) = (VariantChoice::Auto, vec![TrackKind::Video]);
    ClientMessage::Play(Play { codecs, variant, tracks, size, quality })
}

async fn is_told(viewer: &mut Viewer, expected: VariantReason) {
    let reason = |event: &Event| match event {
        Event::Message(ServerMessage::Reason { why }) => Some(*why),
        _ => None,
    };
    assert_eq!(viewer.wait_for("the new reason", SOON, reason).await, expected);
}

#[test]
fn websocket_viewer_gets_the_quality_it_chose() {
    within(TEST, async || {
        let camera = Camera::start(&[MAIN, SUB]).await;
        let relay = relay(&camera, "").await;
        let mut viewer = Viewer::v1(&relay, "yard").await;
        viewer.send(&play(Some(Quality::Low), Some(LARGE))).await;
        gets(&mut viewer, Variant::Low, VariantReason::Requested, SUB_SIZE).await;
        assert_eq!(camera.viewers(MAIN.path).total, 0, "the main stream is not read");
        viewer.send(&ClientMessage::Quality { quality: Quality::High }).await;
        gets(&mut viewer, Variant::Copy, VariantReason::Untouched, MAIN_SIZE).await;
        viewer.send(&ClientMessage::Resize { size: SUB_SIZE }).await;
        stays(&mut viewer).await;
        viewer.send(&ClientMessage::Quality { quality: Quality::Auto }).await;
        gets(&mut viewer, Variant::Low, VariantReason::SmallSize, SUB_SIZE).await;
        viewer.send(&ClientMessage::Quality { quality: Quality::Low }).await;
        is_told(&mut viewer, VariantReason::Requested).await;
        viewer.send(&ClientMessage::Resize { size: LARGE }).await;
        stays(&mut viewer).await;
        camera.wait_for_viewers(MAIN.path, 0, SOON).await;
        assert_eq!(relay.ffmpegs().len(), 0);
    });
}

#[test]
fn address_of_a_websocket_names_the_quality_in_both_dialects() {
    within(TEST, async || {
        let camera = Camera::start(&[MAIN, SUB]).await;
        let relay = relay(&camera, "").await;
        let mut viewer = Viewer::with_query(&relay, "yard", true, "quality=low").await;
        viewer.send(&play(None, None)).await;
        gets(&mut viewer, Variant::Low, VariantReason::Requested, SUB_SIZE).await;
        let mut plain = Viewer::with_query(&relay, "yard", false, "quality=low").await;
        assert!(matches!(plain.next(START).await, Event::Text(codec) if codec == "codec:h264"));
        plain.take_media(30, SOON).await;
        assert_eq!(camera.viewers(MAIN.path).total, 0, "the main stream is not read");
        viewer.send(&play(Some(Quality::High), None)).await;
        gets(&mut viewer, Variant::Copy, VariantReason::Untouched, MAIN_SIZE).await;
    });
}

#[test]
fn high_quality_skips_on_a_slow_link_and_never_steps_down() {
    const BUSY: Mount = Mount { path: "main", kind: Kind::Busy, mark: Rgb(0xc0, 0x40, 0x20) };
    /// The rate of an unthrottled link, in kilobits per second.
    const PLENTY: f64 = 50_000.0;
    within(TEST, async || {
        let camera = Camera::start(&[BUSY, SUB]).await;
        let relay = relay(&camera, "").await;
        let mut viewer = Viewer::v1(&relay, "yard").await;
        viewer.send(&play(Some(Quality::High), Some(SUB_SIZE))).await;
        let mut slow = SlowViewer::new(viewer, PLENTY);
        slow.watch(Duration::from_secs(5)).await;
        let rate = relay.variant("yard", Variant::Copy).await.bit_rate.expect("it has run for seconds");
        slow.set_rate(rate as f64 / 1e3 * 0.4);
        slow.watch(Duration::from_secs(10)).await;
        assert_eq!(slow.variants(), [(Variant::Copy, VariantReason::Untouched)]);
        assert!(slow.gaps > 0, "a link of 40 % carries the main stream only with gaps");
        assert_eq!(camera.viewers(SUB.path).total, 0);
    });
}

/// The status of an offer of H.264, the variant of the answer, and its text.
async fn answer_of(relay: &Relay, path: &str) -> (u16, String, String) {
    let headers = [("Content-Type", "application/sdp")];
    let answer = http::send(relay.address(), "POST", path, &headers, offer(&["H264"]).into()).await.expect("an answer");
    (answer.status, answer.header("sightline-variant").to_owned(), answer.text())
}

#[test]
fn whep_and_hls_take_the_quality() {
    within(TEST, async || {
        let camera = Camera::start(&[MAIN, SUB]).await;
        let relay = relay(&camera, "").await;
        let low = relay.get("/hls/yard/index.m3u8?quality=low").await;
        assert_eq!(low.status, 200, "{}", low.text());
        let text = low.text();
        assert!(text.contains("low/media.m3u8") && text.contains("RESOLUTION=480x270"), "{text}");
        assert!(!text.contains("copy/"), "{text}");
        let mut peer = Peer::watch(&relay, "/whep/yard?quality=low", &[Codec::H264]).await;
        peer.run(SOON, |_, peer| peer.pictures.len() < 25).await;
        assert!(peer.pictures.len() >= 25, "{} frames of the sub stream", peer.pictures.len());
        assert_eq!(camera.viewers(MAIN.path).total, 0, "the main stream is not read");
        assert_eq!(answer_of(&relay, "/whep/yard?quality=low").await.1, "low");

        let mut peer = Peer::watch(&relay, "/whep/yard?codec=low&quality=high", &[Codec::H264]).await;
        peer.run(SOON, |_, peer| peer.pictures.len() < 25).await;
        assert!(peer.pictures.len() >= 25, "{} frames of the main stream", peer.pictures.len());
        assert_eq!(camera.viewers(MAIN.path).now, 1);
        assert_eq!(answer_of(&relay, "/whep/yard?quality=high").await.1, "copy");

        // A transcode is listed beside the main stream, unless the viewer chose.
        let relay = Setup::config(camera.config_with_low()).start().await;
        for (query, copy, low) in [("", true, true), ("?quality=high", true, false), ("?quality=low", false, true)] {
            let text = relay.get(&format!("/hls/main/index.m3u8{query}")).await.text();
            assert_eq!((text.contains("copy/"), text.contains("low/")), (copy, low), "{query}: {text}");
        }
    });
}

#[test]
fn stream_without_a_low_variant_plays_and_says_so() {
    within(TEST, async || {
        let camera = Camera::start(&[MAIN]).await;
        let relay = Setup::config(camera.config()).start().await;
        let mut viewer = Viewer::v1(&relay, "main").await;
        viewer.send(&play(Some(Quality::Low), Some(SUB_SIZE))).await;
        gets(&mut viewer, Variant::Copy, VariantReason::NoLow, MAIN_SIZE).await;
        viewer.send(&ClientMessage::Quality { quality: Quality::Auto }).await;
        is_told(&mut viewer, VariantReason::Untouched).await;
        viewer.send(&ClientMessage::Quality { quality: Quality::Low }).await;
        is_told(&mut viewer, VariantReason::NoLow).await;
        let sentence = VariantReason::NoLow.to_string();
        assert!(sentence.contains("`sub`") && sentence.contains("`ingest.low`"), "{sentence}");
        let text = relay.get("/hls/main/index.m3u8?quality=low").await.text();
        assert!(text.contains("copy/media.m3u8"), "{text}");
        assert_eq!(answer_of(&relay, "/whep/main?quality=low").await.1, "copy");
    });
}

#[test]
fn unknown_quality_is_refused_with_the_allowed_values() {
    within(TEST, async || {
        let camera = Camera::start(&[MAIN, SUB]).await;
        let relay = relay(&camera, "").await;
        let mut healthy = Viewer::playing(&relay, "yard", &PLAYS_H264).await;
        healthy.take_media(5, START).await;
        let healthy = healthy.watch();
        for v1 in [true, false] {
            let mut viewer = Viewer::with_query(&relay, "yard", v1, "quality=best").await;
            let (text, code, reason) = viewer.wait_closed(SOON).await;
            assert_eq!(code, Some(close::BAD_REQUEST), "{text}");
            assert!(text.contains(ALLOWED) && reason.contains(ALLOWED), "{text}, {reason}");
        }
        let mut viewer = Viewer::v1(&relay, "yard").await;
        viewer.send_text(r#"{"type":"play","codecs":[],"quality":"best"}"#).await;
        let (text, code, _) = viewer.wait_closed(SOON).await;
        assert_eq!(code, Some(close::BAD_REQUEST));
        assert!(["auto", "high", "low"].iter().all(|name| text.contains(name)), "{text}");
        let (status, _, text) = answer_of(&relay, "/whep/yard?quality=best").await;
        assert!(status == 400 && text.contains(ALLOWED), "{status}: {text}");
        let index = relay.get("/hls/yard/index.m3u8?quality=best").await;
        assert!(index.status == 400 && index.text().contains(ALLOWED), "{}: {}", index.status, index.text());
        let before = healthy.seen().fragments;
        until("the healthy viewer to play on", SOON, async || (healthy.seen().fragments > before + 10).then_some(()))
            .await;
        assert_eq!(healthy.seen().losses, Vec::<String>::new());
    });
}

mod browser {
    use super::*;

    /// The value of `Quality` in the statistics.
    const QUALITY: &str = "
        const names = [...document.querySelectorAll('.tile-statistics dt')];
        return names.find(name => name.textContent === 'Quality')?.nextElementSibling.textContent ?? '';
    ";
    /// When the connection was opened.
    const OPENED: &str = "return performance.getEntriesByName('sightline:yard:open')[0]?.startTime ?? null";
    const MOVING: (Duration, u64) = (Duration::from_secs(2), 20);

    /// Chooses the quality of the tile in the sidebar.
    async fn choose(browser: &Browser, quality: &str) {
        browser.click(&format!("select[aria-label='Quality of yard'] option[value='{quality}']")).await;
    }

    /// Waits until the tile plays this variant, and asserts that its frames move and are of this mount.
    async fn plays(browser: &Browser, variant: &str, mount: Mount) {
        let engine = browser.engine();
        let wanted = |tile: &Tile| tile.state == TileState::Live && tile.variant.as_deref() == Some(variant);
        browser.wait_for_tile("yard", &format!("{engine}: yard as {variant}"), START, wanted).await;
        let shown = async || browser.mark("yard").await.is_like(mount.mark).then_some(());
        until(&format!("{engine}: a frame of {}", mount.path), SOON, shown).await;
        browser.wait_moving("yard", MOVING.0, MOVING.1, START).await;
    }

    async fn says(browser: &Browser, quality: &str) {
        let said =
            async || browser.script(QUALITY, vec![]).await.as_str().is_some_and(|text| text == quality).then_some(());
        until(&format!("{}: the statistics to say {quality:?}", browser.engine()), SOON, said).await;
    }

    /// Auto, Low and High by the control of the tile, without a black frame.
    async fn switches(browser: &Browser) {
        plays(browser, "copy", MAIN).await;
        browser.watch_for_black("yard").await;
        choose(browser, "low").await;
        plays(browser, "low", SUB).await;
        choose(browser, "high").await;
        plays(browser, "copy", MAIN).await;
        browser.assert_never_black().await;
    }

    #[test]
    fn quality_of_a_tile_changes_in_place_without_a_black_frame() {
        within(Duration::from_secs(240), async || {
            let camera = Camera::start(&[MAIN, SUB]).await;
            let relay = relay(&camera, "").await;
            Browser::each(async |browser| {
                let engine = browser.engine();
                browser.resize(WALL).await;
                browser.open(&relay.url("/?protocol=mse&statistics")).await;
                browser.wait_live("yard", START).await;
                browser.key(&[], 'b').await;
                says(browser, "Auto · main").await;
                let scrolls =
                    browser.script("return document.scrollingElement.scrollHeight > innerHeight", vec![]).await;
                assert_eq!(scrolls, json!(false), "{engine}: a long sidebar scrolls by itself");
                let opened = browser.script(OPENED, vec![]).await;
                switches(browser).await;
                says(browser, "High · main").await;
                browser.screenshot(&format!("quality-{engine}")).await;
                assert_eq!(browser.script(OPENED, vec![]).await, opened, "{engine}: the same connection");
                // The setting persists. That of all streams does not replace it.
                browser.click(".chip:has([name=quality][value=low])").await;
                browser.reload().await;
                plays(browser, "copy", MAIN).await;
                choose(browser, "").await;
                plays(browser, "low", SUB).await;

                // The address prevails until the user selects.
                browser.open(&relay.url("/?protocol=mse&statistics&quality=high")).await;
                plays(browser, "copy", MAIN).await;
                browser.click(".chip:has([name=quality][value=low])").await;
                plays(browser, "low", SUB).await;
                says(browser, "Low").await;
            })
            .await;
        });
    }

    #[test]
    fn quality_is_followed_by_every_protocol() {
        within(Duration::from_secs(300), async || {
            let camera = Camera::start(&[MAIN, SUB]).await;
            let relay = relay(&camera, "").await;
            for (engine, protocol) in [
                (Engine::Chromium, "webcodecs"),
                (Engine::Chromium, "webrtc"),
                (Engine::Chromium, "hls"),
                (Engine::Firefox, "hls"),
            ] {
                let Some(browser) = Browser::start(engine).await else { continue };
                browser.resize(WALL).await;
                browser.open(&relay.url(&format!("/?protocol={protocol}&statistics"))).await;
                browser.wait_live("yard", START).await;
                // The browser stores that it is open.
                if browser.script("return !document.querySelector('.sidebar')", vec![]).await == json!(true) {
                    browser.key(&[], 'b').await;
                }
                switches(&browser).await;
                let by = browser.tile("yard").await.and_then(|tile| tile.protocol);
                assert_eq!(by.as_deref(), Some(protocol), "{engine}");
                browser.leave().await;
            }
        });
    }

    const DETAIL: &str = "return document.querySelector('sightline-player')?.detail ?? {}";

    #[test]
    fn attribute_of_an_embedded_player_sets_the_quality_in_place() {
        within(TEST, async || {
            let camera = Camera::start(&[MAIN, SUB]).await;
            let relay = relay(&camera, "").await;
            let Some(browser) = Browser::start(Engine::Chromium).await else { return };
            browser.open(&relay.url("/api/none")).await;
            let insert = "
                const player = document.createElement('sightline-player');
                for (const [name, value] of arguments[0]) player.setAttribute(name, value);
                document.body.append(player);
                import('/sightline-player.js');
            ";
            let attributes = json!([["stream", "yard"], ["protocol", "mse"], ["quality", "low"]]);
            browser.script(insert, vec![attributes]).await;
            let plays = async |variant: &str| {
                let detail = async || {
                    let detail = browser.script(DETAIL, vec![]).await;
                    (detail["state"] == "live" && detail["variant"] == variant).then_some(())
                };
                until(&format!("the element to play {variant}"), START, detail).await;
            };
            plays("low").await;
            browser.script("window.playing = document.querySelector('sightline-player').video", vec![]).await;
            browser.script("document.querySelector('sightline-player').setAttribute('quality', 'high')", vec![]).await;
            plays("copy").await;
            let same =
                browser.script("return document.querySelector('sightline-player').video === window.playing", vec![]);
            assert_eq!(same.await, json!(true), "the same player");
        });
    }
}

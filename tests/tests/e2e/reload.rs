//! Configuration reloads: streams are added, removed and changed, and unchanged streams are undisturbed.

use std::time::Duration;

use sightline_protocol::message::{ServerMessage, StreamState};
use sightline_tests::browser::{Browser, Engine, Rgb};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{until, within};
use sightline_tests::viewer::{BackgroundViewer, Event, PLAYS_BOTH, Viewer};

const STAYS: Mount = Mount { path: "stays", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const GOES: Mount = Mount { path: "goes", kind: Kind::H264, mark: Rgb(0xc0, 0x40, 0x20) };
const COMES: Mount = Mount { path: "comes", kind: Kind::H265, mark: Rgb(0x20, 0xa0, 0x40) };

const TEST: Duration = Duration::from_secs(120);
const START: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(10);

async fn watch(relay: &Relay, stream: &str) -> BackgroundViewer {
    let viewer = Viewer::playing(relay, stream, &PLAYS_BOTH).await.watch();
    until("a viewer's first fragments", START, async || (viewer.seen().fragments > 5).then_some(())).await;
    viewer
}

async fn lists(relay: &Relay, expected: &[&str]) {
    let listed = async || {
        let catalogue = relay.catalogue().await;
        let names: Vec<_> = catalogue.streams.iter().map(|stream| stream.name.as_str()).collect();
        (names == expected).then_some(())
    };
    until(&format!("the catalogue to list {expected:?}"), SOON, listed).await;
}

#[test]
fn reload_changes_streams_without_disturbing_others() {
    within(TEST, async || {
        let camera = Camera::shared(&[STAYS, GOES, COMES]).await;
        let mut relay = Setup::config(camera.config_of_by_ffmpeg([STAYS.path, GOES.path])).start().await;
        let stays = watch(&relay, STAYS.path).await;
        let mut goes = Viewer::playing(&relay, GOES.path, &PLAYS_BOTH).await;
        goes.wait_ready(START).await;
        let reader = relay.readers(&camera.url(STAYS.path));

        // One stream is removed, one added, in another order.
        relay.reload(&camera.config_of_by_ffmpeg([COMES.path, STAYS.path]));
        lists(&relay, &[COMES.path, STAYS.path]).await;
        let gone = |event: &Event| match event {
            Event::Message(ServerMessage::State(StreamState::Offline { message, .. })) => Some(message.clone()),
            _ => None,
        };
        let message = goes.wait_for("the removed stream's viewer to receive Offline", SOON, gone).await;
        assert!(message.contains("no longer"), "{message}");
        let comes = watch(&relay, COMES.path).await;
        let left = async || relay.readers(&camera.url(GOES.path)).is_empty().then_some(());
        until("the removed stream's reader to stop", SOON, left).await;
        assert_eq!(relay.get("/hls/goes/index.m3u8").await.status, 404);
        assert_eq!(relay.get("/hls/comes/index.m3u8").await.status, 200);

        // Another source under the same name: its viewer receives it next.
        let epoch = comes.seen().ready.expect("it plays").epoch;
        let swapped = camera
            .config_of_by_ffmpeg([COMES.path, STAYS.path])
            .replace(&camera.url(COMES.path), &camera.url(GOES.path));
        relay.reload(&swapped);
        let other = async || {
            let ready = comes.seen().ready.filter(|ready| ready.epoch != epoch)?;
            ready.tracks.iter().any(|track| track.mime.contains("avc1")).then_some(())
        };
        until("the other source to be seen", START, other).await;

        // An invalid configuration changes nothing and is reported.
        relay.reload("[streams.\"a//b\"]\nsource = \"rtsp://h/x\"\n");
        until("the mistake to be logged", SOON, async || {
            relay.log().contains("the current configuration stays").then_some(())
        })
        .await;
        lists(&relay, &[COMES.path, STAYS.path]).await;

        assert!(stays.seen().losses.is_empty(), "{:?}", stays.seen().losses);
        let pids =
            |processes: &[sightline_tests::process::Process]| processes.iter().map(|p| p.pid).collect::<Vec<_>>();
        assert_eq!(pids(&relay.readers(&camera.url(STAYS.path))), pids(&reader), "its FFmpeg runs on");
    });
}

#[test]
fn reload_applies_new_limits_without_closing_viewers() {
    within(TEST, async || {
        let camera = Camera::shared(&[STAYS]).await;
        let config = |limit: usize| format!("{}\n[limits]\nviewers = {limit}\n", camera.config());
        let mut relay = Setup::config(config(1)).start().await;
        let first = watch(&relay, STAYS.path).await;
        let refused = async |relay: &Relay, limit: &str| {
            let mut viewer = Viewer::playing(relay, STAYS.path, &PLAYS_BOTH).await;
            let (message, code, _) = viewer.wait_closed(SOON).await;
            assert!(code == Some(4429) && message.contains(limit), "{code:?} {message}");
        };
        refused(&relay, "limits.viewers allows (1)").await;
        relay.reload(&config(2));
        until("the new limits", SOON, async || relay.log().contains("streams, limits and credentials").then_some(()))
            .await;
        let second = watch(&relay, STAYS.path).await;
        refused(&relay, "limits.viewers allows (2)").await;

        // A lower limit disconnects no viewer.
        relay.reload(&config(1));
        until("the old limits", SOON, async || {
            (relay.log().matches("streams, limits and credentials").count() == 2).then_some(())
        })
        .await;
        refused(&relay, "limits.viewers allows (1)").await;
        for viewer in [first, second] {
            let seen = viewer.seen().fragments;
            until("them to watch on", SOON, async || (viewer.seen().fragments > seen + 10).then_some(())).await;
            assert!(viewer.seen().losses.is_empty(), "{:?}", viewer.seen().losses);
        }
    });
}

#[test]
fn reload_names_changed_keys_that_need_a_restart_and_no_others() {
    within(TEST, async || {
        let camera = Camera::shared(&[STAYS]).await;
        let config = |more: &str| format!("{more}{}", camera.config());
        let mut relay = Setup::config(config("")).start().await;
        let reloads = async |relay: &Relay, count: usize| {
            let done = async || (relay.log().matches("are in force").count() == count).then_some(());
            until(&format!("reload {count}"), SOON, done).await;
        };
        // --listen overrides the key, also at a reload.
        relay.reload(&config("listen = \":1\"\n"));
        reloads(&relay, 1).await;
        relay.reload(&config("access_log = true\nallowed_hosts = [\"cams.example.org\"]\n"));
        reloads(&relay, 2).await;
        let named = async || relay.log().contains("allowed_hosts, access_log").then_some(());
        until("the keys to be named", SOON, named).await;
        assert_eq!(relay.log().matches("need a restart").count(), 1, "{}", relay.log());
    });
}

mod one_browser {
    use super::*;

    #[test]
    fn page_follows_streams_after_reload() {
        within(TEST, async || {
            let camera = Camera::shared(&[STAYS, GOES, COMES]).await;
            let mut relay = Setup::config(camera.config_of([STAYS.path, GOES.path])).start().await;
            let Some(browser) = Browser::start(Engine::Chromium).await else { return };
            browser.open(&relay.url("/")).await;
            browser.wait_live(STAYS.path, START).await;
            browser.wait_live(GOES.path, START).await;
            let titled = camera
                .config_of([STAYS.path, COMES.path])
                .replace("[streams.comes]", "[streams.comes]\ntitle = \"Süd 2\"");
            relay.reload(&titled);
            browser.wait_live(COMES.path, START).await;
            let shown = async || browser.text().await.contains("Süd 2").then_some(());
            until("the title to be shown", START, shown).await;
            let gone = async || browser.tile(GOES.path).await.is_none().then_some(());
            until("the removed stream's tile to disappear", START, gone).await;
            let mark = browser.mark(COMES.path).await;
            assert!(mark.is_like(COMES.mark), "{mark}");
        });
    }
}

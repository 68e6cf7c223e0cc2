//! The steps of docs/quick-start.md as a new user takes them, with nginx in the tunnel's place and a window of a phone's size.

use std::time::Duration;

use sightline_tests::browser::{Browser, Engine, Rgb};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::nginx::Nginx;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{until, within};

const MAIN: Mount = Mount { path: "stream1", kind: Kind::Sized(1280, 720), mark: Rgb(0x20, 0x40, 0xc0) };
const SUB: Mount = Mount { path: "stream2", kind: Kind::Sized(320, 180), mark: Rgb(0xc0, 0x40, 0x20) };

const STEPS: &str = include_str!("../../../../../docs/quick-start.md");
const PROXIES: &str = include_str!("../../../../../docs/proxies.md");

const TEST: Duration = Duration::from_secs(120);
const CHECK: Duration = Duration::from_secs(30);
const START: Duration = Duration::from_secs(20);
const MOVING: Duration = Duration::from_secs(1);
/// 5 of 25 frames per second prove moving video, on a busy machine.
const FRAMES: u64 = 5;
const PHONE: (u32, u32) = (390, 844);
const PASSWORD: &str = "three words long";

/// The documented sections of one camera, with the addresses of `camera`.
fn documented(camera: &Camera) -> String {
    let block = STEPS.split_once("```toml\n").and_then(|(_, rest)| rest.split_once("```"));
    let (block, _) = block.expect("docs/quick-start.md has a camera");
    [MAIN, SUB].iter().fold(block.to_owned(), |text, mount| {
        let address = format!("rtsp://admin:PASSWORD@192.0.2.10:554/{}", mount.path);
        assert_eq!(text.matches(&address).count(), 1, "{address} in\n{text}");
        text.replace(&address, &camera.url(mount.path))
    })
}

/// The documented directives of nginx for a host name of its own.
fn proxied(relay: &Relay) -> String {
    let block = PROXIES.split_once("```nginx\n").and_then(|(_, rest)| rest.split_once("```"));
    let (block, _) = block.expect("docs/proxies.md has directives for nginx");
    block.replace("http://127.0.0.1:8080/", &relay.url("/")).replace("location /cams/", "location /")
}

#[test]
fn documented_steps_show_a_camera_on_a_phone() {
    within(TEST, async || {
        let camera = Camera::shared(&[MAIN, SUB]).await;
        let setup = Setup::bare().file("sightline.toml", documented(camera));
        let (status, table) = setup.clone().run("check", CHECK).await;
        assert!(status.success() && table.contains("1280x720") && table.contains("320x180"), "{table}");

        let relay = setup.env("SIGHTLINE_PASSWORD", PASSWORD).start().await;
        let Some(nginx) = Nginx::start(&proxied(&relay)).await else { return };
        let Some(browser) = Browser::start(Engine::Chromium).await else { return };
        browser.resize(PHONE).await;
        browser.open(&nginx.url("/")).await;
        let form = async || {
            let shown = browser.script("return !!document.querySelector('[type=password]')", vec![]).await;
            shown.as_bool().filter(|shown| *shown)
        };
        until("the login form", START, form).await;
        let submit =
            "document.querySelector('[type=password]').value = arguments[0]; document.querySelector('button').click()";
        browser.script(submit, vec![PASSWORD.into()]).await;
        browser.wait_live("yard", START).await;
        browser.wait_moving("yard", MOVING, FRAMES, START).await;
        let mark = browser.mark("yard").await;
        assert!(mark.is_like(MAIN.mark) || mark.is_like(SUB.mark), "{mark} is shown");
        let text = browser.text().await;
        assert!(text.contains("Yard") && !text.contains("yard"), "the title is shown, and not the name: {text}");
    });
}

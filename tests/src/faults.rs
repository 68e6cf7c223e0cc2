//! What happens to viewers, and the time in which each has to heal by itself, in the page that is open. What is measured is
//! the picture: from the fault until it is fresh again, by the clock that the camera burns into it, and stays so.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::browser::{Browser, Rgb, Watch};
use crate::camera::{Camera, Kind, Mount};
use crate::relay::{Relay, Setup};
use crate::road::Road;
use crate::run::say;

const CAM: Mount = Mount { path: "cam", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const LIVE: Duration = Duration::from_secs(30);
/// A picture is fresh that is not older than this, nor stands still for longer.
const FRESH_MS: f64 = 1000.0;
/// It is healed when it has been fresh for so long.
const STAYS: Duration = Duration::from_millis(1500);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(300);

/// What is done to the viewer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// The connection ends in the middle of a message.
    Cut,
    /// It is reset.
    Reset,
    /// It stays open and nothing comes any more: what a changed network or a restarted tunnel leaves behind.
    HalfOpen,
    /// Nothing moves for three seconds, and then everything that has gathered.
    Stall,
    /// The relay is out of reach for three seconds.
    Unreachable,
    /// Bytes are damaged on the way.
    Garbled,
    /// The browser takes the MediaSource away.
    Reclaimed,
    /// Something moves the playhead to where nothing is.
    Seeked,
    /// Something pauses the video.
    Paused,
    /// The relay is killed and started again.
    RelayRestarted,
    /// The camera's timestamps jump by so many seconds.
    Jump(f64),
    /// The camera comes back with another size.
    Resized,
    /// The camera comes back with another codec.
    OtherCodec,
}

/// Each with the time in which the picture has to be fresh again, from the fault on.
pub const FAULTS: [(Fault, u64); 14] = [
    (Fault::Cut, 3),
    (Fault::Reset, 3),
    (Fault::HalfOpen, 10),
    (Fault::Stall, 6),
    (Fault::Unreachable, 8),
    (Fault::Garbled, 6),
    (Fault::Reclaimed, 4),
    (Fault::Seeked, 4),
    (Fault::Paused, 3),
    (Fault::RelayRestarted, 8),
    (Fault::Jump(100.0), 8),
    (Fault::Jump(-100.0), 12),
    (Fault::Resized, 15),
    (Fault::OtherCodec, 15),
];

/// How a fault went.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// What was done.
    pub fault: Fault,
    /// In what time the picture has to be fresh again.
    pub limit: Duration,
    /// In what time it was; none where that took too long.
    pub healed: Option<Duration>,
}

struct Scene {
    camera: Camera,
    relay: Relay,
    road: Road,
}

/// Does all of [`FAULTS`] to a browser, one after the other, in one page.
///
/// # Panics
/// When there is no picture to begin with, or the page is loaded anew.
pub async fn strike_all(browser: &Browser) -> Vec<Outcome> {
    let engine = browser.engine();
    let camera = Camera::start(&[CAM]).await;
    let relay = Setup::config(camera.config()).start().await;
    let mut scene = Scene { road: Road::to(relay.address()).await, camera, relay };
    browser.open(&scene.road.url("/?stream=cam")).await;
    browser.script("window.kept = true", vec![]).await;
    browser.wait_live("cam", LIVE).await;
    let mut outcomes = Vec::new();
    for (fault, limit) in FAULTS {
        let limit = Duration::from_secs(limit);
        let mut watch = browser.open_eye("cam").await;
        sleep(Duration::from_millis(500)).await;
        let begun = watch_now(browser, &mut watch).await;
        scene.strike(fault, browser).await;
        let healed = healed(browser, &mut watch, begun, limit).await;
        if healed.is_none() {
            say(&format!("{engine}: {fault:?} is not healed: {:?}", browser.tile("cam").await));
        }
        outcomes.push(Outcome { fault, limit, healed: healed.map(|ms| Duration::from_secs_f64(ms.max(0.0) / 1e3)) });
    }
    assert_eq!(browser.script("return window.kept", vec![]).await, true, "{engine}: the page was loaded anew");
    outcomes
}

/// The time by the page's clock.
async fn watch_now(browser: &Browser, watch: &mut Watch) -> f64 {
    browser.collect(watch).await;
    watch.until
}

/// How long after `begun` the picture was fresh again, in ms, and stayed so.
async fn healed(browser: &Browser, watch: &mut Watch, begun: f64, limit: Duration) -> Option<f64> {
    let deadline = Instant::now() + limit + STAYS;
    loop {
        sleep(LOOK).await;
        let now = watch_now(browser, watch).await;
        let fresh = watch.fresh_since(begun, FRESH_MS);
        // Faults take a moment to show: a picture that has been fresh all the while proves nothing yet.
        let shown = now - begun > FRESH_MS + STAYS.as_secs_f64() * 1e3;
        match fresh {
            Some(fresh) if shown && now - fresh >= STAYS.as_secs_f64() * 1e3 => return Some(fresh - begun),
            _ if Instant::now() > deadline => return None,
            _ => {}
        }
    }
}

impl Scene {
    async fn strike(&mut self, fault: Fault, browser: &Browser) {
        match fault {
            Fault::Cut => self.road.cut(),
            Fault::Reset => self.road.reset(),
            Fault::HalfOpen => self.road.strand(),
            Fault::Stall => {
                self.road.stall(true);
                sleep(Duration::from_secs(3)).await;
                self.road.stall(false);
            }
            Fault::Unreachable => {
                self.road.refuse(true);
                self.road.cut();
                sleep(Duration::from_secs(3)).await;
                self.road.refuse(false);
            }
            Fault::Garbled => self.road.garble(),
            Fault::Reclaimed => self.page(browser, "video.removeAttribute('src'); video.load()").await,
            Fault::Seeked => self.page(browser, "video.currentTime = 0").await,
            Fault::Paused => self.page(browser, "video.pause()").await,
            Fault::RelayRestarted => {
                self.relay.end(Signal::KILL, Duration::from_secs(5)).await;
                self.relay.restart().await;
            }
            Fault::Jump(seconds) => self.camera.jump("cam", seconds).await,
            Fault::Resized => {
                self.camera.change("cam", Kind::Sized(480, 270));
                self.camera.restart().await;
            }
            Fault::OtherCodec => {
                self.camera.change("cam", Kind::H265);
                self.camera.restart().await;
            }
        }
    }

    async fn page(&self, browser: &Browser, script: &str) {
        browser.script(&format!("const video = document.querySelector('video'); {script}"), vec![]).await;
    }
}

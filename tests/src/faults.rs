//! Faults of a viewer's connection, page, relay and camera, with the time limit for recovery in the open page. The measured
//! time runs from the fault until the video is fresh and stays so, by the camera's clock in the frames.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::browser::{Browser, Rgb, Watch};
use crate::camera::{Camera, Kind, Mount};
use crate::impaired_link::ImpairedLink;
use crate::relay::{Relay, Setup};
use crate::run::say;

const CAM: Mount = Mount { path: "cam", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const LIVE: Duration = Duration::from_secs(30);
/// The limit of a fresh video: no frame is older, and no interval between frames is longer.
const FRESH_MS: f64 = 1000.0;
/// The video has recovered after being fresh for this time.
const STAYS: Duration = Duration::from_millis(1500);
/// The polling interval.
const LOOK: Duration = Duration::from_millis(300);

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// The connection ends in the middle of a message.
    Cut,
    /// The connection is reset.
    Reset,
    /// The connection stays open but carries nothing, as after a change of network or a restart of a tunnel.
    HalfOpen,
    /// The link forwards nothing for three seconds, then everything that has accumulated.
    Stall,
    /// The relay is unreachable for three seconds.
    Unreachable,
    /// Bytes are corrupted in transit.
    Garbled,
    /// The browser detaches the MediaSource.
    Reclaimed,
    /// A script seeks to an unbuffered position.
    Seeked,
    /// A script pauses the video.
    Paused,
    /// The relay is killed and started again.
    RelayRestarted,
    /// The camera's timestamps jump by this many seconds.
    Jump(f64),
    /// The camera restarts with another frame size.
    Resized,
    /// The camera restarts with another codec.
    OtherCodec,
}

/// Each fault with its time limit for recovery in seconds, from the fault on.
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

/// The result of a fault.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// The fault.
    pub fault: Fault,
    /// The time limit for recovery.
    pub limit: Duration,
    /// The recovery time. None if the video did not recover within the limit.
    pub healed: Option<Duration>,
}

struct Scene {
    camera: Camera,
    relay: Relay,
    link: ImpairedLink,
}

/// Applies all of [`FAULTS`] to a browser, one after the other, in one page.
///
/// # Panics
/// When there is no video at the start, or the page is reloaded.
pub async fn strike_all(browser: &Browser) -> Vec<Outcome> {
    let engine = browser.engine();
    let camera = Camera::start(&[CAM]).await;
    let relay = Setup::config(camera.config_with_low()).start().await;
    let mut scene = Scene { link: ImpairedLink::to(relay.address()).await, camera, relay };
    browser.open(&scene.link.url("/?stream=cam")).await;
    browser.script("window.kept = true", vec![]).await;
    browser.wait_live("cam", LIVE).await;
    let mut outcomes = Vec::new();
    for (fault, limit) in FAULTS {
        let limit = Duration::from_secs(limit);
        let mut watch = browser.open_latency_probe("cam").await;
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

/// The current time by the page's clock.
async fn watch_now(browser: &Browser, watch: &mut Watch) -> f64 {
    browser.collect(watch).await;
    watch.until
}

/// The time in ms from `begun` until the video was fresh again and stayed so.
async fn healed(browser: &Browser, watch: &mut Watch, begun: f64, limit: Duration) -> Option<f64> {
    let deadline = Instant::now() + limit + STAYS;
    loop {
        sleep(LOOK).await;
        let now = watch_now(browser, watch).await;
        let fresh = watch.fresh_since(begun, FRESH_MS);
        // A fault takes effect with a delay: a video that has been fresh without a break proves nothing yet.
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
            Fault::Cut => self.link.cut(),
            Fault::Reset => self.link.reset(),
            Fault::HalfOpen => self.link.strand(),
            Fault::Stall => {
                self.link.stall(true);
                sleep(Duration::from_secs(3)).await;
                self.link.stall(false);
            }
            Fault::Unreachable => {
                self.link.refuse(true);
                self.link.cut();
                sleep(Duration::from_secs(3)).await;
                self.link.refuse(false);
            }
            Fault::Garbled => self.link.garble(),
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

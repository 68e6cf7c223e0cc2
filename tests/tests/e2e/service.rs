//! The messages that a service manager gets (sd_notify(3)).

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::relay::Setup;
use sightline_tests::run::{until, within};

const CAM: Mount = Mount { path: "cam", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const TEST: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(10);
/// The interval in which the service manager expects a sign of life.
const WATCHDOG: Duration = Duration::from_millis(400);

/// The lines of the next message that is no sign of life, and the signs of life before it.
fn next(manager: &UnixDatagram) -> (Vec<String>, usize) {
    let mut alive = 0;
    loop {
        let mut message = [0; 1024];
        let length = manager.recv(&mut message).expect("a message in time");
        let lines: Vec<_> = String::from_utf8_lossy(&message[..length]).lines().map(str::to_owned).collect();
        if lines != ["WATCHDOG=1"] {
            return (lines, alive);
        }
        alive += 1;
    }
}

#[test]
fn service_manager_learns_of_start_reload_stop_and_life() {
    within(TEST, async || {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("a socket");
        manager.set_read_timeout(Some(SOON)).expect("a time limit");
        let camera = Camera::shared(&[CAM]).await;
        let setup = Setup::config(camera.config()).env("NOTIFY_SOCKET", path.to_str().expect("UTF-8"));
        let mut relay = setup.env("WATCHDOG_USEC", &WATCHDOG.as_micros().to_string()).start().await;
        assert_eq!(next(&manager).0, ["READY=1"]);

        let begun = Instant::now();
        let mut message = [0; 64];
        for _ in 0..10 {
            let length = manager.recv(&mut message).expect("a sign of life");
            assert_eq!(&message[..length], b"WATCHDOG=1\n");
        }
        assert!(begun.elapsed() < WATCHDOG * 10, "{:?}", begun.elapsed());

        relay.reload(&camera.config());
        let (lines, _) = next(&manager);
        assert!(lines[0] == "RELOADING=1" && lines[1].starts_with("MONOTONIC_USEC="), "{lines:?}");
        assert_eq!(next(&manager).0, ["READY=1"]);
        // The log is read in a thread of its own.
        let logged = async || relay.log().contains("are in force").then_some(());
        until("the change to be in force", SOON, logged).await;
        relay.reload("nonsense = 1");
        assert_eq!((next(&manager).0[0].as_str(), next(&manager).0[0].as_str()), ("RELOADING=1", "READY=1"));

        relay.end(rustix::process::Signal::TERM, SOON).await;
        assert_eq!(next(&manager).0, ["STOPPING=1"]);
    });
}

//! `sightline check`: the media of a configuration's sources, before any viewer watches.

use std::time::Duration;

use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::relay::Setup;
use sightline_tests::run::{until, within};

const H265: Mount = Mount { path: "yard", kind: Kind::H265, mark: Rgb(0x20, 0x40, 0xc0) };
const SOUND: Mount = Mount { path: "door", kind: Kind::WithAac, mark: Rgb(0xc0, 0x40, 0x20) };
const B_FRAMES: Mount = Mount { path: "roof", kind: Kind::BFrames, mark: Rgb(0x20, 0xa0, 0x40) };

const TEST: Duration = Duration::from_secs(90);
const CHECK: Duration = Duration::from_secs(30);
const GONE: Duration = Duration::from_secs(5);

#[test]
fn check_lists_each_source_and_its_fault() {
    within(TEST, async || {
        let camera = Camera::start(&[H265, SOUND, B_FRAMES]).await;
        let (status, table) = Setup::config(camera.config()).run("check", CHECK).await;
        assert!(status.success(), "{status}: {table}");
        let line = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{table}"));
        for (name, words) in [
            ("yard", &["ok", "hvc1.1.6.", "640x360"][..]),
            ("door", &["ok", "avc1.", "640x360", "AAC, 48000 Hz"]),
            ("roof", &["ok", "avc1."]),
        ] {
            assert!(words.iter().all(|word| line(name).contains(word)), "{name}: {words:?} in\n{table}");
        }
        assert!(table.contains("B-frames"), "{table}");
        // The relay itself, and FFmpeg after it where the camera has B-frames.
        for (mount, connections) in [(H265, 1), (SOUND, 1), (B_FRAMES, 2)] {
            let left = async || (camera.viewers(mount.path).now == 0).then_some(());
            until("the check to leave the camera", GONE, left).await;
            assert_eq!(camera.viewers(mount.path).total, connections, "{}", mount.path);
        }
    });
}

#[test]
fn failed_check_hides_the_password() {
    within(TEST, async || {
        let camera = Camera::start(&[H265]).await;
        let config = format!("{}[streams.gone]\nsource = \"rtsp://viewer:S3cret@127.0.0.1:9/x\"\n", camera.config());
        let (status, table) = Setup::config(config).run("check", CHECK).await;
        assert_eq!(status.code(), Some(1), "{table}");
        assert!(table.contains("1 of 2 sources") && table.contains("cannot be reached"), "{table}");
        assert!(!table.contains("S3cret"), "{table}");
    });
}

//! Faults of the environment: each results in one sentence that names the fault and the remedy, on the wire, in the API, in the
//! page or at the start. All other streams continue to play.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use sightline_protocol::message::{OfflineReason, ServerMessage, StreamState, VariantReason};
use sightline_protocol::stream::{Variant, VariantChoice};
use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind, Login, Mount};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{until, within};
use sightline_tests::viewer::{BackgroundViewer, Event, PLAYS_BOTH, PLAYS_H264, Viewer};

const GOOD: Mount = Mount { path: "good", kind: Kind::H264, mark: Rgb(0x20, 0xa0, 0x40) };
const AUDIO: Mount = Mount { path: "audio", kind: Kind::AudioOnly, mark: Rgb(0, 0, 0) };
const BFRAMES: Mount = Mount { path: "bframes", kind: Kind::BFrames, mark: Rgb(0xa0, 0x20, 0xa0) };

const TEST: Duration = Duration::from_secs(120);
const START: Duration = Duration::from_secs(30);

/// A relay with a watched healthy stream and with faulty streams.
struct Scene {
    _camera: &'static Camera,
    relay: Relay,
    healthy: BackgroundViewer,
}

impl Scene {
    /// `streams` is appended to the configuration.
    async fn open(streams: &str) -> Self {
        let camera = Camera::shared(&[GOOD, AUDIO, BFRAMES]).await;
        let config = format!("{}{}", camera.config(), streams.replace("{camera}", &camera.url("")));
        // The most verbose log level: a password must not be in that either.
        let relay = Setup::config(config).env("RUST_LOG", "trace").start().await;
        let healthy = Viewer::playing(&relay, GOOD.path, &PLAYS_BOTH).await.watch();
        until("the healthy stream", START, async || (healthy.seen().fragments > 5).then_some(())).await;
        Self { _camera: camera, relay, healthy }
    }

    /// Asserts that a stream is offline for this reason, with one sentence that contains these words, on the wire and in the
    /// API. Returns the sentence.
    async fn is_offline(&self, stream: &str, reason: OfflineReason, words: &[&str]) -> String {
        let mut viewer = Viewer::playing(&self.relay, stream, &PLAYS_BOTH).await;
        let offline = |event: &Event| match event {
            Event::Message(ServerMessage::State(StreamState::Offline { reason, message, .. })) => {
                Some((*reason, message.clone()))
            }
            _ => None,
        };
        let (told, message) = viewer.wait_for(&format!("{stream} to be offline"), START, offline).await;
        assert_eq!(told, reason, "{stream}: {message}");
        for word in words {
            assert!(message.contains(word), "{stream}: {message:?} does not say {word:?}");
        }
        let in_api = async || match self.relay.stream(stream).await.state {
            StreamState::Offline { reason: told, message: text, .. } => Some((told, text)),
            _ => None,
        };
        assert_eq!(until("the API to say the same", START, in_api).await, (reason, message.clone()));

        // A viewer of the stream's transcode receives the same reason.
        let mut transcoded = Viewer::playing(&self.relay, stream, &PLAYS_H264).await;
        let (told, _) = transcoded.wait_for("a viewer of H.264 to be told", START, offline).await;
        assert_eq!(told, reason);

        self.plays_on().await;
        message
    }

    /// Asserts that the healthy stream lost nothing and continues.
    async fn plays_on(&self) {
        let before = self.healthy.seen().fragments;
        let more = async || (self.healthy.seen().fragments >= before + 10).then_some(());
        until("the healthy stream to play on", Duration::from_secs(3), more).await;
        assert_eq!(self.healthy.seen().losses, Vec::<String>::new());
    }
}

#[test]
fn unreachable_camera_is_offline_with_a_reason() {
    within(TEST, async || {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let scene = Scene::open(&format!("[streams.bad]\nsource = \"rtsp://{closed}/x\"\n")).await;
        scene.is_offline("bad", OfflineReason::Unreachable, &["reach", "check"]).await;
    });
}

#[test]
fn wrong_credentials_are_reported_without_the_password() {
    within(TEST, async || {
        let locked = Camera::start_with(&[GOOD], Some(Login { user: "viewer", password: "right" })).await;
        let url = locked.url("good").replace("127.0.0.1", "viewer:Wr0ng%2dS3cret@127.0.0.1");
        let scene = Scene::open(&format!("[streams.bad]\nsource = \"{url}\"\n")).await;
        scene.is_offline("bad", OfflineReason::Unauthorized, &["password", "configuration"]).await;

        // The log is the one that would hold it.
        scene.relay.wait_for_log("401", 1).await;
        let mut shown = vec![("log", scene.relay.log())];
        for path in ["/api/streams", "/api/mse/test", "/", "/healthz", "/metrics"] {
            shown.push((path, scene.relay.get(path).await.text()));
        }
        for (place, text) in shown {
            assert!(!text.contains("Wr0ng") && !text.contains("S3cret"), "the password is in the {place}:\n{text}");
        }
    });
}

#[test]
fn right_credentials_play() {
    within(TEST, async || {
        let locked = Camera::start_with(&[GOOD], Some(Login { user: "viewer", password: "right" })).await;
        let url = locked.url("good").replace("127.0.0.1", "viewer:right@127.0.0.1");
        let scene = Scene::open(&format!("[streams.locked]\nsource = \"{url}\"\n")).await;
        let mut viewer = Viewer::playing(&scene.relay, "locked", &PLAYS_BOTH).await;
        viewer.take_media(10, START).await;
    });
}

#[test]
fn unknown_camera_path_is_offline_with_a_reason() {
    within(TEST, async || {
        let scene = Scene::open("[streams.bad]\nsource = \"{camera}nowhere\"\n").await;
        scene.is_offline("bad", OfflineReason::NotFound, &["path", "configuration"]).await;
    });
}

#[test]
fn source_without_video_is_offline_with_a_reason() {
    within(TEST, async || {
        let scene = Scene::open("").await;
        scene.is_offline("audio", OfflineReason::NoVideo, &["video"]).await;
    });
}

#[test]
fn b_frames_are_transcoded_and_reported() {
    within(TEST, async || {
        let scene = Scene::open("").await;
        let mut viewer = Viewer::playing(&scene.relay, BFRAMES.path, &PLAYS_BOTH).await;
        let transcoded = |event: &Event| match event {
            Event::Message(ServerMessage::Ready(ready)) if ready.variant == Variant::H264 => Some(ready.why),
            _ => None,
        };
        assert_eq!(viewer.wait_for("H.264 without B-frames", START, transcoded).await, VariantReason::BFrames);
        viewer.take_media(30, START).await;
        let _watching = viewer.watch();

        // The relay knows about the B-frames now, so it selects the transcode at once.
        let mut second = Viewer::playing(&scene.relay, BFRAMES.path, &PLAYS_BOTH).await;
        let ready = second.wait_ready(START).await;
        assert_eq!((ready.variant, ready.why), (Variant::H264, VariantReason::BFrames));
        let mut asked = Viewer::v1(&scene.relay, BFRAMES.path).await;
        asked.play(&PLAYS_BOTH, VariantChoice::Copy).await;
        let ready = asked.wait_ready(START).await;
        assert_eq!((ready.variant, ready.why), (Variant::Copy, VariantReason::Requested));

        let info = scene.relay.stream(BFRAMES.path).await;
        assert_eq!(info.b_frames, Some(true));
        assert!(info.notes.iter().any(|note| note.contains("B-frames")), "{:?}", info.notes);
        assert_eq!(scene.relay.stream(GOOD.path).await.b_frames, Some(false));
        scene.plays_on().await;
    });
}

/// Asserts that the relay does not start and prints one line with these words.
async fn refuses(setup: Setup, words: &[&str]) {
    let (status, output) = setup.refusal().await;
    assert!(!status.success(), "it started: {output}");
    // Ignores earlier log lines.
    let complaint: Vec<_> = output.lines().filter(|line| !line.is_empty() && !line.contains(" INFO ")).collect();
    assert_eq!(complaint.len(), 1, "one line:\n{output}");
    for word in words {
        assert!(output.contains(word), "{output:?} does not say {word:?}");
    }
}

const STREAM: &str = "[streams.cam0]\nsource = \"rtsp://viewer:S3cret@127.0.0.1:1/x\"\n";

#[test]
fn missing_or_old_ffmpeg_refuses_the_start() {
    within(TEST, async || {
        let config = |path: &str| Setup::config(format!("ffmpeg = \"{path}\"\n{STREAM}"));
        refuses(config("/nonexistent/ffmpeg"), &["/nonexistent/ffmpeg", "install"]).await;
        refuses(config("/bin/true"), &["/bin/true", "FFmpeg"]).await;
        let folder = tempfile::tempdir().unwrap();
        let old = folder.path().join("ffmpeg");
        std::fs::write(&old, "#!/bin/sh\necho ffmpeg version 3.4.8 Copyright\n").unwrap();
        std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).unwrap();
        let old = old.to_string_lossy();
        refuses(config(&old), &[&old, "3.4.8", "5.1"]).await;
    });
}

#[test]
fn configuration_errors_name_line_and_key() {
    within(TEST, async || {
        refuses(Setup::config(format!("lisen = \"127.0.0.1:0\"\n{STREAM}")), &["line 1", "lisen"]).await;
        refuses(Setup::config(format!("{STREAM}sorce = \"x\"\n")), &["line 3", "sorce"]).await;
        refuses(Setup::config("[streams.\"a//b\"]\nsource = \"rtsp://h/x\"\n"), &["a//b", "single"]).await;
        refuses(Setup::config("[streams.cam0]\nsource = 7\n"), &["line 2"]).await;
        refuses(Setup::config("[streams.cam0]\n"), &["source"]).await;
        refuses(Setup::config(""), &["stream"]).await;
        // The error message does not quote a password that is near the mistake.
        let (status, output) = Setup::config(format!("{STREAM}oops\n")).refusal().await;
        assert!(!status.success() && !output.contains("S3cret"), "{output}");
    });
}

#[test]
fn taken_port_refuses_the_start() {
    within(TEST, async || {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let setup = Setup::config(STREAM).listen(address);
        refuses(setup, &[&address.to_string(), "--listen"]).await;
    });
}

mod browser {
    use sightline_tests::browser::{Browser, Tile, TileState, WALL};

    use super::*;

    #[test]
    fn page_names_an_unknown_stream() {
        within(TEST, async || {
            let scene = Scene::open("").await;
            Browser::each(async |browser| {
                let engine = browser.engine();
                browser.resize(WALL).await;
                browser.open(&scene.relay.url("/?stream=nope&stream=good&stream=a%2F%2Fb")).await;
                let refused = |tile: &Tile| tile.state == TileState::Error && tile.message.contains("nope");
                browser.wait_for_tile("nope", "the page to name the unknown stream", START, refused).await;
                browser.wait_live(GOOD.path, START).await;
                let document = browser.document().await;
                assert!(document.contains("a//b"), "{engine}: the impossible name is not named in {document}");
            })
            .await;
        });
    }

    #[test]
    fn b_frames_are_played_from_the_transcode() {
        within(TEST, async || {
            let scene = Scene::open("").await;
            Browser::each(async |browser| {
                browser.open(&scene.relay.url("/?stream=bframes")).await;
                let transcoded = |tile: &Tile| tile.state == TileState::Live && tile.variant.as_deref() == Some("h264");
                browser.wait_for_tile(BFRAMES.path, "the transcode", START, transcoded).await;
                browser.wait_moving(BFRAMES.path, Duration::from_secs(3), 38, START).await;
                assert!(browser.mark(BFRAMES.path).await.is_like(BFRAMES.mark), "{}", browser.engine());
            })
            .await;
            scene.plays_on().await;
        });
    }
}

mod one_browser {
    use sightline_tests::browser::{Browser, Engine, Tile, TileState, WALL};

    use super::*;

    /// One page with a tile per fault: each shows the relay's sentence, none shows the password, and the healthy tile plays.
    #[test]
    fn page_shows_why_each_source_is_offline() {
        within(TEST, async || {
            let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let locked = Camera::start_with(&[GOOD], Some(Login { user: "viewer", password: "right" })).await;
            let login = locked.url("good").replace("127.0.0.1", "viewer:Wr0ng%2dS3cret@127.0.0.1");
            let scene = Scene::open(&format!(
                "[streams.unreachable]\nsource = \"rtsp://{closed}/x\"\n\
                 [streams.locked]\nsource = \"{login}\"\n\
                 [streams.nowhere]\nsource = \"{{camera}}nowhere\"\n"
            ))
            .await;
            let Some(browser) = Browser::start(Engine::Firefox).await else { return };
            browser.resize(WALL).await;
            browser.open(&scene.relay.url("/")).await;
            for stream in ["unreachable", "locked", "nowhere", AUDIO.path] {
                let offline = |tile: &Tile| tile.state == TileState::Offline;
                browser.wait_for_tile(stream, "the tile to be offline", START, offline).await;
                // While the relay retries the source, neither the API nor the tile contains the sentence.
                let same = async || {
                    let StreamState::Offline { message, .. } = scene.relay.stream(stream).await.state else {
                        return None;
                    };
                    let tile = browser.tile(stream).await?;
                    // The page begins the sentence with a capital letter.
                    tile.message.to_lowercase().contains(&message.to_lowercase()).then_some(())
                };
                until(&format!("the tile of {stream} to show the relay's sentence"), START, same).await;
            }
            let document = browser.document().await;
            assert!(
                !document.contains("Wr0ng") && !document.contains("S3cret"),
                "the password is in the page:\n{document}"
            );
            browser.wait_live(GOOD.path, START).await;
            assert!(browser.mark(GOOD.path).await.is_like(GOOD.mark));
            scene.plays_on().await;
        });
    }
}

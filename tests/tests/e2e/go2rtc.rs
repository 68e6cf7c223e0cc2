//! The API of go2rtc: its WebSocket by `mse` and by WebRTC, snapshots, descriptions, and players in browsers.

use std::time::Duration;

use serde_json::{Value, json};
use sightline_protocol::fragment::FragmentHead;
use sightline_protocol::stream::Variant;
use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::offer::offer;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{until, within};
use sightline_tests::viewer::{Event, PLAYS_BOTH, Viewer, is_init};

use crate::wire::probe;

const H264: Mount = Mount { path: "h264", kind: Kind::H264, mark: Rgb(0xc0, 0x40, 0x20) };
const H265: Mount = Mount { path: "h265", kind: Kind::H265, mark: Rgb(0x20, 0x40, 0xc0) };
const BFRAMES: Mount = Mount { path: "bframes", kind: Kind::BFrames, mark: Rgb(0xa0, 0x20, 0xa0) };

const TEST: Duration = Duration::from_secs(120);
/// The time limit of a cold source: FFmpeg, RTSP, the next key frame, on a busy machine.
const START: Duration = Duration::from_secs(20);
/// The time limit of a running relay's answer.
const ANSWER: Duration = Duration::from_secs(3);
/// The codecs that go2rtc's player names in Chromium on Linux, and in a browser with H.265.
const CODECS_H264: &str = "avc1.640029,avc1.64002A,avc1.640033,mp4a.40.2,mp4a.40.5,flac,opus";
const CODECS_BOTH: &str = "avc1.640029,avc1.64002A,avc1.640033,hvc1.1.6.L153.B0,mp4a.40.2,mp4a.40.5,flac,opus";

async fn send(viewer: &mut Viewer, kind: &str, value: &str) {
    viewer.send_text(&json!({ "type": kind, "value": value }).to_string()).await;
}

/// The next text message.
async fn text(viewer: &mut Viewer, limit: Duration) -> Value {
    let take = |event: &Event| match event {
        Event::Text(text) => Some(serde_json::from_str(text).unwrap_or_else(|e| panic!("{text:?}: {e}"))),
        _ => None,
    };
    viewer.wait_for("a text message", limit, take).await
}

/// Opens a WebSocket and asks for `mse`.
async fn watch(relay: &Relay, stream: &str, codecs: &str) -> Viewer {
    let mut viewer = Viewer::go2rtc(relay, &format!("src={stream}")).await;
    send(&mut viewer, "mse", codecs).await;
    viewer
}

/// The MIME type of the answer to `mse`.
async fn mime(viewer: &mut Viewer) -> String {
    let answer = text(viewer, START).await;
    assert_eq!(answer["type"], "mse", "{answer}");
    answer["value"].as_str().expect("a MIME type").to_owned()
}

/// The error that a message is answered with.
async fn refusal(viewer: &mut Viewer) -> String {
    let answer = text(viewer, ANSWER).await;
    assert_eq!(answer["type"], "error", "{answer}");
    answer["value"].as_str().expect("a text").to_owned()
}

/// Asserts that fragments follow each other without a gap, and returns the end of the last one.
fn assert_contiguous(fragments: &[impl AsRef<[u8]>], from: u64) -> u64 {
    fragments.iter().fold(from, |due, fragment| {
        let head = FragmentHead::read(fragment.as_ref()).expect("a fragment");
        assert_eq!(head.decode_time, due, "no gap and no overlap");
        due + head.duration
    })
}

#[test]
fn mse_answer_names_the_codec_of_the_file_that_follows() {
    within(TEST, async || {
        let camera = Camera::shared(&[H264, H265, BFRAMES]).await;
        let relay = Setup::config(camera.config()).start().await;
        let folder = tempfile::tempdir().expect("a temporary directory");
        for (stream, codecs, codec, tag) in [
            (H264, CODECS_BOTH, "h264", "avc1"),
            (H265, CODECS_BOTH, "hevc", "hvc1"),
            (H265, CODECS_H264, "h264", "avc1"),
            (BFRAMES, CODECS_BOTH, "h264", "avc1"),
            (H264, "", "h264", "avc1"),
        ] {
            let what = format!("{} for {codecs}", stream.path);
            let mut viewer = watch(&relay, stream.path, codecs).await;
            let mime = mime(&mut viewer).await;
            assert!(mime.starts_with(&format!("video/mp4; codecs=\"{tag}.")) && mime.ends_with('"'), "{what}: {mime}");
            let (init, fragments) = viewer.take_media(50, START).await;
            assert!(is_init(&init), "{what}: the init segment is first");
            assert_contiguous(&fragments, 0);
            let file = folder.path().join("stream.mp4");
            std::fs::write(&file, [vec![init], fragments].concat().concat()).expect("a file of the test's own");
            let expected =
                format!("stream|codec_name={codec}|codec_tag_string={tag}|width=640|height=360|nb_read_frames=50");
            assert_eq!(probe(&file).await, expected, "{what}");
        }
        let text = relay.get("/metrics").await.text();
        assert!(text.contains("protocol=\"go2rtc\""), "{text}");
    });
}

#[test]
fn viewer_stays_while_the_camera_restarts() {
    within(TEST, async || {
        let mut camera = Camera::start(&[H264]).await;
        let relay = Setup::config(camera.config()).start().await;
        let mut viewer = watch(&relay, H264.path, CODECS_BOTH).await;
        mime(&mut viewer).await;
        let (_, before) = viewer.take_media(30, START).await;
        let mut due = assert_contiguous(&before, 0);
        camera.restart().await;
        // Frames of the second run: more than can have been on the way.
        let epochs = async || {
            let text = relay.get("/metrics").await.text();
            let name = "sightline_epochs_total{stream=\"h264\",variant=\"copy\"} ";
            let count: f64 = text.lines().find_map(|line| line.strip_prefix(name)?.parse().ok())?;
            (count >= 2.0).then_some(())
        };
        let mut restarted = std::pin::pin!(until("the second run of the source", START, epochs));
        let (mut is_restarted, mut after) = (false, 0);
        while after < 100 {
            let event = tokio::select! {
                event = viewer.next(START) => event,
                () = &mut restarted, if !is_restarted => {
                    is_restarted = true;
                    continue;
                }
            };
            match event {
                Event::Media(bytes) => {
                    due = assert_contiguous(&[bytes], due);
                    after += u32::from(is_restarted);
                }
                other => panic!("{other:?} instead of media"),
            }
        }
    });
}

#[test]
fn two_modes_on_one_socket_do_not_disturb_each_other() {
    within(TEST, async || {
        let camera = Camera::shared(&[H264, H265, BFRAMES]).await;
        let relay = Setup::config(camera.config()).start().await;
        let mut viewer = watch(&relay, H264.path, CODECS_H264).await;
        mime(&mut viewer).await;
        viewer.take_media(10, START).await;
        for (kind, says) in [("mjpeg", "does not send this"), ("hls", "index.m3u8"), ("mse", "it is sent already")] {
            send(&mut viewer, kind, CODECS_H264).await;
            let refused = refusal(&mut viewer).await;
            assert!(refused.starts_with(&format!("{kind}: ")) && refused.contains(says), "{refused}");
        }
        send(&mut viewer, "webrtc/offer", &offer(&["H264"])).await;
        let answer = text(&mut viewer, ANSWER).await;
        let sdp = answer["value"].as_str().unwrap_or_default();
        assert!(
            answer["type"] == "webrtc/answer" && sdp.contains("a=candidate:") && sdp.contains("a=ice-lite"),
            "{answer}"
        );
        for candidate in ["candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host", "no candidate", ""] {
            send(&mut viewer, "webrtc/candidate", candidate).await;
        }
        send(&mut viewer, "webrtc/offer", &offer(&["H264"])).await;
        assert!(refusal(&mut viewer).await.starts_with("webrtc/offer: a WebSocket takes one offer"));
        let fragments: Vec<_> = viewer.take_media(20, START).await.1;
        let first = FragmentHead::read(&fragments[0]).expect("a fragment").decode_time;
        assert_contiguous(&fragments, first);

        let mut other = Viewer::go2rtc(&relay, "src=h264").await;
        send(&mut other, "webrtc/offer", "hello").await;
        let refused = refusal(&mut other).await;
        assert!(refused.starts_with("webrtc/offer: ") && refused.contains("not an SDP offer"), "{refused}");
    });
}

#[test]
fn refused_go2rtc_viewers_disturb_no_other() {
    within(TEST, async || {
        let camera = Camera::shared(&[H264, H265, BFRAMES]).await;
        let config = format!("{}{}", camera.config(), camera.stream("off", "nowhere", ""));
        let relay = Setup::config(config).start().await;
        let other = Viewer::playing(&relay, H264.path, &PLAYS_BOTH).await.watch();
        until("the other viewer's frames", START, async || (other.seen().fragments > 25).then_some(())).await;
        for (query, message, code, says) in [
            ("src=nope", "{}".to_owned(), 4404, "there is no stream named nope"),
            ("src=h264", "not JSON".to_owned(), 4400, "not a message of go2rtc's API"),
            ("src=h264", format!("{{\"type\":\"mse\",\"value\":\"{}\"}}", "x".repeat(1 << 20)), 1009, "65536"),
            ("src=off", r#"{"type":"mse","value":"avc1.640029"}"#.to_owned(), 4503, "mse: "),
        ] {
            let mut viewer = Viewer::go2rtc(&relay, query).await;
            viewer.send_text(&message).await;
            let (told, closed, reason) = viewer.wait_closed(START).await;
            let told: Value = serde_json::from_str(&told).unwrap_or_else(|e| panic!("{told:?} {reason}: {e}"));
            let value = told["value"].as_str().unwrap_or_default();
            assert!(told["type"] == "error" && value.contains(says), "{told}");
            assert_eq!(closed, Some(code), "{told}");
        }
        let count = other.seen().fragments;
        until("more frames", START, async || (other.seen().fragments > count + 25).then_some(())).await;
        assert_eq!(other.seen().losses, Vec::<String>::new());
    });
}

#[test]
fn go2rtc_frame_and_descriptions_are_those_of_the_camera() {
    within(TEST, async || {
        let camera = Camera::shared(&[H264, H265, BFRAMES]).await;
        let relay = Setup::config(camera.config()).start().await;
        let mut viewer = watch(&relay, H265.path, CODECS_BOTH).await;
        mime(&mut viewer).await;
        viewer.take_media(10, START).await;
        let frame = relay.get("/go2rtc/api/frame.jpeg?src=h265&w=320&cache=1s").await;
        assert_eq!((frame.status, frame.header("content-type")), (200, "image/jpeg"), "{}", frame.text());
        let own = relay.get("/api/streams/h265/snapshot.jpg?width=320").await;
        assert!(frame.body.starts_with(&[0xff, 0xd8]) && own.status == 200 && own.body.starts_with(&[0xff, 0xd8]));

        let streams: Value = serde_json::from_slice(&relay.get("/go2rtc/api/streams").await.body).expect("JSON");
        let expected = json!({
            "producers": [{ "medias": ["video, recvonly, H265"] }],
            "consumers": [{ "medias": ["video, sendonly, H265"] }],
        });
        assert_eq!(streams["h265"], expected);
        assert_eq!(streams.as_object().map(serde_json::Map::len), Some(3), "{streams}");
        let told = relay.get("/go2rtc/api/streams?src=h265").await.text();
        assert_eq!(serde_json::from_str::<Value>(&told).expect("JSON"), expected);
        assert!(!told.contains("rtsp") && !told.contains("127.0.0.1"), "{told}");
        drop(viewer);
        relay.wait_for_viewers(H265.path, Variant::Copy, 0, START).await;
    });
}

mod browser {
    use std::collections::HashMap;
    use std::net::SocketAddr;

    use sightline_tests::browser::{Browser, Engine};
    use sightline_tests::http::Server;

    use super::*;

    const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/go2rtc_player.html"));
    /// The address of the page's server, which is not the relay.
    const SITE: [u8; 4] = [127, 0, 0, 2];
    const TILE: &str = "player";
    const MOVING: Duration = Duration::from_secs(2);
    /// Of the 50 frames that a camera sends in that time, in three browsers at once.
    const FRAMES: u64 = 25;

    struct Scene {
        relay: Relay,
        site: Server,
    }

    impl Scene {
        async fn open() -> Self {
            let camera = Camera::shared(&[H264, H265, BFRAMES]).await;
            let page = HashMap::from([("/", ("text/html", PAGE.into()))]);
            let site = Server::start_at(SocketAddr::from((SITE, 0)), page).await;
            let config = format!("allowed_origins = [\"{}\"]\n{}", site.url(""), camera.config());
            Self { relay: Setup::config(config).start().await, site }
        }

        /// Asserts that the player shows the camera's frames by `expected`, and returns its state.
        async fn plays(&self, browser: &Browser, mount: Mount, modes: &str, expected: &str) -> Value {
            let what = format!("{}: {} by {modes}", browser.engine(), mount.path);
            let url = format!("ws://{}/go2rtc/api/ws?src={}", self.relay.address(), mount.path);
            browser.open(&self.site.url(&format!("/?mode={modes}&url={url}"))).await;
            let by = async || Some(look(browser).await).filter(|state| state["mode"] == expected);
            until(&what, START, by).await;
            browser.wait_moving(TILE, MOVING, FRAMES, START).await;
            let mark = browser.mark(TILE).await;
            assert!(mark.is_like(mount.mark), "{what}: {mark} is shown");
            let state = look(browser).await;
            assert_eq!((&state["mode"], &state["failed"]), (&json!(expected), &json!([])), "{what}: {state}");
            state
        }
    }

    async fn look(browser: &Browser) -> Value {
        browser.script("return window.look()", vec![]).await
    }

    #[test]
    fn go2rtc_player_plays_by_mse() {
        within(TEST, async || {
            let scene = Scene::open().await;
            Browser::each(async |browser| {
                for mount in [H264, H265, BFRAMES] {
                    let state = scene.plays(browser, mount, "mse", "mse").await;
                    let h265 = mount == H265 && browser.engine().plays_h265();
                    let codec = if h265 { "codecs=\"hvc1." } else { "codecs=\"avc1." };
                    let mime = state["mime"].as_str().unwrap_or_default();
                    assert!(mime.contains(codec) && state["errors"] == json!([]), "{state}");
                }
            })
            .await;
        });
    }

    #[test]
    fn go2rtc_player_plays_by_webrtc_and_leaves_mse_for_it() {
        within(TEST, async || {
            // The only browser that uses ICE on 127.0.0.1.
            let Some(browser) = Browser::start(Engine::Chromium).await else { return };
            let scene = Scene::open().await;
            for modes in ["webrtc", "mse,webrtc"] {
                let state = scene.plays(&browser, H264, modes, "webrtc").await;
                assert!(state["rtc"] == "connected" && !state["closed"].is_null(), "{state}");
                assert_eq!(state["errors"], json!([]), "{modes}");
                scene.relay.wait_for_viewers(H264.path, Variant::Copy, 1, START).await;
            }
            browser.leave().await;
            scene.relay.wait_for_viewers(H264.path, Variant::Copy, 0, START).await;
        });
    }
}

//! The plain dialect as clients of the original system use it: they join a running stream, append every message and never seek.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;
use sightline_protocol::fragment::FragmentHead;
use sightline_protocol::stream::Variant;
use sightline_tests::browser::{Browser, Engine, Rgb};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::http::Server;
use sightline_tests::impaired_link::ImpairedLink;
use sightline_tests::recording::stream;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{say, until, within};
use sightline_tests::tls::{Files, Identity};
use sightline_tests::viewer::{BackgroundViewer, Event, Viewer, is_init};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

const H264: Mount = Mount { path: "h264", kind: Kind::H264, mark: Rgb(0xc0, 0x40, 0x20) };
const H265: Mount = Mount { path: "h265", kind: Kind::H265, mark: Rgb(0x20, 0x40, 0xc0) };
const BFRAMES: Mount = Mount { path: "bframes", kind: Kind::BFrames, mark: Rgb(0xa0, 0x20, 0xa0) };
const BUSY: Mount = Mount { path: "busy", kind: Kind::Busy, mark: Rgb(0x20, 0xa0, 0x40) };
/// Recordings that declare a level, and a profile or tier, far above those in the original client's codec strings.
const H264_DEMANDING: &str = "h264-demanding";
const H265_DEMANDING: &str = "h265-demanding";

const TEST: Duration = Duration::from_secs(300);
/// The time limit of a cold source: FFmpeg, RTSP, the next key frame, on a busy machine.
const START: Duration = Duration::from_secs(20);
/// The time limit for two skips of the relay after the link was throttled: the buffers on the way fill first.
const SKIPS: Duration = Duration::from_secs(40);
/// The time limit of a running relay's answer.
const ANSWER: Duration = Duration::from_secs(3);
/// The time for which other viewers watch before the client joins.
const WATCHED_BEFORE: Duration = Duration::from_secs(2);
/// The time between first frame and measurement. A client that joins right after a key frame has an empty buffer, and every
/// engine stalls once or twice until the buffer has filled.
const SETTLES: Duration = Duration::from_secs(3);
const MEASURED: Duration = Duration::from_secs(3);
/// The camera's frame rate. On a busy machine a camera omits frames.
const FRAMES_PER_SECOND: f64 = 25.0;
/// The share of frames decoded in time: on a busy machine, and by one engine alone.
const PLAYS_ON: f64 = 0.5;
const PLAYS_ALL: f64 = 24.0 / FRAMES_PER_SECOND;
/// An eighth of the rate of [`BUSY`] in bytes per second. So a camera that omits frames exceeds it, too, and the link's buffer
/// limit: half a second at full rate.
const NARROW: u32 = 30_000;
const NARROW_BUFFER: usize = 128 << 10;
/// Capture times of consecutive frames differ by less, in seconds. The relay skips at least one second.
const SKIPPED: f64 = 0.5;
/// In seconds. The newest frame may form its own buffered range until the B-frames before it arrive.
const NEWEST: f64 = 0.2;
/// The address of the client page's server, which is not the relay.
const SITE: [u8; 4] = [127, 0, 0, 2];
const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/plain_client.html"));

/// The state of the client's page.
#[derive(Debug, Clone, Deserialize)]
struct Look {
    /// Frames decoded, and the dropped ones among them: too late on a busy machine.
    frames: i64,
    dropped: i64,
    /// The page's clock, in seconds.
    at: f64,
    /// The video's `currentTime`.
    time: f64,
    buffered: Vec<(f64, f64)>,
    width: u32,
    codec: Option<String>,
    texts: Vec<String>,
    error: Option<String>,
    failed: Vec<String>,
    fragments: u64,
}

/// The results of a client over [`MEASURED`].
#[derive(Debug)]
struct Measured {
    /// Decoded frames per second, by the page's clock.
    rate: f64,
    /// Received frames per second.
    received: f64,
    /// Its state at the end.
    last: Look,
}

impl Measured {
    async fn of(browser: &Browser) -> Self {
        let first = look(browser).await;
        sleep(MEASURED).await;
        let last = look(browser).await;
        let span = last.at - first.at;
        let received = (last.fragments - first.fragments) as f64 / span;
        Self { rate: (last.frames - first.frames) as f64 / span, received, last }
    }

    /// Asserts that it decodes at least `share` of the received frames, in one range that begins at 0.
    fn plays(&self, what: &str, share: f64) {
        let Self { rate, received, last } = self;
        let (codec, dropped) = (&last.codec, last.dropped);
        say(&format!("{what}: {rate:.1} of {received:.1} frames a second as {codec:?}, {dropped} too late"));
        assert!(*rate >= received * share && *received > FRAMES_PER_SECOND / 4.0, "{what}: {self:?}");
        assert!(last.error.is_none() && last.failed.is_empty(), "{what}: {last:?}");
        let (first, newest) = (last.buffered[0], last.buffered[last.buffered.len() - 1]);
        assert!(first.0 < 0.001 && newest.1 - first.1 < NEWEST, "{what}: one range from 0: {last:?}");
    }
}

/// Cameras, a relay, and a server with the client's page.
struct Scene {
    _camera: &'static Camera,
    relay: Relay,
    site: Server,
}

impl Scene {
    /// `streams` is appended to the configuration.
    async fn open(mounts: &[Mount], streams: &str) -> Self {
        let camera = Camera::shared(mounts).await;
        let page = HashMap::from([("/", ("text/html", PAGE.into()))]);
        let site = Server::start_at(SocketAddr::from((SITE, 0)), page).await;
        let config = format!("allowed_origins = [\"{}\"]\n{}{streams}", site.url(""), camera.config());
        Self { _camera: camera, relay: Setup::config(config).start().await, site }
    }

    /// Viewers that have watched these streams for some seconds and continue.
    async fn watched<'a, const N: usize>(&self, streams: [&'a str; N]) -> [(&'a str, BackgroundViewer); N] {
        let others = join_all(streams.map(async |stream| {
            let other = Viewer::plain(&self.relay, stream).await.watch();
            until(&format!("{stream} to run"), START, async || (other.seen().fragments > 10).then_some(())).await;
            (stream, other)
        }));
        let others = others.await;
        sleep(WATCHED_BEFORE).await;
        others.try_into().expect("a viewer of each stream")
    }

    /// Opens the client on a stream of the relay at `server`.
    async fn join(&self, browser: &Browser, server: SocketAddr, stream: &str, more: &str) {
        browser.open(&self.site.url(&format!("/?url=ws://{server}/ws/mse/{stream}{more}"))).await;
    }

    /// Asserts that the client plays `share` of a stream's frames after it joins, and returns its state.
    async fn plays(&self, browser: &Browser, stream: &str, more: &str, share: f64) -> Look {
        self.join(browser, self.relay.address(), stream, more).await;
        wait_for_frames(browser, stream).await;
        sleep(SETTLES).await;
        let measured = Measured::of(browser).await;
        measured.plays(&format!("{}, {stream}{more}", browser.engine()), share);
        measured.last
    }
}

async fn look(browser: &Browser) -> Look {
    let seen = browser.script("return window.look()", vec![]).await;
    serde_json::from_value(seen.clone()).unwrap_or_else(|e| panic!("{}: {seen}: {e}", browser.engine()))
}

/// Waits until the client's state satisfies `wanted`. Fails after [`START`] with the state.
async fn wait_until(browser: &Browser, what: &str, wanted: impl Fn(&Look) -> bool) -> Look {
    let deadline = Instant::now() + START;
    loop {
        let seen = look(browser).await;
        if wanted(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "{}: waited {START:?} for {what}: {seen:?}", browser.engine());
        sleep(Duration::from_millis(100)).await;
    }
}

async fn wait_for_frames(browser: &Browser, stream: &str) -> Look {
    wait_until(browser, &format!("a picture of {stream}"), |seen| seen.frames > 10 && seen.width > 0).await
}

/// Whether the engine decodes the stream's codec.
fn decodes(engine: Engine, stream: &str) -> bool {
    stream != H265.path || engine.plays_h265()
}

/// The configuration of a stream that loops a recording of this duration, encoded with these options.
fn recorded(folder: &Path, name: &str, seconds: u32, options: &str) -> String {
    let file = folder.join(name).with_extension("mp4");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=640x360:r=25", "-t", &seconds.to_string()]);
    command.args(["-pix_fmt", "yuv420p", "-g", "25"]).args(options.split_whitespace()).arg(&file);
    assert!(command.status().is_ok_and(|status| status.success()), "{command:?}");
    stream(name, &file)
}

/// The number of frames that the relay skipped for slow viewers.
async fn skipped(relay: &Relay, stream: &str) -> f64 {
    let name = format!("sightline_skipped_fragments_total{{stream=\"{stream}\",variant=\"copy\",reason=\"behind\"}} ");
    let text = relay.get("/metrics").await.text();
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or_else(|| panic!("no {name}in {text}"))
}

/// The stream that an engine watches over a narrow link.
fn narrow(engine: Engine) -> String {
    format!("narrow-{engine}").to_lowercase()
}

/// Throttles the link until the relay has skipped frames, then removes the limit.
async fn make_the_relay_skip(link: &ImpairedLink, relay: &Relay, stream: &str) {
    let before = skipped(relay, stream).await;
    link.throttle(Some(NARROW));
    let enough = async || Some(skipped(relay, stream).await - before).filter(|&frames| frames > 50.0);
    until("the relay to leave frames out", SKIPS, enough).await;
    link.throttle(None);
}

/// The last position after `after` on the client's timeline at which frames follow a gap in capture times.
async fn seam(browser: &Browser, after: f64) -> Option<f64> {
    let fragments = browser.script("return window.fragments", vec![]).await;
    let fragments: Vec<(f64, f64)> =
        serde_json::from_value(fragments.clone()).unwrap_or_else(|e| panic!("{}: {fragments}: {e}", browser.engine()));
    let mut seams = fragments.windows(2).filter(|pair| pair[1].1 - pair[0].1 > SKIPPED).map(|pair| pair[1].0);
    seams.rfind(|&seam| seam > after)
}

#[test]
fn timeline_is_contiguous_from_zero_across_skipped_frames() {
    within(TEST, async || {
        // A recording: on a busy machine a camera omits frames, which looks like a gap.
        let folder = tempfile::tempdir().expect("a temporary directory");
        let busy = recorded(
            folder.path(),
            BUSY.path,
            20,
            "-vf noise=alls=30:allf=t -c:v libx264 -preset ultrafast -bf 0 -b:v 2M",
        );
        let scene = Scene::open(&[H264], &busy).await;
        let [(_, other)] = scene.watched([BUSY.path]).await;
        let link = ImpairedLink::to(scene.relay.address()).await;
        link.keep(NARROW_BUFFER);
        let connection = TcpStream::connect(link.address()).await.expect("the link listens");
        let mut viewer = Viewer::plain_over(connection, &scene.relay, BUSY.path).await;
        let (mut due, mut captured, mut gaps) = (0, f64::INFINITY, 0);
        for round in 0..3 {
            let mut narrow = std::pin::pin!(make_the_relay_skip(&link, &scene.relay, BUSY.path));
            let mut narrowed = false;
            let until_gap = gaps + 1;
            while !narrowed || gaps < until_gap {
                let event = tokio::select! {
                    event = viewer.next(START) => event,
                    () = &mut narrow, if !narrowed => {
                        narrowed = true;
                        continue;
                    }
                };
                match event {
                    Event::Media(bytes) if !is_init(&bytes) => {
                        let head = FragmentHead::read(&bytes).expect("a fragment");
                        assert_eq!((head.decode_time, head.composition_offset), (due, 0), "in round {round}");
                        due += head.duration;
                        let now = head.capture.expect("a capture time").unix_ms() / 1e3;
                        let gap = now - captured > SKIPPED;
                        assert!(!gap || head.keyframe, "a gap ends with a key frame");
                        gaps += u32::from(gap);
                        captured = now;
                    }
                    Event::Closed(code, reason) => panic!("{code:?} {reason}"),
                    _ => {}
                }
            }
        }
        assert!(gaps >= 3, "{gaps}");
        assert_eq!(other.seen().losses, Vec::<String>::new(), "the other viewer is not disturbed");
    });
}

/// For every reader of the source, and over TLS, which splits a fragment into records.
#[test]
fn every_stream_begins_at_zero_over_tls() {
    within(TEST, async || {
        const DIRECT: &str = "direct";
        let mounts = [H264, H265, BFRAMES];
        let (camera, identity) = (Camera::start(&mounts).await, Identity::new());
        let files = Files::new(&identity);
        let config = [camera.config(), camera.read_directly(DIRECT, H264.path), files.config()].join("\n");
        let relay = Setup::config(config).start().await;
        for (stream, wish) in [(H264.path, ""), (H265.path, ""), (H265.path, "h264"), (BFRAMES.path, ""), (DIRECT, "")]
        {
            let join = async || {
                let connection = identity.connect(relay.address()).await.expect("it is trusted");
                let mut viewer = Viewer::plain_over(connection, &relay, stream).await;
                viewer.send_text(wish).await;
                viewer
            };
            // The second viewer joins a running stream.
            let mut first = join().await;
            first.take_media(30, START).await;
            let mut due = 0;
            for (n, fragment) in join().await.take_media(60, START).await.1.iter().enumerate() {
                let head = FragmentHead::read(fragment).expect("a fragment");
                assert_eq!(head.decode_time, due, "{stream} {wish}: fragment {n}");
                let shown = head.decode_time as i64 + head.composition_offset;
                assert!(if n == 0 { shown == 0 } else { shown > 0 }, "{stream} {wish}: fragment {n} at {shown}");
                due += head.duration;
            }
        }
    });
}

#[test]
fn client_with_invalid_messages_still_gets_its_stream() {
    within(TEST, async || {
        let scene = Scene::open(&[H265], "").await;
        let [(_, other)] = scene.watched([H265.path]).await;
        let binary = vec![0; 1000];
        // The request follows a binary message and is repeated.
        let mut viewer = Viewer::plain(&scene.relay, H265.path).await;
        viewer.send_binary(binary.clone()).await;
        viewer.send_text("h264").await;
        viewer.send_text("h264").await;
        assert!(matches!(viewer.next(START).await, Event::Text(text) if text == "codec:h264"));
        plays_through(viewer, &binary).await;
        // The request follows the codec line, which then no longer changes.
        let mut viewer = Viewer::plain(&scene.relay, H265.path).await;
        assert!(matches!(viewer.next(START).await, Event::Text(text) if text == "codec:hevc"));
        viewer.send_text("h264").await;
        plays_through(viewer, &binary).await;
        // A binary message alone requests nothing.
        let mut viewer = Viewer::plain(&scene.relay, H265.path).await;
        viewer.send_binary(binary.clone()).await;
        assert!(matches!(viewer.next(START).await, Event::Text(text) if text == "codec:hevc"));
        plays_through(viewer, &binary).await;
        assert_eq!(other.seen().losses, Vec::<String>::new(), "the other viewer is not disturbed");
    });
}

/// Continues for two seconds while the viewer sends invalid messages.
async fn plays_through(mut viewer: Viewer, binary: &[u8]) {
    let (init, _) = viewer.take_media(10, START).await;
    assert!(is_init(&init), "the first binary message is the init segment");
    for _ in 0..4 {
        viewer.send_text("h264").await;
        viewer.send_binary(binary.to_vec()).await;
        let mut due = None;
        for _ in 0..12 {
            let Event::Media(bytes) = viewer.next(ANSWER).await else { panic!("no media") };
            let head = FragmentHead::read(&bytes).expect("a fragment, and no second init segment");
            assert!(due.is_none_or(|due| due == head.decode_time), "{due:?} {head:?}");
            due = Some(head.decode_time + head.duration);
        }
    }
}

mod browser {
    use super::*;

    #[test]
    fn simplest_client_that_joins_a_running_stream_plays_at_once() {
        within(TEST, async || {
            let folder = tempfile::tempdir().expect("a temporary directory");
            // Uses a recording: on a busy machine a camera omits frames, and WebKitGTK does not play across such a gap in a
            // stream with B-frames.
            let b_frames = recorded(folder.path(), BFRAMES.path, 120, "-c:v libx264 -preset ultrafast -bf 2");
            let scene = Scene::open(&[H264, H265], &b_frames).await;
            let others = scene.watched([H264.path, H265.path, BFRAMES.path]).await;
            for (stream, other) in others {
                Browser::each(async |browser| {
                    if decodes(browser.engine(), stream) {
                        scene.plays(browser, stream, "", PLAYS_ON).await;
                    }
                })
                .await;
                assert_eq!(other.seen().losses, Vec::<String>::new(), "{stream}: the other viewer is not disturbed");
            }
        });
    }

    #[test]
    fn original_client_plays_every_profile_and_level() {
        within(TEST, async || {
            let folder = tempfile::tempdir().expect("a temporary directory");
            let h264 = "-c:v libx264 -preset ultrafast -bf 0 -x264-params 8x8dct=1:cabac=1 -level:v 5.2";
            let h265 = "-c:v libx265 -preset ultrafast -x265-params \
                log-level=none:bframes=0:keyint=25:level-idc=6.1:high-tier=1:pools=1:frame-threads=1";
            let demanding = [(H264_DEMANDING, h264), (H265_DEMANDING, h265)];
            let demanding = demanding.map(|(name, options)| recorded(folder.path(), name, 6, options)).concat();
            let scene = Scene::open(&[H265], &demanding).await;
            let streams = [H265.path, H265_DEMANDING, H264_DEMANDING];
            let others = scene.watched(streams).await;
            for (stream, declared) in [(H264_DEMANDING, "avc1.640034"), (H265_DEMANDING, "hvc1.1.6.H183.90")] {
                let codec = scene.relay.variant(stream, Variant::Copy).await.codec;
                assert_eq!(codec.as_deref(), Some(declared), "the test's own premise");
            }
            Browser::each(async |browser| {
                let engine = browser.engine();
                for stream in streams {
                    let last = scene.plays(browser, stream, "&original", PLAYS_ON).await;
                    let h265 = stream.starts_with("h265") && engine.plays_h265();
                    assert_eq!(last.texts, [if h265 { "codec:hevc" } else { "codec:h264" }], "{engine}, {stream}");
                }
            })
            .await;
            for (stream, other) in others {
                assert_eq!(other.seen().losses, Vec::<String>::new(), "{stream}: the other viewer is not disturbed");
            }
        });
    }

    #[test]
    fn client_plays_on_after_the_relay_skipped_frames_for_a_slow_link() {
        within(TEST, async || {
            // A stream for each engine, since the relay counts skipped frames by stream.
            let camera = Camera::shared(&[BUSY]).await;
            let streams: String = Engine::ALL.map(|engine| camera.stream(&narrow(engine), BUSY.path, "")).concat();
            let scene = Scene::open(&[BUSY], &streams).await;
            let [(_, other)] = scene.watched([BUSY.path]).await;
            Browser::each(async |browser| {
                let (engine, stream) = (browser.engine(), narrow(browser.engine()));
                let link = ImpairedLink::to(scene.relay.address()).await;
                link.keep(NARROW_BUFFER);
                scene.join(browser, link.address(), &stream, "").await;
                let joined = wait_for_frames(browser, &stream).await;
                make_the_relay_skip(&link, &scene.relay, &stream).await;
                let seam = async || seam(browser, joined.time).await;
                let seam = until("frames from behind the gap", START, seam).await;
                // The playhead must get there without a seek.
                let what = format!("the playhead to pass the gap at {seam}");
                wait_until(browser, &what, |seen| seen.time > seam + 1.0).await;
                Measured::of(browser).await.plays(&format!("{engine}, behind the gap at {seam:.2} s"), PLAYS_ON);
            })
            .await;
            assert_eq!(other.seen().losses, Vec::<String>::new(), "the other viewer is not disturbed");
        });
    }
}

mod timing {
    use super::*;

    #[test]
    fn simplest_client_decodes_every_frame() {
        within(TEST, async || {
            let scene = Scene::open(&[H264], "").await;
            let [(_, other)] = scene.watched([H264.path]).await;
            for engine in Engine::ALL {
                let Some(browser) = Browser::start(engine).await else { continue };
                scene.plays(&browser, H264.path, "", PLAYS_ALL).await;
                browser.leave().await;
            }
            assert_eq!(other.seen().losses, Vec::<String>::new(), "the other viewer is not disturbed");
        });
    }
}

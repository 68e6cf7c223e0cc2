//! Cameras that send no B-frames without declaring it, for which decoders delay output, cameras that declare B-frames and send
//! none, and cameras that send undeclared B-frames.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sightline_protocol::close;
use sightline_protocol::message::VariantReason;
use sightline_protocol::stream::{Variant, VariantChoice};
use sightline_tests::recording::{Recordings, stream};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{say, until, within};
use sightline_tests::viewer::{Event, PLAYS_BOTH, Viewer};

const TEST: Duration = Duration::from_secs(150);
const START: Duration = Duration::from_secs(30);

#[test]
fn amended_stream_decodes_as_the_original() {
    within(TEST, async || {
        let recordings = Recordings::new();
        let h264 = recordings.h264_without_vui();
        let h265 = recordings.h265_declaring_unused_b_frames();
        let relay = Setup::config(stream("h264", &h264) + &stream("h265", &h265)).start().await;
        let folder = tempfile::tempdir().expect("a temporary directory");
        for (name, recording, field) in
            [("h264", &h264, "max_num_reorder_frames"), ("h265", &h265, "sps_max_num_reorder_pics[0]")]
        {
            let received = folder.path().join(name).with_extension("mp4");
            receive(&relay, name, 60, &received).await;
            assert_eq!(has_b_frames(&received), "0", "{name}");
            let said = headers(&received, field);
            assert!(said.len() > 2 && said.iter().all(|value| value == "0"), "{name}: {said:?}");
            assert!(headers(recording, field).iter().all(|value| value != "0"), "{name}: the test's own premise");

            // The relay plays the recording in a loop and starts at one of its key frames.
            let (original, received) = (frames(recording), frames(&received));
            assert!(received.len() >= 55, "{name}: {} frames", received.len());
            let start = original.iter().position(|frame| *frame == received[0]).expect("a frame of the recording");
            let expected: Vec<_> = original.iter().cycle().skip(start).take(received.len()).collect();
            assert!(received.iter().eq(expected), "{name}");
        }
        let info = relay.stream("h265").await;
        assert_eq!(info.b_frames, Some(false), "it declares some, and sends none");
        let mut viewer = Viewer::playing(&relay, "h265", &PLAYS_BOTH).await;
        let ready = viewer.wait_ready(START).await;
        assert_eq!((ready.variant, ready.why), (Variant::Copy, VariantReason::Untouched));
    });
}

#[test]
fn undeclared_b_frames_are_detected_and_reported() {
    within(TEST, async || {
        let recordings = Recordings::new();
        let recording = recordings.h264_without_vui_with_b_frames();
        let relay = Setup::config(stream("b", &recording)).start().await;

        // The stream appears in order up to its third frame. Viewers that joined before are switched to the transcode, or
        // closed and told to reconnect.
        let mut plain = Viewer::plain(&relay, "b").await;
        let mut viewer = Viewer::playing(&relay, "b", &PLAYS_BOTH).await;
        loop {
            let ready = viewer.wait_ready(START).await;
            if ready.variant == Variant::H264 {
                assert_eq!(ready.why, VariantReason::BFrames);
                break;
            }
        }
        viewer.take_media(30, START).await;
        let restarted = async |plain: &mut Viewer| loop {
            match plain.next(START).await {
                Event::Closed(code, _) => break assert_eq!(code, Some(close::SOURCE_RESTARTED)),
                Event::Media(_) if plain.received() > 40 => break,
                _ => {}
            }
        };
        restarted(&mut plain).await;
        let info = relay.stream("b").await;
        assert_eq!(info.b_frames, Some(true));
        assert!(info.notes.iter().any(|note| note.contains("B-frames")), "{:?}", info.notes);

        // The relay now knows about the B-frames, and forwards them to viewers that request `copy`.
        let mut second = Viewer::playing(&relay, "b", &PLAYS_BOTH).await;
        assert_eq!(second.wait_ready(START).await.variant, Variant::H264);
        let mut copy = Viewer::v1(&relay, "b").await;
        copy.play(&PLAYS_BOTH, VariantChoice::Copy).await;
        assert_eq!(copy.wait_ready(START).await.variant, Variant::Copy);
        let folder = tempfile::tempdir().expect("a temporary directory");
        let received = folder.path().join("b.mp4");
        receive(&relay, "b", 60, &received).await;
        assert_eq!(headers(&received, "max_num_reorder_frames"), [""; 0]);
    });
}

/// Writes the media of the plain dialect into a file.
async fn receive(relay: &Relay, stream: &str, fragments: usize, file: &Path) {
    let (init, fragments) = Viewer::plain(relay, stream).await.take_media(fragments, START).await;
    let bytes = std::iter::once(init).chain(fragments).flatten().collect::<Vec<u8>>();
    std::fs::write(file, bytes).expect("the temporary directory is writable");
}

/// The output of one of FFmpeg's programs, standard output and standard error.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).arg("-hide_banner").args(arguments).output();
    let output = output.unwrap_or_else(|e| panic!("{program} does not start: {e}"));
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    let _ = write!(text, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

fn text(file: &Path) -> &str {
    file.to_str().expect("a temporary path is UTF-8")
}

/// `has_b_frames` as ffprobe reports it.
fn has_b_frames(file: &Path) -> String {
    let entry = ["-v", "error", "-show_entries", "stream=has_b_frames", "-of", "csv=p=0", text(file)];
    output("ffprobe", &entry).trim().to_owned()
}

/// All values of a field in the parameter sets, out of band and in band, as FFmpeg parses them.
fn headers(file: &Path, field: &str) -> Vec<String> {
    let trace = output("ffmpeg", &["-i", text(file), "-c", "copy", "-bsf:v", "trace_headers", "-f", "null", "-"]);
    let value = |line: &str| {
        line.split_whitespace().any(|word| word == field).then(|| line.rsplit("= ").next().unwrap_or("").to_owned())
    };
    trace.lines().filter_map(value).collect()
}

/// The hash of each decoded frame.
fn frames(file: &Path) -> Vec<String> {
    let hashes =
        output("ffmpeg", &["-v", "error", "-i", text(file), "-fps_mode", "passthrough", "-f", "framemd5", "-"]);
    let lines = hashes.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit(", ").next()).map(str::to_owned).collect()
}

mod timing {
    use serde_json::json;
    use sightline_tests::browser::{Browser, Engine, Tile, TileState};

    use super::*;

    /// Disables `low`: a browser on a busy machine receives late, which the relay takes for a slow link.
    const UNTOUCHED: &str = "[ingest]\nlow = false\n";
    const WATCHED: Duration = Duration::from_secs(3);

    /// Of the 75 frames that the camera sends meanwhile, on a busy machine.
    const FRAMES: u64 = 50;

    /// In WebKitGTK, a player that must seek during its setup fails every second time.
    const JOINS: u32 = 3;

    /// Plays a stream over the plain dialect without a latency controller. It starts this many seconds before the newest frame
    /// and never adjusts, so that the number of shown frames depends only on the decoder's delay.
    const PLAY: &str = r#"
const [stream, codec, held] = arguments;
const video = window.video = document.createElement('video');
video.muted = true;
document.body.replaceChildren(video);
window.shown = 0;
const count = () => {
    window.shown += 1;
    video.requestVideoFrameCallback(count);
};
video.requestVideoFrameCallback(count);
const source = new MediaSource();
source.onsourceopen = () => {
    const buffer = source.addSourceBuffer(`video/mp4; codecs="${codec}"`);
    const queue = [];
    const append = () => {
        if (!buffer.updating && queue.length) buffer.appendBuffer(queue.shift());
    };
    buffer.onupdateend = () => {
        append();
        if (!video.paused || !buffer.buffered.length || queue.length) return;
        video.currentTime = Math.max(buffer.buffered.start(0), buffer.buffered.end(0) - held);
        video.play();
    };
    const socket = new WebSocket(`ws://${location.host}/ws/mse/${stream}`);
    socket.binaryType = 'arraybuffer';
    socket.onmessage = ({ data }) => {
        if (typeof data === 'string') return;
        queue.push(data);
        append();
    };
};
video.src = URL.createObjectURL(source);"#;

    const HELD: f64 = 0.06;

    #[test]
    fn stream_without_vui_plays_in_every_browser() {
        within(TEST, async || {
            let recordings = Recordings::new();
            let recording = recordings.h264_without_vui();
            let config = stream("amended", &recording) + &stream("untouched", &recording) + "amend_sps = false\n";
            let relay = Setup::config(format!("{UNTOUCHED}{config}")).start().await;
            Browser::each(async |browser| {
                for name in ["untouched", "amended"] {
                    let (by_itself, in_page) =
                        (shown(browser, &relay, name).await, in_page(browser, &relay, name).await);
                    let engine = browser.engine();
                    say(&format!("{engine}, SPS {name}: {by_itself} frames in {WATCHED:?}, {in_page} in the page"));
                    assert!(name == "untouched" || by_itself.min(in_page) >= FRAMES, "{engine}");
                }
            })
            .await;
            let amended = relay.stream("amended").await;
            assert_eq!(amended.b_frames, Some(false));
            assert!(amended.notes.iter().any(|note| note.contains("amend_sps")), "{:?}", amended.notes);
            let untouched = relay.stream("untouched").await;
            assert_eq!((untouched.b_frames, untouched.notes), (Some(false), vec![]));
        });
    }

    /// The number of frames of a stream that the engine shows in [`WATCHED`].
    async fn shown(browser: &Browser, relay: &Relay, stream: &str) -> u64 {
        let codec = until("the codec", START, async || {
            let mut viewer = Viewer::plain(relay, stream).await;
            viewer.take_media(1, START).await;
            relay.variant(stream, Variant::Copy).await.codec
        });
        let codec = codec.await;
        browser.open(&relay.url("/api/none")).await;
        browser.script(PLAY, vec![json!(stream), json!(codec), json!(HELD)]).await;
        // The untouched stream need not show a single frame.
        let playing = async || browser.script("return !window.video.paused", vec![]).await.as_bool().filter(|&so| so);
        until("the player to start", START, playing).await;
        tokio::time::sleep(WATCHED).await;
        browser.script("return window.shown", vec![]).await.as_u64().expect("a number")
    }

    /// The number of frames of a stream that Sightline's own page shows in [`WATCHED`].
    async fn in_page(browser: &Browser, relay: &Relay, stream: &str) -> u64 {
        browser.open(&relay.url(&format!("/?stream={stream}"))).await;
        let picture = async || browser.tile(stream).await.filter(|tile| tile.width > 0);
        let tile = until("a picture", START, picture).await;
        assert_eq!((tile.variant.as_deref(), tile.error), (Some("copy"), None), "{}", browser.engine());
        browser.frames_in(stream, WATCHED).await
    }

    #[test]
    fn h265_that_declares_unused_b_frames_plays_untouched() {
        within(TEST, async || {
            let recordings = Recordings::new();
            let recording = recordings.h265_declaring_unused_b_frames();
            let relay = Setup::config(format!("{UNTOUCHED}{}", stream("h265", &recording))).start().await;
            let decoders = Browser::start_all().await;
            for browser in decoders.iter().filter(|browser| browser.engine().plays_h265()) {
                let frames = in_page(browser, &relay, "h265").await;
                assert!(frames >= FRAMES, "{}: {frames} frames", browser.engine());
                // Its frames are presented later than they are decoded. No player may need to seek to the first one.
                for _ in 0..JOINS {
                    browser.leave().await;
                    browser.open(&relay.url("/?stream=h265")).await;
                    let tile = browser.wait_live("h265", START).await;
                    assert_eq!(tile.variant.as_deref(), Some("copy"), "{}: it failed to decode", browser.engine());
                }
            }
        });
    }

    #[test]
    fn undeclared_b_frames_are_played_from_the_transcode() {
        within(TEST, async || {
            let recordings = Recordings::new();
            let relay =
                Setup::config(format!("{UNTOUCHED}{}", stream("b", &recordings.h264_without_vui_with_b_frames())))
                    .start()
                    .await;
            if let Some(browser) = Browser::start(Engine::WebKit).await {
                browser.open(&relay.url("/?stream=b")).await;
                let transcode = |tile: &Tile| tile.state == TileState::Live && tile.variant.as_deref() == Some("h264");
                browser.wait_for_tile("b", "the transcode", START, transcode).await;
                browser.wait_moving("b", WATCHED, FRAMES / 2, START).await;
            }
        });
    }
}

//! Measures the time to the first frame of a stream that already has a viewer: from the WebSocket's opening to the first
//! decoded frame, as the client records it.

use std::time::Duration;

use sightline_tests::browser::{Browser, Engine};
use sightline_tests::relay::Setup;
use sightline_tests::run::until;
use sightline_tests::viewer::{PLAYS_BOTH, Viewer};

use crate::Row;

/// Page loads per figure: the median of fewer is unstable on a busy machine.
const LOADS: usize = 9;
/// The time limit of one load.
const LIMIT: Duration = Duration::from_secs(20);
/// The streams: one camera with a key frame per second, one with a key frame every ten seconds.
const CONFIG: &str = r#"
[streams.short]
source = "testsrc2=s=640x360:r=25"
input_options = ["-re", "-f", "lavfi"]
encode = "h264"
[streams.long]
source = "LONG"
input_options = ["-re", "-stream_loop", "-1"]
"#;
const RECORDING: &str = "-f lavfi -i testsrc2=s=640x360:r=25 -t 20 -c:v libx264 -preset veryfast -tune zerolatency -bf 0 \
     -g 250 -keyint_min 250 -sc_threshold 0 -pix_fmt yuv420p -y";

pub(crate) async fn measure(engines: &[Engine]) -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let recording = folder.path().join("long.mp4");
    let recorded = std::process::Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error"])
        .args(RECORDING.split_whitespace())
        .arg(&recording)
        .status();
    assert!(recorded.is_ok_and(|status| status.success()), "FFmpeg cannot record the stream");
    let relay =
        Setup::config(CONFIG.replace("LONG", recording.to_str().expect("a temporary path is UTF-8"))).start().await;
    // A viewer keeps each source running.
    let mut warm = Vec::new();
    for stream in ["short", "long"] {
        warm.push(Viewer::playing(&relay, stream, &PLAYS_BOTH).await.watch());
    }
    let mut rows = Vec::new();
    for &engine in engines {
        let Some(browser) = Browser::start(engine).await else {
            rows.push(Row::new(format!("first frame, {engine}"), "not installed", ""));
            continue;
        };
        for (stream, gop) in [("short", "1 s GOP"), ("long", "10 s GOP")] {
            eprintln!("first frame: {engine}, {gop} …");
            let mut times = Vec::new();
            for _ in 0..LOADS {
                browser.open(&relay.url(&format!("/?stream={stream}"))).await;
                let time = until("the first frame", LIMIT, async || browser.tile(stream).await?.first_frame_ms).await;
                times.push(time);
            }
            times.sort_by(f64::total_cmp);
            let (median, worst) = (times[LOADS / 2], times[LOADS - 1]);
            let what = format!("WebSocket open to first frame, {engine}, {gop}");
            rows.push(Row::new(what, format!("{median:.0} ms (worst {worst:.0})"), "300 ms"));
        }
    }
    rows
}

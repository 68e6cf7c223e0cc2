//! Monitoring: correct metrics, and a machine-readable log.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use sightline_protocol::message::{ClientMessage, GapReason, ServerMessage};
use sightline_protocol::stream::VariantChoice;
use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{until, within};
use sightline_tests::viewer::{Acks, BackgroundViewer, Event, PLAYS_BOTH, PLAYS_H264, Viewer};
use tokio::time::sleep;

const CAM: Mount = Mount { path: "cam", kind: Kind::H265, mark: Rgb(0x20, 0x40, 0xc0) };
const DASHBOARD: &str = include_str!("../../../contrib/grafana/sightline.json");
const DOCUMENTED: &str = include_str!("../../../docs/monitoring.md");

const TEST: Duration = Duration::from_secs(90);
const START: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(10);

/// The samples of a scrape, by name and labels as written. Every line must be valid OpenMetrics.
async fn scrape(relay: &Relay) -> HashMap<String, f64> {
    let response = relay.get("/metrics").await;
    assert!(response.header("content-type").starts_with("application/openmetrics-text"), "{:?}", response.headers);
    let text = response.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let mut samples = HashMap::new();
    let mut families = Vec::new();
    for line in text.lines() {
        if let Some(about) = line.strip_prefix("# ") {
            if let Some(family) = about.strip_prefix("TYPE ") {
                families.push(family.split(' ').next().expect("a name").to_owned());
            }
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line:?}"));
        assert!(families.iter().any(|family| sample.starts_with(family)), "{sample} is of no family above it");
        let value = value.parse().unwrap_or_else(|_| panic!("no number: {line:?}"));
        assert!(samples.insert(sample.to_owned(), value).is_none(), "{sample} is there twice");
    }
    samples
}

fn sample(of: &str, variant: &str) -> String {
    format!("sightline_{of}{{stream=\"cam\",variant=\"{variant}\"}}")
}

fn by(protocol: &str, variant: &str) -> String {
    format!("sightline_viewers{{stream=\"cam\",variant=\"{variant}\",protocol=\"{protocol}\"}}")
}

fn skipped(reason: &str) -> String {
    format!("sightline_skipped_fragments_total{{stream=\"cam\",variant=\"copy\",reason=\"{reason}\"}}")
}

/// Waits for the next `gap` of that reason and returns its number of fragments.
async fn gap(viewer: &mut Viewer, reason: GapReason) -> f64 {
    let told = |event: &Event| match event {
        Event::Message(ServerMessage::Gap { skipped, why }) if *why == reason => Some(*skipped as f64),
        _ => None,
    };
    viewer.wait_for("a gap", SOON, told).await
}

async fn watch(relay: &Relay, codecs: &[&str]) -> BackgroundViewer {
    let viewer = Viewer::playing(relay, CAM.path, codecs).await.watch();
    until("a viewer's first fragments", START, async || (viewer.seen().fragments > 60).then_some(())).await;
    viewer
}

#[test]
fn metrics_match_what_viewers_receive() {
    within(TEST, async || {
        let camera = Camera::shared(&[CAM]).await;
        let relay = Setup::config(camera.config_by_ffmpeg()).start().await;
        let before = scrape(&relay).await;
        assert_eq!(before[&by("mse", "copy")], 0.0);
        assert_eq!(before[&sample("fragments_total", "copy")], 0.0);

        let viewers =
            [watch(&relay, &PLAYS_BOTH).await, watch(&relay, &PLAYS_BOTH).await, watch(&relay, &PLAYS_H264).await];
        let seen = viewers[0].seen().fragments;
        let now = scrape(&relay).await;
        let later = viewers[0].seen().fragments;
        assert_eq!((now[&by("mse", "copy")], now[&by("mse", "h264")]), (2.0, 1.0));
        assert_eq!(now[&sample("transcodes", "copy")], 1.0);
        assert_eq!(relay.get("/hls/cam/copy/media.m3u8").await.status, 200);
        assert_eq!(scrape(&relay).await[&by("hls", "copy")], 1.0);
        // The ring may have dropped its first fragments before this viewer joined.
        let fragments = now[&sample("fragments_total", "copy")];
        assert!(
            (seen as f64..=later as f64 + 30.0).contains(&fragments),
            "{fragments}: a viewer has {seen} to {later}"
        );
        // 25, and fewer if the camera's encoder waits for a core.
        assert!((2.0..35.0).contains(&now[&sample("frame_rate", "copy")]), "{now:?}");
        assert_eq!(now[&sample("source_failures_total", "copy")], 0.0);
        let live = "sightline_state{stream=\"cam\",variant=\"copy\",state=\"live\"}";
        assert_eq!((before[live], now[live]), (0.0, 1.0));
        assert_eq!(now[&sample("ingest_latency_seconds_count", "copy")], fragments);
        let delay = now[&sample("ingest_latency_seconds_sum", "copy")] / fragments;
        assert!((0.0..0.5).contains(&delay), "{delay} s");
        assert_eq!(now["sightline_process_children"], relay.ffmpegs().len() as f64);
        assert!(now["sightline_tasks"] > 3.0, "{}", now["sightline_tasks"]);
        let resident = relay.resident_kib() as f64 * 1024.0 / now["sightline_process_resident_memory_bytes"];
        assert!((0.7..1.4).contains(&resident), "{resident}");

        // One killed FFmpeg is one failure and one new epoch.
        relay.readers(&camera.url(CAM.path)).iter().for_each(sightline_tests::process::Process::kill);
        let counted = async || {
            let now = scrape(&relay).await;
            (now[&sample("source_failures_total", "copy")] == 1.0 && now[&sample("epochs_total", "copy")] == 2.0)
                .then_some(())
        };
        until("the failure to be counted", SOON, counted).await;
    });
}

#[test]
fn sent_skipped_and_acknowledged_fragments_are_counted() {
    within(TEST, async || {
        let camera = Camera::shared(&[CAM]).await;
        let relay = Setup::config(camera.config()).start().await;
        let mut viewer = Viewer::v1(&relay, CAM.path).await;
        // By name, so that the relay does not switch to `low`.
        viewer.play(&PLAYS_BOTH, VariantChoice::Copy).await;
        viewer.take_media(30, START).await;
        let now = scrape(&relay).await;
        let acknowledged = now[&sample("delivery_latency_seconds_count", "copy")];
        assert!(acknowledged >= 2.0, "{acknowledged}");
        let after = now[&sample("delivery_latency_seconds_sum", "copy")] / acknowledged;
        assert!((0.0..1.0).contains(&after), "{after} s");

        // Without acknowledgements the send window stays full, and the relay sends nothing more.
        viewer.set_acks(Acks::ByHand);
        let total = async || scrape(&relay).await[&sample("fragments_total", "copy")];
        let before = total().await;
        // Three seconds of frames. A camera on a busy machine takes longer.
        let enough = async || (total().await >= before + 75.0).then_some(());
        until("frames that the viewer does not acknowledge", START, enough).await;
        let in_flight = scrape(&relay).await[&sample("in_flight_bytes", "copy")];
        assert!(in_flight > 1000.0, "{in_flight}");
        // Reads the media in the connection before acknowledging it.
        while viewer.next_within(Duration::from_millis(100)).await.is_some() {}
        viewer.acknowledge().await;
        let behind = gap(&mut viewer, GapReason::Behind).await;
        viewer.set_acks(Acks::Sent);
        viewer.send(&ClientMessage::Pause).await;
        sleep(Duration::from_secs(3)).await;
        viewer.send(&ClientMessage::Resume).await;
        let paused = gap(&mut viewer, GapReason::Paused).await;
        let now = scrape(&relay).await;
        assert_eq!((now[&skipped("behind")], now[&skipped("paused")], now[&skipped("overrun")]), (behind, paused, 0.0));

        drop(viewer);
        let none = async || (scrape(&relay).await[&sample("in_flight_bytes", "copy")] == 0.0).then_some(());
        until("nothing to be on its way to nobody", SOON, none).await;
    });
}

#[test]
fn dashboard_and_documentation_name_existing_metrics() {
    within(TEST, async || {
        let relay = Setup::demo().start().await;
        let samples = scrape(&relay).await;
        let names: Vec<&str> = samples.keys().map(|sample| sample.split('{').next().expect("a name")).collect();
        let dashboard: Value = serde_json::from_str(DASHBOARD).expect("the dashboard is JSON");
        let panels = dashboard["panels"].as_array().expect("it has panels");
        let queries = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("queries"));
        // Rates are measured only while a viewer watches, so a first scrape lacks them.
        let measured = ["sightline_bitrate_bits_per_second", "sightline_frame_rate"];
        let mut asked = 0;
        for query in queries.map(|target| target["expr"].as_str().expect("an expression")) {
            for word in query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                if word.starts_with("sightline_") {
                    asked += 1;
                    assert!(names.contains(&word) || measured.contains(&word), "{word} in {query}: no such metric");
                }
            }
        }
        assert!(asked >= panels.len(), "every panel asks for something");
        for name in names {
            let family = name.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count");
            assert!(DOCUMENTED.contains(family), "{family} is not in docs/monitoring.md");
        }
    });
}

#[test]
fn json_log_has_each_viewer_s_start_and_end() {
    within(TEST, async || {
        let camera = Camera::shared(&[CAM]).await;
        let relay = Setup::config(camera.config()).env("SIGHTLINE_LOG_FORMAT", "json").start().await;
        drop(watch(&relay, &PLAYS_BOTH).await);
        let life = async || {
            let log = relay.log();
            let lines = log.lines().filter(|line| line.starts_with('{'));
            let mut lines =
                lines.map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}")));
            lines.find(|line| line["message"].as_str().is_some_and(|message| message.starts_with("viewer ended")))
        };
        let life = until("the line of the viewer's life", SOON, life).await;
        assert_eq!(life["stream"], "cam");
        assert!(life["messages"].as_u64() > Some(60), "{life}");
        assert!(life["seconds"].as_f64() > Some(1.0) && life["bytes"].as_u64() > Some(10_000), "{life}");
        // The system resets a connection that is dropped before all of it was read.
        let ends = ["the viewer left", "Connection reset by peer"];
        let ended = |message: &str| ends.iter().any(|end| message.contains(end));
        assert!(life["message"].as_str().is_some_and(ended), "{life}");
        let health: Value = serde_json::from_slice(&relay.get("/healthz").await.body).expect("JSON");
        assert_eq!(
            (health["status"].as_str(), health["version"].as_str()),
            (Some("ok"), Some(env!("CARGO_PKG_VERSION")))
        );
    });
}

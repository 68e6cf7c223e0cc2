//! `sightline check`: runs each source of a configuration for a few seconds, as for a viewer, and prints a table of the
//! results.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use sightline_protocol::catalogue::StreamInfo;
use sightline_protocol::message::StreamState;
use sightline_protocol::stream::{StreamName, Variant};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::locate::Location;
use super::{LogFormat, print, this_program};
use crate::access::oidc;
use crate::api::catalogue::stream_info;
use crate::config::{Config, Label, Source};
use crate::hub::rendition::{Protocol, Purpose, Rendition, Status, Subscription};
use crate::hub::{Hub, ring};
use crate::ingest;
use crate::limits::LiveLimits;
use crate::net::tls::Certificate;

/// Time limit for the first frame: enough to wait for a key frame.
const FIRST_FRAME_TIMEOUT: Duration = Duration::from_secs(20);
/// Measuring time for rates and frame order. Few cameras have longer GOPs.
const MEASURE_TIME: Duration = Duration::from_secs(5);
/// Time limit for FFmpeg processes to end.
const END: Duration = Duration::from_secs(4);

/// The note for a source without video and without an error.
const NO_FRAME: &str = "no frame came in 20 s";

/// The result as JSON.
#[derive(Serialize)]
struct Report<'a> {
    /// The file; none for the demo streams.
    configuration: Option<&'a Path>,
    /// Whether every source shows something.
    ok: bool,
    /// One entry for each source.
    streams: Vec<Checked<'a>>,
}

/// One source.
#[derive(Serialize)]
struct Checked<'a> {
    ok: bool,
    /// Why it shows nothing.
    error: Option<String>,
    /// As in `GET /api/streams`.
    #[serde(flatten)]
    info: &'a StreamInfo,
}

/// Checks `config`, which was read from `location`: certificate, identity provider and sources. Prints its warnings and a table of the
/// sources, or JSON without warnings.
pub(super) async fn run(
    config: &Config,
    location: &Location,
    format: LogFormat,
) -> Result<(), Box<dyn std::error::Error>> {
    config.tls.as_ref().map(Certificate::load).transpose()?;
    if let Some(oidc) = &config.oidc {
        oidc::fetch_key_count(&oidc.keys).await?;
    }
    let streams = check(config, this_program()).await;
    let warnings: String = config.warnings().map(|warning| format!("warning: {warning}\n")).collect();
    match format {
        LogFormat::Human => print(&format!("{warnings}Checked {location}\n\n{}", table(&streams))),
        LogFormat::Json => print(&format!("{}\n", serde_json::to_string(&report(&streams, location.file()))?)),
    }
    match failed(&streams).len() {
        0 => Ok(()),
        failed => Err(format!("{failed} of {} sources show nothing", streams.len()).into()),
    }
}

/// Runs every source of `config` for a few seconds. `relay` is the path of this program. Returns one entry per stream, in
/// order.
async fn check(config: &Config, relay: Option<PathBuf>) -> Vec<StreamInfo> {
    let sources: Vec<_> = config.streams.iter().flat_map(with_sub).collect();
    let names = sources.iter().map(|(name, _)| name.clone());
    let hub = Hub::new(names, ring::RingLimits::new(config.ring_bytes), config.low);
    let (settings, tasks, shutdown) = (
        Arc::new(ingest::Settings::new(config, relay, LiveLimits::new(config.limits.clone()))),
        TaskTracker::new(),
        CancellationToken::new(),
    );
    let sources = sources.iter().filter_map(|(name, source)| Some((name, hub.stream(name)?, source)));
    let looks = sources.map(|(name, stream, source)| {
        ingest::start(&stream, source, &settings, &tasks, &shutdown);
        let Label { title, group } = source.label.clone();
        async move {
            let copy = stream.rendition(Variant::Copy);
            let subscription = copy.subscribe(Purpose::View(Protocol::Plain));
            let status = measure(copy, subscription).await;
            // Now, and not when the slowest source has been looked at: the figures of an idle source are gone by then.
            let mut info = stream_info(name, &stream, Instant::now());
            info.state = status.to_wire(Instant::now());
            (info.title, info.group) = (title, group);
            info
        }
    });
    let streams = join_all(looks).await;
    shutdown.cancel();
    tasks.close();
    // Processes that do not end in time end with this program.
    let _ = timeout(END, tasks.wait()).await;
    streams
}

/// A stream's source, and its sub stream as a source of its own.
fn with_sub((name, source): (&StreamName, &Source)) -> impl Iterator<Item = (StreamName, Source)> {
    let sub = source.of_sub().and_then(|sub| Some((format!("{name} (sub)").parse().ok()?, sub)));
    [(name.clone(), Source { sub: None, ..source.clone() })].into_iter().chain(sub)
}

/// Waits until the rendition has been live for [`MEASURE_TIME`] or has failed.
async fn measure(rendition: &Rendition, mut held: Subscription) -> Status {
    let settled = async {
        loop {
            match held.next_status().await {
                status @ (Status::Live | Status::Offline { .. }) => return status,
                Status::Idle | Status::Starting => {}
            }
        }
    };
    match timeout(FIRST_FRAME_TIMEOUT, settled).await {
        Ok(Status::Live) => {
            sleep(MEASURE_TIME).await;
            rendition.status()
        }
        Ok(status) => status,
        Err(_) => rendition.status(),
    }
}

fn report<'a>(streams: &'a [StreamInfo], configuration: Option<&'a Path>) -> Report<'a> {
    let checked = |info: &'a StreamInfo| Checked { ok: is_live(info), error: failure(info), info };
    Report { configuration, ok: failed(streams).is_empty(), streams: streams.iter().map(checked).collect() }
}

/// Whether the stream was live at the end of the check.
fn is_live(stream: &StreamInfo) -> bool {
    stream.state == StreamState::Live
}

/// One line per stream and one per note.
fn table(streams: &[StreamInfo]) -> String {
    let head = ["stream", "result", "codec", "size", "frames/s", "bits/s", "sound"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(streams.iter().map(row)).collect();
    let widths: Vec<_> =
        (0..7).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()).collect();
    let mut text = String::new();
    for (n, row) in rows.iter().enumerate() {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
        for note in n.checked_sub(1).and_then(|n| streams.get(n)).map(notes).unwrap_or_default() {
            let _ = writeln!(text, "  {note}");
        }
    }
    text
}

fn row(stream: &StreamInfo) -> [String; 7] {
    let copy = stream.variants.iter().find(|variant| variant.variant == Variant::Copy);
    let known = |cell: Option<String>| cell.unwrap_or_else(|| "-".to_owned());
    let result = if is_live(stream) { "ok" } else { "FAILED" };
    let sound = stream.audio.as_ref().map(|audio| format!("{}, {} Hz", audio.source, audio.sample_rate));
    [
        stream.name.to_string(),
        result.to_owned(),
        known(copy.and_then(|copy| copy.codec.clone())),
        known(copy.and_then(|copy| copy.size).map(|size| format!("{}x{}", size.width, size.height))),
        known(copy.and_then(|copy| copy.frame_rate).map(|rate| format!("{rate:.1}"))),
        known(copy.and_then(|copy| copy.bit_rate).map(|bits| format!("{:.2} M", bits as f64 / 1e6))),
        known(sound),
    ]
}

fn notes(stream: &StreamInfo) -> Vec<String> {
    failure(stream).into_iter().chain(stream.notes.iter().cloned()).collect()
}

/// Why the stream shows nothing, if it does not.
fn failure(stream: &StreamInfo) -> Option<String> {
    match &stream.state {
        StreamState::Live => None,
        StreamState::Offline { message, .. } => Some(message.clone()),
        _ => Some(NO_FRAME.to_owned()),
    }
}

/// The streams that failed.
fn failed(streams: &[StreamInfo]) -> Vec<&StreamName> {
    streams.iter().filter(|stream| !is_live(stream)).map(|stream| &stream.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sightline_protocol::catalogue::{AudioInfo, VariantInfo};
    use sightline_protocol::message::{OfflineReason, Size};

    fn stream(name: &str, state: StreamState) -> StreamInfo {
        StreamInfo {
            name: name.parse().unwrap(),
            title: None,
            group: None,
            state,
            b_frames: None,
            notes: vec![],
            reader: None,
            relay: None,
            audio: None,
            variants: vec![],
        }
    }

    #[test]
    fn the_table_tells_what_is_there_and_why_something_is_not() {
        let mut yard = stream("yard", StreamState::Live);
        yard.notes = vec!["The camera sends B-frames.".to_owned()];
        yard.audio = Some(AudioInfo {
            source: "AAC".to_owned(),
            sample_rate: 48_000,
            channels: 1,
            codec: None,
            bit_rate: None,
            listeners: 0,
        });
        yard.variants = vec![VariantInfo {
            variant: Variant::Copy,
            state: StreamState::Live,
            codec: Some("hvc1.1.6.L93.B0".to_owned()),
            size: Some(Size { width: 1920, height: 1080 }),
            frame_rate: Some(25.0),
            bit_rate: Some(4_123_456),
            viewers: 1,
        }];
        let message = "the source is offline: it refuses the password".to_owned();
        let offline = StreamState::Offline { reason: OfflineReason::Failed, message, retry_in_ms: 1000 };
        let streams = [yard, stream("entrance", offline), stream("roof", StreamState::Starting)];
        assert_eq!(
            table(&streams),
            "\
stream    result  codec            size       frames/s  bits/s  sound
yard      ok      hvc1.1.6.L93.B0  1920x1080  25.0      4.12 M  AAC, 48000 Hz
  The camera sends B-frames.
entrance  FAILED  -                -          -         -       -
  the source is offline: it refuses the password
roof      FAILED  -                -          -         -       -
  no frame came in 20 s
"
        );
        let json = serde_json::to_value(report(&streams, Some(Path::new("a.toml")))).unwrap();
        assert_eq!((json["configuration"].as_str(), json["ok"].as_bool()), (Some("a.toml"), Some(false)));
        let entry = |n: usize| (json["streams"][n]["ok"].as_bool(), json["streams"][n]["error"].as_str());
        assert_eq!(entry(0), (Some(true), None));
        assert_eq!(entry(1), (Some(false), Some("the source is offline: it refuses the password")));
        assert_eq!(json["streams"][0]["variants"][0]["codec"], "hvc1.1.6.L93.B0");
        assert_eq!(failed(&streams).iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["entrance", "roof"]);
    }
}

//! `GET /metrics`: long-term metrics as OpenMetrics text. Values are read from the hub at each request. Labels come from the
//! configuration, so their number is bounded.

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use indexmap::IndexMap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use sightline_protocol::catalogue::ReaderName;
use sightline_protocol::message::GapReason;
use sightline_protocol::stream::StreamName;

use crate::cluster::stats::Stats;
use crate::hub::rendition::{Protocol, Rendition, RenditionStats, Status};
use crate::hub::{Hub, Stream};
use crate::net::rejections::Rejections;
use process::Totals;

mod process;

/// OpenMetrics 1.0.0, section "Protocol Negotiation".
const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The states of a rendition, as in the catalogue.
const STATES: [&str; 4] = ["idle", "starting", "live", "offline"];
/// The reasons for skipped fragments, as in the WebSocket's `gap` message.
const REASONS: [(GapReason, &str); 3] =
    [(GapReason::Behind, "behind"), (GapReason::Overrun, "overrun"), (GapReason::Paused, "paused")];

/// What metrics are read from.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    /// The renditions.
    pub(crate) hub: Arc<Hub>,
    /// The counts of rejections.
    pub(crate) rejections: Rejections,
    /// The counts of the cluster, if the relay is part of one.
    pub(crate) cluster: Option<Arc<Stats>>,
}

/// Responds with all metrics.
pub(super) async fn metrics(State(sources): State<Sources>) -> Response {
    let mut registry = Registry::with_prefix("sightline");
    registry.register_collector(Box::new(sources));
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(CONTENT_TYPE, TEXT)], text).into_response(),
        // Writing to a string does not fail.
        Err(fmt::Error) => axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let streams = self.hub.streams();
        let renditions: Vec<_> =
            streams.values().flat_map(|stream| stream.renditions().chain(stream.audio_renditions())).cloned().collect();
        let mut all = Encode { encoder: &mut encoder, renditions: &renditions };

        all.viewers()?;
        all.gauge("transcodes", "Transcodes that are made from it now", |rendition| {
            Some(rendition.subscribers().borrow().transcoders as f64)
        })?;
        all.gauge("bitrate_bits_per_second", "Bits per second, measured over the newest media", |rendition| {
            rendition.bit_rate().map(|bits| bits as f64)
        })?;
        all.gauge("frame_rate", "Frames a second, measured over the newest media", Rendition::frame_rate)?;
        all.states()?;
        readers(all.encoder, &streams)?;
        all.counter("fragments", "Fragments published, one for each frame", None, |rendition| {
            rendition.stats().fragments()
        })?;
        all.counter("media", "Bytes of the fragments published", Some(&Unit::Bytes), |rendition| {
            rendition.stats().bytes()
        })?;
        all.counter("epochs", "Epochs begun: starts of a source, and changes of what it sends", None, |rendition| {
            rendition.stats().epochs()
        })?;
        all.counter(
            "source_failures",
            "Failures of the source, after each of which FFmpeg is started anew",
            None,
            |rendition| rendition.stats().failures(),
        )?;
        all.skipped()?;
        all.in_flight()?;
        all.histogram(
            "ingest_latency",
            "From a frame's arrival at this machine to its publication",
            RenditionStats::ingest_latency,
        )?;
        let help = "From a frame's publication to a viewer's acknowledgement";
        all.histogram("delivery_latency", help, RenditionStats::delivery_latency)?;
        rejected(&mut encoder, &self.rejections)?;
        if let Some(stats) = &self.cluster {
            cluster(&mut encoder, stats)?;
        }
        process(&mut encoder, Totals::read())
    }
}

struct Encode<'a, 'b> {
    encoder: &'a mut DescriptorEncoder<'b>,
    renditions: &'a [Arc<Rendition>],
}

fn labels(rendition: &Rendition) -> [(&'static str, String); 2] {
    [("stream", rendition.stream().to_string()), ("variant", rendition.name().to_owned())]
}

impl Encode<'_, '_> {
    fn family(
        &mut self,
        (name, help, unit): (&str, &str, Option<&Unit>),
        kind: MetricType,
        mut one: impl FnMut(&Rendition, MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, unit, kind)?;
        self.renditions.iter().try_for_each(|rendition| one(rendition, family.encode_family(&labels(rendition))?))
    }

    /// Encodes a gauge for the renditions that have a value.
    fn gauge(&mut self, name: &str, help: &str, value: impl Fn(&Rendition) -> Option<f64>) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        let known = self.renditions.iter().filter_map(|rendition| Some((labels(rendition), value(rendition)?)));
        for (labels, value) in known {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn counter(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: impl Fn(&Rendition) -> u64,
    ) -> fmt::Result {
        self.family((name, help, unit), MetricType::Counter, |rendition, encoder| {
            ConstCounter::new(value(rendition)).encode(encoder)
        })
    }

    fn states(&mut self) -> fmt::Result {
        let help = "1 for what the rendition is doing, 0 for what it is not";
        let mut family = self.encoder.encode_descriptor("state", help, None, MetricType::Gauge)?;
        for rendition in self.renditions {
            let now = match rendition.status() {
                Status::Idle => STATES[0],
                Status::Starting => STATES[1],
                Status::Live => STATES[2],
                Status::Offline { .. } => STATES[3],
            };
            let [stream, variant] = labels(rendition);
            for state in STATES {
                let labels = [stream.clone(), variant.clone(), ("state", state.to_owned())];
                ConstGauge::new(i64::from(state == now)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn viewers(&mut self) -> fmt::Result {
        let help = "Viewers now; all that watch one variant by HLS are one";
        let mut family = self.encoder.encode_descriptor("viewers", help, None, MetricType::Gauge)?;
        for rendition in self.renditions {
            let (subscribers, [stream, variant]) = (*rendition.subscribers().borrow(), labels(rendition));
            for protocol in Protocol::ALL {
                let labels = [stream.clone(), variant.clone(), ("protocol", protocol.name().to_owned())];
                ConstGauge::new(subscribers.viewers_by(protocol) as f64).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn skipped(&mut self) -> fmt::Result {
        let help = "Fragments left out for viewers, counted for each viewer";
        let mut family = self.encoder.encode_descriptor("skipped_fragments", help, None, MetricType::Counter)?;
        for rendition in self.renditions {
            let [stream, variant] = labels(rendition);
            for (reason, name) in REASONS {
                let labels = [stream.clone(), variant.clone(), ("reason", name.to_owned())];
                ConstCounter::new(rendition.stats().skipped(reason)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn in_flight(&mut self) -> fmt::Result {
        let about = ("in_flight", "Bytes sent to viewers and not acknowledged yet", Some(&Unit::Bytes));
        self.family(about, MetricType::Gauge, |rendition, encoder| {
            ConstGauge::new(rendition.stats().in_flight() as f64).encode(encoder)
        })
    }

    fn histogram(&mut self, name: &str, help: &str, of: impl Fn(&RenditionStats) -> &Histogram) -> fmt::Result {
        self.family((name, help, Some(&Unit::Seconds)), MetricType::Histogram, |rendition, encoder| {
            of(rendition.stats()).encode(encoder)
        })
    }
}

/// The reader of each source that has run.
fn readers(encoder: &mut DescriptorEncoder<'_>, streams: &IndexMap<StreamName, Stream>) -> fmt::Result {
    let help = "1 for what reads the source, with the reason where FFmpeg reads what the relay was to read itself";
    let mut family = encoder.encode_descriptor("source_reader", help, None, MetricType::Gauge)?;
    for (name, stream) in streams {
        let Some(reader) = stream.reader().get() else { continue };
        let by = match reader.name {
            ReaderName::Direct => "direct",
            ReaderName::Ffmpeg => "ffmpeg",
        };
        let reason = reader.fallback.map_or("", |fallback| fallback.cause);
        let labels = [("stream", name.as_str()), ("reader", by), ("reason", reason)];
        ConstGauge::new(1i64).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// Rejected requests and failed logins.
fn rejected(encoder: &mut DescriptorEncoder<'_>, rejections: &Rejections) -> fmt::Result {
    let help = "Requests rejected, by HTTP status or WebSocket close code";
    let mut family = encoder.encode_descriptor("rejections", help, None, MetricType::Counter)?;
    for (code, total) in rejections.codes() {
        ConstCounter::new(total).encode(family.encode_family(&[("code", code.to_string())])?)?;
    }
    let help = "Wrong passwords and tokens, by the form or by a header";
    let mut family = encoder.encode_descriptor("failed_logins", help, None, MetricType::Counter)?;
    for (method, total) in rejections.failed_logins() {
        ConstCounter::new(total).encode(family.encode_family(&[("method", method.name())])?)?;
    }
    Ok(())
}

/// The relay's part of a cluster.
fn cluster(encoder: &mut DescriptorEncoder<'_>, stats: &Stats) -> fmt::Result {
    let mut gauge = |name, help, value: u64| {
        let gauge = ConstGauge::new(value as f64);
        gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
    };
    gauge("cluster_connections", "Connections to the NATS server: 2 when all is well", stats.connections())?;
    gauge("cluster_relays", "Other relays that are heard", stats.relays())?;
    gauge("cluster_remote_streams", "Listed streams of other relays", stats.remote_streams())?;
    gauge("cluster_interests", "Renditions that other relays show, counted for each relay", stats.interests())?;
    let ((sent, sent_bytes), (received, received_bytes)) = (stats.sent_total(), stats.received_total());
    let mut counter = |name, help, unit: Option<Unit>, value: u64| {
        let counter = ConstCounter::new(value);
        counter.encode(encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?)
    };
    counter("cluster_sent_messages", "NATS messages of media sent", None, sent)?;
    counter("cluster_sent", "Bytes of these messages", Some(Unit::Bytes), sent_bytes)?;
    counter("cluster_received_messages", "NATS messages of media received", None, received)?;
    counter("cluster_received", "Bytes of these messages", Some(Unit::Bytes), received_bytes)?;
    counter("cluster_joins", "Requests for the newest frames of another relay's rendition", None, stats.joins())?;
    counter("cluster_gaps", "Gaps in what another relay sent; each leads to a join", None, stats.gaps())
}

/// Metrics of the relay's own process, without its FFmpeg processes.
fn process(encoder: &mut DescriptorEncoder<'_>, totals: Totals) -> fmt::Result {
    let mut gauge = |name, help, unit: Option<Unit>, value: Option<u64>| match value {
        Some(value) => {
            let gauge = ConstGauge::new(value as f64);
            gauge.encode(encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?)
        }
        None => Ok(()),
    };
    gauge("process_resident_memory", "Resident memory of the relay", Some(Unit::Bytes), totals.resident)?;
    gauge("process_open_fds", "Open file descriptors of the relay", None, totals.descriptors)?;
    gauge("process_children", "Processes that the relay has started and that run: FFmpegs", None, totals.children)?;
    gauge("tasks", "Tasks of the relay: some for each connection, viewer and source", None, totals.tasks)?;
    if let Some(seconds) = totals.cpu_seconds {
        let counter = ConstCounter::new(seconds);
        let help = "Processor time of the relay, in user and system mode";
        counter.encode(encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?)?;
    }
    let info = [("version", env!("CARGO_PKG_VERSION"))];
    let mut family =
        encoder.encode_descriptor("build_info", "The relay's version, as a label", None, MetricType::Gauge)?;
    ConstGauge::new(1i64).encode(family.encode_family(&info)?)
}

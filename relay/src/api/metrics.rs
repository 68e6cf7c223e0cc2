//! `GET /metrics`: what an operator watches over months, as OpenMetrics text. Nothing is kept for it: the hub is asked when
//! somebody asks. Labels are names of the configuration, and so are bounded.

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use sightline_protocol::message::TrackKind;

use crate::hub::Hub;
use crate::hub::rendition::{Rendition, Status};
use process::Totals;

mod process;

/// OpenMetrics 1.0.0, section "Protocol Negotiation".
const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The states of a rendition, as the catalogue has them.
const STATES: [&str; 4] = ["idle", "starting", "live", "offline"];

/// What is asked.
#[derive(Debug)]
struct Relay(Arc<Hub>);

/// Answers with all of them.
pub(super) async fn metrics(State(hub): State<Arc<Hub>>) -> Response {
    let mut registry = Registry::with_prefix("sightline");
    registry.register_collector(Box::new(Relay(hub)));
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(CONTENT_TYPE, TEXT)], text).into_response(),
        // Writing to a text does not fail.
        Err(fmt::Error) => axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl Collector for Relay {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let streams = self.0.streams();
        let renditions: Vec<_> =
            streams.values().flat_map(|stream| stream.renditions().chain([stream.audio()])).cloned().collect();
        let mut all = Encode { encoder: &mut encoder, renditions: &renditions };

        all.gauge("viewers", "Viewers now; all that watch one variant by HLS are one", |rendition| {
            Some(rendition.holders().borrow().viewers as f64)
        })?;
        all.gauge("bit_rate", "Bits a second, measured over the newest media", |rendition| {
            rendition.bit_rate().map(|bits| bits as f64)
        })?;
        all.gauge("frame_rate", "Frames a second, measured over the newest media", Rendition::frame_rate)?;
        all.states()?;
        all.counter("fragments", "Fragments published, one for each frame", None, |rendition| {
            rendition.tally().fragments()
        })?;
        all.counter("media", "Bytes of the fragments published", Some(&Unit::Bytes), |rendition| {
            rendition.tally().bytes()
        })?;
        all.counter("epochs", "Epochs begun: starts of a source, and changes of what it sends", None, |rendition| {
            rendition.tally().epochs()
        })?;
        all.counter(
            "source_failures",
            "Failures of the source, after each of which FFmpeg is started anew",
            None,
            |rendition| rendition.tally().failures(),
        )?;
        all.counter(
            "skipped_fragments",
            "Fragments left out for viewers who were behind, counted for each viewer",
            None,
            |rendition| rendition.tally().skipped(),
        )?;
        all.delays()?;
        process(&mut encoder, Totals::read())
    }
}

struct Encode<'a, 'b> {
    encoder: &'a mut DescriptorEncoder<'b>,
    renditions: &'a [Arc<Rendition>],
}

fn labels(rendition: &Rendition) -> [(&'static str, String); 2] {
    let variant = match rendition.kind() {
        TrackKind::Audio => "audio".to_owned(),
        TrackKind::Video => rendition.variant().to_string(),
    };
    [("stream", rendition.stream().to_string()), ("variant", variant)]
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

    /// Of those of which it is known.
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

    fn delays(&mut self) -> fmt::Result {
        let help = "From a frame's arrival at this machine to where viewers are sent it from";
        self.family(("capture_to_ring", help, Some(&Unit::Seconds)), MetricType::Histogram, |rendition, encoder| {
            rendition.tally().delay().encode(encoder)
        })
    }
}

/// The relay's own process, without its FFmpegs.
fn process(encoder: &mut DescriptorEncoder<'_>, totals: Totals) -> fmt::Result {
    let mut gauge = |name, help, unit: Option<Unit>, value: Option<u64>| match value {
        Some(value) => {
            let gauge = ConstGauge::new(value as f64);
            gauge.encode(encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?)
        }
        None => Ok(()),
    };
    gauge("process_resident_memory", "Resident memory of the relay", Some(Unit::Bytes), totals.resident)?;
    gauge("process_open_descriptors", "Open descriptors of the relay", None, totals.descriptors)?;
    gauge("process_children", "Processes that the relay has started and that run: FFmpegs", None, totals.children)?;
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

//! The latency probe: reads the clock that the camera burns into every frame back from a page's video. The result is each
//! frame's true age when it is presented, independent of the page's claim.
//!
//! Input: the frames of one tile, or of the first playing video of any page. Output: a [`Watch`] with a [`Sample`] for each
//! presented frame. Between two collections the page stores at most one minute of samples. Beyond that the oldest are dropped
//! and counted.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::Browser;
use crate::stats::percentile;

/// Follows every frame of a video.
const INSTALL: &str = concat!(include_str!("videos.js"), include_str!("painted.js"), include_str!("latency_probe.js"));

/// Null after a reload of the page, which removes the probe.
const TAKE: &str = "return window.sightlineProbe ? window.sightlineProbe.take() : null";

/// The collection interval: long enough not to disturb the page, short enough to keep its heap small.
const COLLECT: Duration = Duration::from_secs(2);

/// The claim may be an average over half a second, so it is compared with such an average.
const CLAIM_SPAN_MS: f64 = 500.0;

/// A longer interval between two frames is a stall: six frames of a camera.
pub const STALL: Duration = Duration::from_millis(250);

/// A presented frame.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Sample {
    /// The presentation time, in ms of Unix time.
    pub at: f64,
    /// Its true age at that time in ms, by the clock in it.
    pub truth_ms: f64,
    /// The age that the page claimed at that time: `data-latency-ms`.
    pub claimed_ms: Option<f64>,
    /// Its position on the video's timeline in seconds.
    pub media_time: f64,
    /// The number of frames that the video element has presented. None in engines without `requestVideoFrameCallback`, and by
    /// WebCodecs.
    pub presented: Option<u64>,
    /// Its width in pixels.
    pub width: u32,
}

impl Sample {
    /// The time at which the camera made the frame, in ms of Unix time.
    pub fn made_at(&self) -> f64 {
        self.at - self.truth_ms
    }
}

/// The samples of one observation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Watch {
    /// Start, in ms of Unix time.
    pub from: f64,
    /// End, in ms of Unix time.
    pub until: f64,
    /// Presented frames in order of presentation. A frame that is presented twice occurs once.
    pub samples: Vec<Sample>,
    /// Frames with an unreadable clock.
    pub unreadable: u64,
}

/// The statistics of a [`Watch`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// The duration of the watch.
    pub span: Duration,
    /// Presented frames with a clock.
    pub frames: usize,
    /// Frames that the page presented and the probe missed or could not read.
    pub missed: u64,
    /// Frames older than their predecessor.
    pub backward: usize,
    /// The median of the ages at presentation, in ms.
    pub p50: f64,
    /// The 95th percentile of the ages.
    pub p95: f64,
    /// The maximum of the ages.
    pub max: f64,
    /// The greatest age of a frame on the screen when its successor came or the watch ended.
    pub oldest: f64,
    /// The number of stalls.
    pub stalls: usize,
    /// The total duration of the stalls.
    pub frozen: Duration,
    /// The error of the page's claimed age, as averages: 95th percentile. None without a claim.
    pub claim_error_p95: Option<f64>,
}

impl Summary {
    /// Stalls per minute.
    pub fn stalls_per_minute(&self) -> f64 {
        self.stalls as f64 * 60.0 / self.span.as_secs_f64().max(f64::EPSILON)
    }
}

impl Watch {
    /// The part of the watch between two moments of Unix time in ms.
    pub fn between(&self, from: f64, until: f64) -> Self {
        let samples = self.samples.iter().filter(|sample| (from..until).contains(&sample.at)).copied().collect();
        Self { from: from.max(self.from), until: until.min(self.until), samples, unreadable: 0 }
    }

    /// The greatest step back in time from one frame to the next, in ms.
    pub fn step_back(&self) -> f64 {
        let steps = self.samples.windows(2).map(|pair| pair[0].made_at() - pair[1].made_at());
        steps.fold(0.0, f64::max)
    }

    /// The time after `since` from which the video was fresh until the end. Fresh means that no frame is older than `age_ms`
    /// and no interval between frames is longer. None if the video is not fresh at the end.
    pub fn fresh_since(&self, since: f64, age_ms: f64) -> Option<f64> {
        let mut fresh = None;
        let mut last = since;
        for sample in self.samples.iter().filter(|sample| sample.at >= since) {
            if sample.truth_ms > age_ms {
                fresh = None;
            } else if fresh.is_none() || sample.at - last > age_ms {
                fresh = Some(sample.at);
            }
            last = sample.at;
        }
        fresh.filter(|_| self.until - last <= age_ms)
    }

    /// The statistics. An interval longer than `stall` is a stall. None without samples.
    pub fn summary(&self, stall: Duration) -> Option<Summary> {
        let last = self.samples.last()?;
        let mut ages: Vec<f64> = self.samples.iter().map(|sample| sample.truth_ms).collect();
        ages.sort_by(f64::total_cmp);
        let ends = self.samples.iter().map(|sample| sample.at).skip(1).chain([self.until]);
        let stands: Vec<f64> = ends.zip(&self.samples).map(|(end, sample)| end - sample.at).collect();
        let frozen: Vec<f64> =
            stands.iter().copied().filter(|&ms| Duration::from_secs_f64(ms.max(0.0) / 1e3) > stall).collect();
        let oldest = self.samples.iter().zip(&stands).map(|(sample, stand)| sample.truth_ms + stand);
        let pairs = || self.samples.windows(2).map(|pair| (pair[0], pair[1]));
        let missed = pairs().filter_map(|(a, b)| b.presented?.checked_sub(a.presented? + 1)).sum();
        Some(Summary {
            span: Duration::from_secs_f64((self.until - self.from).max(0.0) / 1e3),
            frames: self.samples.len(),
            missed,
            backward: pairs().filter(|(a, b)| b.made_at() < a.made_at()).count(),
            p50: percentile(&ages, 50),
            p95: percentile(&ages, 95),
            max: percentile(&ages, 100),
            oldest: oldest.fold(last.truth_ms, f64::max),
            stalls: frozen.len(),
            frozen: Duration::from_secs_f64(frozen.iter().sum::<f64>() / 1e3),
            claim_error_p95: self.claim_error_p95(),
        })
    }

    fn claim_error_p95(&self) -> Option<f64> {
        let mut errors = Vec::new();
        let (mut first, mut sum) = (0, 0.0);
        for (index, sample) in self.samples.iter().enumerate() {
            sum += sample.truth_ms;
            while sample.at - self.samples[first].at > CLAIM_SPAN_MS {
                sum -= self.samples[first].truth_ms;
                first += 1;
            }
            let truth = sum / (index + 1 - first) as f64;
            errors.extend(sample.claimed_ms.map(|claimed| (claimed - truth).abs()));
        }
        errors.sort_by(f64::total_cmp);
        (!errors.is_empty()).then(|| percentile(&errors, 95))
    }

    fn add(&mut self, taken: Taken) {
        self.until = taken.now;
        // Samples that the page dropped were not read.
        self.unreadable += taken.unreadable + taken.lost;
        for sample in taken.samples {
            // The clock in a frame has a resolution of 1 ms.
            let again = self.samples.last().is_some_and(|last| (last.made_at() - sample.made_at()).abs() < 2.0);
            if !again {
                self.samples.push(sample);
            }
        }
    }
}

/// The page's collected samples.
#[derive(Debug, Deserialize)]
struct Taken {
    now: f64,
    samples: Vec<Sample>,
    unreadable: u64,
    lost: u64,
}

impl Browser {
    /// Reads the clock in a stream's video for `span`. The video need not have started. A page has one probe at a time.
    ///
    /// # Panics
    /// When the page is left or reloaded meanwhile.
    pub async fn watch_clock(&self, stream: &str, span: Duration) -> Watch {
        let mut watch = self.open_latency_probe(stream).await;
        self.collect_for(&mut watch, span).await;
        self.script("window.sightlineProbe.close()", vec![]).await;
        watch
    }

    /// Starts the probe on a stream's video, until the page is left. [`Self::collect`] takes its samples.
    pub async fn open_latency_probe(&self, stream: &str) -> Watch {
        self.open_probe_on(json!(stream)).await
    }

    /// Starts the probe on the first playing video of any page, including open shadow roots and frames of its origin.
    pub async fn open_latency_probe_on_page(&self) -> Watch {
        self.open_probe_on(Value::Null).await
    }

    async fn open_probe_on(&self, stream: Value) -> Watch {
        self.script(INSTALL, vec![stream]).await;
        Watch { from: self.take().await.now, ..Watch::default() }
    }

    /// Adds the samples of `span`.
    ///
    /// # Panics
    /// As [`Self::collect`].
    pub async fn collect_for(&self, watch: &mut Watch, span: Duration) {
        let end = Instant::now() + span;
        while Instant::now() < end {
            sleep_until(end.min(Instant::now() + COLLECT)).await;
            self.collect(watch).await;
        }
    }

    /// Adds the samples since the last collection, at most a minute ago.
    ///
    /// # Panics
    /// When the page was left or reloaded meanwhile.
    pub async fn collect(&self, watch: &mut Watch) {
        watch.add(self.take().await);
    }

    async fn take(&self) -> Taken {
        let taken = self.script(TAKE, vec![]).await;
        serde_json::from_value(taken)
            .unwrap_or_else(|e| panic!("{}: the page has lost the latency probe: {e}", self.engine()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames presented at these moments, each 100 ms old.
    fn frames(at: &[f64]) -> Vec<Sample> {
        let sample = |&at: &f64| Sample {
            at,
            truth_ms: 100.0,
            claimed_ms: None,
            media_time: at / 1e3,
            presented: None,
            width: 640,
        };
        at.iter().map(sample).collect()
    }

    #[test]
    fn a_picture_that_stands_still_ages_and_is_a_stall() {
        let watch = Watch { until: 700.0, samples: frames(&[0.0, 40.0, 80.0, 380.0, 420.0]), ..Watch::default() };
        let summary = watch.summary(STALL).expect("frames were seen");
        assert_eq!((summary.frames, summary.stalls, summary.frozen.as_millis()), (5, 2, 580));
        assert_eq!((summary.p50, summary.max, summary.oldest), (100.0, 100.0, 400.0));
        assert_eq!(watch.between(0.0, 400.0).summary(STALL).map(|summary| summary.stalls), Some(1));
        assert_eq!(Watch::default().summary(STALL), None);
    }

    #[test]
    fn a_picture_is_fresh_again_when_it_is_young_and_stays_so() {
        let mut samples = frames(&[0.0, 40.0, 2000.0, 2040.0, 2080.0]);
        samples[2].truth_ms = 1900.0;
        let watch = Watch { until: 2100.0, samples, ..Watch::default() };
        assert_eq!(watch.fresh_since(20.0, 1000.0), Some(2040.0), "the first new picture is an old one");
        assert_eq!(Watch { until: 4000.0, ..watch }.fresh_since(20.0, 1000.0), None, "it stands still again");
    }

    #[test]
    fn a_claim_is_compared_with_the_average_before_it() {
        let mut samples = frames(&[0.0, 400.0, 800.0]);
        samples[1].truth_ms = 140.0;
        samples[2].claimed_ms = Some(115.0);
        let watch = Watch { until: 840.0, samples, ..Watch::default() };
        assert_eq!(watch.summary(STALL).and_then(|summary| summary.claim_error_p95), Some(5.0));
    }

    #[test]
    fn a_frame_that_is_presented_twice_counts_once() {
        let mut samples = frames(&[0.0, 40.0, 60.0]);
        samples[2].truth_ms = 120.0;
        let mut watch = Watch::default();
        watch.add(Taken { now: 80.0, samples, unreadable: 1, lost: 0 });
        assert_eq!((watch.samples.len(), watch.unreadable, watch.until), (2, 1, 80.0));
    }
}

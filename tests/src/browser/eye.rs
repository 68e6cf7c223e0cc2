//! The eye: reads the clock that the camera burns into every picture back from a page's video, and so knows how old
//! each picture really is when it is presented, whatever the page says about it.
//!
//! Enters: the pictures of one tile, or of the first video that plays in a page of anybody's. Leaves: a [`Watch`], with a
//! [`Sample`] for each presented frame. Between two collections the page holds them, a minute's worth at most; of more the
//! oldest go, and are counted.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::Browser;
use crate::figures::percentile;

/// Follows every frame of a video.
const INSTALL: &str = concat!(include_str!("videos.js"), include_str!("eye.js"));

/// Null where the page has been loaded anew, and with it forgot the eye.
const TAKE: &str = "return window.sightlineEye ? window.sightlineEye.take() : null";

/// How often samples leave the page: seldom enough to leave it alone, often enough to leave its heap alone.
const COLLECT: Duration = Duration::from_secs(2);

/// The claim may be an average over half a second, so it is compared with one.
const CLAIM_SPAN_MS: f64 = 500.0;

/// A picture that is not renewed for so long is seen to stand still: six frames of a camera.
pub const STALL: Duration = Duration::from_millis(250);

/// A presented frame.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Sample {
    /// When it was presented, in ms of Unix time.
    pub at: f64,
    /// How old it was then in ms, by the clock in it.
    pub truth_ms: f64,
    /// What the page said about its age then: `data-latency-ms`.
    pub claimed_ms: Option<f64>,
    /// Its place on the video's timeline in seconds.
    pub media_time: f64,
    /// How many frames the video element has presented; not known in an engine without `requestVideoFrameCallback`.
    pub presented: Option<u64>,
}

impl Sample {
    /// When the camera made it, in ms of Unix time.
    pub fn made_at(&self) -> f64 {
        self.at - self.truth_ms
    }
}

/// What the eye saw.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Watch {
    /// From when, in ms of Unix time.
    pub from: f64,
    /// Until when.
    pub until: f64,
    /// Every presented frame, in the order of presentation; one that is presented twice is there once.
    pub samples: Vec<Sample>,
    /// Frames whose clock could not be read.
    pub unreadable: u64,
}

/// A [`Watch`] in figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Over how long.
    pub span: Duration,
    /// Frames with a clock that were presented.
    pub frames: usize,
    /// Frames that the page presented and the eye missed or could not read.
    pub missed: u64,
    /// Frames older than the one before.
    pub backward: usize,
    /// Their age when presented, in ms: the median.
    pub p50: f64,
    /// 95 of 100 were younger.
    pub p95: f64,
    /// The oldest.
    pub max: f64,
    /// The age that a picture on screen had reached when the next one came, or the watch ended: the most.
    pub oldest: f64,
    /// How often the picture stood still.
    pub stalls: usize,
    /// How long it did, in sum.
    pub frozen: Duration,
    /// How far the page's claim is from the truth, both as averages: 95 of 100 are nearer. None where it claims nothing.
    pub claim_error_p95: Option<f64>,
}

impl Summary {
    /// Stalls in a minute.
    pub fn stalls_per_minute(&self) -> f64 {
        self.stalls as f64 * 60.0 / self.span.as_secs_f64().max(f64::EPSILON)
    }
}

impl Watch {
    /// The part of it between two moments of Unix time in ms.
    pub fn between(&self, from: f64, until: f64) -> Self {
        let samples = self.samples.iter().filter(|sample| (from..until).contains(&sample.at)).copied().collect();
        Self { from: from.max(self.from), until: until.min(self.until), samples, unreadable: 0 }
    }

    /// From when on, after `since`, the picture was fresh and stayed so to the end: never older than `age_ms`, which is
    /// also how long it may stand still. None if it is not so at the end.
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

    /// Its figures; a picture that is not renewed for longer than `stall` stands still. None when nothing was seen.
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
        // What was lost in the page was not read.
        self.unreadable += taken.unreadable + taken.lost;
        for sample in taken.samples {
            // The clock in a picture is in whole ms.
            let again = self.samples.last().is_some_and(|last| (last.made_at() - sample.made_at()).abs() < 2.0);
            if !again {
                self.samples.push(sample);
            }
        }
    }
}

/// What the page had collected.
#[derive(Debug, Deserialize)]
struct Taken {
    now: f64,
    samples: Vec<Sample>,
    unreadable: u64,
    lost: u64,
}

impl Browser {
    /// Watches the clock in a stream's picture for `span`. Nothing need be shown yet; one eye at a time.
    ///
    /// # Panics
    /// When the page is left or loaded anew meanwhile.
    pub async fn watch_clock(&self, stream: &str, span: Duration) -> Watch {
        let mut watch = self.open_eye(stream).await;
        self.collect_for(&mut watch, span).await;
        self.script("window.sightlineEye.close()", vec![]).await;
        watch
    }

    /// Begins to watch the clock in a stream's picture, until the page is left: what is seen is for [`Self::collect`].
    pub async fn open_eye(&self, stream: &str) -> Watch {
        self.open_eye_on(json!(stream)).await
    }

    /// The same in a page of anybody's: of its first video that plays, in open shadow roots and in frames of its origin too.
    pub async fn open_eye_on_page(&self) -> Watch {
        self.open_eye_on(Value::Null).await
    }

    async fn open_eye_on(&self, stream: Value) -> Watch {
        self.script(INSTALL, vec![stream]).await;
        Watch { from: self.take().await.now, ..Watch::default() }
    }

    /// Adds what is seen for `span`.
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

    /// Adds what was seen since the last time, at most a minute ago.
    ///
    /// # Panics
    /// When the page was left or loaded anew meanwhile.
    pub async fn collect(&self, watch: &mut Watch) {
        watch.add(self.take().await);
    }

    async fn take(&self) -> Taken {
        let taken = self.script(TAKE, vec![]).await;
        serde_json::from_value(taken).unwrap_or_else(|e| panic!("{}: the page has lost the eye: {e}", self.engine()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames presented at these moments, each 100 ms old.
    fn frames(at: &[f64]) -> Vec<Sample> {
        let sample =
            |&at: &f64| Sample { at, truth_ms: 100.0, claimed_ms: None, media_time: at / 1e3, presented: None };
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

//! Fills the window of audio from its rendition, in step with the leading window of video.
//!
//! Input: the ring's items, and the leading window. Output: fragments in the window ([`Window::follow`]). A fragment waits until
//! the video has reached its time, because only then its segment is known. Audio of a source that has stopped sending it
//! continues as silence, because players stop at the end of either track; in a codec without known silence, as gaps. When full,
//! the queue drops the oldest fragments.

use std::collections::VecDeque;
use std::sync::Arc;

use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::init::InitSegment;
use sightline_media::fmp4::silence::Silence;

use super::lead::MediaTime;
use super::window::Window;

/// Maximum number of waiting items: some ten seconds of audio, more than video is ever late.
const HELD_MAX: usize = 512;
/// Time without a fragment after which a source has stopped sending audio, in seconds. Players play 0.8 s behind the newest
/// part, which lasts 0.2 s; cameras send at least three packets a second.
const STOPPED: f64 = 0.4;
/// Distance of silence from the newest video, in seconds: audio that continues is rarely later, and is heard from its first frame
/// on.
const LATE: f64 = 0.4;
/// Time without a fragment, in seconds, after which silence reaches the newest video. A player stops where audio ends, and is
/// hardly farther back than [`LATE`] and a part. Audio that returns is heard from then on.
const ENDED: f64 = 2.0;

/// An item of the ring.
#[derive(Debug)]
enum Item {
    Init(Arc<InitSegment>),
    Fragment(Arc<Fragment>),
}

/// See the [module](self). Reads no clock.
#[derive(Debug, Default)]
pub(super) struct AudioFeed {
    held: VecDeque<Item>,
    /// The init segment of the next fragment.
    init: Option<Arc<InitSegment>>,
    /// The init segment of the newest fragment in the window, and its silence.
    playing: Option<(Arc<InitSegment>, Option<Silence>)>,
    /// The end of the newest fragment in the window.
    end: Option<MediaTime>,
    /// When the source's newest fragment was taken.
    heard: f64,
}

impl AudioFeed {
    /// Starts an epoch.
    pub(super) fn start_epoch(&mut self, init: Arc<InitSegment>) {
        self.hold(Item::Init(init));
    }

    /// Appends a fragment.
    pub(super) fn push(&mut self, fragment: Arc<Fragment>) {
        self.hold(Item::Fragment(fragment));
    }

    fn hold(&mut self, item: Item) {
        if self.held.len() >= HELD_MAX
            && let Some(Item::Init(init)) = self.held.pop_front()
        {
            self.init = Some(init);
        }
        self.held.push_back(item);
    }

    /// Brings `window` up to the video in `leader` at `now`. Returns whether new media is available.
    pub(super) fn advance(&mut self, window: &mut Window, leader: &Window, now: f64) -> bool {
        let Some(reached) = leader.reached() else { return false };
        let mut news = false;
        while let Some(item) = self.held.pop_front() {
            match item {
                Item::Init(init) => self.init = Some(init),
                Item::Fragment(fragment) => {
                    let Some(init) = self.init.clone() else { continue };
                    let time = MediaTime::of(&init, fragment.head.decode_time);
                    if !time.is_before(&reached) {
                        self.held.push_front(Item::Fragment(fragment));
                        break;
                    }
                    news |= self.place((&init, &fragment), time, (window, leader), now);
                }
            }
        }
        let silent = now - self.heard;
        if window.durations().is_some() && silent >= STOPPED {
            let late = if silent < ENDED { LATE } else { 0.0 };
            news |= self.bridge(window, leader, MediaTime { seconds: reached.seconds - late, ..reached });
        }
        news
    }

    /// Appends a fragment at `time` to the window.
    fn place(
        &mut self,
        (init, fragment): (&Arc<InitSegment>, &Fragment),
        time: MediaTime,
        (window, leader): (&mut Window, &Window),
        now: f64,
    ) -> bool {
        let Some(at) = leader.led_at(time) else { return false };
        // Rounded times overlap a little.
        let middle =
            MediaTime { seconds: time.seconds + init.time(fragment.head.duration).as_secs_f64() / 2.0, ..time };
        if self.end.is_some_and(|end| middle.is_before(&end)) {
            self.heard = now;
            return false;
        }
        let filled = self.fill(window, leader, time);
        let usual = if window.durations().is_none() { self.usual_duration(fragment) } else { fragment.head.duration };
        let Some(news) = window.follow((init, fragment, usual), &at, leader) else {
            return filled;
        };
        if self.playing.as_ref().is_none_or(|(playing, _)| playing.bytes != init.bytes) {
            self.playing = Some((init.clone(), Silence::of(init)));
        }
        self.end = Some(MediaTime::of(init, fragment.head.decode_time + fragment.head.duration));
        self.heard = now;
        filled || news
    }

    /// The median duration of this fragment and the waiting ones, in ticks.
    fn usual_duration(&self, fragment: &Fragment) -> u64 {
        let waiting = self.held.iter().filter_map(|item| match item {
            Item::Fragment(fragment) => Some(fragment.head.duration),
            Item::Init(_) => None,
        });
        let mut durations: Vec<u64> = waiting.chain([fragment.head.duration]).collect();
        durations.sort_unstable();
        durations[durations.len() / 2]
    }

    /// Continues without audio up to `until`.
    fn bridge(&mut self, window: &mut Window, leader: &Window, until: MediaTime) -> bool {
        match self.playing {
            Some((_, Some(_))) => self.fill(window, leader, until),
            _ => window.follow_with_gaps(leader),
        }
    }

    /// Fills the time from the end of the audio up to `until` with silence, as far as whole frames fit.
    fn fill(&mut self, window: &mut Window, leader: &Window, until: MediaTime) -> bool {
        let (Some((init, Some(silence))), Some(end)) = (&self.playing, self.end) else { return false };
        let continues = (end.timeline == until.timeline).then_some(end).filter(|end| leader.led_at(*end).is_some());
        let Some(start) = continues.or_else(|| leader.start_of(until.timeline)) else { return false };
        let (silence, mut news) = (*silence, false);
        let init = Arc::new(InitSegment { timeline: until.timeline, ..(**init).clone() });
        let mut ticks = (start.seconds * f64::from(init.timescale)).round() as u64;
        while MediaTime::of(&init, ticks + silence.duration()).seconds <= until.seconds {
            let placed = silence.fragment(ticks).zip(leader.led_at(MediaTime::of(&init, ticks)));
            let placed =
                placed.and_then(|(fragment, at)| window.follow((&init, &fragment, silence.duration()), &at, leader));
            ticks += silence.duration();
            // A segment that was listed as a gap stays one.
            news |= placed.unwrap_or_default();
            self.end = Some(MediaTime::of(&init, ticks));
        }
        news
    }
}

#[cfg(test)]
mod tests;

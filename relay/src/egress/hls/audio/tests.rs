use bytes::Bytes;
use sightline_media::fmp4::init::{Reordering, TrackCodec};
use sightline_protocol::codec::AudioCodec;
use sightline_protocol::fragment::FragmentHead;
use sightline_protocol::message::TrackKind;

use super::super::lead::Lead;
use super::super::playlist;
use super::super::segment::Segment;
use super::super::window::tests::{self, FIRST, START, empty};
use super::super::window::{Lookup, SequenceNumbers};
use super::*;

/// A video frame, in seconds.
const FRAME: f64 = 0.04;
/// Ticks of an AAC frame, and per second.
const AAC_FRAME: u64 = 1024;
const RATE: u32 = 44_100;
const AAC: f64 = AAC_FRAME as f64 / RATE as f64;
/// FFmpeg's init segment of AAC-LC, one channel.
const INIT: &[u8] = include_bytes!("../../../../../media/src/fmp4/init/fixtures/audio.init.mp4");

fn init(timeline: u32) -> Arc<InitSegment> {
    let init = InitSegment::parse(Bytes::from_static(INIT), TrackKind::Audio, timeline).expect("the fixture is one");
    assert_eq!(init.timescale, RATE);
    Arc::new(init)
}

/// A codec without known silence.
fn he_aac(timeline: u32) -> Arc<InitSegment> {
    Arc::new(InitSegment {
        bytes: Bytes::from_static(b"he-aac"),
        codec: TrackCodec::Audio(AudioCodec::Aac { object_type: 5 }),
        timescale: RATE,
        size: None,
        timeline,
        reordering: Reordering::default(),
    })
}

fn audio(number: u64) -> Arc<Fragment> {
    let head = FragmentHead {
        track_id: 2,
        decode_time: number * AAC_FRAME,
        duration: AAC_FRAME,
        samples: 1,
        keyframe: true,
        composition_offset: 0,
        capture: None,
    };
    Arc::new(Fragment::new(&[0xaa; 20], head))
}

/// A camera with a key frame every `gop` frames, and the windows of its video and audio.
struct Camera {
    gop: usize,
    leader: Window,
    window: Window,
    feed: AudioFeed,
    /// The next frames of video and audio.
    video: usize,
    audio: u64,
    /// The timeline, its first frame of video, and what the capture clock counts beside it.
    timeline: u32,
    away: f64,
}

impl Camera {
    fn new(gop: usize) -> Self {
        let mut feed = AudioFeed::default();
        feed.start_epoch(init(1));
        let window = Window::new(1 << 20, SequenceNumbers { msn: 9000, discontinuity: 3 }).led_from(0);
        Self { gop, leader: empty(), window, feed, video: 0, audio: 0, timeline: 1, away: 0.0 }
    }

    /// Plays `frames` frames of video, with the audio of the same time if the microphone is on. `late` is the delay of the audio
    /// in seconds.
    fn play(&mut self, frames: usize, microphone: bool, late: f64) {
        for _ in 0..frames {
            let seconds = self.video as f64 * FRAME;
            let captured = START + self.away + seconds;
            let frame = tests::frame(self.video as u64, self.video.is_multiple_of(self.gop), captured, 10);
            self.leader.push(frame, 0.0, |_| Lead::None);
            self.video += 1;
            while (self.audio + 1) as f64 * AAC <= seconds + FRAME - late {
                if microphone {
                    self.feed.push(audio(self.audio));
                }
                self.audio += 1;
            }
            let now = self.now();
            self.feed.advance(&mut self.window, &self.leader, now);
        }
    }

    fn now(&self) -> f64 {
        START + self.away + self.video as f64 * FRAME
    }

    /// The camera restarts and is away for some seconds. Its clock starts again.
    fn restart(&mut self, away: f64) {
        self.away += self.video as f64 * FRAME + away;
        (self.video, self.audio, self.timeline) = (0, 0, self.timeline + 1);
        self.leader.start_epoch(Arc::new(InitSegment { timeline: self.timeline, ..(*tests::init()).clone() }));
    }

    fn segments(window: &Window) -> Vec<&Segment> {
        window.listed().chain(window.open()).collect()
    }

    /// Asserts that each segment of audio has the number, the discontinuity and the clock of the video's.
    fn is_in_step(&self) {
        let segments = Self::segments(&self.window);
        assert!(segments.len() > 3, "{} segments", segments.len());
        for (n, segment) in segments.iter().enumerate() {
            let led = Self::segments(&self.leader).into_iter().find(|led| led.msn == segment.msn);
            // An incomplete segment follows a gap.
            let Some(led) = led.filter(|_| n > 0 && !segments[n - 1].gap) else { continue };
            assert_eq!(led.discontinuity_sequence, segment.discontinuity_sequence, "{segment:?}");
            let late = segment.start - led.start;
            assert!((-0.011..AAC).contains(&late), "{late} s after {led:?}");
        }
        let target = |window: &Window| window.durations().expect("there is something to list").target_duration;
        assert_eq!(target(&self.window), target(&self.leader));
    }

    /// The duration of the audio in segments and open parts minus that of the video, in seconds.
    fn ahead(&self) -> f64 {
        let end = |window: &Window| Self::segments(window).last().map_or(0.0, |last| last.end());
        end(&self.window) - end(&self.leader)
    }

    /// The listed fragments that the microphone has not made.
    fn silent(&self) -> usize {
        let segments = Self::segments(&self.window);
        let fragments = segments.iter().flat_map(|segment| &segment.parts).flat_map(|part| &part.fragments);
        fragments.filter(|bytes| bytes[..] != [0xaa; 20]).count()
    }
}

#[test]
fn segments_follow_the_video() {
    for (gop, late) in [(25, 0.0), (25, 0.1), (50, 0.0), (50, 0.7), (100, 0.1), (250, 0.1)] {
        let mut camera = Camera::new(gop);
        camera.play(gop * 4 + 7, true, late);
        camera.is_in_step();
        assert_eq!(camera.silent(), 0, "GOP {gop}, {late} s late");
        assert!(Camera::segments(&camera.window).iter().skip(1).all(|segment| !segment.gap && segment.independent));
        assert!(camera.ahead().abs() < late + 0.25, "{} s", camera.ahead());
    }
}

#[test]
fn audio_that_comes_before_its_video_waits() {
    let mut camera = Camera::new(25);
    camera.play(110, true, -0.3);
    camera.is_in_step();
    assert!(camera.ahead() < 0.25, "{} s", camera.ahead());
}

#[test]
fn window_that_opens_later_has_the_numbers_of_the_video() {
    let mut camera = Camera::new(50);
    camera.play(50 * 6 + 20, false, 0.0);
    assert_eq!(camera.window.durations(), None);
    camera.play(50 * 3, true, 0.0);
    camera.is_in_step();
    let segments = Camera::segments(&camera.window);
    assert_eq!(segments.iter().map(|segment| segment.msn).collect::<Vec<_>>()[..2], [FIRST + 5, FIRST + 6]);
    assert!(segments[0].gap && !segments[1].gap, "the incomplete segment follows a gap");
}

#[test]
fn earlier_window_has_used_its_numbers() {
    let mut camera = Camera::new(25);
    camera.play(25 * 4 + 10, true, 0.0);
    let used = camera.window.numbers();
    assert_eq!(used.msn, FIRST + 5);
    camera.window = Window::new(1 << 20, used).led_from(used.msn);
    camera.feed = AudioFeed::default();
    camera.feed.start_epoch(init(1));
    camera.play(25 * 4, true, 0.0);
    let first = camera.window.listed().next().expect("a segment");
    assert_eq!((first.msn, first.gap, first.discontinuity_sequence), (used.msn, true, 7), "that of the video");
    camera.is_in_step();
}

#[test]
fn silence_replaces_the_audio_of_a_microphone_that_stops() {
    let mut camera = Camera::new(50);
    camera.play(50 * 3, true, 0.1);
    for n in 0..50 * 3 {
        camera.play(1, false, 0.1);
        // Players stop at the end of either track.
        let part = 0.2;
        let least = if f64::from(n) * FRAME < ENDED { -STOPPED - 2.0 * part } else { -part - AAC };
        assert!(camera.ahead() > least, "{} s after {n} frames", camera.ahead());
    }
    camera.is_in_step();
    let silent = camera.silent();
    assert!((200..300).contains(&silent), "{silent} fragments in 6 s");
    camera.play(50 * 3, true, 0.1);
    camera.is_in_step();
    assert!(camera.silent() < silent + 20, "the microphone is heard again: {}", camera.silent() - silent);
    let segments = Camera::segments(&camera.window);
    assert!(segments.iter().skip(1).all(|segment| !segment.gap && segment.map.id == segments[0].map.id));
}

#[test]
fn missing_frames_are_filled() {
    let mut camera = Camera::new(25);
    camera.play(40, true, 0.0);
    camera.play(5, false, 0.0);
    camera.play(40, true, 0.0);
    camera.is_in_step();
    assert!((7..=10).contains(&camera.silent()), "{} fragments in 0.2 s", camera.silent());
}

#[test]
fn codec_without_known_silence_has_gaps() {
    let mut camera = Camera::new(25);
    camera.feed = AudioFeed::default();
    camera.feed.start_epoch(he_aac(1));
    camera.play(25 * 3, true, 0.0);
    camera.play(25 * 3 + 5, false, 0.0);
    camera.play(25 * 2, true, 0.0);
    camera.is_in_step();
    let gaps: Vec<bool> = camera.window.listed().map(|segment| segment.gap).collect();
    assert_eq!(gaps, [false, false, false, true, true, true, false, false]);
    let text = playlist::media(&camera.window, false, &[]).expect("something to list");
    assert_eq!(text.matches("#EXT-X-GAP\n").count(), 3, "{text}");
    assert!(text.contains("#EXT-X-PART:DURATION=0.20898") && text.contains("INDEPENDENT=YES"), "{text}");
    assert_eq!(text.matches("#EXT-X-PART:").count(), text.matches("INDEPENDENT=YES").count(), "{text}");
}

#[test]
fn restart_is_a_discontinuity_at_the_same_segment() {
    for (away, new_init) in [(1.0, false), (3.0, true), (60.0, true)] {
        let mut camera = Camera::new(25);
        camera.play(25 * 3 + 10, true, 0.1);
        camera.restart(away);
        // The video comes back before the microphone.
        camera.play(25 * 2, false, 0.1);
        let next = if new_init { he_aac(2) } else { init(2) };
        camera.feed.start_epoch(next.clone());
        camera.play(25 * 4, true, 0.1);
        camera.is_in_step();
        let segments = Camera::segments(&camera.window);
        let breaks: Vec<u64> = segments.iter().filter(|segment| segment.discontinuity).map(|is| is.msn).collect();
        let led: Vec<u64> =
            camera.leader.listed().filter(|segment| segment.discontinuity).map(|segment| segment.msn).collect();
        assert_eq!(breaks, led, "after {away} s");
        let last = segments.last().expect("a segment");
        assert_eq!(last.map.init.bytes, next.bytes);
        assert_eq!(camera.window.map(last.map.id), Some(&next.bytes));
    }
}

#[test]
fn audio_of_a_source_that_starts_waits_for_its_video() {
    let mut camera = Camera::new(25);
    camera.feed.start_epoch(init(2));
    for number in 0..2000 {
        camera.feed.push(audio(number));
    }
    camera.play(50, false, 0.0);
    assert_eq!((camera.window.durations(), camera.feed.held.len()), (None, HELD_MAX));
    camera.restart(1.0);
    camera.play(25 * 50, false, 0.0);
    assert!(camera.window.durations().is_some(), "its video has come");
}

#[test]
fn memory_is_bounded_as_the_video_is() {
    let mut camera = Camera::new(25);
    camera.play(25 * 60, true, 0.0);
    camera.is_in_step();
    let numbers = |window: &Window| window.listed().map(|segment| segment.msn).collect::<Vec<_>>();
    let (audio, video) = (numbers(&camera.window), numbers(&camera.leader));
    assert!(audio.len().abs_diff(video.len()) <= 1, "{audio:?} beside {video:?}");
    assert_eq!(camera.window.segment(FIRST + 30), Lookup::Evicted);
    assert!(camera.feed.held.len() < 10);
}

//! The audio of a session: whether the viewer wants it, and the position in it.
//!
//! Audio starts at the time of the video's first frame, as far as the ring holds that: a player with both from the start need
//! not seek. It then continues independently of video and of changes of variant. A source without audio is not announced. A
//! viewer that falls behind skips to the newest audio.
//!
//! Audio comes with the main stream. The camera's sub stream has a timeline of its own. While the viewer is sent it, each
//! fragment of audio is moved to that timeline, by the capture times of both streams ([`Stream::sub_shift`]). The shift is taken
//! once for each epoch: both streams run by the camera's clock.

use std::sync::Arc;
use std::time::Duration;

use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::init::InitSegment;
use sightline_protocol::message::{GapReason, NewTrack, ServerMessage, TrackKind};

use crate::hub::Stream;
use crate::hub::rendition::{AudioForm, Protocol, Purpose, Subscription};
use crate::hub::ring::Step;

/// A viewer with a longer lag in audio skips to the newest audio.
const TOLERATED_LAG: Duration = Duration::from_millis(500);

/// The start of the video that the viewer gets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct VideoStart {
    pub(super) timeline: u32,
    pub(super) time: Duration,
    /// Whether the video is the camera's sub stream.
    pub(super) is_sub: bool,
}

/// The timeline on which the viewer gets the audio.
#[derive(Debug, Clone, Copy, PartialEq)]
enum AudioTimeline {
    /// The main stream's, which is the audio's own.
    Main,
    /// The sub stream's with this number.
    Sub(u32),
}

impl VideoStart {
    fn audio_timeline(self) -> AudioTimeline {
        if self.is_sub { AudioTimeline::Sub(self.timeline) } else { AudioTimeline::Main }
    }
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct AudioTrack {
    /// The subscription to the stream's audio while it is wanted.
    source: Option<AudioSource>,
    /// An init segment that waits for its first fragment.
    init: Option<Arc<InitSegment>>,
    /// Whether the audio has caught up with the source since its start.
    caught_up: bool,
    /// Number of init segments sent.
    epoch: u32,
}

/// The stream's audio, on one timeline.
struct AudioSource {
    stream: Stream,
    subscription: Subscription,
    timeline: AudioTimeline,
    /// Added to the audio's times, in ticks of its timescale.
    shift: i64,
}

impl AudioSource {
    fn new(stream: Stream) -> Self {
        let subscription = stream.audio(AudioForm::AsIs).subscribe(Purpose::View(Protocol::Mse));
        Self { stream, subscription, timeline: AudioTimeline::Main, shift: 0 }
    }

    /// The seconds to add to the audio's times, once they are known.
    fn shift(&self) -> Option<f64> {
        match self.timeline {
            AudioTimeline::Main => Some(0.0),
            AudioTimeline::Sub(_) => self.stream.sub_shift(),
        }
    }

    /// The init segment on the viewer's timeline.
    fn on_timeline(&self, init: Arc<InitSegment>) -> Arc<InitSegment> {
        match self.timeline {
            AudioTimeline::Main => init,
            AudioTimeline::Sub(timeline) => Arc::new(InitSegment { timeline, ..InitSegment::clone(&init) }),
        }
    }

    /// The fragment on the viewer's timeline. `None` where it precedes that.
    fn move_fragment(&self, fragment: Arc<Fragment>) -> Option<Arc<Fragment>> {
        if self.shift == 0 { Some(fragment) } else { fragment.moved(self.shift).map(Arc::new) }
    }
}

impl AudioTrack {
    /// Subscribes to the audio of `stream` or unsubscribes, according to `tracks`.
    pub(super) fn want(&mut self, tracks: &[TrackKind], stream: &Stream) {
        let wanted = tracks.contains(&TrackKind::Audio);
        if wanted != self.source.is_some() {
            self.source = wanted.then(|| AudioSource::new(stream.clone()));
            self.init = None;
        }
    }

    /// Restarts with the init segment.
    pub(super) fn rewind(&mut self) {
        self.init = None;
        if let Some(source) = &mut self.source {
            source.subscription.rewind();
        }
    }

    /// The next fragment to send, for video that began at `start`.
    fn poll(&mut self, start: VideoStart) -> Option<Arc<Fragment>> {
        if self.source.as_ref()?.timeline != start.audio_timeline() {
            self.rewind();
        }
        let source = self.source.as_mut()?;
        source.timeline = start.audio_timeline();
        loop {
            self.caught_up |= source.subscription.lag() < TOLERATED_LAG;
            if self.caught_up {
                source.subscription.skip_if_behind(TOLERATED_LAG, GapReason::Behind);
            }
            match source.subscription.step() {
                Step::Fragment(fragment) => {
                    let fragment = source.move_fragment(fragment);
                    if fragment.is_some() {
                        return fragment;
                    }
                }
                Step::Init(init) => {
                    let Some(shift) = source.shift() else {
                        // The main stream has no frame yet. The next audio tries again.
                        source.subscription.rewind();
                        return None;
                    };
                    let time = Duration::try_from_secs_f64(start.time.as_secs_f64() - shift).unwrap_or_default();
                    let timeline = if start.is_sub { init.timeline } else { start.timeline };
                    source.subscription.start_at(timeline, time);
                    source.shift = (shift * f64::from(init.timescale)).round() as i64;
                    (self.init, self.caught_up) = (Some(source.on_timeline(init)), false);
                }
                Step::Overrun(_) => {}
                Step::Pending => return None,
            }
        }
    }

    /// Waits for the next fragment. Pending without `start`: before the video has begun, and without permission to send.
    /// Cancel-safe.
    pub(super) async fn next(&mut self, start: Option<VideoStart>) -> Arc<Fragment> {
        loop {
            if let (Some(source), Some(start)) = (&mut self.source, start) {
                source.subscription.mark_seen();
                if let Some(fragment) = self.poll(start) {
                    return fragment;
                }
            }
            match self.source.as_mut().filter(|_| start.is_some()) {
                Some(source) => source.subscription.published().await,
                None => std::future::pending().await,
            }
        }
    }

    /// The announcement and the init segment to send before the next fragment, if any.
    pub(super) fn begin(&mut self) -> Option<(ServerMessage, Arc<InitSegment>)> {
        let init = self.init.take()?;
        self.epoch += 1;
        Some((ServerMessage::Track(NewTrack { epoch: self.epoch, track: init.track(None) }), init))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sightline_media::fmp4::init::{Reordering, TrackCodec};
    use sightline_media::fmp4::writer::{AccessUnit, fragment};
    use sightline_protocol::codec::AudioCodec;
    use sightline_protocol::fragment::NtpTime;
    use sightline_protocol::stream::Variant;

    use super::*;
    use crate::egress::test_stream::{H264, publish_captured, start_epoch, stream_with_sub};

    const TIMESCALE: u32 = 48_000;
    /// The main stream's timeline, by [`start_epoch`].
    const MAIN: u32 = 1;

    /// A stream on which audio of 20 ms is published up to `seconds`.
    fn stream_with_audio(seconds: u32) -> Stream {
        let stream = stream_with_sub();
        stream.audio(AudioForm::AsIs).start_epoch(InitSegment {
            bytes: Bytes::from_static(b"init"),
            codec: TrackCodec::Audio(AudioCodec::Opus),
            timescale: TIMESCALE,
            reordering: Reordering::default(),
            size: None,
            timeline: MAIN,
        });
        for n in 0..50 * seconds {
            let unit = AccessUnit { bytes: b"audio", decode_time: u64::from(n) * 960, duration: 960, keyframe: true };
            stream.audio(AudioForm::AsIs).publish(fragment(n + 1, unit, NtpTime::from_unix(0.0)).unwrap(), 0.0);
        }
        stream
    }

    /// Publishes a frame that both streams show, at these times in milliseconds.
    fn publish_pair(stream: &Stream, main: u64, sub: u64) {
        for (variant, time) in [(Variant::Copy, main), (Variant::Low, sub)] {
            start_epoch(stream, variant, H264, false);
            publish_captured(stream, variant, time, true, Some(NtpTime::from_unix(1000.0)));
        }
    }

    fn listening(stream: &Stream) -> AudioTrack {
        let mut audio = AudioTrack::default();
        audio.want(&[TrackKind::Audio], stream);
        audio
    }

    fn sub_start(seconds: f64) -> VideoStart {
        VideoStart { timeline: 7, time: Duration::from_secs_f64(seconds), is_sub: true }
    }

    /// The start of the next fragment in milliseconds, and the timeline that was announced for it.
    fn next(audio: &mut AudioTrack, start: VideoStart) -> Option<(u64, Option<u32>)> {
        let fragment = audio.poll(start)?;
        let announced = audio.begin().map(|(message, _)| match message {
            ServerMessage::Track(NewTrack { track, .. }) => track.timeline,
            other => panic!("{other:?}"),
        });
        Some((fragment.head.decode_time / 48, announced))
    }

    #[test]
    fn audio_is_moved_to_the_timeline_of_the_sub_stream_by_capture_times() {
        let stream = stream_with_audio(2);
        publish_pair(&stream, 1500, 500);
        let mut audio = listening(&stream);
        assert_eq!(next(&mut audio, sub_start(0.5)), Some((500, Some(7))), "the audio of 1.5 s");
        assert_eq!(next(&mut audio, sub_start(0.5)), Some((520, None)));
    }

    #[test]
    fn audio_returns_to_its_own_timeline_with_the_main_stream() {
        let stream = stream_with_audio(2);
        publish_pair(&stream, 1500, 500);
        let mut audio = listening(&stream);
        next(&mut audio, sub_start(0.5));
        let main = VideoStart { timeline: MAIN, time: Duration::from_secs(1), is_sub: false };
        assert_eq!(next(&mut audio, main), Some((1000, Some(MAIN))));
        assert_eq!(next(&mut audio, main), Some((1020, None)));
    }

    #[test]
    fn audio_before_the_sub_stream_is_left_out() {
        let stream = stream_with_audio(1);
        publish_pair(&stream, 900, 50);
        assert_eq!(next(&mut listening(&stream), sub_start(0.0)), Some((10, Some(7))), "the audio of 860 ms");
    }

    #[test]
    fn audio_of_the_sub_stream_waits_for_a_frame_of_the_main_stream() {
        let stream = stream_with_audio(1);
        let mut audio = listening(&stream);
        start_epoch(&stream, Variant::Low, H264, false);
        publish_captured(&stream, Variant::Low, 0, true, Some(NtpTime::from_unix(1000.0)));
        assert_eq!(next(&mut audio, sub_start(0.0)), None);
        start_epoch(&stream, Variant::Copy, H264, false);
        publish_captured(&stream, Variant::Copy, 500, true, Some(NtpTime::from_unix(1000.0)));
        assert_eq!(next(&mut audio, sub_start(0.0)), Some((0, Some(7))), "the audio of 500 ms");
    }
}

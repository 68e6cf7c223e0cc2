//! Reads an RTSP camera without FFmpeg, which holds two of its frames back: one until the next begins, one until it is
//! known how long it lasts. Here a frame goes on with the packet that ends it (the marker of RFC 6184 and RFC 7798,
//! sections 5.1 and 4.1).
//!
//! What enters is a connection to the camera ([`retina`]); fragments of one access unit leave, on a timeline of their own
//! ([`Cadence`]). Nothing is queued: a camera that sends faster than this reads is held up by TCP. A camera that this
//! cannot read ([`Stopped::Beyond`]) is told apart from one that is not there, because FFmpeg may read it.

use std::num::NonZeroU32;
use std::pin::{Pin, pin};

use futures_util::StreamExt as _;
use retina::client::{Credentials, Demuxed, PlayOptions, Session, SessionOptions, SetupOptions, TeardownPolicy};
use retina::codec::{CodecItem, FrameFormat, ParametersRef, VideoFrame, VideoParameters, VideoParametersCodec};
use sightline_protocol::codec::Family;
use sightline_protocol::message::Size;
use tokio::time::{Instant, timeout, timeout_at};

use super::cadence::{Cadence, Reordered};
use super::output::{Capture, FIRST_FRAGMENT, Output, Stopped};
use super::source::Source;
use crate::clock;
use crate::fmp4::capture::SourceClock;
use crate::fmp4::splitter::{MAX_UNIT, Unit};
use crate::fmp4::writer::{self, AccessUnit, TIMESCALE};
use crate::nal::{self, Layout};

/// How the camera's access units hold their NAL units: as [`FrameFormat::MP4`] says.
const LENGTH_SIZE: usize = 4;

/// Reads `source` into `output` until there is a reason to stop.
pub(super) async fn read(source: &Source, output: &mut Output<'_>) -> Stopped {
    let silence = output.silence;
    let (session, track, frame_rate) = match timeout(silence, connect(source)).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(stopped)) => return stopped,
        // As FFmpeg says it.
        Err(_) => return Stopped::Rtsp("Connection timed out".to_owned()),
    };
    let mut frames = Frames {
        cadence: Cadence::new(frame_rate),
        clock: SourceClock::new(0),
        family: Family::H264,
        begun: false,
        sequence_number: 0,
    };
    let mut session = pin!(session);
    let connected = Instant::now();
    loop {
        // Frames with which nothing can begin are none.
        let (since, limit) = match output.first {
            Some(_) => (Instant::now(), silence),
            None => (connected, silence.max(FIRST_FRAGMENT)),
        };
        let frame = match timeout_at(since + limit, next_frame(&mut session, source)).await {
            Ok(Ok(frame)) => frame,
            Ok(Err(stopped)) => return stopped,
            Err(_) => return Stopped::Silent(limit),
        };
        // Frames without parameter sets are of no use; those may be on their way.
        let Some(ParametersRef::Video(parameters)) = session.streams()[track].parameters() else { continue };
        if let Err(stopped) = frames.publish(frame, parameters, output) {
            return stopped;
        }
    }
}

/// What the camera, or the reader of what it sent, said, without anything that the address of `source` keeps secret.
fn said(source: &Source, error: &retina::Error) -> Stopped {
    // What follows are the connection's ports and the message's place in it.
    Stopped::Rtsp(source.url.redact(error.to_string().lines().next().unwrap_or_default()))
}

/// A session that plays the source's video, the number of its track, and the frame rate that it announces.
async fn connect(source: &Source) -> Result<(Demuxed, usize, Option<f64>), Stopped> {
    let said = |error: retina::Error| said(source, &error);
    let (url, user) = source
        .url
        .parts()
        .ok_or_else(|| Stopped::Beyond("the source's address has parts that do not belong there".into()))?;
    let options = SessionOptions::default()
        .creds(user.map(|(username, password)| Credentials { username, password }))
        .user_agent(concat!("sightline/", env!("CARGO_PKG_VERSION")).to_owned())
        .teardown(TeardownPolicy::Auto);
    let mut session = Session::describe(url, options).await.map_err(said)?;
    let video = |stream: &retina::client::Stream| stream.media() == "video";
    let ours = |stream: &retina::client::Stream| video(stream) && ["h264", "h265"].contains(&stream.encoding_name());
    let Some(track) = session.streams().iter().position(ours) else {
        let codec = session.streams().iter().find(|stream| video(stream)).map(retina::client::Stream::encoding_name);
        return Err(Stopped::Beyond(match codec {
            Some(codec) => format!("the camera's video is {codec}"),
            None => "the camera has no video".to_owned(),
        }));
    };
    let frame_rate = session.streams()[track].framerate().map(f64::from);
    session.setup(track, SetupOptions::default().frame_format(FrameFormat::MP4)).await.map_err(said)?;
    let playing = session.play(PlayOptions::default()).await.map_err(said)?;
    Ok((playing.demuxed().map_err(said)?, track, frame_rate))
}

async fn next_frame(session: &mut Pin<&mut Demuxed>, source: &Source) -> Result<VideoFrame, Stopped> {
    loop {
        match session.next().await {
            Some(Ok(CodecItem::VideoFrame(frame))) => return Ok(frame),
            // Reports of the camera's clock, which may be hours off.
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(said(source, &error)),
            None => return Err(Stopped::Rtsp("it closed the connection".to_owned())),
        }
    }
}

/// Access units on their way into fragments.
struct Frames {
    cadence: Cadence,
    clock: SourceClock,
    family: Family,
    /// Whether there has been an init segment.
    begun: bool,
    sequence_number: u32,
}

impl Frames {
    fn publish(
        &mut self,
        frame: VideoFrame,
        parameters: &VideoParameters,
        output: &mut Output<'_>,
    ) -> Result<(), Stopped> {
        let now = clock::now().as_secs_f64();
        let (timestamp, rate) = (frame.timestamp().timestamp(), frame.timestamp().clock_rate());
        let changed = frame.has_new_parameters();
        let bytes = frame.into_data();
        if bytes.len() > MAX_UNIT {
            return Err(Stopped::Beyond(format!("the camera sent a picture of {} MiB", bytes.len() >> 20)));
        }
        if !self.begun || changed {
            self.family = family(parameters)?;
        }
        let layout = Layout { family: self.family, length_size: LENGTH_SIZE };
        let keyframe = layout.units(&bytes).any(|unit| nal::is_random_access(self.family, &bytes[unit]));
        // Nothing can be decoded before the first key frame.
        if !self.begun && !keyframe {
            return Ok(());
        }
        if !self.begun || changed {
            output.take(Unit::Init(init(parameters)?))?;
            self.begun = true;
        }
        let ticks = to_timescale(timestamp, rate);
        let place = self.cadence.frame(ticks).map_err(|Reordered| {
            Stopped::Beyond(
                "the camera's pictures do not come in the order in which they are shown (B-frames)".to_owned(),
            )
        })?;
        let seconds = |ticks: f64| ticks / f64::from(TIMESCALE);
        let captured = self.clock.stamp(seconds(ticks as f64), seconds(f64::from(place.duration)), now);
        output.capture = Capture::Known(captured);
        let unit = AccessUnit { bytes: &bytes, decode_time: place.start, duration: place.duration, keyframe };
        let fragment =
            writer::fragment(self.sequence_number, unit).map_err(|error| Stopped::Beyond(error.to_string()))?;
        self.sequence_number = self.sequence_number.wrapping_add(1);
        output.take(Unit::Fragment(fragment))
    }
}

fn family(parameters: &VideoParameters) -> Result<Family, Stopped> {
    match parameters.codec_params() {
        VideoParametersCodec::H264 { .. } => Ok(Family::H264),
        VideoParametersCodec::H265 { .. } => Ok(Family::H265),
        _ => Err(Stopped::Beyond(format!("the camera's video is {}", parameters.rfc6381_codec()))),
    }
}

fn init(parameters: &VideoParameters) -> Result<bytes::Bytes, Stopped> {
    let beyond = |error: String| Stopped::Beyond(format!("the camera's parameter sets cannot be taken over: {error}"));
    let entry = parameters.mp4_sample_entry().build().map_err(|error| beyond(error.to_string()))?;
    let (width, height) = parameters.pixel_dimensions();
    let side = |pixels: u32| u16::try_from(pixels).map_err(|_| beyond(format!("{width}x{height} pixels")));
    let size = Size { width: side(width)?, height: side(height)? };
    writer::init(&entry, size).map_err(|error| beyond(error.to_string()))
}

/// In our ticks. RTP's clock of video is theirs, for all codecs that are read here.
fn to_timescale(timestamp: i64, rate: NonZeroU32) -> i64 {
    if rate.get() == TIMESCALE {
        timestamp
    } else {
        (i128::from(timestamp) * i128::from(TIMESCALE) / i128::from(rate.get())) as i64
    }
}

//! Reads an RTSP camera without FFmpeg, which delays every frame by two: one until the next frame begins, and one until the
//! frame's duration is known. This reader publishes a frame with the packet that ends it (the marker bit, RFC 6184 section 5.1
//! and RFC 7798 section 4.1).
//!
//! Input is a connection to the camera ([`retina`]); output are fragments of one access unit, on a timeline of their own
//! ([`FrameTimer`]). Nothing is queued: TCP slows down a camera that sends faster than this reads. A camera that needs FFmpeg
//! ([`StopReason::Unsupported`]) has another outcome than one that cannot be reached.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

use std::num::NonZeroU32;
use std::pin::pin;

use futures_util::StreamExt as _;
use retina::client::{
    Demuxed, InitialSequenceNumberPolicy, InitialTimestampPolicy, PlayOptions, Session, SessionOptions, SetupOptions,
    TeardownPolicy,
};
use retina::codec::{CodecItem, FrameFormat, ParametersRef, VideoFrame, VideoParameters, VideoParametersCodec};
use sightline_media::fmp4::capture::SourceClock;
use sightline_media::fmp4::demuxer::SEGMENT_BYTES_MAX;
use sightline_media::fmp4::writer::{self, AccessUnit, TIMESCALE};
use sightline_media::nal::{self, Layout};
use sightline_media::nut::writer::Track;
use sightline_protocol::codec::Family;
use sightline_protocol::fragment::NtpTime;
use sightline_protocol::message::Size;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::info;
use url::Url;

use super::audio;
use super::clock_check::ClockCheck;
use super::diagnosis::diagnose;
use super::frame_timer::{FrameTimer, Reordered};
use super::publisher::{FIRST_FRAGMENT, Publisher, StopReason};
use super::reader::{Cause, Unsupported};
use super::rtsp_audio::{self, AudioWriter};
use super::rtsp_guard::{MediaBudget, Refusal, RtspGuard};
use crate::clock;
use crate::config::Source;
use crate::hub::audio_buffer::AudioBuffer;

/// Where the timeline begins: far enough from zero that audio which an encoder places before its first frame is not negative,
/// which a decode time cannot be.
const TIMELINE_START: u64 = 10 * TIMESCALE as u64;
/// What the log says of a clock that is of no use.
pub(super) const CLOCK_WRONG: &str = "the camera's clock counts something else than time; using arrival times";
/// How the camera's access units hold their NAL units: as [`FrameFormat::MP4`] says.
const LENGTH_SIZE: usize = 4;

/// Reads `source` into `publisher`, and its audio into `audio_buffer`, until there is a reason to stop.
pub(super) async fn read(source: &Source, audio_buffer: &AudioBuffer, publisher: &mut Publisher<'_>) -> StopReason {
    let Some((url, login)) = source.url.parts() else {
        return unsupported(Cause::NotUnderstood, "the source's address has parts that do not belong there");
    };
    let guard = match timeout(publisher.silence, RtspGuard::open(&url, login, MediaBudget::Enforced)).await {
        Ok(Ok(guard)) => guard,
        Ok(Err(error)) => return StopReason::Rtsp(source.url.redact(&error.to_string())),
        // As FFmpeg says it.
        Err(_) => return StopReason::Rtsp("Connection timed out".to_owned()),
    };
    let stopped = play(source, guard.url(), audio_buffer, publisher).await;
    match guard.refusal() {
        None => stopped,
        // One that FFmpeg may know.
        Some(refusal @ Refusal::Challenge(_)) => unsupported(Cause::Login, refusal.to_string()),
        Some(refusal) => StopReason::Refused(refusal.to_string()),
    }
}

/// Reads `source` by the guarded address `url`.
async fn play(source: &Source, url: &Url, audio_buffer: &AudioBuffer, publisher: &mut Publisher<'_>) -> StopReason {
    let silence = publisher.silence;
    let with_audio = audio::is_wanted(source, audio_buffer);
    let connected = timeout(silence, connect(source, url, with_audio)).await;
    let Connected { session, video, audio, frame_rate } = match connected {
        Ok(Ok(connected)) => connected,
        Ok(Err(stopped)) => return stopped,
        Err(_) => return StopReason::Rtsp("Connection timed out".to_owned()),
    };
    let track = audio.as_ref().map(|(_, track)| track);
    audio_buffer.describe_packets(track.map(Track::describe), track.and_then(rtsp_audio::g711));
    let audio_index = audio.as_ref().map(|(index, _)| *index);
    let mut audio = audio.map(|(index, track)| {
        let decoder = rtsp_audio::decoder(&session.streams()[index]);
        AudioWriter::new(audio_buffer, publisher.timeline, track, decoder)
    });
    let mut frames = FramePublisher::new(frame_rate);
    let mut session = pin!(session);
    let connected = Instant::now();
    let mut last_frame = connected;
    let mut lacks_parameters = false;
    loop {
        // Frames before the first key frame count: it may be a minute away. Without parameter sets nothing can begin.
        let (since, limit) = match publisher.first {
            Some(_) => (last_frame, silence),
            None if lacks_parameters => (connected, silence.max(FIRST_FRAGMENT)),
            None => (last_frame, silence.max(FIRST_FRAGMENT)),
        };
        let item = match timeout_at(since + limit, session.next()).await {
            Ok(Some(Ok(item))) => item,
            Ok(Some(Err(error))) => return stop_reason(source, &error),
            Ok(None) => return StopReason::Rtsp("it closed the connection".to_owned()),
            Err(_) if lacks_parameters && publisher.first.is_none() => {
                return unsupported(Cause::NotUnderstood, "the camera sends video without parameter sets");
            }
            Err(_) => return StopReason::Silent(limit),
        };
        let frame = match (item, &mut audio) {
            (CodecItem::VideoFrame(frame), _) => frame,
            (CodecItem::AudioFrame(frame), Some(audio)) if frames.started => {
                audio.frame(&frame, frames.frame_timer.offset() + TIMELINE_START as i64);
                continue;
            }
            (CodecItem::Rtcp(reports), Some(audio)) => {
                audio.reports(&reports, Some(reports.stream_id()) == audio_index);
                continue;
            }
            _ => continue,
        };
        last_frame = Instant::now();
        // Frames without parameter sets are of no use; those may be on their way.
        let Some(ParametersRef::Video(parameters)) = session.streams()[video].parameters() else {
            lacks_parameters = true;
            continue;
        };
        lacks_parameters = false;
        if let Err(stopped) = frames.publish(frame, parameters, publisher) {
            return stopped;
        }
        if let (Some(audio), Some(time)) = (&mut audio, frames.time) {
            audio.video_frame(time);
        }
    }
}

fn unsupported(cause: Cause, message: impl Into<String>) -> StopReason {
    StopReason::Unsupported(Unsupported::new(cause, message))
}

/// How `retina`'s errors of the connection begin. It has no accessor for the kind of an error.
const CONNECTION_ERRORS: &[&str] =
    &["Unable to connect to RTSP server", "Error reading from RTSP peer", "Error writing to RTSP peer", "Timeout"];

/// Classifies an error of the RTSP client. The camera cannot be reached or refuses to send, which FFmpeg cannot change, or the
/// direct reader does not support it. The message has no secret of the address of `source`.
fn stop_reason(source: &Source, error: &retina::Error) -> StopReason {
    // What follows are the connection's ports and the message's place in it.
    let message = source.url.redact(error.to_string().lines().next().unwrap_or_default());
    match error.status_code() {
        // "Unsupported Transport" (RFC 2326, section 11.3.10): the transport that was asked for is TCP.
        Some(461) => return unsupported(Cause::UdpOnly, "the camera sends media by UDP only"),
        Some(401 | 403) => return StopReason::Rtsp(format!("401 Unauthorized: {message}")),
        Some(404) => return StopReason::Rtsp(format!("404 Not Found: {message}")),
        // The camera is busy or leads elsewhere, which FFmpeg cannot change or must not follow. "Not Implemented" and "Option
        // not supported" are complaints about the request.
        Some(code @ (300..=399 | 453 | 500 | 502..=504)) => {
            let code = if code < 400 { 302 } else { code };
            return StopReason::Rtsp(format!("failed: {code} {message}"));
        }
        Some(code) => {
            let message = diagnose(&format!("failed: {code}")).map_or(message, |diagnosis| diagnosis.message);
            return unsupported(Cause::NotUnderstood, message);
        }
        None => {}
    }
    let connection = CONNECTION_ERRORS.iter().any(|start| message.starts_with(start));
    if connection || diagnose(&message).is_some() {
        StopReason::Rtsp(message)
    } else {
        unsupported(Cause::NotUnderstood, format!("the camera is not understood ({message})"))
    }
}

/// A session that plays.
struct Connected {
    session: Demuxed,
    /// The number of the video track.
    video: usize,
    /// The number of the audio track, and how it is written.
    audio: Option<(usize, Track)>,
    /// The frame rate that the camera announces.
    frame_rate: Option<f64>,
}

/// Plays the source's video by the guarded address `url`, and its audio if `with_audio`.
async fn connect(source: &Source, url: &Url, with_audio: bool) -> Result<Connected, StopReason> {
    let failed = |error: retina::Error| stop_reason(source, &error);
    // The guard logs in.
    let options = SessionOptions::default()
        .user_agent(concat!("sightline/", env!("CARGO_PKG_VERSION")).to_owned())
        .teardown(TeardownPolicy::Auto);
    let mut session = Session::describe(url.clone(), options).await.map_err(failed)?;
    let video = |stream: &retina::client::Stream| stream.media() == "video";
    let ours = |stream: &retina::client::Stream| video(stream) && ["h264", "h265"].contains(&stream.encoding_name());
    let Some(track) = session.streams().iter().position(ours) else {
        let codec = session.streams().iter().find(|stream| video(stream)).map(retina::client::Stream::encoding_name);
        return Err(match codec {
            Some(codec) => unsupported(Cause::Codec, format!("the camera's video is {codec}")),
            None => unsupported(Cause::NoVideo, "the camera has no video"),
        });
    };
    if has_several_parameter_sets(session.sdp()) {
        return Err(several_parameter_sets());
    }
    // As FFmpeg does, the first one.
    let audio = session.streams().iter().position(|stream| stream.media() == "audio").filter(|_| with_audio);
    let codec = audio.map(|audio| rtsp_audio::codec(session.streams()[audio].encoding_name())).transpose()?;
    let frame_rate = session.streams()[track].framerate().map(f64::from);
    session.setup(track, SetupOptions::default().frame_format(FrameFormat::MP4)).await.map_err(failed)?;
    if let Some(audio) = audio {
        session.setup(audio, SetupOptions::default().frame_format(FrameFormat::MP4)).await.map_err(failed)?;
    }
    let audio =
        audio.zip(codec).map(|(audio, codec)| Ok((audio, rtsp_audio::track(&session.streams()[audio], codec)?)));
    let audio = audio.transpose()?;
    // The reader needs no common start of the tracks, which cameras announce wrongly. Over TCP no packet is lost before the
    // first: GStreamer's server announces another sequence number to a viewer that joins others.
    let options = PlayOptions::default().initial_timestamp(InitialTimestampPolicy::Ignore);
    let options = options.initial_seq(InitialSequenceNumberPolicy::Ignore);
    let playing = session.play(options).await.map_err(failed)?;
    Ok(Connected { session: playing.demuxed().map_err(failed)?, video: track, audio, frame_rate })
}

/// Publishes access units as fragments.
struct FramePublisher {
    frame_timer: FrameTimer,
    clock_check: ClockCheck,
    clock: SourceClock,
    family: Family,
    /// The id of the PPS in the init segment.
    pps: Option<u32>,
    /// The timestamp of the last frame.
    last_ticks: Option<i64>,
    /// The time of the last published frame by the clock in use, in seconds.
    time: Option<f64>,
    /// Whether there has been an init segment.
    started: bool,
    sequence_number: u32,
}

impl FramePublisher {
    /// For a camera that announces this frame rate.
    fn new(frame_rate: Option<f64>) -> Self {
        Self {
            frame_timer: FrameTimer::new(frame_rate),
            clock_check: ClockCheck::default(),
            clock: SourceClock::new(0),
            family: Family::H264,
            pps: None,
            last_ticks: None,
            time: None,
            started: false,
            sequence_number: 0,
        }
    }

    fn publish(
        &mut self,
        frame: VideoFrame,
        parameters: &VideoParameters,
        publisher: &mut Publisher<'_>,
    ) -> Result<(), StopReason> {
        let now = clock::now().as_secs_f64();
        let (timestamp, rate) = (frame.timestamp().timestamp(), frame.timestamp().clock_rate());
        let changed = frame.has_new_parameters();
        let bytes = frame.into_data();
        if bytes.len() > SEGMENT_BYTES_MAX {
            return Err(unsupported(Cause::FrameSize, format!("the camera sent a frame of {} MiB", bytes.len() >> 20)));
        }
        if !self.started || changed {
            (self.family, self.pps) = family(parameters)?;
        }
        let layout = Layout { family: self.family, length_size: LENGTH_SIZE };
        let ticks = to_timescale(timestamp, rate);
        self.check_slices(layout, &bytes, ticks)?;
        let keyframe = layout.units(&bytes).any(|unit| nal::is_random_access(self.family, &bytes[unit]));
        // Nothing can be decoded before the first key frame.
        if !self.started && !keyframe {
            publisher.await_key_frame();
            return Ok(());
        }
        if !self.started || changed {
            publisher.publish_init(init(parameters)?)?;
            self.started = true;
        }
        let was_wrong = self.clock_check.is_wrong();
        let ticks = self.clock_check.frame(ticks, (now * f64::from(TIMESCALE)) as i64);
        if self.clock_check.is_wrong() && !was_wrong {
            info!(rendition = publisher.rendition.label(), "{CLOCK_WRONG}");
        }
        self.time = Some(ticks as f64 / f64::from(TIMESCALE));
        let timing = self
            .frame_timer
            .frame(ticks)
            .map_err(|Reordered| unsupported(Cause::BFrames, "the camera sends B-frames"))?;
        let seconds = |ticks: f64| ticks / f64::from(TIMESCALE);
        let captured = self.clock.stamp(seconds(ticks as f64), seconds(f64::from(timing.duration)), now);
        let unit = AccessUnit {
            bytes: &bytes,
            decode_time: timing.start + TIMELINE_START,
            duration: timing.duration,
            keyframe,
        };
        let fragment = writer::fragment(self.sequence_number, unit, NtpTime::from_unix(captured))
            .map_err(|error| unsupported(Cause::FrameSize, error.to_string()))?;
        self.sequence_number = self.sequence_number.wrapping_add(1);
        publisher.publish_fragment(fragment);
        Ok(())
    }

    /// Checks that the slices belong to a picture that begins here, and to the parameter sets in the init segment.
    fn check_slices(&mut self, layout: Layout, bytes: &[u8], ticks: i64) -> Result<(), StopReason> {
        let same_time = self.last_ticks.replace(ticks) == Some(ticks);
        let slices = layout.units(bytes).filter_map(|unit| nal::slice_start(layout.family, &bytes[unit]));
        for (at, slice) in slices.enumerate() {
            if at == 0 && same_time && !slice.first_in_picture {
                return Err(unsupported(Cause::Slices, "the camera marks each slice as the end of a frame"));
            }
            if self.pps.is_some_and(|pps| pps != slice.pps) {
                return Err(several_parameter_sets());
            }
        }
        Ok(())
    }
}

/// `retina` strips parameter sets from access units and keeps the last of each kind.
fn several_parameter_sets() -> StopReason {
    unsupported(Cause::ParameterSets, "the camera uses several parameter sets at a time")
}

/// Whether a session description has more than one parameter set of a kind (RFC 6184, section 8.1; RFC 7798, section 7.1).
/// Neither `retina` nor this reader then knows which one the video uses.
fn has_several_parameter_sets(sdp: &[u8]) -> bool {
    let sdp = String::from_utf8_lossy(sdp);
    // H.264 has SPS and PPS in one list.
    [("sprop-parameter-sets=", 2), ("sprop-vps=", 1), ("sprop-sps=", 1), ("sprop-pps=", 1)].into_iter().any(
        |(name, most)| {
            let lists = sdp.match_indices(name).map(|(at, _)| &sdp[at + name.len()..]);
            let list = |rest: &str| rest.split([';', ' ', '\r', '\n']).next().unwrap_or_default().split(',').count();
            lists.map(list).any(|sets| sets > most)
        },
    )
}

/// The codec, and the id of the PPS.
fn family(parameters: &VideoParameters) -> Result<(Family, Option<u32>), StopReason> {
    match parameters.codec_params() {
        VideoParametersCodec::H264 { pps, .. } => Ok((Family::H264, nal::pps_id(Family::H264, pps))),
        VideoParametersCodec::H265 { pps, .. } => Ok((Family::H265, nal::pps_id(Family::H265, pps))),
        _ => Err(unsupported(Cause::Codec, format!("the camera's video is {}", parameters.rfc6381_codec()))),
    }
}

fn init(parameters: &VideoParameters) -> Result<bytes::Bytes, StopReason> {
    let unsupported = |error: String| {
        unsupported(Cause::ParameterSets, format!("the camera's parameter sets cannot be read: {error}"))
    };
    let mut entry = parameters.mp4_sample_entry();
    // Chromium goes by the box `pasp` alone, other browsers by the SPS.
    if let Some((Ok(horizontal), Ok(vertical))) =
        parameters.pixel_aspect_ratio().map(|(across, down)| (u16::try_from(across), u16::try_from(down)))
    {
        entry = entry.with_aspect_ratio((horizontal, vertical));
    }
    let entry = entry.build().map_err(|error| unsupported(error.to_string()))?;
    let (width, height) = parameters.pixel_dimensions();
    let side = |pixels: u32| u16::try_from(pixels).map_err(|_| unsupported(format!("{width}x{height} pixels")));
    let size = Size { width: side(width)?, height: side(height)? };
    writer::init(&entry, size).map_err(|error| unsupported(error.to_string()))
}

/// In our ticks. RTP's clock of video is theirs, for all codecs that are read here.
fn to_timescale(timestamp: i64, rate: NonZeroU32) -> i64 {
    if rate.get() == TIMESCALE {
        timestamp
    } else {
        (i128::from(timestamp) * i128::from(TIMESCALE) / i128::from(rate.get())) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_parameter_sets_are_found_in_the_session_description() {
        let several = |fmtp: &str| {
            has_several_parameter_sets(format!("m=video 0 RTP/AVP 96\r\na=fmtp:96 {fmtp}\r\na=x\r\n").as_bytes())
        };
        for fmtp in [
            "packetization-mode=1;sprop-parameter-sets=Z00AHp2oKAv+VA==,aO48gA==;profile-level-id=4D001E",
            "packetization-mode=1; sprop-parameter-sets=Z00AHp2oKAv+VA==,aO48gA==",
            "sprop-vps=QAEMAf//;sprop-sps=QgEBAWAA; sprop-pps=RAHA8vA8kA==",
            "packetization-mode=1",
        ] {
            assert!(!several(fmtp), "{fmtp}");
        }
        for fmtp in
            ["sprop-parameter-sets=Z00AHp2oKAv+VA==,aO48gA==,aF48gA==", "sprop-vps=QAEM;sprop-pps=RAHA,RAHB;tx=0"]
        {
            assert!(several(fmtp), "{fmtp}");
        }
    }
}

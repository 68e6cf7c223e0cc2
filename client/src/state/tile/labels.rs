//! The texts that the page shows about a stream.

use sightline_protocol::codec::VideoCodec;
use sightline_protocol::message::{StreamState, VariantReason};
use sightline_protocol::stream::{Quality, Variant};

use super::{Cause, Failure, Tile, TileEvent};
use crate::state::log::Level;
use crate::state::{Phase, Protocol, quality_label};

/// The message for a stale video.
pub(super) const NO_NEW_VIDEO: &str = "No new video arrives.";

impl Tile {
    /// The age of the frame on screen, in words, while the tile is not live.
    pub fn stale_frame_label(&self) -> Option<String> {
        let old = matches!(self.phase(), Phase::Stalled | Phase::Offline | Phase::Reconnecting | Phase::Error);
        let seconds = self.age_ms.filter(|_| old)? / 1e3;
        let age = match seconds as u64 {
            0..2 => return None,
            seconds @ 2..120 => format!("{seconds} seconds"),
            seconds @ 120..7200 => format!("{} minutes", seconds / 60),
            seconds => format!("{} hours", seconds / 3600),
        };
        Some(format!("This frame is {age} old."))
    }

    /// The age of the presented frame while the tile is live: in seconds, or that it is unknown.
    pub fn age_label(&self) -> Option<String> {
        (self.phase() == Phase::Live).then(|| match self.age_ms {
            Some(ms) => format!("{:.2} s old", ms / 1e3),
            None => "age unknown".to_owned(),
        })
    }

    /// One sentence about the state, except while live or paused.
    pub fn message(&self) -> Option<String> {
        if let Some(fault) = self.fault() {
            return Some(fault.reason.clone());
        }
        let message = match (self.phase(), &self.source) {
            (Phase::Live | Phase::Paused, _) => return None,
            (Phase::Stalled, _) => NO_NEW_VIDEO,
            (Phase::Reconnecting, _) => "The connection to the relay was lost. Reconnecting…",
            (Phase::Connecting, _) => "Connecting to the relay…",
            _ if self.playback_failure == Some(Failure::Undecodable) => {
                "The browser failed to decode the video. Restarting…"
            }
            _ if self.playback_failure.is_some() => "The browser stopped playing the video. Restarting…",
            _ if self.tap_needed => "The browser starts playback only after a tap.",
            (_, StreamState::Live) => "Waiting for the first frame…",
            _ => "Starting the camera…",
        };
        Some(message.to_owned())
    }

    /// The codec's family and the processing of the video, with the reason if it is not the camera's original.
    pub fn codec_label(&self) -> Option<String> {
        let video_info = self.video_info.as_ref()?;
        let family = match video_info.codec.parse::<VideoCodec>() {
            Ok(codec) => codec.family().to_string(),
            Err(_) => video_info.codec.clone(),
        };
        Some(match video_info.variant {
            Variant::Copy => format!("{family} · untouched{}", because(video_info.why.filter(|&why| is_no_low(why)))),
            Variant::H264 if self.fell_back => {
                format!("{family} · transcoded — this browser failed to decode the camera's codec")
            }
            Variant::H264 => format!("{family} · transcoded{}", because(video_info.why)),
            Variant::Low => format!("{family} · lighter{}", because(video_info.why)),
        })
    }

    /// The protocol in use, and the reason where it is not the selected one.
    fn protocol_label(&self) -> Option<String> {
        let (protocol, why) = self.using.as_ref()?;
        let selected = [Protocol::Auto, *protocol].contains(&self.protocol);
        Some(if selected { protocol.to_string() } else { format!("{protocol} — {why}") })
    }

    /// The selected quality, and in a few words what decided the variant.
    fn quality_value(&self) -> String {
        let video_info = self.video_info.as_ref();
        let decided = match (self.quality, video_info.map(|video_info| (video_info.variant, video_info.why))) {
            (_, None) => None,
            // The choice is obeyed at the variant's next key frame.
            (Quality::High, Some((Variant::Low, _))) => Some("starting"),
            (Quality::Low, Some((Variant::Copy | Variant::H264, why))) if !why.is_some_and(is_no_low) => {
                Some("starting")
            }
            (_, Some((_, why))) => why.and_then(in_few_words),
        };
        let chosen = quality_label(self.quality);
        decided.map_or_else(|| chosen.to_owned(), |decided| format!("{chosen} · {decided}"))
    }

    /// The statistics: names and values.
    pub fn statistics(&self) -> Vec<(&'static str, String)> {
        let video_info = self.video_info.as_ref();
        let sample = self.history.last();
        let size = video_info.and_then(|video_info| video_info.size);
        vec![
            ("Protocol", known(self.protocol_label())),
            ("Codec", known(video_info.map(|video_info| video_info.codec.clone()))),
            ("Variant", known(video_info.map(|video_info| video_info.variant.to_string()))),
            ("Quality", self.quality_value()),
            ("Resolution", known(size.map(|size| format!("{}×{}", size.width, size.height)))),
            ("Frame rate", figure(sample.map(|sample| sample.frames), 0, "fps")),
            ("Bit rate", known(sample.map(|sample| bit_rate(sample.bits)))),
            ("Latency", figure(self.age_ms, 0, "ms")),
            ("Buffer", figure(sample.map(|sample| sample.buffered * 1e3), 0, "ms")),
            ("Dropped", known(sample.map(|sample| format!("{} of {}", sample.dropped, sample.decoded)))),
        ]
    }

    /// Further statistics for troubleshooting.
    pub fn details(&self) -> Vec<(&'static str, String)> {
        let sample = self.history.last();
        vec![
            ("State", self.phase().label().to_owned()),
            ("Arrival jitter", figure(sample.and_then(|sample| sample.jitter_ms), 0, "ms")),
            ("Round trip", figure(sample.and_then(|sample| sample.round_trip_ms), 0, "ms")),
            ("Playback rate", figure(sample.map(|sample| sample.rate), 2, "×")),
            ("Fragments", known(sample.map(|sample| sample.messages.to_string()))),
            ("Not acknowledged", known(sample.map(|sample| sample.unacknowledged.to_string()))),
            ("Bytes", known(sample.map(|sample| format!("{:.1} MB", sample.bytes as f64 / 1e6)))),
            ("First frame", figure(self.first_frame_ms, 0, "ms")),
            ("Epoch", self.epoch.to_string()),
        ]
    }

    /// The log entry for an event that has been applied, if any.
    pub fn log_line(&self, event: &TileEvent) -> Option<(Level, String)> {
        let (level, text) = match event {
            TileEvent::Connecting => (Level::Info, "Connecting to the relay.".to_owned()),
            TileEvent::Connected => (Level::Info, "Connected.".to_owned()),
            TileEvent::Lost { retry_ms } => (Level::Warning, format!("{} {}", self.message()?, again(*retry_ms))),
            TileEvent::Source(StreamState::Offline { message, retry_in_ms, .. }) => {
                (Level::Warning, format!("{} {}", sentence(message), again(*retry_in_ms as f64)))
            }
            TileEvent::Source(StreamState::Starting) => (Level::Info, "The source is started.".to_owned()),
            TileEvent::Source(_) => return None,
            TileEvent::Ready(_) | TileEvent::VideoInfo(_) => {
                let codec = &self.video_info.as_ref()?.codec;
                let what = [self.codec_label(), self.video_label(), Some(codec.clone())];
                let what: Vec<_> = what.into_iter().flatten().collect();
                (Level::Info, format!("Epoch {}: {}.", self.epoch, what.join(" · ")))
            }
            TileEvent::Reason(why) => {
                (Level::Info, sentence(&format!("Quality {}: {why}", quality_label(self.quality))))
            }
            TileEvent::Presented { first_frame_ms: Some(ms) } => {
                (Level::Info, format!("First frame after {ms:.0} ms."))
            }
            TileEvent::Presented { .. } => (Level::Info, "The first frame is presented.".to_owned()),
            TileEvent::Stale(true) => (Level::Warning, NO_NEW_VIDEO.to_owned()),
            TileEvent::Stale(false) => (Level::Info, "New frames arrive again.".to_owned()),
            TileEvent::PlaybackFailed(failure) => {
                (Level::Warning, format!("Playback failed ({}): restarting.", failure.as_str()))
            }
            TileEvent::Failed(_, message) => (Level::Error, sentence(message)),
            TileEvent::VisibilityChanged(true) => (Level::Info, "Visible again: resumed.".to_owned()),
            TileEvent::VisibilityChanged(false) => (Level::Info, "Paused: the tile is not visible.".to_owned()),
            TileEvent::TapNeeded(true) => (Level::Warning, "The browser starts playback only after a tap.".to_owned()),
            TileEvent::FellBack => (Level::Warning, "This browser failed to decode the camera's own codec.".to_owned()),
            TileEvent::ProtocolSelected(protocol, why) | TileEvent::PlayerSelected(protocol, why) => {
                (Level::Info, format!("{protocol}: {}", sentence(why)))
            }
            TileEvent::Note(level, text) => (*level, sentence(text)),
            TileEvent::FrameRate(_)
            | TileEvent::HasAudio(_)
            | TileEvent::Age(_)
            | TileEvent::Sample(_)
            | TileEvent::Listening(_)
            | TileEvent::RetryPlanned(_)
            | TileEvent::TapNeeded(false)
            | TileEvent::Recording(_) => return None,
        };
        Some((level, text))
    }

    /// Size and frame rate of the video.
    pub fn video_label(&self) -> Option<String> {
        let video_info = self.video_info.as_ref()?;
        let size = video_info.size.map(|size| format!("{}×{}", size.width, size.height));
        let rate = video_info.frame_rate.map(|rate| format!("{} fps", (rate * 10.0).round() / 10.0));
        let parts: Vec<_> = size.into_iter().chain(rate).collect();
        (!parts.is_empty()).then(|| parts.join(" · "))
    }
}

/// The message while there is no connection to the relay.
pub(super) fn disconnected(cause: Cause) -> String {
    match cause {
        Cause::NoRelay => "The relay cannot be reached.".to_owned(),
        _ => "The connection to the relay was lost.".to_owned(),
    }
}

fn because(why: Option<VariantReason>) -> String {
    why.map(|why| format!(" — {why}")).unwrap_or_default()
}

/// Whether this is the reason for another variant than the chosen `low`.
fn is_no_low(why: VariantReason) -> bool {
    matches!(why, VariantReason::NoLow | VariantReason::LowNotPlayable)
}

/// What decided the variant, for one line of the statistics. None where the choice itself did.
fn in_few_words(why: VariantReason) -> Option<&'static str> {
    Some(match why {
        VariantReason::Requested => return None,
        VariantReason::Untouched => "main",
        VariantReason::NotPlayable => "codec",
        VariantReason::BFrames => "B-frames",
        VariantReason::SlowLink => "slow link",
        VariantReason::SmallSize => "small tile",
        VariantReason::NoLow => "no low",
        VariantReason::LowNotPlayable => "not playable",
    })
}

fn known(value: Option<String>) -> String {
    value.unwrap_or_else(|| "–".to_owned())
}

fn figure(value: Option<f64>, decimals: usize, unit: &str) -> String {
    known(value.map(|value| format!("{value:.decimals$} {unit}")))
}

/// Formats bits per second in the most readable unit.
pub fn bit_rate(bits: f64) -> String {
    if bits < 1e6 { format!("{:.0} kbit/s", bits / 1e3) } else { format!("{:.1} Mbit/s", bits / 1e6) }
}

fn again(retry_ms: f64) -> String {
    match (retry_ms / 1000.0).round() as u64 {
        0 => "Trying again now.".to_owned(),
        seconds => format!("Trying again in {seconds} s."),
    }
}

/// Errors are phrased for embedding in other texts; on the page they stand alone. They begin with ASCII: the capitals of other
/// scripts would cost tables of several kilobytes.
pub(super) fn sentence(text: &str) -> String {
    let mut sentence = text.trim().to_owned();
    if let Some(first) = sentence.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    if !sentence.ends_with(['.', '!', '?', '…']) {
        sentence.push('.');
    }
    sentence
}

//! What the page says of a stream, in words.

use sightline_protocol::codec::VideoCodec;
use sightline_protocol::message::{StreamState, VariantReason};
use sightline_protocol::stream::Variant;

use super::{Failure, Link, Tile, TileEvent};
use crate::state::Phase;
use crate::state::log::Level;

impl Tile {
    /// How old the picture on screen is, in words, where it is not a live one.
    pub fn old_picture(&self) -> Option<String> {
        let old = matches!(self.phase(), Phase::Stalled | Phase::Offline | Phase::Reconnecting | Phase::Error);
        let seconds = self.age_ms.filter(|_| old)? / 1e3;
        let age = match seconds as u64 {
            0..2 => return None,
            seconds @ 2..120 => format!("{seconds} seconds"),
            seconds @ 120..7200 => format!("{} minutes", seconds / 60),
            seconds => format!("{} hours", seconds / 3600),
        };
        Some(format!("This picture is {age} old."))
    }

    /// How old the picture on screen is, for a live one: in seconds, or that it is not known.
    pub fn age_label(&self) -> Option<String> {
        (self.phase() == Phase::Live).then(|| match self.age_ms {
            Some(ms) => format!("{:.2} s old", ms / 1e3),
            None => "age unknown".to_owned(),
        })
    }

    /// One sentence about the state, except while live.
    pub fn message(&self) -> Option<String> {
        if let Some((_, message)) = &self.failure {
            return Some(message.clone());
        }
        let message = match (self.phase(), self.link, &self.source) {
            (Phase::Live | Phase::Paused, ..) => return None,
            (Phase::Stalled, ..) => "No new picture arrives.".to_owned(),
            (Phase::Offline, _, StreamState::Offline { message, retry_in_ms, .. }) => {
                format!("{} {}", sentence(message), again(*retry_in_ms as f64))
            }
            (Phase::Reconnecting, Link::Lost { retry_ms }, _) if self.was_connected => {
                format!("The connection to the relay was lost. {}", again(retry_ms))
            }
            (Phase::Reconnecting, Link::Lost { retry_ms }, _) => {
                format!("The relay cannot be reached. {}", again(retry_ms))
            }
            (Phase::Reconnecting, ..) => "The connection to the relay was lost. Reconnecting…".to_owned(),
            (Phase::Connecting, ..) => "Connecting to the relay…".to_owned(),
            _ if self.trouble == Some(Failure::Undecodable) => {
                "The browser failed to decode this: starting over…".to_owned()
            }
            _ if self.trouble.is_some() => "The browser stopped playing this: starting over…".to_owned(),
            _ if self.tap_needed => "The browser plays this only after a tap.".to_owned(),
            (_, _, StreamState::Live) => "Waiting for the first picture…".to_owned(),
            _ => "Starting the camera…".to_owned(),
        };
        Some(message)
    }

    /// The codec's family and what was done to the picture, with the reason where it is not the camera's own.
    pub fn codec_label(&self) -> Option<String> {
        let picture = self.picture.as_ref()?;
        let family = match picture.codec.parse::<VideoCodec>() {
            Ok(codec) => codec.family().to_string(),
            Err(_) => picture.codec.clone(),
        };
        Some(match picture.variant {
            Variant::Copy => format!("{family} · untouched"),
            Variant::H264 if self.fell_back => {
                format!("{family} · transcoded — this browser failed to decode the camera's codec")
            }
            Variant::H264 => format!("{family} · transcoded{}", because(picture.why)),
            Variant::Low => format!("{family} · lighter{}", because(picture.why)),
        })
    }

    /// What the statistics show: names and values.
    pub fn statistics(&self) -> Vec<(&'static str, String)> {
        let picture = self.picture.as_ref();
        let sample = self.history.last();
        let size = picture.and_then(|picture| picture.size);
        vec![
            ("Protocol", known(self.using.as_ref().map(|(protocol, _)| protocol.to_string()))),
            ("Codec", known(picture.map(|picture| picture.codec.clone()))),
            ("Variant", known(picture.map(|picture| picture.variant.to_string()))),
            ("Resolution", known(size.map(|size| format!("{}×{}", size.width, size.height)))),
            ("Frame rate", figure(sample.map(|sample| sample.frames), 0, "fps")),
            ("Bit rate", known(sample.map(|sample| bit_rate(sample.bits)))),
            ("Latency", figure(self.age_ms, 0, "ms")),
            ("Buffer", figure(sample.map(|sample| sample.buffered * 1e3), 0, "ms")),
            ("Dropped", known(sample.map(|sample| format!("{} of {}", sample.dropped, sample.decoded)))),
        ]
    }

    /// What there is beside, for whoever looks for a fault.
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
            ("First picture", figure(self.first_picture_ms, 0, "ms")),
            ("Epoch", self.epoch.to_string()),
        ]
    }

    /// What to write into the log after `event` has been taken note of, if anything.
    pub fn log_line(&self, event: &TileEvent) -> Option<(Level, String)> {
        let (level, text) = match event {
            TileEvent::Connecting => (Level::Info, "Connecting to the relay.".to_owned()),
            TileEvent::Connected => (Level::Info, "Connected.".to_owned()),
            TileEvent::Lost { .. } | TileEvent::Source(StreamState::Offline { .. }) => {
                (Level::Warning, self.message()?)
            }
            TileEvent::Source(StreamState::Starting) => (Level::Info, "The source is started.".to_owned()),
            TileEvent::Source(_) => return None,
            TileEvent::Ready(_) | TileEvent::Picture(_) => {
                let codec = &self.picture.as_ref()?.codec;
                let what = [self.codec_label(), self.picture_label(), Some(codec.clone())];
                let what: Vec<_> = what.into_iter().flatten().collect();
                (Level::Info, format!("Epoch {}: {}.", self.epoch, what.join(" · ")))
            }
            TileEvent::Presented { first_picture_ms: Some(ms) } => {
                (Level::Info, format!("First picture after {ms:.0} ms."))
            }
            TileEvent::Presented { .. } => (Level::Info, "The first picture is shown.".to_owned()),
            TileEvent::Stale(true) => (Level::Warning, "No new picture arrives.".to_owned()),
            TileEvent::Stale(false) => (Level::Info, "Pictures arrive again.".to_owned()),
            TileEvent::Trouble(failure) => {
                (Level::Warning, format!("Playing failed ({}): starting over.", failure.as_str()))
            }
            TileEvent::Failed(_, message) => (Level::Error, sentence(message)),
            TileEvent::Watched(true) => (Level::Info, "Watched again.".to_owned()),
            TileEvent::Watched(false) => (Level::Info, "Paused, because nobody can see it.".to_owned()),
            TileEvent::TapNeeded(true) => (Level::Warning, "The browser plays this only after a tap.".to_owned()),
            TileEvent::FellBack => (Level::Warning, "This browser failed to decode the camera's own codec.".to_owned()),
            TileEvent::Using(protocol, why) => (Level::Info, format!("{protocol}: {}", sentence(why))),
            TileEvent::Note(level, text) => (*level, sentence(text)),
            TileEvent::FrameRate(_)
            | TileEvent::Age(_)
            | TileEvent::Sample(_)
            | TileEvent::Listening(_)
            | TileEvent::TapNeeded(false)
            | TileEvent::Recording(_) => return None,
        };
        Some((level, text))
    }

    /// Size and frame rate of the picture.
    pub fn picture_label(&self) -> Option<String> {
        let picture = self.picture.as_ref()?;
        let size = picture.size.map(|size| format!("{}×{}", size.width, size.height));
        let rate = picture.frame_rate.map(|rate| format!("{} fps", (rate * 10.0).round() / 10.0));
        let parts: Vec<_> = size.into_iter().chain(rate).collect();
        (!parts.is_empty()).then(|| parts.join(" · "))
    }
}

fn because(why: Option<VariantReason>) -> String {
    why.map(|why| format!(" — {why}")).unwrap_or_default()
}

fn known(value: Option<String>) -> String {
    value.unwrap_or_else(|| "–".to_owned())
}

fn figure(value: Option<f64>, decimals: usize, unit: &str) -> String {
    known(value.map(|value| format!("{value:.decimals$} {unit}")))
}

/// Bits a second, in the unit that is read best.
pub fn bit_rate(bits: f64) -> String {
    if bits < 1e6 { format!("{:.0} kbit/s", bits / 1e3) } else { format!("{:.1} Mbit/s", bits / 1e6) }
}

fn again(retry_ms: f64) -> String {
    match (retry_ms / 1000.0).round() as u64 {
        0 => "Trying again now.".to_owned(),
        seconds => format!("Trying again in {seconds} s."),
    }
}

/// Errors are written to be put into other texts: on the page they stand alone. They begin with ASCII, and the tables
/// of all other scripts' capitals are worth several kilobytes.
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

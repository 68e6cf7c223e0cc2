//! The events of a player for its owner.

use super::recovery::PlaybackError;

/// An event for the player's owner.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The first frame was presented: of the epoch, or since the video became visible again.
    Presented,
    /// The measured frame rate.
    FrameRate(f64),
    /// Whether the frame on screen is stale.
    Stale(bool),
    /// Whether the browser requires a user gesture before it plays.
    TapNeeded(bool),
    /// The audio does not arrive or cannot be played. The browser stops the video until the owner removes the audio.
    AudioLost,
    /// Playback cannot continue with the current MediaSource or decoder.
    Failed(PlaybackError),
}

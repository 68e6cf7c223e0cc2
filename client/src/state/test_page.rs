//! The test page: one stream at a time, started and stopped by the user, with all its details.

use std::rc::Rc;

use sightline_protocol::stream::{Quality, StreamName, VariantChoice};

use super::log::Level;
use super::{App, Protocol, Tile};

/// The settings of the test page.
#[derive(Debug, Clone, PartialEq)]
pub struct TestPage {
    /// The stream to play; none while no stream is known.
    pub stream: Option<StreamName>,
    /// The variant to request.
    pub choice: VariantChoice,
    /// The protocol.
    pub protocol: Protocol,
    /// The quality.
    pub quality: Quality,
    /// Counts the starts: each start creates a new player.
    pub run: u32,
    /// The minimum level of the log entries shown.
    pub level: Level,
    /// The text that the log entries shown contain.
    pub filter: String,
}

impl Default for TestPage {
    fn default() -> Self {
        Self {
            stream: None,
            choice: VariantChoice::Auto,
            protocol: Protocol::Auto,
            quality: Quality::Auto,
            run: 0,
            level: Level::Info,
            filter: String::new(),
        }
    }
}

/// An action of the user on the test page.
#[derive(Debug, Clone, PartialEq)]
pub enum TestEvent {
    /// Select the stream.
    Stream(StreamName),
    /// Select the variant.
    Variant(VariantChoice),
    /// Select the protocol.
    Protocol(Protocol),
    /// Select the quality, which a player that runs follows.
    Quality(Quality),
    /// Start, or restart with the current selection.
    Start,
    /// Stop.
    Stop,
    /// Show log entries of at least this level.
    Level(Level),
    /// Show log entries that contain this text.
    Filter(String),
}

impl App {
    pub(super) fn test_event(&mut self, event: TestEvent, at: f64) {
        let test = &mut self.test;
        match event {
            TestEvent::Stream(stream) => test.stream = Some(stream),
            TestEvent::Variant(choice) => test.choice = choice,
            TestEvent::Protocol(protocol) => test.protocol = protocol,
            TestEvent::Quality(quality) => {
                test.quality = quality;
                for tile in &mut self.tiles {
                    Rc::make_mut(tile).quality = quality;
                }
            }
            TestEvent::Level(level) => test.level = level,
            TestEvent::Filter(filter) => test.filter = filter,
            TestEvent::Start => {
                let Some(stream) = test.stream.clone() else { return };
                test.run += 1;
                self.choice = test.choice;
                let text = format!("Started: {} by {}, {}.", stream, test.protocol, variant_label(test.choice));
                self.tiles = vec![Rc::new(Tile::new(stream))];
                self.tell_tiles();
                self.log_page(Level::Info, text, at);
            }
            TestEvent::Stop => {
                self.tiles.clear();
                self.log_page(Level::Info, "Stopped.".to_owned(), at);
            }
        }
    }
}

/// The label of a variant on the test page.
pub(super) fn variant_label(choice: VariantChoice) -> &'static str {
    match choice {
        VariantChoice::Auto => "the relay's choice",
        VariantChoice::Copy => "the camera's own",
        VariantChoice::H264 => "H.264",
        VariantChoice::Low => "low",
    }
}

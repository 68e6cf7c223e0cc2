//! The test page: one stream at a time, started and stopped by hand, with everything that is known about it.

use std::rc::Rc;

use sightline_protocol::stream::{StreamName, VariantChoice};

use super::log::Level;
use super::{App, Protocol, Tile};

/// What the user has set on the test page.
#[derive(Debug, Clone, PartialEq)]
pub struct TestPage {
    /// The stream to play; none while no stream is known.
    pub stream: Option<StreamName>,
    /// The variant to ask for.
    pub choice: VariantChoice,
    /// How it is to get here.
    pub protocol: Protocol,
    /// Counts the starts: each has a player of its own.
    pub run: u32,
    /// What the log shows: at least this level,
    pub level: Level,
    /// and this text.
    pub filter: String,
}

impl Default for TestPage {
    fn default() -> Self {
        Self {
            stream: None,
            choice: VariantChoice::Auto,
            protocol: Protocol::Auto,
            run: 0,
            level: Level::Info,
            filter: String::new(),
        }
    }
}

/// What the user does on the test page.
#[derive(Debug, Clone, PartialEq)]
pub enum TestEvent {
    /// Choose the stream.
    Stream(StreamName),
    /// Choose the variant.
    Variant(VariantChoice),
    /// Choose the protocol.
    Protocol(Protocol),
    /// Start, or start anew with what is chosen now.
    Start,
    /// Stop.
    Stop,
    /// Show what matters at least so much.
    Level(Level),
    /// Show what contains this text.
    Filter(String),
}

impl App {
    pub(super) fn test_event(&mut self, event: TestEvent, at: f64) {
        let test = &mut self.test;
        match event {
            TestEvent::Stream(stream) => test.stream = Some(stream),
            TestEvent::Variant(choice) => test.choice = choice,
            TestEvent::Protocol(protocol) => test.protocol = protocol,
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

/// A choice of variant as the test page names it.
pub(super) fn variant_label(choice: VariantChoice) -> &'static str {
    match choice {
        VariantChoice::Auto => "the relay's choice",
        VariantChoice::Copy => "the camera's own",
        VariantChoice::H264 => "H.264",
        VariantChoice::Low => "low",
    }
}

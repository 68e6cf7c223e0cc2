//! The page's state: one reducer, events in, page state out.
//!
//! Sessions, the catalogue's loader and the user send [`Event`]s. The components render [`App`] and decide nothing. A tile is
//! live only after a frame of the current epoch has been presented.

use std::rc::Rc;

use sightline_protocol::catalogue::{Catalogue, StreamInfo};
use sightline_protocol::stream::{InvalidStreamName, Quality, StreamName, VariantChoice};
use sightline_protocol::{SUBPROTOCOL, VERSION};

pub mod abilities;
pub mod activity;
mod choices;
mod hint;
pub mod history;
pub mod log;
mod report;
mod request;
mod settings;
mod test_page;
mod tile;

pub use abilities::Abilities;
pub use choices::{CODECS, Layout, NoChoice, Protocol, Theme, choice_of, quality_hint, quality_label, word_of};
pub use log::{Level, Log};
pub use request::{Page, Request};
pub use settings::{Settings, StreamSettings};
pub use test_page::{TestEvent, TestPage};
pub use tile::{Cause, Failure, Fault, Recorded, Retry, Tile, TileEvent, VideoInfo, bit_rate};

/// The state of a tile; `data-state` on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The first connection to the relay is being made.
    Connecting,
    /// Connected; no frame of this epoch has been presented.
    Starting,
    /// Frames are presented.
    Live,
    /// A frame of this epoch is on screen, and no new ones follow.
    Stalled,
    /// The tile is invisible, so the relay sends nothing.
    Paused,
    /// The relay receives no video from the source, and reports the reason.
    Offline,
    /// The connection was lost; the last frame stays.
    Reconnecting,
    /// A person has to fix something first.
    Error,
}

impl Phase {
    /// The value of `data-state`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Starting => "starting",
            Self::Live => "live",
            Self::Stalled => "stalled",
            Self::Paused => "paused",
            Self::Offline => "offline",
            Self::Reconnecting => "reconnecting",
            Self::Error => "error",
        }
    }

    /// The label on the page.
    pub fn label(self) -> &'static str {
        match self {
            Self::Connecting => "Connecting",
            Self::Starting => "Starting",
            Self::Live => "Live",
            Self::Stalled => "Stalled",
            Self::Paused => "Paused",
            Self::Offline => "Offline",
            Self::Reconnecting => "Reconnecting",
            Self::Error => "Not available",
        }
    }
}

/// The state of the page. One flat record, as [`Tile`]: the reducer changes it and the page renders it whole.
#[derive(Debug, Clone, PartialEq)]
pub struct App {
    /// The page on display.
    pub page: Page,
    /// The variant that every tile requests.
    pub choice: VariantChoice,
    /// The tiles, in order.
    pub tiles: Vec<Rc<Tile>>,
    /// The name of the tile that fills the window; none if all share it.
    pub solo: Option<String>,
    /// Whether the page has controls beside the videos.
    pub controls: bool,
    /// Whether controls and cursor are hidden, because there was no input for a while.
    pub idle: bool,
    /// The abilities of this browser.
    pub abilities: Abilities,
    /// The settings stored in this browser.
    pub settings: Settings,
    /// The page's log.
    pub log: Log,
    /// The state of the test page.
    pub test: TestPage,
    /// One sentence in place of tiles, while there are none.
    pub notice: Option<String>,
    /// The streams of the catalogue.
    pub listed: Vec<StreamInfo>,
    /// Whether a cookie of the relay admitted this page, which a logout removes.
    pub can_log_out: bool,
    /// Whether the relay serves WebRTC; none before the catalogue.
    webrtc: Option<bool>,
    /// Whether the tiles follow the catalogue, rather than the names in the address.
    all: bool,
    /// Parameters of the address, until the user changes them.
    protocol: Option<Protocol>,
    quality: Option<Quality>,
    layout: Option<Layout>,
    statistics: Option<bool>,
    /// The relay's version, if it differs from the page's.
    other_relay: Option<OtherRelay>,
    /// Whether the relay rejects this page's credentials.
    logged_out: bool,
    /// Why the browser cannot store settings.
    not_kept: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum OtherRelay {
    /// It supports this page's subprotocol.
    Version(String),
    /// It does not.
    Foreign(String),
}

/// An event for the reducer.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The catalogue arrived.
    Catalogue(Catalogue),
    /// A relay of this version answered with a catalogue that this page cannot parse.
    ForeignCatalogue(String),
    /// The catalogue could not be loaded; the page will retry.
    CatalogueFailed,
    /// The relay rejects this page's credentials: a password has changed, or a token or a login has expired.
    LoggedOut,
    /// An event of one stream.
    Tile(StreamName, TileEvent),
    /// The user toggles whether this tile fills the window.
    Solo(String),
    /// The user returns to all tiles.
    Back,
    /// The user moves the first tile to the position of the second.
    Move(String, String),
    /// The user changed a setting.
    Choose(Choice),
    /// The browser cannot store settings, for this reason.
    NotKept(String),
    /// An action of the user on the test page.
    Test(TestEvent),
    /// There was no input for a while, or there is again.
    Idle(bool),
}

/// A setting that the user changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// The protocol of all streams.
    Protocol(Protocol),
    /// The protocol of one stream; none to follow all others.
    StreamProtocol(String, Option<Protocol>),
    /// The quality of all streams.
    Quality(Quality),
    /// The quality of one stream; none to follow all others.
    StreamQuality(String, Option<Quality>),
    /// The volume of a stream, 0 to 1.
    Volume(String, f64),
    /// The layout of the tiles.
    Layout(Layout),
    /// Whether statistics are shown over the videos; none toggles.
    Statistics(Option<bool>),
    /// Whether the sidebar is open; none toggles.
    Sidebar(Option<bool>),
    /// The color scheme.
    Theme(Theme),
}

impl App {
    /// Creates the state for a request, before the catalogue arrives.
    pub fn new(request: Request, settings: Settings, abilities: Abilities) -> Self {
        let named = request.page == Page::Multiview && !request.streams.is_empty();
        let first = request.streams.first().and_then(|stream| stream.as_ref().ok());
        let test = TestPage {
            stream: first.cloned(),
            choice: request.choice,
            protocol: request.protocol.unwrap_or_default(),
            quality: request.quality.unwrap_or_default(),
            ..TestPage::default()
        };
        let (choice, quality) = match request.choice {
            // The old name of the quality, which the user may change.
            VariantChoice::Low if request.page == Page::Multiview => {
                (VariantChoice::Auto, request.quality.or(Some(Quality::Low)))
            }
            choice => (choice, request.quality),
        };
        let tiles = if named { request.streams.into_iter().map(tile_of).map(Rc::new).collect() } else { Vec::new() };
        let mut app = Self {
            page: request.page,
            choice,
            tiles,
            solo: None,
            controls: request.controls,
            idle: false,
            abilities,
            settings,
            log: Log::default(),
            test,
            notice: (!named).then(|| "Asking the relay for its streams…".to_owned()),
            listed: Vec::new(),
            can_log_out: false,
            webrtc: None,
            logged_out: false,
            all: !named,
            protocol: request.protocol,
            quality,
            layout: request.layout,
            statistics: request.statistics,
            other_relay: None,
            not_kept: None,
        };
        app.tell_tiles();
        app
    }

    /// Applies an event that happened `at` milliseconds since the Unix epoch.
    pub fn apply(&mut self, event: Event, at: f64) {
        match event {
            Event::Catalogue(catalogue) => self.list(catalogue),
            Event::ForeignCatalogue(version) => {
                self.other_relay = Some(OtherRelay::Foreign(version));
                if self.listed.is_empty() && self.tiles.is_empty() {
                    self.notice = Some("This page does not know what the relay has to show.".to_owned());
                }
            }
            Event::CatalogueFailed => {
                if self.listed.is_empty() && self.tiles.is_empty() {
                    self.notice = Some("The relay cannot be reached. Trying again…".to_owned());
                }
            }
            Event::LoggedOut => self.logged_out = true,
            Event::Tile(name, event) => self.tile_event(&name, &event, at),
            Event::Solo(name) if self.solo.as_ref() == Some(&name) => self.solo = None,
            Event::Solo(name) => self.solo = Some(name),
            Event::Back => self.solo = None,
            Event::Move(name, to) => self.move_tile(&name, &to),
            Event::Choose(choice) => self.choose(choice),
            Event::NotKept(why) => {
                if self.not_kept.is_none() {
                    let text = format!("What you choose is kept only until you close this page: {why}.");
                    self.log_page(Level::Warning, text, at);
                }
                self.not_kept = Some(why);
            }
            Event::Test(event) => self.test_event(event, at),
            Event::Idle(idle) => self.idle = idle,
        }
    }

    /// The window's title, with the number of cameras that are not live: it is visible while the page is in another tab.
    pub fn title(&self) -> String {
        match self.tiles.iter().filter(|tile| tile.fault().is_some()).count() {
            0 => "Sightline".to_owned(),
            offline => format!("({offline} offline) Sightline"),
        }
    }

    /// The layout of the tiles.
    pub fn layout(&self) -> Layout {
        self.layout.unwrap_or(self.settings.layout)
    }

    /// Whether statistics are shown over the videos.
    pub fn statistics(&self) -> bool {
        self.statistics.unwrap_or(self.settings.statistics)
    }

    /// The protocol of streams without a setting of their own.
    pub fn protocol(&self) -> Protocol {
        self.protocol.unwrap_or(self.settings.protocol)
    }

    /// The quality of streams without a setting of their own.
    pub fn quality(&self) -> Quality {
        self.quality.unwrap_or(self.settings.quality)
    }

    /// A sentence about the page as a whole, if needed, and whether a reload is the remedy.
    pub fn banner(&self) -> Option<(String, bool)> {
        if self.logged_out {
            return Some(("The relay no longer lets this page in. Reload it to log in again.".to_owned(), true));
        }
        match (&self.other_relay, &self.not_kept) {
            (Some(OtherRelay::Foreign(version)), _) => Some((
                format!("The relay is now version {version} and no longer understands this page. Reload the page."),
                true,
            )),
            (Some(OtherRelay::Version(version)), _) => Some((
                format!("The relay is now version {version}, this page is {VERSION}. Reload it when you like."),
                true,
            )),
            (None, Some(why)) => Some((
                format!("This browser does not keep what you choose here: {why}. Playback is not affected."),
                false,
            )),
            (None, None) => None,
        }
    }

    fn tile_event(&mut self, name: &StreamName, event: &TileEvent, at: f64) {
        let Some(tile) = self.tiles.iter_mut().find(|tile| tile.name == name.as_str()) else { return };
        let tile = Rc::make_mut(tile);
        tile.apply(event.clone(), at);
        if let Some((level, text)) = tile.log_line(event) {
            self.log.add(log::Entry { at, level, stream: name.to_string(), text });
        }
    }

    fn log_page(&mut self, level: Level, text: String, at: f64) {
        self.log.add(log::Entry { at, level, stream: String::new(), text });
    }

    fn list(&mut self, catalogue: Catalogue) {
        let Catalogue { version, protocols, webrtc, can_log_out, streams } = catalogue;
        (self.webrtc, self.logged_out, self.can_log_out) = (Some(webrtc), false, can_log_out);
        self.other_relay = match protocols.iter().any(|protocol| protocol == SUBPROTOCOL) {
            false => Some(OtherRelay::Foreign(version)),
            true if version != VERSION => Some(OtherRelay::Version(version)),
            true => None,
        };
        self.listed = streams;
        match self.page {
            Page::Multiview if self.all => self.show_all(),
            Page::Multiview => {}
            Page::Test => {
                self.test.stream = self.test.stream.take().or_else(|| Some(self.listed.first()?.name.clone()));
            }
        }
        for info in &self.listed {
            if let Some(tile) = self.tiles.iter_mut().find(|tile| tile.name == info.name.as_str()) {
                let mut listed = Tile::clone(tile);
                listed.list(info);
                if listed != **tile {
                    *tile = Rc::new(listed);
                }
            }
        }
    }

    /// Shows the streams in the user's order, then the catalogue's. Existing tiles keep their state.
    fn show_all(&mut self) {
        let mut before = std::mem::take(&mut self.tiles);
        let mut tile = |name: &StreamName| match before.iter().position(|tile| tile.name == name.as_str()) {
            Some(index) => before.swap_remove(index),
            None => Rc::new(Tile::new(name.clone())),
        };
        self.tiles = self.listed.iter().map(|info| tile(&info.name)).collect();
        let order = &self.settings.order;
        self.tiles.sort_by_key(|tile| order.iter().position(|name| *name == tile.name).unwrap_or(usize::MAX));
        self.solo.take_if(|solo| !self.tiles.iter().any(|tile| tile.name == *solo));
        self.notice = self.tiles.is_empty().then(|| {
            "The relay has no streams. Name one in its configuration, under [streams], and restart it.".to_owned()
        });
        self.tell_tiles();
    }

    fn move_tile(&mut self, name: &str, to: &str) {
        let place = |name: &str| self.tiles.iter().position(|tile| tile.name == name);
        let (Some(from), Some(to)) = (place(name), place(to)) else { return };
        let tile = self.tiles.remove(from);
        self.tiles.insert(to, tile);
        if self.all {
            // Streams that are absent at the moment keep their place at the end.
            let absent = |name: &String| !self.tiles.iter().any(|tile| tile.name == **name);
            let absent: Vec<_> = self.settings.order.iter().filter(|name| absent(name)).cloned().collect();
            self.settings.order = self.tiles.iter().map(|tile| tile.name.clone()).chain(absent).collect();
        }
    }

    fn choose(&mut self, choice: Choice) {
        let settings = &mut self.settings;
        match choice {
            Choice::Protocol(protocol) => (self.protocol, settings.protocol) = (None, protocol),
            Choice::StreamProtocol(name, protocol) => {
                self.protocol = None;
                settings.change_stream(&name, |stream| stream.protocol = protocol);
            }
            Choice::Quality(quality) => (self.quality, settings.quality) = (None, quality),
            Choice::StreamQuality(name, quality) => {
                self.quality = None;
                settings.change_stream(&name, |stream| stream.quality = quality);
            }
            Choice::Volume(name, volume) => {
                settings.change_stream(&name, |stream| stream.volume = volume.clamp(0.0, 1.0));
            }
            Choice::Layout(layout) => (self.layout, settings.layout) = (None, layout),
            Choice::Statistics(shown) => {
                let now = self.statistics.take().unwrap_or(settings.statistics);
                settings.statistics = shown.unwrap_or(!now);
            }
            Choice::Sidebar(open) => settings.sidebar = open.unwrap_or(!settings.sidebar),
            Choice::Theme(theme) => settings.theme = theme,
        }
        self.tell_tiles();
    }

    /// Passes the protocol, quality and volume settings to every tile.
    fn tell_tiles(&mut self) {
        for tile in &mut self.tiles {
            let (protocol, quality) = match self.page {
                Page::Multiview => (
                    self.protocol.unwrap_or_else(|| self.settings.protocol_of(&tile.name)),
                    self.quality.unwrap_or_else(|| self.settings.quality_of(&tile.name)),
                ),
                Page::Test => (self.test.protocol, self.test.quality),
            };
            let volume = self.settings.stream(&tile.name).volume;
            if (tile.protocol, tile.quality, tile.volume) != (protocol, quality, volume) {
                let tile = Rc::make_mut(tile);
                (tile.protocol, tile.quality, tile.volume) = (protocol, quality, volume);
            }
        }
    }
}

fn tile_of(name: Result<StreamName, InvalidStreamName>) -> Tile {
    match name {
        Ok(name) => Tile::new(name),
        Err(error) => Tile::refused(&error),
    }
}

/// Parses the relay's catalogue; of an incompatible catalogue at least the version.
pub fn read_catalogue(answer: &str) -> Event {
    #[derive(serde::Deserialize)]
    struct Version {
        version: String,
    }
    match (serde_json::from_str(answer), serde_json::from_str(answer)) {
        (Ok(catalogue), _) => Event::Catalogue(catalogue),
        (Err(_), Ok(Version { version })) => Event::ForeignCatalogue(version),
        (Err(_), Err(_)) => Event::CatalogueFailed,
    }
}

#[cfg(test)]
mod tests;

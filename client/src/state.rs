//! What the page shows: one reducer, from what happened to what is displayed.
//!
//! Sessions, the catalogue's loader and the user send [`Event`]s; the components display [`App`] and decide nothing. No
//! picture counts as live unless a frame of the present epoch has been presented.

use std::rc::Rc;

use sightline_protocol::catalogue::{Catalogue, StreamInfo};
use sightline_protocol::stream::{InvalidStreamName, StreamName, VariantChoice};
use sightline_protocol::{SUBPROTOCOL, VERSION};

pub mod abilities;
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
pub use choices::{CODECS, Layout, NoChoice, Protocol, Theme, choice_of, word_of};
pub use log::{Level, Log};
pub use request::{Page, Request};
pub use settings::{Settings, StreamSettings};
pub use test_page::{TestEvent, TestPage};
pub use tile::{Failure, Picture, Recorded, Tile, TileEvent, bit_rate};

/// The words for the state of a tile; `data-state` on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The first connection to the relay is being made.
    Connecting,
    /// Connected; no frame of this epoch has been presented.
    Starting,
    /// Frames are presented.
    Live,
    /// A picture of this epoch is on screen and is no longer renewed.
    Stalled,
    /// Nobody can see it, so nothing is sent.
    Paused,
    /// The relay has no picture from the source, and says why.
    Offline,
    /// The connection was lost; the last picture stays.
    Reconnecting,
    /// It will not work without someone doing something.
    Error,
}

impl Phase {
    /// The word for it in `data-state`.
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

    /// The words for it on the page.
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

/// The page.
#[derive(Debug, Clone, PartialEq)]
pub struct App {
    /// Which page it is.
    pub page: Page,
    /// The variant that every tile asks for.
    pub choice: VariantChoice,
    /// The tiles, in order.
    pub tiles: Vec<Rc<Tile>>,
    /// The tile that fills the window, by its name; all share it where there is none.
    pub solo: Option<String>,
    /// Whether there is anything but the pictures.
    pub controls: bool,
    /// What this browser can do.
    pub abilities: Abilities,
    /// What this browser keeps.
    pub settings: Settings,
    /// What happened.
    pub log: Log,
    /// What only the test page has.
    pub test: TestPage,
    /// One sentence in place of tiles, while there are none.
    pub notice: Option<String>,
    /// The streams of the catalogue.
    pub listed: Vec<StreamInfo>,
    /// Whether the relay answers WebRTC viewers, once it has said so.
    webrtc: Option<bool>,
    /// Whether the tiles are those of the catalogue, whatever it has, and not those that the address names.
    all: bool,
    /// What the address asks for, until the user chooses otherwise.
    protocol: Option<Protocol>,
    layout: Option<Layout>,
    statistics: Option<bool>,
    /// The relay, where it is another one than this page came from.
    other_relay: Option<OtherRelay>,
    /// Whether the relay does not let this page in.
    logged_out: bool,
    /// Why the browser does not keep settings.
    not_kept: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum OtherRelay {
    /// It speaks what this page speaks.
    Version(String),
    /// It does not.
    Foreign(String),
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The catalogue arrived.
    Catalogue(Catalogue),
    /// The relay of this version answers with a catalogue that this page does not understand.
    ForeignCatalogue(String),
    /// The catalogue could not be loaded; it will be tried again.
    CatalogueFailed,
    /// The relay does not let this page in: a password is another now, or a token or a sign-in has ended.
    LoggedOut,
    /// Something about one stream.
    Tile(StreamName, TileEvent),
    /// The user wants this tile to fill the window, or no longer.
    Solo(String),
    /// The user wants to see all again.
    Back,
    /// The user wants the first tile to be where the second is.
    Move(String, String),
    /// The user chose something.
    Choose(Choice),
    /// The browser does not keep what was chosen, and this is why.
    NotKept(String),
    /// The user does something on the test page.
    Test(TestEvent),
}

/// What the user chose.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// How streams get here.
    Protocol(Protocol),
    /// The same for one stream; none: like all others.
    StreamProtocol(String, Option<Protocol>),
    /// How loud a stream is, 0 to 1.
    Volume(String, f64),
    /// How tiles share the window.
    Layout(Layout),
    /// Whether statistics lie over the pictures, or the other way round than now.
    Statistics(Option<bool>),
    /// Whether the sidebar is open, or the other way round than now.
    Sidebar(Option<bool>),
    /// Light or dark.
    Theme(Theme),
}

impl App {
    /// The page that `request` asks for, before anything is known.
    pub fn new(request: Request, settings: Settings, abilities: Abilities) -> Self {
        let named = request.page == Page::Multiview && !request.streams.is_empty();
        let first = request.streams.first().and_then(|stream| stream.as_ref().ok());
        let test = TestPage {
            stream: first.cloned(),
            choice: request.choice,
            protocol: request.protocol.unwrap_or_default(),
            ..TestPage::default()
        };
        let tiles = if named { request.streams.into_iter().map(tile_of).map(Rc::new).collect() } else { Vec::new() };
        let mut app = Self {
            page: request.page,
            choice: request.choice,
            tiles,
            solo: None,
            controls: request.controls,
            abilities,
            settings,
            log: Log::default(),
            test,
            notice: (!named).then(|| "Asking the relay for its streams…".to_owned()),
            listed: Vec::new(),
            webrtc: None,
            logged_out: false,
            all: !named,
            protocol: request.protocol,
            layout: request.layout,
            statistics: request.statistics,
            other_relay: None,
            not_kept: None,
        };
        app.tell_tiles();
        app
    }

    /// Takes note of an event, which happened `at` milliseconds since the Unix epoch.
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
        }
    }

    /// How tiles share the window.
    pub fn layout(&self) -> Layout {
        self.layout.unwrap_or(self.settings.layout)
    }

    /// Whether statistics lie over the pictures.
    pub fn statistics(&self) -> bool {
        self.statistics.unwrap_or(self.settings.statistics)
    }

    /// How streams get here that have no choice of their own.
    pub fn protocol(&self) -> Protocol {
        self.protocol.unwrap_or(self.settings.protocol)
    }

    /// One sentence about the page as a whole, where it needs one, and whether loading it anew is the remedy.
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
                format!("This browser does not keep what you choose here: {why}. The pictures are not affected."),
                false,
            )),
            (None, None) => None,
        }
    }

    fn tile_event(&mut self, name: &StreamName, event: &TileEvent, at: f64) {
        let Some(tile) = self.tiles.iter_mut().find(|tile| tile.name == name.as_str()) else { return };
        let tile = Rc::make_mut(tile);
        tile.apply(event.clone());
        if let Some((level, text)) = tile.log_line(event) {
            self.log.add(log::Entry { at, level, stream: name.to_string(), text });
        }
    }

    fn log_page(&mut self, level: Level, text: String, at: f64) {
        self.log.add(log::Entry { at, level, stream: String::new(), text });
    }

    fn list(&mut self, catalogue: Catalogue) {
        let Catalogue { version, protocols, webrtc, streams } = catalogue;
        (self.webrtc, self.logged_out) = (Some(webrtc), false);
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

    /// In the user's order, then the catalogue's; those that were there go on as they are.
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
            // Those that are not there at the moment keep their place behind.
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

    /// Lets every tile know what was chosen for it.
    fn tell_tiles(&mut self) {
        for tile in &mut self.tiles {
            let protocol = match self.page {
                Page::Multiview => self.protocol.unwrap_or_else(|| self.settings.protocol_of(&tile.name)),
                Page::Test => self.test.protocol,
            };
            let volume = self.settings.stream(&tile.name).volume;
            if (tile.protocol, tile.volume) != (protocol, volume) {
                let tile = Rc::make_mut(tile);
                (tile.protocol, tile.volume) = (protocol, volume);
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

/// Understands what the relay answered for its catalogue; of a catalogue of another version at least the version.
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

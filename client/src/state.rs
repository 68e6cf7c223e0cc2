//! What the page shows: one reducer, from what happened to what is displayed.
//!
//! Sessions and the catalogue's loader send [`Event`]s; the components display [`App`] and decide nothing. No picture
//! counts as live unless a frame of the present epoch has been presented.

use sightline_protocol::catalogue::Catalogue;
use sightline_protocol::stream::{InvalidStreamName, StreamName, VariantChoice};

mod request;
mod tile;

pub use request::Request;
pub use tile::{Picture, Tile, TileEvent};

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
            Self::Offline => "offline",
            Self::Reconnecting => "reconnecting",
            Self::Error => "error",
        }
    }
}

/// The page.
#[derive(Debug, Clone, PartialEq)]
pub struct App {
    /// The variant that every tile asks for.
    pub choice: VariantChoice,
    /// The tiles, in order.
    pub tiles: Vec<Tile>,
    /// One sentence in place of tiles, while there are none.
    pub notice: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The catalogue arrived.
    Catalogue(Catalogue),
    /// The catalogue could not be loaded; it will be tried again.
    CatalogueFailed,
    /// Something about one stream.
    Tile(StreamName, TileEvent),
}

impl App {
    /// The page that `request` asks for, before anything is known.
    pub fn new(request: Request) -> Self {
        let tiles: Vec<_> = request.streams.into_iter().map(tile_of).collect();
        let notice = tiles.is_empty().then(|| "Asking the relay for its streams…".to_owned());
        Self { choice: request.choice, tiles, notice }
    }

    /// Whether the streams to show have to be asked for.
    pub fn needs_catalogue(&self) -> bool {
        self.tiles.is_empty()
    }

    /// Takes note of an event.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Catalogue(catalogue) => self.show_all(catalogue),
            Event::CatalogueFailed => {
                self.notice = Some("The relay cannot be reached. Trying again…".to_owned());
            }
            Event::Tile(name, event) => {
                if let Some(tile) = self.tiles.iter_mut().find(|tile| tile.name == name.as_str()) {
                    tile.apply(event);
                }
            }
        }
    }

    fn show_all(&mut self, catalogue: Catalogue) {
        if !self.needs_catalogue() {
            return;
        }
        self.tiles = catalogue.streams.into_iter().map(|info| Tile::new(info.name)).collect();
        self.notice = self.tiles.is_empty().then(|| {
            "The relay has no streams. Name one in its configuration, under [streams], and restart it.".to_owned()
        });
    }
}

fn tile_of(name: Result<StreamName, InvalidStreamName>) -> Tile {
    match name {
        Ok(name) => Tile::new(name),
        Err(error) => Tile::refused(&error),
    }
}

#[cfg(test)]
mod tests;

//! Moving a tile to another's place with the mouse or a pen. Fingers scroll; the sidebar and the keyboard move tiles too.

use wasm_bindgen::JsCast;
use web_sys::{Element, PointerEvent};

use crate::browser;

/// A click may tremble by so many pixels.
const TREMOR: f64 = 8.0;

/// What the pointer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Its button was pressed.
    Down,
    /// It moved.
    Move,
    /// Its button was let go, or the browser took the pointer away.
    Up,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Drag {
    pressed: Option<(f64, f64)>,
    moves: bool,
}

impl Drag {
    /// Whether the tile is being moved.
    pub(super) fn moves(&self) -> bool {
        self.moves
    }

    /// Takes note of what the pointer did. Returns whether that changes how the tile looks, and the name of the tile that
    /// this one is over.
    pub(super) fn pointer(&mut self, what: What, event: &PointerEvent, article: &Element) -> (bool, Option<String>) {
        let at = (f64::from(event.client_x()), f64::from(event.client_y()));
        match (what, self.pressed) {
            (What::Down, _) => {
                let meant = event.button() == 0 && event.pointer_type() != "touch" && !is_of_control(event);
                self.pressed = meant.then_some(at);
                (false, None)
            }
            (What::Move, Some(start)) if self.moves || (at.0 - start.0).hypot(at.1 - start.1) > TREMOR => {
                let begins = !std::mem::replace(&mut self.moves, true);
                if begins {
                    // From now on the pointer is this tile's, wherever it is.
                    let _ = article.set_pointer_capture(event.pointer_id());
                }
                (begins, if begins { None } else { tile_at(at) })
            }
            (What::Move, _) => (false, None),
            (What::Up, _) => {
                self.pressed = None;
                (std::mem::take(&mut self.moves), None)
            }
        }
    }
}

/// The name of the tile at a point of the window. The one that is moved is not found: the style sheet takes it out of the
/// pointer's way.
fn tile_at((x, y): (f64, f64)) -> Option<String> {
    let element = browser::document().element_from_point(x as f32, y as f32)?;
    element.closest("article.tile").ok()??.get_attribute("data-stream")
}

/// Whether an event is a button's or an input's own business.
pub(super) fn is_of_control(event: &web_sys::Event) -> bool {
    let target: Option<Element> = event.target().and_then(|target| target.dyn_into().ok());
    target.is_some_and(|target| target.closest("button, input, select").ok().flatten().is_some())
}

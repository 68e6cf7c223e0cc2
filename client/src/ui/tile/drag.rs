//! Drags a tile to another's position with a mouse or a pen. A finger scrolls; the sidebar and the keyboard move tiles as well.

use wasm_bindgen::JsCast;
use web_sys::{Element, PointerEvent};

use crate::browser;

/// Movement within a click, in CSS pixels.
const TREMOR: f64 = 8.0;

/// The kind of pointer event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The button was pressed.
    Down,
    /// The pointer moved.
    Move,
    /// The button was released, or the browser cancelled the pointer.
    Up,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Drag {
    pressed: Option<(f64, f64)>,
    moves: bool,
}

impl Drag {
    /// Whether the tile is being dragged.
    pub(super) fn moves(&self) -> bool {
        self.moves
    }

    /// Handles a pointer event. Returns whether the tile must be rendered again, and the name of the tile below the pointer.
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
                    // From now on all events of the pointer go to this tile.
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

/// The name of the tile at a point of the window. The dragged tile is skipped: the style sheet makes it transparent to the
/// pointer.
fn tile_at((x, y): (f64, f64)) -> Option<String> {
    let element = browser::document().element_from_point(x as f32, y as f32)?;
    element.closest("article.tile").ok()??.get_attribute("data-stream")
}

/// Whether a button or an input handles the event itself.
pub(super) fn is_of_control(event: &web_sys::Event) -> bool {
    let target: Option<Element> = event.target().and_then(|target| target.dyn_into().ok());
    target.is_some_and(|target| target.closest("button, input, select, details").ok().flatten().is_some())
}

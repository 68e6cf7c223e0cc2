//! A tap shows the controls that a mouse shows by hovering; the next tap hides them. On a touchscreen the style sheet shows
//! them while the tile has the focus, so at most one tile shows them.

use web_sys::{Element, HtmlElement, PointerEvent};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tap {
    /// Whether the controls were visible when the finger came down; none for a mouse or a pen.
    shown: Option<bool>,
}

impl Tap {
    /// Handles a pointer that comes down on the tile.
    pub(super) fn down(&mut self, event: &PointerEvent, article: &Element) {
        let shown =
            || article.matches(":focus-within").unwrap_or(false) && !matches!(article.closest(".idle"), Ok(Some(_)));
        self.shown = (event.pointer_type() == "touch").then(shown);
    }

    /// Handles the click that follows: by now the browser may have moved the focus itself.
    pub(super) fn click(&mut self, article: &HtmlElement) {
        let _ = match self.shown.take() {
            Some(true) => article.blur(),
            Some(false) => article.focus(),
            None => Ok(()),
        };
    }
}

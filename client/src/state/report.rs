//! The bug report: the whole state of the page, as text.

use sightline_protocol::VERSION;

use super::App;

impl App {
    /// The report, with the page's address, and times formatted by `time`.
    pub fn report(&self, address: &str, time: impl Fn(f64) -> String) -> String {
        let mut lines = vec![
            format!("Sightline {VERSION}"),
            format!("Page: {address}"),
            format!("Browser: {}", self.abilities.user_agent),
        ];
        lines.extend(self.banner().map(|(text, _)| text));
        lines.push("\n## Browser".to_owned());
        lines.extend(self.abilities.rows().into_iter().map(|(name, value)| format!("{name}: {value}")));
        for tile in &self.tiles {
            lines.push(format!("\n## Stream {}: {}", tile.name, tile.phase().label()));
            lines.extend(tile.message());
            lines.extend(tile.notes.iter().cloned());
            lines.extend(
                tile.statistics().into_iter().chain(tile.details()).map(|(name, value)| format!("{name}: {value}")),
            );
        }
        lines.push("\n## Log".to_owned());
        lines.push(self.log.to_text(time));
        lines.join("\n")
    }
}

//! Measures the size of the client's download.

use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::Row;

/// Rows for the built client. Without one, prints advice and returns none.
pub(crate) fn measure() -> Vec<Row> {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist");
    let Ok(entries) = std::fs::read_dir(&dist) else {
        eprintln!("the client is not built: run `make client` for its size");
        return Vec::new();
    };
    let mut rows = Vec::new();
    let mut client = (0, 0);
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let Some(kind @ ("wasm" | "js")) = path.extension().and_then(|kind| kind.to_str()) else {
            continue;
        };
        let bytes = std::fs::read(&path).expect("a built file can be read");
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&bytes).expect("memory takes it");
        let zipped = gzip.finish().expect("memory takes it").len();
        match path.file_name().and_then(|name| name.to_str()) {
            // Not loaded by the page itself: embedding pages load the first, HLS playback the second.
            Some(name @ ("sightline-player.js" | "hls.js")) => rows.push(row(name, bytes.len(), zipped, "")),
            _ => {
                client = (client.0 + bytes.len(), client.1 + zipped);
                rows.push(row(&format!("client .{kind}"), bytes.len(), zipped, ""));
            }
        }
    }
    rows.push(row("client, what every page loads", client.0, client.1, "350 KB gzip"));
    rows
}

fn row(what: &str, raw: usize, gzip: usize, limit: &str) -> Row {
    let kb = |bytes: usize| bytes as f64 / 1e3;
    Row::new(format!("{what}, raw / gzip"), format!("{:.0} KB / {:.0} KB", kb(raw), kb(gzip)), limit)
}

//! Intercepts the files that a page saves, inside the page: the browser starts no download.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::Browser;
use crate::run::until;

/// A page saves a file by clicking on a link to a blob.
const INSTALL: &str = "
    window.sightlineSaved = [];
    const [blobs, create, click] = [new Map(), URL.createObjectURL, HTMLAnchorElement.prototype.click];
    URL.createObjectURL = what => {
        const url = create.call(URL, what);
        if (what instanceof Blob) blobs.set(url, what);
        return url;
    };
    HTMLAnchorElement.prototype.click = function () {
        const blob = blobs.get(this.href);
        if (!blob || !this.download) return click.call(this);
        const file = { name: this.download, mime: blob.type, blob, hex: null };
        window.sightlineSaved.push(file);
        blob.arrayBuffer().then(bytes => {
            file.hex = Array.from(new Uint8Array(bytes), byte => byte.toString(16).padStart(2, '0')).join('');
        });
    };
";

/// The file with this index, once its bytes are available.
const TAKE: &str = "
    const file = window.sightlineSaved[arguments[0]];
    return file && file.hex !== null ? { name: file.name, mime: file.mime, hex: file.hex } : null;
";

/// A file that a page saved.
#[derive(Debug, Clone)]
pub struct Saved {
    /// The name that the page gave it.
    pub name: String,
    /// Its MIME type.
    pub mime: String,
    /// Its contents.
    pub bytes: Vec<u8>,
}

#[derive(Deserialize)]
struct Taken {
    name: String,
    mime: String,
    hex: String,
}

impl Browser {
    /// Intercepts the page's saved files until the page is left or reloaded.
    pub async fn catch_files(&self) {
        self.script(INSTALL, vec![]).await;
    }

    /// The file that the page saved with this `index`, counted from 0. The page keeps its blob as `sightlineSaved[index].blob`.
    ///
    /// # Panics
    /// When there is none within `limit`.
    pub async fn saved(&self, index: usize, limit: Duration) -> Saved {
        let take = async || -> Option<Taken> {
            let taken = self.script(TAKE, vec![json!(index)]).await;
            serde_json::from_value(taken).expect("a file")
        };
        let what = format!("{}: the page to save file {index}", self.engine());
        let Taken { name, mime, hex } = until(&what, limit, take).await;
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
        Saved { name, mime, bytes: (0..hex.len()).step_by(2).map(byte).collect() }
    }
}

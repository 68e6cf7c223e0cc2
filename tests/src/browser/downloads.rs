//! What a page saves as a file, caught in the page: the browser makes no download of it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::Browser;
use crate::run::until;

/// A page saves by clicking on a link to a blob.
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

/// The file of this number, once its bytes can be had.
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
    /// What is in it.
    pub bytes: Vec<u8>,
}

#[derive(Deserialize)]
struct Taken {
    name: String,
    mime: String,
    hex: String,
}

impl Browser {
    /// Catches what the page saves from now on, until it is left or loaded anew.
    pub async fn catch_files(&self) {
        self.script(INSTALL, vec![]).await;
    }

    /// The file that the page saves as number `index`, counted from 0. In the page its blob stays
    /// `sightlineSaved[index].blob`.
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

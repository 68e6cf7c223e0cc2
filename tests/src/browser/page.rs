//! What a browser's page shows. The page is read by its document only: `article.tile` with its data attributes, the
//! `video` in it, and `.tile-message`.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fantoccini::Locator;
use fantoccini::actions::{InputSource, KeyAction, KeyActions, MOUSE_BUTTON_LEFT, MouseActions, PointerAction};
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Browser;
use crate::run::{say, until};

/// A colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rgb(pub u8, pub u8, pub u8);

impl Rgb {
    /// How far apart two colours may be in each channel and still be the same: coding, chroma subsampling and the
    /// choice between the matrices of BT.601 and BT.709 move saturated colours by up to 30.
    const TOLERANCE: u8 = 45;

    /// The median of each channel.
    ///
    /// # Panics
    /// Without any pixels.
    pub fn median(pixels: &[[u8; 3]]) -> Self {
        let median = |channel: usize| {
            let mut values: Vec<u8> = pixels.iter().map(|pixel| pixel[channel]).collect();
            values.sort_unstable();
            values[values.len() / 2]
        };
        Self(median(0), median(1), median(2))
    }

    /// Whether it is the same colour but for what coding does.
    pub fn is_like(self, other: Self) -> bool {
        let near = |a: u8, b: u8| a.abs_diff(b) <= Self::TOLERANCE;
        near(self.0, other.0) && near(self.1, other.1) && near(self.2, other.2)
    }
}

impl fmt::Display for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}{:02x}", self.0, self.1, self.2)
    }
}

/// `data-state` of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TileState {
    /// The WebSocket is being opened.
    Connecting,
    /// The relay is starting the source.
    Starting,
    /// Pictures are shown.
    Live,
    /// A picture is on screen and no longer renewed.
    Stalled,
    /// Nobody can see it, so nothing is sent.
    Paused,
    /// The relay has no picture from the source.
    Offline,
    /// The relay is out of reach.
    Reconnecting,
    /// It will not work without somebody changing something.
    Error,
}

/// A tile as the document shows it.
#[derive(Debug, Clone, Deserialize)]
pub struct Tile {
    /// `data-state`.
    pub state: TileState,
    /// `data-protocol`.
    pub protocol: Option<String>,
    /// `data-variant`.
    pub variant: Option<String>,
    /// `data-codec`.
    pub codec: Option<String>,
    /// `data-epoch`.
    pub epoch: Option<u32>,
    /// `data-first-picture-ms`.
    pub first_picture_ms: Option<f64>,
    /// The text of `.tile-message`, when it is shown.
    pub message: String,
    /// Frames the video element has presented since its source was set.
    pub frames: u64,
    /// Its `currentTime` in seconds.
    pub time: f64,
    /// Its size in pixels; 0 before the first picture.
    pub width: u32,
    /// Its decoding error, if any.
    pub error: Option<String>,
}

/// Reads a tile; null when there is none.
const READ_TILE: &str = r"
const tile = [...document.querySelectorAll('article.tile')].find(t => t.dataset.stream === arguments[0]);
if (!tile) return null;
const video = tile.querySelector('video');
const message = tile.querySelector('.tile-message');
const number = text => text === undefined || text === '' ? null : Number(text);
const quality = video.getVideoPlaybackQuality();
return {
    state: tile.dataset.state,
    protocol: tile.dataset.protocol ?? null,
    variant: tile.dataset.variant ?? null,
    codec: tile.dataset.codec ?? null,
    epoch: number(tile.dataset.epoch),
    first_picture_ms: number(tile.dataset.firstPictureMs),
    message: message && message.checkVisibility() ? message.textContent.trim() : '',
    // WebKitGTK counts less than none while its decoder is set up anew.
    frames: Math.max(0, quality.totalVideoFrames - quality.droppedVideoFrames),
    time: video.currentTime,
    width: video.videoWidth,
    error: video.error ? `${video.error.code} ${video.error.message}` : null,
};";

/// Reads five pixels of a tile's picture, which is the video's or the one that lies over it, given as fractions of its size, as `[r, g, b]` each; null without a picture.
const READ_PIXELS: &str = r"
const tile = [...document.querySelectorAll('article.tile')].find(t => t.dataset.stream === arguments[0]);
const [video, curtain] = [tile.querySelector('video'), tile.querySelector('canvas')];
const covered = curtain && !curtain.hidden;
const [width, height] = covered ? [curtain.width, curtain.height] : [video.videoWidth, video.videoHeight];
if (!width || (!covered && video.readyState < 2)) return null;
const canvas = document.createElement('canvas');
[canvas.width, canvas.height] = [width, height];
const context = canvas.getContext('2d', { willReadFrequently: true });
context.drawImage(covered ? curtain : video, 0, 0);
return arguments[1].map(([x, y]) =>
    [...context.getImageData(Math.floor(x * width), Math.floor(y * height), 1, 1).data].slice(0, 3));";

/// From the page's load to its contents, and what a seek takes at most.
const READABLE: Duration = Duration::from_secs(10);

/// How often a count of frames is read: a count that starts over loses what it had gained since.
const SAMPLE: Duration = Duration::from_millis(200);

/// Where the mark is read: the ball covers at most one of these at a time.
pub const MARK_POINTS: [(f64, f64); 5] = [(0.1, 0.1), (0.9, 0.1), (0.5, 0.5), (0.1, 0.9), (0.9, 0.9)];

/// Between two looks at what may be moving.
const STILL: Duration = Duration::from_millis(150);

impl Browser {
    /// Opens an address in the window.
    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap_or_else(|e| panic!("{}: {url}: {e}", self.engine()));
    }

    /// The first element that a selector finds, once the page has it.
    async fn find(&self, selector: &str) -> Result<Element, CmdError> {
        self.client.wait().at_most(READABLE).for_element(Locator::Css(selector)).await
    }

    /// Clicks on the first element that a selector finds, as a user does.
    ///
    /// # Panics
    /// When there is none, or it cannot be clicked.
    pub async fn click(&self, selector: &str) {
        let begun = Instant::now();
        loop {
            match async { self.find(selector).await?.click().await }.await {
                // It is there and not yet laid out.
                Err(e) if begun.elapsed() < READABLE && e.to_string().contains("scrolled into view") => {
                    tokio::time::sleep(SAMPLE).await;
                }
                clicked => return clicked.unwrap_or_else(|e| panic!("{}: click on {selector}: {e}", self.engine())),
            }
        }
    }

    /// Clicks twice on the middle of the first element that a selector finds, once it stands still: what moves to its
    /// place is where it was when the click comes.
    ///
    /// # Panics
    /// When there is none.
    pub async fn double_click(&self, selector: &str) {
        let place = "const { x, y, width } = document.querySelector(arguments[0]).getBoundingClientRect(); return [x, y, width];";
        let mut last = Value::Null;
        let stands = async || {
            let now = self.script(place, vec![selector.into()]).await;
            let still = now == last;
            last = now;
            tokio::time::sleep(STILL).await;
            still.then_some(())
        };
        until(&format!("{}: {selector} to stand still", self.engine()), READABLE, stands).await;
        let clicked = async {
            let element = self.find(selector).await?;
            let to = PointerAction::MoveToElement { element, duration: None, x: 0.0, y: 0.0 };
            let (down, up) =
                (PointerAction::Down { button: MOUSE_BUTTON_LEFT }, PointerAction::Up { button: MOUSE_BUTTON_LEFT });
            let mouse = MouseActions::new("mouse".to_owned());
            let mouse = [to, down.clone(), up.clone(), down, up].into_iter().fold(mouse, MouseActions::then);
            self.client.perform_actions(mouse).await
        };
        clicked.await.unwrap_or_else(|e| panic!("{}: double click on {selector}: {e}", self.engine()));
    }

    /// Presses a key, by its code point in WebDriver (section 17.4.2) where it has no character, in the first element that
    /// a selector finds.
    ///
    /// # Panics
    /// When there is none, or it takes no keys.
    pub async fn press(&self, selector: &str, key: char) {
        let pressed = async { self.find(selector).await?.send_keys(&key.to_string()).await }.await;
        pressed.unwrap_or_else(|e| panic!("{}: a key in {selector}: {e}", self.engine()));
    }

    /// Presses a key wherever the focus is, as [`Self::press`] names it, while `held` are held down.
    ///
    /// # Panics
    /// When the browser takes no keys.
    pub async fn key(&self, held: &[char], key: char) {
        let down = held.iter().chain([&key]).map(|&value| KeyAction::Down { value });
        let up = [&key].into_iter().chain(held).map(|&value| KeyAction::Up { value });
        let keys = down.chain(up).fold(KeyActions::new("keyboard".to_owned()), KeyActions::then);
        self.client.perform_actions(keys).await.unwrap_or_else(|e| panic!("{}: a key: {e}", self.engine()));
    }

    /// Loads the page anew.
    pub async fn reload(&self) {
        self.client.refresh().await.unwrap_or_else(|e| panic!("{}: reload: {e}", self.engine()));
    }

    /// Leaves the page, so that the relay loses this viewer.
    pub async fn leave(&self) {
        self.open("about:blank").await;
    }

    /// Runs a script in the page and gives its result.
    pub async fn script(&self, script: &str, arguments: Vec<Value>) -> Value {
        let result = self.client.execute(script, arguments).await;
        result.unwrap_or_else(|e| panic!("{}: {e}\n{script}", self.engine()))
    }

    /// Runs a script that changes nothing and returns its value. WebKitGTK's driver now and then loses the answer of one
    /// while the page is busy, and says that it could not parse it: then it is asked again.
    async fn read(&self, script: &str, arguments: Vec<Value>) -> Value {
        for _ in 0..3 {
            match self.client.execute(script, arguments.clone()).await {
                Err(e) if e.to_string().contains("Could not parse script result") => {
                    eprintln!("{}: {e}; asking again", self.engine());
                    tokio::time::sleep(SAMPLE).await;
                }
                result => return result.unwrap_or_else(|e| panic!("{}: {e}\n{script}", self.engine())),
            }
        }
        self.script(script, arguments).await
    }

    /// The names of the streams that have a tile, in the page's order.
    pub async fn streams(&self) -> Vec<String> {
        let script = "return [...document.querySelectorAll('article.tile')].map(t => t.dataset.stream)";
        serde_json::from_value(self.script(script, vec![]).await).expect("names")
    }

    /// The whole text of the page, as a person reads it.
    pub async fn text(&self) -> String {
        let text = self.script("return document.body ? document.body.innerText : ''", vec![]).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Everything in the page's document, attributes included.
    pub async fn document(&self) -> String {
        let text = self.script("return document.documentElement.outerHTML", vec![]).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// The tile of a stream, if the page has one.
    pub async fn tile(&self, stream: &str) -> Option<Tile> {
        let tile = self.read(READ_TILE, vec![json!(stream)]).await;
        let described = format!("{}: tile {stream}: {tile}", self.engine());
        serde_json::from_value(tile).unwrap_or_else(|e| panic!("{described}: {e}"))
    }

    /// Waits until the tile of a stream is as wanted.
    ///
    /// # Panics
    /// After `limit`, with what the tile was instead.
    pub async fn wait_for_tile(
        &self,
        stream: &str,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Tile) -> bool,
    ) -> Tile {
        let mut last = None;
        let found = until(what, limit * 2, async || {
            last = self.tile(stream).await;
            last.clone().filter(&wanted)
        });
        match tokio::time::timeout(limit, found).await {
            Ok(tile) => tile,
            Err(_) => {
                let _ = self.screenshot(&format!("failed-{}-{stream}", self.engine())).await;
                panic!("{}: waited {limit:?} for {what}; the tile of {stream} is {last:?}", self.engine())
            }
        }
    }

    /// Waits until a stream is live, with frames on screen.
    ///
    /// # Panics
    /// After `limit`.
    pub async fn wait_live(&self, stream: &str, limit: Duration) -> Tile {
        let live = |tile: &Tile| tile.state == TileState::Live && tile.frames > 0 && tile.width > 0;
        self.wait_for_tile(stream, "a live picture", limit, live).await
    }

    /// Watches a stream for `span` and gives how many frames were presented in it.
    pub async fn frames_in(&self, stream: &str, span: Duration) -> u64 {
        let frames = async || self.tile(stream).await.expect("the tile is there").frames;
        let (start, mut last, mut sum) = (Instant::now(), frames().await, 0);
        while start.elapsed() < span {
            tokio::time::sleep(SAMPLE).await;
            let now = frames().await;
            // WebKit counts from 0 again when its decoder has been set up anew.
            sum += if now >= last { now - last } else { now };
            last = now;
        }
        sum
    }

    /// Waits until a stream shows at least so many frames within `span`, for whatever else the machine is busy with. What
    /// was too slow before is said, with the tile at each look.
    ///
    /// # Panics
    /// When it takes longer than `limit`.
    pub async fn wait_moving(&self, stream: &str, span: Duration, least: u64, limit: Duration) {
        let begun = Instant::now();
        loop {
            let (start, mut last, mut sum, mut looks) = (Instant::now(), None, 0, Vec::new());
            while start.elapsed() < span {
                let tile = self.tile(stream).await.expect("the tile is there");
                // WebKit counts from 0 again when its decoder has been set up anew.
                sum += last.map_or(0, |last| if tile.frames >= last { tile.frames - last } else { tile.frames });
                last = Some(tile.frames);
                looks.push(format!("{:?} {} at {:.2}", tile.state, tile.frames, tile.time));
                tokio::time::sleep(SAMPLE).await;
            }
            if sum >= least {
                return;
            }
            say(&format!("{}: {stream}: {sum} frames in {span:?}: {}", self.engine(), looks.join(", ")));
            assert!(begun.elapsed() < limit, "{}: {stream} does not move as it should", self.engine());
        }
    }

    /// The colour of a stream's background: the median of five points, since the ball covers one at most. A video that
    /// seeks shows its last picture and gives it to nobody, so that is waited out.
    ///
    /// # Panics
    /// When there is no picture.
    pub async fn mark(&self, stream: &str) -> Rgb {
        let points: Vec<_> = MARK_POINTS.iter().map(|(x, y)| json!([x, y])).collect();
        let what = format!("{}: a picture of {stream} to read", self.engine());
        let pixels: Vec<[u8; 3]> = until(&what, READABLE, async || {
            let pixels = self.read(READ_PIXELS, vec![json!(stream), json!(points)]).await;
            serde_json::from_value::<Option<_>>(pixels).expect("pixels")
        })
        .await;
        Rgb::median(&pixels)
    }

    /// Keeps a picture of the window as `target/screenshots/NAME.png`.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let png = self.client.screenshot().await.unwrap_or_else(|e| panic!("{}: screenshot: {e}", self.engine()));
        let folder = crate::relay::target_folder().join("screenshots");
        std::fs::create_dir_all(&folder).expect("target is writable");
        let path = folder.join(format!("{name}.png"));
        std::fs::write(&path, png).expect("target is writable");
        path
    }
}

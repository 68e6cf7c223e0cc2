//! Reads the state of a page from its document only: `article.tile` with its data attributes, the `video` in it, the `canvas` by
//! WebCodecs, and `.tile-message`.

use std::collections::VecDeque;
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
use crate::run::{Wait, until};

/// A colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rgb(pub u8, pub u8, pub u8);

impl Rgb {
    /// The tolerance per channel: coding, chroma subsampling and the choice between the matrices of BT.601 and BT.709 shift
    /// saturated colours by up to 30.
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

    /// Whether the colours are equal within `TOLERANCE`.
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

/// Sums presented frames over resets of the video element's counter. WebKit resets it with its decoder, and each new element
/// starts at 0.
#[derive(Debug, Default)]
pub struct FrameCounter {
    last: Option<u64>,
    sum: u64,
}

impl FrameCounter {
    /// Takes the counter's value and returns the frames since the first call.
    pub fn add(&mut self, frames: u64) -> u64 {
        let last = self.last.replace(frames).unwrap_or(frames);
        self.sum += if frames >= last { frames - last } else { frames };
        self.sum
    }
}

/// `data-state` of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TileState {
    /// The client opens the WebSocket.
    Connecting,
    /// The relay starts the source.
    Starting,
    /// Video plays.
    Live,
    /// A frame is on the screen and no new one comes.
    Stalled,
    /// The tile is not visible, so the relay sends nothing.
    Paused,
    /// The relay receives no video from the source.
    Offline,
    /// The relay is unreachable.
    Reconnecting,
    /// Playback fails until a user or operator changes something.
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
    /// `data-first-frame-ms`.
    pub first_frame_ms: Option<f64>,
    /// The text of `.tile-message`, if it, or the fault that contains it, is visible.
    pub message: String,
    /// Frames that the video element has presented since its source was set; by WebCodecs, painted since the first read.
    pub frames: u64,
    /// Its `currentTime` in seconds; by WebCodecs, the painted frame's timestamp.
    pub time: f64,
    /// Its width in pixels, 0 before the first frame.
    pub width: u32,
    /// Its decoding error, if any.
    pub error: Option<String>,
}

/// Reads a tile. Null if there is none.
const READ_TILE: &str = concat!(
    include_str!("painted.js"),
    r"
const tile = [...document.querySelectorAll('article.tile')].find(t => t.dataset.stream === arguments[0]);
if (!tile) return null;
const video = tile.querySelector('video');
const message = tile.querySelector('.tile-message');
const number = text => text === undefined || text === '' ? null : Number(text);
const quality = video.getVideoPlaybackQuality();
const canvas = tile.dataset.protocol === 'webcodecs' && !video.srcObject ? tile.querySelector('canvas') : null;
return {
    state: tile.dataset.state,
    protocol: tile.dataset.protocol ?? null,
    variant: tile.dataset.variant ?? null,
    codec: tile.dataset.codec ?? null,
    epoch: number(tile.dataset.epoch),
    first_frame_ms: number(tile.dataset.firstFrameMs),
    message: (message?.closest('.tile-fault') ?? message)?.checkVisibility() ? message.textContent.trim() : '',
    // WebKitGTK's count is negative while it replaces its decoder.
    frames: canvas ? painted.counts.get(canvas) ?? 0 : Math.max(0, quality.totalVideoFrames - quality.droppedVideoFrames),
    time: canvas ? painted.times.get(canvas) ?? 0 : video.currentTime,
    width: canvas ? canvas.width : video.videoWidth,
    error: video.error ? `${video.error.code} ${video.error.message}` : null,
};"
);

/// Reads pixels of a tile's image: the video's, or that of the visible canvas over it. Positions are fractions of its size.
/// Returns `[r, g, b]` for each, or null without an image.
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

/// The errors by which WebKitGTK's driver reports a lost result.
const LOST_RESULTS: [&str; 2] = ["Could not parse script result", "Callback was not called before the unload event"];

/// The time limit of a page's load, and of a seek.
const READABLE: Duration = Duration::from_secs(10);

/// The polling interval of the frame counter: a reset loses the frames since the last poll.
const SAMPLE: Duration = Duration::from_millis(200);

/// The points that show the mark. The ball covers at most one of them at a time.
pub const MARK_POINTS: [(f64, f64); 5] = [(0.1, 0.1), (0.9, 0.1), (0.5, 0.5), (0.1, 0.9), (0.9, 0.9)];

/// The time limit of a command to the driver. A page takes seconds to load while the processor is busy.
const COMMAND: Duration = Duration::from_secs(60);

/// The interval between two readings of a position that may still change.
const STILL: Duration = Duration::from_millis(150);

impl Browser {
    /// The driver's answer to a command.
    ///
    /// # Panics
    /// When the command fails, or has no answer within [`COMMAND`].
    async fn answer<T>(&self, what: &str, command: impl Future<Output = Result<T, CmdError>>) -> T {
        self.within_limit(what, command).await.unwrap_or_else(|e| panic!("{}: {what}: {e}", self.engine()))
    }

    /// The outcome of a command.
    ///
    /// # Panics
    /// When there is none within [`COMMAND`].
    async fn within_limit<T>(
        &self,
        what: &str,
        command: impl Future<Output = Result<T, CmdError>>,
    ) -> Result<T, CmdError> {
        let _wait = Wait::begin(format!("{}: {what}", self.engine()));
        let outcome = tokio::time::timeout(COMMAND, command).await;
        outcome.unwrap_or_else(|_| {
            let states = self.process_states().join(", ");
            panic!("{}: no answer from the driver within {COMMAND:?}, processes {states}, to {what}", self.engine())
        })
    }

    /// Opens an address in the window.
    pub async fn open(&self, url: &str) {
        self.answer(url, self.client.goto(url)).await;
    }

    /// Waits for the first element that matches a selector.
    async fn find(&self, selector: &str) -> Result<Element, CmdError> {
        self.client.wait().at_most(READABLE).for_element(Locator::Css(selector)).await
    }

    /// Clicks on the first element that matches a selector, as a user does.
    ///
    /// # Panics
    /// When there is none, or it cannot be clicked.
    pub async fn click(&self, selector: &str) {
        let begun = Instant::now();
        loop {
            let click = async { self.find(selector).await?.click().await };
            match self.within_limit(&format!("click on {selector}"), click).await {
                // The element exists but has no layout yet.
                Err(e) if begun.elapsed() < READABLE && e.to_string().contains("scrolled into view") => {
                    tokio::time::sleep(SAMPLE).await;
                }
                clicked => return clicked.unwrap_or_else(|e| panic!("{}: click on {selector}: {e}", self.engine())),
            }
        }
    }

    /// Moves the pointer to the centre of the first element that matches a selector.
    ///
    /// # Panics
    /// When there is none, or it is outside the window.
    pub async fn hover(&self, selector: &str) {
        let moved = async {
            let element = self.find(selector).await?;
            let to = |x| PointerAction::MoveToElement { element: element.clone(), duration: None, x, y: 0.0 };
            // A pointer that is there already causes no event.
            self.client.perform_actions(MouseActions::new("mouse".to_owned()).then(to(1.0)).then(to(0.0))).await
        };
        self.answer(&format!("pointer to {selector}"), moved).await;
    }

    /// Double-clicks on the centre of the first element that matches a selector, once its position is stable: a click on a
    /// moving element misses it.
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
        self.answer(&format!("double click on {selector}"), clicked).await;
    }

    /// Presses a key in the first element that matches a selector. A key without a character is given by its code point in
    /// WebDriver (section 17.4.2).
    ///
    /// # Panics
    /// When there is none, or it takes no keys.
    pub async fn press(&self, selector: &str, key: char) {
        let pressed = async { self.find(selector).await?.send_keys(&key.to_string()).await };
        self.answer(&format!("a key in {selector}"), pressed).await;
    }

    /// Presses a key at the focus, named as for [`Self::press`], while `held` are held down.
    ///
    /// # Panics
    /// When the browser takes no keys.
    pub async fn key(&self, held: &[char], key: char) {
        let down = held.iter().chain([&key]).map(|&value| KeyAction::Down { value });
        let up = [&key].into_iter().chain(held).map(|&value| KeyAction::Up { value });
        let keys = down.chain(up).fold(KeyActions::new("keyboard".to_owned()), KeyActions::then);
        self.answer("a key", self.client.perform_actions(keys)).await;
    }

    /// Reloads the page.
    pub async fn reload(&self) {
        self.answer("reload", self.client.refresh()).await;
    }

    /// Goes back in the history.
    pub async fn back(&self) {
        self.answer("back", self.client.back()).await;
    }

    /// Leaves the page, so that the relay loses this viewer.
    pub async fn leave(&self) {
        self.open("about:blank").await;
    }

    /// Runs a script in the page and returns its result.
    pub async fn script(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.answer(script, self.client.execute(script, arguments)).await
    }

    /// Runs a read-only script and returns its value. WebKitGTK's driver loses a result sometimes while the page is busy, and when
    /// the page is left meanwhile: the script then runs again.
    async fn read(&self, script: &str, arguments: Vec<Value>) -> Value {
        for _ in 0..3 {
            match self.within_limit(script, self.client.execute(script, arguments.clone())).await {
                Err(e) if LOST_RESULTS.iter().any(|lost| e.to_string().contains(lost)) => {
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
        // WebKitGTK returns null during a navigation.
        let names = serde_json::from_value::<Option<Vec<String>>>(self.read(script, vec![]).await);
        names.expect("names").unwrap_or_default()
    }

    /// The visible text of the page.
    pub async fn text(&self) -> String {
        let text = self.read("return document.body ? document.body.innerText : ''", vec![]).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// The page's whole document, attributes included.
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

    /// Waits until the tile of a stream satisfies `wanted`.
    ///
    /// # Panics
    /// After `limit`, with the tile's last state.
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
                let _ = self.screenshot(&format!("failed-{}-{}", self.engine(), stream.replace('/', "_"))).await;
                panic!("{}: waited {limit:?} for {what}; the tile of {stream} is {last:?}", self.engine())
            }
        }
    }

    /// Waits until a stream is live, with frames on the screen.
    ///
    /// # Panics
    /// After `limit`.
    pub async fn wait_live(&self, stream: &str, limit: Duration) -> Tile {
        let live = |tile: &Tile| tile.state == TileState::Live && tile.frames > 0 && tile.width > 0;
        self.wait_for_tile(stream, "a live picture", limit, live).await
    }

    /// The number of frames of a stream that are presented within `span`.
    pub async fn frames_in(&self, stream: &str, span: Duration) -> u64 {
        let (start, mut frames) = (Instant::now(), FrameCounter::default());
        loop {
            let presented = frames.add(self.tile(stream).await.expect("the tile is there").frames);
            if start.elapsed() >= span {
                return presented;
            }
            tokio::time::sleep(SAMPLE).await;
        }
    }

    /// Waits until a stream shows at least `least` frames within a window of `span`. A busy machine's decoder may be slow at
    /// first.
    ///
    /// # Panics
    /// After `limit`, with the last samples.
    pub async fn wait_moving(&self, stream: &str, span: Duration, least: u64, limit: Duration) {
        let (begun, mut frames, mut samples) =
            (Instant::now(), FrameCounter::default(), VecDeque::<(Instant, u64, Tile)>::new());
        loop {
            let tile = self.tile(stream).await.expect("the tile is there");
            let (now, presented) = (Instant::now(), frames.add(tile.frames));
            while samples.front().is_some_and(|&(at, ..)| now - at > span) {
                samples.pop_front();
            }
            if samples.front().is_some_and(|&(_, before, _)| presented - before >= least) {
                return;
            }
            samples.push_back((now, presented, tile));
            if begun.elapsed() > limit {
                let last =
                    samples.iter().map(|(_, _, tile)| format!("{:?} {} at {:.2}", tile.state, tile.frames, tile.time));
                let last = last.collect::<Vec<_>>().join(", ");
                panic!("{}: {stream} never showed {least} frames in {span:?}; at last {last}", self.engine());
            }
            tokio::time::sleep(SAMPLE).await;
        }
    }

    /// The colour of a stream's background: the median of five points, of which the ball covers at most one. A seeking video
    /// shows its last frame but does not return its pixels, so this waits for the seek to end.
    ///
    /// # Panics
    /// When there is no frame.
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

    /// Checks at every refresh from now on that a stream's tile shows a frame.
    pub async fn watch_for_black(&self, stream: &str) {
        self.script(include_str!("black.js"), vec![json!(stream)]).await;
    }

    /// Asserts that no refresh since [`Self::watch_for_black`] had nothing to see.
    ///
    /// # Panics
    /// With the state of the tile at each refresh that had.
    pub async fn assert_never_black(&self) {
        let black = self.script("return window.black", vec![]).await;
        assert_eq!(black, json!([]), "{}: there was nothing to see for some refreshes", self.engine());
    }

    /// Saves a screenshot of the window as `target/screenshots/NAME.png`.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let png = self.answer("screenshot", self.client.screenshot()).await;
        let folder = crate::relay::target_folder().join("screenshots");
        std::fs::create_dir_all(&folder).expect("target is writable");
        let path = folder.join(format!("{name}.png"));
        std::fs::write(&path, png).expect("target is writable");
        path
    }
}

#[cfg(test)]
mod tests {
    use super::FrameCounter;

    #[test]
    fn counter_that_begins_again_loses_nothing() {
        let mut frames = FrameCounter::default();
        assert_eq!([100, 110, 4, 10].map(|value| frames.add(value)), [0, 10, 14, 20]);
    }
}

//! Pages in Chromium, Firefox and WebKitGTK.

mod embed;
mod interface;
mod multiview;
mod networks;
mod one_browser;
mod playback;
mod protocols;
mod recovery;
mod stream_names;
mod visibility;
mod webcodecs;

//! `mediamtx.yml`: `paths`. The relay reads RTSP cameras itself, and all other paths from MediaMTX.

use super::draft::{Draft, DraftInput, DraftStream};
use super::yaml::Node;
use super::{entries, literal};

/// MediaMTX's RTSP server, if the file does not say otherwise.
const RTSP_PORT: &str = "8554";

pub(super) fn convert(root: &Node) -> Draft {
    let mut draft = Draft::new("MediaMTX");
    let defaults = root.get("pathDefaults");
    for (name, path) in entries(root.get("paths")) {
        let value = |key: &str| path.text(key).or_else(|| defaults?.text(key));
        if name.starts_with('~') || ["all", "all_others"].contains(&name) {
            draft.note(name, "it stands for any number of names; list them in streams of [mediamtx]");
            continue;
        }
        let source = value("source").unwrap_or("publisher");
        let is_rtsp = ["rtsp://", "rtsps://"].iter().any(|scheme| source.starts_with(scheme));
        match served(root) {
            _ if is_rtsp => {
                let transport = value("rtspTransport").or_else(|| value("sourceProtocol"));
                if transport == Some("multicast") {
                    draft.note(name, "the transport multicast");
                }
                let input =
                    DraftInput { source: literal(source), udp: transport == Some("udp"), ..DraftInput::default() };
                draft.add(DraftStream { name: name.to_owned(), input, ..DraftStream::default() });
            }
            _ if source == "redirect" => draft.note(name, "it leads readers to another address; write that address"),
            Some(pattern) => draft.add_served(&pattern, name),
            None => draft.note(name, "MediaMTX serves it, and its RTSP server is off; set rtsp: yes"),
        }
        if path.as_map().is_some_and(|path| path.keys().any(|key| key.starts_with("runOn"))) {
            draft.note(name, "its commands (runOn…) stay with MediaMTX");
        }
    }
    draft.pair_subs();
    draft.note_all("recording, users, ports and all else that is not a path".to_owned());
    draft
}

/// The pattern of the addresses of MediaMTX's RTSP server on this machine, if it runs.
fn served(root: &Node) -> Option<String> {
    if root.get("rtsp").is_some_and(Node::is_false) {
        return None;
    }
    let (host, port) = root.text("rtspAddress").and_then(|address| address.rsplit_once(':')).unwrap_or(("", RTSP_PORT));
    let host = if ["", "0.0.0.0", "[::]"].contains(&host) { "127.0.0.1" } else { host };
    Some(format!("rtsp://{}:{}/{{stream}}", literal(host), literal(port)))
}

//! Frigate's `config.yml`: `cameras`, each with inputs and their roles. An input may be a stream of Frigate's own go2rtc.

use super::draft::{Draft, DraftInput, DraftStream};
use super::yaml::Node;
use super::{entries, go2rtc, literal};

/// Where Frigate serves the streams of its own go2rtc.
const RESTREAM: [&str; 2] = ["rtsp://127.0.0.1:8554/", "rtsp://localhost:8554/"];
/// Sections that are carried over, at least in part.
const CARRIED: [&str; 4] = ["cameras", "camera_groups", "go2rtc", "version"];

pub(super) fn convert(root: &Node) -> Draft {
    let mut draft = Draft::new("Frigate");
    for (name, camera) in entries(root.get("cameras")) {
        if camera.get("enabled").is_some_and(Node::is_false) {
            draft.note(name, "it is disabled");
            continue;
        }
        let Some(input) = input(root, name, camera, "record", &mut draft) else { continue };
        let sub = input_of(camera, "detect").filter(|sub| input_of(camera, "record").is_some_and(|main| main != *sub));
        // Notes on a sub stream repeat those on its main stream.
        let sub = sub.and_then(|path| resolve(root, camera, path, &mut Draft::default()));
        let sub = sub.map(|sub| sub.source).filter(|sub| *sub != input.source);
        let title = camera.text("friendly_name").map(literal);
        draft.add(DraftStream { name: name.to_owned(), title, group: group(root, name), input, sub });
    }
    let others: Vec<_> = entries(Some(root)).map(|(key, _)| key).filter(|key| !CARRIED.contains(key)).collect();
    if !others.is_empty() {
        draft.note_all(format!("the settings of {}", others.join(", ")));
    }
    draft
}

/// The input of a role, or the first one.
fn input(root: &Node, name: &str, camera: &Node, role: &str, draft: &mut Draft) -> Option<DraftInput> {
    let first = || inputs(camera).first()?.text("path");
    let Some(path) = input_of(camera, role).or_else(first) else {
        draft.note(name, "it has no input");
        return None;
    };
    let is_udp = |node: &Node| node.get("input_args").and_then(Node::as_text) == Some("preset-rtsp-udp");
    let udp = camera.get("ffmpeg").is_some_and(is_udp) || root.get("ffmpeg").is_some_and(is_udp);
    let input = resolve(root, camera, path, draft)?;
    Some(DraftInput { udp: input.udp || udp, ..input })
}

fn inputs(camera: &Node) -> &[Node] {
    camera.get("ffmpeg").and_then(|ffmpeg| ffmpeg.get("inputs")).map_or(&[], Node::items)
}

/// The path of the input with this role.
fn input_of<'a>(camera: &'a Node, role: &str) -> Option<&'a str> {
    let has_role = |input: &&Node| {
        let roles = input.get("roles").map_or(&[][..], Node::items);
        roles.iter().any(|other| other.as_text() == Some(role))
    };
    inputs(camera).iter().find(has_role)?.text("path")
}

/// The camera's own address: Frigate's restream of it is only there while Frigate runs.
fn resolve(root: &Node, camera: &Node, path: &str, draft: &mut Draft) -> Option<DraftInput> {
    let plain = |path: &str| Some(DraftInput { source: variables(path), ..DraftInput::default() });
    let stream = RESTREAM.iter().find_map(|start| path.strip_prefix(start));
    let Some(stream) = stream.map(|stream| stream.split(['?', '#']).next().unwrap_or_default()) else {
        return plain(path);
    };
    let streams = root.get("go2rtc").and_then(|go2rtc| go2rtc.get("streams"));
    if let Some(sources) = streams.and_then(|streams| streams.get(stream)) {
        let input = go2rtc::input(streams, stream, sources, draft);
        return input.map(|input| DraftInput { source: frigate_variables(&input.source), ..input });
    }
    // Frigate before 0.12: the camera's input with the role `restream`.
    input_of(camera, "restream").map_or_else(|| plain(path), plain)
}

/// The first group that names the camera.
fn group(root: &Node, name: &str) -> Option<String> {
    let mut groups = entries(root.get("camera_groups"));
    let has = |group: &Node| {
        group.get("cameras").is_some_and(|all| all.items().iter().any(|one| one.as_text() == Some(name)))
    };
    groups.find(|(_, group)| has(group)).map(|(group, _)| literal(group))
}

/// The text of an address, with Frigate's variables as those of the configuration.
fn variables(text: &str) -> String {
    frigate_variables(&literal(text))
}

/// `{FRIGATE_NAME}` as `${FRIGATE_NAME}`.
fn frigate_variables(text: &str) -> String {
    text.replace("{FRIGATE_", "${FRIGATE_").replace("$${FRIGATE_", "${FRIGATE_")
}

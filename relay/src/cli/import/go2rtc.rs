//! `go2rtc.yaml`: `streams`, each with one source or a list of sources.

use super::address::SourceKind;
use super::draft::{Draft, DraftInput, DraftStream};
use super::entries;
use super::yaml::Node;

/// How often a stream may lead to another one.
const REFERENCES: usize = 4;

pub(super) fn convert(root: &Node) -> Draft {
    let mut draft = Draft::new("go2rtc");
    let streams = root.get("streams");
    for (name, sources) in entries(streams) {
        if let Some(input) = input(streams, name, sources, &mut draft) {
            draft.add(DraftStream { name: name.to_owned(), input, ..DraftStream::default() });
        }
    }
    draft.pair_subs();
    let others: Vec<_> = entries(Some(root)).map(|(key, _)| key).filter(|key| *key != "streams").collect();
    if !others.is_empty() {
        draft.note_all(format!("the settings of {}", others.join(", ")));
    }
    draft
}

/// The input of the stream `name` in `streams`: the first of `sources` that the relay reads. Notes what is left out.
pub(super) fn input(streams: Option<&Node>, name: &str, sources: &Node, draft: &mut Draft) -> Option<DraftInput> {
    let (mut found, mut left, mut reasons) = (None, 0, Vec::new());
    for source in sources.items() {
        let source = source.as_text().unwrap_or_default();
        // A stream in its own list adds a codec of its sound.
        if SourceKind::parse(source) == SourceKind::Stream(name.to_owned()) {
            continue;
        }
        match resolve(streams, source, REFERENCES) {
            SourceKind::Address(_) if found.is_some() => left += 1,
            SourceKind::Address(address) => found = Some(address),
            SourceKind::Stream(other) => reasons.push(format!("there is no stream {other:?} for it to encode")),
            SourceKind::Other(reason) => reasons.push(reason),
        }
    }
    if found.is_none() && reasons.is_empty() {
        reasons.push("it waits for a publisher; let it publish to MediaMTX, and read it from there".to_owned());
    }
    // A second source that the relay does not read matters only if it is the only one.
    let notes = found.iter().flat_map(|address| &address.notes);
    let more = (left > 0).then(|| format!("{left} more source(s): Sightline reads one for each stream"));
    let reasons = if found.is_none() { reasons } else { Vec::new() };
    for note in notes.cloned().chain(more).chain(reasons) {
        draft.note(name, &note);
    }
    found.map(|address| address.input)
}

/// Follows a source that is another stream of the file.
fn resolve(streams: Option<&Node>, source: &str, references: usize) -> SourceKind {
    match SourceKind::parse(source) {
        SourceKind::Stream(name) if references > 0 => {
            let other = streams.and_then(|streams| streams.get(&name)?.items().first()?.as_text());
            match other.map(|other| resolve(streams, other, references - 1)) {
                Some(SourceKind::Address(address)) => SourceKind::Address(address),
                _ => SourceKind::Stream(name),
            }
        }
        kind => kind,
    }
}

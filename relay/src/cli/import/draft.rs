//! The result of an import: streams, and notes on what is left out; and its text as a configuration.

use std::fmt::Write as _;

use sightline_protocol::stream::StreamName;

/// Endings of the names of sub streams.
const SUB: [&str; 2] = ["_sub", "-sub"];

/// What a stream's source is, in the words of the configuration. References to variables are those of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DraftInput {
    /// `source`.
    pub(super) source: String,
    /// `input_options`.
    pub(super) input_options: Vec<String>,
    /// Whether media comes by UDP.
    pub(super) udp: bool,
    /// Whether there is to be no audio.
    pub(super) silent: bool,
    /// Whether FFmpeg has to encode the video.
    pub(super) encode: bool,
}

/// A stream.
#[derive(Debug, Clone, Default)]
pub(super) struct DraftStream {
    /// The name in the other configuration.
    pub(super) name: String,
    /// `title`.
    pub(super) title: Option<String>,
    /// `group`.
    pub(super) group: Option<String>,
    /// The main stream.
    pub(super) input: DraftInput,
    /// `sub`.
    pub(super) sub: Option<String>,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// The other program.
    program: &'static str,
    streams: Vec<DraftStream>,
    /// The pattern of `[mediamtx]`, and its streams.
    mediamtx: (String, Vec<String>),
    notes: Vec<String>,
}

impl Draft {
    /// A draft without streams, from a configuration of `program`.
    pub(super) fn new(program: &'static str) -> Self {
        Self { program, ..Self::default() }
    }

    /// Adds a stream.
    pub(super) fn add(&mut self, stream: DraftStream) {
        self.streams.push(stream);
    }

    /// Adds a stream that MediaMTX serves at an address of this pattern.
    pub(super) fn add_served(&mut self, pattern: &str, name: &str) {
        pattern.clone_into(&mut self.mediamtx.0);
        self.mediamtx.1.push(name.to_owned());
    }

    /// Notes what is left out of the stream `name`.
    pub(super) fn note(&mut self, name: &str, what: &str) {
        self.notes.push(format!("{name:?}: {what}"));
    }

    /// Notes what is left out of the whole file.
    pub(super) fn note_all(&mut self, what: String) {
        self.notes.push(what);
    }

    /// The notes, in order.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether there is no stream.
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.mediamtx.1.is_empty()
    }

    /// Makes each stream with the name of another one and `_sub` the sub stream of that one.
    pub(super) fn pair_subs(&mut self) {
        let names: Vec<String> = self.streams.iter().map(|stream| stream.name.clone()).collect();
        let main = |name: &str| {
            let main = SUB.iter().find_map(|ending| name.strip_suffix(ending))?;
            names.iter().position(|other| other == main)
        };
        let mut subs = Vec::new();
        for (n, name) in names.iter().enumerate() {
            if let Some(main) = main(name).filter(|&main| self.streams[main].sub.is_none() && !subs.contains(&main)) {
                self.streams[main].sub = Some(self.streams[n].input.source.clone());
                subs.push(n);
            }
        }
        let mut n = 0..;
        self.streams.retain(|_| n.next().is_none_or(|n| !subs.contains(&n)));
    }

    /// Leaves out each stream that `check` refuses in a configuration of its own, and notes why.
    #[must_use]
    pub(super) fn checked(mut self, check: impl Fn(&str) -> Result<(), String>) -> Self {
        for stream in std::mem::take(&mut self.streams) {
            match section(&stream).and_then(|text| check(&text)) {
                Ok(()) => self.streams.push(stream),
                Err(problem) => self.note(&stream.name, &problem),
            }
        }
        for name in std::mem::take(&mut self.mediamtx.1) {
            match name.parse::<StreamName>() {
                Ok(_) => self.mediamtx.1.push(name),
                Err(problem) => self.note(&name, &problem.to_string()),
            }
        }
        self
    }

    /// The text of the configuration.
    pub(super) fn to_toml(&self) -> String {
        let mut text = format!(
            "# The cameras of a {} configuration, by `sightline import`. It may hold passwords: `chmod 640`.\n",
            self.program
        );
        if !self.notes.is_empty() {
            text.push_str("#\n# Not carried over:\n");
            for note in &self.notes {
                let _ = writeln!(text, "# - {note}");
            }
        }
        for section in self.streams.iter().filter_map(|stream| section(stream).ok()) {
            let _ = write!(text, "\n{section}");
        }
        let (pattern, names) = &self.mediamtx;
        if !names.is_empty() {
            let names: Vec<_> = names.iter().map(|name| quoted(name)).collect();
            let _ = write!(
                text,
                "\n# MediaMTX serves these. It has to run, and to let this machine read.\n[mediamtx]\nsource = {}\nstreams = \
                 [{}]\n",
                quoted(pattern),
                names.join(", ")
            );
        }
        text
    }
}

/// The section of a stream.
///
/// # Errors
/// Its name is none of a stream.
fn section(stream: &DraftStream) -> Result<String, String> {
    let name: StreamName = stream.name.parse().map_err(|problem| format!("{problem}"))?;
    let DraftInput { source, input_options, udp, silent, encode } = &stream.input;
    let mut text = format!("[streams.{}]\n", key(name.as_str()));
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "{key} = {value}");
    };
    let optional = [("title", &stream.title), ("group", &stream.group)];
    for (key, value) in optional.iter().filter_map(|(key, value)| Some((key, value.as_ref()?))) {
        line(key, &quoted(value));
    }
    line("source", &quoted(source));
    if let Some(sub) = &stream.sub {
        line("sub", &quoted(sub));
    }
    if !input_options.is_empty() {
        let options: Vec<_> = input_options.iter().map(|option| quoted(option)).collect();
        line("input_options", &format!("[{}]", options.join(", ")));
    }
    for (key, value) in [
        udp.then_some(("rtsp_transport", "udp")),
        encode.then_some(("encode", "h264")),
        silent.then_some(("audio", "off")),
    ]
    .into_iter()
    .flatten()
    {
        line(key, &quoted(value));
    }
    Ok(text)
}

/// A name as a TOML key: bare where it can be.
fn key(name: &str) -> String {
    let is_bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_bare { name.to_owned() } else { quoted(name) }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_names_are_quoted_as_toml_needs_it() {
        assert_eq!(quoted("a\"b\\c\n\u{7f}ü"), "\"a\\\"b\\\\c\\U0000000A\\U0000007Fü\"");
        assert_eq!((key("cam_0-x").as_str(), key("a.b").as_str(), key("ü").as_str()), ("cam_0-x", "\"a.b\"", "\"ü\""));
    }

    #[test]
    fn sub_streams_join_the_stream_of_their_name() {
        let mut draft = Draft::new("test");
        for name in ["yard_sub", "yard", "gate", "gate-sub", "gate_sub", "roof_sub"] {
            let input = DraftInput { source: format!("rtsp://c/{name}"), ..DraftInput::default() };
            draft.add(DraftStream { name: name.to_owned(), input, ..DraftStream::default() });
        }
        draft.pair_subs();
        let paired: Vec<_> = draft.streams.iter().map(|stream| (stream.name.as_str(), stream.sub.as_deref())).collect();
        assert_eq!(
            paired,
            [
                ("yard", Some("rtsp://c/yard_sub")),
                ("gate", Some("rtsp://c/gate-sub")),
                ("gate_sub", None),
                ("roof_sub", None)
            ]
        );
    }
}

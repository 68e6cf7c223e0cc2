//! Checks `docs/configuration.md` against the code: every key has a row, every row has a key, and the defaults are right.

use std::collections::BTreeSet;

use super::{Config, File, document};

const DOCUMENT: &str = include_str!("../../../docs/configuration.md");

/// All tables of the file: the name in the document, and the TOML header.
const TABLES: [(&str, &str); 13] = [
    ("", ""),
    ("tls", "[tls]"),
    ("access", "[access]"),
    ("oidc", "[oidc]"),
    ("oidc.allow", "[[oidc.allow]]"),
    ("metrics", "[metrics]"),
    ("ingest", "[ingest]"),
    ("webrtc", "[webrtc]"),
    ("webrtc.ice_servers", "[[webrtc.ice_servers]]"),
    ("limits", "[limits]"),
    ("cluster", "[cluster]"),
    ("streams.NAME", "[streams.NAME]"),
    ("mediamtx", "[mediamtx]"),
];

/// The keys of a table, from the error for an unknown key: "unknown field `x`, expected one of `a`, `b`".
fn keys(header: &str) -> Vec<String> {
    let (_, message) = File::parse(&format!("{header}\nunknown = 1")).expect_err("the key is unknown");
    let (_, expected) = message.split_once("expected").unwrap_or_else(|| panic!("{header}: {message}"));
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The document's TOML code blocks.
fn examples() -> Vec<&'static str> {
    DOCUMENT.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect()
}

fn parse(text: &str) -> Config {
    let parsed = document::parse::<File>(text, &|_| Ok("x".to_owned()));
    let (file, _) = parsed.unwrap_or_else(|(line, message)| panic!("line {line}: {message} in\n{text}"));
    file.resolve().unwrap_or_else(|message| panic!("{message} in\n{text}"))
}

#[test]
fn every_key_has_a_row_and_every_row_a_key() {
    let qualified = |table: &str, key: String| if table.is_empty() { key } else { format!("{table}.{key}") };
    let keys = TABLES.iter().flat_map(|(table, header)| keys(header).into_iter().map(|key| qualified(table, key)));
    // Tables have no row of their own; their keys have.
    let tables = ["tls", "access", "oidc", "metrics", "ingest", "webrtc", "limits", "cluster", "streams", "mediamtx"];
    let keys: BTreeSet<String> = keys.filter(|key| !tables.contains(&key.as_str())).collect();
    let rows = DOCUMENT.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0));
    // Other tables of the document list arguments and environment variables.
    let rows = rows.filter(|cell| cell.starts_with(|c: char| c.is_ascii_lowercase()));
    let documented: BTreeSet<String> = rows.map(str::to_owned).collect();
    let without_row: Vec<_> = keys.difference(&documented).collect();
    let without_key: Vec<_> = documented.difference(&keys).collect();
    assert!(without_row.is_empty() && without_key.is_empty(), "no row: {without_row:?}; no key: {without_key:?}");
}

#[test]
fn documented_defaults_match_the_code() {
    let written = examples().into_iter().find(|example| example.contains("[limits]")).expect("a block with defaults");
    let source = written.lines().find(|line| line.starts_with("source")).expect("a source");
    let [mut written, mut implied] = [written, &format!("[streams.yard]\n{source}")].map(parse);
    // Equal networks have several spellings; a test of `limits` covers them.
    for config in [&mut written, &mut implied] {
        config.limits.trusted_proxies.clear();
    }
    assert_eq!(format!("{written:?}"), format!("{implied:?}"));
}

#[test]
fn examples_are_valid() {
    for example in examples() {
        let stream = if example.contains("source") { "" } else { "[streams.a]\nsource = \"x\"\n" };
        parse(&format!("{example}\n{stream}"));
    }
}

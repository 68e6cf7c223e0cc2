//! Checks the imports between modules, by reading the sources.
//!
//! - A top-level module imports only modules that [`CRATES`] lists before it.
//! - Modules with the same parent form no import cycle.
//!
//! A child may use items of its parent. A re-exported name counts as an import of the module that defines it. Code that is
//! compiled for tests only is not read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each crate's sources, relative to the relay's folder, and its top-level modules from the lowest to the highest.
const CRATES: [(&str, &[&str]); 3] = [
    (
        "src",
        &["clock", "config", "net", "limits", "hub", "ingest", "cluster", "access", "egress", "api", "server", "cli"],
    ),
    ("../media/src", &["nal", "g726", "nut", "fmp4"]),
    ("../client/src", &["time", "codec_probe", "state", "browser", "transport", "player", "session", "ui"]),
];

/// A module by its path from the crate's root.
type Module = Vec<String>;

/// The imports of one module.
#[derive(Debug, Default)]
struct Imports {
    /// Every path in its code, with `crate`, `super` and `self` resolved.
    paths: BTreeSet<Vec<String>>,
    /// Names that its `use` declarations bring into scope, with their full paths.
    names: BTreeMap<String, Vec<String>>,
}

/// The modules of one crate.
#[derive(Debug, Default)]
struct ImportGraph(BTreeMap<Module, Imports>);

impl ImportGraph {
    /// Reads the crate with the root file `lib` in `folder`.
    fn read(folder: &Path, lib: &str) -> Self {
        let mut graph = Self::default();
        graph.read_module(&Vec::new(), &folder.join(lib), folder);
        graph
    }

    /// Reads the module in `file`; its children are in `folder`.
    fn read_module(&mut self, module: &Module, file: &Path, folder: &Path) {
        let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for child in self.add(module, &text) {
            let inner: PathBuf = folder.join(&child);
            let beside = folder.join(format!("{child}.rs"));
            let file = if beside.exists() { beside } else { inner.join("mod.rs") };
            self.read_module(&[&module[..], &[child]].concat(), &file, &inner);
        }
    }

    /// Adds a module. Returns its children that have files of their own.
    fn add(&mut self, module: &Module, text: &str) -> Vec<String> {
        let code = without_tests(&without_comments_and_strings(text));
        let children = children(&code);
        let mut imports = Imports::default();
        for declaration in statements(&code, "use ") {
            for (path, name) in use_tree(declaration) {
                if let Some(path) = absolute(&path, module, &children) {
                    imports.names.insert(name, path.clone());
                    imports.paths.insert(path);
                }
            }
        }
        imports.paths.extend(inline_paths(&code).iter().filter_map(|path| absolute(path, module, &children)));
        self.0.insert(module.clone(), imports);
        children
    }

    /// The modules that define the names in `module`.
    fn imports(&self, module: &Module) -> BTreeSet<Module> {
        self.0[module].paths.iter().map(|path| self.definition(path, 8)).collect()
    }

    /// The module that defines the item at `path`, following at most `imports` re-exports.
    fn definition(&self, path: &[String], imports: usize) -> Module {
        let at = (0..=path.len()).rev().find(|&length| self.0.contains_key(&path[..length])).unwrap_or_default();
        let (module, rest) = path.split_at(at);
        let named = rest.first().and_then(|name| self.0.get(module)?.names.get(name)).filter(|_| imports > 0);
        named.map_or_else(|| module.to_vec(), |path| self.definition(path, imports - 1))
    }

    /// Imports between modules with the same parent, (importer, imported), each with an example.
    fn edges(&self) -> BTreeMap<(Module, Module), String> {
        let mut edges = BTreeMap::new();
        for from in self.0.keys() {
            for to in self.imports(from) {
                let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
                if common < from.len() && common < to.len() {
                    let ends = (from[..=common].to_vec(), to[..=common].to_vec());
                    edges.entry(ends).or_insert_with(|| format!("{} imports {}", from.join("::"), to.join("::")));
                }
            }
        }
        edges
    }

    /// Violations of the rules, as sentences.
    fn violations(&self, layers: &[&str]) -> Vec<String> {
        let edges = self.edges();
        let layer = |module: &Module| layers.iter().position(|layer| *layer == module[0]);
        let unknown = self.0.keys().filter(|module| module.len() == 1 && layer(module).is_none());
        let unknown = unknown.map(|module| format!("{} is missing in CRATES", module[0]));
        let upward = edges.iter().filter(|((from, to), _)| from.len() == 1 && layer(from) < layer(to));
        let upward = upward.map(|(_, example)| format!("upward: {example}"));
        let inner: Vec<_> = edges.iter().filter(|((from, _), _)| from.len() > 1).collect();
        // An import is part of a cycle if its importer can be reached from the imported module.
        let cyclic = inner.iter().filter(|((from, to), _)| reaches(&inner, to, from));
        let cyclic = cyclic.map(|(_, example)| format!("cycle: {example}"));
        unknown.chain(upward).chain(cyclic).collect()
    }
}

/// Whether the imports lead from `from` to `to`.
fn reaches(edges: &[(&(Module, Module), &String)], from: &Module, to: &Module) -> bool {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(module) = next.pop() {
        if module == to {
            return true;
        }
        if seen.insert(module) {
            next.extend(edges.iter().filter(|((from, _), _)| from == module).map(|((_, to), _)| to));
        }
    }
    false
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Code without comments, strings and characters, which may contain text that looks like a path.
fn without_comments_and_strings(text: &str) -> String {
    let (mut code, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let skipped = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '"' => string_end(rest),
            // A character literal. Any other quote starts a lifetime.
            '\'' if rest.starts_with("'\\") => {
                2 + rest[2..].char_indices().skip(1).find(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1)
            }
            '\'' if rest.chars().nth(2) == Some('\'') => rest.chars().take(3).map(char::len_utf8).sum(),
            'r' if !code.ends_with(is_word) && rest[1..].trim_start_matches('#').starts_with('"') => {
                let hashes = rest[1..].chars().take_while(|&c| c == '#').count();
                let end = format!("\"{}", "#".repeat(hashes));
                let open = 1 + hashes + 1;
                rest[open..].find(&end).map_or(rest.len(), |at| open + at + end.len())
            }
            _ => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
        };
        code.push(' ');
        rest = &rest[skipped..];
    }
    code
}

/// The length of the string literal at the start of `text`.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// Code without the modules that are compiled for tests and fuzzing only. Inline test modules end their file.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut lines = code.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(any(test") {
            while lines.peek().is_some_and(|next| next.starts_with("#[")) {
                lines.next();
            }
            match lines.next() {
                Some(item) if item.contains("mod ") && item.contains('{') => break,
                Some(item) if !item.contains("mod ") => kept.extend([item, "\n"]),
                _ => {}
            }
        } else {
            kept.extend([line, "\n"]);
        }
    }
    kept
}

/// The text from each `keyword` that starts a statement, with or without a visibility, to the next semicolon.
fn statements<'a>(code: &'a str, keyword: &'a str) -> impl Iterator<Item = &'a str> {
    let begins = |at: usize| {
        let before = code[..at].rsplit([';', '{', '}', ']']).next().unwrap_or_default().trim();
        !code[..at].ends_with(is_word) && (before.is_empty() || before.starts_with("pub"))
    };
    let starts = code.match_indices(keyword).filter(move |(at, _)| begins(*at));
    starts.filter_map(move |(at, _)| code[at + keyword.len()..].split_once(';').map(|(statement, _)| statement))
}

/// The modules that `code` declares without a body: those in files of their own.
fn children(code: &str) -> Vec<String> {
    statements(code, "mod ").filter(|name| name.chars().all(is_word)).map(str::to_owned).collect()
}

/// The paths of a `use` tree, each with the name that it brings into scope.
fn use_tree(tree: &str) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    if let Some(open) = tree.find('{') {
        let (prefix, inner) = (&tree[..open], tree[open + 1..].trim_end().trim_end_matches('}'));
        // The closing braces of inner trees were trimmed along with the outer one.
        let missing = inner.matches('{').count() - inner.matches('}').count();
        let inner = format!("{inner}{}", "}".repeat(missing));
        return split_at_commas(&inner).into_iter().flat_map(|part| use_tree(&format!("{prefix}{part}"))).collect();
    }
    let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias.trim())));
    let mut path: Vec<String> = path.split("::").map(|part| part.trim().to_owned()).collect();
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let name = alias.map_or_else(|| path.last().cloned().unwrap_or_default(), str::to_owned);
    vec![(path, name)]
}

/// Splits at the commas outside of braces.
fn split_at_commas(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

/// Paths in expressions and types that start with `crate`, `super` or `self`.
fn inline_paths(code: &str) -> Vec<Vec<String>> {
    let starts = ["crate::", "super::", "self::"].into_iter().flat_map(|start| code.match_indices(start));
    let starts = starts.filter(|(at, _)| !code[..*at].ends_with(|c| is_word(c) || c == ':'));
    let path = |(at, _): (usize, &str)| {
        let end = code[at..].find(|c| !is_word(c) && c != ':').map_or(code.len(), |length| at + length);
        code[at..end].split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    starts.map(path).collect()
}

/// Resolves a path in `module` from the crate's root. `None` for a path into another crate.
fn absolute(path: &[String], module: &Module, children: &[String]) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([module, rest].concat()),
        "super" => {
            let above = path.iter().take_while(|part| *part == "super").count();
            Some([&module[..module.len().checked_sub(above)?], &path[above..]].concat())
        }
        _ if children.contains(first) => Some([module, path].concat()),
        _ => None,
    }
}

#[test]
fn imports_point_downward() {
    for (folder, layers) in CRATES {
        let graph = ImportGraph::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), "lib.rs");
        let modules = graph.0.keys().filter(|module| module.len() == 1);
        assert_eq!(modules.count(), layers.len(), "CRATES names a module that is not in {folder}");
        let violations = graph.violations(layers);
        assert!(violations.is_empty(), "{}", violations.join("\n"));
    }
}

#[test]
fn violations_are_found() {
    let violations = |modules: &[(&str, &str)]| {
        let mut graph = ImportGraph::default();
        for (module, text) in modules {
            let module: Module = module.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
            graph.add(&module, text);
        }
        graph.violations(&["net", "hub"])
    };
    let root = ("", "mod net;\nmod hub;");
    assert_eq!(violations(&[root, ("net", ""), ("hub", "use crate::net::peer;")]), [""; 0]);
    for upward in ["use crate::hub::Hub;", "use crate::{clock, hub::{self, ring}};", "fn f() { super::hub::f() }"] {
        assert_eq!(violations(&[root, ("net", upward), ("hub", "")]), ["upward: net imports hub"], "{upward}");
    }
    for harmless in
        ["// use crate::hub;", "const A: &str = \"crate::hub\";", "#[cfg(test)]\nmod tests {\nuse crate::hub;\n}"]
    {
        assert_eq!(violations(&[root, ("net", harmless), ("hub", "")]), [""; 0], "{harmless}");
    }
    assert_eq!(violations(&[root, ("other", "")]), ["other is missing in CRATES"]);
    let parent = ("hub", "mod a;\nmod b;\nuse a::A;\n");
    assert_eq!(violations(&[root, parent, ("hub::a", "use super::b::B;"), ("hub::b", "")]), [""; 0]);
    let cycle = ["cycle: hub::a imports hub::b", "cycle: hub::b imports hub::a"];
    for through in ["use super::a::A;", "use super::A;", "use crate::hub::A;"] {
        assert_eq!(
            violations(&[root, parent, ("hub::a", "use super::b::B;"), ("hub::b", through)]),
            cycle,
            "{through}"
        );
    }
}

#[test]
fn children_are_found_whatever_their_visibility() {
    let text = "mod a;\npub mod b;\npub(crate) mod c;\n#[cfg(unix)]\npub(in super::super) mod d;\n\
                #[cfg(test)]\nmod e;\n#[cfg(any(test, fuzzing))]\npub mod f;\nfn g() {}\nmod h { fn i() {} }\n";
    assert_eq!(ImportGraph::default().add(&Vec::new(), text), ["a", "b", "c", "d"]);
}

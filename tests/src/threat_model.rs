//! Checks `docs/threat-model.md` against the sources: the tests that it names exist, and every row names one or says that none does.

use std::collections::BTreeSet;
use std::path::Path;

const DOCUMENT: &str = include_str!("../../docs/threat-model.md");
/// The header of the table that one test prints, which the text above it names.
const MEASURED: &str = "| attack | s |";
/// A row without a test of its own says so.
const NO_TEST: &str = "no test";
/// The folders with tests, relative to the repository.
const FOLDERS: [&str; 5] = ["relay/src", "media/src", "protocol/src", "client/src", "tests"];

/// The names of the tests in one source file: functions with an attribute that ends with `test`, or `test` with arguments.
fn tests(source: &str) -> BTreeSet<String> {
    let (mut names, mut is_test) = (BTreeSet::new(), false);
    for line in source.lines().map(str::trim) {
        if let Some(attribute) = line.strip_prefix("#[") {
            let path = attribute.split(['(', ']']).next().unwrap_or_default();
            is_test |= path.rsplit("::").next() == Some("test");
        } else if !line.starts_with("//") {
            let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
            let name = function.and_then(|rest| rest.split('(').next());
            names.extend(name.filter(|_| is_test).map(str::to_owned));
            is_test = false;
        }
    }
    names
}

/// Adds the tests of all files in `folder`.
fn collect(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(tests(&std::fs::read_to_string(&path).expect("it is text")));
        }
    }
}

/// The words in backticks that are names of tests: keys of the configuration have a dot or at most one underscore.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |word: &&str| {
        let letters = |c: char| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit();
        word.matches('_').count() > 1 && word.chars().all(letters)
    };
    text.split('`').skip(1).step_by(2).filter(is_name)
}

/// The rows of the tables, without their headers and without the measured one.
fn rows(document: &str) -> Vec<&str> {
    let (mut rows, mut lines) = (Vec::new(), document.lines().peekable());
    while let Some(line) = lines.next() {
        if !line.starts_with('|') {
            continue;
        }
        let measured = line.starts_with(MEASURED);
        let table = std::iter::from_fn(|| lines.next_if(|line| line.starts_with('|')));
        // The first line after the header is the rule.
        rows.extend(table.skip(1).filter(|_| !measured));
    }
    rows
}

#[test]
fn threat_model_names_a_test_in_every_row() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of the workspace");
    let mut known = BTreeSet::new();
    FOLDERS.iter().for_each(|folder| collect(&repository.join(folder), &mut known));
    let unknown: Vec<_> = named(DOCUMENT).filter(|name| !known.contains(*name)).collect();
    assert!(
        unknown.is_empty(),
        "docs/threat-model.md names tests that do not exist; correct their names: {unknown:#?}"
    );
    let rows = rows(DOCUMENT);
    assert!(rows.len() > 50, "{} rows", rows.len());
    let says_none = |row: &str| row.to_lowercase().contains(NO_TEST);
    let silent: Vec<_> = rows.into_iter().filter(|row| named(row).next().is_none() && !says_none(row)).collect();
    assert!(silent.is_empty(), "rows of docs/threat-model.md name no test and do not say \"{NO_TEST}\": {silent:#?}");
}

#[test]
fn only_functions_with_a_test_attribute_are_tests() {
    let source = "#[test]\nfn one_two_three() {}\n\n    #[tokio::test(start_paused = true)]\n    /// Why.\n    \
                  #[should_panic]\n    async fn four_five_six() {}\n#[cfg(test)]\nfn seven_eight_nine() {}\nfn ten() {}\n";
    assert_eq!(tests(source), BTreeSet::from(["one_two_three".to_owned(), "four_five_six".to_owned()]));
    let text = "`one_two_three`, `limits.a_b_c`, `input_options`, `PR_SET_DUMPABLE`, one_two_four";
    assert_eq!(named(text).collect::<Vec<_>>(), ["one_two_three"]);
    let table = "x\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n| attack | s | more |\n| --- | --- | --- |\n| 3 | 4 | 5 |\n";
    assert_eq!(rows(table), ["| 1 | 2 |"]);
}

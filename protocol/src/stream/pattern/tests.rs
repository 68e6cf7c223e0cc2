use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn matches(pattern: &str, name: &str) -> bool {
    let pattern: StreamPattern = pattern.parse().unwrap_or_else(|error| panic!("{error}"));
    pattern.matches(&name.parse().unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn asterisk_matches_any_text_and_every_other_character_itself() {
    for (pattern, matched, unmatched) in [
        ("cam0", &["cam0"][..], &["cam", "cam01", "Cam0", "site/cam0", "cam0/x"][..]),
        ("studio/*", &["studio/a", "studio/a/b", "studio/ü"], &["studio", "studio2/a", "studio2", "x/studio/a"]),
        ("cam*", &["cam", "cam0", "cam0/left"], &["ca", "site/cam0"]),
        ("*/gate", &["north/gate", "north/2/gate"], &["gate", "north/gate2", "northgate"]),
        ("*/cam*", &["a/cam", "a/b/cam1/c"], &["cam1", "a/ca"]),
        ("a*b*c", &["abc", "axbxc", "abcbc", "a/b/c"], &["ab", "ac", "acb", "abcd"]),
        ("ab*ba", &["abba", "ab-ba"], &["aba", "ab", "ba"]),
        ("a*ab*b", &["aabb", "a/ab/b"], &["aab", "abb"]),
        ("*ü*", &["ü", "xüx"], &["u", "x"]),
        ("*", &["a", "a/b", "ü"], &[]),
        ("a.b?[c]", &["a.b?[c]"], &["axb?[c]", "a.bxc"]),
    ] {
        for name in matched {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for name in unmatched {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}

#[test]
fn pattern_is_refused_with_the_fault_and_the_remedy() {
    let long = format!("{}*", "x".repeat(StreamName::MAX_LEN));
    for (text, told) in [
        ("", "\"\" is empty; give a name such as cam0 or site/cam1"),
        ("studio/**", "\"studio/**\" contains **; write a single *, which matches / as well"),
        ("studio//*", "\"studio//*\" contains //; write a single /"),
        ("/*", "\"/*\" begins with /; remove it"),
        ("studio/", "\"studio/\" ends with /; remove it"),
        ("../*", "\"../*\" contains the segment ..; rename that segment"),
        ("a\n*", "\"a\\n*\" contains the control character U+000A; remove it"),
        (&long, "has 129 bytes; shorten it to 128 bytes or fewer"),
    ] {
        let error = text.parse::<StreamPattern>().expect_err(text).to_string();
        assert!(error.starts_with("stream pattern ") && error.contains(told), "{error}");
    }
}

#[test]
fn pattern_of_many_parts_is_matched_in_bounded_time() {
    let name: StreamName = "a".repeat(StreamName::MAX_LEN).parse().unwrap();
    let pattern: StreamPattern = format!("{}b", "a*".repeat(StreamName::MAX_LEN / 2 - 1)).parse().unwrap();
    let begun = Instant::now();
    for _ in 0..100 {
        assert!(!pattern.matches(&name));
    }
    // A matcher that tries each position takes longer than the age of the universe.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// Matches by the definition of `*`.
fn matches_by_definition(pattern: &[char], name: &[char]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some(('*', rest)) => (0..=name.len()).any(|skipped| matches_by_definition(rest, &name[skipped..])),
        Some((c, rest)) => name.first() == Some(c) && matches_by_definition(rest, &name[1..]),
    }
}

proptest! {
    #[test]
    fn matching_follows_the_definition(pattern in "[ab/*]{1,7}", name in "[ab/]{1,9}") {
        if let (Ok(parsed), Ok(of)) = (pattern.parse::<StreamPattern>(), name.parse::<StreamName>()) {
            let [pattern, name] = [&pattern, &name].map(|text| text.chars().collect::<Vec<_>>());
            prop_assert_eq!(parsed.matches(&of), matches_by_definition(&pattern, &name));
        }
    }

    #[test]
    fn name_is_a_pattern_that_matches_itself_alone(name in "[ab/*üx ]{1,6}", other in "[ab/üx ]{1,6}") {
        if let (Ok(name), Ok(other)) = (name.parse::<StreamName>(), other.parse::<StreamName>()) {
            let pattern = StreamPattern::from(name.clone());
            prop_assert!(pattern.is_name() && pattern.matches(&name));
            prop_assert_eq!(pattern.matches(&other), name == other);
            prop_assert_eq!(name.as_str().parse::<StreamPattern>(), Ok(pattern));
        }
    }
}

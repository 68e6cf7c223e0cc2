use proptest::prelude::*;

use super::*;

fn name(text: &str) -> StreamName {
    text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

#[test]
fn names_are_paths() {
    for good in [
        "cam0",
        "site/cam 1/ü",
        "site-2.yard",
        "7",
        "-x",
        ".hidden/…",
        "a/index.m3u8",
        "a/copy/media.m3u8",
        "what?#&=+\"'<>|:;@,",
        "玄関　カメラ",
        "می\u{200c}خواهم",
        "👨\u{200d}👩\u{200d}👧",
    ] {
        assert_eq!(name(good).as_str(), good);
    }
    let longest = "ü".repeat(StreamName::MAX_LEN / 2);
    assert_eq!(name(&longest).as_str(), longest);
}

#[test]
fn refusals_name_the_text_the_fault_and_the_remedy() {
    let long = "x".repeat(StreamName::MAX_LEN + 1);
    for (bad, told) in [
        ("", "\"\" is empty; give a name such as cam0 or site/cam1".to_owned()),
        (&long, format!("\"{}…\" has 129 bytes; shorten it to 128 bytes or fewer", &long[..SHOWN])),
        ("a\nb", "\"a\\nb\" contains the control character U+000A; remove it".to_owned()),
        ("a\u{85}", "\"a\\u{85}\" contains the control character U+0085; remove it".to_owned()),
        ("a\u{202e}b", "\"a\\u{202e}b\" contains the invisible character U+202E; remove it".to_owned()),
        ("a\u{a0}b", "\"a\\u{a0}b\" contains the invisible character U+00A0; remove it".to_owned()),
        ("a\u{e0041}", "\"a\\u{e0041}\" contains the invisible character U+E0041; remove it".to_owned()),
        (
            "a%2Fb",
            "\"a%2Fb\" contains %; write the character itself, since addresses are percent-encoded for you".to_owned(),
        ),
        ("a\\b", "\"a\\\\b\" contains a backslash; separate segments with /".to_owned()),
        ("/a", "\"/a\" begins with /; remove it".to_owned()),
        ("a/", "\"a/\" ends with /; remove it".to_owned()),
        ("a//b", "\"a//b\" contains //; write a single /".to_owned()),
        (".", "\".\" contains the segment .; rename that segment".to_owned()),
        ("a/../b", "\"a/../b\" contains the segment ..; rename that segment".to_owned()),
        ("a ", "\"a \" begins or ends with a space; remove the space".to_owned()),
        ("*", "\"*\" contains *, which stands for any text in patterns of streams; choose another name".to_owned()),
        ("a*", "\"a*\" contains *, which stands for any text in patterns of streams; choose another name".to_owned()),
    ] {
        let error = bad.parse::<StreamName>().expect_err(bad);
        assert_eq!(error.to_string(), format!("stream name {told}"));
    }
    let error = StreamName::from_path("a%ff").unwrap_err();
    assert_eq!(error.to_string(), "stream name \"a%ff\" is not UTF-8; percent-encode the bytes of its UTF-8 form");
}

#[test]
fn invalid_name_in_json_is_refused() {
    assert!(serde_json::from_str::<StreamName>("\"a//b\"").is_err());
    assert_eq!(serde_json::from_str::<StreamName>("\"a/b\"").unwrap(), name("a/b"));
}

#[test]
fn path_is_encoded_but_for_its_slashes() {
    assert_eq!(name("site/cam 1/ü").to_path(), "site/cam%201/%C3%BC");
    assert_eq!(name("a?#:&=+@").to_path(), "a%3F%23%3A%26%3D%2B%40");
}

#[test]
fn path_is_decoded_once() {
    let read = |path| StreamName::from_path(path).map(String::from);
    for same in ["site/cam%201/%C3%BC", "site%2fcam%201%2F%c3%bc", "%73ite/cam 1/ü"] {
        assert_eq!(read(same).as_deref(), Ok("site/cam 1/ü"), "{same}");
    }
    for refused in ["site%252Fcam", "a/%2e%2e/b", "a/%2E/b", "a%2F%2Fb", "%2Fa", "a%2F", "a%00", "a%5Cb", "%"] {
        assert!(read(refused).is_err(), "{refused}");
    }
}

#[cfg(feature = "normalize")]
#[test]
fn names_are_in_normalization_form_c() {
    assert_eq!(name("u\u{308}"), name("ü"));
    assert_eq!(name("\u{1112}\u{1161}\u{11ab}").as_str(), "\u{d55c}");
    assert_eq!(StreamName::from_path("u%CC%88"), StreamName::from_path("%C3%BC"));
    // The limit applies to the normal form, which may be longer (U+0958 is excluded from composition).
    assert!("u\u{308}".repeat(StreamName::MAX_LEN / 2).parse::<StreamName>().is_ok());
    assert!("\u{958}".repeat(StreamName::MAX_LEN / 3).parse::<StreamName>().is_err());
    // The length of normalized texts is bounded.
    assert!("u\u{308}".repeat(NORMALIZED_MAX).parse::<StreamName>().is_err());
}

/// Names, most of which contain characters that are special in addresses.
pub(crate) fn names() -> impl Strategy<Value = StreamName> {
    let segment = "[a-z0-9 .?#:&=+@\"'<>;~ü日é-]{1,12}|index\\.m3u8|media\\.m3u8|copy|h264|\\PC{1,8}";
    proptest::collection::vec(segment, 1..6).prop_filter_map("not a name", |segments| segments.join("/").parse().ok())
}

proptest! {
    #[test]
    fn name_round_trips_through_its_path(name in names()) {
        let path = name.to_path();
        prop_assert!(path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/%".contains(&b)), "{}", path);
        prop_assert_eq!(StreamName::from_path(&path), Ok(name.clone()));
        // Parses for any extent of a proxy's encoding.
        let all: String = name.as_str().bytes().map(|byte| format!("%{byte:02x}")).collect();
        prop_assert_eq!(StreamName::from_path(&all), Ok(name.clone()));
        // A doubly encoded name is invalid.
        let twice = utf8_percent_encode(&path, PATH).to_string();
        prop_assert!(twice == path || StreamName::from_path(&twice).is_err());
        // A doubly decoded name is the same.
        prop_assert_eq!(StreamName::from_path(name.as_str()), Ok(name));
    }

    #[test]
    fn any_text_is_a_name_or_a_bounded_refusal(text in any::<String>()) {
        match text.parse::<StreamName>() {
            Ok(name) => {
                prop_assert!(name.as_str().len() <= StreamName::MAX_LEN);
                prop_assert_eq!(name.as_str().parse::<StreamName>(), Ok(name.clone()));
            }
            Err(error) => prop_assert!(error.to_string().chars().count() < 12 * SHOWN),
        }
    }

    #[test]
    fn dot_segments_are_never_resolved(name in names()) {
        for segment in name.as_str().split('/') {
            prop_assert!(!matches!(segment, "" | "." | ".."));
        }
    }
}

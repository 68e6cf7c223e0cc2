//! The three formats against golden files, and bad files.

use proptest::prelude::*;

use super::*;

fn output(text: &str) -> String {
    convert(text).unwrap_or_else(|problem| panic!("{problem}")).to_toml()
}

#[test]
fn three_formats_match_their_golden_files() {
    for (name, input, golden) in [
        ("go2rtc", include_str!("golden/go2rtc.yaml"), include_str!("golden/go2rtc.toml")),
        ("mediamtx", include_str!("golden/mediamtx.yml"), include_str!("golden/mediamtx.toml")),
        ("frigate", include_str!("golden/frigate.yml"), include_str!("golden/frigate.toml")),
    ] {
        let output = output(input);
        assert_eq!(output, golden, "{name}: this is the output\n{output}");
        Config::check_text(&output).unwrap_or_else(|problem| panic!("{name}: {problem} in\n{output}"));
    }
}

#[test]
fn notes_hold_no_address() {
    for input in
        [include_str!("golden/go2rtc.yaml"), include_str!("golden/mediamtx.yml"), include_str!("golden/frigate.yml")]
    {
        let draft = convert(input).unwrap();
        assert!(!draft.notes().is_empty());
        for note in draft.notes() {
            assert!(!note.contains("S3cret") && !note.contains("192.0.2.") && !note.contains("sl/ash"), "{note}");
        }
    }
}

#[test]
fn unusable_file_is_one_clause_without_its_text() {
    let deep = format!("streams: {}{}", "[".repeat(5000), "]".repeat(5000));
    let aliases = (0..12).fold("a0: &a0 [S3cret]\n".to_owned(), |text, n| {
        let list = vec![format!("*a{n}"); 10].join(", ");
        text + &format!("a{}: &a{} [{list}]\n", n + 1, n + 1)
    });
    for (text, says) in [
        ("streams: {a: \"S3cret", "line "),
        ("streams:\n  a: S3cret\n a: x", "line "),
        ("streams: {a: *S3cret}", "YAML"),
        ("\u{0}\u{1}S3cret", "YAML"),
        (deep.as_str(), "YAML"),
        (aliases.as_str(), "YAML"),
        ("", "neither cameras"),
        ("S3cret", "neither cameras"),
        ("listen: S3cret", "neither cameras"),
    ] {
        let problem = convert(text).map(|draft| draft.to_toml()).unwrap_err();
        assert!(problem.contains(says) && !problem.contains("S3cret"), "{problem}");
    }
    for nothing in ["streams:", "streams: 5", "streams: [a, b]", "paths: {}", "cameras: {a: {ffmpeg: 7}}"] {
        assert!(convert(nothing).unwrap().is_empty(), "{nothing}");
    }
}

#[test]
fn anchors_and_merges_are_followed() {
    let text = "base: &base {rtspTransport: udp}\npaths:\n  a:\n    <<: *base\n    source: rtsp://c/a\n";
    assert!(output(text).contains("rtsp_transport = \"udp\""), "{}", output(text));
}

#[test]
fn large_and_binary_files_are_refused() {
    let folder = std::env::temp_dir().join(format!("sightline-import-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("go2rtc.yaml");
    for (bytes, says) in [(vec![b'#'; FILE_BYTES as usize + 1], "larger than 1 MiB"), (vec![0xff], "not text")] {
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("go2rtc.yaml"), "{error}");
    }
    let error = read(&folder.join("gone")).unwrap_err().to_string();
    assert!(error.contains("gone") && error.contains("No such file"), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
}

proptest! {
    /// Whatever the sources are, the output is a valid configuration.
    #[test]
    fn output_is_always_valid(
        name in "[a-z/ü \"]{1,6}",
        sources in prop::collection::vec("(rtsp://|ffmpeg:|exec:|http://|\\$\\{)?[a-z#=&?:@/${}\" ]{0,16}", 1..4),
    ) {
        let list: Vec<_> = sources.iter().map(|source| format!("  - {source:?}\n")).collect();
        let text = format!("streams:\n {name:?}:\n{}", list.concat());
        if let Ok(draft) = convert(&text).map(|draft| (draft.is_empty(), draft.to_toml())) {
            let (is_empty, output) = draft;
            prop_assert!(is_empty || Config::check_text(&output).is_ok(), "{output}");
        }
    }
}

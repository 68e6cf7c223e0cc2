use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 10] = [
    ("codecs", super::codecs),
    ("config", super::config),
    ("fmp4", super::fmp4),
    ("hls", super::hls),
    ("nal", super::nal),
    ("nut", super::nut),
    ("page", super::page),
    ("tokens", super::tokens),
    ("viewer", super::viewer),
    ("whep", super::whep),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Beside the seeds that were made, what fuzzing has found.
#[test]
fn every_seed_passes() {
    for (name, target) in TARGETS {
        let seeds = folder().join("seeds").join(name);
        let files = names(&seeds);
        assert!(!files.is_empty(), "{name} has no seed");
        for file in files {
            let data = std::fs::read(seeds.join(&file)).unwrap();
            // Shown if it fails.
            println!("fuzz/seeds/{name}/{file}");
            target(&data);
        }
    }
}

#[test]
fn every_target_can_be_run() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let files = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&folder().join("targets")), files);
    assert_eq!(names(&folder().join("seeds")), targets);
    let manifest = std::fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    for name in targets {
        assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "fuzz/Cargo.toml does not name {name}");
    }
}

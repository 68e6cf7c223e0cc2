use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 14] = [
    ("codecs", super::codecs),
    ("config", super::config),
    ("import", super::import),
    ("fmp4", super::fmp4),
    ("go2rtc", super::go2rtc),
    ("hls", super::hls),
    ("nal", super::nal),
    ("nut", super::nut),
    ("rtp", super::rtp),
    ("rtsp", super::rtsp),
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

/// Seeds are handwritten or come from fuzzing.
#[test]
fn every_seed_passes() {
    for (name, target) in TARGETS {
        let seeds = folder().join("seeds").join(name);
        let files = names(&seeds);
        assert!(!files.is_empty(), "{name} has no seed");
        for file in files {
            let data = std::fs::read(seeds.join(&file)).unwrap();
            // Shown if the test fails.
            println!("fuzz/seeds/{name}/{file}");
            target(&data);
        }
    }
}

/// Mutations per seed.
const CHANGED: u64 = 60;

/// A small, deterministic sample of the input space of `make fuzz`: each seed with a few bytes changed, removed or duplicated.
#[test]
fn every_seed_passes_with_a_few_bytes_changed() {
    for (name, target) in TARGETS {
        let seeds = folder().join("seeds").join(name);
        for file in names(&seeds) {
            let seed = std::fs::read(seeds.join(&file)).unwrap();
            for number in 0..CHANGED {
                // Shown if the test fails.
                println!("fuzz/seeds/{name}/{file}, changed the way {number}");
                target(&changed(&seed, number));
            }
        }
    }
}

fn changed(seed: &[u8], number: u64) -> Vec<u8> {
    // SplitMix64 (Steele, Lea and Flood 2014): any generator will do if its numbers are the same in each run.
    let mut state = number;
    let mut below = |limit: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % limit.max(1) as u64) as usize
    };
    let mut data = seed.to_vec();
    for _ in 0..=below(6) {
        let from = below(data.len());
        let to = data.len().min(from + 1 + below(24));
        match below(5) {
            0 => drop(data.drain(from..to)),
            1 => data.extend_from_within(from..to),
            2 => data.truncate(to),
            _ => data[from..to].iter_mut().for_each(|byte| *byte ^= 1 << below(8)),
        }
    }
    data
}

#[test]
fn every_fuzz_target_has_seeds_and_an_entry() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let files = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&folder().join("targets")), files);
    assert_eq!(names(&folder().join("seeds")), targets);
    let manifest = std::fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    for name in targets {
        assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "fuzz/Cargo.toml does not name {name}");
    }
}

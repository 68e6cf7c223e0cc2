//! Tests that fail sometimes and cannot be made reliable yet. Each still runs and is reported, but its failure does not fail
//! the run. An entry has a cause and a last day. After that day the entry itself fails the run (`no_entry_is_expired`).

use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;

/// A test in quarantine.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The end of the test's path.
    pub test: &'static str,
    /// The known cause of its failures.
    pub cause: &'static str,
    /// The last day of the entry (UTC).
    pub until: Date,
}

/// All entries.
pub const QUARANTINE: &[Entry] = &[
    Entry {
        test: "timing::faults::every_fault_recovers",
        cause: "WebKitGTK does not always heal Seeked, Paused and Stall in time; player or WebKitGTK, not known yet",
        until: date(2026, 12, 31),
    },
    Entry {
        test: "timing::first_frame::with_a_key_frame_every_ten_seconds",
        cause: "WebKitGTK sets up a pipeline for every page, which takes 200 to 500 ms on some machines",
        until: date(2026, 12, 31),
    },
    Entry {
        test: "direct::timing::direct_reader_is_fresher_in_every_browser",
        cause: "WebKitGTK keeps the distance to the live edge with which a page began, 0.1 to 0.5 s, and stalls now and then",
        until: date(2026, 12, 31),
    },
    Entry {
        test: "decoder_delay::timing::stream_without_vui_plays_in_every_browser",
        cause: "WebKitGTK showed 25 of 75 frames twice; cause not found",
        until: date(2026, 12, 31),
    },
    Entry {
        test: "timing::sound::click_toggles_audio_in_firefox",
        cause: "Firefox's sound is early after a change of the playback rate: 22 ms on an idle machine, 84 ms on a busy one",
        until: date(2026, 12, 31),
    },
    Entry {
        test: "timing::sound::click_toggles_audio_in_webkit",
        cause: "a second failure within ten seconds turns the sound off; not seen since one failure keeps it",
        until: date(2026, 12, 31),
    },
    Entry {
        test: "browser::webcodecs::webcodecs_presents_the_camera_in_webkit",
        cause: "Debian's WebKitGTK 2.50 died of an invalid opcode in its own library once; Auto does not use WebCodecs there",
        until: date(2026, 12, 31),
    },
    Entry {
        test: "browser::webcodecs::sound_switches_to_mse_and_back_in_webkit",
        cause: "WebKitGTK's sound was off again once after the switch; not reproduced",
        until: date(2026, 12, 31),
    },
    Entry {
        test: "browser::recovery::unplugged_camera_recovers",
        cause: "WebKitGTK lost its last frame once after the camera went; not reproduced",
        until: date(2026, 12, 31),
    },
    Entry {
        test: "browser::recovery::killed_ffmpeg_recovers",
        cause: "WebKitGTK was not live again in time once; not reproduced",
        until: date(2026, 12, 31),
    },
    Entry {
        test: "browser::multiview::tile_goes_solo_and_back_by_mouse_and_keyboard",
        cause: "two clicks of WebDriver that are more than 0.4 s apart on a busy machine are no double click",
        until: date(2026, 12, 31),
    },
];

impl Entry {
    /// Whether the last day is over.
    pub fn is_expired(&self) -> bool {
        TimeZone::UTC.to_datetime(Timestamp::now()).date() > self.until
    }
}

/// The entry of a test, by its path.
pub fn entry(test: &str) -> Option<&'static Entry> {
    QUARANTINE.iter().find(|entry| test.ends_with(entry.test))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_names_a_test() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e");
        for entry in QUARANTINE {
            let mut path: Vec<_> = entry.test.split("::").collect();
            let name = path.pop().expect("a test has a name");
            let inner = path.len() > 1 && !folder.join(path[0]).is_dir();
            let file = folder.join(path[..path.len() - usize::from(inner)].join("/")).with_extension("rs");
            let source = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            assert!(source.contains(&format!("fn {name}(")), "{} has no {name}", file.display());
        }
    }

    #[test]
    fn no_entry_is_expired() {
        let expired: Vec<_> = QUARANTINE.iter().filter(|entry| entry.is_expired()).collect();
        assert!(expired.is_empty(), "repair these tests, or say why they stay in quarantine: {expired:#?}");
    }
}

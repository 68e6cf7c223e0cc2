use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

fn bytes(base64: &str) -> Vec<u8> {
    STANDARD.decode(base64).unwrap()
}

/// SPSs from cameras' SDP (`sprop-parameter-sets`; most are from the test data of the crate retina), and their amended forms.
/// According to `ffmpeg -bsf:v trace_headers`, both differ only in `bitstream_restriction` and an empty VUI that contains it.
const SILENT: [(&str, &str, &str); 7] = [
    ("Reolink, High, 2560x1440, no VUI", "Z2QAM6zoAoALWQ==", "Z2QAM6zoAoALWgG0EAhU"),
    ("Foscam, Main, 1280x720, no VUI", "Z00AH5WoFAFuQA==", "Z00AH5WoFAFugG0EAhU="),
    ("High, 640x368 cropped to 360, no VUI", "Z2QAHqwrUFAX/Kg=", "Z2QAHqwrUFAX/LANoIBCoA=="),
    (
        "Hikvision, Main, 1920x1088 cropped to 1080, timing, emulation prevention",
        "Z00AKZpkA8ARPyzUBAQFAAADA+gAAOpgBA==",
        "Z00AKZpkA8ARPyzUBAQFAAADA+gAAOpgDaCAQqA=",
    ),
    (
        "Dahua, High, 704x480, timing, zeros at the end",
        "Z2QAHqwsaoLA9puCgIKgAAADACAAAAMD0IAA",
        "Z2QAHqwsaoLA9puCgIKgAAADACAAAAMD0bQQCFQ=",
    ),
    (
        "High, scaling lists that end early, timing",
        "Z2QAKK2EAQwgCGEAQwgCGEAQwgCEO1AoAt03AQEBQAAAAwBAAAAMoQ==",
        "Z2QAKK2EAQwgCGEAQwgCGEAQwgCEO1AoAt03AQEBQAAAAwBAAAAMo2ggEKg=",
    ),
    (
        "Wyze, Main, 2560x1440, timing, HRD",
        "J00AMudAUBf8s1AQEB8AAAMAAQAAAwAoNGAE4gB1N//wKA==",
        "J00AMudAUBf8s1AQEB8AAAMAAQAAAwAoNGAE4gB1N//wO0EAhUA=",
    ),
];

/// SPSs that declare no reordering; x264's is from FFmpeg 5.1 with `-bf 0`.
const IN_ORDER: [(&str, &str); 3] = [
    ("Axis, Main, 1080p", "Z00AKeKQDwBE/LgLcBAQGkHiRFQ="),
    ("Ubiquiti, Main, 1080p", "Z01AKo2NQDwBE/LgLcBAQFAAAD6AABX5CdoIhGo="),
    ("x264", "Z2QADKy2Cgz8+AiAAAADAIAAABkHihVw"),
];

/// x264 with three B-frames, and the same in order. Only `max_num_reorder_frames` differs, 2 and 0.
const REORDERED: (&str, &str) = ("Z2QADKzZQUGfnwEQAAADABAAAAMDIPFCmWA=", "Z2QADKzZQUGfnwEQAAADABAAAAMDIPFCpYA=");

#[test]
fn undeclared_order_is_declared() {
    for (camera, before, after) in SILENT {
        assert_eq!(
            Sps::read(&bytes(before)).map(|sps| sps.declared_reordering()),
            Ok(DeclaredReordering::Unspecified),
            "{camera}"
        );
        let amended = set_no_reorder(&bytes(before)).unwrap().map(|sps| STANDARD.encode(sps));
        assert_eq!(amended.as_deref(), Some(after), "{camera}");
    }
}

#[test]
fn declared_order_stays_unchanged() {
    for (encoder, sps) in IN_ORDER {
        assert_eq!(set_no_reorder(&bytes(sps)), Ok(None), "{encoder}");
    }
}

#[test]
fn declared_reordering_becomes_zero_and_other_limits_stay() {
    let (before, after) = REORDERED;
    assert_eq!(Sps::read(&bytes(before)).map(|sps| sps.declared_reordering()), Ok(DeclaredReordering::AtMost(2)));
    let amended = set_no_reorder(&bytes(before)).unwrap().map(|sps| STANDARD.encode(sps));
    assert_eq!(amended.as_deref(), Some(after));
}

#[test]
fn truncated_sps_is_an_error() {
    let whole = bytes(SILENT[3].1);
    for end in 1..whole.len() {
        assert!(Sps::read(&whole[..end]).is_err(), "{end} bytes");
    }
    // GW Security appends a start code to the SPS in its SDP.
    assert_eq!(Sps::read(&bytes("Z00AKpWoHgCJ+WbgICAgQAAAAAE=")), Err(SyntaxError::Trailing));
}

/// Writes SPSs of every form that section 7.3.2.1.1 allows, selected by `choices`.
struct Grammar<'a> {
    choices: std::iter::Cycle<std::slice::Iter<'a, u32>>,
    out: BitWriter,
}

impl Grammar<'_> {
    fn choose(&mut self, below: u32) -> u32 {
        self.choices.next().unwrap() % below
    }

    fn bits(&mut self, count: usize) {
        (0..count).for_each(|_| {
            let bit = self.choose(2) == 1;
            self.out.flag(bit);
        });
    }

    fn flag(&mut self) -> bool {
        let bit = self.choose(2) == 1;
        self.out.flag(bit);
        bit
    }

    fn ue(&mut self, up_to: u32) -> u32 {
        let value = self.choose(up_to + 1);
        self.out.ue(value);
        value
    }

    fn sps(&mut self) {
        let profiles = [66, 77, 88, 100, 110, 122, 244, 44, 118, 128];
        let profile = profiles[self.choose(10) as usize];
        (0..8).rev().for_each(|bit| self.out.flag(profile >> bit & 1 == 1));
        self.bits(16);
        self.ue(31);
        if WITH_CHROMA_FORMAT.contains(&profile) {
            self.chroma_format();
        }
        self.ue(12);
        match self.ue(2) {
            0 => _ = self.ue(12),
            1 => {
                self.bits(1);
                self.ue(5000);
                self.ue(5000);
                (0..self.ue(9)).for_each(|_| _ = self.ue(5000));
            }
            _ => {}
        }
        self.ue(16);
        self.bits(1);
        self.ue(500);
        self.ue(500);
        if !self.flag() {
            self.bits(1);
        }
        self.bits(1);
        if self.flag() {
            (0..4).for_each(|_| _ = self.ue(9));
        }
        if self.flag() {
            self.vui();
        }
    }

    fn chroma_format(&mut self) {
        let chroma = self.ue(3);
        if chroma == 3 {
            self.bits(1);
        }
        self.ue(6);
        self.ue(6);
        self.bits(1);
        if self.flag() {
            for list in 0..if chroma == 3 { 12 } else { 8 } {
                if self.flag() {
                    self.scaling_list(if list < 6 { 16 } else { 64 });
                }
            }
        }
    }

    /// Values of at least 8, or the 0 that ends a list early.
    fn scaling_list(&mut self, size: u32) {
        let mut last = 8;
        for _ in 0..size {
            let next = if self.choose(20) == 0 { 0 } else { 8 + self.choose(100) };
            let difference = i64::from(next) - i64::from(last);
            self.out.ue(if difference > 0 { difference * 2 - 1 } else { -difference * 2 } as u32);
            if next == 0 {
                break;
            }
            last = next;
        }
    }

    fn vui(&mut self) {
        if self.flag() {
            let extended = self.flag();
            (0..7).for_each(|_| self.out.flag(extended));
            self.bits(if extended { 32 } else { 0 });
        }
        if self.flag() {
            self.bits(1);
        }
        if self.flag() {
            self.bits(4);
            if self.flag() {
                self.bits(24);
            }
        }
        if self.flag() {
            self.ue(5);
            self.ue(5);
        }
        if self.flag() {
            self.bits(65);
        }
        let (nal, vcl) = (self.hrd(), self.hrd());
        if nal || vcl {
            self.bits(1);
        }
        self.bits(1);
        if self.flag() {
            self.bits(1);
            (0..6).for_each(|_| _ = self.ue(16));
        }
    }

    fn hrd(&mut self) -> bool {
        let present = self.flag();
        if present {
            let buffers = self.ue(31) + 1;
            self.bits(8);
            for _ in 0..buffers {
                self.ue(100_000);
                self.ue(100_000);
                self.bits(1);
            }
            self.bits(20);
        }
        present
    }
}

proptest! {
    #[test]
    fn any_sps_changes_only_in_its_bitstream_restriction(
        choices in proptest::collection::vec(any::<u32>(), 1..600),
    ) {
        let mut grammar = Grammar { choices: choices.iter().cycle(), out: BitWriter::default() };
        grammar.sps();
        let rbsp = grammar.out.finish();
        let before = Sps::read_rbsp(&rbsp);
        prop_assert!(before.is_ok(), "{:?}", before);
        let before = before.unwrap();
        let unit = escape(&[0x67], &rbsp);
        let Some(amended) = set_no_reorder(&unit).unwrap() else {
            prop_assert_eq!(before.declared_reordering(), DeclaredReordering::None);
            return Ok(());
        };
        let after = Sps::read(&amended).unwrap();
        prop_assert_eq!(after.declared_reordering(), DeclaredReordering::None);
        prop_assert_eq!(set_no_reorder(&amended), Ok(None), "once is enough");

        let kept = before.vui.as_ref().map_or(before.vui_at, |vui| vui.restriction_at);
        let start = |unit: &[u8]| {
            let mut start = BitWriter::default();
            start.copy(&unescape(&unit[1..]), 0..kept).unwrap();
            start.finish()
        };
        prop_assert_eq!(start(&amended), start(&unit));
        let restriction = |sps: &Sps| sps.vui.as_ref().and_then(|vui| vui.restriction.clone());
        let expected = restriction(&before).unwrap_or_else(|| Restriction::inferred(before.max_num_ref_frames));
        prop_assert_eq!(restriction(&after), Some(expected.in_order()));
        prop_assert_eq!((after.id, after.slices, after.vui_at), (before.id, before.slices, before.vui_at));
    }
}

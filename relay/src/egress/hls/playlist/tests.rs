use sightline_protocol::stream::Variant;

use super::*;
use crate::egress::hls::window::tests::{FIRST, START, empty, filled, init, push};

const GOP: usize = 25;

fn text(window: &Window, delta: bool) -> String {
    media(window, delta, &[]).expect("something to list")
}

#[test]
fn empty_window_has_no_playlist() {
    assert_eq!(media(&filled(10), false, &[]), None);
}

#[test]
fn playlist_lists_segments_and_parts() {
    let window = filled(60);
    let reports = [
        RenditionReport::of(RenditionName::Video(Variant::H264), &window).unwrap(),
        RenditionReport { last_part: None, ..report(Variant::Low) },
    ];
    let text = media(&window, false, &reports).unwrap();
    assert_eq!(text, include_str!("../golden/media.m3u8"));
}

fn report(variant: Variant) -> RenditionReport {
    RenditionReport { rendition: RenditionName::Video(variant), last_msn: FIRST, last_part: Some(3) }
}

#[test]
fn parts_are_listed_near_the_end_and_delta_update_skips_segments() {
    let window = filled(GOP * 40 + 10);
    assert_eq!(text(&window, false), include_str!("../golden/long.m3u8"));
    assert_eq!(text(&window, true), include_str!("../golden/delta.m3u8"));
    let short = filled(60);
    assert_eq!(text(&short, true), text(&short, false), "nothing is old");
}

#[test]
fn restart_is_a_discontinuity_with_a_gap() {
    let mut window = filled(60);
    window.start_epoch(init());
    push(&mut window, 30, GOP, START + 60.0 * 0.04 + 3.0);
    assert_eq!(text(&window, false), include_str!("../golden/restart.m3u8"));
    // The discontinuity has left the playlist.
    push(&mut window, GOP * 30, GOP, START + 7.0);
    assert!(text(&window, false).contains("#EXT-X-DISCONTINUITY-SEQUENCE:8\n"), "{}", text(&window, false));
}

#[test]
fn incomplete_long_segment_lists_its_parts() {
    let mut window = empty();
    push(&mut window, 130, 250, START);
    assert_eq!(text(&window, false), include_str!("../golden/long-gop.m3u8"));
}

/// The previous playlist plus the delta update equals the new playlist.
#[test]
fn delta_update_completes_the_previous_playlist() {
    let segments =
        |text: &str| -> Vec<String> { text.lines().filter(|line| line.ends_with(".m4s")).map(str::to_owned).collect() };
    let (before, after) = (filled(GOP * 39), filled(GOP * 40));
    let (known, whole, update) = (text(&before, false), text(&after, false), text(&after, true));
    let skipped: usize = update
        .lines()
        .find_map(|line| line.strip_prefix("#EXT-X-SKIP:SKIPPED-SEGMENTS="))
        .and_then(|count| count.parse().ok())
        .expect("an update");
    let first = segments(&whole)[0].clone();
    let mut merged: Vec<String> =
        segments(&known).into_iter().skip_while(|segment| *segment != first).take(skipped).collect();
    merged.extend(segments(&update));
    assert_eq!(merged, segments(&whole));
}

#[test]
fn dates_are_rounded_to_milliseconds() {
    for (unix, expected) in [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_709_251_199.999, "2024-02-29T23:59:59.999Z"),
        (1_795_617_767.040_4, "2026-11-25T14:42:47.040Z"),
        (1_798_761_599.999_6, "2027-01-01T00:00:00.000Z"),
    ] {
        assert_eq!(format!("{:.3}", date(unix)), expected);
    }
}

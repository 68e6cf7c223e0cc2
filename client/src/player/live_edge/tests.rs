use super::*;

/// A player with time, position and buffer set by hand.
struct Player {
    live_edge: LiveEdge,
    ms: f64,
    position: f64,
    ranges: Vec<Span>,
    keyframe: Option<f64>,
    appended: bool,
    live: Option<f64>,
    showing: bool,
}

impl Player {
    /// An epoch from 0 with `end` seconds buffered, all of them one GOP.
    fn new(end: f64) -> Self {
        let mut live_edge = LiveEdge::new(CorrectionMode::Rate, 0.0, false);
        live_edge.begin_epoch(0.0);
        let ranges = vec![Span { start: 0.0, end }];
        Self {
            live_edge,
            ms: 0.0,
            position: 0.0,
            ranges,
            keyframe: Some(0.0),
            appended: true,
            live: None,
            showing: true,
        }
    }

    /// The same, with its first frame presented, and settled.
    fn playing(end: f64, position: f64) -> Self {
        let mut player = Self { position, ..Self::new(end) };
        player.live_edge.frame_presented(position);
        player.live_edge.settling = None;
        player
    }

    fn decide(&mut self) -> Option<Action> {
        self.live_edge.decide(&View {
            now: Moment::from_ms(self.ms),
            position: self.position,
            ranges: &self.ranges,
            newest_keyframe: self.keyframe,
            appended: self.appended,
            live: self.live,
            showing: self.showing,
            seeking: false,
        })
    }

    /// Advances by `ms`, with `played` seconds of playback and `received` more seconds buffered.
    fn later(&mut self, ms: f64, played: f64, received: f64) -> Option<Action> {
        self.ms += ms;
        self.position += played;
        self.ranges.last_mut().unwrap().end += received;
        self.decide()
    }
}

fn seek(action: Option<Action>) -> f64 {
    match action {
        Some(Action::Seek(target)) => target,
        other => panic!("a seek expected, not {other:?}"),
    }
}

#[test]
fn first_frame_is_presented_without_a_seek() {
    let mut player = Player::new(10.0);
    assert_eq!(player.decide(), None, "ten seconds of GOP start to play from their key frame");
    player.live_edge.frame_presented(0.0);
    assert_eq!(seek(player.decide()), 10.0 - HOLD, "then one seek to the live edge");
}

#[test]
fn seek_waits_for_the_whole_burst() {
    let mut player = Player::new(0.04);
    player.appended = false;
    player.live_edge.frame_presented(0.0);
    assert_eq!(player.later(10.0, 0.01, 2.0), None);
    player.appended = true;
    assert_eq!(seek(player.later(10.0, 0.01, 2.0)), 4.04 - HOLD);
}

#[test]
fn costly_seek_is_corrected_at_the_next_key_frame() {
    let mut player = Player::new(10.0);
    player.live_edge.frame_presented(0.0);
    player.position = seek(player.decide());
    assert_eq!(player.later(900.0, 0.04, 0.9), None, "behind by what decoding took, in the same GOP");
    player.keyframe = Some(player.ranges[0].end);
    assert_eq!(player.later(40.0, 0.04, 0.04), None, "the key frame is newer than the target");
    let live_edge = player.ranges[0].end;
    player.position = seek(player.later(100.0, 0.1, 0.1));
    assert_eq!(player.position, live_edge + 0.1 - HOLD);
}

#[test]
fn bursts_at_the_start_cause_a_bounded_number_of_seeks() {
    let mut player = Player::new(0.3);
    player.live_edge.frame_presented(0.0);
    let mut seeks = 0;
    for _ in 0..4 {
        // A burst that contains a key frame.
        player.keyframe = Some(player.ranges[0].end + 0.3);
        if let Some(Action::Seek(target)) = player.later(500.0, 0.1, 0.8) {
            player.position = target;
            seeks += 1;
        }
    }
    assert_eq!(seeks, SETTLE_SEEKS_MAX);
}

#[test]
fn start_ends_after_some_seconds_at_the_live_edge() {
    let mut player = Player::new(0.2);
    player.live_edge.frame_presented(0.0);
    assert_eq!(player.later(10.0, 0.0, 0.0), None);
    assert_eq!(player.later(SETTLE_MS, 4.0, 4.0), None);
    assert_eq!(player.later(40.0, 0.0, 0.5), None, "half a second behind is no longer worth a seek");
}

#[test]
fn small_lag_at_the_start_causes_no_seek() {
    let mut player = Player::new(SETTLE_BEHIND);
    player.live_edge.frame_presented(0.0);
    assert_eq!(player.decide(), None);
}

#[test]
fn buffer_ahead_of_the_playhead_causes_one_seek() {
    let mut player = Player::new(3.0);
    player.ranges[0].start = 1.0;
    assert_eq!(seek(player.decide()), 1.0);
    assert_eq!(player.later(10.0, 0.0, 0.0), None, "the seek is on its way");
}

#[test]
fn new_epoch_is_reached_by_playback_or_a_seek() {
    let mut player = Player::playing(5.0, 4.9);
    player.live_edge.begin_epoch(5.0);
    assert_eq!(player.decide(), None, "none of it is here");
    assert_eq!(player.later(10.0, 0.05, 2.0), None, "a few frames of the old epoch are left");
    assert!(!player.live_edge.frame_presented(4.95), "a frame of the old epoch");
    assert!(player.live_edge.frame_presented(5.0));
    assert!(!player.live_edge.frame_presented(5.04), "not the first");

    let mut player = Player::playing(5.0, 3.0);
    player.live_edge.begin_epoch(5.0);
    assert_eq!(player.decide(), None);
    assert_eq!(seek(player.later(10.0, 0.0, 2.0)), 5.0, "two seconds of the old epoch are too many");
}

#[test]
fn useless_seeks_double_the_cooldown() {
    let mut player = Player::playing(5.0, 4.4);
    assert_eq!(player.later(100.0, 0.1, 0.1), None, "half a second behind");
    assert!((seek(player.later(100.0, 0.1, 1.1)) - (6.2 - HOLD)).abs() < 1e-9);
    let mut seeks = Vec::new();
    for _ in 0..200 {
        if player.later(100.0, 0.1, 0.1).is_some() {
            seeks.push(player.ms - 200.0);
        }
    }
    assert_eq!(seeks, [2000.0, 6000.0, 14_000.0], "the player ignored every seek");
}

#[test]
fn useful_seek_resets_the_cooldown() {
    let mut player = Player::playing(5.0, 3.0);
    for _ in 0..3 {
        player.position = seek(player.later(3000.0, 0.0, 0.0));
        assert_eq!(player.later(2500.0, 2.5, 2.5), None);
        player.ranges[0].end += 3.0;
    }
}

#[test]
fn latency_controller_sets_the_live_edge() {
    let mut player = Player::playing(5.0, 4.9);
    for (live, expected) in [(Some(4.5), None), (Some(5.9), None), (Some(7.0), Some(Action::Seek(7.0)))] {
        player.ranges[0].end = 8.0;
        player.ms += 10_000.0;
        player.live = live;
        player.position += 0.2;
        assert_eq!(player.decide(), expected, "{live:?}");
    }
    player.live = Some(9.0);
    assert_eq!(seek(player.later(10_000.0, 0.0, 0.0)), 8.0 - EDGE, "there is no more than what is buffered");
}

#[test]
fn correction_by_seeks_is_earlier_and_rarer() {
    let mut player = Player::playing(5.0, 4.6);
    player.live_edge.correction_mode = CorrectionMode::Seek;
    player.live_edge.cooldown_ms = COOLDOWN_SEEKING_MS;
    player.live = Some(4.84);
    assert_eq!(player.later(100.0, 0.0, 0.0), None);
    player.live = Some(4.96);
    assert_eq!(seek(player.later(100.0, 0.0, 0.0)), 4.96);
    assert_eq!(player.later(COOLDOWN_SEEKING_MS - 1.0, 0.01, 0.0), None, "the pipeline gets its time");
}

#[test]
fn hidden_page_seeks_only_to_bound_its_buffer() {
    let mut player = Player::playing(5.0, 4.9);
    player.showing = false;
    assert_eq!(player.later(8000.0, 0.0, 8.0), None);
    assert_eq!(seek(player.later(3000.0, 0.0, 3.0)), 16.0 - HOLD);
    player.position = 15.9;
    player.later(1000.0, 0.0, 1.0);
    player.showing = true;
    player.live_edge.page_shown();
    assert_eq!(seek(player.later(10.0, 0.0, 0.0)), 17.0 - HOLD);
}

#[test]
fn gap_is_skipped_when_the_playhead_reaches_it() {
    let mut player = Player::playing(5.0, 4.5);
    player.ranges.push(Span { start: 5.5, end: 5.6 });
    player.position = 4.85;
    assert_eq!(player.decide(), None, "still media before the hole");
    player.position = 4.95;
    assert_eq!(player.decide(), Some(Action::Seek(5.5)));
    player.position = 5.2;
    player.ranges[1].end = 9.0;
    assert_eq!(player.decide(), Some(Action::Seek(9.0 - HOLD)), "and behind as well");
}

#[test]
fn fourth_stall_starts_over() {
    let mut player = Player::playing(5.0, 4.0);
    player.decide();
    assert_eq!(player.later(900.0, 0.0, 0.2), None);
    for _ in 0..RECOVERIES_MAX {
        player.position = seek(player.later(STALL_MS, 0.0, 0.2));
        player.ranges[0].end += 0.3;
    }
    assert_eq!(player.later(STALL_MS, 0.0, 0.2), Some(Action::StartOver { presented: true }));
}

#[test]
fn empty_buffer_or_paused_video_is_no_stall() {
    let mut player = Player::playing(5.0, 4.9);
    assert!((0..50).all(|_| player.later(100.0, 0.0, 0.0).is_none()), "nothing to play");
    let mut player = Player::playing(5.0, 4.0);
    player.showing = false;
    assert!((0..50).all(|_| player.later(100.0, 0.0, 0.0).is_none()), "paused");
}

#[test]
fn media_without_a_first_frame_starts_over() {
    let mut player = Player::new(2.0);
    let mut end = None;
    let mut seeks = 0;
    for _ in 0..100 {
        match player.later(500.0, 0.0, 0.5) {
            Some(Action::Seek(target)) => {
                seeks += 1;
                player.position = target;
            }
            Some(other) => {
                end = Some((other, player.ms));
                break;
            }
            None => {}
        }
    }
    assert_eq!(seeks, RECOVERIES_MAX);
    assert_eq!(end.map(|(action, _)| action), Some(Action::StartOver { presented: false }));
}

//! The player with a real stream in a real `<video>`.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::ArrayBuffer;
use sightline_client::browser::mailbox::{Mailbox, Sender};
use sightline_client::browser::media_source::Kind;
use sightline_client::browser::{now, video};
use sightline_client::player::mse::{MsePlayer, MseSignal, Outcome};
use sightline_protocol::message::{Track, TrackKind};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::fixture::{MIME, TIMESCALE, Video, buffer, stream, until};

enum Input {
    Signal(MseSignal),
    Announce,
    Media(ArrayBuffer),
    IgnoreMedia,
    StartOver,
    Unwatched,
    Watched,
}

/// A player in its mailbox, as in a session.
struct Playing {
    mailbox: Mailbox<Input>,
    outcomes: Rc<RefCell<Vec<Outcome>>>,
    video: Video,
}

impl Playing {
    fn new() -> Self {
        let video = Video::new();
        let outcomes = Rc::<RefCell<Vec<Outcome>>>::default();
        let (element, log) = (video.0.clone(), Rc::clone(&outcomes));
        let mailbox = Mailbox::new(move |sender: Sender<Input>| {
            let signal = Rc::new(move |signal| sender.send(Input::Signal(signal)));
            let mut player = MsePlayer::new(element, Kind::available().unwrap(), signal).unwrap();
            move |input| {
                match input {
                    Input::Signal(signal) => player.handle(signal, now()),
                    Input::Announce => player.announce(&track()),
                    Input::Media(bytes) => player.media(bytes, now()),
                    Input::IgnoreMedia => player.ignore_media(),
                    Input::StartOver => player.start_over().unwrap(),
                    Input::Unwatched => player.hide(),
                    Input::Watched => player.show(now()),
                }
                log.borrow_mut().extend(player.outcomes());
            }
        });
        Self { mailbox, outcomes, video }
    }

    /// Sends an epoch as a new viewer receives it: the init segment, then every fragment at once.
    fn epoch(&self) {
        let (init, fragments) = stream();
        let sender = self.mailbox.sender();
        sender.send(Input::Announce);
        sender.send(Input::Media(buffer(&init)));
        fragments.iter().for_each(|fragment| sender.send(Input::Media(buffer(fragment))));
    }

    fn presented(&self) -> usize {
        self.outcomes.borrow().iter().filter(|outcome| **outcome == Outcome::Presented).count()
    }

    fn failure(&self) -> Option<Outcome> {
        let failed = |outcome: &&Outcome| matches!(outcome, Outcome::Failed(_));
        self.outcomes.borrow().iter().find(failed).cloned()
    }
}

fn track() -> Track {
    Track {
        kind: TrackKind::Video,
        mime: MIME.to_owned(),
        timescale: TIMESCALE,
        timeline: 0,
        size: None,
        frame_rate: None,
    }
}

fn end(playing: &Playing) -> f64 {
    video::buffered(&playing.video.0).last().map_or(0.0, |range| range.end)
}

#[wasm_bindgen_test]
async fn burst_presents_its_first_frame_and_seeks_to_the_live_edge() {
    let playing = Playing::new();
    playing.epoch();
    until("the first picture", || playing.presented() == 1).await;
    until("the live edge", || playing.video.0.current_time() > 1.8).await;
    assert!((end(&playing) - 2.0).abs() < 0.05, "{}", end(&playing));
    assert_eq!(playing.failure(), None);
}

#[wasm_bindgen_test]
async fn new_epoch_follows_without_a_gap() {
    let playing = Playing::new();
    playing.epoch();
    until("the first picture", || playing.presented() == 1).await;
    playing.epoch();
    until("the second epoch's picture", || playing.presented() == 2).await;
    until("the second live edge", || playing.video.0.current_time() > 3.8).await;
    let ranges = video::buffered(&playing.video.0);
    assert_eq!(ranges.len(), 1, "{ranges:?}");
    assert!((ranges[0].end - 4.0).abs() < 0.05, "{ranges:?}");
    assert_eq!(playing.failure(), None);
}

#[wasm_bindgen_test]
async fn returning_viewer_sees_the_next_frame() {
    let playing = Playing::new();
    playing.epoch();
    until("the first picture", || playing.presented() == 1).await;
    playing.mailbox.sender().send(Input::Unwatched);
    playing.mailbox.sender().send(Input::Watched);
    let before = end(&playing);
    playing.epoch();
    until("a picture of what came after", || playing.presented() >= 2).await;
    assert!(playing.video.0.current_time() > before - 0.1, "{} of {before}", playing.video.0.current_time());
    assert_eq!(playing.failure(), None);
}

#[wasm_bindgen_test]
async fn start_over_plays_in_the_same_video() {
    let playing = Playing::new();
    playing.epoch();
    until("the first picture", || playing.presented() == 1).await;
    playing.mailbox.sender().send(Input::StartOver);
    playing.epoch();
    until("a picture of the new media source", || playing.presented() == 2).await;
    assert!((end(&playing) - 2.0).abs() < 0.05, "{}", end(&playing));
    assert_eq!(playing.failure(), None);
}

#[wasm_bindgen_test]
async fn media_of_an_ignored_epoch_is_dropped() {
    let playing = Playing::new();
    let sender = playing.mailbox.sender();
    sender.send(Input::Announce);
    sender.send(Input::IgnoreMedia);
    sender.send(Input::Media(buffer(b"an init segment of something else")));
    sender.send(Input::Media(buffer(b"and a fragment of it")));
    playing.epoch();
    until("the first picture", || playing.presented() == 1).await;
    assert_eq!(playing.failure(), None);
}

#[wasm_bindgen_test]
async fn invalid_media_is_reported_and_recoverable() {
    let playing = Playing::new();
    let sender = playing.mailbox.sender();
    sender.send(Input::Announce);
    sender.send(Input::Media(buffer(b"\0\0\0\x08ftyp\0\0\0\x08moov")));
    // WebKitGTK reads more before it reports an error.
    sender.send(Input::Media(buffer(&[0xff; 2000])));
    until("a failure", || playing.failure().is_some()).await;
    sender.send(Input::Media(buffer(&[])));
    sender.send(Input::Media(buffer(&[0xff; 2000])));
    sender.send(Input::StartOver);
    playing.epoch();
    until("a picture after starting over", || playing.presented() == 1).await;
}

#[wasm_bindgen_test]
async fn dropping_the_player_releases_the_video() {
    let playing = Playing::new();
    playing.epoch();
    until("the first picture", || playing.presented() == 1).await;
    let Playing { mailbox, outcomes, video } = playing;
    drop(mailbox);
    until("an empty video", || video::buffered(&video.0).is_empty()).await;
    assert!(!video.0.has_attribute("src"));
    assert_eq!(Rc::strong_count(&outcomes), 1, "the player and its callbacks are freed");
}

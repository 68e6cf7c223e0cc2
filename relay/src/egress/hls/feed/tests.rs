use std::sync::Arc;

use sightline_protocol::stream::Variant;
use tokio::time::{advance, sleep};

use super::*;
use crate::egress::hls::window::tests::{self, FIRST};
use crate::hub::changes::Changes;
use crate::hub::ring::Limits;

fn feed() -> Arc<Feed> {
    let rendition = Rendition::new("cam".parse().unwrap(), Variant::Copy, Limits::default(), Changes::default());
    Feed::new(rendition, 1 << 20, CancellationToken::new())
}

fn viewers(feed: &Feed) -> usize {
    feed.rendition.holders().borrow().viewers()
}

#[tokio::test(start_paused = true)]
async fn requests_hold_the_rendition_as_one_viewer_until_some_seconds_after_the_last() {
    let feed = feed();
    let many: Vec<_> = (0..300).map(|_| feed.lease()).collect();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(viewers(&feed), 1);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(viewers(&feed), 1, "a request under way is a viewer");
    drop(many);
    sleep(GRACE_AT_START - Duration::from_millis(10)).await;
    assert_eq!(viewers(&feed), 1);
    drop(feed.lease());
    sleep(GRACE_AT_START - Duration::from_millis(10)).await;
    assert_eq!(viewers(&feed), 1, "another request has come");
    sleep(Duration::from_millis(20)).await;
    assert_eq!(viewers(&feed), 0);
    assert!(feed.look(|state| state.window.is_none()), "nothing is kept");
}

#[tokio::test(start_paused = true)]
async fn a_window_that_opens_again_has_higher_numbers() {
    let feed = feed();
    let first = |feed: &Feed| feed.look(|state| state.window.as_ref().map(Window::numbers)).unwrap();
    drop(feed.lease());
    let before = first(&feed);
    sleep(GRACE_AT_START * 2).await;
    drop(feed.lease());
    let after = first(&feed);
    assert!(after.msn >= before.msn && after.discontinuity > before.discontinuity, "{before:?}, {after:?}");
    assert!(before.msn > FIRST, "they come from the clock");
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_what_is_published_and_no_longer_than_it_may() {
    let feed = feed();
    let lease = feed.lease();
    let shape = |state: &State| state.window.as_ref()?.shape();
    let limit = Instant::now() + Duration::from_secs(3);
    assert_eq!(lease.until(limit, shape).await, Err(Unanswered::Late));
    assert!(Instant::now() >= limit);

    feed.rendition.start_epoch((*tests::init()).clone());
    let publisher = feed.rendition.clone();
    tokio::spawn(async move {
        for fragment in tests::fragments(30, 0.0) {
            publisher.publish(fragment);
            sleep(Duration::from_millis(40)).await;
        }
    });
    let begun = Instant::now();
    let limit = begun + Duration::from_secs(10);
    lease.until(limit, shape).await.expect("a segment");
    assert!((1.0..1.1).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());

    feed.shutdown.cancel();
    let never = lease.until(limit, |_| None::<()>).await;
    assert_eq!(never, Err(Unanswered::Stopping));
    advance(Duration::from_millis(1)).await;
    assert_eq!(viewers(&feed), 0);
}

use std::sync::Arc;

use sightline_protocol::stream::Variant;
use tokio::time::{advance, sleep};

use super::*;
use crate::egress::hls::window::tests::{self, FIRST};
use crate::hub::changes::Changes;
use crate::hub::rendition::AudioForm;
use crate::hub::ring::RingLimits;

fn packager() -> Arc<Packager> {
    let rendition = Rendition::new("cam".parse().unwrap(), Variant::Copy, RingLimits::default(), Changes::default());
    Packager::new(rendition, None, 1 << 20, CancellationToken::new())
}

fn viewers(packager: &Packager) -> usize {
    packager.rendition.subscribers().borrow().viewers()
}

#[tokio::test(start_paused = true)]
async fn requests_subscribe_as_one_viewer_until_the_idle_timeout() {
    let packager = packager();
    let many: Vec<_> = (0..300).map(|_| packager.lease()).collect();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(viewers(&packager), 1);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(viewers(&packager), 1, "a request under way is a viewer");
    drop(many);
    sleep(GRACE_AT_START - Duration::from_millis(10)).await;
    assert_eq!(viewers(&packager), 1);
    drop(packager.lease());
    sleep(GRACE_AT_START - Duration::from_millis(10)).await;
    assert_eq!(viewers(&packager), 1, "another request has come");
    sleep(Duration::from_millis(20)).await;
    assert_eq!(viewers(&packager), 0);
    assert!(packager.read(|state| state.window.is_none()), "nothing is kept");
}

#[tokio::test(start_paused = true)]
async fn leading_window_closes_with_the_last_follower() {
    let leader = packager();
    let rendition = Rendition::new("cam".parse().unwrap(), Variant::Low, RingLimits::default(), Changes::default());
    let follower = Packager::new(rendition, Some(leader.clone()), 1 << 20, CancellationToken::new());
    drop(leader.lease());
    let request = follower.lease();
    sleep(GRACE_AT_START * 3).await;
    assert_eq!((viewers(&leader), viewers(&follower)), (1, 1));
    drop(request);
    sleep(GRACE_AT_START - Duration::from_millis(10)).await;
    assert_eq!((viewers(&leader), viewers(&follower)), (1, 1), "another request may come");
    // Without a fragment, the packager checks again after a grace period.
    sleep(Duration::from_millis(20) + GRACE).await;
    assert_eq!((viewers(&leader), viewers(&follower)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn window_of_audio_keeps_the_leading_window_and_uses_its_numbers() {
    let leader = packager();
    let rendition =
        Rendition::audio("cam".parse().unwrap(), AudioForm::AsIs, RingLimits::default(), Changes::default());
    let audio = Packager::new(rendition, Some(leader.clone()), 1 << 20, CancellationToken::new());
    let used = |packager: &Packager| packager.read(|state| state.window.as_ref().map(Window::numbers)).unwrap().msn;
    drop(audio.lease());
    sleep(GRACE_AT_START / 2).await;
    assert_eq!((viewers(&leader), viewers(&audio)), (1, 1));
    assert_eq!((used(&leader) > FIRST, used(&audio)), (true, 0), "the clock's numbers, and none so far");
    sleep(GRACE_AT_START * 3).await;
    assert_eq!((viewers(&leader), viewers(&audio)), (0, 0));
    drop(audio.lease());
    assert_eq!(used(&audio), 0, "a window without audio has used none");
}

#[tokio::test(start_paused = true)]
async fn reopened_window_has_higher_numbers() {
    let packager = packager();
    let first = |packager: &Packager| packager.read(|state| state.window.as_ref().map(Window::numbers)).unwrap();
    drop(packager.lease());
    let before = first(&packager);
    sleep(GRACE_AT_START * 2).await;
    drop(packager.lease());
    let after = first(&packager);
    assert!(after.msn >= before.msn && after.discontinuity > before.discontinuity, "{before:?}, {after:?}");
    assert!(before.msn > FIRST, "they come from the clock");
}

#[tokio::test(start_paused = true)]
async fn request_waits_for_media_until_its_limit() {
    let packager = packager();
    let lease = packager.lease();
    let durations = |state: &PackagerState| state.window.as_ref()?.durations();
    let limit = Instant::now() + Duration::from_secs(3);
    assert_eq!(lease.until(limit, durations).await, Err(WaitError::Late));
    assert!(Instant::now() >= limit);

    packager.rendition.start_epoch((*tests::init()).clone());
    let publisher = packager.rendition.clone();
    tokio::spawn(async move {
        for fragment in tests::fragments(30, 0.0) {
            publisher.publish(fragment, clock::unix_ms());
            sleep(Duration::from_millis(40)).await;
        }
    });
    let begun = Instant::now();
    let limit = begun + Duration::from_secs(10);
    lease.until(limit, durations).await.expect("a segment");
    assert!((1.0..1.1).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());

    packager.shutdown.cancel();
    let never = lease.until(limit, |_| None::<()>).await;
    assert_eq!(never, Err(WaitError::Stopping));
    advance(Duration::from_millis(1)).await;
    assert_eq!(viewers(&packager), 0);
}

use std::time::Duration;

use axum::response::IntoResponse;
use sightline_protocol::message::OfflineReason;
use tokio::time::sleep;

use super::window::tests as media_of;
use super::*;
use crate::fmp4::init::{InitSegment, PictureOrder};
use crate::hub::ring::Limits;

/// A relay's HLS of one camera, named `cam`.
fn context() -> Context {
    let hub = Hub::new(["cam".parse().unwrap()], Limits::default(), true);
    Context::new(Arc::new(hub), 1 << 20, 360, [].into(), CancellationToken::new())
}

fn offline() -> Status {
    let retry_at = Instant::now() + Duration::from_secs(2);
    Status::Offline { reason: OfflineReason::Unreachable, message: "no route".into(), retry_at }
}

/// Begins an epoch and publishes 30 frames, the first captured `after` seconds from the start; one after the other, for a
/// reader starts with the newest key frame that it finds.
async fn publish(rendition: &Rendition, after: f64) {
    rendition.start_epoch((*media_of::init()).clone());
    for fragment in media_of::fragments(30, after) {
        rendition.publish(fragment);
        sleep(Duration::from_millis(1)).await;
    }
}

async fn text(answer: Result<Answer, Refusal>) -> String {
    let response = answer.expect("an answer").into_response();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("it has an end");
    String::from_utf8(body.to_vec()).expect("text")
}

#[tokio::test(start_paused = true)]
async fn players_outlive_a_short_outage_and_are_told_of_a_long_one() {
    let context = context();
    let feeds = context.stream("cam").unwrap();
    let feed = feeds.copy();
    let rendition = feeds.stream.rendition(Variant::Copy);
    let _player = feed.lease();
    sleep(Duration::from_millis(1)).await;
    publish(rendition, 0.0).await;
    let before = text(media(&feeds, feed, Reload::default(), None).await).await;
    assert!(before.contains("#EXTINF:1.00000,"), "{before}");

    rendition.stop(offline());
    sleep(Duration::from_secs(5)).await;
    assert_eq!(text(media(&feeds, feed, Reload::default(), None).await).await, before, "a short outage");
    // Three target durations of two seconds.
    sleep(Duration::from_millis(1100)).await;
    let refusal = media(&feeds, feed, Reload::default(), None).await.expect_err("an outage");
    assert!(matches!(&refusal, Refusal::Offline { message, .. } if &**message == "no route"), "{refusal}");

    publish(rendition, 8.0).await;
    let after = text(media(&feeds, feed, Reload::default(), None).await).await;
    assert_eq!(after.matches("#EXT-X-GAP").count(), 4, "{after}");
    assert_eq!(after.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{after}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_source_that_fails_is_told_why_and_one_that_is_silent_is_not_waited_for_without_end() {
    let context = context();
    let feeds = context.stream("cam").unwrap();
    let feed = feeds.copy();
    let begun = Instant::now();
    let silent = media(&feeds, feed, Reload::default(), None).await.expect_err("nothing came");
    assert_eq!((silent, begun.elapsed()), (Refusal::Late, START));
    feeds.stream.rendition(Variant::Copy).stop(offline());
    let begun = Instant::now();
    let failed = media(&feeds, feed, Reload::default(), None).await.expect_err("nothing came");
    assert!(matches!(failed, Refusal::Offline { .. }) && begun.elapsed() < Duration::from_secs(1), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn what_the_camera_sends_decides_what_is_offered() {
    for (order, copy, h264) in [(PictureOrder::AsSent, true, false), (PictureOrder::Reordered, false, true)] {
        let context = context();
        let feeds = context.stream("cam").unwrap();
        let rendition = feeds.stream.rendition(Variant::Copy);
        rendition.start_epoch(InitSegment { order, ..(*media_of::init()).clone() });
        media_of::fragments(30, 0.0).for_each(|fragment| rendition.publish(fragment));
        let text = text(index(State(context.clone()), Path("cam".to_owned()), None).await).await;
        assert_eq!((text.contains("copy/"), text.contains("h264/")), (copy, h264), "{order:?}: {text}");
    }
}

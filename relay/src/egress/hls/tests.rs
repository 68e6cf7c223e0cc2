use std::time::Duration;

use axum::response::IntoResponse;
use bytes::Bytes;
use sightline_media::fmp4::init::{InitSegment, Reordering};
use sightline_media::nut::{SourceAudio, SourceCodec};
use sightline_protocol::message::OfflineReason;
use tokio::time::sleep;

use super::window::tests as media_of;
use super::*;
use crate::clock;
use crate::config::Limits;
use crate::hub::rendition::{AudioForm, Rendition};
use crate::hub::ring::RingLimits;
use crate::limits::LiveLimits;

/// The HLS routes' state of a relay with one camera, named `cam`.
fn context() -> HlsContext {
    let hub = Hub::new(["cam".parse().unwrap()], RingLimits::default(), true);
    let viewers = ViewerLimiter::new(LiveLimits::new(Limits::default()));
    HlsContext::new(Arc::new(hub), 1 << 20, 360, [].into(), viewers, CancellationToken::new())
}

fn offline() -> Status {
    let retry_at = Instant::now() + Duration::from_secs(2);
    Status::Offline { reason: OfflineReason::Unreachable, message: "no route".into(), retry_at }
}

/// Starts an epoch and publishes 30 frames, the first captured `after` seconds from the start. Publishes one by one, because a
/// reader starts with the newest key frame.
async fn publish(rendition: &Rendition, after: f64) {
    rendition.start_epoch((*media_of::init()).clone());
    for fragment in media_of::fragments(30, after) {
        rendition.publish(fragment, clock::unix_ms());
        sleep(Duration::from_millis(1)).await;
    }
}

async fn text(answer: Result<HlsResponse, HlsError>) -> String {
    let response = answer.expect("an answer").into_response();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("it has an end");
    String::from_utf8(body.to_vec()).expect("text")
}

#[tokio::test(start_paused = true)]
async fn short_outage_keeps_the_playlist_and_long_outage_is_an_error() {
    let context = context();
    let packagers = context.stream(&"cam".parse().unwrap()).unwrap();
    let packager = packagers.copy();
    let rendition = packagers.stream.rendition(Variant::Copy);
    let _player = packager.lease();
    sleep(Duration::from_millis(1)).await;
    publish(rendition, 0.0).await;
    let before = text(media(&packagers, packager, PlaylistReload::default(), Requester::default()).await).await;
    assert!(before.contains("#EXTINF:1.00000,"), "{before}");

    rendition.stop(offline());
    sleep(Duration::from_secs(5)).await;
    assert_eq!(
        text(media(&packagers, packager, PlaylistReload::default(), Requester::default()).await).await,
        before,
        "a short outage"
    );
    // Three target durations of two seconds.
    sleep(Duration::from_millis(1100)).await;
    let refusal =
        media(&packagers, packager, PlaylistReload::default(), Requester::default()).await.expect_err("an outage");
    assert!(matches!(&refusal, HlsError::Offline { message, .. } if &**message == "no route"), "{refusal}");

    publish(rendition, 8.0).await;
    let after = text(media(&packagers, packager, PlaylistReload::default(), Requester::default()).await).await;
    assert_eq!(after.matches("#EXT-X-GAP").count(), 4, "{after}");
    assert_eq!(after.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{after}");
}

#[tokio::test(start_paused = true)]
async fn failed_source_is_reported_and_silent_source_times_out() {
    let context = context();
    let packagers = context.stream(&"cam".parse().unwrap()).unwrap();
    let packager = packagers.copy();
    let begun = Instant::now();
    let silent =
        media(&packagers, packager, PlaylistReload::default(), Requester::default()).await.expect_err("nothing came");
    assert_eq!((silent, begun.elapsed()), (HlsError::Late, SOURCE_START_TIMEOUT));
    packagers.stream.rendition(Variant::Copy).stop(offline());
    let begun = Instant::now();
    let failed =
        media(&packagers, packager, PlaylistReload::default(), Requester::default()).await.expect_err("nothing came");
    assert!(matches!(failed, HlsError::Offline { .. }) && begun.elapsed() < Duration::from_secs(1), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn audio_is_listed_once_the_camera_has_sent_some() {
    let context = context();
    let packagers = context.stream(&"cam".parse().unwrap()).unwrap();
    let _player = packagers.copy().lease();
    sleep(Duration::from_millis(1)).await;
    publish(packagers.stream.rendition(Variant::Copy), 0.0).await;
    let listed = async || {
        let begun = Instant::now();
        let text = text(index(&packagers, 360, Quality::Auto, None).await).await;
        (text.contains("TYPE=AUDIO") && text.contains("AUDIO=\"audio\""), begun.elapsed(), text)
    };
    let (audio, waited, text) = listed().await;
    assert!(!audio && !text.contains("mp4a") && waited.is_zero(), "a camera without audio: {text}");
    let refused = || serve_file(&packagers, ("audio", "media.m3u8"), "", Requester::default());
    assert_eq!(refused().await.expect_err("no audio"), HlsError::NoAudio);

    let source = packagers.stream.audio_buffer();
    source.describe(Some(SourceAudio { codec: SourceCodec::Opus, sample_rate: 48_000, channels: 2 }));
    let (audio, waited, _) = listed().await;
    assert_eq!((audio, waited), (false, AUDIO_START_TIMEOUT), "announced, and never sent");
    assert_eq!(refused().await.expect_err("no audio"), HlsError::NoAudio);

    source.begin(1, Bytes::from_static(b"head"));
    source.push(Bytes::from_static(b"audio"), true);
    let (audio, waited, text) = listed().await;
    assert!(audio && waited.is_zero() && text.contains(",opus\""), "{text}");
    source.set_encoded(true);
    assert!(listed().await.2.contains(",mp4a.40.2\""));
    packagers.stream.audio(AudioForm::AsIs).stop(offline());
    assert!(!listed().await.0, "FFmpeg cannot play it");
}

#[tokio::test(start_paused = true)]
async fn camera_format_decides_the_offered_variants() {
    for (reordering, copy, h264) in [(Reordering::Absent, true, false), (Reordering::Present, false, true)] {
        let context = context();
        let packagers = context.stream(&"cam".parse().unwrap()).unwrap();
        let rendition = packagers.stream.rendition(Variant::Copy);
        rendition.start_epoch(InitSegment { reordering, ..(*media_of::init()).clone() });
        media_of::fragments(30, 0.0).for_each(|fragment| rendition.publish(fragment, clock::unix_ms()));
        let text = text(index(&packagers, 360, Quality::Auto, None).await).await;
        assert_eq!((text.contains("copy/"), text.contains("h264/")), (copy, h264), "{reordering:?}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn quality_limits_the_offered_variants() {
    let context = context();
    let packagers = context.stream(&"cam".parse().unwrap()).unwrap();
    let rendition = packagers.stream.rendition(Variant::Copy);
    let size = Some(sightline_protocol::message::Size { width: 1920, height: 1080 });
    rendition.start_epoch(InitSegment { size, ..(*media_of::init()).clone() });
    media_of::fragments(30, 0.0).for_each(|fragment| rendition.publish(fragment, clock::unix_ms()));
    for (quality, copy, low) in [(Quality::Auto, true, true), (Quality::High, true, false), (Quality::Low, false, true)]
    {
        let text = text(index(&packagers, 360, quality, None).await).await;
        assert_eq!((text.contains("copy/"), text.contains("low/")), (copy, low), "{quality:?}: {text}");
    }
}

//! Clients that request many transcodes.

use super::*;

const OTHER: &str = "198.51.100.1";
const REFUSED: &str = "your address has as many transcodes as one may have (2, half of limits.transcodes = 4)";

/// A relay with four encoders. Its sources fail, because there is no FFmpeg, but an encoder waits for its source and counts.
async fn relay() -> TestRelay {
    let relay = TestRelay::new(|config| {
        config.ffmpeg = "/nonexistent/ffmpeg".into();
        config.limits.transcodes = 4;
    });
    relay.start_sources().await;
    relay
}

/// Requests the H.264 playlist of a stream, by HLS.
async fn playlist(relay: &TestRelay, client: &str, stream: &str) -> String {
    let path = format!("/hls/{stream}/h264/media.m3u8");
    relay.send_from(client, &format!("GET {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n")).await
}

#[tokio::test(start_paused = true)]
async fn one_address_gets_half_of_the_transcodes() {
    let relay = relay().await;
    for stream in ["cam0", "cam1"] {
        let answer = playlist(&relay, CLIENT, stream).await;
        assert!(answer.contains("FFmpeg cannot be started"), "it counts: {answer}");
    }
    for stream in ["cam2", "cam3"] {
        let answer = playlist(&relay, CLIENT, stream).await;
        assert!(status(&answer) == "503" && answer.contains(REFUSED), "{answer}");
    }
    let answer = playlist(&relay, CLIENT, "cam0").await;
    assert!(!answer.contains(REFUSED), "its own streams go on: {answer}");
    // Another client gets what the first one was refused, at once.
    let begun = tokio::time::Instant::now();
    for stream in ["cam2", "cam3"] {
        let answer = playlist(&relay, OTHER, stream).await;
        assert!(answer.contains("FFmpeg cannot be started"), "{answer}");
    }
    assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
    let answer = playlist(&relay, "198.51.100.2", "mixer_program").await;
    assert!(answer.contains("limits.transcodes allows (4)"), "the total is reached: {answer}");
}

#[tokio::test(start_paused = true)]
async fn client_of_this_machine_has_no_share() {
    let relay = relay().await;
    for stream in ["cam0", "cam1", "cam2", "cam3"] {
        let answer = playlist(&relay, "127.0.0.1", stream).await;
        assert!(answer.contains("FFmpeg cannot be started"), "{answer}");
    }
}

//! The rate of one client's requests.

use tokio::time::sleep;

use super::http2::Http2Client;
use super::*;

#[tokio::test(start_paused = true)]
async fn requests_over_the_rate_of_a_client_get_429_by_each_version_of_http() {
    let relay = TestRelay::new(|config| config.limits.requests_per_address = 20);
    let client = Http2Client::to(&relay).await;
    let mut refused = 0;
    for n in 0..100 {
        let (code, text) = match n % 2 {
            0 => client.get("/healthz", "").await,
            _ => {
                let answer = relay.request("GET", "/healthz", "").await;
                (status(&answer).parse().unwrap(), answer)
            }
        };
        match code {
            200 => assert!(refused == 0, "a request after the burst"),
            _ => assert!(code == 429 && text.contains("limits.requests_per_address allows (20 a second)"), "{text}"),
        }
        refused += usize::from(code == 429);
    }
    assert_eq!(refused, 60, "two seconds of the rate at once");
    let other = "GET /healthz HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&relay.send_from("192.0.2.9", other).await), "200");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(status(&relay.request("GET", "/healthz", "").await), "200");
    assert_eq!(relay.metric("", "sightline_rejections_total{code=\"429\"}").await, 60);
}

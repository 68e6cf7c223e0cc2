//! Clients that take an answer too slowly.

use tokio::time::{Instant, sleep};

use super::*;

/// Streams with a catalogue larger than every buffer between the relay and a client.
const STREAMS: usize = 3000;

pub(super) fn relay_with_a_long_catalogue() -> TestRelay {
    TestRelay::new(|config| {
        let source = config.streams[0].clone();
        config.streams = (0..STREAMS).map(|n| (format!("cam{n}").parse().unwrap(), source.clone())).collect();
    })
}

/// Requests the catalogue and reads `piece` bytes each `interval` until the relay closes the connection. Returns the time
/// until then, and whether the answer was complete.
async fn read(relay: &TestRelay, piece: usize, interval: Duration) -> (Duration, bool) {
    let mut connection = relay.connect(CLIENT);
    let request = b"GET /api/streams HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n";
    connection.write_all(request).await.unwrap();
    let (begun, mut answer, mut bytes) = (Instant::now(), Vec::new(), vec![0; piece]);
    'reading: loop {
        sleep(interval).await;
        let mut taken = 0;
        while taken < piece {
            match connection.read(&mut bytes[taken..]).await.expect("memory does not fail") {
                0 => break 'reading,
                length => {
                    answer.extend_from_slice(&bytes[taken..taken + length]);
                    taken += length;
                }
            }
        }
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    (begun.elapsed(), answer.ends_with(b"}"))
}

#[tokio::test(start_paused = true)]
async fn reader_of_70_kb_in_14_s_is_closed() {
    let relay = relay_with_a_long_catalogue();
    let (took, complete) = read(&relay, 70_000, Duration::from_secs(14)).await;
    assert!(!complete && took <= Duration::from_secs(75), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn phone_of_100_kbit_per_second_reads_the_whole_answer() {
    let relay = relay_with_a_long_catalogue();
    let (took, complete) = read(&relay, 1250, Duration::from_millis(100)).await;
    assert!(complete && took > Duration::from_secs(40), "longer than a window: {took:?}");
}

//! Bodies that are too long or never end.

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use super::http2::{Http2Client, LINK, request};
use super::*;
use crate::config::Password;

/// The routes that read a body, without its length.
const ROUTES: [&str; 3] = [
    "POST /login HTTP/1.1\r\nHost: relay\r\nContent-Type: application/x-www-form-urlencoded\r\n",
    "POST /whep/cam0 HTTP/1.1\r\nHost: relay\r\nContent-Type: application/sdp\r\n",
    "PATCH /whep/cam0/1 HTTP/1.1\r\nHost: relay\r\nContent-Type: application/trickle-ice-sdpfrag\r\n",
];

fn locked() -> TestRelay {
    TestRelay::new(|config| config.password = Some(Password::new("open sesame".to_owned())))
}

#[tokio::test(start_paused = true)]
async fn long_form_is_refused_before_it_is_read() {
    let relay = locked();
    for length in ["Content-Length: 2000000\r\n\r\npassword=", "Transfer-Encoding: chunked\r\n\r\n2000\r\npassword="] {
        let mut connection = relay.connect(CLIENT);
        let begun = Instant::now();
        connection.write_all(format!("{}{length}{}", ROUTES[0], "x".repeat(5000)).as_bytes()).await.unwrap();
        let answer = read_to_end(&mut connection).await;
        assert_eq!((status(&answer), begun.elapsed()), ("413", Duration::ZERO), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn body_that_never_ends_is_answered_408_and_closed() {
    let relay = TestRelay::new(|_| {});
    // Handlers that know the answer do not read the body.
    for (route, expected) in ROUTES.into_iter().zip(["408", "404", "404"]) {
        let mut connection = relay.connect(CLIENT);
        let begun = Instant::now();
        connection.write_all(format!("{route}Content-Length: 4000\r\n\r\nx").as_bytes()).await.unwrap();
        let answer = read_to_end(&mut connection).await;
        assert_eq!(status(&answer), expected, "{route} {answer}");
        assert!(begun.elapsed() <= Duration::from_secs(15), "{:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn body_of_a_byte_a_second_is_closed_while_it_comes() {
    let relay = locked();
    let (mut reader, mut writer) = tokio::io::split(relay.connect(CLIENT));
    let begun = Instant::now();
    writer.write_all(format!("{}Content-Length: 4000\r\n\r\n", ROUTES[0]).as_bytes()).await.unwrap();
    let trickle = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    });
    assert_eq!(status(&read_to_end(&mut reader).await), "408");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    trickle.abort();
}

#[tokio::test(start_paused = true)]
async fn body_that_never_ends_is_answered_408_over_http_2() {
    let relay = locked();
    let client = Http2Client::over(relay.connect_http2(CLIENT, true, LINK)).await;
    let kind = "content-type: application/x-www-form-urlencoded";
    // Silent after the first byte, and a byte a second.
    for pause in [3600, 1] {
        let begun = Instant::now();
        let form = request("POST", "https://relay/login", kind);
        let (answer, mut body) =
            client.requests.clone().ready().await.unwrap().send_request(form, false).expect("a request");
        let trickle = tokio::spawn(async move {
            while body.send_data("x".into(), false).is_ok() {
                sleep(Duration::from_secs(pause)).await;
            }
        });
        let status = answer.await.expect("an answer").status();
        assert!(status == 408 && begun.elapsed() <= Duration::from_secs(15), "{status} {:?}", begun.elapsed());
        trickle.abort();
    }
    assert_eq!(client.get("/healthz", "").await.0, 200, "the connection stays");
}

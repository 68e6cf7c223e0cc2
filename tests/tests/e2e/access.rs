//! The password and tokens. Without credentials nothing of a camera is accessible. A password permits everything, a token the
//! streams it names. In a browser and in other players.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sightline_protocol::catalogue::Catalogue;
use sightline_protocol::stream::VariantChoice;
use sightline_tests::browser::{Browser, Rgb};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::http::{Response, send};
use sightline_tests::relay::{Relay, Setup, binary};
use sightline_tests::routes::{GUARDED, is_websocket};
use sightline_tests::run::{until, within};
use sightline_tests::viewer::{PLAYS_H264, Viewer};

const OTHER: Mount = Mount { path: "other", kind: Kind::H264, mark: Rgb(0xc0, 0x40, 0x20) };
const CAM: Mount = Mount { path: "cam", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const PASSWORD: &str = "a wall; of: w\u{f6}rds";
const TEST: Duration = Duration::from_secs(180);
const LIVE: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(10);

const KEY: &str = "a key of thirty-two bytes or more";
/// Tokens made by another implementation (HMAC and Base64 of Python's library): `cam` until 2100.
const FOR_CAM: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjQxMDI0NDQ4MDAsInN0cmVhbXMiOlsiY2FtIl19.NuTiq_dvJEQP3S4rsWHAijpCfncwvnh2E9Syu1_PZC4";
/// `other` until 2100.
const FOR_OTHER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjQxMDI0NDQ4MDAsInN0cmVhbXMiOlsib3RoZXIiXX0.R7fQ3Y9ZoI-q803SEn8UTTQqwdRRbWMlJUpPL0O60eA";
/// `cam` until 2023.
const EXPIRED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjE3MDAwMDAwMDAsInN0cmVhbXMiOlsiY2FtIl19.C565x24I2qUmXmjfmOkjnb0YrAHaclyx2Fqkj2AN8hA";
/// All streams until 2100, signed with another key.
const FOREIGN: &str =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjQxMDI0NDQ4MDB9.KHEGcD5bQItnqrePk5KW96imU8qFG0g1YLK-_-yZi-4";

async fn locked() -> (&'static Camera, Relay) {
    let camera = Camera::shared(&[CAM]).await;
    let setup = Setup::config(camera.config()).env("SIGHTLINE_PASSWORD", PASSWORD).env("SIGHTLINE_TOKEN_KEY", KEY);
    (camera, setup.start().await)
}

async fn ask(relay: &Relay, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
    send(relay.address(), method, path, headers, body.as_bytes().to_vec()).await.expect("an answer")
}

/// The body of a form (URL standard, application/x-www-form-urlencoded).
fn form(password: &str) -> String {
    let escaped: Vec<_> = password.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("password={}", escaped.concat())
}

async fn log_in(relay: &Relay, password: &str) -> Response {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    ask(relay, "POST", "/login", &headers, &form(password)).await
}

/// The cookie that a browser sends after the login.
fn cookie(login: &Response) -> String {
    login.header("set-cookie").split(';').next().expect("a cookie").to_owned()
}

#[test]
fn no_route_reveals_a_camera_without_the_password() {
    within(TEST, async || {
        let (_camera, relay) = locked().await;
        let right = log_in(&relay, PASSWORD).await;
        let cookie = cookie(&right);
        let name = cookie.split('=').next().expect("a name");
        let forged = format!("{name}=99999999999.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        let (expired, foreign) = (format!("Bearer {EXPIRED}"), format!("Bearer {FOREIGN}"));
        for (method, path) in GUARDED {
            for headers in [
                &[][..],
                &[("cookie", forged.as_str())],
                &[("authorization", "Digest x")],
                &[("authorization", expired.as_str())],
            ] {
                let answer = ask(&relay, method, path, headers, "").await;
                // The relay rejects a request that is no opening handshake before it checks credentials. The response reveals
                // no camera.
                let expected = if is_websocket(path) { 426 } else { 401 };
                assert_eq!(answer.status, expected, "{method} {path} with {headers:?}: {}", answer.text());
                // The form contains the requested path.
                let told = answer.text().replace("?stream=cam", "");
                assert!(!told.contains("cam"), "{method} {path}: {told}");
            }
            with_another_s_token(&relay, method, path).await;
        }
        // The relay throttles an invalid token like a wrong password, because it may be one.
        let guess = ask(&relay, "GET", "/api/streams", &[("authorization", &foreign)], "").await;
        assert_eq!(guess.status, 401);
        for v1 in [true, false] {
            let mut viewer =
                if v1 { Viewer::v1(&relay, CAM.path).await } else { Viewer::plain(&relay, CAM.path).await };
            let (message, code, _) = viewer.wait_closed(SOON).await;
            assert!(message.contains("password") && code == Some(4403), "{message} {code:?}");
            assert_eq!(viewer.received(), 0);
        }
        assert!(relay.ffmpegs().is_empty(), "no camera was opened for strangers");
        for secret in [PASSWORD, KEY, FOR_CAM, FOR_OTHER, EXPIRED, FOREIGN] {
            assert!(!relay.log().contains(secret), "{}", relay.log());
        }

        // Public routes.
        for path in ["/healthz", "/sightline-player.js"] {
            assert_eq!(ask(&relay, "GET", path, &[], "").await.status, 200, "{path}");
        }
        let player = ask(&relay, "GET", "/hls/cam/index.m3u8", &[], "").await;
        assert!(player.header("www-authenticate").starts_with("Basic"), "players know how to answer that");
        let browser = ask(&relay, "GET", "/hls/cam/index.m3u8", &[("user-agent", "Mozilla/5.0 (X11)")], "").await;
        assert!(!browser.header("www-authenticate").starts_with("Basic"), "a browser would ask by itself");

        let foreign = [("origin", "https://evil.example"), ("content-type", "application/x-www-form-urlencoded")];
        assert_eq!(ask(&relay, "POST", "/login", &foreign, &form(PASSWORD)).await.status, 403);
        let wrong = log_in(&relay, "wrong").await;
        assert_eq!((wrong.status, wrong.header("set-cookie")), (401, ""));
        assert!(wrong.text().contains("not the password"), "{}", wrong.text());

        assert_eq!((right.status, right.header("location")), (303, "."));
        let catalogue = ask(&relay, "GET", "/api/streams", &[("cookie", &cookie)], "").await;
        assert!(catalogue.status == 200 && catalogue.text().contains("cam"), "{}", catalogue.text());
    });
}

/// A token for another stream permits the page and nothing of `cam`, both in the query and in a header.
async fn with_another_s_token(relay: &Relay, method: &str, path: &str) {
    let is_open = |start: &&str| path.starts_with(start) && !path.starts_with("/api/streams/");
    let ours =
        ["/", "/go2rtc/api/streams"].contains(&path) || ["/?", "/test", "/index.html", "/api/"].iter().any(is_open);
    let expected = match () {
        () if is_websocket(path) => 426,
        () if ours => 200,
        () => 403,
    };
    let bearer = format!("Bearer {FOR_OTHER}");
    let question = if path.contains('?') { '&' } else { '?' };
    let (in_address, expired) =
        (format!("{path}{question}token={FOR_OTHER}"), format!("{path}{question}token={EXPIRED}"));
    for (path, headers) in [(path, &[("authorization", bearer.as_str())][..]), (&in_address, &[])] {
        let answer = ask(relay, method, path, headers, "").await;
        assert_eq!(answer.status, expected, "{method} {path} with {headers:?}: {}", answer.text());
        let told = path.starts_with("/api/streams") && answer.text().contains("cam");
        assert!(!told, "{method} {path}: {}", answer.text());
    }
    let answer = ask(relay, method, &expired, &[], "").await;
    let expected = if is_websocket(path) { 426 } else { 401 };
    assert_eq!(answer.status, expected, "{method} {expired}: {}", answer.text());
    assert!(expected == 426 || answer.text().contains("has expired"), "{method} {expired}: {}", answer.text());
    assert!(!answer.text().contains(EXPIRED), "{method} {expired}: {}", answer.text());
}

/// The stream names in `/api/streams`.
fn names(answer: &Response) -> Vec<String> {
    let catalogue: Catalogue =
        serde_json::from_slice(&answer.body).unwrap_or_else(|e| panic!("{e}: {}", answer.text()));
    catalogue.streams.into_iter().map(|stream| stream.name.to_string()).collect()
}

#[test]
fn token_opens_its_streams_and_no_other() {
    within(TEST, async || {
        let camera = Camera::shared(&[CAM, OTHER]).await;
        let config = format!("{}\n[access]\ntoken_key_file = \"key\"\n", camera.config());
        let (status, text) = Setup::config(&config).refusal().await;
        assert!(!status.success() && text.contains("key of access tokens from"), "{text}");
        let short = Setup::config(camera.config()).env("SIGHTLINE_TOKEN_KEY", "short").refusal().await.1;
        assert!(short.contains("SIGHTLINE_TOKEN_KEY") && short.contains("32") && !short.contains("short"), "{short}");

        // Tokens alone, on all addresses of the machine.
        let everywhere = "0.0.0.0:0".parse().expect("an address");
        let setup = Setup::config(camera.config()).listen(everywhere).env("SIGHTLINE_TOKEN_KEY", KEY);
        let relay = setup.start().await;
        let bearer = format!("Bearer {FOR_CAM}");
        let in_address = format!("/api/streams?token={FOR_CAM}");
        let by_header = ask(&relay, "GET", "/api/streams", &[("authorization", &bearer)], "").await;
        let by_address = ask(&relay, "GET", &in_address, &[], "").await;
        assert_eq!((names(&by_header), names(&by_address)), (vec!["cam".to_owned()], vec!["cam".to_owned()]));
        for (path, sentence) in [
            ("/", "asks for an access token".to_owned()),
            (&*format!("/?token={EXPIRED}"), "has expired".to_owned()),
            (&*format!("/hls/cam/index.m3u8?token={FOREIGN}"), "not one of this relay's".to_owned()),
        ] {
            let answer = ask(&relay, "GET", path, &[], "").await;
            assert!(answer.status == 401 && answer.text().contains(&sentence), "{path}: {}", answer.text());
        }

        // A link: the page's cookie grants the token's permissions for the token's lifetime.
        let page = ask(&relay, "GET", &format!("/?token={FOR_CAM}"), &[], "").await;
        let set = page.header("set-cookie");
        assert!(page.status == 200 && set.contains("HttpOnly") && set.contains("Max-Age="), "{} {set}", page.status);
        let sent = cookie(&page);
        assert_eq!(names(&ask(&relay, "GET", "/api/streams", &[("cookie", &sent)], "").await), ["cam"]);
        let wrong = ask(&relay, "GET", "/hls/other/index.m3u8", &[("cookie", &sent)], "").await;
        assert!(wrong.status == 403 && wrong.text().contains("is not for this"), "{}", wrong.text());

        // A WebSocket client offers the token beside its subprotocol. The relay selects the subprotocol.
        let mut viewer = Viewer::with_token(&relay, CAM.path, FOR_CAM).await;
        viewer.play(&PLAYS_H264, VariantChoice::Auto).await;
        viewer.take_media(3, LIVE).await;
        for (stream, token, sentence) in [
            (OTHER.path, FOR_CAM, "is not for this"),
            (CAM.path, EXPIRED, "has expired"),
            (CAM.path, FOREIGN, "not one"),
        ] {
            let mut viewer = Viewer::with_token(&relay, stream, token).await;
            let (message, code, _) = viewer.wait_closed(SOON).await;
            assert!(message.contains(sentence) && code == Some(4403), "{stream}: {message} {code:?}");
            assert_eq!(viewer.received(), 0);
        }
        for secret in [KEY, FOR_CAM, EXPIRED, FOREIGN] {
            assert!(!relay.log().contains(secret), "{}", relay.log());
        }
    });
}

/// The output of `sightline token`: standard output, or standard error on failure.
async fn issue(arguments: Vec<String>, key: Option<&'static str>) -> Result<String, String> {
    let run = move || {
        let mut command = Command::new(binary());
        command.arg("token").args(arguments).env_remove("SIGHTLINE_TOKEN_KEY");
        command.envs(key.map(|key| ("SIGHTLINE_TOKEN_KEY", key)));
        command.output().expect("the program runs")
    };
    let output = tokio::task::spawn_blocking(run).await.expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn minted_token_works_in_the_address() {
    within(TEST, async || {
        let camera = Camera::shared(&[CAM, OTHER]).await;
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("sightline.toml");
        std::fs::write(folder.path().join("key"), format!("{KEY}\n")).expect("the key is written");
        std::fs::write(&path, format!("{}\n[access]\ntoken_key_file = \"key\"\n", camera.config()))
            .expect("it is written");
        let with = |more: &[&str]| {
            let config = ["--config".to_owned(), path.display().to_string()];
            config.into_iter().chain(more.iter().map(|&word| word.to_owned())).collect::<Vec<_>>()
        };
        let printed = issue(with(&["--stream", "cam", "--for", "10m"]), None).await.expect("a token");
        let token = printed.trim_end().to_owned();
        assert!(printed.lines().count() == 1 && token.matches('.').count() == 2, "{printed}");
        let error = issue(with(&["--stream", "none"]), None).await.expect_err("there is none");
        assert!(error.contains("no stream named none") && error.contains("cam"), "{error}");
        let error = issue(with(&["--stream", "none/*"]), None).await.expect_err("there is none");
        assert!(error.contains("no stream that matches none/*; the configuration has cam"), "{error}");
        let pattern = issue(with(&["--stream", "c*"]), None).await.expect("a token");
        let error = issue(with(&["--for", "soon"]), None).await.expect_err("no time");
        assert!(error.contains("30m"), "{error}");
        let error = issue(vec![], None).await.expect_err("no key");
        assert!(error.contains("SIGHTLINE_TOKEN_KEY"), "{error}");
        let brief = issue(vec!["--for".to_owned(), "1s".to_owned()], Some(KEY)).await.expect("a token");

        let relay = Setup::config(camera.config()).env("SIGHTLINE_TOKEN_KEY", KEY).start().await;
        let url = relay.url(&format!("/hls/cam/index.m3u8?token={token}"));
        let wrong = relay.url(&format!("/hls/other/index.m3u8?token={token}"));
        let listed = ask(&relay, "GET", &format!("/api/streams?token={}", pattern.trim_end()), &[], "").await;
        assert_eq!(names(&listed), [CAM.path]);
        let (read, said) = ffprobe(url).await;
        assert!(read.lines().any(|line| line.starts_with("10")), "{read} {said}");
        let (read, said) = ffprobe(wrong).await;
        assert!(read.trim().is_empty() && said.contains("403"), "{read} {said}");
        let over = async || {
            let answer = ask(&relay, "GET", &format!("/api/streams?token={}", brief.trim_end()), &[], "").await;
            (answer.status == 401 && answer.text().contains("has expired")).then_some(())
        };
        until("a token of a second to end", SOON, over).await;
        assert!(!relay.log().contains(&token), "{}", relay.log());
    });
}

/// The number of packets that ffprobe reads, and its messages.
async fn ffprobe(url: String) -> (String, String) {
    let run = move || {
        let mut command = Command::new("ffprobe");
        command.args(["-v", "error", "-read_intervals", "%+#10", "-count_packets", "-select_streams", "v"]);
        let output = command.args(["-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", &url]).output();
        let output = output.expect("ffprobe is there");
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    tokio::task::spawn_blocking(run).await.expect("it runs")
}

#[test]
fn basic_authentication_opens_every_protocol() {
    within(TEST, async || {
        let (_camera, relay) = locked().await;
        let bearer = format!("Bearer {PASSWORD}");
        let answer = ask(&relay, "GET", "/api/streams", &[("authorization", &bearer)], "").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        // Credentials in the URL (RFC 3986, section 3.2.1) apply to the playlists and all their resources.
        let escaped: Vec<_> = PASSWORD.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let url = format!("http://me:{}@{}/hls/cam/index.m3u8", escaped.concat(), relay.address());
        let wrong = url.replace("me:%", "me:x%");
        let (read, said) = ffprobe(url).await;
        assert!(read.lines().any(|line| line.starts_with("10")), "{read} {said}");
        let (read, said) = ffprobe(wrong).await;
        assert!(read.trim().is_empty() && said.contains("401"), "{read} {said}");
    });
}

#[test]
fn password_guesses_are_limited_without_delaying_the_admitted() {
    within(TEST, async || {
        let (_camera, relay) = locked().await;
        let right = log_in(&relay, PASSWORD).await;
        let cookie = cookie(&right);
        let (address, begun) = (relay.address(), Instant::now());
        let guesses: Vec<_> = (0..40)
            .map(|n| {
                let body = form(&format!("guess {n}")).into_bytes();
                let headers = [("content-type", "application/x-www-form-urlencoded")];
                tokio::spawn(
                    async move { send(address, "POST", "/login", &headers, body).await.expect("an answer").status },
                )
            })
            .collect();
        assert_eq!(ask(&relay, "GET", "/api/streams", &[("cookie", &cookie)], "").await.status, 200);
        let mut statuses = Vec::new();
        for guess in guesses {
            statuses.push(guess.await.expect("a status"));
        }
        let looked_at = statuses.iter().filter(|&&status| status == 401).count();
        // The relay checks four guesses per second and rejects a request that has waited for five seconds.
        assert!((1..=4 * (begun.elapsed().as_secs() as usize + 1)).contains(&looked_at), "{statuses:?}");
        assert!(statuses.contains(&429), "{statuses:?}");
    });
}

#[test]
fn open_access_needs_an_explicit_key() {
    within(TEST, async || {
        let camera = Camera::shared(&[CAM]).await;
        let everywhere = || "0.0.0.0:0".parse().expect("an address");
        let (status, text) = Setup::config(camera.config()).listen(everywhere()).refusal().await;
        assert!(
            !status.success() && text.contains("access.open = true") && text.contains("SIGHTLINE_PASSWORD"),
            "{text}"
        );
        let open = format!("{}\n[access]\nopen = true\n", camera.config());
        let relay = Setup::config(open).listen(everywhere()).start().await;
        assert_eq!(relay.get("/api/streams").await.status, 200);

        let (status, text) = Setup::config(camera.config()).env("SIGHTLINE_PASSWORD", "").refusal().await;
        assert!(!status.success() && text.contains("from SIGHTLINE_PASSWORD: it is empty"), "{text}");

        // A file name is relative to the configuration's folder. A missing file is an error.
        let missing = format!("{}\n[access]\npassword_file = \"none\"\n", camera.config());
        let (status, text) = Setup::config(missing).refusal().await;
        assert!(!status.success() && text.contains("password from") && text.contains("none"), "{text}");
    });
}

/// The output of `sightline password-hash` for `password`.
fn hash(password: &str) -> String {
    let mut command = Command::new(binary());
    command.arg("password-hash").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    child.stdin.take().expect("its input").write_all(format!("{password}\n").as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn changed_password_file_is_in_force_after_a_reload_and_a_bad_one_is_not() {
    within(TEST, async || {
        let camera = Camera::shared(&[CAM]).await;
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join("password");
        let write = |text: &str| std::fs::write(&file, text).expect("the password is written");
        write("the first password");
        let config = format!("{}\n[access]\npassword_file = {file:?}\n", camera.config());
        let mut relay = Setup::config(&config).start().await;
        let first = cookie(&log_in(&relay, "the first password").await);
        let mut viewer = Viewer::with_header(&relay, CAM.path, "cookie", &first).await;
        viewer.play(&PLAYS_H264, VariantChoice::Auto).await;
        viewer.take_media(3, LIVE).await;
        let admitted = async |relay: &Relay, cookie: &str| {
            ask(relay, "GET", "/api/streams", &[("cookie", cookie)], "").await.status == 200
        };

        for bad in ["", "$argon2id$nonsense"] {
            write(bad);
            relay.reload(&config);
            let count = if bad.is_empty() { 1 } else { 2 };
            let told = async || (relay.log().matches("the current configuration stays").count() == count).then_some(());
            until("the log to say so", SOON, told).await;
        }
        assert!(admitted(&relay, &first).await, "the old password stays");
        viewer.take_media(3, LIVE).await;

        let second = hash("the second password");
        write(&second);
        relay.reload(&config);
        let (message, code, _) = viewer.wait_closed(SOON).await;
        assert!(message.contains("was revoked") && code == Some(4403), "{message} {code:?}");
        assert!(!admitted(&relay, &first).await, "logins of the old password ended");
        assert_eq!(log_in(&relay, "the first password").await.status, 401);
        let cookie = cookie(&log_in(&relay, "the second password").await);
        assert!(admitted(&relay, &cookie).await);
        relay.reload(&config);
        assert!(admitted(&relay, &cookie).await, "a reload keeps the logins of an unchanged password");
        for secret in ["the first password", "the second password", second.trim_end(), "nonsense"] {
            assert!(!relay.log().contains(secret), "{}", relay.log());
        }
    });
}

mod browser {
    use super::*;

    #[test]
    fn token_link_opens_the_page_with_its_streams() {
        within(TEST, async || {
            let camera = Camera::shared(&[CAM, OTHER]).await;
            let relay = Setup::config(camera.config()).env("SIGHTLINE_TOKEN_KEY", KEY).start().await;
            Browser::each(async |browser| {
                browser.open(&relay.url(&format!("/?token={FOR_CAM}"))).await;
                browser.wait_live(CAM.path, LIVE).await;
                assert_eq!(browser.streams().await, [CAM.path], "{}", browser.engine());
            })
            .await;
        });
    }

    #[test]
    fn login_form_opens_the_page_until_the_password_changes() {
        within(TEST, async || {
            let (_camera, mut relay) = locked().await;
            let browsers = Browser::start_all().await;
            join_all(browsers.iter().map(|browser| log_in(browser, &relay))).await;

            // Cookies of the old password are invalid, and the pages say so.
            relay.set_env("SIGHTLINE_PASSWORD", "another");
            relay.restart().await;
            join_all(browsers.iter().map(async |browser| {
                let asked = async || browser.text().await.contains("no longer lets this page in").then_some(());
                if tokio::time::timeout(LIVE, until("the page to say so", LIVE * 2, asked)).await.is_err() {
                    panic!("{} does not say so after {LIVE:?}: {}", browser.engine(), browser.text().await);
                }
            }))
            .await;
            relay.set_env("SIGHTLINE_PASSWORD", PASSWORD);
            relay.restart().await;
            join_all(browsers.iter().map(async |browser| {
                browser.reload().await;
                browser.wait_live(CAM.path, LIVE).await;

                browser.script("document.querySelector('.sidebar-open')?.click()", vec![]).await;
                let log_out = async || {
                    let click = "const button = document.querySelector('form[action=logout] button'); button?.click(); return !!button";
                    (browser.script(click, vec![]).await == true).then_some(())
                };
                until(&format!("{}: the button to log out", browser.engine()), SOON, log_out).await;
                let form = async || {
                    let shown = browser.script("return !!document.querySelector('[type=password]')", vec![]).await;
                    (shown == true).then_some(())
                };
                until(&format!("{}: the login form", browser.engine()), SOON, form).await;
            }))
            .await;
        });
    }

    /// Logs in by the form, after a wrong password.
    async fn log_in(browser: &Browser, relay: &Relay) {
        let engine = browser.engine();
        browser.open(&relay.url("/?stream=cam&statistics")).await;
        let submit =
            "document.querySelector('[type=password]').value = arguments[0]; document.querySelector('button').click()";
        browser.script(submit, vec!["wrong".into()]).await;
        let told = async || browser.text().await.contains("not the password").then_some(());
        until(&format!("{engine}: to be told"), SOON, told).await;
        browser.script(submit, vec![PASSWORD.into()]).await;
        let tiles = async || (!browser.streams().await.is_empty()).then_some(());
        until(&format!("{engine}: the page"), SOON, tiles).await;
        browser.wait_live(CAM.path, LIVE).await;
        let place = browser.script("return location.pathname + location.search", vec![]).await;
        assert_eq!(place, "/?stream=cam&statistics", "{engine}: the form returns to the requested page");
    }
}

//! The command line: where the configuration comes from, secrets outside of it, exit statuses, and the import of other programs'
//! configurations.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use sightline_protocol::stream::Variant;
use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind, Login, Mount};
use sightline_tests::namespace;
use sightline_tests::outcome::skip;
use sightline_tests::relay::{Relay, Setup, binary};
use sightline_tests::run::{until, within};
use sightline_tests::viewer::{PLAYS_BOTH, Viewer};

const YARD: Mount = Mount { path: "yard", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const SUB: Mount = Mount { path: "yard_sub", kind: Kind::Sized(320, 180), mark: Rgb(0xc0, 0x40, 0x20) };

const TEST: Duration = Duration::from_secs(90);
const START: Duration = Duration::from_secs(20);
const CHECK: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(10);
/// The configuration of the Debian package.
const PACKAGED: &str = "/etc/sightline/sightline.toml";

/// Runs the relay in `folder` to its end.
fn sightline(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).current_dir(folder).output().expect("the relay runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

async fn shows(relay: &Relay, source: &str, streams: &[&str]) {
    let line = format!("shows {source}");
    until(&line, SOON, async || relay.log().contains(&line).then_some(())).await;
    let catalogue = relay.catalogue().await;
    let names: Vec<_> = catalogue.streams.iter().map(|stream| stream.name.as_str()).collect();
    assert_eq!(names, streams);
}

#[test]
fn configuration_is_found_in_the_folder_or_named_in_three_ways() {
    within(TEST, async || {
        let camera = Camera::shared(&[YARD]).await;
        let (config, other) = (camera.config_of([YARD.path]), camera.stream("other", YARD.path, ""));
        let found = Setup::bare().file("sightline.toml", &config).start().await;
        shows(&found, "the cameras of ./sightline.toml at http://", &[YARD.path]).await;
        let ways: [&[&str]; 3] = [&["cams.toml"], &["-c", "cams.toml"], &["--config=cams.toml"]];
        for words in ways {
            let setup = Setup::bare().file("sightline.toml", &config).file("cams.toml", &other);
            let relay = words.iter().fold(setup, |setup, word| setup.argument(word)).start().await;
            shows(&relay, "the cameras of cams.toml at http://", &["other"]).await;
        }
    });
}

#[test]
fn demo_is_shown_on_request_or_without_a_file_and_says_so() {
    within(TEST, async || {
        let demo = ["cam0", "cam1", "cam2", "cam3", "mixer_program"];
        let asked = Setup::demo().file("sightline.toml", "nonsense = 1").start().await;
        shows(&asked, "the built-in demo streams at http://", &demo).await;
        if Path::new(PACKAGED).exists() {
            return skip(&format!("{PACKAGED} is there"));
        }
        let alone = Setup::bare().start().await;
        let line = format!("the built-in demo streams (there is no ./sightline.toml and no {PACKAGED}) at http://");
        shows(&alone, &line, &demo).await;
    });
}

#[test]
fn unusable_command_line_or_configuration_exits_with_2() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(folder.path().join("sightline.toml"), "lisen = 1\n").expect("the folder is writable");
    let status = |arguments: &[&str], says: &[&str]| {
        let output = sightline(folder.path(), arguments);
        let said = stderr(&output);
        assert!(says.iter().all(|words| said.contains(words)), "{arguments:?}: {said}");
        output.status.code()
    };
    for (arguments, says) in [
        (&[][..], &["./sightline.toml", "line 1", "lisen"][..]),
        (&["check"], &["./sightline.toml", "line 1", "lisen"]),
        (&["check", "gone.toml"], &["gone.toml", "No such file"]),
        (&["-c", "gone.toml"], &["gone.toml", "No such file"]),
        (&["chekc"], &["no command and no file named \"chekc\"", "--help"]),
        (&["-c", "a.toml", "b.toml"], &["two configurations, a.toml and b.toml"]),
        (&["check", "--demo", "b.toml"], &["two configurations, b.toml and --demo"]),
        (&["--demo", "--listen", "8080"], &["--listen", "\"8080\" is not an address with a port", "\":8080\""]),
        (&["--demo", "--listen", "cams:8080"], &["\"cams:8080\" is not an address"]),
    ] {
        assert_eq!(status(arguments, says), Some(2), "{arguments:?}");
    }
    // The configuration is right, and the relay does not start.
    assert_eq!(status(&["--demo", "--listen", "192.0.2.1:80"], &["everybody who reaches"]), Some(1));
    let help = stdout(&sightline(folder.path(), &["check", "--help"]));
    assert!(help.contains("Exit status") && help.contains("[FILE]"), "{help}");
}

#[test]
fn check_takes_a_file_and_prints_json() {
    within(TEST, async || {
        let camera = Camera::shared(&[YARD]).await;
        let folder = tempfile::tempdir().expect("a temporary directory");
        let config = camera.config_of([YARD.path]).replace("[streams.yard]", "[streams.yard]\ntitle = \"The yard\"");
        let config = format!("{config}[streams.gone]\nsource = \"rtsp://viewer:S3cret@127.0.0.1:9/x\"\n");
        std::fs::write(folder.path().join("cams.toml"), config).expect("the folder is writable");
        let path = folder.path().to_owned();
        let arguments = ["check", "cams.toml", "--log-format", "json"];
        let checked = tokio::task::spawn_blocking(move || sightline(&path, &arguments));
        let output = tokio::time::timeout(CHECK, checked).await.expect("it ends").expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = stdout(&output);
        assert!(!text.contains("S3cret") && !stderr(&output).contains("S3cret"), "{output:?}");
        let report: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"));
        assert_eq!((report["configuration"].as_str(), report["ok"].as_bool()), (Some("cams.toml"), Some(false)));
        let stream = |n: usize| &report["streams"][n];
        assert_eq!((stream(0)["name"].as_str(), stream(0)["ok"].as_bool()), (Some("yard"), Some(true)));
        assert_eq!(stream(0)["title"].as_str(), Some("The yard"));
        let codec = stream(0)["variants"][0]["codec"].as_str().unwrap_or_default();
        assert!(codec.starts_with("avc1.") && stream(0)["error"].is_null(), "{text}");
        assert_eq!(stream(1)["ok"].as_bool(), Some(false));
        assert!(stream(1)["error"].as_str().is_some_and(|error| error.contains("cannot be reached")), "{text}");
    });
}

/// In a network without a name server.
#[test]
fn host_name_that_does_not_resolve_is_named_as_the_cause_by_each_reader() {
    namespace::within_network(TEST, async || {
        let stream = |name: &str, source: &str| format!("[streams.{name}]\nsource = \"{source}\"\n");
        let config = stream("direct", "rtsp://admin:S3cret@no-such-camera.lan/x")
            + &stream("ffmpeg", "rtsp://admin:S3cret@no-such-camera.lan/x")
            + "reader = \"ffmpeg\"\n"
            + &stream("http", "http://no-such-camera.lan/x.ts")
            + &stream("at", "rtsp://admin:p@S3/cret@camera/a");
        let (status, table) = Setup::config(config).run("check", CHECK).await;
        assert_eq!(status.code(), Some(1), "{table}");
        let sentence = "the host name in the source's address does not resolve";
        assert_eq!(table.matches(sentence).count(), 4, "{table}");
        assert!(!table.contains("S3") && !table.contains("cret"), "{table}");
    });
}

#[test]
fn secrets_of_the_environment_and_of_files_open_a_camera_and_are_not_logged() {
    within(TEST, async || {
        let locked = Camera::start_with(&[YARD], Some(Login { user: "viewer", password: "S3cret" })).await;
        let url = |login: &str| locked.url(YARD.path).replace("127.0.0.1", &format!("{login}@127.0.0.1"));
        let stream = |name: &str, login: &str| format!("[streams.{name}]\nsource = \"{}\"\n", url(login));
        // FFmpeg's messages and arguments may repeat the address.
        let config = stream("variable", "viewer:${CAM_PASSWORD}")
            + &stream("file", "${CAM_USER}:${file:cam.password}")
            + &stream("ffmpeg", "viewer:${file:cam.password}")
            + "reader = \"ffmpeg\"\n"
            + &stream("wrong", "viewer:${CAM_PASSWORD}x");
        let setup = Setup::config(config).env("CAM_PASSWORD", "S3cret").env("CAM_USER", "viewer");
        let relay = setup.file("cam.password", "S3cret\n").env("RUST_LOG", "trace").start().await;
        for name in ["variable", "file", "ffmpeg"] {
            let mut viewer = Viewer::playing(&relay, name, &PLAYS_BOTH).await;
            viewer.take_media(10, START).await;
        }
        let _viewer = Viewer::playing(&relay, "wrong", &PLAYS_BOTH).await.watch();
        until("the wrong password to be refused", START, async || relay.log().contains("401").then_some(())).await;
        for path in ["/api/streams", "/api/mse/test", "/metrics"] {
            let text = relay.get(path).await.text();
            assert!(!text.contains("S3cret"), "{path}: {text}");
        }
        // A line of the most verbose level only.
        assert!(relay.log().contains("serving /index.html"), "{}", relay.log());
        assert!(!relay.log().contains("S3cret"), "the log holds the password");
    });
}

#[test]
fn missing_secret_refuses_the_start_and_names_key_and_variable() {
    within(TEST, async || {
        for (value, says) in [
            ("${NO_SUCH_VARIABLE}", &["line 2", "streams.a.source", "NO_SUCH_VARIABLE is not set"][..]),
            ("${file:gone}", &["line 2", "streams.a.source", "/gone\"", "No such file"]),
            ("rtsp://u:pa${ss@c/a", &["line 2", "streams.a.source", "$${"]),
        ] {
            let (status, said) = Setup::config(format!("[streams.a]\nsource = \"{value}\"\n")).refusal().await;
            assert_eq!(status.code(), Some(2), "{said}");
            assert!(says.iter().all(|words| said.contains(words)) && !said.contains("pa$"), "{said}");
        }
    });
}

#[test]
fn title_and_group_are_in_the_catalogue_and_a_reload_changes_them_without_a_restart() {
    within(TEST, async || {
        let camera = Camera::start(&[YARD]).await;
        let config = |more: &str| camera.config_of([YARD.path]) + more;
        let mut relay = Setup::config(config("title = \"The yard\"\n")).start().await;
        let label = async |relay: &Relay| {
            let stream = relay.stream(YARD.path).await;
            (stream.title, stream.group)
        };
        assert_eq!(label(&relay).await, (Some("The yard".to_owned()), None));
        let viewer = Viewer::playing(&relay, YARD.path, &PLAYS_BOTH).await.watch();
        until("frames", START, async || (viewer.seen().fragments > 5).then_some(())).await;
        relay.reload(&config("title = \"Yard, north\"\ngroup = \"Outside\"\n"));
        let other = (Some("Yard, north".to_owned()), Some("Outside".to_owned()));
        until("the other title", SOON, async || (label(&relay).await == other).then_some(())).await;
        let seen = viewer.seen().fragments;
        until("more frames", SOON, async || (viewer.seen().fragments > seen + 10).then_some(())).await;
        assert_eq!(viewer.seen().losses, Vec::<String>::new());
        assert_eq!(camera.viewers(YARD.path).total, 1, "the camera was not asked again");
        assert_eq!(relay.variant(YARD.path, Variant::Copy).await.viewers, 1);
    });
}

#[test]
fn imported_configuration_plays_the_camera() {
    within(TEST, async || {
        let camera = Camera::shared(&[YARD, SUB]).await;
        let (main, sub) = (camera.url(YARD.path), camera.url(SUB.path));
        let go2rtc =
            format!("streams:\n  yard: {main}#backchannel=0\n  yard_sub: {sub}\n  picam: exec:libcamera-vid -o -\n");
        let mediamtx = format!("paths:\n  yard:\n    source: {main}\n  yard_sub:\n    source: {sub}\n");
        let frigate = format!(
            "cameras:\n  yard:\n    ffmpeg:\n      inputs:\n        - {{path: \"{sub}\", roles: [detect]}}\n        - {{path: \
             \"{main}\", roles: [record]}}\n"
        );
        let folder = tempfile::tempdir().expect("a temporary directory");
        for (name, text) in [("go2rtc.yaml", go2rtc), ("mediamtx.yml", mediamtx), ("config.yml", frigate)] {
            std::fs::write(folder.path().join(name), text).expect("the folder is writable");
            let output = sightline(folder.path(), &["import", name]);
            assert!(output.status.success(), "{name}: {output:?}");
            assert_eq!(
                stderr(&output).contains("\"picam\": exec: runs a program"),
                name == "go2rtc.yaml",
                "{output:?}"
            );
            let relay = Setup::bare().file("sightline.toml", stdout(&output)).start().await;
            shows(&relay, "the cameras of ./sightline.toml", &[YARD.path]).await;
            let mut viewer = Viewer::playing(&relay, YARD.path, &PLAYS_BOTH).await;
            viewer.take_media(5, START).await;
            let source = |path: &str| stdout(&output).contains(&camera.url(path));
            assert!(source(YARD.path) && source(SUB.path), "{name}: {output:?}");
        }
    });
}

#[test]
fn file_that_cannot_be_imported_is_one_sentence() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    for (name, text, says) in [
        ("broken.yaml", "streams: {a: \"S3cret", "line "),
        ("other.yaml", "password: S3cret", "neither cameras (Frigate), paths (MediaMTX) nor streams (go2rtc)"),
        ("empty.yaml", "streams: {}", "none of its cameras"),
    ] {
        std::fs::write(folder.path().join(name), text).expect("the folder is writable");
        let output = sightline(folder.path(), &["import", name]);
        let said = stderr(&output);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""), "{said}");
        assert!(said.contains(name) && said.contains(says) && !said.contains("S3cret"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

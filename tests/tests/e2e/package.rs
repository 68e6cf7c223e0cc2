//! The package's contents besides the program: shell completions, manual pages of all commands, and a configuration that lacks
//! only the cameras. And the image's container.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::Signal;
use sightline_protocol::stream::Variant;
use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::container::Image;
use sightline_tests::outcome::skip;
use sightline_tests::relay::{Relay, Setup, binary};
use sightline_tests::run::{say, until, within};
use sightline_tests::viewer::{PLAYS_H264, Viewer};

/// Asks bash to complete the word after `sightline`, as its Tab key does.
const TAB: &str = r#"
eval "$1"
COMP_WORDS=(sightline "$2") COMP_CWORD=1
_sightline sightline "$2" sightline
echo "${COMPREPLY[@]}"
"#;
/// Packaged, and named by the systemd unit.
const EXAMPLE: &str = include_str!("../../../contrib/sightline.toml");
const CHECK: Duration = Duration::from_secs(30);
const START: Duration = Duration::from_secs(20);
const CAM: Mount = Mount { path: "cam", kind: Kind::H265, mark: Rgb(0x20, 0x40, 0xc0) };

fn sightline(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).output().expect("the relay runs")
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[test]
fn shell_completions_cover_the_arguments() {
    let script = text(&sightline(&["completions", "bash"]));
    let tab = |word: &str| text(&Command::new("bash").args(["-c", TAB, "bash", &script, word]).output().expect("bash"));
    assert_eq!(tab("che"), "check\n");
    assert_eq!(tab("--lis"), "--listen\n");
    for (shell, start) in [("zsh", "#compdef sightline"), ("fish", "# Print an optspec")] {
        let script = text(&sightline(&["completions", shell]));
        assert!(script.starts_with(start) && script.contains("log-format"), "{shell}: {script}");
    }
    let refused = sightline(&["completions", "tcsh"]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("bash"), "{refused:?}");
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let into = folder.path().join("man");
    text(&sightline(&["man", into.to_str().expect("UTF-8")]));
    let page = |name: &str| std::fs::read_to_string(into.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(page("sightline.1").contains("sightline\\-check(1)") && page("sightline.1").contains("\\-\\-log\\-format"));
    assert!(page("sightline-token.1").contains("\\-\\-stream"));
    assert!(page("sightline-password-hash.1").contains("standard input"));
    assert!(page("sightline-check.1").contains("every source"));
    assert!(page("sightline-import.1").contains("go2rtc"));
    assert_eq!(std::fs::read_dir(&into).expect("it is there").count(), 6, "and nothing that is hidden");

    let nowhere = sightline(&["man", "/proc/nowhere"]);
    let told = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert!(!nowhere.status.success() && told.contains("\"/proc/nowhere\""), "{told}");
}

#[test]
fn example_configuration_needs_only_a_camera() {
    within(CHECK * 2, async || {
        let camera = "rtsp://user:password@192.0.2.10:554/stream1";
        assert!(EXAMPLE.contains(camera));
        let (status, said) = Setup::config(EXAMPLE.replace(camera, "rtsp://127.0.0.1:9/")).run("check", CHECK).await;
        assert!(!status.success() && said.contains("1 of 1 sources") && said.contains("cam0"), "{said}");
    });
}

#[test]
fn systemd_unit_starts_the_packaged_binary() {
    let unit = include_str!("../../../contrib/systemd/sightline.service");
    let (program, config) = ("/usr/bin/sightline", "/etc/sightline/sightline.toml");
    assert!(unit.contains(&format!("\nExecStart={program} --config {config}\n")), "{unit}");
    let manifest = include_str!("../../../relay/Cargo.toml");
    for asset in ["\"usr/bin/\"", "[\"../contrib/sightline.toml\", \"etc/sightline/\", \"640\"]"] {
        assert!(manifest.contains(asset), "{asset}");
    }
    // The maintainer script makes the account, and lets it read the configuration.
    let script = include_str!("../../../contrib/debian/postinst");
    assert!(unit.contains("\nUser=sightline\n") && script.contains("useradd --system"), "{script}");
    assert!(script.contains(&format!("config={config}\n")) && script.contains("chmod 640 \"$config\""), "{script}");
    let verify = |path: &Path| Command::new("systemd-analyze").arg("verify").arg(path).output();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("sightline.service");
    let installed = unit.replace(program, binary().to_str().expect("UTF-8"));
    std::fs::write(&file, installed).expect("the temporary directory is writable");
    match verify(&file) {
        Ok(said) => {
            let about_it = String::from_utf8_lossy(&said.stderr).contains("sightline.service");
            assert!(said.status.success() && !about_it, "{said:?}");
        }
        Err(error) => return say(&format!("SKIPPED: systemd-analyze is not installed: {error}")),
    }
    // In tenths. A webcam, a graphics encoder or a port below 1024 needs one right more each, of which none is given here.
    let mut security = Command::new("systemd-analyze");
    let said = security.args(["security", "--offline=yes", "--threshold=15"]).arg(&file).output().expect("it is there");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
}

/// The user ids of a process, as this machine has them.
fn accounts(pid: i32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("proc(5) has it").to_owned()
}

/// The exit status of the image's health check, in the relay's container.
fn health(image: &Image, folder: &Path, relay: &Relay) -> Option<i32> {
    let words = [image.container(folder), image.health.clone()].concat();
    let address = format!("{}/{}", relay.address().ip(), relay.address().port());
    let output = Command::new(&words[0]).args(&words[1..]).env("SIGHTLINE_HEALTH", address).output();
    output.expect("the machine runs containers").status.code()
}

/// Without Docker: its instructions, in namespaces of this machine's files.
#[test]
fn image_runs_without_rights_on_a_read_only_file_system() {
    within(CHECK * 2, async || {
        let image = Image::of(include_str!("../../../Dockerfile"));
        assert_eq!(image.entrypoint, ["sightline"]);
        assert_eq!(image.arguments, ["--config", "/etc/sightline/sightline.toml"]);
        let folder = tempfile::tempdir().expect("a temporary directory");
        // Every account may write here, if the file system permits it.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("the folder is this test's");
        if let Some(obstacle) = image.obstacle(folder.path()) {
            return skip(&obstacle);
        }

        let camera = Camera::start(&[CAM]).await;
        let config = folder.path().join("sightline.toml");
        std::fs::write(&config, camera.config_by_ffmpeg()).expect("the temporary directory is writable");
        let program = binary().canonicalize().expect("it is there");
        let program = program.to_str().expect("UTF-8").to_owned();
        let arguments = ["--config".to_owned(), config.to_str().expect("UTF-8").to_owned()];
        let mut relay =
            Setup::by([image.container(folder.path()), vec![program], arguments.into()].concat()).start().await;

        // A source, and an encoder that reads it.
        let viewer = Viewer::playing(&relay, CAM.path, &PLAYS_H264).await.watch();
        until("frames", START, async || (viewer.seen().fragments > 25).then_some(())).await;
        assert_eq!(viewer.seen().losses, Vec::<String>::new());
        assert_eq!(relay.variant(CAM.path, Variant::H264).await.viewers, 1);
        let ffmpegs = relay.ffmpegs();
        assert_eq!(ffmpegs.len(), 2, "{ffmpegs:?}");
        let own = rustix::process::geteuid();
        let expected = if own.is_root() { image.user.0.clone() } else { own.as_raw().to_string() };
        for pid in ffmpegs.iter().map(|ffmpeg| ffmpeg.pid).chain([relay.pid()]) {
            assert!(accounts(pid).split_whitespace().all(|account| account == expected), "{}", accounts(pid));
        }
        assert_eq!(health(&image, folder.path(), &relay), Some(0));
        relay.end(Signal::TERM, START).await;
        assert_eq!(health(&image, folder.path(), &relay), Some(1));
    });
}

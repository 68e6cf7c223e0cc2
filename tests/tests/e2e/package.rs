//! The package's contents besides the program: shell completions, manual pages of all commands, and a configuration that lacks
//! only the cameras.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use sightline_tests::relay::{Setup, binary};
use sightline_tests::run::{say, within};

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
    assert_eq!(std::fs::read_dir(&into).expect("it is there").count(), 5, "and nothing that is hidden");

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
    for asset in ["\"usr/bin/\"", "\"etc/sightline/\"", "contrib/sightline.toml"] {
        assert!(manifest.contains(asset), "{asset}");
    }
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

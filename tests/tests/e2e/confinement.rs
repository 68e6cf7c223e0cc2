//! What FFmpeg may use: its memory, its files, its ports.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use sightline_protocol::message::{ServerMessage, StreamState};
use sightline_tests::landlock;
use sightline_tests::outcome::skip;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{until, within};
use sightline_tests::viewer::{Event, PLAYS_BOTH, Viewer};

const TEST: Duration = Duration::from_secs(60);
const START: Duration = Duration::from_secs(20);

/// Writes an FFmpeg that logs "allowed" or "denied" for each of these shell commands.
fn write_ffmpeg(file: &Path, commands: &[(&str, String)]) {
    let probe = |(name, command): &(&str, String)| {
        format!("if ({command}) >/dev/null 2>&1; then echo '{name}: allowed'; else echo '{name}: denied'; fi >&2\n")
    };
    let probes: String = commands.iter().map(probe).collect();
    let limits = "echo core: $(ulimit -c) data: $(ulimit -d) $(grep NoNewPrivs /proc/$$/status) >&2\n";
    let script =
        format!("#!/bin/sh\n[ \"$1\" = -version ] && exec ffmpeg -version\n{probes}{limits}echo probes done >&2\n");
    fs::write(file, script).expect("a script");
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).expect("it can be run");
}

/// The log of a relay with this FFmpeg and a viewer of its stream `cam`.
async fn log_of(relay: &Relay) -> String {
    let _viewer = Viewer::playing(relay, "cam", &PLAYS_BOTH).await.watch();
    until("FFmpeg's last line", START, async || relay.log().contains("probes done").then(|| relay.log())).await
}

#[test]
fn confined_ffmpeg_reads_its_source_and_no_secret_and_writes_nothing() {
    within(TEST, async || {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| folder.path().join(name);
        for name in ["programs", "media", "secrets"] {
            fs::create_dir(at(name)).expect("it is writable");
        }
        let (ffmpeg, own, secret) = (at("programs/ffmpeg"), at("media/own.mp4"), at("secrets/key"));
        for file in [&own, &secret] {
            fs::write(file, "secret").expect("it is writable");
        }
        let (own, secret) = (own.display().to_string(), secret.display().to_string());
        let commands = [
            ("own file", format!("cat {own}")),
            ("write own file", format!("echo >> {own}")),
            ("other file", format!("cat {secret}")),
            ("configuration", "cat test.toml".to_owned()),
            ("new file", format!("echo > {secret}.new")),
            ("remove", format!("rm {secret}")),
            ("another process", "cat /proc/$PPID/cmdline".to_owned()),
            ("signal", "kill -0 $PPID".to_owned()),
        ];
        write_ffmpeg(&ffmpeg, &commands);
        let config = format!(
            "ffmpeg = \"{}\"\n[limits]\nffmpeg_mib = 100\n[streams.cam]\nsource = \"{own}\"\n",
            ffmpeg.display()
        );
        let relay = Setup::config(config).start().await;
        let log = log_of(&relay).await;
        assert!(log.contains("core: 0 data: 102400 NoNewPrivs: 1"), "{log}");
        assert!(log.contains("own file: allowed"), "{log}");
        if !landlock::restricts_files() {
            return skip("the kernel has no Landlock");
        }
        let signals = landlock::restricts_signals();
        for (name, _) in commands.iter().filter(|(name, _)| *name != "own file" && (*name != "signal" || signals)) {
            assert!(log.contains(&format!("{name}: denied")), "{name}: {log}");
        }
    });
}

#[test]
fn ffmpeg_that_needs_more_memory_than_it_may_have_says_so() {
    within(TEST, async || {
        let config = "[limits]\nffmpeg_mib = 100\n[streams.cam]\nsource = \"testsrc2=s=3840x2160\"\n\
                      input_options = [\"-f\", \"lavfi\"]\nencode = \"h264\"\n";
        let relay = Setup::config(config).start().await;
        let mut viewer = Viewer::playing(&relay, "cam", &PLAYS_BOTH).await;
        let said = loop {
            let event = viewer.next_within(START).await.expect("a message");
            if let Event::Message(ServerMessage::State(StreamState::Offline { message, .. })) = event {
                break message;
            }
        };
        assert!(said.contains("memory") && said.contains("limits.ffmpeg_mib"), "{said}");
    });
}

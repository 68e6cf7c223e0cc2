//! A network for one test alone, in a namespace that the kernel removes with the test's last process (network_namespaces(7)).
//! It has addresses outside loopback, and packet filters.
//!
//! The test runs itself again inside, so that relay, camera, driver and browser are inside as well. If the kernel does not
//! permit that, a line that begins with `SKIPPED:` says so.

use std::env;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::Duration;

use crate::browser;
use crate::outcome::{self, skip};
use crate::process::Owned;
use crate::run::{name_of, say, within};

/// This machine's address in the network.
pub const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));

/// A second address, outside the private ranges (RFC 5737).
pub const PUBLIC_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

/// Set in the environment of the test inside the network.
const INSIDE: &str = "SIGHTLINE_TESTS_INSIDE";
/// The time limit for the start and end of the process inside, in addition to the test's.
const AROUND: Duration = Duration::from_secs(40);

/// Runs `test` as [`within`] does, in a new network. The test binary runs again inside, with the test's path.
///
/// # Panics
/// When the test panics, or when a program is missing that browsers' tests require.
pub fn within_network(limit: Duration, test: impl AsyncFn() + Send + 'static) {
    let name = name_of(&test);
    if env::var_os(INSIDE).is_some() {
        lay_cable();
        return within(limit, test);
    }
    if let Some(obstacle) = obstacle() {
        return within(limit, async move || skip(&obstacle));
    }
    within(limit + AROUND, async move || {
        let mut command = unshare();
        command.arg(env::current_exe().expect("the test has a path"));
        command.args(["--exact", &name, "--nocapture", "--test-threads=1"]).env(INSIDE, "1");
        // The outer test writes the record.
        command.env_remove(outcome::RECORDS);
        let mut inside = Owned::start("the test in its network", &mut command).expect("unshare is there");
        let status = inside.wait(limit + AROUND).await;
        inside.stderr.all().iter().for_each(|line| say(line));
        let run = inside.stdout.text().contains("1 passed");
        assert!(status.success() && run, "{status}: {}", inside.stdout.text());
    });
}

/// Why this machine cannot create the network. None if it can.
fn obstacle() -> Option<String> {
    for program in ["unshare", "ip", "nft"] {
        if tool(program, &["--version"]).output().is_err() {
            let missing = format!("{program} is not installed");
            assert!(!browser::required(), "{missing}, and SIGHTLINE_REQUIRE_BROWSERS is set");
            return Some(missing);
        }
    }
    // No package helps if the kernel, or the container around this process, does not permit it.
    let tried = unshare().args(["sh", "-c", "ip link add type veth && nft add table inet tried"]).output();
    let tried = tried.expect("unshare is there");
    let said = String::from_utf8_lossy(&tried.stderr).trim().to_owned();
    (!tried.status.success()).then(|| format!("this machine permits no network namespace, or none of use: {said}"))
}

fn unshare() -> Command {
    let mut command = tool("unshare", &["--net"]);
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command
}

/// A program that some distributions install outside the PATH of users.
fn tool(program: &str, arguments: &[&str]) -> Command {
    let path = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", path);
    command
}

fn run(program: &str, arguments: &str) -> String {
    let output = tool(program, &arguments.split(' ').collect::<Vec<_>>()).output().expect("it was there");
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Sets up loopback and an interface with both addresses: browsers offer WebRTC no loopback address.
fn lay_cable() {
    assert_eq!(run("ip", "-o link show type veth"), "", "this is a network of its own");
    run("ip", "link set lo up");
    run("ip", "link add card type veth peer name plug");
    for address in [ADDRESS, PUBLIC_ADDRESS] {
        run("ip", &format!("addr add {address}/24 dev card"));
    }
    run("ip", "link set card up");
    run("ip", "link set plug up");
}

/// Drops packets of one kind to [`ADDRESS`] silently, until it is dropped. Loopback is unaffected.
#[derive(Debug)]
pub struct Wall(&'static str);

impl Wall {
    /// Drops UDP.
    pub fn against_udp() -> Self {
        Self::build("no_udp", "meta l4proto udp")
    }

    /// Drops TCP, UDP and ICMP, inside [`within_network`] only.
    pub fn against_all() -> Self {
        Self::build("nothing", "meta l4proto { tcp, udp, icmp }")
    }

    fn build(name: &'static str, what: &str) -> Self {
        assert!(env::var_os(INSIDE).is_some(), "only the network of the test's own");
        run("nft", &format!("add table inet {name}"));
        run("nft", &format!("add chain inet {name} wall {{ type filter hook input priority 0 ; }}"));
        run("nft", &format!("add rule inet {name} wall ip daddr {ADDRESS} {what} counter drop"));
        Self(name)
    }

    /// The number of dropped packets.
    ///
    /// # Panics
    /// When nft does not report it.
    pub fn stopped(&self) -> u64 {
        let listed = run("nft", &format!("list table inet {}", self.0));
        let count = listed.split_once("counter packets ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        count.unwrap_or_else(|| panic!("no count in {listed}"))
    }
}

impl Drop for Wall {
    fn drop(&mut self) {
        run("nft", &format!("delete table inet {}", self.0));
    }
}

//! `trunk serve` beside a relay at its default address, as a developer runs it: video by every protocol, and no change to the
//! folder that releases embed.
//!
//! Both default ports are fixed (`Trunk.toml`), so the test runs in its own network namespace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use sightline_tests::browser::{Browser, Engine, Rgb, Tile, TileState};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::namespace;
use sightline_tests::process::Owned;
use sightline_tests::relay::Setup;
use sightline_tests::run::{until, within};

const YARD: Mount = Mount { path: "yard", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const PAGE: &str = "http://127.0.0.1:8081/?stream=yard";
/// A full development build of the client takes two cores some minutes.
const BUILT: Duration = Duration::from_secs(480);
const LIVE: Duration = Duration::from_secs(30);
const MOVING: Duration = Duration::from_secs(2);

/// The mark that `scripts/embed.sh` writes into the page of a release.
const RELEASE: &str = r#"<meta name="sightline-build" content="release" />"#;
const DEVELOPMENT: &str = r#"<meta name="sightline-build" content="debug" />"#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

/// The build time of `dist/`, the client that releases embed. None if it is not built.
fn dist_built() -> Option<SystemTime> {
    fs::metadata(root().join("dist/index.html")).and_then(|page| page.modified()).ok()
}

/// `trunk serve` without arguments, with the tools and the target folder of `make`.
fn trunk_serve() -> Owned {
    // Its compiler yields to the tests that run beside this one.
    let mut command = Command::new("nice");
    command.arg(root().join("scripts/client.sh")).arg("serve").current_dir(root()).env("CARGO_NET_OFFLINE", "true");
    Owned::start("trunk serve", &mut command).expect("bash is there")
}

#[test]
fn trunk_serve_plays_by_every_protocol() {
    namespace::within_network(BUILT + Duration::from_secs(120), async || {
        let Some(browser) = Browser::start(Engine::Chromium).await else { return };
        let dist = dist_built();
        let mut trunk = trunk_serve();
        let served = async || {
            assert!(trunk.exited().is_none(), "trunk serve ended: {}", trunk.stderr.text());
            let page = sightline_tests::http::get(([127, 0, 0, 1], 8081).into(), "/").await.ok()?;
            (page.status == 200).then(|| page.text())
        };
        let page = until("trunk serve to serve the page", BUILT, served).await;
        assert!(page.contains(DEVELOPMENT), "{page}");
        assert_eq!(dist_built(), dist, "trunk serve leaves dist/ alone");

        let camera = Camera::start(&[YARD]).await;
        let _relay = Setup::config(camera.config()).listen(([127, 0, 0, 1], 8080).into()).start().await;
        let auto = browser.engine().auto();
        for (protocol, parameter) in
            [(auto, ""), ("mse", "&protocol=mse"), ("webrtc", "&protocol=webrtc"), ("hls", "&protocol=hls")]
        {
            browser.open(&format!("{PAGE}{parameter}")).await;
            let comes = |tile: &Tile| tile.state == TileState::Live && tile.protocol.as_deref() == Some(protocol);
            browser.wait_for_tile(YARD.path, &format!("a picture by {protocol}"), LIVE, comes).await;
            browser.wait_moving(YARD.path, MOVING, 20, LIVE).await;
            let mark = browser.mark(YARD.path).await;
            assert!(mark.is_like(YARD.mark), "{mark} is shown by {protocol}");
        }
    });
}

#[test]
fn relay_embeds_a_release_build_of_the_client() {
    within(Duration::from_secs(20), async || {
        let page = Setup::demo().start().await.get("/").await.text();
        assert!(page.contains(RELEASE) && !page.contains("/.well-known/trunk/ws"), "{page}");
    });
}

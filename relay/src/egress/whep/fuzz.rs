//! The target `whep`: the bodies of both requests that have one.

use std::sync::{Arc, LazyLock};

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::endpoint::Endpoint;
use super::{bind, fragment};
use crate::config::Webrtc;
use crate::hub::Hub;
use crate::hub::ring::Limits;

/// The endpoint, and what serves its port.
static ENDPOINT: LazyLock<(Runtime, Endpoint)> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("the system has a thread for it");
    let endpoint = runtime.block_on(async {
        let bound = bind(&Webrtc::default(), "127.0.0.1:0".parse().expect("it is an address")).await;
        let hub = Hub::new(["cam".parse().expect("it is a name")], Limits::default(), true);
        let bound = bound.expect("the system has a port for it")?;
        Endpoint::start(bound, Arc::new(hub), CancellationToken::new())
    });
    (runtime, endpoint.expect("it is turned on"))
});

/// See [`crate::fuzz`].
pub fn whep(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let _ = fragment::read(text);
    let _ = ENDPOINT.1.agree(text, None);
}

//! The target `whep`: the bodies of `POST` and `PATCH`.

use std::sync::{Arc, LazyLock};

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::endpoint::Endpoint;
use super::ice_tcp::ConnectionGate;
use super::{bind, sdp_fragment};
use crate::config::Webrtc;
use crate::hub::Hub;
use crate::hub::ring::RingLimits;

/// The endpoint, and the runtime that serves its port.
static ENDPOINT: LazyLock<(Runtime, Endpoint)> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("the system has a thread for it");
    let endpoint = runtime.block_on(async {
        let bound = bind(&Webrtc::default(), "127.0.0.1:0".parse().expect("it is an address")).await;
        let hub = Hub::new(["cam".parse().expect("it is a name")], RingLimits::default(), true);
        let bound = bound.expect("the system has a port for it")?;
        Endpoint::start(bound, Arc::new(hub), ConnectionGate::default_limits(), CancellationToken::new())
    });
    (runtime, endpoint.expect("it is turned on"))
});

/// See [`crate::fuzz`].
pub fn whep(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let _ = sdp_fragment::parse(text);
    for sound in [false, true] {
        let _ = ENDPOINT.1.negotiate(text, None, sound);
    }
}

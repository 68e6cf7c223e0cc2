//! Relays that show each other's streams by way of a NATS server (core NATS: nothing is stored).
//!
//! Each relay announces its streams. A relay with viewers for a stream of another one (an *edge*) tells that relay (the *origin*)
//! its interest. The origin watches its own rendition as one viewer and publishes the fragments once for all edges. At the edge
//! they enter an ordinary rendition of its hub. So a camera has one connection and a variant one encoder, however many relays
//! show them.
//!
//! | module | task |
//! | --- | --- |
//! | [`subject`], [`wire`], [`message`] | the messages |
//! | [`link`] | the connections to the NATS server |
//! | [`presence`] | the relays and their streams, and the names under which they are listed |
//! | [`interests`] | which renditions other relays want |
//! | [`origin`], [`publisher`], [`backlog`] | announces and publishes this relay's streams |
//! | [`edge`], [`remote`], [`follower`] | lists and follows the streams of other relays |
//! | [`clocks`], [`clock_offset`] | the difference of their clocks |
//! | [`stats`] | counters |

pub mod stats;

mod backlog;
mod clock_offset;
mod clocks;
mod edge;
mod follower;
mod interests;
mod link;
mod message;
mod origin;
mod presence;
mod publisher;
mod remote;
mod subject;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::clock;
use crate::config::Cluster;
use crate::hub::Hub;
use edge::Edge;
use link::{LinkLog, NatsLink};
use origin::Origin;
use remote::Context;
use stats::Stats;
use subject::Subjects;

/// Runs the relay's part of the cluster until `shutdown`. A remote rendition without viewers ends after `idle_timeout`.
pub(crate) async fn run(
    config: Cluster,
    hub: Arc<Hub>,
    idle_timeout: Duration,
    stats: Arc<Stats>,
    shutdown: CancellationToken,
) {
    // The client asks for the process's TLS implementation. Fails if there is one already, which is the same.
    let _ = aws_lc_rs::default_provider().install_default();
    info!(name = config.name, publish = config.publish, serve = config.serve, "cluster");
    tokio::select! {
        result = serve(config, hub, idle_timeout, stats) => {
            if let Err(problem) = result {
                error!("the relay runs without the cluster: {problem}");
            }
        }
        () = shutdown.cancelled() => {}
    }
}

async fn serve(config: Cluster, hub: Arc<Hub>, idle_timeout: Duration, stats: Arc<Stats>) -> Result<(), String> {
    let log = Arc::new(LinkLog::default());
    let control = NatsLink::open(&config, "control", log.clone(), stats.clone()).await?;
    let media = NatsLink::open(&config, "media", log, stats.clone()).await?;
    let subjects = Subjects::new(config.subject_prefix);
    let epoch = clock::unix_ms() as u64;
    let origin = async {
        let links = (control.clone(), media.clone());
        match config.publish {
            true => {
                Origin::new(config.name.clone(), epoch, subjects.clone(), (hub.clone(), links), stats.clone())
                    .run()
                    .await
            }
            false => std::future::pending().await,
        }
    };
    let edge = async {
        let context = Context {
            own: config.name.clone(),
            subjects: subjects.clone(),
            media: media.clone(),
            idle_timeout,
            clocks: clocks::Clocks::default(),
            stats: stats.clone(),
        };
        match config.serve {
            true => Edge::new(Arc::new(context), hub.clone(), control.clone()).run(epoch).await,
            false => std::future::pending().await,
        }
    };
    tokio::try_join!(origin, edge).map(|_: ((), ())| ()).map_err(|error| error.to_string())
}

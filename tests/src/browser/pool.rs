//! A pool of one browser per engine for all tests of a process that do not need their own. Starting and ending a browser takes
//! seconds.
//!
//! A test gets the browser with a new window and without cookies. Every relay has another port, so the storage of earlier tests
//! does not apply. A browser is not reused after a failed test. Shared browsers end with the process (see [`crate::process`]).

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fantoccini::Client;
use tokio::runtime::Runtime;
use tokio::sync::{OnceCell, oneshot};

use super::{Browser, Engine, Session};
use crate::http::Server;
use crate::run::until;

/// Keeps the connections of shared browsers alive. A test's own runtime ends with the test.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime")
});

static SHARED: [Mutex<Shared>; Engine::ALL.len()] = [const { Mutex::new(Shared::Absent) }; Engine::ALL.len()];

/// The time limit for opening a window or leaving a page.
const CLEANED: Duration = Duration::from_secs(10);

/// The state of an engine's shared browser.
enum Shared {
    /// Not started, or given up.
    Absent,
    /// In use by a test. A second test that requests it meanwhile gets its own browser.
    InUse,
    /// A test has ended, and its page is being left.
    Returning,
    /// Free.
    Idle(Box<(Client, Session)>),
}

fn shared(engine: Engine) -> MutexGuard<'static, Shared> {
    SHARED[engine as usize].lock().unwrap_or_else(PoisonError::into_inner)
}

/// The shared browser, cleaned. None while a test uses it, or if it cannot be cleaned.
pub(super) async fn take(engine: Engine) -> Option<Browser> {
    let settled = async || (!matches!(*shared(engine), Shared::Returning)).then_some(());
    until("a shared browser to leave its page", CLEANED * 2, settled).await;
    let idle = {
        let mut slot = shared(engine);
        match std::mem::replace(&mut *slot, Shared::InUse) {
            Shared::Idle(idle) => Some(*idle),
            Shared::Absent => {
                *slot = Shared::Absent;
                None
            }
            other => {
                *slot = other;
                None
            }
        }
    };
    let (client, session) = idle?;
    match tokio::time::timeout(CLEANED, clean(&client)).await {
        Ok(Ok(())) => Some(Browser { engine, client, session: Some(session), shared: true }),
        outcome => {
            eprintln!("{engine}: a new browser, since the last one cannot be cleaned: {outcome:?}");
            *shared(engine) = Shared::Absent;
            None
        }
    }
}

/// Reserves the shared browser of this engine if it is absent. After `true` the caller must start it.
pub(super) fn claim(engine: Engine) -> bool {
    let mut slot = shared(engine);
    let absent = matches!(*slot, Shared::Absent);
    if absent {
        *slot = Shared::InUse;
    }
    absent
}

/// The address of a page on the relays' host. A browser deletes only the cookies of the current page's host, on any port. The
/// driver cannot serve the page: geckodriver answers one request at a time.
async fn empty_page() -> &'static str {
    static PAGE: OnceCell<(Server, String)> = OnceCell::const_new();
    let start = async || {
        let server = on_shared_runtime(async || Server::start(HashMap::from([("/", ("text/html", Vec::new()))])).await);
        let server = server.await;
        let url = server.url("/");
        (server, url)
    };
    &PAGE.get_or_init(start).await.1
}

/// Replaces all windows by a new one and deletes the cookies.
async fn clean(client: &Client) -> Result<(), fantoccini::error::CmdError> {
    client.goto(empty_page().await).await?;
    client.delete_all_cookies().await?;
    let old = client.windows().await?;
    let new = client.new_window(false).await?;
    for window in old {
        client.switch_to_window(window).await?;
        client.close_window().await?;
    }
    client.switch_to_window(new.handle).await
}

/// Takes a browser back after a test.
pub(super) fn give_back(engine: Engine, client: Client, session: Session, failed: bool) {
    if failed {
        drop(session);
        *shared(engine) = Shared::Absent;
        return;
    }
    *shared(engine) = Shared::Returning;
    std::thread::spawn(move || {
        let left = RUNTIME.block_on(async { tokio::time::timeout(CLEANED, client.goto("about:blank")).await });
        *shared(engine) =
            if matches!(left, Ok(Ok(()))) { Shared::Idle(Box::new((client, session))) } else { Shared::Absent };
    });
}

/// Runs `start` on the runtime that outlives the test.
pub(super) async fn on_shared_runtime<T: Send + 'static>(start: impl AsyncFnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = sender.send(RUNTIME.block_on(start()));
    });
    receiver.await.expect("the browser starts")
}

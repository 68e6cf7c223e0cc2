//! A bad road: a TCP proxy between browser and relay, on loopback, that behaves like a tunnel on a poor link.
//!
//! As a tunnel's daemon does, it reads at once what the relay sends and keeps it, several megabytes of it, for as long as
//! the link needs: the relay's socket says nothing about the link. Everything can be changed while connections stand.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// What one direction of a connection keeps at most: more than a tunnel does.
const BUFFER: usize = 8 << 20;
/// What is read at a time.
const READ: usize = 16 << 10;
/// A throttled link lets out so much time's worth at once.
const QUANTUM: Duration = Duration::from_millis(5);
/// Larger pieces than this are damaged, in half as many bytes of their middle: these are pictures.
const GARBLED: usize = 600;

/// What the road does to what travels on it.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Added in each direction: at least, and up to so much more, evenly spread.
    delay: (Duration, Duration),
    /// Bytes a second towards the browser.
    rate: Option<u32>,
    /// Nothing moves.
    stalled: bool,
    /// Nothing moves on connections up to this one.
    stranded: u64,
    /// Counts the chunks that were to be damaged on every connection.
    garbled: u64,
    /// Counts the ends that all connections were put to, and whether by a reset.
    ended: (u64, bool),
}

#[derive(Debug)]
struct Shared {
    relay: SocketAddr,
    state: watch::Sender<State>,
    refuse: AtomicBool,
    connections: AtomicU64,
    delivered: AtomicU64,
    random: AtomicU64,
}

/// See the module. It ends with this.
#[derive(Debug)]
pub struct Road {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Road {
    /// A good road to `relay`, on a free port of 127.0.0.1.
    pub async fn to(relay: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            relay,
            state: watch::Sender::new(State::default()),
            refuse: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            random: AtomicU64::new(1),
        });
        let task = tokio::spawn(accept(listener, shared.clone()));
        Self { address, shared, task }
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of a page: `path` starts with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Delays everything, in each direction, by `least` and up to `spread` more. Order is kept.
    pub fn delay(&self, least: Duration, spread: Duration) {
        self.shared.state.send_modify(|state| state.delay = (least, spread));
    }

    /// Lets no more than so many bytes a second through to the browser; none for as many as come.
    pub fn throttle(&self, bytes_per_second: Option<u32>) {
        self.shared.state.send_modify(|state| state.rate = bytes_per_second);
    }

    /// Lets nothing through in either direction, though connections stay open; or lets it go on.
    pub fn stall(&self, stalled: bool) {
        self.shared.state.send_modify(|state| state.stalled = stalled);
    }

    /// Lets nothing through any more on the connections that stand, which stay open; new ones are not affected.
    pub fn strand(&self) {
        let connections = self.connections();
        self.shared.state.send_modify(|state| state.stranded = connections);
    }

    /// Damages some bytes of what every connection carries to the browser next.
    pub fn garble(&self) {
        self.shared.state.send_modify(|state| state.garbled += 1);
    }

    /// Ends every connection where it is, in the middle of a message.
    pub fn cut(&self) {
        self.shared.state.send_modify(|state| state.ended = (state.ended.0 + 1, false));
    }

    /// Resets every connection.
    pub fn reset(&self) {
        self.shared.state.send_modify(|state| state.ended = (state.ended.0 + 1, true));
    }

    /// Closes new connections at once, or lets them through.
    pub fn refuse(&self, refuse: bool) {
        self.shared.refuse.store(refuse, Ordering::Relaxed);
    }

    /// How many connections it has taken.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How many bytes it has delivered to the browser.
    pub fn delivered(&self) -> u64 {
        self.shared.delivered.load(Ordering::Relaxed)
    }
}

impl Drop for Road {
    fn drop(&mut self) {
        self.cut();
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((browser, _)) = listener.accept().await {
        if shared.refuse.load(Ordering::Relaxed) {
            continue;
        }
        let number = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
        // Connections that break are what this is for.
        tokio::spawn({
            let shared = shared.clone();
            async move { drop(carry(Arc::new(browser), number, &shared).await) }
        });
    }
}

async fn carry(browser: Arc<TcpStream>, number: u64, shared: &Arc<Shared>) -> io::Result<()> {
    let relay = Arc::new(TcpStream::connect(shared.relay).await?);
    browser.set_nodelay(true)?;
    relay.set_nodelay(true)?;
    let mut ends = shared.state.subscribe();
    let before = ends.borrow().ended.0;
    let end = async {
        match ends.wait_for(|state| state.ended.0 != before).await {
            Ok(state) => state.ended.1,
            Err(_) => false,
        }
    };
    let (up, down) = (Lane { number, ..Lane::default() }, Lane { number, down: true, ..Lane::default() });
    tokio::select! {
        result = async { tokio::try_join!(up.run(&browser, &relay, shared), down.run(&relay, &browser, shared)) } => {
            result.map(drop)
        }
        reset = end => {
            if reset {
                browser.set_zero_linger()?;
            }
            Ok(())
        }
    }
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Lane {
    number: u64,
    down: bool,
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    /// What waits, and from when on it may leave; empty bytes are the end.
    waiting: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
}

impl Lane {
    async fn run(&self, from: &TcpStream, to: &TcpStream, shared: &Shared) -> io::Result<()> {
        tokio::try_join!(self.take(from, shared), self.give(to, shared)).map(drop)
    }

    async fn take(&self, from: &TcpStream, shared: &Shared) -> io::Result<()> {
        let mut leaves = Instant::now();
        loop {
            while self.lock().bytes > BUFFER {
                self.changed.notified().await;
            }
            let bytes = read(from).await?;
            let ended = bytes.is_empty();
            leaves = leaves.max(Instant::now() + shared.delay());
            {
                let mut queue = self.lock();
                queue.bytes += bytes.len();
                queue.waiting.push_back((leaves, bytes));
            }
            self.changed.notify_waiters();
            if ended {
                return Ok(());
            }
        }
    }

    async fn give(&self, to: &TcpStream, shared: &Shared) -> io::Result<()> {
        let (mut free, mut garbled) = (Instant::now(), shared.state.borrow().garbled);
        loop {
            let changed = self.changed.notified();
            let Some((leaves, mut bytes)) = self.next() else {
                changed.await;
                continue;
            };
            sleep_until(leaves).await;
            let garble = shared.state.borrow().garbled;
            if self.down && bytes.len() > GARBLED && std::mem::replace(&mut garbled, garble) != garble {
                let middle = bytes.len() / 2;
                bytes[middle..middle + GARBLED / 2].fill(0x5a);
            }
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let state = shared.moving(self.number).await;
                let rate = state.rate.filter(|_| self.down);
                let most = rate.map_or(rest.len(), |rate| (f64::from(rate) * QUANTUM.as_secs_f64()).ceil() as usize);
                let (now, after) = rest.split_at(most.clamp(1, rest.len()));
                sleep_until(free).await;
                write(to, now).await?;
                if let Some(rate) = rate {
                    free = free.max(Instant::now() - QUANTUM)
                        + Duration::from_secs_f64(now.len() as f64 / f64::from(rate));
                }
                if self.down {
                    shared.delivered.fetch_add(now.len() as u64, Ordering::Relaxed);
                }
                rest = after;
            }
            self.lock().bytes -= bytes.len();
            self.changed.notify_waiters();
            if bytes.is_empty() {
                // An error, not a success: the connection ends with either of its directions.
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn next(&self) -> Option<(Instant, Vec<u8>)> {
        self.lock().waiting.pop_front()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// The state, once things move.
    async fn moving(&self, number: u64) -> State {
        let mut states = self.state.subscribe();
        let state = states.wait_for(|state| !state.stalled && state.stranded < number).await;
        state.map_or_else(|_| State::default(), |state| *state)
    }

    /// The delay of what comes now (Knuth's MMIX generator: the same in every run).
    fn delay(&self) -> Duration {
        let (least, spread) = self.state.borrow().delay;
        let step = |x: u64| x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = self.random.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |x| Some(step(x)));
        let fraction = (step(random.unwrap_or_default()) >> 11) as f64 / (1u64 << 53) as f64;
        least + spread.mul_f64(fraction)
    }
}

async fn read(from: &TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; READ];
    loop {
        from.readable().await?;
        match from.try_read(&mut bytes) {
            Ok(length) => {
                bytes.truncate(length);
                return Ok(bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn write(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

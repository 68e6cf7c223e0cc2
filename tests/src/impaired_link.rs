//! An impaired link: a TCP proxy between browser and relay, on loopback, that behaves like a tunnel over a poor link.
//!
//! Like a tunnel's daemon, it reads the relay's data immediately and buffers several megabytes for as long as the link needs.
//! The relay's socket therefore shows nothing of the link. All settings can change while connections are open.

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

/// The default buffer limit of one direction of a connection, larger than a tunnel's.
const BUFFER: usize = 8 << 20;
/// The size of a read.
const READ: usize = 16 << 10;
/// A throttled link sends this time's worth of bytes at once.
const QUANTUM: Duration = Duration::from_millis(5);
/// Only chunks larger than this are corrupted: they contain frames. Half as many bytes are overwritten, from the chunk's middle
/// on.
const GARBLED: usize = 600;

/// The link's settings.
#[derive(Debug, Clone, Copy)]
struct State {
    /// The delay of each direction: minimum, and the range of the additional uniform jitter.
    delay: (Duration, Duration),
    /// Bytes per second towards the browser.
    rate: Option<u32>,
    /// The buffer limit of each direction of a connection, in bytes.
    buffer: usize,
    /// Nothing is forwarded.
    stalled: bool,
    /// Nothing is forwarded on connections up to this number.
    stranded: u64,
    /// Counts the requests to corrupt one chunk on every connection.
    garbled: u64,
    /// Counts the requests to end all connections, and whether the last one was a reset.
    ended: (u64, bool),
}

impl Default for State {
    fn default() -> Self {
        Self {
            delay: Default::default(),
            rate: None,
            buffer: BUFFER,
            stalled: false,
            stranded: 0,
            garbled: 0,
            ended: (0, false),
        }
    }
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

/// See the module. Stopped on drop.
#[derive(Debug)]
pub struct ImpairedLink {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl ImpairedLink {
    /// An unimpaired link to `relay`, on a free port of 127.0.0.1.
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

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a page. `path` starts with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Delays each direction by `least` and up to `spread` more. Order is kept.
    pub fn delay(&self, least: Duration, spread: Duration) {
        self.shared.state.send_modify(|state| state.delay = (least, spread));
    }

    /// Limits the rate towards the browser in bytes per second. None removes the limit.
    pub fn throttle(&self, bytes_per_second: Option<u32>) {
        self.shared.state.send_modify(|state| state.rate = bytes_per_second);
    }

    /// Limits the buffer of each direction, so that the relay's socket shows that the link is slow.
    pub fn keep(&self, bytes: usize) {
        self.shared.state.send_modify(|state| state.buffer = bytes);
    }

    /// Stops or resumes forwarding in both directions. Connections stay open.
    pub fn stall(&self, stalled: bool) {
        self.shared.state.send_modify(|state| state.stalled = stalled);
    }

    /// Stops forwarding on existing connections, which stay open. New connections are unaffected.
    pub fn strand(&self) {
        let connections = self.connections();
        self.shared.state.send_modify(|state| state.stranded = connections);
    }

    /// Corrupts some bytes of the next large chunk that every connection carries to the browser.
    pub fn garble(&self) {
        self.shared.state.send_modify(|state| state.garbled += 1);
    }

    /// Ends every connection immediately, in the middle of a message.
    pub fn cut(&self) {
        self.shared.state.send_modify(|state| state.ended = (state.ended.0 + 1, false));
    }

    /// Resets every connection.
    pub fn reset(&self) {
        self.shared.state.send_modify(|state| state.ended = (state.ended.0 + 1, true));
    }

    /// Closes new connections at once, or accepts them again.
    pub fn refuse(&self, refuse: bool) {
        self.shared.refuse.store(refuse, Ordering::Relaxed);
    }

    /// The number of accepted connections.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// The number of bytes delivered to the browser.
    pub fn delivered(&self) -> u64 {
        self.shared.delivered.load(Ordering::Relaxed)
    }
}

impl Drop for ImpairedLink {
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
        // A broken connection is expected here.
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
    /// Buffered chunks with the earliest time each may leave. An empty chunk is the end.
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
            while self.lock().bytes > shared.state.borrow().buffer {
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
    /// The state, once the link forwards on this connection.
    async fn moving(&self, number: u64) -> State {
        let mut states = self.state.subscribe();
        let state = states.wait_for(|state| !state.stalled && state.stranded < number).await;
        state.map_or_else(|_| State::default(), |state| *state)
    }

    /// The delay of the next chunk (Knuth's MMIX generator: the same in every run).
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

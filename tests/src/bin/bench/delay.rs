//! A server's delivery latency: the time between a frame's arrival at this machine and its arrival at a receiver.
//!
//! Servers forward a camera's frame unchanged, so its last bytes identify it in any container. The arrival time at this machine
//! is the `prft` that the relay sends to one of its viewers. It holds for every server, because the relay reads the same
//! camera. The latency of a server that holds frames back, as FFmpeg does, includes that time.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sightline_protocol::fragment::FragmentHead;
use sightline_tests::relay::Relay;
use sightline_tests::viewer::{Event, PLAYS_H264, Viewer, is_init, unix_ms};
use tokio::task::JoinHandle;

/// The number of last bytes that identify a frame. The still area below the camera's noise takes some hundred bytes, which are
/// equal in all frames. No frame of a busy camera is shorter than this.
const TAIL: usize = 4096;
/// The arrival time is an estimate: a server without latency may appear early by this much.
const EARLY_MS: f64 = 20.0;
/// Longer than any interval between two frames.
const SILENCE: Duration = Duration::from_secs(30);

/// A hash of a frame's tail.
type Name = u64;

fn name(tail: &[u8]) -> Name {
    let mut hasher = DefaultHasher::new();
    hasher.write(tail);
    hasher.finish()
}

/// Identifies the frames in an MP4 stream, split anywhere, by the ends of their `mdat` boxes (ISO/IEC 14496-12, section 8.1.1).
#[derive(Debug, Clone, Default)]
struct Names {
    header: Vec<u8>,
    /// The remaining bytes of the current box, and whether it is an `mdat`.
    left: u64,
    media: bool,
    tail: Vec<u8>,
}

impl Names {
    fn feed(&mut self, mut bytes: &[u8], mut found: impl FnMut(Name)) {
        while !bytes.is_empty() {
            if self.left == 0 {
                self.header.push(bytes[0]);
                bytes = &bytes[1..];
                self.read_header();
                continue;
            }
            let (now, rest) = bytes.split_at(bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX)));
            self.left -= now.len() as u64;
            if self.media {
                self.tail.extend_from_slice(&now[now.len().saturating_sub(TAIL)..]);
                self.tail.drain(..self.tail.len().saturating_sub(TAIL));
                if self.left == 0 {
                    found(name(&self.tail));
                }
            }
            bytes = rest;
        }
    }

    fn read_header(&mut self) {
        let [a, b, c, d, ref kind @ ..] = *self.header.as_slice() else { return };
        if kind.len() == 4 {
            self.left = u64::from(u32::from_be_bytes([a, b, c, d])).saturating_sub(8);
            self.media = kind == b"mdat";
            self.header.clear();
            self.tail.clear();
        }
    }
}

/// The frames that receivers got, with their arrival times.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arrivals {
    names: Names,
    all: Arc<Mutex<Vec<(Name, f64)>>>,
}

impl Arrivals {
    /// A handle for another receiver, with the same list.
    pub(crate) fn another(&self) -> Self {
        Self { names: Names::default(), all: self.all.clone() }
    }

    /// Takes the next bytes of this receiver's stream.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let now = unix_ms();
        self.names.feed(bytes, |name| lock(&self.all).push((name, now)));
    }

    /// Records the arrival of a frame without a container.
    pub(crate) fn note(&self, frame: &[u8]) {
        let tail = &frame[frame.len().saturating_sub(TAIL)..];
        lock(&self.all).push((name(tail), unix_ms()));
    }
}

/// The viewer that receives capture times. It leaves on drop.
#[derive(Debug)]
pub(crate) struct Reference {
    captured: Arc<Mutex<HashMap<Name, Vec<f64>>>>,
    task: JoinHandle<()>,
}

impl Reference {
    pub(crate) async fn watch(relay: &Relay, stream: &str) -> Self {
        let mut viewer = Viewer::playing(relay, stream, &PLAYS_H264).await;
        let captured: Arc<Mutex<HashMap<Name, Vec<f64>>>> = Arc::default();
        let all = captured.clone();
        let task = tokio::spawn(async move {
            loop {
                let Event::Media(bytes) = viewer.next(SILENCE).await else { continue };
                let Ok(head) = FragmentHead::read(&bytes) else { continue };
                if let (false, Some(at), Some(tail)) = (is_init(&bytes), head.capture, bytes.last_chunk::<TAIL>()) {
                    lock(&all).entry(name(tail)).or_default().push(at.unix_ms());
                }
            }
        });
        Self { captured, task }
    }

    /// The delivery latencies of all frames that arrived after `from` (ms since 1970), in ms, ascending.
    pub(crate) fn delays(&self, arrivals: &Arrivals, from: f64) -> Vec<f64> {
        let captured = lock(&self.captured);
        let arrived = lock(&arrivals.all);
        let late = arrived.iter().filter(|(_, at)| *at >= from);
        let mut delays: Vec<f64> = late.filter_map(|(name, at)| delay(captured.get(name)?, *at)).collect();
        delays.sort_by(f64::total_cmp);
        delays
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// If several frames have the same tail, uses the last one captured before this arrival.
fn delay(captured: &[f64], at: f64) -> Option<f64> {
    captured.iter().rev().map(|captured| at - captured).find(|delay| *delay > -EARLY_MS)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_that_comes_again_is_of_the_last_frame_before_it() {
        assert_eq!(delay(&[1000.0, 5000.0], 1080.0), Some(80.0));
        assert_eq!(delay(&[1000.0, 5000.0], 4999.0), Some(-1.0), "an estimate");
        assert_eq!(delay(&[5000.0], 1080.0), None);
    }

    #[test]
    fn frames_are_named_by_their_last_bytes_however_they_arrive() {
        let boxed = |kind: &[u8; 4], body: &[u8]| {
            let size = u32::try_from(8 + body.len()).expect("it is short");
            [&size.to_be_bytes(), &kind[..], body].concat()
        };
        let frame = [vec![1; 40], vec![2; TAIL]].concat();
        let stream = [boxed(b"free", &[]), boxed(b"mdat", &frame), boxed(b"mdat", &[3; 16])].concat();
        for chunk in [1, 5, 1000] {
            let (mut names, mut found) = (Names::default(), Vec::new());
            stream.chunks(chunk).for_each(|bytes| names.feed(bytes, |name| found.push(name)));
            assert_eq!(found, [name(&[2; TAIL]), name(&[3; 16])], "in chunks of {chunk}");
        }
    }
}

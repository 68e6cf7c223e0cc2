//! A link with a bottleneck before which a tunnel's daemon buffers without end.

use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// What a link is like.
#[derive(Clone)]
pub(super) struct Shape {
    /// From which millisecond on it carries how many kilobits a second.
    kbps: Vec<(u64, u64)>,
    /// Milliseconds each way, and by how much they vary either way.
    pub(super) delay: (u64, u64),
    /// From when on it takes how many milliseconds more.
    longer: (u64, u64),
    /// From when on it varies by how many milliseconds either way.
    restless: (u64, u64),
}

impl Shape {
    pub(super) fn new(kbps: u64, delay: (u64, u64)) -> Self {
        Self { kbps: vec![(0, kbps)], delay, longer: (0, 0), restless: (0, delay.1) }
    }

    /// It carries so much from then on.
    pub(super) fn then(mut self, from: u64, kbps: u64) -> Self {
        self.kbps.push((from, kbps));
        self
    }

    /// The way there takes so much longer from then on.
    pub(super) fn lengthened(self, from: u64, by: u64) -> Self {
        Self { longer: (from, by), ..self }
    }

    /// It takes so much longer from then on, and varies by so much.
    pub(super) fn restless(self, from: u64, (by, vary): (u64, u64)) -> Self {
        Self { longer: (from, by), restless: (from, vary), ..self }
    }

    fn kbps(&self, now: u64) -> u64 {
        self.kbps[self.kbps.partition_point(|&(from, _)| from <= now) - 1].1
    }
}

/// Bytes that WebSocket, TLS, TCP and IP add to a message.
const HEADERS: usize = 80;

/// One direction; messages arrive in the order they were sent in.
pub(super) struct Way<T> {
    shape: Shape,
    random: StdRng,
    /// Bits still to be served, message, oldest first.
    waiting: VecDeque<(u64, T)>,
    /// When it arrives, message.
    flying: VecDeque<(u64, T)>,
}

impl<T> Way<T> {
    pub(super) fn new(shape: Shape, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { shape, random, waiting: VecDeque::new(), flying: VecDeque::new() }
    }

    pub(super) fn send(&mut self, bytes: usize, message: T) {
        self.waiting.push_back(((bytes + HEADERS) as u64 * 8, message));
    }

    /// What arrives in this millisecond.
    pub(super) fn step(&mut self, now: u64) -> Vec<T> {
        // Kilobits a second are bits a millisecond.
        let mut served = self.shape.kbps(now);
        while let Some((bits, _)) = self.waiting.front_mut() {
            if *bits > served {
                *bits -= served;
                break;
            }
            served -= *bits;
            let (_, message) = self.waiting.pop_front().expect("it is there");
            let (delay, mut vary) = self.shape.delay;
            if now >= self.shape.restless.0 {
                vary = self.shape.restless.1;
            }
            let (from, by) = self.shape.longer;
            let delay = if now >= from { delay + by } else { delay };
            let delay = delay - vary + self.random.random_range(0..=2 * vary);
            let earliest = self.flying.back().map_or(0, |last| last.0);
            self.flying.push_back(((now + delay).max(earliest), message));
        }
        let arrived = self.flying.partition_point(|message| message.0 <= now);
        self.flying.drain(..arrived).map(|message| message.1).collect()
    }
}

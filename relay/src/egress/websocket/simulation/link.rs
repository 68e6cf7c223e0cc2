//! A link with a bottleneck, behind a tunnel daemon with an unlimited buffer.

use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// The properties of a link.
#[derive(Clone)]
pub(super) struct LinkProfile {
    /// Capacity in kbit/s from the given millisecond on.
    kbps: Vec<(u64, u64)>,
    /// One-way delay in milliseconds, and its jitter in either direction.
    pub(super) delay: (u64, u64),
    /// Additional delay in milliseconds, from the given millisecond on.
    longer: (u64, u64),
    /// Jitter in milliseconds in either direction, from the given millisecond on.
    restless: (u64, u64),
}

impl LinkProfile {
    pub(super) fn new(kbps: u64, delay: (u64, u64)) -> Self {
        Self { kbps: vec![(0, kbps)], delay, longer: (0, 0), restless: (0, delay.1) }
    }

    /// Changes the capacity from then on.
    pub(super) fn then(mut self, from: u64, kbps: u64) -> Self {
        self.kbps.push((from, kbps));
        self
    }

    /// Adds delay on the path to the viewer from then on.
    pub(super) fn lengthened(self, from: u64, by: u64) -> Self {
        Self { longer: (from, by), ..self }
    }

    /// Adds delay and replaces the jitter from then on.
    pub(super) fn restless(self, from: u64, (by, vary): (u64, u64)) -> Self {
        Self { longer: (from, by), restless: (from, vary), ..self }
    }

    fn kbps(&self, now: u64) -> u64 {
        self.kbps[self.kbps.partition_point(|&(from, _)| from <= now) - 1].1
    }
}

/// Bytes that WebSocket, TLS, TCP and IP add to a message.
const HEADERS: usize = 80;

/// One direction of a link. Messages arrive in order.
pub(super) struct LinkDirection<T> {
    profile: LinkProfile,
    random: StdRng,
    /// Bits still to be served and the message, oldest first.
    waiting: VecDeque<(u64, T)>,
    /// Arrival time and message.
    flying: VecDeque<(u64, T)>,
}

impl<T> LinkDirection<T> {
    pub(super) fn new(profile: LinkProfile, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { profile, random, waiting: VecDeque::new(), flying: VecDeque::new() }
    }

    pub(super) fn send(&mut self, bytes: usize, message: T) {
        self.waiting.push_back(((bytes + HEADERS) as u64 * 8, message));
    }

    /// The messages that arrive in this millisecond.
    pub(super) fn step(&mut self, now: u64) -> Vec<T> {
        // kbit/s are bits per millisecond.
        let mut served = self.profile.kbps(now);
        while let Some((bits, _)) = self.waiting.front_mut() {
            if *bits > served {
                *bits -= served;
                break;
            }
            served -= *bits;
            let (_, message) = self.waiting.pop_front().expect("it is there");
            let (delay, mut vary) = self.profile.delay;
            if now >= self.profile.restless.0 {
                vary = self.profile.restless.1;
            }
            let (from, by) = self.profile.longer;
            let delay = if now >= from { delay + by } else { delay };
            let delay = delay - vary + self.random.random_range(0..=2 * vary);
            let earliest = self.flying.back().map_or(0, |last| last.0);
            self.flying.push_back(((now + delay).max(earliest), message));
        }
        let arrived = self.flying.partition_point(|message| message.0 <= now);
        self.flying.drain(..arrived).map(|message| message.1).collect()
    }
}

//! The tap: the audio of a source as FFmpeg copied it, whatever its codec, for those who bring it into a form that
//! browsers play.
//!
//! Bytes of NUT enter, once for each run of the source, and leave for any number of listeners. What is kept is what came
//! since the syncpoint before the newest: between one and two times some 32 KiB of FFmpeg's, which are seconds, and never more
//! than [`RECENT_MAX`], of which the oldest goes. A listener begins with the headers and all of it, so that there is sound
//! for the picture that its viewer begins with. A listener that had not taken what went begins anew.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use crate::nut::SourceAudio;

/// FFmpeg writes a syncpoint every 32 KiB, or a frame later; some times that.
const RECENT_MAX: usize = 256 * 1024;

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Tap {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    /// What audio the source has, or had when it last ran.
    audio: Option<SourceAudio>,
    /// Whether FFmpeg could not copy it.
    refused: bool,
    run: Option<Arc<Run>>,
    recent: VecDeque<Bytes>,
    bytes: usize,
    /// The number of `recent[0]`; numbers go on over runs.
    first: u64,
    /// The number of the newest piece that begins with a syncpoint, and of the one before that.
    sync: u64,
    sync_before: u64,
}

/// One run of the source, as far as its audio is concerned.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    /// Which timeline of the source its times are on.
    pub timeline: u32,
    /// What audio it is.
    pub audio: SourceAudio,
    /// The headers.
    pub head: Bytes,
}

impl Tap {
    /// What audio the source has, or had when it last ran; none where that is not known.
    pub fn audio(&self) -> Option<SourceAudio> {
        self.lock().audio.clone()
    }

    /// The source runs, and has this audio or none.
    pub fn describe(&self, audio: Option<SourceAudio>) {
        self.lock().audio = audio;
    }

    /// FFmpeg cannot copy the source's audio: nobody tries again while the relay runs.
    pub fn refuse(&self) {
        self.lock().refused = true;
    }

    /// Whether [`Self::refuse`] was called.
    pub fn is_refused(&self) -> bool {
        self.lock().refused
    }

    /// Media of the run on that timeline, with these headers, follows.
    pub fn begin(&self, timeline: u32, head: Bytes) {
        let mut state = self.lock();
        state.clear();
        state.run = state.audio.clone().map(|audio| Arc::new(Run { timeline, audio, head }));
        drop(state);
        self.changed.send_replace(());
    }

    /// The newest media, and whether it begins with a syncpoint.
    pub fn push(&self, bytes: Bytes, sync: bool) {
        let mut state = self.lock();
        state.bytes += bytes.len();
        state.recent.push_back(bytes);
        if sync {
            let newest = state.end() - 1;
            state.sync_before = std::mem::replace(&mut state.sync, newest);
            state.forget(|state| state.first < state.sync_before);
        }
        state.forget(|state| state.bytes > RECENT_MAX);
        drop(state);
        self.changed.send_replace(());
    }

    /// The run has ended.
    pub fn end(&self) {
        let mut state = self.lock();
        state.clear();
        state.run = None;
        drop(state);
        self.changed.send_replace(());
    }

    /// Waits for a run, and gives what follows of it.
    pub async fn listen(self: &Arc<Self>) -> Listener {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(listener) = self.listener(changed.clone()) {
                return listener;
            }
            // The sender lives in the tap.
            let _ = changed.changed().await;
        }
    }

    fn listener(self: &Arc<Self>, changed: watch::Receiver<()>) -> Option<Listener> {
        let state = self.lock();
        let run = state.run.clone()?;
        let all = state.first <= state.sync_before;
        let next = if all { state.sync_before } else { state.sync.max(state.first) };
        Some(Listener { tap: self.clone(), run, next, changed })
    }

    // A panic while the lock was held leaves a piece of audio missing at worst.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The number that the next piece will get.
    fn end(&self) -> u64 {
        self.first + self.recent.len() as u64
    }

    fn clear(&mut self) {
        self.first = self.end();
        self.recent.clear();
        self.bytes = 0;
        (self.sync, self.sync_before) = (self.first, self.first);
    }

    /// Lets go of the oldest pieces as long as `excess` says so.
    fn forget(&mut self, excess: impl Fn(&Self) -> bool) {
        while excess(self)
            && let Some(gone) = self.recent.pop_front()
        {
            self.bytes -= gone.len();
            self.first += 1;
        }
    }
}

/// A place in a run of a [`Tap`].
#[derive(Debug)]
pub struct Listener {
    tap: Arc<Tap>,
    run: Arc<Run>,
    /// The number of the piece to take next.
    next: u64,
    changed: watch::Receiver<()>,
}

impl Listener {
    /// The run that is listened to.
    pub fn run(&self) -> &Arc<Run> {
        &self.run
    }

    /// The next bytes; none when the run has ended, or this listener has missed some. Cancel-safe.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.changed.mark_unchanged();
            {
                let state = self.tap.lock();
                let same = state.run.as_ref().is_some_and(|run| Arc::ptr_eq(run, &self.run));
                let missed = self.next < state.first;
                if !same || missed {
                    return None;
                }
                if let Some(bytes) = state.recent.get((self.next - state.first) as usize) {
                    self.next += 1;
                    return Some(bytes.clone());
                }
            }
            let _ = self.changed.changed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nut::SourceCodec;
    use std::time::Duration;
    use tokio::time::timeout;

    fn tap() -> Arc<Tap> {
        let tap = Arc::new(Tap::default());
        tap.describe(Some(SourceAudio { codec: SourceCodec::Aac, sample_rate: 48_000, channels: 2 }));
        tap
    }

    /// What can be had at once.
    async fn all(listener: &mut Listener) -> (Vec<u8>, bool) {
        let mut got = Vec::new();
        loop {
            match timeout(Duration::from_secs(1), listener.next()).await {
                Ok(Some(bytes)) => got.extend(&bytes),
                Ok(None) => return (got, true),
                Err(_) => return (got, false),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_begins_with_the_syncpoint_before_the_newest() {
        let tap = tap();
        tap.begin(5, Bytes::from_static(b"head"));
        for (bytes, sync) in [(&b"a"[..], true), (b"b", false), (b"C", true), (b"d", false)] {
            tap.push(Bytes::from_static(bytes), sync);
        }
        let mut listener = tap.listen().await;
        assert_eq!((listener.run().timeline, &listener.run().head[..]), (5, &b"head"[..]));
        assert_eq!(all(&mut listener).await, (b"abCd".to_vec(), false));
        for (bytes, sync) in [(&b"e"[..], false), (b"F", true), (b"g", false)] {
            tap.push(Bytes::from_static(bytes), sync);
        }
        assert_eq!(
            all(&mut listener).await,
            (b"eFg".to_vec(), false),
            "what was not taken before a syncpoint is there"
        );
        assert_eq!(all(&mut tap.listen().await).await, (b"CdeFg".to_vec(), false));
        assert_eq!(tap.lock().bytes, 5, "from the syncpoint before on");
        tap.end();
        assert_eq!(all(&mut listener).await, (Vec::new(), true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_waits_for_a_run_and_belongs_to_it() {
        let tap = tap();
        let waiting = tokio::spawn({
            let tap = tap.clone();
            async move { tap.listen().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        tap.begin(1, Bytes::from_static(b"one"));
        let mut listener = waiting.await.unwrap();
        tap.begin(2, Bytes::from_static(b"two"));
        assert_eq!(all(&mut listener).await, (Vec::new(), true));
        assert_eq!(tap.listen().await.run().timeline, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_is_bounded_and_who_misses_some_begins_anew() {
        let tap = tap();
        tap.begin(1, Bytes::from_static(b"head"));
        let mut slow = tap.listen().await;
        let piece = Bytes::from(vec![0; 1000]);
        for _ in 0..1000 {
            tap.push(piece.clone(), false);
            assert!(tap.lock().bytes <= RECENT_MAX);
        }
        assert_eq!(all(&mut slow).await, (Vec::new(), true));
    }
}

//! Keeps the last seconds of a source's audio as the source's reader copied it, in any codec, for the encoder that makes it playable.
//!
//! Input is NUT, one file per run of the source. Output is the same bytes, for any number of listeners. The buffer holds the
//! media since the second newest syncpoint: one to two times 32 KiB of FFmpeg's output, which are seconds, and at most
//! [`RECENT_MAX`]. When full, it drops the oldest bytes. A listener starts with the headers and everything in the buffer, so
//! that audio covers the video that its viewer starts with. A listener that falls out of the buffer starts again.
//!
//! G.711 that the relay reads itself is there in packets, too ([`g711`]).

pub mod g711;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sightline_media::nut::SourceAudio;
use tokio::sync::watch;

use g711::{G711, G711Packet};

/// FFmpeg writes a syncpoint every 32 KiB, at the next frame; this is a multiple of that.
const RECENT_MAX: usize = 256 * 1024;

/// See the [module](self).
#[derive(Debug, Default)]
pub struct AudioBuffer {
    state: Mutex<BufferState>,
    changed: watch::Sender<()>,
    /// Notified when [`AudioBuffer::known`] may have changed.
    described: watch::Sender<()>,
}

/// The knowledge of a source's audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownAudio {
    /// The source has not run yet.
    Unknown,
    /// The source has no audio.
    Absent,
    /// The source has audio, now or in its last run.
    Present {
        /// The law of its packets, if it is G.711 that viewers may get unchanged ([`g711`]).
        g711: Option<G711>,
    },
}

/// A piece of the media.
#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    /// The packet that the piece holds, if the relay reads G.711 itself.
    packet: Option<G711Packet>,
}

#[derive(Debug, Default)]
struct BufferState {
    /// The source's audio format, now or in its last run.
    audio: Option<SourceAudio>,
    /// The law of the G.711 packets.
    g711: Option<G711>,
    /// Whether it is known what audio the source has, if any.
    described: bool,
    /// Whether FFmpeg could not copy the audio.
    refused: bool,
    /// Whether viewers get AAC, whatever the format is.
    encoded: bool,
    run: Option<Arc<AudioRun>>,
    recent: VecDeque<Piece>,
    bytes: usize,
    /// The sequence number of `recent[0]`. Numbers continue across runs.
    first: u64,
    /// The sequence numbers of the newest and the second newest piece that begins with a syncpoint.
    sync: u64,
    sync_before: u64,
}

/// The audio of one run of the source.
#[derive(Debug, PartialEq, Eq)]
pub struct AudioRun {
    /// The source's timeline that its times are on.
    pub timeline: u32,
    /// The audio format.
    pub audio: SourceAudio,
    /// The NUT headers.
    pub head: Bytes,
    /// The law of its packets, if it is G.711 that the relay reads itself.
    pub g711: Option<G711>,
}

impl AudioBuffer {
    /// The source's audio format, now or in its last run. `None` if it is unknown.
    pub fn audio(&self) -> Option<SourceAudio> {
        self.lock().audio.clone()
    }

    /// Whether the source has audio, or may have it: it is unknown before the source first runs.
    pub fn may_have_audio(&self) -> bool {
        self.known() != KnownAudio::Absent
    }

    /// The knowledge of the source's audio.
    pub fn known(&self) -> KnownAudio {
        let state = self.lock();
        match &state.audio {
            Some(_) => KnownAudio::Present { g711: state.g711.filter(|_| !state.encoded) },
            None if state.described || state.refused => KnownAudio::Absent,
            None => KnownAudio::Unknown,
        }
    }

    /// Notifies of changes of [`Self::known`].
    pub fn described(&self) -> watch::Receiver<()> {
        self.described.subscribe()
    }

    /// Begins another source, of which nothing is known. If its audio is not `offered`, it counts as a source without audio.
    pub fn reset(&self, offered: bool) {
        let mut state = self.lock();
        (state.audio, state.g711, state.described) = (None, None, !offered);
        drop(state);
        self.described.send_replace(());
    }

    /// Sets the audio format of the running source; `None` if it has no audio.
    pub fn describe(&self, audio: Option<SourceAudio>) {
        self.describe_packets(audio, None);
    }

    /// The same. With `g711`, [`Self::push_packet`] appends all media.
    pub fn describe_packets(&self, audio: Option<SourceAudio>, g711: Option<G711>) {
        let mut state = self.lock();
        (state.audio, state.g711, state.described) = (audio, g711, true);
        drop(state);
        self.described.send_replace(());
    }

    /// Records that FFmpeg cannot copy the source's audio. The relay does not try again while it runs.
    pub fn refuse(&self) {
        self.lock().refused = true;
        self.described.send_replace(());
    }

    /// Whether [`Self::refuse`] was called.
    pub fn is_refused(&self) -> bool {
        self.lock().refused
    }

    /// Sets whether viewers get AAC, whatever the format is.
    pub fn set_encoded(&self, encoded: bool) {
        self.lock().encoded = encoded;
    }

    /// Whether viewers get AAC, whatever the format is.
    pub fn is_encoded(&self) -> bool {
        self.lock().encoded
    }

    /// Starts a run on `timeline` with these NUT headers.
    pub fn begin(&self, timeline: u32, head: Bytes) {
        let mut state = self.lock();
        state.clear();
        let g711 = state.g711;
        state.run = state.audio.clone().map(|audio| Arc::new(AudioRun { timeline, audio, head, g711 }));
        drop(state);
        self.changed.send_replace(());
    }

    /// Appends media. `sync` says whether it begins with a syncpoint.
    pub fn push(&self, bytes: Bytes, sync: bool) {
        self.push_piece(Piece { bytes, packet: None }, sync);
    }

    /// Appends the media of one packet of G.711.
    pub fn push_packet(&self, bytes: Bytes, sync: bool, packet: G711Packet) {
        self.push_piece(Piece { bytes, packet: Some(packet) }, sync);
    }

    fn push_piece(&self, piece: Piece, sync: bool) {
        let mut state = self.lock();
        state.bytes += piece.bytes.len();
        state.recent.push_back(piece);
        if sync {
            let newest = state.end() - 1;
            state.sync_before = std::mem::replace(&mut state.sync, newest);
            state.evict(|state| state.first < state.sync_before);
        }
        state.evict(|state| state.bytes > RECENT_MAX);
        drop(state);
        self.changed.send_replace(());
    }

    /// Ends the run.
    pub fn end(&self) {
        let mut state = self.lock();
        state.clear();
        state.run = None;
        drop(state);
        self.changed.send_replace(());
    }

    /// Waits until a run has media. Cancel-safe.
    pub async fn heard(&self) {
        let mut changed = self.changed.subscribe();
        while !self.is_heard() {
            // Cannot fail: the sender lives in the audio buffer.
            let _ = changed.changed().await;
        }
    }

    fn is_heard(&self) -> bool {
        let state = self.lock();
        state.run.is_some() && state.bytes > 0
    }

    /// Waits for a run and returns a listener to it.
    pub async fn listen(self: &Arc<Self>) -> AudioListener {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(listener) = self.listener(changed.clone()) {
                return listener;
            }
            // Cannot fail: the sender lives in the audio buffer.
            let _ = changed.changed().await;
        }
    }

    fn listener(self: &Arc<Self>, changed: watch::Receiver<()>) -> Option<AudioListener> {
        let state = self.lock();
        let run = state.run.clone()?;
        let all = state.first <= state.sync_before;
        let next = if all { state.sync_before } else { state.sync.max(state.first) };
        Some(AudioListener { audio_buffer: self.clone(), run, next, changed })
    }

    // A panic while the lock was held leaves at worst a piece of audio missing.
    fn lock(&self) -> MutexGuard<'_, BufferState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BufferState {
    /// The sequence number of the next piece.
    fn end(&self) -> u64 {
        self.first + self.recent.len() as u64
    }

    fn clear(&mut self) {
        self.first = self.end();
        self.recent.clear();
        self.bytes = 0;
        (self.sync, self.sync_before) = (self.first, self.first);
    }

    /// Drops the oldest pieces while `excess` is true.
    fn evict(&mut self, excess: impl Fn(&Self) -> bool) {
        while excess(self)
            && let Some(gone) = self.recent.pop_front()
        {
            self.bytes -= gone.bytes.len();
            self.first += 1;
        }
    }
}

/// A read position in a run of an [`AudioBuffer`].
#[derive(Debug)]
pub struct AudioListener {
    audio_buffer: Arc<AudioBuffer>,
    run: Arc<AudioRun>,
    /// The sequence number of the piece to read next.
    next: u64,
    changed: watch::Receiver<()>,
}

impl AudioListener {
    /// The run that the listener reads.
    pub fn run(&self) -> &Arc<AudioRun> {
        &self.run
    }

    /// The next bytes. `None` once the run has ended or the listener has fallen out of the buffer. Cancel-safe.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.changed.mark_unchanged();
            {
                let state = self.audio_buffer.lock();
                let same = state.run.as_ref().is_some_and(|run| Arc::ptr_eq(run, &self.run));
                let missed = self.next < state.first;
                if !same || missed {
                    return None;
                }
                if let Some(piece) = state.recent.get((self.next - state.first) as usize) {
                    self.next += 1;
                    return Some(piece.bytes.clone());
                }
            }
            let _ = self.changed.changed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sightline_media::nut::SourceCodec;
    use std::time::Duration;
    use tokio::time::timeout;

    fn audio_buffer() -> Arc<AudioBuffer> {
        let audio_buffer = Arc::new(AudioBuffer::default());
        audio_buffer.describe(Some(SourceAudio { codec: SourceCodec::Aac, sample_rate: 48_000, channels: 2 }));
        audio_buffer
    }

    /// All bytes that are available, and whether the run has ended.
    async fn all(listener: &mut AudioListener) -> (Vec<u8>, bool) {
        let mut got = Vec::new();
        loop {
            match timeout(Duration::from_secs(1), listener.next()).await {
                Ok(Some(bytes)) => got.extend(&bytes),
                Ok(None) => return (got, true),
                Err(_) => return (got, false),
            }
        }
    }

    #[test]
    fn source_may_have_audio_until_it_is_known_to_have_none() {
        let audio_buffer = AudioBuffer::default();
        assert!(audio_buffer.may_have_audio(), "it has not run yet");
        audio_buffer.describe(None);
        assert!(!audio_buffer.may_have_audio());
        audio_buffer.reset(true);
        assert!(audio_buffer.may_have_audio(), "another source");
        audio_buffer.refuse();
        assert!(!audio_buffer.may_have_audio());

        let audio_buffer = self::audio_buffer();
        assert!(audio_buffer.may_have_audio());
        audio_buffer.reset(false);
        assert!(!audio_buffer.may_have_audio(), "audio = \"off\"");
        assert_eq!(audio_buffer.audio(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn listener_starts_at_the_second_newest_syncpoint() {
        let audio_buffer = audio_buffer();
        audio_buffer.begin(5, Bytes::from_static(b"head"));
        for (bytes, sync) in [(&b"a"[..], true), (b"b", false), (b"C", true), (b"d", false)] {
            audio_buffer.push(Bytes::from_static(bytes), sync);
        }
        let mut listener = audio_buffer.listen().await;
        assert_eq!((listener.run().timeline, &listener.run().head[..]), (5, &b"head"[..]));
        assert_eq!(all(&mut listener).await, (b"abCd".to_vec(), false));
        for (bytes, sync) in [(&b"e"[..], false), (b"F", true), (b"g", false)] {
            audio_buffer.push(Bytes::from_static(bytes), sync);
        }
        assert_eq!(
            all(&mut listener).await,
            (b"eFg".to_vec(), false),
            "what was not taken before a syncpoint is there"
        );
        assert_eq!(all(&mut audio_buffer.listen().await).await, (b"CdeFg".to_vec(), false));
        assert_eq!(audio_buffer.lock().bytes, 5, "from the syncpoint before on");
        audio_buffer.end();
        assert_eq!(all(&mut listener).await, (Vec::new(), true));
    }

    #[tokio::test(start_paused = true)]
    async fn listener_waits_for_a_run_and_ends_with_it() {
        let audio_buffer = audio_buffer();
        let waiting = tokio::spawn({
            let audio_buffer = audio_buffer.clone();
            async move { audio_buffer.listen().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        audio_buffer.begin(1, Bytes::from_static(b"one"));
        let mut listener = waiting.await.unwrap();
        audio_buffer.begin(2, Bytes::from_static(b"two"));
        assert_eq!(all(&mut listener).await, (Vec::new(), true));
        assert_eq!(audio_buffer.listen().await.run().timeline, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn buffer_is_bounded_and_overrun_ends_the_listener() {
        let audio_buffer = audio_buffer();
        audio_buffer.begin(1, Bytes::from_static(b"head"));
        let mut slow = audio_buffer.listen().await;
        let piece = Bytes::from(vec![0; 1000]);
        for _ in 0..1000 {
            audio_buffer.push(piece.clone(), false);
            assert!(audio_buffer.lock().bytes <= RECENT_MAX);
        }
        assert_eq!(all(&mut slow).await, (Vec::new(), true));
    }
}

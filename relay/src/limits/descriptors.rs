//! Fits the limit of connections to the process's file descriptors, so that sources and health checks find free ones.

/// Descriptors for the relay itself: sockets, the runtime, the log, certificates, and refusals with an answer.
const RELAY: u64 = 96;
/// For each source: the camera's connection, or FFmpeg's pipes.
const SOURCE: u64 = 8;
/// For each encoder: FFmpeg's pipes.
const TRANSCODE: u64 = 4;

/// The descriptors that connections must leave free. At most three quarters of `descriptors`: viewers of a few of many sources
/// are the better use of a small limit.
pub(crate) fn reserve(descriptors: u64, sources: usize, transcodes: usize) -> u64 {
    let wanted = RELAY + SOURCE * sources as u64 + TRANSCODE * transcodes as u64;
    wanted.min(descriptors / 4 * 3)
}

/// The most connections at a time. Each has one descriptor, also after an upgrade. `descriptors` is the soft limit of the
/// process; `None` is unlimited.
pub(crate) fn capacity(descriptors: Option<u64>, sources: usize, transcodes: usize) -> usize {
    let Some(descriptors) = descriptors else { return usize::MAX };
    usize::try_from(descriptors - reserve(descriptors, sources, transcodes)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_sources() {
        assert_eq!(capacity(Some(1024), 5, 16), 1024 - 96 - 40 - 64);
        assert_eq!(capacity(Some(256), 5, 16), 64, "at most three quarters are reserved");
        assert_eq!(capacity(Some(1 << 20), 5, 16), (1 << 20) - 200);
        assert_eq!(capacity(None, 5, 16), usize::MAX);
    }
}

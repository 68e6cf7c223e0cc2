//! Parses the delivery directives of a playlist request (RFC 8216bis, section 6.2.5) and decides whether to respond now.

use super::window::Window;

/// The delivery directives of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PlaylistReload {
    /// `_HLS_msn`: wait for this segment.
    pub(super) msn: Option<u64>,
    /// `_HLS_part`: wait for this part of it.
    pub(super) part: Option<usize>,
    /// `_HLS_skip`: older segments may be skipped.
    pub(super) delta: bool,
}

/// How to handle a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReloadDecision {
    /// The playlist contains the requested media.
    Respond,
    /// It will soon.
    Wait,
    /// The request is wrong; the text says why.
    Refuse(&'static str),
}

const NUMBER: &str = "_HLS_msn and _HLS_part must each be one whole number";
const SKIP: &str = "_HLS_skip must be YES or v2";
const PART_ALONE: &str = "_HLS_part needs _HLS_msn beside it";
const FAR_MSN: &str = "_HLS_msn is more than two segments ahead of the newest; reload the playlist without it first";
const FAR_PART: &str = "_HLS_part is too far ahead of the newest; reload the playlist without it first";

impl PlaylistReload {
    /// Parses the directives. Ignores other parameters, which proxies and pages may add.
    ///
    /// # Errors
    /// One sentence.
    pub(super) fn parse(query: &str) -> Result<Self, &'static str> {
        let mut reload = Self::default();
        for (name, value) in query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
            match name {
                "_HLS_msn" if reload.msn.is_none() => reload.msn = Some(number(value)?),
                "_HLS_part" if reload.part.is_none() => {
                    reload.part = Some(usize::try_from(number(value)?).map_err(|_| NUMBER)?);
                }
                "_HLS_msn" | "_HLS_part" => return Err(NUMBER),
                "_HLS_skip" if matches!(value, "YES" | "v2") => reload.delta = true,
                "_HLS_skip" => return Err(SKIP),
                _ => {}
            }
        }
        if reload.part.is_some() && reload.msn.is_none() { Err(PART_ALONE) } else { Ok(reload) }
    }

    /// Whether the request waits for media.
    pub(super) fn blocks(&self) -> bool {
        self.msn.is_some()
    }

    /// How to handle the request once `window` lists something.
    pub(super) fn decide(&self, window: &Window) -> ReloadDecision {
        let (Some(msn), Some(durations)) = (self.msn, window.durations()) else { return ReloadDecision::Respond };
        let (open, parts) = window.edge();
        let (msn, part) = match self.part {
            // A part number beyond the segment's end means a part of the next segment.
            Some(part) if window.parts_of(msn).is_some_and(|parts| part >= parts) => (msn + 1, Some(0)),
            part => (msn, part),
        };
        // Segment `n` is complete once `n + 1` is open.
        let ahead = msn.saturating_sub(open);
        let part_limit = (3.0 / durations.part_target.min(1.0)).ceil() as usize;
        match part {
            _ if msn < open => ReloadDecision::Respond,
            // The newest complete segment is `open - 1`.
            _ if ahead > 1 => ReloadDecision::Refuse(FAR_MSN),
            Some(part) if ahead == 0 && part < parts => ReloadDecision::Respond,
            Some(part) if part >= parts * usize::from(ahead == 0) + part_limit => ReloadDecision::Refuse(FAR_PART),
            _ => ReloadDecision::Wait,
        }
    }
}

fn number(text: &str) -> Result<u64, &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(NUMBER)
}

#[cfg(test)]
mod tests {
    use super::super::window::tests::{FIRST, filled};
    use super::ReloadDecision::{Refuse, Respond, Wait};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_directives_are_parsed_and_others_ignored() {
        let all = PlaylistReload { msn: Some(7), part: Some(0), delta: true };
        assert_eq!(PlaylistReload::parse("_HLS_msn=7&_HLS_part=0&_HLS_skip=YES"), Ok(all));
        assert_eq!(
            PlaylistReload::parse("token=x&_HLS_skip=v2&y"),
            Ok(PlaylistReload { delta: true, ..PlaylistReload::default() })
        );
        assert_eq!(PlaylistReload::parse(""), Ok(PlaylistReload::default()));
        for query in ["_HLS_msn=", "_HLS_msn=x", "_HLS_msn=-1", "_HLS_msn=+1", "_HLS_msn=1&_HLS_msn=2", "_HLS_msn"] {
            assert_eq!(PlaylistReload::parse(query), Err(NUMBER), "{query}");
        }
        assert_eq!(PlaylistReload::parse("_HLS_msn=99999999999999999999"), Err(NUMBER));
        assert_eq!(PlaylistReload::parse("_HLS_part=1"), Err(PART_ALONE));
        assert_eq!(PlaylistReload::parse("_HLS_skip=NO"), Err(SKIP));
    }

    #[test]
    fn reload_waits_for_the_next_part_and_refuses_distant_ones() {
        // Segments FIRST and FIRST + 1 are complete; FIRST + 2 has two parts.
        let window = filled(60);
        assert_eq!(window.edge(), (FIRST + 2, 2));
        let decide = |msn: u64, part: Option<usize>| {
            PlaylistReload { msn: Some(FIRST + msn), part, delta: false }.decide(&window)
        };
        for (msn, part, decision) in [
            (0, None, Respond),
            (1, None, Respond),
            (1, Some(4), Respond),
            (1, Some(5), Respond),
            (2, Some(0), Respond),
            (2, Some(1), Respond),
            (2, Some(2), Wait),
            (2, Some(3), Wait),
            (2, Some(15), Wait),
            (2, Some(16), Refuse(FAR_PART)),
            (2, None, Wait),
            (3, None, Wait),
            (3, Some(0), Wait),
            (3, Some(14), Refuse(FAR_PART)),
            (4, None, Refuse(FAR_MSN)),
            (4, Some(0), Refuse(FAR_MSN)),
            (1000, None, Refuse(FAR_MSN)),
        ] {
            assert_eq!(decide(msn, part), decision, "{msn} {part:?}");
        }
        assert_eq!(PlaylistReload::default().decide(&window), Respond);
        let past = PlaylistReload { msn: Some(0), part: Some(9), delta: false };
        assert_eq!(past.decide(&window), Respond, "long gone");
    }

    proptest! {
        #[test]
        fn any_query_parses_or_is_refused(query in "(_HLS_(msn|part|skip)=?[0-9A-Za-z]{0,4}&?){0,4}\\PC{0,10}", n in 0usize..90) {
            if let Ok(reload) = PlaylistReload::parse(&query) {
                reload.decide(&filled(n));
            }
        }
    }
}

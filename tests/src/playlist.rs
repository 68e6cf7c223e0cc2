//! HLS media playlists as a player reads them, and the requirements on them that a player relies on (RFC 8216bis).

/// A media playlist.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Playlist {
    /// EXT-X-TARGETDURATION, in seconds.
    pub target_duration: f64,
    /// PART-TARGET, in seconds.
    pub part_target: f64,
    /// EXT-X-MEDIA-SEQUENCE.
    pub media_sequence: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE.
    pub discontinuity_sequence: u64,
    /// SKIPPED-SEGMENTS of a delta update.
    pub skipped: u64,
    /// The segments. An incomplete last segment has no name.
    pub segments: Vec<Segment>,
    /// The URI of EXT-X-PRELOAD-HINT: the next part.
    pub hint: String,
    /// The playlist's text.
    pub text: String,
}

/// A segment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Segment {
    /// Its name, empty while it is incomplete.
    pub name: String,
    /// EXTINF, in seconds.
    pub duration: f64,
    /// EXT-X-MAP, if it precedes this segment.
    pub map: Option<String>,
    /// EXT-X-PROGRAM-DATE-TIME.
    pub date: String,
    /// EXT-X-DISCONTINUITY.
    pub discontinuity: bool,
    /// EXT-X-GAP.
    pub gap: bool,
    /// Its parts: duration, name, whether independent.
    pub parts: Vec<(f64, String, bool)>,
}

impl Playlist {
    /// Parses a playlist.
    ///
    /// # Panics
    /// When the text is no playlist, or violates a requirement.
    pub fn read(text: &str) -> Self {
        assert!(text.starts_with("#EXTM3U\n"), "a playlist: {text}");
        let mut playlist = Self { text: text.to_owned(), ..Self::default() };
        let mut next = Segment::default();
        for line in text.lines().skip(1) {
            let (tag, value) = line.split_once(':').unwrap_or((line, ""));
            match tag {
                "#EXT-X-TARGETDURATION" => playlist.target_duration = number(value),
                "#EXT-X-PART-INF" => playlist.part_target = number(attribute(value, "PART-TARGET")),
                "#EXT-X-MEDIA-SEQUENCE" => playlist.media_sequence = number(value) as u64,
                "#EXT-X-DISCONTINUITY-SEQUENCE" => playlist.discontinuity_sequence = number(value) as u64,
                "#EXT-X-SKIP" => playlist.skipped = number(attribute(value, "SKIPPED-SEGMENTS")) as u64,
                "#EXT-X-PRELOAD-HINT" => playlist.hint = attribute(value, "URI").to_owned(),
                "#EXT-X-MAP" => next.map = Some(attribute(value, "URI").to_owned()),
                "#EXT-X-PROGRAM-DATE-TIME" => next.date = value.to_owned(),
                "#EXT-X-DISCONTINUITY" => next.discontinuity = true,
                "#EXT-X-GAP" => next.gap = true,
                "#EXTINF" => next.duration = number(value.trim_end_matches(',')),
                "#EXT-X-PART" => {
                    let independent = value.contains("INDEPENDENT=YES");
                    next.parts.push((
                        number(attribute(value, "DURATION")),
                        attribute(value, "URI").to_owned(),
                        independent,
                    ));
                }
                _ if line.starts_with('#') => {}
                _ => {
                    next.name = line.to_owned();
                    playlist.segments.push(std::mem::take(&mut next));
                }
            }
        }
        if !next.parts.is_empty() {
            playlist.segments.push(next);
        }
        playlist.check();
        playlist
    }

    /// The number of the incomplete segment, and of its parts.
    pub fn edge(&self) -> (u64, usize) {
        let complete = self.segments.iter().filter(|segment| !segment.name.is_empty()).count();
        let open = self.segments.last().filter(|last| last.name.is_empty());
        (self.media_sequence + self.skipped + complete as u64, open.map_or(0, |open| open.parts.len()))
    }

    /// The names of the complete segments.
    pub fn names(&self) -> Vec<&str> {
        self.segments.iter().map(|segment| segment.name.as_str()).filter(|name| !name.is_empty()).collect()
    }

    /// The number of parts that are longer than the part target or too short (section 4.4.4.9), and of all parts. If the camera
    /// omits a frame, the previous frame lasts longer, which the relay cannot avoid.
    pub fn uneven_parts(&self) -> (usize, usize) {
        let (mut uneven, mut total) = (0, 0);
        for segment in &self.segments {
            let last = segment.parts.len().saturating_sub(1);
            for (number, (duration, ..)) in segment.parts.iter().enumerate() {
                let short = number < last && *duration < self.part_target * 0.85;
                uneven += usize::from(short || *duration > self.part_target);
                total += 1;
            }
        }
        (uneven, total)
    }

    /// Checks section 4.4.3.1 and the required header.
    fn check(&self) {
        let text = &self.text;
        assert!(self.target_duration >= 1.0 && self.part_target > 0.0, "{text}");
        let control = attribute_line(text, "#EXT-X-SERVER-CONTROL:");
        assert!(control.contains("CAN-BLOCK-RELOAD=YES"), "{text}");
        assert!(number(attribute(control, "PART-HOLD-BACK")) >= 3.0 * self.part_target, "{text}");
        assert!(number(attribute(control, "CAN-SKIP-UNTIL")) >= 6.0 * self.target_duration, "{text}");
        assert!(self.segments.first().is_some_and(|first| first.map.is_some()), "what to begin with: {text}");
        for segment in &self.segments {
            assert!(segment.duration.round() <= self.target_duration, "{segment:?} in {text}");
            assert!(!segment.discontinuity || segment.map.is_some(), "{segment:?} in {text}");
            assert!(segment.date.ends_with('Z'), "{segment:?} in {text}");
            let parts: f64 = segment.parts.iter().map(|part| part.0).sum();
            let complete = !segment.name.is_empty() && !segment.parts.is_empty();
            assert!(!complete || (parts - segment.duration).abs() < 0.001, "{segment:?} in {text}");
        }
    }
}

fn attribute_line<'a>(text: &'a str, tag: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(tag)).unwrap_or_else(|| panic!("no {tag} in {text}"))
}

/// An attribute of a list without commas in its strings.
fn attribute<'a>(list: &'a str, name: &str) -> &'a str {
    let found = list.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {name} in {list}")).trim_matches('"')
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is not a number"))
}

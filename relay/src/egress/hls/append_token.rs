//! Appends the token of a playlist's address to each address in it. Players that support only addresses resolve relative names
//! without the playlist's query (RFC 3986, section 5.2.2).

/// `text`, a playlist of the relay, with `token=…` in each of its addresses.
pub(super) fn append_token(text: &str, token: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 2);
    for line in text.lines() {
        match line.split_once("URI=\"").and_then(|(before, rest)| Some((before, rest.split_once('"')?))) {
            Some((before, (uri, after))) => {
                out.extend([before, "URI=\"", uri, "?token=", token, "\"", after]);
            }
            None if line.starts_with('#') => out += line,
            None => out.extend([line, "?token=", token]),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_appended_to_every_uri() {
        for playlist in [
            include_str!("golden/media.m3u8"),
            include_str!("golden/restart.m3u8"),
            include_str!("golden/delta.m3u8"),
            include_str!("golden/multivariant-b-frames.m3u8"),
            include_str!("golden/multivariant-audio.m3u8"),
        ] {
            let carried = append_token(playlist, "a.b.c");
            assert_eq!(carried.replace("?token=a.b.c", ""), playlist);
            for line in carried.lines().filter(|line| !line.starts_with('#')) {
                assert!(line.ends_with("?token=a.b.c"), "{line}");
            }
            for line in carried.lines().filter(|line| line.contains("URI=")) {
                assert!(line.contains("?token=a.b.c\""), "{line}");
            }
        }
        assert_eq!(
            append_token("#EXT-X-RENDITION-REPORT:URI=\"../low/index.m3u8\",LAST-MSN=3\n", "t"),
            "#EXT-X-RENDITION-REPORT:URI=\"../low/index.m3u8?token=t\",LAST-MSN=3\n"
        );
    }
}

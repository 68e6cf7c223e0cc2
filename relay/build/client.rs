//! Distinguishes a release build of the client from a development build by its page.
//!
//! `scripts/embed.sh` writes the build profile into each page that Trunk builds. A page without that line counts as a
//! development build.

/// The line of a release build.
const RELEASE: &str = r#"<meta name="sightline-build" content="release" />"#;
/// Part of the script that `trunk serve` adds to its page, also with `--release`; the script reloads the page after each build.
const LIVE_RELOAD: &str = ".well-known/trunk/ws";

/// The error of a release build of the relay that would embed this client page. `None` if the page may be embedded.
pub(crate) fn refusal(page: &str) -> Option<String> {
    let reason = if page.contains(LIVE_RELOAD) {
        "was built by `trunk serve`, with live reload"
    } else if !page.contains(RELEASE) {
        "is a development build"
    } else {
        return None;
    };
    Some(format!("the client in dist/ {reason}; a release embeds release builds only. Run: rm -r dist && make relay"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<!doctype html><html><head>BUILD</head><body>SCRIPT</body></html>";

    #[test]
    fn release_build_is_embedded() {
        assert_eq!(refusal(&PAGE.replace("BUILD", RELEASE)), None);
    }

    #[test]
    fn development_build_and_unmarked_page_are_refused_with_the_remedy() {
        for page in [PAGE.replace("BUILD", &RELEASE.replace("release", "debug")), PAGE.to_owned()] {
            let error = refusal(&page).expect("an error");
            assert!(error.contains("development build") && error.ends_with("make relay"), "{error}");
        }
    }

    #[test]
    fn page_with_live_reload_is_refused_whatever_its_profile() {
        let page = PAGE.replace("BUILD", RELEASE).replace("SCRIPT", "const url = host + '/.well-known/trunk/ws'");
        assert!(refusal(&page).is_some_and(|error| error.contains("live reload")));
    }
}

//! Parses the page's address.

use sightline_protocol::stream::{InvalidStreamName, Quality, StreamName, VariantChoice};

use super::choices::{Layout, Protocol, choice_of};

/// The pages of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Page {
    /// All videos.
    #[default]
    Multiview,
    /// `/test`: one video, with all its details.
    Test,
}

/// The path and the parameters of the page's address. The user's settings replace absent parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The page: `/test`, or else the multiview.
    pub page: Page,
    /// `?stream=NAME`, repeatable; all streams if absent. Each name once, in order.
    pub streams: Vec<Result<StreamName, InvalidStreamName>>,
    /// `?codec=auto|h265|h264|low`.
    pub choice: VariantChoice,
    /// `?protocol=auto|mse|webcodecs|webrtc|hls`.
    pub protocol: Option<Protocol>,
    /// `?quality=auto|high|low`.
    pub quality: Option<Quality>,
    /// `?layout=grid|focus|1|2|…`; a number is a number of columns.
    pub layout: Option<Layout>,
    /// `?controls=none` shows the videos and nothing else.
    pub controls: bool,
    /// `?statistics` shows statistics, `?statistics=none` hides them.
    pub statistics: Option<bool>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            page: Page::default(),
            streams: Vec::new(),
            choice: VariantChoice::Auto,
            protocol: None,
            quality: None,
            layout: None,
            controls: true,
            statistics: None,
        }
    }
}

impl Request {
    /// Parses the path and the decoded parameters, as pairs of name and value. Unknown parameters are ignored.
    pub fn read(path: &str, parameters: impl IntoIterator<Item = (String, String)>) -> Self {
        let page = if path.trim_end_matches('/').ends_with("/test") { Page::Test } else { Page::Multiview };
        let mut request = Self { page, ..Self::default() };
        for (name, value) in parameters {
            match name.as_str() {
                "stream" => {
                    let stream = StreamName::try_from(value);
                    if !request.streams.contains(&stream) {
                        request.streams.push(stream);
                    }
                }
                "codec" => request.choice = choice_of(&value).unwrap_or(VariantChoice::Auto),
                "protocol" => request.protocol = value.parse().ok(),
                "quality" => request.quality = value.parse().ok(),
                "layout" => request.layout = value.parse().ok(),
                "controls" => request.controls = value != "none",
                "statistics" => request.statistics = Some(value != "none"),
                _ => {}
            }
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(parameters: &[(&str, &str)]) -> Request {
        Request::read("/", parameters.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())))
    }

    #[test]
    fn repeated_streams_keep_their_order_and_appear_once() {
        let request = request(&[
            ("stream", "b"),
            ("x", "y"),
            ("stream", "a"),
            ("stream", "b"),
            ("stream", "a/b"),
            ("stream", "a//b"),
        ]);
        let names: Vec<_> = request.streams.iter().map(|s| s.as_ref().map(StreamName::as_str).unwrap_or("!")).collect();
        assert_eq!(names, ["b", "a", "a/b", "!"]);
    }

    #[test]
    fn codec_parameter_selects_the_variant() {
        for (value, choice) in [
            ("auto", VariantChoice::Auto),
            ("h265", VariantChoice::Copy),
            ("h264", VariantChoice::H264),
            ("low", VariantChoice::Low),
            ("vp8", VariantChoice::Auto),
        ] {
            assert_eq!(request(&[("codec", value)]).choice, choice);
        }
    }

    #[test]
    fn kiosk_takes_all_options_from_the_address() {
        let choices = [("protocol", "hls"), ("quality", "low"), ("layout", "3")];
        let kiosk = request(&[&choices[..], &[("controls", "none"), ("statistics", "")]].concat());
        assert_eq!((kiosk.protocol, kiosk.layout), (Some(Protocol::Hls), Some(Layout::Columns(3))));
        assert_eq!(kiosk.quality, Some(Quality::Low));
        assert_eq!((kiosk.controls, kiosk.statistics), (false, Some(true)));
        let unknown = [("protocol", "smoke"), ("layout", "round"), ("quality", "best")];
        assert_eq!(request(&unknown), Request::default());
    }

    #[test]
    fn test_page_is_recognized_below_any_path() {
        for (path, page) in [
            ("/", Page::Multiview),
            ("/test", Page::Test),
            ("/cameras/test/", Page::Test),
            ("/test/x", Page::Multiview),
            ("/attest", Page::Multiview),
        ] {
            assert_eq!(Request::read(path, []).page, page, "{path}");
        }
    }
}

//! What the page's address asks for.

use sightline_protocol::stream::{InvalidStreamName, StreamName, VariantChoice};

/// The parameters of the page's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `?stream=NAME`, repeatable; all streams where there is none. Each name once, in order.
    pub streams: Vec<Result<StreamName, InvalidStreamName>>,
    /// `?codec=auto|h265|h264`.
    pub choice: VariantChoice,
}

impl Request {
    /// Reads the decoded parameters, as pairs of name and value. Unknown ones are ignored.
    pub fn read(parameters: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut request = Self { streams: Vec::new(), choice: VariantChoice::Auto };
        for (name, value) in parameters {
            match name.as_str() {
                "stream" => {
                    let stream = StreamName::try_from(value);
                    if !request.streams.contains(&stream) {
                        request.streams.push(stream);
                    }
                }
                "codec" => {
                    request.choice = match value.as_str() {
                        "h265" => VariantChoice::Copy,
                        "h264" => VariantChoice::H264,
                        _ => VariantChoice::Auto,
                    };
                }
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
        Request::read(parameters.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())))
    }

    #[test]
    fn streams_repeat_keep_their_order_and_appear_once() {
        let request = request(&[("stream", "b"), ("x", "y"), ("stream", "a"), ("stream", "b"), ("stream", "a/b")]);
        let names: Vec<_> = request.streams.iter().map(|s| s.as_ref().map(StreamName::as_str).unwrap_or("!")).collect();
        assert_eq!(names, ["b", "a", "!"]);
    }

    #[test]
    fn the_codec_is_a_choice_of_variant() {
        for (value, choice) in [
            ("auto", VariantChoice::Auto),
            ("h265", VariantChoice::Copy),
            ("h264", VariantChoice::H264),
            ("vp8", VariantChoice::Auto),
        ] {
            assert_eq!(request(&[("codec", value)]).choice, choice);
        }
    }
}

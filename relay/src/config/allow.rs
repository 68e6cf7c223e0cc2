//! `[[oidc.allow]]`: which streams the claims of an identity provider's token permit.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use sightline_protocol::stream::{StreamName, StreamPattern};

/// Maximum length of a claim's name and of a value, in bytes. Claims with a URL as their name have about a hundred.
const TEXT_MAX: usize = 255;

/// One rule: a token with this value in this claim permits these streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowRule {
    /// The name of a claim, or the path of a nested one, with dots: `realm_access.roles`.
    pub claim: Arc<str>,
    /// The value as text; of a number or a boolean, as JSON writes it.
    pub value: Arc<str>,
    /// The streams; at least one pattern.
    pub streams: Vec<StreamPattern>,
}

/// The structure of a rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AllowSection {
    claim: String,
    value: ScalarText,
    streams: Vec<String>,
}

/// A string, an integer or a boolean, as text.
#[derive(Debug)]
struct ScalarText(String);

impl AllowSection {
    pub(super) fn resolve(self) -> Result<AllowRule, String> {
        let Self { claim, value: ScalarText(value), streams } = self;
        for (key, text) in [("claim", &claim), ("value", &value)] {
            let fault = if text.is_empty() {
                "is empty; name the claim and the value that a token must have".to_owned()
            } else if text.len() > TEXT_MAX {
                format!("has {} bytes; shorten it to {TEXT_MAX} bytes or fewer", text.len())
            } else if text.contains(char::is_control) {
                "contains a control character; remove it".to_owned()
            } else {
                continue;
            };
            return Err(format!("oidc.allow.{key} {fault}"));
        }
        let of_rule = |fault: &str| format!("oidc.allow.streams, in the rule for {claim} = {value:?}: {fault}");
        if streams.is_empty() {
            return Err(of_rule("it is empty; name a stream, or a pattern such as studio/*"));
        }
        let patterns = streams.into_iter().map(StreamPattern::try_from).collect::<Result<_, _>>();
        let streams = patterns.map_err(|error| of_rule(&error.to_string()))?;
        Ok(AllowRule { claim: claim.into(), value: value.into(), streams })
    }
}

/// A sentence for each pattern of `rules` that matches none of `streams`. No error: streams come and go.
pub(super) fn unmatched<'a>(
    rules: &[AllowRule],
    streams: impl Iterator<Item = &'a StreamName> + Clone,
) -> impl Iterator<Item = String> {
    let patterns = rules.iter().flat_map(|rule| rule.streams.iter().map(move |pattern| (rule, pattern)));
    let unmatched = patterns.filter(move |(_, pattern)| !streams.clone().any(|name| pattern.matches(name)));
    unmatched.map(|(AllowRule { claim, value, .. }, pattern)| {
        format!(
            "oidc.allow: the pattern {:?} of the rule for {claim} = {value:?} matches no stream of the configuration; check its \
             spelling, unless the stream is added later",
            pattern.as_str()
        )
    })
}

impl<'de> Deserialize<'de> for ScalarText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;
        impl Visitor<'_> for Scalar {
            type Value = ScalarText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, an integer or a boolean")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ScalarText, E> {
                Ok(ScalarText(text.to_owned()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<ScalarText, E> {
                Ok(ScalarText(number.to_string()))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<ScalarText, E> {
                Ok(ScalarText(number.to_string()))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<ScalarText, E> {
                Ok(ScalarText(value.to_string()))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Result<AllowRule, String> {
        let section: AllowSection = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        section.resolve()
    }

    #[test]
    fn value_is_a_string_an_integer_or_a_boolean() {
        for (value, text) in [("\"crew\"", "crew"), ("7", "7"), ("-7", "-7"), ("true", "true"), ("\"7\"", "7")] {
            let rule =
                rule(&format!("claim = \"groups\"\nvalue = {value}\nstreams = [\"studio/*\", \"cam0\"]")).unwrap();
            assert_eq!((&*rule.claim, &*rule.value), ("groups", text));
            assert_eq!(rule.streams.iter().map(StreamPattern::as_str).collect::<Vec<_>>(), ["studio/*", "cam0"]);
        }
        for value in ["1.5", "[\"crew\"]", "{ a = 1 }", "2026-11-30"] {
            let error = rule(&format!("claim = \"groups\"\nvalue = {value}\nstreams = [\"a\"]")).unwrap_err();
            assert!(error.contains("expected a string, an integer or a boolean"), "{value}: {error}");
        }
    }

    #[test]
    fn rule_with_a_fault_is_refused_with_its_key_and_the_remedy() {
        let long = "x".repeat(TEXT_MAX + 1);
        for (claim, value, streams, told) in [
            ("", "crew", "[\"a\"]", "oidc.allow.claim is empty; name the claim"),
            ("groups", "", "[\"a\"]", "oidc.allow.value is empty; name the claim"),
            ("gro\\nups", "crew", "[\"a\"]", "oidc.allow.claim contains a control character; remove it"),
            ("groups", &long, "[\"a\"]", "oidc.allow.value has 256 bytes; shorten it to 255 bytes"),
            ("groups", "crew", "[]", "in the rule for groups = \"crew\": it is empty; name a stream, or a pattern"),
            (
                "groups",
                "crew",
                "[\"a\", \"b//*\"]",
                "oidc.allow.streams, in the rule for groups = \"crew\": stream pattern \"b//*\" \
              contains //; write a single /",
            ),
            ("groups", "crew", "[\"studio/**\"]", "contains **; write a single *"),
        ] {
            let error = rule(&format!("claim = \"{claim}\"\nvalue = \"{value}\"\nstreams = {streams}")).unwrap_err();
            assert!(error.contains(told), "{claim}: {error}");
        }
        for (text, told) in [
            ("claim = \"groups\"\nstreams = [\"a\"]", "missing field `value`"),
            ("claim = \"groups\"\nvalue = 1", "missing field `streams`"),
            ("claim = \"a\"\nvalue = 1\nstreams = [\"a\"]\nstream = \"b\"", "unknown field `stream`"),
        ] {
            let error = rule(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn pattern_without_a_stream_is_told_with_its_rule() {
        let rules = [rule("claim = \"groups\"\nvalue = \"crew\"\nstreams = [\"studio/*\", \"roof\", \"*\"]").unwrap()];
        let names: Vec<StreamName> = ["studio/a", "yard"].map(|name| name.parse().unwrap()).into();
        let told: Vec<_> = unmatched(&rules, names.iter()).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("\"roof\" of the rule for groups = \"crew\" matches no stream"), "{told:?}");
    }
}

//! Which streams the claims of a verified token permit, by the rules of `[[oidc.allow]]`. Pure.
//!
//! A claim matches a rule if it is the rule's value, or a list with that value in it. A string, an integer and a boolean are
//! values; numbers with a fraction, objects and lists within a list match nothing. The permissions are the streams of all rules
//! that match.
//!
//! The cost is one look-up for each element of a claim that a rule names, whatever the number of rules.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::slice;
use std::sync::Arc;

use serde_json::Value;
use sightline_protocol::stream::StreamPattern;

use super::Claims;
use crate::access::{Permissions, Refusal};
use crate::config::AllowRule;

/// Maximum number of claims that a refusal names, so that it stays one readable sentence.
const NAMED_MAX: usize = 4;

/// See the [module](self). Without a rule, every token permits every stream.
#[derive(Debug, Default)]
pub(in crate::access) struct AllowRules {
    /// The values of each claim, with their streams. Sorted, so that refusals name the claims in a fixed order.
    by_claim: BTreeMap<Arc<str>, HashMap<Arc<str>, Vec<StreamPattern>>>,
}

/// A claim and a value that a rule names and a token has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MatchedClaim {
    claim: Arc<str>,
    value: Arc<str>,
}

impl AllowRules {
    pub(in crate::access) fn new(rules: &[AllowRule]) -> Self {
        let mut by_claim = BTreeMap::<_, HashMap<_, Vec<_>>>::new();
        for AllowRule { claim, value, streams } in rules {
            by_claim.entry(claim.clone()).or_default().entry(value.clone()).or_default().extend_from_slice(streams);
        }
        Self { by_claim }
    }

    /// What a token with these claims matches. Fails if there are rules and none matches.
    pub(in crate::access) fn matched(&self, claims: &Claims) -> Result<Arc<[MatchedClaim]>, Refusal> {
        let mut matched = Vec::new();
        for (claim, values) in &self.by_claim {
            let Some(found) = find(claims, claim) else { continue };
            // A list may have a value more than once.
            let mut seen = HashSet::new();
            for text in elements(found).iter().filter_map(scalar_text) {
                if let Some((value, _)) = values.get_key_value(&*text)
                    && seen.insert(value)
                {
                    matched.push(MatchedClaim { claim: claim.clone(), value: value.clone() });
                }
            }
        }
        if matched.is_empty() && !self.by_claim.is_empty() {
            return Err(Refusal::NoRule(self.missing(claims).into()));
        }
        Ok(matched.into())
    }

    /// The streams that these claims permit.
    pub(in crate::access) fn permissions(&self, matched: &[MatchedClaim]) -> Permissions {
        if self.by_claim.is_empty() {
            return Permissions::All;
        }
        let streams = |MatchedClaim { claim, value }: &MatchedClaim| self.by_claim.get(claim)?.get(value);
        matched.iter().filter_map(streams).flatten().cloned().collect()
    }

    /// Says what the rules miss in a token that matches none. Names claims and no value.
    fn missing(&self, claims: &Claims) -> String {
        let faults = self.by_claim.keys().map(|claim| match find(claims, claim) {
            None => format!("its token has no claim {claim}"),
            Some(_) => format!("its claim {claim} has no value that a rule names"),
        });
        let mut told: Vec<_> = faults.take(NAMED_MAX).collect();
        if self.by_claim.len() > NAMED_MAX {
            told.push("and so on".to_owned());
        }
        told.join(", ")
    }
}

/// The claim with this name. A name with dots that is no claim's is a path into objects: `realm_access.roles`. Names within a
/// path may have dots, too.
fn find<'a>(claims: &'a Claims, path: &str) -> Option<&'a Value> {
    let inner = |(dot, _): (usize, &str)| find(claims.get(&path[..dot])?.as_object()?, &path[dot + 1..]);
    claims.get(path).or_else(|| path.match_indices('.').find_map(inner))
}

/// The elements of a list; any other value is its own only element.
fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or_else(|| slice::from_ref(value), Vec::as_slice)
}

/// A string, an integer or a boolean as text.
pub(super) fn scalar_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.into()),
        Value::Bool(value) => Some(value.to_string().into()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

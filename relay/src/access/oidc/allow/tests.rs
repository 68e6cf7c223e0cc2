use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

fn rules(rules: &[(&str, &str, &[&str])]) -> AllowRules {
    let rule = |(claim, value, streams): &(&str, &str, &[&str])| AllowRule {
        claim: (*claim).into(),
        value: (*value).into(),
        streams: streams.iter().map(|text| text.parse().unwrap()).collect(),
    };
    AllowRules::new(&rules.iter().map(rule).collect::<Vec<_>>())
}

fn claims(value: &Value) -> Claims {
    value.as_object().cloned().unwrap_or_else(|| panic!("{value}"))
}

/// The patterns that these claims permit, or why they permit nothing.
fn permitted(rules: &AllowRules, value: &Value) -> Result<Vec<String>, String> {
    let matched = rules.matched(&claims(value)).map_err(|why| why.to_string())?;
    match rules.permissions(&matched) {
        Permissions::All => Ok(vec!["all".to_owned()]),
        Permissions::Streams(patterns) => Ok(patterns.iter().map(ToString::to_string).collect()),
    }
}

#[test]
fn claim_of_each_kind_matches_its_value_or_nothing() {
    let rules = rules(&[
        ("groups", "crew", &["studio/*"]),
        ("groups", "7", &["seven"]),
        ("groups", "true", &["yes"]),
        ("groups", "null", &["null"]),
    ]);
    for (value, streams) in [
        (json!("crew"), &["studio/*"][..]),
        (json!(["visitors", "crew"]), &["studio/*"]),
        (json!(7), &["seven"]),
        (json!([7, "7", "crew", "crew"]), &["seven", "studio/*"]),
        (json!(true), &["yes"]),
        (json!([["crew"], { "crew": 1 }, null, "crew"]), &["studio/*"]),
    ] {
        assert_eq!(permitted(&rules, &json!({ "groups": value })).unwrap(), streams, "{value}");
    }
    for value in [
        json!("Crew"),
        json!("crew "),
        json!("crew,visitors"),
        json!(""),
        json!(7.0),
        json!(7.5),
        json!(70),
        json!(-7),
        json!(false),
        json!(null),
        json!({ "crew": true }),
        json!({ "groups": "crew" }),
        json!([]),
        json!([["crew"]]),
    ] {
        let why = permitted(&rules, &json!({ "groups": value, "email": "secret" })).unwrap_err();
        let told = "the sign-in permits no stream of this relay: its claim groups has no value that a rule names; ask the \
                    operator of the relay";
        assert_eq!(why, told, "{value}");
    }
    let why = permitted(&rules, &json!({ "group": "crew" })).unwrap_err();
    assert!(why.contains("its token has no claim groups; ask"), "{why}");
}

#[test]
fn every_token_permits_every_stream_without_a_rule() {
    assert_eq!(permitted(&rules(&[]), &json!({})).unwrap(), ["all"]);
}

#[test]
fn streams_of_all_matching_rules_are_permitted() {
    let rules = rules(&[
        ("groups", "crew", &["studio/*"]),
        ("email", "eve@example.org", &["roof", "yard"]),
        ("groups", "crew", &["gate"]),
        ("groups", "owners", &["cam0", "*"]),
    ]);
    let of = |value: Value| permitted(&rules, &value).unwrap();
    assert_eq!(of(json!({ "groups": "crew" })), ["studio/*", "gate"]);
    assert_eq!(of(json!({ "groups": ["crew"], "email": "eve@example.org" })), ["roof", "yard", "studio/*", "gate"]);
    assert_eq!(of(json!({ "groups": ["crew", "owners"] })), ["all"]);
    let why = permitted(&rules, &json!({ "email": "bob@example.org" })).unwrap_err();
    assert!(why.contains("its claim email has no value that a rule names, its token has no claim groups;"), "{why}");
    assert!(!why.contains("bob") && !why.contains("eve") && !why.contains("crew"), "{why}");
}

#[test]
fn nested_claim_is_named_by_its_path() {
    let nested = json!({
        "realm_access": { "roles": ["crew"] },
        "resource_access": { "my.client": { "roles": ["crew"] } },
        "https://example.org/groups": ["crew"],
        "custom": { "http://schemas.example.org/a.b": "crew" },
        "a.b": "other",
        "a": { "b": "crew" },
    });
    for (path, is_found) in [
        ("realm_access.roles", true),
        ("resource_access.my.client.roles", true),
        ("https://example.org/groups", true),
        ("custom.http://schemas.example.org/a.b", true),
        // A claim of this very name comes before a path.
        ("a.b", false),
        ("realm_access", false),
        ("realm_access.roles.crew", false),
        ("realm_access.roles.0", false),
        (".realm_access.roles", false),
        ("realm_access..roles", false),
        ("...", false),
    ] {
        let of_path = rules(&[(path, "crew", &["cam0"])]);
        assert_eq!(permitted(&of_path, &nested).is_ok(), is_found, "{path}");
    }
}

#[test]
fn refusal_names_few_claims_of_many_rules() {
    let names: Vec<_> = (0..100).map(|n| format!("claim{n}")).collect();
    let many: Vec<(&str, &str, &[&str])> = names.iter().map(|name| (name.as_str(), "x", &["cam0"][..])).collect();
    let why = permitted(&rules(&many), &json!({})).unwrap_err();
    assert!(why.contains("no claim claim0, ") && why.contains(", and so on;") && why.len() < 300, "{why}");
}

#[test]
fn ten_thousand_groups_and_a_thousand_rules_are_judged_in_milliseconds() {
    let names: Vec<_> = (0..1000).map(|n| format!("group {n}")).collect();
    let many: Vec<(&str, &str, &[&str])> = names.iter().map(|name| ("groups", name.as_str(), &["cam0"][..])).collect();
    let (rules, groups) = (rules(&many), (0..10_000).map(|n| format!("team {n}")).collect::<Vec<_>>());
    let mut of = json!({ "groups": groups });
    let begun = Instant::now();
    assert!(permitted(&rules, &of).is_err());
    let refused = begun.elapsed();
    of["groups"][9_999] = "group 999".into();
    let begun = Instant::now();
    assert_eq!(permitted(&rules, &of).unwrap(), ["cam0"]);
    let permitted = begun.elapsed();
    println!("10,000 groups, 1,000 rules: refused in {refused:?}, permitted in {permitted:?}");
    // A loop over rules and groups takes seconds in a debug build.
    assert!(refused + permitted < Duration::from_millis(500), "{refused:?} {permitted:?}");
}

#[test]
fn changed_rules_permit_no_more_than_they_name() {
    let before = rules(&[("groups", "crew", &["studio/*"]), ("groups", "owners", &["*"])]);
    let matched = before.matched(&claims(&json!({ "groups": ["crew", "visitors"] }))).unwrap();
    let after = |rules: &AllowRules| rules.permissions(&matched);
    let studio = Permissions::Streams(vec!["studio/*".parse().unwrap()]);
    assert_eq!(after(&before), studio);
    assert_eq!(after(&rules(&[("groups", "crew", &["gate"])])), Permissions::Streams(vec!["gate".parse().unwrap()]));
    assert_eq!(after(&rules(&[("groups", "visitors", &["*"])])), Permissions::Streams(vec![]));
    assert_eq!(after(&rules(&[("roles", "crew", &["*"])])), Permissions::Streams(vec![]));
    assert_eq!(after(&rules(&[])), Permissions::All);
}

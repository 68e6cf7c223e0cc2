//! `allowed_hosts`: names of the relay.

/// Checks that each entry is a host name or `*`.
pub(super) fn checked(names: Vec<String>) -> Result<Vec<String>, String> {
    match names.iter().find(|name| *name != "*" && !is_name(name)) {
        None => Ok(names),
        Some(wrong) => Err(format!(
            "allowed_hosts has {wrong:?}, which is not a host name; write it without scheme, port and path, such as \
             \"cams.example.org\""
        )),
    }
}

/// Letters, digits, hyphens, underscores and dots (RFC 1123, section 2.1). Other names are in punycode in `Host`.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_accepted_and_addresses_of_pages_refused() {
        let check = |name: &str| checked(vec![name.to_owned()]);
        for name in ["cams.example.org", "cams", "*", "xn--bcher-kva.example", "192.168.1.7"] {
            assert!(check(name).is_ok(), "{name}");
        }
        for name in
            ["", "https://cams.example.org", "cams.example.org:8080", "cams.example.org/", "*.example.org", "a..b"]
        {
            let error = check(name).unwrap_err();
            assert!(error.contains("allowed_hosts") && error.contains(&format!("{name:?}")), "{error}");
        }
    }
}

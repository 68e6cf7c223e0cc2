//! References in the values of the configuration: `${NAME}` is an environment variable, `${file:PATH}` the first line of a file.
//!
//! Pure: the caller looks the values up. The values never appear in an error, because [`Inserted::hide`] puts the references back.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Begins a reference.
const OPEN: &str = "${";
/// Begins a reference to a file, after [`OPEN`].
const FILE: &str = "file:";
/// Maximum bytes that are read of a file: longer than any password or token, and little memory where a path is a device.
const FILE_BYTES: u64 = 64 * 1024;

/// A value outside the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reference<'a> {
    /// An environment variable, by its name.
    Variable(&'a str),
    /// The first line of a file, by its path as written.
    File(&'a str),
}

impl<'a> Reference<'a> {
    /// Parses the text between `${` and `}`.
    fn parse(text: &'a str) -> Option<Self> {
        let is_name = |text: &str| {
            let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            begins && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        match text.strip_prefix(FILE) {
            Some(path) if !path.is_empty() => Some(Self::File(path)),
            None if is_name(text) => Some(Self::Variable(text)),
            _ => None,
        }
    }

    /// Reads the value. A file's path is relative to `folder`.
    ///
    /// # Errors
    /// A clause that names the variable or the file.
    pub(super) fn look_up(self, folder: &Path) -> Result<String, String> {
        match self {
            Self::Variable(name) => variable(name, std::env::var_os(name)),
            Self::File(path) => {
                let path = folder.join(path);
                first_line(&path).map_err(|problem| format!("the file {path:?} cannot be used: {problem}"))
            }
        }
    }
}

/// The value of an environment variable.
fn variable(name: &str, value: Option<OsString>) -> Result<String, String> {
    let problem = match value.map(OsString::into_string) {
        Some(Ok(text)) if !text.is_empty() => return Ok(text),
        Some(Ok(_)) => "is empty",
        Some(Err(_)) => "is not UTF-8",
        None => "is not set",
    };
    Err(format!("the environment variable {name} {problem}; set it, or write $${{ for a literal ${{"))
}

fn first_line(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES).read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err("its first line is empty".to_owned()),
    }
}

/// Looks up a value. An error is a clause that names the variable or the file.
pub(super) type LookUp<'a> = &'a dyn Fn(Reference<'_>) -> Result<String, String>;

/// The values that replaced references.
#[derive(Default)]
pub(super) struct Inserted {
    /// Value and reference as written; the longest value first.
    values: Vec<(String, String)>,
}

impl Inserted {
    fn add(&mut self, value: String, reference: &str) {
        let escaped: String = value.escape_debug().collect();
        for value in [value, escaped] {
            let at = self.values.partition_point(|(other, _)| other.len() > value.len());
            self.values.insert(at, (value, reference.to_owned()));
        }
    }

    /// Puts the references back into `message`, which may quote a value.
    pub(super) fn hide(&self, message: &str) -> String {
        let mut out = String::with_capacity(message.len());
        let mut rest = message;
        'next: while let Some(first) = rest.chars().next() {
            for (value, reference) in &self.values {
                if let Some(after) = rest.strip_prefix(value.as_str()) {
                    out.push_str(reference);
                    rest = after;
                    continue 'next;
                }
            }
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
        out
    }
}

/// A reference that cannot be replaced.
pub(super) struct Unresolved {
    /// The place of the value in the file.
    pub(super) span: Range<usize>,
    /// A sentence with the key.
    pub(super) message: String,
}

/// Replaces every reference in the values of `table`.
pub(super) fn resolve(table: &mut DeTable<'_>, look_up: LookUp<'_>) -> Result<Inserted, Unresolved> {
    let mut inserted = Inserted::default();
    resolve_table(table, "", look_up, &mut inserted)?;
    Ok(inserted)
}

fn resolve_table(
    table: &mut DeTable<'_>,
    above: &str,
    look_up: LookUp<'_>,
    inserted: &mut Inserted,
) -> Result<(), Unresolved> {
    for (key, value) in table.iter_mut() {
        let dot = if above.is_empty() { "" } else { "." };
        resolve_value(value, &format!("{above}{dot}{}", key.get_ref()), look_up, inserted)?;
    }
    Ok(())
}

fn resolve_value(
    value: &mut Spanned<DeValue<'_>>,
    key: &str,
    look_up: LookUp<'_>,
    inserted: &mut Inserted,
) -> Result<(), Unresolved> {
    let span = value.span();
    match value.get_mut() {
        DeValue::String(text) if text.contains(OPEN) => {
            let resolved = expand(text, look_up, inserted);
            let resolved = resolved.map_err(|problem| Unresolved { span, message: format!("{key}: {problem}") })?;
            *text = resolved.into();
            Ok(())
        }
        DeValue::Array(items) => {
            let mut items = items.iter_mut().enumerate();
            items.try_for_each(|(n, item)| resolve_value(item, &format!("{key}[{n}]"), look_up, inserted))
        }
        DeValue::Table(table) => resolve_table(table, key, look_up, inserted),
        _ => Ok(()),
    }
}

/// `text` with the values of its references. `$${` is a literal `${`.
fn expand(text: &str, look_up: LookUp<'_>, inserted: &mut Inserted) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        if let Some(before) = before.strip_suffix('$') {
            out.extend([before, OPEN]);
            rest = after;
            continue;
        }
        // The text is not quoted: it may be a part of a password.
        let (inside, after) = after.split_once('}').ok_or("${ has no }; write $${ for a literal ${")?;
        let reference = Reference::parse(inside).ok_or(
            "${…} holds neither the name of an environment variable nor file: with a path; write $${ for a literal ${",
        )?;
        let value = look_up(reference)?;
        out.extend([before, &value]);
        inserted.add(value, &format!("{OPEN}{inside}}}"));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn look_up(reference: Reference<'_>) -> Result<String, String> {
        match reference {
            Reference::Variable("USER") => Ok("admin".to_owned()),
            Reference::Variable("ODD") => Ok("a\"b${USER}".to_owned()),
            Reference::Variable(name) => variable(name, None),
            Reference::File("cam/password") => Ok("s3cret".to_owned()),
            Reference::File(path) => Err(format!("the file {path:?} cannot be used: it is away")),
        }
    }

    fn expanded(text: &str) -> Result<String, String> {
        expand(text, &look_up, &mut Inserted::default())
    }

    #[test]
    fn references_are_replaced_and_a_doubled_dollar_is_literal() {
        for (text, result) in [
            ("rtsp://${USER}:${file:cam/password}@cam/a", "rtsp://admin:s3cret@cam/a"),
            ("$ {USER} $USER %{USER} {USER} $", "$ {USER} $USER %{USER} {USER} $"),
            ("$${USER}", "${USER}"),
            ("$${USER} ${USER}", "${USER} admin"),
            ("$$${USER}", "$${USER}"),
            ("${USER}${USER}", "adminadmin"),
            // A value is not read again.
            ("${ODD}", "a\"b${USER}"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(result), "{text}");
        }
    }

    #[test]
    fn unusable_reference_is_named_without_the_text_around_it() {
        for (text, says) in [
            ("rtsp://a:se${PASS}cret@cam", "the environment variable PASS is not set"),
            ("rtsp://a:se${file:x}cret@cam", "the file \"x\" cannot be used"),
            ("rtsp://a:se${cret@cam", "${ has no }"),
            ("rtsp://a:se${cr et}@cam", "neither the name of"),
            ("rtsp://a:se${}cret@cam", "neither the name of"),
            ("rtsp://a:se${file:}cret@cam", "neither the name of"),
            ("rtsp://a:se${1}cret@cam", "neither the name of"),
        ] {
            let error = expanded(text).unwrap_err();
            assert!(error.contains(says) && !error.contains("cret") && !error.contains("cr et"), "{text}: {error}");
        }
    }

    #[test]
    fn variable_that_is_empty_or_not_text_is_named() {
        use std::os::unix::ffi::OsStringExt as _;
        assert_eq!(variable("A", Some("x".into())).as_deref(), Ok("x"));
        for (value, problem) in [
            (None, "is not set"),
            (Some(OsString::new()), "is empty"),
            (Some(OsString::from_vec(vec![0xff])), "is not UTF-8"),
        ] {
            let error = variable("A", value).unwrap_err();
            assert!(error.starts_with(&format!("the environment variable A {problem}; set it")), "{error}");
        }
    }

    #[test]
    fn first_line_of_a_file_is_its_value() {
        let folder = std::env::temp_dir().join(format!("sightline-references-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = |bytes: &[u8]| {
            std::fs::write(folder.join("secret"), bytes).unwrap();
            Reference::File("secret").look_up(&folder)
        };
        assert_eq!(file(b"s3cret\r\nmore").as_deref(), Ok("s3cret"));
        assert_eq!(file(b"s3cret").as_deref(), Ok("s3cret"));
        for (bytes, problem) in
            [(&b""[..], "first line is empty"), (b"\ns3cret", "first line is empty"), (&[0xff], "UTF-8")]
        {
            let error = file(bytes).unwrap_err();
            assert!(error.contains(problem) && error.contains("secret\"") && !error.contains("s3cret"), "{error}");
        }
        let error = Reference::File("nowhere").look_up(&folder).unwrap_err();
        assert!(error.contains("nowhere") && error.contains("No such file"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn values_of_tables_and_arrays_are_replaced_and_keys_are_not() {
        let text = "a = \"${USER}\"\n[b.\"${USER}\"]\nc = [\"x\", \"${file:cam/password}\"]\nd = 1";
        let mut table = DeTable::parse(text).unwrap();
        let inserted = resolve(table.get_mut(), &look_up).unwrap_or_else(|error| panic!("{}", error.message));
        let shown = format!("{table:?}");
        assert!(shown.contains("admin") && shown.contains("s3cret") && shown.contains("${USER}"), "{shown}");
        assert_eq!(inserted.hide("\"admin\" and s3cret"), "\"${USER}\" and ${file:cam/password}");

        let text = "[b]\nc = [\"x\", \"${GONE}\"]";
        let mut table = DeTable::parse(text).unwrap();
        let error = resolve(table.get_mut(), &look_up).err().unwrap();
        assert!(error.message.starts_with("b.c[1]: the environment variable GONE is not set"), "{}", error.message);
        assert_eq!(&text[error.span], "\"${GONE}\"");
    }

    proptest! {
        #[test]
        fn no_message_shows_a_value(value in "\\PC{1,12}", before in "\\PC{0,8}", after in "\\PC{0,8}") {
            let mut inserted = Inserted::default();
            inserted.add(value.clone(), "${}");
            let escaped: String = value.escape_debug().collect();
            prop_assume!(!"${}".contains(&value));
            for quoted in [&value, &escaped] {
                let hidden = inserted.hide(&format!("{before}{quoted}{after}"));
                prop_assert!(!hidden.replace("${}", "\u{1}").contains(&value), "{hidden}");
            }
        }

        #[test]
        fn any_text_is_expanded_or_refused(text in "[${}a-c:$file]{0,24}") {
            if let Ok(out) = expanded(&text) {
                prop_assert!(text.contains(OPEN) || out == text);
            }
        }
    }
}

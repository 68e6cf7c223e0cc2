//! Which configuration a command uses: the named one, the one in this folder, the machine's, or the built-in demo streams.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::config::{Config, ConfigError};

/// Where a configuration is looked for if none is named, in this order: in the working folder, and where the package has it.
pub(super) const PLACES: [&str; 2] = ["./sightline.toml", "/etc/sightline/sightline.toml"];

/// The configuration in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// A file.
    File(PathBuf),
    /// The demo streams, because `--demo` asks for them.
    Demo,
    /// The demo streams, because there is no file.
    Nowhere,
}

/// The command line names more than one configuration.
#[derive(Debug, thiserror::Error)]
#[error("the command line names two configurations, {0} and {1}; name one")]
pub(super) struct TwoConfigurations(String, String);

impl Location {
    /// The location that the command line names: by an option, as an argument, or by `--demo`.
    ///
    /// # Errors
    /// It names more than one.
    pub(super) fn named(files: &[Option<&PathBuf>], demo: bool) -> Result<Option<Self>, TwoConfigurations> {
        let files = files.iter().copied().flatten().map(|file| Self::File(file.clone()));
        let mut named = files.chain(demo.then_some(Self::Demo));
        match (named.next(), named.next()) {
            (Some(first), Some(second)) => Err(TwoConfigurations(first.word(), second.word())),
            (first, _) => Ok(first),
        }
    }

    /// The location if the command line names none.
    pub(super) fn find() -> Self {
        Self::first(is_there)
    }

    fn first(is_there: impl Fn(&Path) -> bool) -> Self {
        let place = PLACES.iter().map(Path::new).find(|place| is_there(place));
        place.map_or(Self::Nowhere, |place| Self::File(place.to_owned()))
    }

    /// The file, if it is one.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Demo | Self::Nowhere => None,
        }
    }

    /// How the command line names it.
    fn word(&self) -> String {
        self.file().map_or_else(|| "--demo".to_owned(), |file| file.display().to_string())
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub(super) fn read(&self) -> Result<Config, ConfigError> {
        self.file().map_or_else(|| Ok(Config::demo()), Config::read)
    }
}

/// The streams, as the start says: "shows the cameras of ./sightline.toml".
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the cameras of {}", path.display()),
            Self::Demo => f.write_str("the built-in demo streams"),
            Self::Nowhere => {
                write!(f, "the built-in demo streams (there is no {} and no {})", PLACES[0], PLACES[1])
            }
        }
    }
}

/// Whether there is a file. One that this account may not see counts: its reading fails, and says why.
fn is_there(path: &Path) -> bool {
    match path.metadata() {
        Ok(metadata) => !metadata.is_dir(),
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_folder_comes_before_the_machine_and_the_demo_last() {
        let first = |there: &[&str]| Location::first(|place| there.iter().any(|there| Path::new(there) == place));
        let file = |path: &str| Location::File(path.into());
        assert_eq!(first(&PLACES), file("./sightline.toml"));
        assert_eq!(first(&PLACES[1..]), file("/etc/sightline/sightline.toml"));
        assert_eq!(first(&[]), Location::Nowhere);
        let shown = Location::Nowhere.to_string();
        assert!(PLACES.iter().all(|place| shown.contains(place)), "{shown}");
    }

    #[test]
    fn command_line_names_at_most_one_file() {
        let (a, b) = (PathBuf::from("a.toml"), PathBuf::from("b.toml"));
        assert_eq!(Location::named(&[None, Some(&a)], false).unwrap(), Some(Location::File(a.clone())));
        assert_eq!(Location::named(&[None, None], true).unwrap(), Some(Location::Demo));
        assert_eq!(Location::named(&[None, None], false).unwrap(), None);
        let error = Location::named(&[Some(&a), Some(&b)], false).unwrap_err().to_string();
        assert!(error.contains("a.toml and b.toml"), "{error}");
        let error = Location::named(&[Some(&a), None], true).unwrap_err().to_string();
        assert!(error.contains("a.toml and --demo"), "{error}");
    }

    #[test]
    fn unreadable_file_counts_and_a_folder_does_not() {
        let folder = std::env::temp_dir();
        assert!(!is_there(&folder));
        assert!(!is_there(&folder.join("no/such/sightline.toml")));
    }
}

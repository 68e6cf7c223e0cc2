//! The target `config`: a configuration, without the files that it names.

use super::File;

/// See [`crate::fuzz`].
pub fn config(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match File::parse(text) {
        Ok(file) => {
            if let Ok(config) = file.resolve() {
                assert!(!config.streams.is_empty());
            }
        }
        Err((line, _)) => assert!(line <= text.matches('\n').count() + 1, "the mistake is in the file"),
    }
}

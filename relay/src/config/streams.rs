//! Reads `[streams]`, in the order of the file.

use std::fmt;
use std::marker::PhantomData;

use indexmap::IndexMap;
use indexmap::map::Entry;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use sightline_protocol::stream::StreamName;

/// Streams by name. TOML refuses a duplicate key; this also refuses two keys that differ in Unicode normalization only.
pub(super) fn unique<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<IndexMap<StreamName, T>, D::Error> {
    deserializer.deserialize_map(Unique(PhantomData))
}

struct Unique<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Unique<T> {
    type Value = IndexMap<StreamName, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of streams")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut streams = IndexMap::new();
        while let Some((name, stream)) = map.next_entry::<StreamName, T>()? {
            match streams.entry(name) {
                Entry::Vacant(entry) => drop(entry.insert(stream)),
                Entry::Occupied(entry) => {
                    return Err(A::Error::custom(format!("stream name {:?} appears twice; remove one", entry.key())));
                }
            }
        }
        Ok(streams)
    }
}

//! A value that is already JSON text.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, ser};
use serde_json::value::RawValue;

use super::scratch;

/// A payload as it stands in the log: serialised once, embedded as it is, cheap to clone. Always a single line.
///
/// Its `Debug` shows the length only: payloads are never logged.
#[derive(Clone)]
pub struct Json(Arc<str>);

impl Json {
    /// Serialises a value.
    ///
    /// # Errors
    /// If the value can't be JSON: a map whose keys aren't text, or an error of its own `Serialize`.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        scratch::with_bytes(
            |bytes| serde_json::to_writer(bytes, value),
            |text| {
                text.map(Self::from_text).ok_or_else(|| ser::Error::custom("what JSON is written in is text"))
            },
        )
    }

    /// Reads the value back as `T`.
    ///
    /// # Errors
    /// If the text is not a `T`.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.as_str())
    }

    /// A value may hold JSON text of its own, and that text may have line breaks. They stand between its parts, for
    /// within a string JSON writes them otherwise: a space does as well.
    fn from_text(json: &str) -> Self {
        const LINE_BREAKS: [char; 2] = ['\n', '\r'];
        if memchr::memchr2(b'\n', b'\r', json.as_bytes()).is_some() {
            return Self(json.replace(LINE_BREAKS, " ").into());
        }
        Self(json.into())
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

impl std::hash::Hash for Json {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({} bytes)", self.as_str().len())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // As JSON, not as a text that holds JSON. Seldom done: entries are written by hand.
        serde_json::from_str::<&RawValue>(&self.0).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self::from_text(raw.get()))
    }
}

/// Reads a field that is there. `null` is a payload as any other (it is what `()` becomes), whereas serde by itself
/// reads it as `None`.
pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

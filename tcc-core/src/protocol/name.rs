//! Names that are kept in logs: of groups, transactions, participants and actions.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The greatest length of a [`Name`] and of a [`Group`], in bytes.
pub const MAX_NAME: usize = 64;

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It has no character at all.
    #[error("a name is empty: give it 1 to {MAX_NAME} characters")]
    Empty,
    /// It is longer than [`MAX_NAME`].
    #[error("the name beginning with {start:?} has {length} bytes: at most {MAX_NAME} are allowed")]
    TooLong {
        /// Its first characters.
        start: String,
        /// Its length in bytes.
        length: usize,
    },
    /// It has a character that is not allowed.
    #[error("the name {name:?} has the character {character:?}: allowed are a-z, A-Z, 0-9, '_' and '-'")]
    Character {
        /// The name.
        name: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// It is not a participant, a dot and an action.
    #[error("the action {name:?} is not of the form \"participant.action\"")]
    NotAnAction {
        /// The name.
        name: String,
    },
}

const fn allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_NAME {
        return Err(NameError::TooLong { start: text.chars().take(16).collect(), length: text.len() });
    }
    if text.bytes().all(allowed) {
        return Ok(());
    }
    match text.chars().find(|c| !(c.is_ascii() && allowed(*c as u8))) {
        Some(character) => Err(NameError::Character { name: text.to_owned(), character }),
        None => Ok(()),
    }
}

/// The text of a name. A clone costs no allocation: names are cloned into every entry that is written.
#[derive(Clone)]
enum Text {
    Static(&'static str),
    Shared(Arc<str>),
}

impl From<Cow<'static, str>> for Text {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::Static(text),
            Cow::Owned(text) => Self::Shared(text.into()),
        }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for Text {
    /// As its text: names are looked up by it.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

macro_rules! name {
    ($name:ident, $check:path) => {
        impl $name {
            /// Takes the text if it may be such a name.
            ///
            /// # Errors
            /// [`NameError`] says what is wrong with it.
            pub fn new(text: impl Into<Cow<'static, str>>) -> Result<Self, NameError> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(Text::from(text)))
            }

            /// Its text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                $check(text)?;
                Ok(Self(Text::Shared(text.into())))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.as_str().to_owned()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

/// The name of a transaction or of a participant: 1 to [`MAX_NAME`] of `a-z`, `A-Z`, `0-9`, `_` and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(Text);
name!(Name, check);

/// The instances of one application that share a store and settle each other's transactions: `shop`.
///
/// The same characters and length as a [`Name`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Group(Text);
name!(Group, check);

/// The persisted name of an action: its participant's [`Name`], a dot, and its own, as in `inventory.reserve`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct ActionName(Text);
name!(ActionName, check_action);

fn check_action(text: &str) -> Result<(), NameError> {
    let (participant, action) = text
        .split_once('.')
        .ok_or_else(|| NameError::NotAnAction { name: text.chars().take(140).collect() })?;
    check(participant)?;
    check(action)
}

impl ActionName {
    /// The participant's part: `inventory` of `inventory.reserve`.
    pub fn participant(&self) -> &str {
        self.0.split_once('.').map_or(&*self.0, |(participant, _)| participant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_text_wherever_that_is_kept() {
        let hash = |name: &dyn Fn(&mut std::hash::DefaultHasher)| {
            let mut hasher = std::hash::DefaultHasher::new();
            name(&mut hasher);
            hasher.finish()
        };
        let (constant, owned) = (Name::new("shop").unwrap(), Name::new("shop".to_owned()).unwrap());
        assert_eq!(constant, owned);
        assert_eq!(constant.cmp(&owned), Ordering::Equal);
        assert!(constant < Name::new("shops".to_owned()).unwrap());
        let hashes = [hash(&|h| constant.hash(h)), hash(&|h| owned.hash(h)), hash(&|h| "shop".hash(h))];
        assert!(hashes.iter().all(|other| *other == hashes[0]), "it is looked up by its text");
    }

    #[test]
    fn names_are_short_and_plain() {
        assert_eq!(Name::new("check-out_2").unwrap().as_str(), "check-out_2");
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert!(Name::new("x".repeat(MAX_NAME)).is_ok());
        assert!(matches!(Name::new("x".repeat(MAX_NAME + 1)), Err(NameError::TooLong { length: 65, .. })));
        assert!(matches!(Name::new("a b"), Err(NameError::Character { character: ' ', .. })));
        assert!(matches!(Name::new("größe"), Err(NameError::Character { character: 'ö', .. })));
        assert!(matches!(Group::new("{shop}"), Err(NameError::Character { character: '{', .. })));
    }

    #[test]
    fn an_action_is_named_with_its_participant() {
        let action = ActionName::new("inventory.reserve").unwrap();
        assert_eq!(action.participant(), "inventory");
        for wrong in ["reserve", "a.b.c", ".b", "a."] {
            assert!(ActionName::new(wrong).is_err(), "{wrong}");
        }
    }
}

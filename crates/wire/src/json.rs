//! Reading JSON whose shape is not trusted: a value of the wrong kind becomes data ([`Found::Other`]) that a
//! sentence can name, instead of a parser error that quotes the request.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::WireError;

/// What kind of JSON value stands somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// A string.
    Text,
    /// A list.
    List,
    /// An object.
    Object,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::List => "a list",
            Self::Object => "an object",
        })
    }
}

impl Kind {
    /// The kind of a value from its first character.
    pub(crate) fn of(raw: &RawValue) -> Self {
        match raw.get().as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't' | b'f') => Self::Bool,
            Some(b'"') => Self::Text,
            Some(b'[') => Self::List,
            Some(b'{') => Self::Object,
            _ => Self::Number,
        }
    }
}

/// Parses a whole body; the text must be UTF-8, with or without a byte order mark.
pub(crate) fn parse<'de, T: Shape<'de>>(body: &'de [u8]) -> Result<T, WireError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = std::str::from_utf8(body).map_err(|error| WireError::not_utf8(body, error))?;
    let shaped: Shaped<T> =
        serde_json::from_str(text).map_err(|error| WireError::syntax(text, &error))?;
    Ok(shaped.0)
}

/// A value that is read from whichever kind of JSON stands there.
pub(crate) trait Shape<'de>: Sized {
    fn other(kind: Kind) -> Self;

    fn text(_text: Cow<'de, str>) -> Self {
        Self::other(Kind::Text)
    }

    fn count(_count: u64) -> Self {
        Self::other(Kind::Number)
    }

    fn list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Shaped<Skipped>>()?.is_some() {}
        Ok(Self::other(Kind::List))
    }

    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        while object.next_entry::<Shaped<Skipped>, Shaped<Skipped>>()?.is_some() {}
        Ok(Self::other(Kind::Object))
    }
}

/// Carries a [`Shape`] through serde.
pub(crate) struct Shaped<T>(pub(crate) T);

impl<'de, T: Shape<'de>> Deserialize<'de> for Shaped<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // `deserialize_any` and not `deserialize_ignored_any` even for skipped values: only the former counts
        // nesting, so that a deep document is refused wherever the depth is.
        deserializer.deserialize_any(ShapeVisitor(PhantomData)).map(Shaped)
    }
}

struct ShapeVisitor<T>(PhantomData<T>);

impl<'de, T: Shape<'de>> Visitor<'de> for ShapeVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::other(Kind::Null))
    }

    fn visit_bool<E>(self, _: bool) -> Result<T, E> {
        Ok(T::other(Kind::Bool))
    }

    fn visit_u64<E>(self, value: u64) -> Result<T, E> {
        Ok(T::count(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<T, E> {
        Ok(T::other(Kind::Number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        Ok(T::other(Kind::Number))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<T, E> {
        Ok(T::text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<T, E> {
        Ok(T::text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        T::list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        T::object(object)
    }
}

/// A value whose content does not matter.
pub(crate) struct Skipped;

impl<'de> Shape<'de> for Skipped {
    fn other(_: Kind) -> Self {
        Self
    }

    fn text(_: Cow<'de, str>) -> Self {
        Self
    }
}

/// Passes over the value of the key just read.
pub(crate) fn skip_value<'de, A: MapAccess<'de>>(object: &mut A) -> Result<(), A::Error> {
    object.next_value::<Shaped<Skipped>>().map(|_| ())
}

/// Either the wanted shape or the kind that stood in its place.
pub(crate) enum Found<T> {
    Wanted(T),
    Other(Kind),
}

impl<T> Found<T> {
    /// The wanted value, or a sentence that names `path` and what was expected there.
    pub(crate) fn expect(self, path: &str, expected: &'static str) -> Result<T, WireError> {
        match self {
            Self::Wanted(value) => Ok(value),
            Self::Other(found) => {
                Err(WireError::WrongKind { path: path.to_owned(), expected, found })
            }
        }
    }
}

/// A string.
pub(crate) struct Text<'de>(pub(crate) Cow<'de, str>);

impl<'de> Shape<'de> for Found<Text<'de>> {
    fn other(kind: Kind) -> Self {
        Self::Other(kind)
    }

    fn text(text: Cow<'de, str>) -> Self {
        Self::Wanted(Text(text))
    }
}

/// The first `CAP` items of a list, and how many there were: a list of millions costs no memory.
pub(crate) struct Capped<T, const CAP: usize> {
    pub(crate) kept: Vec<T>,
    pub(crate) total: usize,
}

impl<'de, T: Deserialize<'de>, const CAP: usize> Shape<'de> for Found<Capped<T, CAP>> {
    fn other(kind: Kind) -> Self {
        Self::Other(kind)
    }

    fn list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < CAP {
            match list.next_element()? {
                Some(item) => kept.push(item),
                None => {
                    let total = kept.len();
                    return Ok(Self::Wanted(Capped { kept, total }));
                }
            }
        }
        let mut total = kept.len();
        while list.next_element::<Shaped<Skipped>>()?.is_some() {
            total += 1;
        }
        Ok(Self::Wanted(Capped { kept, total }))
    }
}

/// A key of an object.
pub(crate) struct Name<'de>(pub(crate) Cow<'de, str>);

impl<'de> Shape<'de> for Name<'de> {
    fn other(_: Kind) -> Self {
        Self(Cow::Borrowed(""))
    }

    fn text(text: Cow<'de, str>) -> Self {
        Self(text)
    }
}

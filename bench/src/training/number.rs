//! Numbers in JSON, which has none for NaN and the infinities: these are words, as Rust writes them.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

#[derive(Deserialize)]
#[serde(untagged)]
enum Any {
    Number(f64),
    Word(String),
}

/// A number, or a word.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() { to.serialize_f64(*value) } else { to.serialize_str(&value.to_string()) }
}

/// The inverse of [`serialize`].
///
/// # Errors
/// What is neither a number nor such a word.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    match Any::deserialize(from)? {
        Any::Number(number) => Ok(number),
        Any::Word(word) => word.parse().map_err(|_| D::Error::custom(format!("`{word}` is no number"))),
    }
}

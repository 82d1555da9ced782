//! The stored form of values and messages: one format-version byte, then bincode.
//!
//! Invariant: an unknown version is refused, never guessed. bincode is named nowhere else.

use std::convert::Infallible;

use bincode::config;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::scratch;

/// A type with a stored form.
pub trait Format: Serialize {
    /// Raised whenever bytes of the old form can no longer be read as the new one. Readers are
    /// released before writers.
    const VERSION: u8;
}

/// Why bytes could not be read. The task that meets this parks; nothing is rejected for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("no format version: the value is empty")]
    Empty,
    #[error(
        "format version {found} of {what} is not known here (this build reads {known}); run a newer build"
    )]
    UnknownVersion { what: &'static str, found: u8, known: u8 },
    #[error("{what} cannot be decoded: {reason}")]
    Corrupt { what: &'static str, reason: String },
}

/// Writes the version byte and the value behind what is in `out` already.
pub fn encode_into<T: Format>(value: &T, out: &mut Vec<u8>) {
    out.push(T::VERSION);
    bincode::serde::encode_into_std_write(value, out, config::standard())
        .expect("writing plain data into memory cannot fail");
}

pub fn encode<T: Format>(value: &T) -> Vec<u8> {
    let written = scratch::written(|out| {
        encode_into(value, out);
        Ok::<_, Infallible>(())
    });
    match written {
        Ok(bytes) => bytes,
    }
}

pub fn decode<T: Format + DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let body = body_of::<T>(bytes)?;
    match bincode::serde::decode_from_slice(body, config::standard()) {
        Ok((value, read)) if read == body.len() => Ok(value),
        Ok((_, read)) => Err(trailing::<T>(body.len() - read)),
        Err(error) => Err(corrupt::<T>(&error)),
    }
}

/// As [`decode`], with strings and bytes borrowed from the input.
pub fn borrow<'a, T: Format + Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Error> {
    let body = body_of::<T>(bytes)?;
    match bincode::serde::borrow_decode_from_slice(body, config::standard()) {
        Ok((value, read)) if read == body.len() => Ok(value),
        Ok((_, read)) => Err(trailing::<T>(body.len() - read)),
        Err(error) => Err(corrupt::<T>(&error)),
    }
}

fn body_of<T: Format>(bytes: &[u8]) -> Result<&[u8], Error> {
    match bytes.split_first() {
        None => Err(Error::Empty),
        Some((&version, body)) if version == T::VERSION => Ok(body),
        Some((&found, _)) => {
            Err(Error::UnknownVersion { what: what::<T>(), found, known: T::VERSION })
        }
    }
}

fn corrupt<T>(error: &bincode::error::DecodeError) -> Error {
    Error::Corrupt { what: what::<T>(), reason: error.to_string() }
}

fn trailing<T>(bytes: usize) -> Error {
    Error::Corrupt { what: what::<T>(), reason: format!("{bytes} bytes too many") }
}

fn what<T>() -> &'static str {
    let name = std::any::type_name::<T>();
    let name = name.split('<').next().unwrap_or(name);
    name.rsplit("::").next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Line {
        sku: String,
        quantity: i64,
    }

    impl Format for Line {
        const VERSION: u8 = 3;
    }

    #[test]
    fn a_value_survives_and_carries_its_version() {
        let line = Line { sku: "A-1".into(), quantity: -2 };
        let bytes = encode(&line);
        assert_eq!(bytes[0], 3);
        assert_eq!(decode::<Line>(&bytes), Ok(line));
    }

    #[test]
    fn foreign_bytes_are_refused() {
        let mut bytes = encode(&Line { sku: "A".into(), quantity: 1 });
        bytes[0] = 4;
        assert_eq!(
            decode::<Line>(&bytes),
            Err(Error::UnknownVersion { what: "Line", found: 4, known: 3 })
        );
        assert_eq!(decode::<Line>(&[]), Err(Error::Empty));
        bytes[0] = 3;
        bytes.push(0);
        assert!(matches!(decode::<Line>(&bytes), Err(Error::Corrupt { .. })));
        assert!(matches!(decode::<Line>(&bytes[..2]), Err(Error::Corrupt { .. })));
    }
}

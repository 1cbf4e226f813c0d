//! Why a worker could not go on.

use std::fmt;
use std::time::Duration;

use super::comm::Tag;

/// What ends a training on several workers. Numbers of workers are ranks in the whole grid.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A call of the library was refused.
    Core(trine_core::Error),
    /// The other end is no longer there.
    Gone {
        /// Who.
        rank: usize,
        /// What was expected of it or sent to it.
        tag: Tag,
    },
    /// A bug, or a test, ended a thread.
    Panicked {
        /// Whose.
        rank: usize,
    },
    /// Nothing came in time.
    Timeout {
        /// From or to whom.
        rank: usize,
        /// What.
        tag: Tag,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A message of the wrong size.
    Length {
        /// From whom.
        rank: usize,
        /// What.
        tag: Tag,
        /// Values that should be in it.
        expected: usize,
        /// Values that are.
        found: usize,
    },
    /// Another worker was started with something else.
    Differs {
        /// Who.
        rank: usize,
        /// What: the name of a setting, or the data.
        what: String,
    },
    /// Replicas whose weights should be the same have grown apart.
    Weights {
        /// Who.
        rank: usize,
        /// The first layer that differs.
        layer: usize,
        /// After which epoch, from 1.
        epoch: usize,
    },
    /// The settings do not go together.
    Settings(String),
    /// A file could not be read or written; or what is in it.
    File(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Core(error) => error.fmt(f),
            Error::Gone { rank, tag } => write!(f, "worker {rank} is gone ({tag})"),
            Error::Panicked { rank } => write!(f, "worker {rank} panicked"),
            Error::Timeout { rank, tag, waited } => {
                write!(f, "no sign of worker {rank} for {:.1} s ({tag})", waited.as_secs_f64())
            }
            Error::Length { rank, tag, expected, found } => {
                write!(f, "a message of worker {rank} has {found} values, not {expected} ({tag})")
            }
            Error::Differs { rank, what } => write!(f, "worker {rank} was started with another {what}"),
            Error::Weights { rank, layer, epoch } => {
                write!(f, "layer {layer} of worker {rank} has other weights after epoch {epoch}")
            }
            Error::Settings(text) | Error::File(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}

impl From<trine_core::Error> for Error {
    fn from(error: trine_core::Error) -> Self {
        Error::Core(error)
    }
}

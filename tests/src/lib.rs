//! What the suites are made of: operands in awkward memory, cases that quickcheck draws and
//! shrinks, comparison by bits.
//!
//! A [`Case`] says everything about one call: the operation, the shape, where each operand lies,
//! what is in it. [`Case::run`] carries it out with any implementation and returns all operands as
//! they are afterwards; two implementations agree if these are the same bits, the gaps between
//! the elements included.

pub mod case;
pub mod exact;
pub mod memory;
pub mod operand;
pub mod property;
pub mod run;
pub mod sizes;
pub mod values;
pub mod volume;
pub mod words;

pub use case::{Blocks, Case, Op, Role};
pub use memory::{Buffer, Memory};
pub use operand::{Operand, Order, Place};
pub use property::{Property, hold, hold_in};
pub use run::{Outcome, agree};
pub use values::Values;

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

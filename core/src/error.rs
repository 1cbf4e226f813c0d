//! What was wrong with a call: which operand, what was expected, what was found.

use core::fmt;

/// A side of a matrix, or the length of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Number of rows.
    Rows,
    /// Number of columns.
    Columns,
    /// Number of values in a slice.
    Values,
}

impl Dim {
    const fn name(self, n: usize) -> &'static str {
        match (self, n) {
            (Dim::Rows, 1) => "row",
            (Dim::Rows, _) => "rows",
            (Dim::Columns, 1) => "column",
            (Dim::Columns, _) => "columns",
            (Dim::Values, 1) => "value",
            (Dim::Values, _) => "values",
        }
    }
}

/// Why a call was refused. Nothing has been written when it is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The address of the last element does not fit in `usize`.
    TooLarge {
        /// The operand in question.
        operand: &'static str,
    },
    /// A slice has fewer elements than its shape and strides reach.
    TooShort {
        /// The operand in question.
        operand: &'static str,
        /// Elements that shape and strides need.
        expected: usize,
        /// Elements that were given.
        found: usize,
    },
    /// Two elements of an output would share a place in memory.
    Overlap {
        /// Rows of the view.
        rows: usize,
        /// Columns of the view.
        cols: usize,
        /// Distance between two rows, in elements.
        row_stride: usize,
        /// Distance between two columns, in elements.
        col_stride: usize,
    },
    /// Two operands do not agree.
    Shape {
        /// The operand that does not fit.
        operand: &'static str,
        /// Its side.
        dim: Dim,
        /// The length of that side.
        found: usize,
        /// The operand it has to agree with.
        other: &'static str,
        /// The side there.
        other_dim: Dim,
        /// The length there.
        expected: usize,
    },
    /// A range reaches past the end of an operand.
    Range {
        /// Which side was cut.
        dim: Dim,
        /// End of the range.
        found: usize,
        /// Length of that side.
        expected: usize,
    },
    /// An operand is needed and was not given.
    Missing {
        /// The operand in question.
        operand: &'static str,
        /// What needs it.
        needed_by: &'static str,
    },
    /// A row's class is not one of the columns.
    Class {
        /// The row in question.
        row: usize,
        /// Its class.
        found: u32,
        /// How many columns there are.
        expected: usize,
    },
    /// A number is outside its domain.
    Value {
        /// The parameter in question.
        operand: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// The scratch memory handed in is too small.
    Scratch {
        /// Units needed (see the function that tells the length).
        expected: usize,
        /// Units given.
        found: usize,
    },
    /// The instruction set asked for cannot be used.
    Isa {
        /// Its name.
        wanted: &'static str,
        /// Why it cannot be used.
        reason: &'static str,
    },
    /// A cache slot was used out of turn.
    Slot {
        /// The slot in question.
        slot: usize,
        /// What was found there.
        found: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::TooLarge { operand } => {
                write!(f, "{operand}: shape and strides reach beyond the address space")
            }
            Error::TooShort { operand, expected, found } => {
                write!(f, "{operand} needs {expected} {}, but has {found}", Dim::Values.name(expected))
            }
            Error::Overlap { rows, cols, row_stride, col_stride } => write!(
                f,
                "output of {rows}×{cols} with row stride {row_stride} and column stride {col_stride} \
                 would have two elements in one place"
            ),
            Error::Shape { operand, dim, found, other, other_dim, expected } => write!(
                f,
                "{operand} has {found} {}, but {other} has {expected} {}",
                dim.name(found),
                other_dim.name(expected)
            ),
            Error::Range { dim, found, expected } => write!(
                f,
                "a range ends at {} {found}, but there {} {expected} {}",
                dim.name(1),
                if expected == 1 { "is" } else { "are" },
                dim.name(expected)
            ),
            Error::Missing { operand, needed_by } => {
                write!(f, "{operand} is missing, but {needed_by} needs it")
            }
            Error::Class { row, found, expected } => write!(
                f,
                "target of row {row} is class {found}, but y has {expected} {}",
                Dim::Columns.name(expected)
            ),
            Error::Value { operand, expected } => write!(f, "{operand} must be {expected}"),
            Error::Scratch { expected, found } => {
                write!(f, "scratch needs {expected} units, but has {found}")
            }
            Error::Isa { wanted, reason } => write!(f, "{wanted} cannot be used: {reason}"),
            Error::Slot { slot, found } => write!(f, "cache slot {slot} is {found}"),
        }
    }
}

impl core::error::Error for Error {}

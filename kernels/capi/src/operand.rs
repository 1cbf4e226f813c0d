//! Matrices at pointers, and all that is checked of them before anything is computed.

use trine_core::view::Layout;
use trine_core::{Element, Error};
use trine_kernels::raw::{Source, Target};

use crate::status::Failure;

/// A matrix that is read: element (i, j) is `data[i·row_stride + j·col_stride]`. Strides are in elements; a
/// stride of 0 repeats a row or column. The transpose is the same with rows and columns exchanged, sides
/// and strides. `data` may be null if there are no elements. All zero: the operand is not given.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trine_in<E> {
    /// The first element.
    pub data: *const E,
    /// Elements at `data`, or TRINE_ANY.
    pub len: usize,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// Distance from one row to the next.
    pub row_stride: usize,
    /// Distance from one column to the next.
    pub col_stride: usize,
}

/// A matrix that is written. No two of its elements may be in one place, none in that of another operand:
/// what lies between its elements is left alone, and other operands may be there if they have the same
/// strides, one of which is 1.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trine_out<E> {
    /// The first element.
    pub data: *mut E,
    /// Elements at `data`, or TRINE_ANY.
    pub len: usize,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// Distance from one row to the next.
    pub row_stride: usize,
    /// Distance from one column to the next.
    pub col_stride: usize,
}

impl<E> trine_out<E> {
    /// The same, to be read.
    pub(crate) fn read_only(self) -> trine_in<E> {
        let trine_out { data, len, rows, cols, row_stride, col_stride } = self;
        trine_in { data, len, rows, cols, row_stride, col_stride }
    }
}

/// An operand whose memory is as large as its layout says, as far as the caller has told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand<E> {
    name: &'static str,
    ptr: *const E,
    pub layout: Layout,
    /// Elements from the first to the last.
    span: usize,
}

impl<E: Element> Operand<E> {
    fn new(name: &'static str, data: *const E, len: usize, layout: Layout) -> Result<Self, Failure> {
        let too_large = Error::TooLarge { operand: name };
        let span = layout.span().ok_or(too_large)?;
        if span > len && len != usize::MAX {
            return Err(Error::TooShort { operand: name, expected: span, found: len }.into());
        }
        // To its end in bytes, as in every object of C or Rust.
        let bytes =
            span.checked_mul(E::BYTES).filter(|&bytes| isize::try_from(bytes).is_ok()).ok_or(too_large)?;
        data.addr().checked_add(bytes).ok_or(too_large)?;
        if span > 0 && data.is_null() {
            return Err(Failure::NullMatrix { operand: name, rows: layout.rows, cols: layout.cols });
        }
        if span > 0 && !data.is_aligned() {
            return Err(Failure::Misaligned { operand: name, size: align_of::<E>() });
        }
        Ok(Operand { name, ptr: data, layout, span })
    }

    /// A matrix that is read.
    pub fn read(name: &'static str, view: trine_in<E>) -> Result<Self, Failure> {
        let trine_in { data, len, rows, cols, row_stride, col_stride } = view;
        Self::new(name, data, len, Layout { rows, cols, row_stride, col_stride })
    }

    /// The same if it is given.
    pub fn read_if_given(name: &'static str, view: trine_in<E>) -> Result<Option<Self>, Failure> {
        let given = !view.data.is_null() || view.rows != 0 || view.cols != 0;
        given.then(|| Self::read(name, view)).transpose()
    }

    /// A matrix that is written.
    pub fn written(name: &'static str, view: trine_out<E>) -> Result<Self, Failure> {
        let operand = Self::read(name, view.read_only())?;
        let Layout { rows, cols, row_stride, col_stride } = operand.layout;
        if operand.layout.overlaps() {
            let error = Error::Overlap { rows, cols, row_stride, col_stride };
            return Err(Failure::Layer(error, Some(name)));
        }
        Ok(operand)
    }

    /// The same if it is given.
    pub fn written_if_given(name: &'static str, view: trine_out<E>) -> Result<Option<Self>, Failure> {
        let given = !view.data.is_null() || view.rows != 0 || view.cols != 0;
        given.then(|| Self::written(name, view)).transpose()
    }

    /// Some values, if they are given.
    pub fn values(name: &'static str, data: *const E, len: usize) -> Result<Option<Self>, Failure> {
        if data.is_null() && len > 0 {
            return Err(Failure::Null(name));
        }
        let layout = Layout { rows: 1, cols: len, row_stride: len, col_stride: 1 };
        (!data.is_null()).then(|| Self::new(name, data, len, layout)).transpose()
    }

    /// To be read.
    pub fn source(&self) -> Source<E> {
        Source { ptr: self.ptr, row: self.layout.row_stride, col: self.layout.col_stride }
    }

    /// To be written: only of what was made by [`written`](Self::written).
    pub fn target(&self) -> Target<E> {
        Target { ptr: self.mut_ptr(), row: self.layout.row_stride, col: self.layout.col_stride }
    }

    /// The first element.
    pub fn ptr(&self) -> *const E {
        self.ptr
    }

    /// The first element, of what is written.
    pub fn mut_ptr(&self) -> *mut E {
        self.ptr.cast_mut()
    }

    /// Whether no element is in the place of one of `other`, as far as can be seen at once: one ends
    /// before the other begins, or they are different columns of the same rows (rows of the same
    /// columns).
    fn is_apart(&self, other: &Self) -> bool {
        let ends = |o: &Self| o.ptr.addr() + o.span * E::BYTES;
        if self.span == 0 || other.span == 0 {
            return true;
        }
        if ends(self) <= other.ptr.addr() || ends(other) <= self.ptr.addr() {
            return true;
        }
        let (first, second) = if self.ptr <= other.ptr { (self, other) } else { (other, self) };
        let strides = |o: &Self| (o.layout.row_stride, o.layout.col_stride);
        let (long, width, other_width) = match strides(first) {
            same if same != strides(second) => return false,
            (long, 1) => (long, first.layout.cols, second.layout.cols),
            (1, long) => (long, first.layout.rows, second.layout.rows),
            _ => return false,
        };
        if long == 0 {
            return false;
        }
        // Which column of the first one's rows the second begins in. Both are aligned.
        let column = (second.ptr.addr() - first.ptr.addr()) / E::BYTES % long;
        column >= width && column + other_width <= long
    }
}

/// Whether every output is apart from all other operands.
pub(crate) fn all_apart<E: Element>(
    outputs: &[Option<Operand<E>>],
    inputs: &[Option<Operand<E>>],
) -> Result<(), Failure> {
    for (i, output) in outputs.iter().enumerate() {
        for other in outputs[i + 1..].iter().chain(inputs) {
            if let (Some(output), Some(other)) = (output, other)
                && !output.is_apart(other)
            {
                return Err(Failure::Aliased(output.name, other.name));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By what is really there: no two elements in one place.
    fn really_apart(a: &Operand<f32>, b: &Operand<f32>) -> bool {
        let places = |o: &Operand<f32>| {
            let Layout { rows, cols, row_stride, col_stride } = o.layout;
            let start = o.ptr;
            (0..rows).flat_map(move |i| {
                (0..cols).map(move |j| start.wrapping_add(i * row_stride + j * col_stride))
            })
        };
        let of_a: std::collections::HashSet<_> = places(a).collect();
        places(b).all(|place| !of_a.contains(&place))
    }

    /// All small views of one buffer against each other: what is found apart is apart, and columns of one
    /// matrix that have no column in common are found apart.
    #[test]
    fn views_of_one_buffer() {
        let buffer = [0f32; 64];
        let mut views = Vec::new();
        for (row_stride, col_stride) in [(7, 1), (1, 7), (1, 1), (8, 1), (2, 3), (0, 1), (0, 0)] {
            for start in [0, 1, 3, 6, 7, 10, 15] {
                for (rows, cols) in [(0, 3), (1, 1), (1, 3), (3, 1), (2, 2), (3, 4), (4, 3), (5, 2)] {
                    let layout = Layout { rows, cols, row_stride, col_stride };
                    views.push(
                        Operand::new("view", &raw const buffer[start], 64 - start, layout).expect("fits"),
                    );
                }
            }
        }
        let (mut found, mut between) = (0, 0);
        for a in &views {
            for b in &views {
                assert_eq!(a.is_apart(b), b.is_apart(a));
                if a.is_apart(b) {
                    assert!(really_apart(a, b), "{a:?} {b:?}");
                    found += 1;
                    between += usize::from(a.ptr < b.ptr && b.ptr < a.ptr.wrapping_add(a.span));
                }
            }
        }
        assert!(found > 1000 && between > 50, "{found}, {between} of them one within the other");
        let columns = |from: usize, cols| {
            let layout = Layout { rows: 9, cols, row_stride: 7, col_stride: 1 };
            Operand::new("columns", &raw const buffer[from], 64 - from, layout).expect("fits")
        };
        assert!(columns(0, 3).is_apart(&columns(3, 4)));
        assert!(!columns(0, 4).is_apart(&columns(3, 4)));
    }
}

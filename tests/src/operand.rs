//! A matrix somewhere in a buffer: with padding, transposed, spread out, at any offset.

use quickcheck::{Arbitrary, Gen};
use trine_core::{Element, Layout, MatMut, MatRef};

use crate::memory::{Buffer, Memory};

/// Which of its neighbours comes next in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The one in the same row.
    Rows,
    /// The one in the same column: the transpose of a row-major matrix.
    Columns,
    /// Row stride 0, all rows are one. Inputs only; an output is then row-major.
    OneRow,
    /// Column stride 0, all columns are one. Inputs only.
    OneColumn,
}

/// Where a matrix lies in its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// What comes next in memory.
    pub order: Order,
    /// Distance of neighbours: 1 is contiguous.
    pub step: usize,
    /// Elements left out after each row (or column).
    pub pad: usize,
    /// Elements before the first.
    pub before: usize,
    /// Elements after the last.
    pub after: usize,
}

impl Place {
    /// Row-major, nothing around it.
    pub const PLAIN: Place = Place { order: Order::Rows, step: 1, pad: 0, before: 0, after: 0 };

    /// The same with another order.
    pub const fn ordered(self, order: Order) -> Self {
        Place { order, ..self }
    }

    /// Shape and strides of a matrix in this place.
    pub fn layout(&self, rows: usize, cols: usize, output: bool) -> Layout {
        let line = |len: usize| len.saturating_sub(1) * self.step + 1 + self.pad;
        let (row_stride, col_stride) = match self.order {
            Order::Columns => (self.step, line(rows)),
            Order::OneRow if !output => (0, self.step),
            Order::OneColumn if !output => (self.step, 0),
            _ => (line(cols), self.step),
        };
        Layout { rows, cols, row_stride, col_stride }
    }

    /// Whether two elements may be one and the same.
    pub const fn repeats(&self) -> bool {
        matches!(self.order, Order::OneRow | Order::OneColumn)
    }
}

impl Arbitrary for Place {
    fn arbitrary(g: &mut Gen) -> Self {
        let orders = [
            Order::Rows,
            Order::Rows,
            Order::Rows,
            Order::Columns,
            Order::Columns,
            Order::OneRow,
            Order::OneColumn,
        ];
        Place {
            order: *g.choose(&orders).expect("orders"),
            step: *g.choose(&[1, 1, 1, 2, 3]).expect("steps"),
            pad: *g.choose(&[0, 0, 1, 5, 16]).expect("pads"),
            before: *g.choose(&[0, 0, 1, 3, 7]).expect("offsets"),
            after: *g.choose(&[0, 1, 9]).expect("offsets"),
        }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let (this, plain) = (*self, Place::PLAIN);
        let simpler = [
            plain,
            this.ordered(plain.order),
            Place { step: 1, ..this },
            Place { pad: 0, ..this },
            Place { before: 0, after: 0, ..this },
        ];
        Box::new(simpler.into_iter().filter(move |&place| place != this))
    }
}

/// What lies in the gaps. A NaN, so that a kernel which reads one into a sum is found out, with a
/// payload that no arithmetic makes, so that one which writes to it is too.
pub fn sentinel<E: Element>() -> E {
    E::of_bits(E::NAN.bits() | 0x5a_5a5a)
}

/// A matrix in its buffer.
#[derive(Debug)]
pub struct Operand<E> {
    buffer: Buffer<E>,
    first: usize,
    layout: Layout,
}

impl<E: Element> Operand<E> {
    /// A matrix with these elements, sentinels everywhere else. Beside a guard page there is
    /// nothing before the first and after the last element.
    pub fn new(
        layout: Layout,
        place: &Place,
        memory: Memory,
        mut element: impl FnMut(usize, usize) -> E,
    ) -> Self {
        let (before, after) = if memory == Memory::Plain { (place.before, place.after) } else { (0, 0) };
        let span = layout.span().expect("a layout of a test fits");
        let mut buffer = Buffer::new(before + span + after, sentinel(), memory);
        for i in 0..layout.rows {
            for j in 0..layout.cols {
                buffer[before + i * layout.row_stride + j * layout.col_stride] = element(i, j);
            }
        }
        Operand { buffer, first: before, layout }
    }

    /// To be read.
    pub fn view(&self) -> MatRef<'_, E> {
        let Layout { rows, cols, row_stride, col_stride } = self.layout;
        MatRef::with_strides(&self.buffer[self.first..], rows, cols, row_stride, col_stride)
            .expect("the buffer was made for the layout")
    }

    /// To be written.
    pub fn view_mut(&mut self) -> MatMut<'_, E> {
        let Layout { rows, cols, row_stride, col_stride } = self.layout;
        MatMut::with_strides(&mut self.buffer[self.first..], rows, cols, row_stride, col_stride)
            .expect("the buffer was made for the layout")
    }

    /// As a vector: all from the first element on, for a matrix of one contiguous row.
    pub fn values(&self) -> &[E] {
        &self.buffer[self.first..self.first + self.layout.cols]
    }

    /// As a vector to be written.
    pub fn values_mut(&mut self) -> &mut [E] {
        &mut self.buffer[self.first..self.first + self.layout.cols]
    }

    /// The whole buffer, gaps included.
    pub fn buffer(&self) -> &[E] {
        &self.buffer
    }

    /// Shape and strides.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// For each place of the buffer, whether no element lies there.
    pub fn gaps(&self) -> Vec<bool> {
        let mut gaps = vec![true; self.buffer.len()];
        for i in 0..self.layout.rows {
            for j in 0..self.layout.cols {
                gaps[self.first + i * self.layout.row_stride + j * self.layout.col_stride] = false;
            }
        }
        gaps
    }
}

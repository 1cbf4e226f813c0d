//! Products on a core with one lane: a microtile of registers, no plan, nothing is copied.
//!
//! ```text
//!     for each block of K_BLOCK of the sum, in order
//!         for each microtile of up to 4×4 elements of C
//!             its sums, in registers        C = initial + alpha·sums
//!     after the last block, the activation
//! ```
//!
//! Every load serves four multiply-adds, where a plain triple loop loads twice for each. Strides are
//! free. There is one body for whole microtiles and one for four sums at a time, which serves the edges: few
//! instructions of flash, not the last cycle.

use core::marker::PhantomData;

use trine_core::{Activation, Element, K_BLOCK, Lanes};

use crate::elementwise::{activate, activate_inline};
use crate::isa::portable::Portable;
use crate::microkernel::{Table, Variants};
use crate::pack::Source;
use crate::problem::{Problem, Target};
use crate::tiles::{Initial, Tiles};

/// Rows and columns of a microtile.
pub const SIDE: usize = 4;

/// The sums of a microtile, row by row.
pub type Sums<E> = [[E; SIDE]; SIDE];

/// What a microtile is the product of: `rows × len` times `len × cols`.
#[derive(Clone, Copy)]
pub struct Part<E> {
    pub a: Source<E>,
    pub b: Source<E>,
    pub len: usize,
    pub rows: usize,
    pub cols: usize,
}

/// How sums are written.
#[derive(Clone, Copy)]
pub struct Ending<E> {
    pub alpha: E,
    pub initial: Initial<E>,
}

/// Computes a product in its best orientation.
///
/// # Safety
/// The operands can be accessed as their shapes and strides say; C (and Y) overlap nothing else, and no
/// two of their elements share a place.
#[inline(never)]
pub unsafe fn product<E: Element>(p: &Problem<E>) {
    // SAFETY: the contract is the same.
    unsafe { product_inline(p) };
}

/// The same, compiled where it is called: what is known of the problem there is used.
///
/// # Safety
/// As for [`product`].
#[inline(always)]
pub unsafe fn product_inline<E: Element>(p: &Problem<E>) {
    // SAFETY: parts of each operand; C is written after A and B have been read.
    unsafe {
        for pc in (0..p.k).step_by(K_BLOCK) {
            for i in (0..p.m).step_by(SIDE) {
                rows(p, (pc, K_BLOCK.min(p.k - pc)), (i, SIDE.min(p.m - i)));
            }
        }
        if p.k == 0 {
            p.write_empty_sums();
        }
        if p.activates() {
            activate_inline(Portable, p.activation, p.c.source(), p.y.unwrap_or(p.c), p.m, p.n);
        }
    }
}

/// Rows `i` to `i + rows` of C, of one block of the sum.
///
/// # Safety
/// As for [`product`]; `rows` is 1 to 4, `len` is not 0.
#[inline(always)]
unsafe fn rows<E: Element>(p: &Problem<E>, (pc, len): (usize, usize), (i, rows): (usize, usize)) {
    #[cfg(trine_vfma_f32)]
    if E::BYTES == 4 {
        // SAFETY: the contract is the same, and E is f32: no other element has its size.
        return unsafe { crate::isa::vfma::rows(&*core::ptr::from_ref(p).cast(), (pc, len), (i, rows)) };
    }
    for j in (0..p.n).step_by(SIDE) {
        let (a, b, c) = (p.a.at(i, pc), p.b.at(pc, j), p.c.at(i, j));
        let part = Part { a, b, len, rows, cols: SIDE.min(p.n - j) };
        let ending = Ending { alpha: p.alpha, initial: p.initial(pc == 0, (i, j), c) };
        // SAFETY: a part of each operand.
        unsafe { microtile(&part, c, ending) };
    }
}

/// One microtile of C.
///
/// # Safety
/// A, B and the initial values can be read, C can be written, as `part` says; `len` is not 0.
#[inline(never)]
unsafe fn microtile<E: Element>(part: &Part<E>, c: Target<E>, ending: Ending<E>) {
    let mut acc = [[E::ZERO; SIDE]; SIDE];
    // SAFETY: the contract is the same.
    unsafe {
        sums(part, &mut acc);
        end(&acc, (part.rows, part.cols), c, ending);
    }
}

/// The sums of a microtile, added to `acc`, which is zero.
///
/// # Safety
/// As for [`microtile`].
#[inline(always)]
unsafe fn sums<E: Element>(part: &Part<E>, acc: &mut Sums<E>) {
    let &Part { a, b, len, rows, cols } = part;
    // SAFETY: what the caller says, and no row or column beyond the last.
    unsafe {
        if (rows, cols) == (SIDE, SIDE) {
            *acc = whole(a, b, len);
        } else if rows == 1 {
            acc[0] = four(b.t(), cols, a, len);
        } else {
            for j in 0..cols {
                let column = four(a, rows, b.at(0, j).t(), len);
                for (acc, sum) in acc.iter_mut().zip(column) {
                    // There is one; an index would be checked all the same.
                    if let Some(acc) = acc.get_mut(j) {
                        *acc = sum;
                    }
                }
            }
        }
    }
}

/// Sixteen sums, each value of A and B loaded once.
#[inline(always)]
unsafe fn whole<E: Element>(mut a: Source<E>, mut b: Source<E>, len: usize) -> Sums<E> {
    let mut acc = [[E::ZERO; SIDE]; SIDE];
    for _ in 0..len {
        // SAFETY: a column of A and a row of B, as the caller says.
        let row: [E; SIDE] = core::array::from_fn(|j| unsafe { *b.at(0, j).ptr });
        for (i, acc) in acc.iter_mut().enumerate() {
            // SAFETY: as above.
            let x = unsafe { *a.at(i, 0).ptr };
            for (acc, &y) in acc.iter_mut().zip(&row) {
                *acc = Portable.mul_add(x, y, *acc);
            }
        }
        (a, b) = (a.at(0, 1), b.at(1, 0));
    }
    acc
}

/// Four sums: of rows of `p`, of which the last stands for those that are missing, times the row `q`.
#[inline(always)]
unsafe fn four<E: Element>(p: Source<E>, rows: usize, mut q: Source<E>, len: usize) -> [E; SIDE] {
    let mut acc = [E::ZERO; SIDE];
    let mut p: [Source<E>; SIDE] = core::array::from_fn(|i| p.at(i.min(rows - 1), 0));
    for _ in 0..len {
        // SAFETY: what the caller says of each.
        unsafe {
            let y = *q.ptr;
            for (acc, p) in acc.iter_mut().zip(&mut p) {
                *acc = Portable.mul_add(*p.ptr, y, *acc);
                *p = p.at(0, 1);
            }
        }
        q = q.at(0, 1);
    }
    acc
}

/// `C = initial + alpha·sums`.
///
/// # Safety
/// The initial values can be read and C written, `rows × cols` of them.
pub unsafe fn end<E: Element>(
    acc: &Sums<E>,
    (rows, cols): (usize, usize),
    c: Target<E>,
    Ending { alpha, initial }: Ending<E>,
) {
    // Where the initial value of the first element is, and how far it is to the next row and column.
    let (start, row, col) = match initial {
        Initial::Nothing => (core::ptr::null(), 0, 0),
        Initial::Rows(p, row) => (p, row, c.col),
        Initial::Columns(p) => (p, 1, 0),
        Initial::Spread(p) => (p, 0, 1),
    };
    let start = Source { ptr: start, row, col };
    let plain = alpha == E::ONE;
    for (i, acc) in acc.iter().enumerate().take(rows) {
        for (j, &sum) in acc.iter().enumerate().take(cols) {
            // SAFETY: element (i, j) of C, and its initial value.
            unsafe {
                *c.at(i, j).ptr = if !start.ptr.is_null() {
                    Portable.mul_add(alpha, sum, *start.at(i, j).ptr)
                } else if plain {
                    // 1·p is p.
                    sum
                } else {
                    alpha * sum
                };
            }
        }
    }
}

/// Rows of microtiles, as the planned loops ask for them.
///
/// # Safety
/// As for every microkernel; MR and NRV are not above [`SIDE`].
pub unsafe fn tiles<E: Element, const MR: usize, const NRV: usize>(_: Portable, t: &Tiles<E>) {
    for r in 0..t.rows {
        let a = Source { ptr: t.a.wrapping_add(r * t.a_tile), row: t.a_row, col: t.a_col };
        for s in 0..t.strips {
            let b = Source { ptr: t.b.wrapping_add(s.wrapping_mul(t.b_strip)), row: t.b_row, col: t.b_col };
            let c = Target { ptr: t.c, row: t.c_row, col: t.c_col }.at(r * MR, s * NRV);
            let initial = match t.initial {
                Initial::Nothing => Initial::Nothing,
                Initial::Rows(p, row) => Initial::Rows(
                    Target { ptr: p.cast_mut(), row, col: t.c_col }.at(r * MR, s * NRV).ptr,
                    row,
                ),
                Initial::Columns(p) => Initial::Columns(p.wrapping_add(r * MR)),
                Initial::Spread(p) => Initial::Spread(p.wrapping_add(s * NRV)),
            };
            let part = Part { a, b, len: t.len, rows: MR, cols: NRV };
            // SAFETY: a microtile of those that the caller speaks of.
            unsafe {
                microtile(&part, c, Ending { alpha: t.alpha, initial });
                if t.relu {
                    activate(Portable, Activation::Relu, c.source(), c, MR, NRV);
                }
            }
        }
    }
}

/// The microkernels of one tile: strides are free, nothing is partial.
const fn variants<E: Element, const MR: usize, const NRV: usize>() -> Variants<Portable, E> {
    Variants { plain: [[tiles::<E, MR, NRV>; 2]; 2], copying: None }
}

/// For 1 to 4 columns and 1 to 4 rows.
pub struct Kernels<E>(PhantomData<E>);

impl<E: Element> Kernels<E> {
    const ROWS: [[Variants<Portable, E>; SIDE]; SIDE] = [
        [variants::<E, 1, 1>(), variants::<E, 2, 1>(), variants::<E, 3, 1>(), variants::<E, 4, 1>()],
        [variants::<E, 1, 2>(), variants::<E, 2, 2>(), variants::<E, 3, 2>(), variants::<E, 4, 2>()],
        [variants::<E, 1, 3>(), variants::<E, 2, 3>(), variants::<E, 3, 3>(), variants::<E, 4, 3>()],
        [variants::<E, 1, 4>(), variants::<E, 2, 4>(), variants::<E, 3, 4>(), variants::<E, 4, 4>()],
    ];

    /// All of them.
    pub const TABLE: Table<Portable, E> =
        Table { kernels: &[&Self::ROWS[0], &Self::ROWS[1], &Self::ROWS[2], &Self::ROWS[3]] };
}

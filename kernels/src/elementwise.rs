//! Passes over matrices element by element: activations and their derivatives.

use core::array::from_fn;

use trine_core::{Activation, Element, Write};

use crate::isa::Kernels;
use crate::pack::Source;
use crate::problem::{Problem, Target};

/// Evaluates an expression in which `act!()` is the activation as a constant: the choice is made
/// once, outside of the loops. A variable would be looked at again for every vector.
macro_rules! for_activation {
    ($activation:expr, |$act:ident| $body:expr) => {
        for_activation!(@choose $activation, $act, $body, Relu; Sigmoid Tanh Gelu Silu)
    };
    (@choose $activation:expr, $act:ident, $body:expr, $first:ident; $($known:ident)*) => {
        match $activation {
            Activation::$first => {
                macro_rules! $act {
                    () => {
                        Activation::$first
                    };
                }
                $body
            }
            $(#[cfg(feature = "activations")]
            Activation::$known => {
                macro_rules! $act {
                    () => {
                        Activation::$known
                    };
                }
                $body
            })*
            other => {
                macro_rules! $act {
                    () => {
                        other
                    };
                }
                $body
            }
        }
    };
}

/// `Y = act(C)` for a part of them.
///
/// # Safety
/// C can be read and Y written as rows × cols. They may be the same.
pub unsafe fn activate<V: Kernels<E>, E: Element>(
    v: V,
    activation: Activation,
    c: Source<E>,
    y: Target<E>,
    rows: usize,
    cols: usize,
) {
    // SAFETY: the contract is the same.
    unsafe { activate_inline(v, activation, c, y, rows, cols) }
}

/// The same for all of a product, unless the activation is ReLU, which kernels apply on the way.
///
/// # Safety
/// C, whose sums are complete, can be accessed as the product says, and so can Y.
#[inline(always)]
pub unsafe fn activate_all<V: Kernels<E>, E: Element>(v: V, p: &Problem<E>) {
    if !p.is_relu() && p.activates() {
        // SAFETY: the contract is the same.
        unsafe { activate(v, p.activation, p.c.source(), p.y.unwrap_or(p.c), p.m, p.n) };
    }
}

/// [`activate`], compiled where it is called: a constant activation is the only one there.
///
/// # Safety
/// As for [`activate`].
#[inline(always)]
pub unsafe fn activate_inline<V: Kernels<E>, E: Element>(
    v: V,
    activation: Activation,
    c: Source<E>,
    y: Target<E>,
    rows: usize,
    cols: usize,
) {
    // SAFETY: the contract is the same.
    unsafe {
        if V::LANES == 1 && activation != Activation::Relu {
            // One body: there flash counts more than a branch for each value.
            return map_rows(v, [c], y, rows, cols, |[z]| activation.apply(v, z));
        }
        for_activation!(activation, |act| map_rows(
            v,
            [c],
            y,
            rows,
            cols,
            #[inline(always)]
            |[z]| act!().apply(v, z)
        ))
    }
}

/// `∇Z = ∇Y ⊙ act'` for a part of them, the derivative taken from what was saved.
///
/// # Safety
/// ∇Y and what was saved can be read and ∇Z written as rows × cols.
pub unsafe fn derive<V: Kernels<E>, E: Element>(
    v: V,
    activation: Activation,
    sources: [Source<E>; 2],
    dz: Target<E>,
    rows: usize,
    cols: usize,
) {
    // SAFETY: the contract is the same.
    unsafe { derive_inline(v, activation, sources, dz, rows, cols) }
}

/// [`activate`], compiled where it is called: a constant activation is the only one there.
///
/// # Safety
/// As for [`derive`].
#[inline(always)]
pub unsafe fn derive_inline<V: Kernels<E>, E: Element>(
    v: V,
    activation: Activation,
    [dy, saved]: [Source<E>; 2],
    dz: Target<E>,
    rows: usize,
    cols: usize,
) {
    // SAFETY: the contract is the same.
    unsafe {
        if V::LANES == 1 && activation != Activation::Relu {
            return map_rows(v, [dy, saved], dz, rows, cols, |[dy, saved]| activation.backward(v, dy, saved));
        }
        for_activation!(activation, |act| map_rows(
            v,
            [dy, saved],
            dz,
            rows,
            cols,
            #[inline(always)]
            |[dy, saved]| act!().backward(v, dy, saved)
        ))
    }
}

/// The end of a block of sums: `C = alpha·S`, or `C = F(alpha, S, C)`.
///
/// # Safety
/// S can be read and C read and written as rows × cols.
pub unsafe fn close<V: Kernels<E>, E: Element>(
    v: V,
    sums: Source<E>,
    c: Target<E>,
    (rows, cols): (usize, usize),
    write: Write<E>,
) {
    let alpha = v.splat(write.alpha);
    // SAFETY: the contract is the same.
    unsafe {
        if write.add {
            map_rows(
                v,
                [sums, c.source()],
                c,
                rows,
                cols,
                #[inline(always)]
                |[p, old]| v.mul_add(alpha, p, old),
            );
        } else {
            map_rows(
                v,
                [sums],
                c,
                rows,
                cols,
                #[inline(always)]
                |[p]| v.mul(alpha, p),
            );
        }
    }
}

/// `Y = f(S…)`, element by element.
///
/// # Safety
/// Every source can be read and Y written as rows × cols. They may be the same.
#[inline(always)]
unsafe fn map_rows<V: Kernels<E>, E: Element, const S: usize>(
    v: V,
    sources: [Source<E>; S],
    y: Target<E>,
    rows: usize,
    cols: usize,
    f: impl Fn([V::V; S]) -> V::V,
) {
    // With one lane strides are free.
    let contiguous = V::LANES > 1 && y.col == 1 && sources.iter().all(|s| s.col == 1);
    // Rows that follow one another are one row.
    let whole = contiguous && y.row == cols && sources.iter().all(|s| s.row == cols);
    let (rows, cols) = if whole { (1, rows * cols) } else { (rows, cols) };
    v.vectorize(
        #[inline(always)]
        || {
            // Of rows without columns there may be any number.
            for i in 0..if cols == 0 { 0 } else { rows } {
                // SAFETY: row i of each, whose elements are neighbours or are taken one by one.
                unsafe {
                    if contiguous {
                        map_row(v, from_fn(|s| sources[s].at(i, 0).ptr), y.at(i, 0).ptr, cols, &f);
                    } else {
                        for j in 0..cols {
                            map_row(v, from_fn(|s| sources[s].at(i, j).ptr), y.at(i, j).ptr, 1, &f);
                        }
                    }
                }
            }
        },
    );
}

/// One row of neighbours.
#[inline(always)]
unsafe fn map_row<V: Kernels<E>, E: Element, const S: usize>(
    v: V,
    sources: [*const E; S],
    y: *mut E,
    cols: usize,
    f: &impl Fn([V::V; S]) -> V::V,
) {
    let whole = cols - cols % V::LANES;
    // SAFETY: `cols` elements of each, in whole vectors and one partial one.
    unsafe {
        for j in (0..whole).step_by(V::LANES) {
            v.store_at(y.add(j), f(from_fn(|s| v.load_at(sources[s].add(j)))));
        }
        if whole < cols {
            let tail = v.tail(cols - whole);
            v.store_tail(y.add(whole), tail, f(from_fn(|s| v.load_tail(sources[s].add(whole), tail))));
        }
    }
}

//! Passes over matrices element by element: activations and their derivatives.

use trine_core::{Activation, Element};

use crate::isa::Kernels;
use crate::pack::Source;
use crate::problem::Target;

/// Evaluates an expression in which `act!()` is the activation as a constant: the choice is made
/// once, outside of the loops. A variable would be looked at again for every vector.
macro_rules! for_activation {
    ($activation:expr, |$act:ident| $body:expr) => {
        for_activation!(@choose $activation, $act, $body, Relu Sigmoid Tanh Gelu Silu)
    };
    (@choose $activation:expr, $act:ident, $body:expr, $($known:ident)*) => {
        match $activation {
            $(Activation::$known => {
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
    unsafe {
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
    [dy, saved]: [Source<E>; 2],
    dz: Target<E>,
    rows: usize,
    cols: usize,
) {
    // SAFETY: the contract is the same.
    unsafe {
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
    if cols == 0 {
        return;
    }
    let contiguous = y.col == 1 && sources.iter().all(|s| s.col == 1);
    v.vectorize(
        #[inline(always)]
        || {
            let step = if contiguous { V::LANES } else { 1 };
            let tail = v.tail(if contiguous { (cols - 1) % V::LANES + 1 } else { 1 });
            for i in 0..rows {
                for j in (0..cols).step_by(step) {
                    let whole = contiguous && cols - j >= V::LANES;
                    let to = y.at(i, j).ptr;
                    // SAFETY: as many elements of row i as there are lanes in use.
                    unsafe {
                        let mut values = [v.splat(E::ZERO); S];
                        for (value, s) in values.iter_mut().zip(&sources) {
                            let from = s.at(i, j).ptr;
                            *value = if whole { v.load_at(from) } else { v.load_tail(from, tail) };
                        }
                        let out = f(values);
                        if whole { v.store_at(to, out) } else { v.store_tail(to, tail, out) }
                    }
                }
            }
        },
    );
}

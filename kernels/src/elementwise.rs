//! Passes over matrices element by element: activations and their derivatives.

use trine_core::{Activation, Element};

use crate::isa::Kernels;
use crate::pack::Source;
use crate::problem::Target;

/// Evaluates an expression for an activation that the compiler knows: the choice is made once,
/// not for every vector.
macro_rules! for_activation {
    ($activation:expr, |$act:ident| $body:expr) => {
        match $activation {
            Activation::Relu => {
                let $act = Activation::Relu;
                $body
            }
            Activation::Sigmoid => {
                let $act = Activation::Sigmoid;
                $body
            }
            Activation::Tanh => {
                let $act = Activation::Tanh;
                $body
            }
            Activation::Gelu => {
                let $act = Activation::Gelu;
                $body
            }
            Activation::Silu => {
                let $act = Activation::Silu;
                $body
            }
            $act => $body,
        }
    };
}
pub(crate) use for_activation;

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
            |[z]| act.apply(v, z)
        ))
    }
}

/// `Y = f(S…)`, element by element.
///
/// # Safety
/// Every source can be read and Y written as rows × cols. They may be the same.
#[inline(always)]
pub unsafe fn map_rows<V: Kernels<E>, E: Element, const S: usize>(
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

//! One product, `C = act(initial + alpha·A·B)`, for all variants of the layer: the way that fits its shape.
//!
//! | way | what it is for |
//! |---|---|
//! | `outer` | sums of a few products, C row after row |
//! | `turned`, `chunks` | few rows times a B by columns |
//! | `narrow` | outputs narrower than a vector |
//! | `stream` | few rows times a large B by rows |
//! | `slabs` | several rows times a B by rows from memory |
//! | `runs` | sums over a batch that the near caches do not hold |
//! | `direct` | small products, where their operands lie |
//! | `blocked` | all others, in blocks that the caches hold |

use trine_core::Element;

use crate::blocked::Planned;
use crate::chunks;
use crate::direct;
use crate::isa::Kernels;
use crate::narrow;
use crate::outer;
use crate::plan::{self, Blocking};
use crate::problem::Problem;
use crate::runs;
use crate::slabs;
use crate::stream;
use crate::sweep;
use crate::turned;
use crate::upcoming::Ahead;

/// Plans and computes it: the whole, or a part of it.
///
/// # Safety
/// As for [`Planned::run`], except that C may have no elements, with as much scratch memory as
/// [`gemm_need`] says of the whole. A part needs no more: of every choice of [`Loops`](plan::Loops) and of every length in it,
/// that for fewer rows, columns or values of k is the same or smaller, so is what [`runs`] need, whatever k is, and
/// `flip` is the whole's.
pub unsafe fn gemm<V: Kernels<E>, E: Element>(
    v: V,
    problem: &Problem<E>,
    blocking: &Blocking,
    (scratch, len): (*mut E, usize),
    ahead: Ahead<E>,
) {
    if problem.is_empty() {
        return;
    }
    // SAFETY: the contract is the same.
    unsafe { oriented(v, problem.orient(&mut None), blocking, (scratch, len), ahead) }
}

/// The same for a problem in its best orientation.
///
/// # Safety
/// As for [`gemm`], and C has elements.
#[inline(never)]
unsafe fn oriented<V: Kernels<E>, E: Element>(
    v: V,
    oriented: &Problem<E>,
    blocking: &Blocking,
    (scratch, len): (*mut E, usize),
    ahead: Ahead<E>,
) {
    // SAFETY: the contract is the same.
    unsafe {
        // A part may have fewer rows than the whole, which did not ask for what sums need.
        if let Some(need) = slabs::need::<V, E>(oriented, blocking)
            && need <= len
        {
            return slabs::run(v, oriented, blocking, scratch);
        }
        if without_scratch(v, oriented, blocking, ahead) {
            return;
        }
        if const { runs::is_for(V::ISA) } && runs::fits(oriented, Planned::<V, E>::TILE) {
            let need = runs::scratch((oriented.m, oriented.n), Planned::<V, E>::TILE);
            debug_assert!(need <= len, "a part needs {need} of {len}");
            runs::product(v, oriented, scratch, ahead);
        } else if direct::fits::<V, E>(oriented, blocking) {
            let need = direct::scratch::<V, E>(oriented);
            debug_assert!(need <= len, "a part needs {need} of {len}");
            direct::run(v, oriented, blocking, scratch, ahead);
        } else {
            let planned = Planned::new(v, *oriented, blocking);
            debug_assert!(planned.scratch() <= len, "a part needs {} of {len}", planned.scratch());
            planned.run(scratch, ahead);
        }
    }
}

/// Computes a product of an extreme shape, in its best orientation, if it is one: these need no scratch memory. What a
/// unit does not have is not compiled for it.
///
/// # Safety
/// As for [`gemm`], and C has elements.
#[inline(always)]
pub unsafe fn without_scratch<V: Kernels<E>, E: Element>(
    v: V,
    p: &Problem<E>,
    blocking: &Blocking,
    ahead: Ahead<E>,
) -> bool {
    // SAFETY: the contract is the same.
    unsafe {
        if outer::fits::<V, E>(p, blocking) {
            outer::run(v, p, blocking);
        } else if const { turned::most_rows(V::ISA) > 0 } && turned::fits::<V, E>(p, blocking) {
            turned::run(v, p, blocking);
        } else if const { narrow::is_for(V::ISA) } && narrow::fits::<V, E>(p, blocking) {
            narrow::run(v, p, blocking, ahead);
        } else {
            let few = const { V::LANES > 1 }
                && p.m <= const { plan::at_least(chunks::MOST_ROWS, sweep::MOST_ROWS) }
                && p.k > 0
                && blocking.is_large(p.n, p.k, E::BYTES);
            return few && few_rows(v, p, blocking);
        }
    }
    true
}

/// The same for few rows and a large B, apart from what other products do.
///
/// # Safety
/// As for [`without_scratch`].
#[inline(never)]
unsafe fn few_rows<V: Kernels<E>, E: Element>(v: V, p: &Problem<E>, blocking: &Blocking) -> bool {
    // SAFETY: the contract is the same.
    unsafe {
        if const { chunks::is_for(V::ISA) } && chunks::fits::<V, E>(p, blocking) {
            chunks::run(v, p);
        } else if stream::fits::<V, E>(p, blocking) {
            stream::run(v, p);
        } else {
            return false;
        }
    }
    true
}

/// Elements of scratch memory that [`gemm`] needs for a problem and for every part of it. A part of a small problem is
/// small, too; that of a larger one may have a plan where the whole has none.
#[inline(always)]
pub fn gemm_need<V: Kernels<E>, E: Element>(v: V, problem: &Problem<E>, blocking: &Blocking) -> usize {
    /// Apart from what small products do, which is next to nothing.
    #[inline(never)]
    fn planned<V: Kernels<E>, E: Element>(v: V, p: &Problem<E>, blocking: &Blocking) -> usize {
        Planned::new(v, *p, blocking).scratch()
    }
    let mut other = None;
    let p = problem.orient(&mut other);
    let need = if turned::fits::<V, E>(p, blocking) {
        0
    } else if direct::is_small::<V, E>(p, blocking) {
        direct::scratch::<V, E>(p)
    } else {
        planned(v, p, blocking)
    };
    if const { runs::is_for(V::ISA) } && p.in_runs.is_some() {
        return need.max(runs::scratch((p.m, p.n), Planned::<V, E>::TILE));
    }
    need
}

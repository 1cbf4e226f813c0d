//! The backward pass as one sweep over ∇Y.
//!
//! ```text
//!     for each wave of rows of the batch (K_BLOCK for each thread):
//!         ∇Z  = ∇Y ⊙ act'           into scratch memory, where it stays in cache
//!         ∇X  = ∇Z·Wᵀ               rows of this wave
//!         ∇W += Xᵀ·∇Z, ∇b += 1ᵀ·∇Z  one block of the sum for every K_BLOCK rows
//! ```
//!
//! ∇Y is read from memory once, ∇Z is never written there. A block of rows is a block of the sums
//! over the batch, so the order of additions is the one that is defined.

use trine_core::{Activation, Element, K_BLOCK, Shape, Write};

use crate::gemm::{Problem, Start, Target, gemm, map_rows};
use crate::isa::Kernels;
use crate::pack::Source;
use crate::plan::{Blocking, line};
use crate::product::{product, useful_threads};
use crate::threads::{Shared, fork, ranges};

/// The operands of a backward pass, checked.
#[derive(Clone, Copy)]
pub struct Sweep<E> {
    pub shape: Shape,
    pub x: Source<E>,
    pub w: Source<E>,
    pub dy: Source<E>,
    pub activation: Activation,
    /// Y or Z; ∇Y itself where the activation needs neither.
    pub saved: Source<E>,
    pub dx: Option<Target<E>>,
    pub dx_write: Write<E>,
    pub dw: Option<Target<E>>,
    pub db: Option<*mut E>,
    pub params_write: Write<E>,
}

/// Where and how it runs.
#[derive(Clone, Copy)]
pub struct Means<E> {
    pub blocking: Blocking,
    pub threads: usize,
    pub scratch: *mut E,
}

/// Computes what is asked for.
///
/// # Safety
/// The operands can be accessed as their shapes and strides say; no output overlaps another operand,
/// except `dw` the weights if `dx` is `None`. `scratch` is as long as
/// [`elements`](crate::scratch::elements) says for `Op::Backward`.
pub unsafe fn sweep<V: Kernels<E>, E: Element>(v: V, s: &Sweep<E>, means: Means<E>) {
    let Shape { n, d, m } = s.shape;
    let threads = useful_threads(means.threads, n.saturating_mul(d).saturating_mul(m));
    let wave = n.min(means.threads * K_BLOCK);
    let dz_room = if s.activation == Activation::Identity { 0 } else { line(wave * m) };
    let (room, means) =
        (means.scratch, Means { scratch: means.scratch.wrapping_add(dz_room), threads, ..means });
    for r in (0..n).step_by(wave.max(1)) {
        let rows = wave.min(n - r);
        let dz = if s.activation == Activation::Identity {
            s.dy.at(r, 0)
        } else {
            let dz = Target { ptr: room, row: m, col: 1 };
            // SAFETY: rows of ∇Y and of what was saved, and as many rows of scratch memory.
            unsafe { apply_derivative(v, s, r, rows, dz, threads) };
            dz.source()
        };
        // SAFETY: rows of the operands, within their shapes.
        unsafe {
            if let Some(dx) = s.dx {
                let p = problem((rows, d, m), dz, s.w.t(), dx.at(r, 0), s.dx_write);
                product(v, p, means.blocking, threads, means.scratch);
            }
            params(v, s, r, rows, dz, means);
        }
    }
    if n == 0 {
        // SAFETY: sums over nothing: only the outputs are touched.
        unsafe { params(v, s, 0, 0, s.dy, means) };
    }
}

/// ∇Z for some rows.
unsafe fn apply_derivative<V: Kernels<E>, E: Element>(
    v: V,
    s: &Sweep<E>,
    r: usize,
    rows: usize,
    dz: Target<E>,
    threads: usize,
) {
    let m = s.shape.m;
    let shared = Shared((s, dz));
    fork(ranges(rows, 1, threads).count(), |i| {
        let &(s, dz) = shared.get();
        if let Some((from, to)) = ranges(rows, 1, threads).nth(i) {
            let sources = [s.dy.at(r + from, 0), s.saved.at(r + from, 0)];
            // SAFETY: rows that no other thread writes.
            unsafe {
                map_rows(
                    v,
                    sources,
                    dz.at(from, 0),
                    to - from,
                    m,
                    #[inline(always)]
                    |[dy, saved]| s.activation.backward(v, dy, saved),
                );
            }
        }
    });
}

/// ∇W and ∇b, the blocks of some rows of the batch, in order.
unsafe fn params<V: Kernels<E>, E: Element>(
    v: V,
    s: &Sweep<E>,
    r: usize,
    rows: usize,
    dz: Source<E>,
    means: Means<E>,
) {
    let Shape { d, m, .. } = s.shape;
    let write = if r == 0 { s.params_write } else { Write { add: true, ..s.params_write } };
    // SAFETY: rows of the operands, within their shapes.
    unsafe {
        if let Some(dw) = s.dw {
            let p = problem((d, m, rows), s.x.at(r, 0).t(), dz, dw, write);
            product(v, p, means.blocking, means.threads, means.scratch);
        }
        if let Some(db) = s.db {
            // A row of ones: one value, read again and again.
            let one = E::ONE;
            let ones = Source { ptr: &raw const one, row: 0, col: 0 };
            let db = Target { ptr: db, row: m, col: 1 };
            gemm(v, problem((1, m, rows), ones, dz, db, write), means.blocking, means.scratch);
        }
    }
}

/// `C = alpha·A·B` or `C += alpha·A·B` as a problem.
pub fn problem<E: Element>(
    (m, n, k): (usize, usize, usize),
    a: Source<E>,
    b: Source<E>,
    c: Target<E>,
    write: Write<E>,
) -> Problem<E> {
    let start = if write.add { Start::Old } else { Start::Nothing };
    Problem { m, n, k, a, b, c, start, alpha: write.alpha, activation: Activation::Identity, y: None }
}

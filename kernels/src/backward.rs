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

use trine_core::{Activation, Element, Error, K_BLOCK, Shape, Write};

use crate::direct;
use crate::elementwise::derive;
use crate::gemm::Planned;
use crate::isa::Kernels;
use crate::pack::Source;
use crate::plan::{Blocking, line};
use crate::problem::{Problem, Target, flips};
use crate::product::{shared, useful_threads};
use crate::scratch::Scratch;
use crate::sums::column_sums;
use crate::threads::{Shared, fork_ranges};

/// The operands of a backward pass, checked.
#[derive(Clone, Copy, Debug)]
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

/// How it runs.
#[derive(Clone, Copy)]
struct Means<E> {
    blocking: Blocking,
    threads: usize,
    /// Scratch memory, and how much of it each thread has.
    scratch: (*mut E, usize),
}

/// Computes what is asked for.
///
/// # Errors
/// [`Error::Scratch`]; nothing has been written then.
///
/// # Safety
/// The operands can be accessed as their shapes and strides say; no output overlaps another operand,
/// except `dw` the weights if `dx` is `None`.
pub unsafe fn sweep<V: Kernels<E>, E: Element>(
    v: V,
    s: &Sweep<E>,
    blocking: Blocking,
    threads: usize,
    scratch: &mut Scratch<'_>,
) -> Result<(), Error> {
    let Shape { n, d, m } = s.shape;
    let rooms = rooms(v, s, blocking, threads);
    let room = scratch.get::<E>(rooms.total())?;
    let Rooms { threads, wave, dz_room, each } = rooms;
    let means = Means { blocking, threads, scratch: (room.wrapping_add(dz_room), each) };
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
                let p = Problem::new((rows, d, m), dz, s.w.t(), dx.at(r, 0), s.dx_write);
                let p = p.part_of(flips(&dx, n, d));
                shared(v, p, blocking, threads, means.scratch);
            }
            params(v, s, r, rows, dz, means);
        }
    }
    if n == 0 {
        // SAFETY: sums over nothing: only the outputs are touched.
        unsafe { params(v, s, 0, 0, s.dy, means) };
    }
    Ok(())
}

/// Elements of scratch memory that a sweep needs.
pub fn need<V: Kernels<E>, E: Element>(v: V, s: &Sweep<E>, blocking: Blocking, threads: usize) -> usize {
    rooms(v, s, blocking, threads).total()
}

/// How a sweep is cut, and its parts of the scratch memory.
struct Rooms {
    threads: usize,
    /// Rows of the batch at a time.
    wave: usize,
    /// Elements for ∇Z.
    dz_room: usize,
    /// Elements for the products of each thread.
    each: usize,
}

impl Rooms {
    fn total(&self) -> usize {
        self.threads.saturating_mul(self.each).saturating_add(self.dz_room)
    }
}

fn rooms<V: Kernels<E>, E: Element>(v: V, s: &Sweep<E>, blocking: Blocking, threads: usize) -> Rooms {
    let Shape { n, d, m } = s.shape;
    let multiply_adds = n.saturating_mul(d).saturating_mul(m);
    let threads = useful_threads(threads, multiply_adds, blocking.thresholds.thread_work);
    let wave = n.min(threads.saturating_mul(K_BLOCK));
    let dz_room = if s.activation == Activation::Identity { 0 } else { line(wave.saturating_mul(m)) };
    Rooms { threads, wave, dz_room, each: products_scratch(v, s, wave, blocking) }
}

/// The scratch memory that the products of one wave need on one thread. A wave of fewer rows needs
/// no more (see `gemm`).
fn products_scratch<V: Kernels<E>, E: Element>(v: V, s: &Sweep<E>, rows: usize, blocking: Blocking) -> usize {
    let Shape { n, d, m } = s.shape;
    let dz = if s.activation == Activation::Identity { s.dy } else { Source { row: m, col: 1, ..s.dy } };
    let need = |p: Problem<E>| {
        let p = p.oriented();
        if direct::fits::<V, E>(&p, blocking) {
            direct::scratch::<V, E>(&p)
        } else {
            Planned::new(v, p, blocking).scratch()
        }
    };
    let dx = s
        .dx
        .map(|dx| need(Problem::new((rows, d, m), dz, s.w.t(), dx, s.dx_write).part_of(flips(&dx, n, d))));
    let dw = s.dw.map(|dw| need(Problem::new((d, m, rows), s.x.t(), dz, dw, s.params_write)));
    [dx, dw].into_iter().flatten().max().unwrap_or(0)
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
    let operands = Shared((s, dz));
    fork_ranges(rows, 1, threads, |_, from, to| {
        let &(s, dz) = operands.get();
        let sources = [s.dy.at(r + from, 0), s.saved.at(r + from, 0)];
        // SAFETY: rows that no other thread writes.
        unsafe { derive(v, s.activation, sources, dz.at(from, 0), to - from, m) };
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
            let p = Problem::new((d, m, rows), s.x.at(r, 0).t(), dz, dw, write);
            shared(v, p, means.blocking, means.threads, means.scratch);
        }
        if let Some(db) = s.db {
            column_sums(v, dz, (rows, m), db, write);
        }
    }
}

//! A product on some threads: cut along the longer side of the output, so that what all threads
//! read is the smaller operand.

use trine_core::{Element, Error};

use crate::direct;
use crate::gemm::{Planned, gemm};
use crate::isa::Kernels;
use crate::plan::{Blocking, Tile};
use crate::problem::Problem;
use crate::scratch::Scratch;
use crate::threads::{Shared, fork_ranges};

/// How many of `threads` a product is worth, if each has to bring so many multiply-adds.
pub const fn useful_threads(threads: usize, multiply_adds: usize, thread_work: usize) -> usize {
    let worth = multiply_adds / thread_work;
    if worth < 1 || threads < 1 {
        1
    } else if worth < threads {
        worth
    } else {
        threads
    }
}

/// How many of `threads` this product is worth.
fn worth<E: Element>(p: &Problem<E>, threads: usize, blocking: Blocking) -> usize {
    let multiply_adds = p.m.saturating_mul(p.n).saturating_mul(p.k);
    useful_threads(threads, multiply_adds, blocking.thresholds.thread_work)
}

/// Computes it on at most `threads` threads.
///
/// # Errors
/// [`Error::Scratch`]; nothing has been written then.
///
/// # Safety
/// The operands can be accessed as their shapes and strides say; C (and Y) overlap nothing else,
/// and no two of their elements share a place.
#[inline(always)]
pub unsafe fn product<V: Kernels<E>, E: Element>(
    v: V,
    p: Problem<E>,
    blocking: Blocking,
    threads: usize,
    scratch: &mut Scratch<'_>,
) -> Result<(), Error> {
    let oriented = p.oriented();
    if direct::fits::<V, E>(&oriented, blocking) {
        let room = scratch.get::<E>(direct::scratch::<V, E>(&oriented))?;
        // SAFETY: the contract is the same.
        unsafe { direct::run(v, &oriented, room) };
        return Ok(());
    }
    let threads = if threads > 1 { worth(&p, threads, blocking) } else { 1 };
    let planned = Planned::new(v, oriented, blocking);
    let each = planned.scratch();
    let room = scratch.get::<E>(threads.saturating_mul(each))?;
    // SAFETY: the contract is the same, and each thread has the scratch memory that the whole needs: a part needs no more (see `gemm`).
    unsafe {
        if threads <= 1 {
            planned.run(room);
        } else {
            shared(v, p, blocking, threads, (room, each));
        }
    }
    Ok(())
}

/// The same with scratch memory at hand: `each` elements for each thread.
///
/// # Safety
/// As for [`product`]; `each` is at least what [`Planned::scratch`] says of the whole.
pub unsafe fn shared<V: Kernels<E>, E: Element>(
    v: V,
    p: Problem<E>,
    blocking: Blocking,
    threads: usize,
    (scratch, each): (*mut E, usize),
) {
    let threads = worth(&p, threads, blocking);
    if threads <= 1 {
        // SAFETY: the contract is the same.
        return unsafe { gemm(v, p, blocking, (scratch, each)) };
    }
    let by_rows = p.m > p.n;
    let (side, grain) = if by_rows { (p.m, Tile::of(V::ISA, E::BYTES).mr) } else { (p.n, V::LANES) };
    let shared = Shared((p, scratch));
    fork_ranges(side, grain, threads, |i, from, to| {
        let &(p, scratch) = shared.get();
        let part = if by_rows { p.rows(from, to) } else { p.cols(from, to) };
        // SAFETY: a part of the output that no other thread writes, and scratch memory of this thread's own.
        unsafe { gemm(v, part, blocking, (scratch.add(i * each), each)) };
    });
}

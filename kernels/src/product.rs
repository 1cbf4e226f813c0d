//! A product on some threads, each of which has a part of the output.

use trine_core::{Element, Error};

use crate::blocked::Planned;
use crate::direct;
use crate::executor::Team;
use crate::gemm::{gemm, without_scratch};
use crate::isa::Kernels;
use crate::plan::{Blocking, Tile};
use crate::problem::Problem;
use crate::scratch::Scratch;
use crate::slabs;
use crate::threads::{Cuts, Shared, fork};

/// Computes it on at most the threads of a team.
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
    p: &Problem<E>,
    blocking: &Blocking,
    team: Team<'_>,
    scratch: &mut Scratch<'_>,
) -> Result<(), Error> {
    if p.is_empty() {
        return Ok(());
    }
    let mut other = None;
    let oriented = p.orient(&mut other);
    let team = team.for_work(p.m.saturating_mul(p.n).saturating_mul(p.k), blocking.thresholds.thread_work);
    // What is worth several threads is cut first.
    let alone = team.threads <= 1;
    let sums = slabs::need::<V, E>(oriented, blocking);
    if alone && let Some(need) = sums {
        let room = scratch.get::<E>(need)?;
        // SAFETY: the contract is the same, with room for the sums.
        unsafe { slabs::run(v, oriented, blocking, room) };
        return Ok(());
    }
    // SAFETY: the contract is the same.
    if alone && unsafe { without_scratch(v, oriented, blocking, None) } {
        return Ok(());
    }
    if alone && direct::fits::<V, E>(oriented, blocking) {
        let room = match direct::scratch::<V, E>(oriented) {
            0 => core::ptr::dangling_mut(),
            need => scratch.get::<E>(need)?,
        };
        // SAFETY: the contract is the same.
        unsafe { direct::run(v, oriented, blocking, room, None) };
        return Ok(());
    }
    let planned = Planned::new(v, *oriented, blocking);
    let each = planned.scratch().max(sums.unwrap_or(0));
    let room = scratch.get::<E>(team.threads.saturating_mul(each))?;
    // SAFETY: the contract is the same, and each thread has the scratch memory that the whole needs: a part
    // needs no more (see `gemm`).
    unsafe {
        if alone {
            planned.run(room, None);
        } else {
            let parts = Parts::new(*oriented, team.threads);
            let operands = Shared((parts, room));
            fork(team, parts.number, |member, i| {
                let &(parts, room) = operands.get();
                parts.run(v, i, blocking, (room.add(member * each), each));
            });
        }
    }
    Ok(())
}

/// A product in parts for threads.
#[derive(Clone, Copy)]
pub struct Parts<E: Element> {
    whole: Problem<E>,
    pub number: usize,
}

impl<E: Element> Parts<E> {
    /// A product in its best orientation, for so many threads.
    pub fn new(whole: Problem<E>, threads: usize) -> Self {
        Parts { whole, number: threads }
    }

    /// Computes part `i`.
    ///
    /// # Safety
    /// As for [`product`]; nobody else computes this part, and the scratch memory is what
    /// [`gemm_need`](crate::gemm::gemm_need) says of the whole.
    pub unsafe fn run<V: Kernels<E>>(self, v: V, i: usize, blocking: &Blocking, scratch: (*mut E, usize)) {
        let mut p = self.whole;
        // Without threads nothing of this is compiled.
        if cfg!(feature = "threads") {
            // Who writes long sums reads more than it writes; a B by columns costs most to read.
            let weight = if p.b.col != 1 { (4, 1) } else { (1, 1 + 256 / p.k.max(1)) };
            // Tiles of rows are as equal as can be, whatever their number.
            let unit = ((Tile::of(V::ISA, E::BYTES).mr / 4).max(1), V::LANES);
            let part = Cuts { size: (p.m, p.n), unit, weight }.part(i, self.number);
            p = p.rows(part.rows.0, part.rows.1).cols(part.cols.0, part.cols.1);
        }
        // SAFETY: a part of the output that no other thread writes, and scratch memory of this thread's own.
        unsafe { gemm(v, &p, blocking, scratch, None) };
    }
}

//! Sums over a long batch that comes from beyond the near caches: ∇W, where it is small enough to wait in L2.
//!
//! ```text
//!     for each block of K_BLOCK of the sum
//!         for each run of a few of its values of k         its parts of A and B are in the near caches
//!             for each microtile                           from run to run its sums wait in scratch memory
//!                 microkernel, which fetches its share of the next run
//! ```
//!
//! A by columns is read a few elements of each row at a time, and so is B: of a whole block L1 does not hold what the next
//! microtile needs of the same lines, and a processor does not find out by itself which come next. In runs each line is
//! brought once, long before it is needed.

use core::cell::Cell;

use trine_core::{Element, K_BLOCK};

use crate::isa::{Isa, Kernels};
use crate::microkernel::TALL;
use crate::plan::{Blocking, Order, Packing, Pieces, Tile, line};
use crate::problem::Problem;
use crate::tiles::Tiles;
use crate::upcoming::{Ahead, Upcoming, lines, share, spread};

/// Bytes of A and B in a run: what fits into L1. Sums that wait cost more than operands from L2, if runs are short.
const RUN: usize = 32 << 10;

/// The fewest values of k in a run, and the most.
const SHORTEST: usize = 64;
const LONGEST: usize = 256;

/// Tiles in each direction from which on the first ones copy what they read of B.
const MANY: usize = 7;

/// How many times as far apart as they are long rows may be for all to be fetched that lies between the first and the
/// last: another thread's half.
const GAPS: usize = 2;

/// Whether a unit has kernels for this: it has not been tried on others that fetch.
pub const fn is_for(isa: Isa) -> bool {
    matches!(isa, Isa::Avx2)
}

/// Whether an m×n ∇W of a batch is computed like this: it fits into half of L2, so does a run, and the batch does not
/// fit into all of it.
pub const fn pays((m, n): (usize, usize), batch: usize, isa: Isa, bytes: usize, blocking: &Blocking) -> bool {
    let near = blocking.thresholds.copy_b_bytes;
    let sides = m.saturating_add(n).saturating_mul(bytes);
    let (sums, run) = (m.saturating_mul(n).saturating_mul(bytes), sides.saturating_mul(SHORTEST));
    let auto = matches!(blocking.packing, Packing::Auto);
    // Most batches are too small.
    is_for(isa) && sides.saturating_mul(batch) / 2 > near && auto && sums <= near && run <= near
}

/// Elements of scratch memory that it needs for an m×n output: for sums that wait, and for the rows of B in a run.
pub const fn scratch((m, n): (usize, usize), tile: Tile) -> usize {
    waiting((m, n), tile)
        + if copies((m, n), tile) { line(SHORTEST * n.next_multiple_of(tile.lanes)) } else { 0 }
}

/// Of these the ones for sums: B's rows lie behind.
const fn waiting((m, n): (usize, usize), tile: Tile) -> usize {
    line(m * n.next_multiple_of(tile.lanes))
}

/// Whether the first tiles copy their B for the others.
const fn copies((m, n): (usize, usize), tile: Tile) -> bool {
    cfg!(feature = "packing") && m.div_ceil(tile.mr) >= MANY && n.div_ceil(tile.nr()) >= MANY
}

/// Values of k in a run.
pub const fn run_length((m, n): (usize, usize), tile: Tile, bytes: usize) -> usize {
    if copies((m, n), tile) {
        return SHORTEST;
    }
    let mut len = LONGEST;
    while len > SHORTEST && len.saturating_mul(m + n).saturating_mul(bytes) > RUN {
        len /= 2;
    }
    len
}

/// Whether this is for a problem in its best orientation, on a unit that has kernels for it. Some numbers of rows, and
/// parts of others, have tiles too low to fetch.
#[inline(always)]
pub fn fits<E: Element>(p: &Problem<E>, tile: Tile) -> bool {
    p.in_runs.is_some() && are_tall(p.m, tile) && p.a.row == 1 && p.a.col != 1 && p.b.col == 1 && p.c.col == 1
}

/// Whether all tiles of so many rows fetch.
pub const fn are_tall(m: usize, tile: Tile) -> bool {
    m >= TALL && m / m.div_ceil(tile.mr) >= TALL
}

/// Computes it.
///
/// # Safety
/// It [`fits`]; the operands can be accessed as their shapes and strides say; C overlaps nothing else, and no two of
/// its elements share a place. `room` is as [`scratch`] says.
#[inline(never)]
pub unsafe fn product<V: Kernels<E>, E: Element>(v: V, p: &Problem<E>, room: *mut E, ahead: Ahead<E>) {
    const { assert!(V::RUNS == is_for(V::ISA), "sums wait in the kernels of these units") };
    let tile = const { Tile::of(V::ISA, E::BYTES) };
    let longest = run_length((p.m, p.n), tile, E::BYTES);
    let skip = p.in_runs.unwrap_or(0);
    for pc in (0..p.k).step_by(K_BLOCK) {
        let end = p.k.min(pc + K_BLOCK);
        for k in (pc..end).step_by(longest) {
            let len = longest.min(end - k);
            let shape = (p.m, p.n, len);
            // Behind the last run comes the next block, or what is fetched for nothing.
            let behind = k + len + if k + len == p.k { skip } else { 0 };
            let (a, b) = (p.a.t().at(behind, 0), p.b.at(behind, 0));
            let others = share::<V, E>(ahead, shape);
            let pieces = [lines(a, (len, p.m), GAPS), lines(b, (len, p.n), GAPS), others];
            let next = Cell::new(Upcoming::new(pieces));
            spread::<V, E>(Some(&next), shape, Order::Columns, 1);
            let run = Run { k, len, initial: pc == 0, resumes: k > pc, stays: k + len < end, next: &next };
            // SAFETY: a part of the operands.
            unsafe { run.tiles(v, p, room) };
        }
    }
}

/// Some values of k.
struct Run<'u, E> {
    k: usize,
    len: usize,
    /// Whether they are in the first block of the sum.
    initial: bool,
    /// Whether sums come from those before, go on to others.
    resumes: bool,
    stays: bool,
    next: &'u Cell<Upcoming<E>>,
}

impl<E: Element> Run<'_, E> {
    /// All microtiles.
    ///
    /// # Safety
    /// As for [`product`].
    #[inline(always)]
    unsafe fn tiles<V: Kernels<E>>(&self, v: V, p: &Problem<E>, room: *mut E) {
        let tile = const { Tile::of(V::ISA, E::BYTES) };
        let tiles = Pieces::new(p.m, tile.mr);
        let copies = copies((p.m, p.n), tile);
        let panel = room.wrapping_add(waiting((p.m, p.n), tile));
        let mut sums = room;
        let mut at = 0;
        while at < tiles.count {
            let ((i, mr), opens) = (tiles.get(at), at == 0);
            // The first tiles copy B for the others.
            let rows = if opens && copies { 1 } else { tiles.same(at) };
            at += rows;
            for strips in tile.strips(p.n) {
                let (place, vectors) = ((i, strips.j), strips.width / V::LANES);
                let c = p.c.at(place.0, place.1);
                let mut t = Tiles {
                    strips: strips.count,
                    rows,
                    a_tile: mr,
                    b_strip: strips.width,
                    c: c.ptr,
                    c_row: c.row,
                    last: strips.last,
                    alpha: p.alpha,
                    initial: p.initial(self.initial, place, c),
                    sums,
                    resumes: self.resumes,
                    stays: self.stays,
                    ahead: Some(self.next),
                    ..Tiles::new(p.a.at(i, self.k), p.b.at(self.k, strips.j), self.len)
                };
                let copied = copies && !strips.tail;
                if copied {
                    t.copy_b = panel.wrapping_add(strips.j * self.len);
                    if !opens {
                        (t.b, t.b_row, t.b_strip) = (t.copy_b, strips.width, strips.width * self.len);
                    }
                }
                let kernel = V::TABLE.kernel((vectors, mr), false, strips.tail, copied && opens);
                // SAFETY: parts of the operands, the place of their sums, and that of the copy.
                unsafe { kernel(v, &t) };
                sums = sums.wrapping_add(rows * mr * strips.count * strips.width);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::plan::Caches;

    #[test]
    fn pay_for_a_small_output_of_a_batch_beyond_l2() {
        let caches = Caches { l2: 512 << 10, ..Caches::DEFAULT };
        let pays = |shape, batch, isa, bytes| {
            pays(shape, batch, isa, bytes, &Blocking::for_caches(caches, isa, bytes))
        };
        // 144 elements of each row: half of L2 and more.
        assert!(!pays((128, 16), 910, Isa::Avx2, 4) && pays((128, 16), 912, Isa::Avx2, 4));
        assert!(!pays((128, 16), 454, Isa::Avx2, 8) && pays((128, 16), 456, Isa::Avx2, 8));
        // What has to wait is no more than half of L2, and neither is a run.
        assert!(pays((256, 256), 4096, Isa::Avx2, 4) && !pays((256, 257), 4096, Isa::Avx2, 4));
        assert!(pays((1000, 24), 4096, Isa::Avx2, 4) && !pays((1001, 24), 4096, Isa::Avx2, 4));
        assert!(!pays((128, 16), 16384, Isa::Avx512, 4) && !pays((usize::MAX, 2), usize::MAX, Isa::Avx2, 4));
    }

    #[test]
    fn are_longer_where_rows_are_short() {
        let tile = Tile::of(Isa::Avx2, 4);
        let lengths = [(16, 16), (32, 32), (64, 64), (128, 16), (41, 100)];
        assert_eq!(lengths.map(|shape| run_length(shape, tile, 4)), [256, 128, 64, 64, 64]);
    }

    #[test]
    fn have_no_tile_too_low_to_fetch() {
        let tile = Tile::of(Isa::Avx2, 4);
        let low: std::vec::Vec<_> = (5..1000).filter(|&m| !are_tall(m, tile)).collect();
        assert_eq!(low, [7, 8, 9, 13, 14, 19]);
    }
}

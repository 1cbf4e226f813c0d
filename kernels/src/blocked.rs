//! A product in blocks that the caches hold: what is too large for other ways, or fits none of them.
//!
//! ```text
//!     loop 5  for each block of K_BLOCK of the sum, in order
//!     loop 4      for each block of mc rows of A and C
//!                     pack the block of A, if the kernels cannot read it as it is
//!     loop 3          for each panel of nc columns of B and C
//!                         pack the panel of B, if the kernels cannot read it as it is
//!     loop 2                  for each microtile of MR rows
//!     loop 1                      for each strip of NR columns
//!                                     microkernel; in the first microtile it copies B, if that pays
//!                                     for the others
//!                                 after the last block of the sum, the activation
//! ```
//!
//! Loop 1 is inside the kernel: MR rows of A stay in L1 while B's panel passes from L2.

use trine_core::{Element, K_BLOCK};

use crate::elementwise::activate;
use crate::isa::Kernels;
use crate::microkernel::Microkernel;
use crate::pack::{self, Source};
use crate::plan::{self, Access, Blocking, Loops, Order, Pieces, SHORT, Strips};
use crate::problem::{Problem, Start, Target};
use crate::tiles::Tiles;
use crate::upcoming::Ahead;

/// Multiply-adds of a sum during which memory answers: so far ahead A is fetched, and C where sums are short.
const AHEAD: usize = 128;

/// Elements of B up to which a call of a kernel for each microtile of rows would be felt.
const LIGHT: usize = 8192;

/// Elements of C that are worked on at a time where sums are short: half of a small L1.
const NEAR: usize = 4096;

/// A problem in its best orientation, with its loops.
pub struct Planned<V, E: Element> {
    v: V,
    p: Problem<E>,
    /// How A lies in memory.
    order: Order,
    loops: Loops,
    /// Whether C is written past the caches.
    past: bool,
    /// Where B's panel begins in scratch memory, and where it ends.
    regions: [usize; 2],
}

impl<V: Kernels<E>, E: Element> Planned<V, E> {
    pub const TILE: plan::Tile = plan::Tile::of(V::ISA, E::BYTES);

    /// The planner and the kernels speak of the same tiles.
    const fn tables_agree() {
        let (kernels, few) = (V::TABLE.kernels, plan::Tile::few(V::ISA, E::BYTES));
        assert!(kernels.len() == few.nrv);
        assert!(
            !V::HINTS || Self::TILE.nr() * E::BYTES >= plan::LINE,
            "what goes past the caches is whole lines"
        );
        let mut i = 0;
        while i < kernels.len() {
            assert!(kernels[i].len() == if i < Self::TILE.nrv { Self::TILE.mr } else { few.mr });
            i += 1;
        }
    }

    /// Plans a problem in its best orientation for this unit.
    #[inline(always)]
    pub fn new(v: V, p: Problem<E>, blocking: &Blocking) -> Self {
        const { Self::tables_agree() };
        let product = p.product();
        let loops = Loops::new(product, V::ISA, *blocking, E::BYTES);
        let past = p.goes_past::<V>(&blocking.thresholds);
        Planned { v, p, order: product.a, loops, past, regions: loops.regions(product, V::ISA, E::BYTES) }
    }

    /// Elements of scratch memory that it needs.
    #[inline(always)]
    pub fn scratch(&self) -> usize {
        self.regions[1] + if self.is_scattered() { plan::tile_scratch(Self::TILE) } else { 0 }
    }

    /// Whether neither the rows nor the columns of C are contiguous.
    #[inline(always)]
    fn is_scattered(&self) -> bool {
        V::LANES > 1 && self.p.c.col != 1
    }

    /// Computes it.
    ///
    /// # Safety
    /// The operands can be accessed as their shapes and strides say; C (and Y) overlap nothing else,
    /// and no two of their elements share a place. C has elements. `scratch` has room for what
    /// [`scratch`](Self::scratch) says.
    #[inline(always)]
    pub unsafe fn run(&self, scratch: *mut E, ahead: Ahead<E>) {
        // SAFETY: the contract is the same.
        unsafe {
            if self.p.k == 0 {
                empty_sums(self.v, &self.p);
            } else {
                Run { plan: self, scratch, ahead }.blocks();
                if self.past {
                    self.v.settle();
                }
            }
        }
    }
}

/// One run of the loops.
struct Run<'p, V, E: Element> {
    plan: &'p Planned<V, E>,
    scratch: *mut E,
    ahead: Ahead<'p, E>,
}

/// The block of the sum that is being added.
#[derive(Clone, Copy)]
struct Block {
    pc: usize,
    kc: usize,
    /// Whether it is the first, the last.
    first: bool,
    last: bool,
    /// How many microtiles of rows are computed while memory answers.
    ahead: usize,
}

/// Microtiles of rows: their block's first row, their own first row in it, rows of each, which tile
/// the first is, how many there are.
#[derive(Clone, Copy)]
struct Rows {
    ic: usize,
    ir: usize,
    mr: usize,
    at: usize,
    count: usize,
}

impl<V: Kernels<E>, E: Element> Run<'_, V, E> {
    unsafe fn blocks(&self) {
        let (p, loops) = (&self.plan.p, &self.plan.loops);
        for pc in (0..p.k).step_by(K_BLOCK) {
            let kc = K_BLOCK.min(p.k - pc);
            let block = Block { pc, kc, first: pc == 0, last: pc + kc == p.k, ahead: (AHEAD / kc).max(1) };
            for (ic, mc) in Pieces::new(p.m, loops.mc).iter() {
                // SAFETY: parts of the operands, within their shapes.
                unsafe {
                    if loops.a == Access::Packed {
                        self.pack_a(block, ic, mc);
                    }
                    for (jc, nc) in pieces_of(p.n, loops.nc, self.plan.loops.tile.nr()) {
                        if loops.b == Access::Packed {
                            self.pack_b(block, jc, nc);
                        }
                        self.panel(block, (ic, mc), (jc, nc));
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn panel(&self, block: Block, (ic, mc): (usize, usize), (jc, nc): (usize, usize)) {
        let tiles = Pieces::new(mc, self.plan.loops.tile.mr);
        let together = self.together(block, nc);
        let mut at = 0;
        while at < tiles.count {
            let (ir, mr) = tiles.get(at);
            let count = tiles.same(at).min(together);
            for strips in self.plan.loops.tile.strips(nc) {
                // SAFETY: parts of the operands, within their shapes.
                unsafe { self.rows(block, (jc, strips), Rows { ic, ir, mr, at, count }) };
            }
            at += count;
        }
    }

    /// How many microtiles of rows one call of a kernel computes: one, if there is much to do for each
    /// or operands are copied; else as many as have their part of C in L1.
    #[inline(always)]
    fn together(&self, block: Block, nc: usize) -> usize {
        let copies = self.plan.loops.b == Access::Copied || self.plan.is_scattered();
        if copies || block.kc * nc > LIGHT { 1 } else { (NEAR / nc / self.plan.loops.tile.mr).max(1) }
    }

    /// Some microtiles of rows, some strips of the panel that begins at column `jc`.
    #[inline(always)]
    unsafe fn rows(&self, block: Block, (jc, strips): (usize, Strips), rows: Rows) {
        let panel = self.scratch.wrapping_add(self.plan.regions[0] + strips.j * block.kc);
        let opens = strips.j == 0;
        let strips = Strips { j: jc + strips.j, ..strips };
        let Loops { a, b, .. } = self.plan.loops;
        let mut t = self.tiles(block, strips);
        t.rows = rows.count;
        if self.plan.loops.fetch && !self.plan.past {
            // A long sum leaves time for its own part of C, a short one for the strip after the next,
            // or for the next rows if there are few strips.
            let near = self.plan.p.n < 8 * self.plan.loops.tile.nr();
            t.fetch = Some(match (block.kc > SHORT, near) {
                (true, _) => 0,
                (false, true) => {
                    (block.ahead.min(NEAR / self.plan.p.n / rows.mr).max(1) * rows.mr).wrapping_mul(t.c_row)
                }
                (false, false) => 2 * strips.width,
            });
        }
        // The first microtile copies B.
        let copies_b = b == Access::Copied && rows.at == 0 && !strips.tail;
        if !(b.is_direct() || copies_b || b == Access::Copied && strips.tail) {
            (t.b, t.b_row) = (panel, strips.width);
            t.b_strip = strips.width * block.kc;
        }
        t.copy_b = panel;
        let source = if a.is_direct() {
            self.plan.p.a.at(rows.ic + rows.ir, block.pc)
        } else {
            Source { ptr: self.micropanel(block, rows.at, rows.ir).cast_const(), row: 1, col: rows.mr }
        };
        (t.a, t.a_row, t.a_col) = (source.ptr, source.row, source.col);
        t.a_tile = if a.is_direct() { rows.mr * source.row } else { rows.mr * block.kc + V::LANES };
        let by_rows = a.is_direct() && self.plan.order == Order::Rows;
        if self.plan.loops.fetch_a && opens {
            t.fetch_a = Some((block.ahead * rows.mr).wrapping_mul(source.row));
        }
        let kernel = V::TABLE.kernel((strips.width / V::LANES, rows.mr), by_rows, strips.tail, copies_b);
        let mut done = 0;
        while done < strips.count {
            t.strips = if self.plan.is_scattered() { 1 } else { strips.count - done };
            let place = (rows.ic + rows.ir, strips.j + done * strips.width);
            // SAFETY: a part of A (mr × kc), of B (kc × the strips) and of C, or their copies in scratch memory.
            unsafe { self.microtiles(block, (rows.count * rows.mr, strips.width), place, kernel, &mut t) };
            t.b = t.b.wrapping_add(t.strips * t.b_strip);
            t.copy_b = t.copy_b.wrapping_add(t.strips * strips.width * block.kc);
            t.fetch_a = None;
            done += t.strips;
        }
    }

    /// What all rows of some strips share, B where it lies.
    #[inline(always)]
    fn tiles(&self, block: Block, strips: Strips) -> Tiles<'_, E> {
        let p = &self.plan.p;
        Tiles {
            strips: strips.count,
            // Of a single column the stride may be anything.
            b_strip: strips.width.wrapping_mul(p.b.col),
            copy_b: self.scratch,
            c: p.c.ptr,
            c_row: p.c.row,
            last: strips.last,
            alpha: p.alpha,
            relu: block.last && p.is_relu(),
            past: self.plan.past,
            ahead: self.ahead,
            ..Tiles::new(p.a, p.b.at(block.pc, strips.j), block.kc)
        }
    }

    /// Where the kernel writes a tile: its place in C, or scratch memory if C is scattered.
    #[inline(always)]
    fn place(&self, i: usize, j: usize) -> Target<E> {
        if self.plan.is_scattered() {
            let ptr = self.scratch.wrapping_add(self.plan.regions[1]);
            Target { ptr, row: self.plan.loops.tile.nr(), col: 1 }
        } else {
            self.plan.p.c.at(i, j)
        }
    }

    /// Strip after strip: what is read lies together in memory.
    unsafe fn pack_b(&self, block: Block, jc: usize, nc: usize) {
        for strips in self.plan.loops.tile.strips(nc) {
            for j in (0..strips.count).map(|i| strips.j + i * strips.width) {
                let to = self.scratch.wrapping_add(self.plan.regions[0] + j * block.kc);
                let from = self.plan.p.b.at(block.pc, jc + j);
                // SAFETY: a part of B; the panel has room for all strips.
                unsafe {
                    pack::strip(self.plan.v, from, block.kc, strips.width.min(nc - j), to, strips.width)
                };
            }
        }
    }

    /// Some columns of all micropanels at a time, for the same reason.
    unsafe fn pack_a(&self, block: Block, ic: usize, mc: usize) {
        let tiles = Pieces::new(mc, self.plan.loops.tile.mr);
        if self.plan.order == Order::Columns {
            let from = self.plan.p.a.at(ic, block.pc);
            // SAFETY: a part of A; the block has room for all micropanels, a vector behind each.
            return unsafe { pack::columns(self.plan.v, from, tiles, block.kc, self.scratch) };
        }
        for k in (0..block.kc).step_by(pack::ROWS) {
            let cols = pack::ROWS.min(block.kc - k);
            for (at, (ir, mr)) in tiles.iter().enumerate() {
                let to = self.micropanel(block, at, ir).wrapping_add(k * mr);
                let from = self.plan.p.a.at(ic + ir, block.pc + k);
                // SAFETY: a part of A; the block has room for all micropanels, a vector behind each.
                unsafe { pack::micropanel(from, mr, cols, to) };
            }
        }
    }

    /// Where a micropanel begins: its number, and the rows before it.
    #[inline(always)]
    fn micropanel(&self, block: Block, at: usize, ir: usize) -> *mut E {
        self.scratch.wrapping_add(ir * block.kc + at * V::LANES)
    }

    /// A row of microtiles that begins at (i, j), to the end of its sums' block.
    #[inline(always)]
    unsafe fn microtiles(
        &self,
        block: Block,
        (mr, width): (usize, usize),
        (i, j): (usize, usize),
        kernel: Microkernel<V, E>,
        t: &mut Tiles<E>,
    ) {
        let p = &self.plan.p;
        let c = self.place(i, j);
        (t.c, t.c_row, t.c_col) = (c.ptr, c.row, c.col);
        t.initial = p.initial(block.first, (i, j), c);
        let nr = (p.n - j).min(t.strips * width);
        // SAFETY: a part of C (mr × nr), or its copy in scratch memory.
        unsafe {
            if self.plan.is_scattered() && (!block.first || matches!(p.start, Start::Old)) {
                copy(p.c.at(i, j).source(), c, mr, nr);
            }
            kernel(self.plan.v, t);
            if block.last && !t.relu && p.activates() {
                let y = p.y.map_or(c, |y| y.at(i, j));
                activate(self.plan.v, p.activation, c.source(), y, mr, nr);
            }
            if self.plan.is_scattered() {
                copy(c.source(), p.c.at(i, j), mr, nr);
            }
        }
    }
}

/// Pieces of at most `most` columns, in whole units as far as it goes: (start, length) of each.
#[inline(always)]
fn pieces_of(total: usize, most: usize, unit: usize) -> impl Iterator<Item = (usize, usize)> {
    Pieces::new(total.div_ceil(unit), most.div_ceil(unit))
        .iter()
        .map(move |(start, len)| (start * unit, (len * unit).min(total - start * unit)))
}

unsafe fn copy<E: Element>(from: Source<E>, to: Target<E>, rows: usize, cols: usize) {
    for i in 0..rows {
        for j in 0..cols {
            // SAFETY: the caller says that both can be accessed as rows × cols.
            unsafe { *to.at(i, j).ptr = *from.at(i, j).ptr };
        }
    }
}

/// K = 0.
unsafe fn empty_sums<V: Kernels<E>, E: Element>(v: V, p: &Problem<E>) {
    // SAFETY: C and Y, as the caller says.
    unsafe {
        p.write_empty_sums();
        if p.activates() {
            activate(v, p.activation, p.c.source(), p.y.unwrap_or(p.c), p.m, p.n);
        }
    }
}

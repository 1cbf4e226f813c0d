//! One product, `C = act(initial + alpha·A·B)`, for all variants of the layer.
//!
//! ```text
//!     loop 5  for each block of K_BLOCK of the sum, in order
//!     loop 4      for each block of mc rows of A and C
//!                     pack the block of A, if it pays
//!     loop 3          for each panel of nc columns of B and C
//!                         pack the panel of B, if it pays
//!                         for each group of microtiles, few enough for their part of A to stay in L2
//!     loop 2                  for each strip of NR columns
//!     loop 1                      for each microtile of MR rows
//!                                     microkernel; after the last block of the sum, the activation
//! ```

use trine_core::{Activation, Element, K_BLOCK};

use crate::elementwise::activate;
use crate::isa::Kernels;
use crate::microkernel::{Initial, Microkernel, Tile};
use crate::pack::{self, Source};
use crate::plan::{self, Blocking, Loops, Order, Pieces};
use crate::problem::{Problem, Start, Target};

/// How many microtiles of rows meet a panel of B before the next ones: 64 rows of AVX-512 are 128 KiB of A.
const GROUP: usize = 8;

/// Up to this length a sum takes no longer than writing its result.
const SHORT: usize = 16;

/// A problem in its best orientation, with its loops.
pub struct Planned<V, E: Element> {
    v: V,
    p: Problem<E>,
    /// How A lies in memory.
    order: Order,
    loops: Loops,
    /// Where B's panel begins in scratch memory, and where it ends.
    regions: (usize, usize),
}

impl<V: Kernels<E>, E: Element> Planned<V, E> {
    const TILE: plan::Tile = plan::Tile::of(V::ISA, E::BYTES);

    /// The planner and the kernels speak of the same tiles.
    const fn tables_agree() {
        let kernels = V::TABLE.kernels;
        assert!(kernels.len() == Self::TILE.nrv);
        let mut i = 0;
        while i < kernels.len() {
            assert!(kernels[i].len() == Self::TILE.mr);
            i += 1;
        }
    }

    /// Plans the problem for this unit.
    #[inline(always)]
    pub fn new(v: V, problem: Problem<E>, blocking: Blocking) -> Self {
        const { Self::tables_agree() };
        let p = problem.oriented();
        let product = p.product();
        let loops = Loops::new(product, Self::TILE, blocking, E::BYTES);
        Planned { v, p, order: product.a, loops, regions: loops.regions(product, Self::TILE) }
    }

    /// Elements of scratch memory that it needs.
    #[inline(always)]
    pub fn scratch(&self) -> usize {
        self.regions.1 + if self.is_scattered() { plan::tile_scratch(Self::TILE) } else { 0 }
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
    /// and no two of their elements share a place. `scratch` has room for what
    /// [`scratch`](Self::scratch) says.
    #[inline(always)]
    pub unsafe fn run(&self, scratch: *mut E) {
        if self.p.m == 0 || self.p.n == 0 {
            return;
        }
        // SAFETY: the contract is the same.
        unsafe {
            if self.p.k == 0 {
                empty_sums(self.v, &self.p);
            } else {
                Run { plan: self, scratch }.blocks();
            }
        }
    }
}

/// Plans and computes it: the whole, or a part of it.
///
/// # Safety
/// As for [`Planned::run`], with as much scratch memory as [`Planned::scratch`] says of the whole. A
/// part needs no more: of every choice of [`Loops`] and of every length in it, that for fewer rows,
/// columns or values of k is the same or smaller, and `flip` is the whole's.
pub unsafe fn gemm<V: Kernels<E>, E: Element>(
    v: V,
    problem: Problem<E>,
    blocking: Blocking,
    (scratch, len): (*mut E, usize),
) {
    let planned = Planned::new(v, problem, blocking);
    debug_assert!(planned.scratch() <= len, "a part needs {} of {len}", planned.scratch());
    // SAFETY: the contract is the same.
    unsafe { planned.run(scratch) }
}

/// One run of the loops.
struct Run<'p, V, E: Element> {
    plan: &'p Planned<V, E>,
    scratch: *mut E,
}

/// The part of the sum that is being added.
#[derive(Clone, Copy)]
struct Block {
    pc: usize,
    kc: usize,
    first: bool,
    last: bool,
}

impl<V: Kernels<E>, E: Element> Run<'_, V, E> {
    unsafe fn blocks(&self) {
        for pc in (0..self.plan.p.k).step_by(K_BLOCK) {
            let kc = K_BLOCK.min(self.plan.p.k - pc);
            let block = Block { pc, kc, first: pc == 0, last: pc + kc == self.plan.p.k };
            for (ic, mc) in Pieces::new(self.plan.p.m, self.plan.loops.mc).iter() {
                // SAFETY: parts of the operands, within their shapes.
                unsafe {
                    if self.plan.loops.pack_a {
                        self.pack_a(block, ic, mc);
                    }
                    self.panels(block, ic, mc);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn panels(&self, block: Block, ic: usize, mc: usize) {
        let tiles = Pieces::new(mc, Planned::<V, E>::TILE.mr);
        for (jc, nc) in pieces_of(self.plan.p.n, self.plan.loops.nc, Planned::<V, E>::TILE.nr()) {
            // SAFETY: parts of the operands, within their shapes.
            unsafe {
                if self.plan.loops.pack_b {
                    self.pack_b(block, jc, nc);
                }
                // Short sums are bound by writing C: rows of it are written from end to end.
                let size = if block.kc <= SHORT { 1 } else { GROUP };
                for group in (0..tiles.count).step_by(size) {
                    let group = (group, tiles.count.min(group + size));
                    self.group(block, (ic, tiles), (jc, nc), group);
                }
            }
        }
    }

    /// Some microtiles of rows, all strips of a panel.
    #[inline(always)]
    unsafe fn group(
        &self,
        block: Block,
        (ic, tiles): (usize, Pieces),
        (jc, nc): (usize, usize),
        (from, to): (usize, usize),
    ) {
        let mut offset = 0;
        for (jr, nr) in pieces_of(nc, Planned::<V, E>::TILE.nr(), V::LANES) {
            let nrv = nr.div_ceil(V::LANES);
            let b = self.strip(block, jc + jr, offset, nrv);
            offset += nrv * V::LANES * block.kc;
            let mut tile = self.tile(block, b, nr - (nrv - 1) * V::LANES);
            let kernels = const { V::TABLE }.kernels[nrv - 1];
            for at in from..to {
                let (ir, mr) = tiles.get(at);
                let a = self.rows(block, ic, (at, ir, mr));
                (tile.a, tile.a_row, tile.a_col) = (a.ptr, a.row, a.col);
                let [by_columns, by_rows] = kernels[mr - 1];
                let [whole, tail] = if self.is_by_rows() { by_rows } else { by_columns };
                let kernel = if tile.last < V::LANES { tail } else { whole };
                // SAFETY: parts of the operands, within their shapes.
                unsafe { self.microtile(block, (ic + ir, mr), (jc + jr, nr), kernel, &mut tile) };
            }
        }
    }

    /// What all tiles of a strip share.
    #[inline(always)]
    fn tile(&self, block: Block, b: Source<E>, last: usize) -> Tile<E> {
        let p = &self.plan.p;
        let c = self.place(0, 0);
        Tile {
            len: block.kc,
            a: p.a.ptr,
            a_row: p.a.row,
            a_col: p.a.col,
            b: b.ptr,
            b_row: b.row,
            b_col: b.col,
            c: c.ptr,
            c_row: c.row,
            c_col: c.col,
            last,
            alpha: p.alpha,
            initial: Initial::Nothing,
            relu: self.is_relu(block),
        }
    }

    /// Whether the kernel reads A by rows, along k.
    #[inline(always)]
    fn is_by_rows(&self) -> bool {
        !self.plan.loops.pack_a && self.plan.order == Order::Rows
    }

    /// Whether the kernel applies the activation itself.
    #[inline(always)]
    fn is_relu(&self, block: Block) -> bool {
        block.last && self.plan.p.y.is_none() && self.plan.p.activation == Activation::Relu
    }

    /// Where the kernel writes a tile: its place in C, or scratch memory if C is scattered.
    #[inline(always)]
    fn place(&self, i: usize, j: usize) -> Target<E> {
        if self.plan.is_scattered() {
            let ptr = self.scratch.wrapping_add(self.plan.regions.1);
            Target { ptr, row: Planned::<V, E>::TILE.nr(), col: 1 }
        } else {
            self.plan.p.c.at(i, j)
        }
    }

    /// The strip of B that begins at column j; `offset` elements into the panel if it is packed.
    #[inline(always)]
    fn strip(&self, block: Block, j: usize, offset: usize, nrv: usize) -> Source<E> {
        if self.plan.loops.pack_b {
            let ptr = self.scratch.wrapping_add(self.plan.regions.0 + offset);
            Source { ptr, row: nrv * V::LANES, col: 1 }
        } else {
            self.plan.p.b.at(block.pc, j)
        }
    }

    /// The rows of A that begin at row ic + ir.
    #[inline(always)]
    fn rows(&self, block: Block, ic: usize, (at, ir, mr): (usize, usize, usize)) -> Source<E> {
        if self.plan.loops.pack_a {
            Source { ptr: self.micropanel(block, at, ir), row: 1, col: mr }
        } else {
            self.plan.p.a.at(ic + ir, block.pc)
        }
    }

    /// Some rows of all strips at a time, or strip after strip if columns are contiguous: what is
    /// read lies together in memory.
    unsafe fn pack_b(&self, block: Block, jc: usize, nc: usize) {
        let step = if self.plan.p.b.row == 1 { block.kc } else { pack::ROWS };
        for k in (0..block.kc).step_by(step) {
            let rows = step.min(block.kc - k);
            let mut strip = self.scratch.wrapping_add(self.plan.regions.0);
            for (jr, nr) in pieces_of(nc, Planned::<V, E>::TILE.nr(), V::LANES) {
                let width = nr.div_ceil(V::LANES) * V::LANES;
                let from = self.plan.p.b.at(block.pc + k, jc + jr);
                // SAFETY: a part of B; the panel has room for all strips.
                unsafe { pack::strip(self.plan.v, from, rows, nr, strip.wrapping_add(k * width), width) };
                strip = strip.wrapping_add(width * block.kc);
            }
        }
    }

    /// Some columns of all micropanels at a time, for the same reason.
    unsafe fn pack_a(&self, block: Block, ic: usize, mc: usize) {
        for k in (0..block.kc).step_by(pack::ROWS) {
            let cols = pack::ROWS.min(block.kc - k);
            for (at, (ir, mr)) in Pieces::new(mc, Planned::<V, E>::TILE.mr).iter().enumerate() {
                let to = self.micropanel(block, at, ir).wrapping_add(k * mr);
                let from = self.plan.p.a.at(ic + ir, block.pc + k);
                // SAFETY: a part of A; the block has room for all micropanels, a vector behind each.
                unsafe { pack::micropanel(self.plan.v, from, mr, cols, to) };
            }
        }
    }

    /// Where a micropanel begins: its number, and the rows before it.
    #[inline(always)]
    fn micropanel(&self, block: Block, at: usize, ir: usize) -> *mut E {
        self.scratch.wrapping_add(ir * block.kc + at * V::LANES)
    }

    #[inline(always)]
    unsafe fn microtile(
        &self,
        block: Block,
        (i, mr): (usize, usize),
        (j, nr): (usize, usize),
        kernel: Microkernel<V, E>,
        tile: &mut Tile<E>,
    ) {
        let p = &self.plan.p;
        let c = self.place(i, j);
        tile.c = c.ptr;
        tile.initial = match (block.first, p.start) {
            (true, Start::Nothing) => Initial::Nothing,
            (true, Start::PerColumn(bias)) if V::LANES > 1 || p.c.col == 1 => {
                Initial::Rows(bias.wrapping_add(j), 0)
            }
            (true, Start::PerColumn(bias)) => Initial::Spread(bias.wrapping_add(j)),
            (true, Start::PerRow(bias)) => Initial::Columns(bias.wrapping_add(i)),
            _ => Initial::Rows(c.ptr, c.row),
        };
        // SAFETY: a part of A (mr × kc), of B (kc × nr) and of C (mr × nr), or their copies in scratch memory.
        unsafe {
            if self.plan.is_scattered() && (!block.first || matches!(p.start, Start::Old)) {
                copy(p.c.at(i, j).source(), c, mr, nr);
            }
            kernel(self.plan.v, tile);
            if block.last && !tile.relu && (p.activation != Activation::Identity || p.y.is_some()) {
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

/// K = 0: every element is its initial value, or +0.
unsafe fn empty_sums<V: Kernels<E>, E: Element>(v: V, p: &Problem<E>) {
    for i in 0..p.m {
        for j in 0..p.n {
            let to = p.c.at(i, j).ptr;
            // SAFETY: element (i, j) of C, and its initial value.
            unsafe {
                match p.start {
                    Start::Nothing => *to = E::ZERO,
                    Start::Old => {}
                    Start::PerColumn(bias) => *to = *bias.add(j),
                    Start::PerRow(bias) => *to = *bias.add(i),
                }
            }
        }
    }
    if p.activation != Activation::Identity || p.y.is_some() {
        // SAFETY: C and Y, as the caller says.
        unsafe { activate(v, p.activation, p.c.source(), p.y.unwrap_or(p.c), p.m, p.n) };
    }
}

//! From a shape to a way of computing it: pure arithmetic, nothing is measured or remembered.
//!
//! ```text
//!     loop 5  pc  k, K_BLOCK at a time        the order of additions
//!     loop 4  ic  rows, mc at a time          a block of A: mc × kc, packed, in L3
//!     loop 3  jc  columns, nc at a time       a panel of B: kc × nc, packed, stays in L2
//!     loop 2  jr  strips of NR columns        kc × NR of B, streamed from L2
//!     loop 1  ir  microtiles of MR rows       MR × kc of A
//! ```
//!
//! Each part of A is packed once, and of B once for every block of A, so packing costs little
//! wherever there are many columns and rows.

use trine_core::K_BLOCK;

use crate::isa::Isa;

/// How much of the operands is worked on at a time. Only speed depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocking {
    /// Rows of A that are packed together.
    pub mc: usize,
    /// Columns of B that are packed together.
    pub nc: usize,
    /// When operands are copied into scratch memory first.
    pub packing: Packing,
}

/// When operands are copied into scratch memory first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Where it pays.
    Auto,
    /// Wherever it is possible.
    Always,
    /// Only where a kernel cannot read the operand as it is.
    Never,
}

/// Sizes of the data caches of one core, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caches {
    /// First level.
    pub l1: usize,
    /// Second level.
    pub l2: usize,
    /// Last level, all of it.
    pub l3: usize,
}

impl Caches {
    /// What is assumed where nothing is known: the smaller of today's server cores.
    pub const DEFAULT: Caches = Caches { l1: 32 << 10, l2: 1 << 20, l3: 16 << 20 };
}

impl Blocking {
    /// Half of L2 for the panel of B, an eighth of L3 (which others share) for the block of A, in whole tiles.
    pub const fn for_caches(caches: Caches, isa: Isa, bytes: usize) -> Self {
        let tile = Tile::of(isa, bytes);
        let row = K_BLOCK * at_least(bytes, 1);
        Blocking {
            mc: at_least(at_most(caches.l3 / 8, 8 << 20) / row / tile.mr, 1) * tile.mr,
            nc: at_least(caches.l2 / 2 / row / tile.nr(), 1) * tile.nr(),
            packing: Packing::Auto,
        }
    }
}

/// The largest register tile of an ISA for one element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Most rows.
    pub mr: usize,
    /// Most vectors in a row.
    pub nrv: usize,
    /// Elements in a vector.
    pub lanes: usize,
}

impl Tile {
    /// The tile of `isa` for elements of `bytes` bytes. The kernels' own tables agree (tested).
    pub const fn of(isa: Isa, bytes: usize) -> Self {
        match isa {
            Isa::Portable => Tile { mr: 4, nrv: 4, lanes: 1 },
            Isa::Avx2 => Tile { mr: 6, nrv: 2, lanes: 32 / bytes },
            Isa::Avx512 => Tile { mr: 8, nrv: 3, lanes: 64 / bytes },
            Isa::Neon => Tile { mr: 8, nrv: 3, lanes: 16 / bytes },
        }
    }

    /// Most columns.
    pub const fn nr(&self) -> usize {
        self.nrv * self.lanes
    }
}

/// What a product looks like to the planner: `m × k` times `k × n`, in the orientation in
/// which rows of C are contiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// Rows of C.
    pub m: usize,
    /// Columns of C.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
    /// How A lies in memory.
    pub a: Order,
    /// Whether the rows of B are contiguous.
    pub b_by_rows: bool,
}

/// How a matrix lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The elements of a row are neighbours.
    Rows,
    /// The elements of a column are neighbours.
    Columns,
    /// Neither.
    Scattered,
}

/// How one product is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loops {
    /// Rows of A in a block.
    pub mc: usize,
    /// Columns of B in a panel.
    pub nc: usize,
    /// Whether A goes through scratch memory.
    pub pack_a: bool,
    /// Whether B goes through scratch memory.
    pub pack_b: bool,
}

impl Loops {
    /// The loops for a product.
    pub const fn new(p: Product, tile: Tile, blocking: Blocking, bytes: usize) -> Self {
        let lanes = tile.lanes > 1;
        // The kernels read A by rows or by columns, and B by rows.
        let must_a = lanes && matches!(p.a, Order::Scattered);
        let must_b = lanes && !p.b_by_rows;
        let (pack_a, pack_b) = match blocking.packing {
            Packing::Always => (true, true),
            Packing::Never => (must_a, must_b),
            Packing::Auto => (must_a || lanes && a_pays(p, tile, bytes), must_b || lanes && b_pays(p, bytes)),
        };
        Loops {
            mc: at_least(if pack_a { at_most(blocking.mc, p.m) } else { p.m }, 1),
            nc: at_least(if pack_b { at_most(blocking.nc, p.n) } else { p.n }, 1),
            pack_a,
            pack_b,
        }
    }

    /// Where the panel of B begins, behind the block of A, and where it ends.
    pub const fn regions(&self, p: Product, tile: Tile) -> (usize, usize) {
        let k = at_most(p.k, K_BLOCK);
        let a = if self.pack_a {
            let rows = at_most(self.mc, p.m);
            line(rows.saturating_mul(k).saturating_add(rows.div_ceil(tile.mr).saturating_mul(tile.lanes)))
        } else {
            0
        };
        let panel = self.nc.div_ceil(tile.nr()).saturating_mul(tile.nr());
        let n = at_most(panel, p.n.div_ceil(tile.lanes).saturating_mul(tile.lanes));
        let b = if self.pack_b { line(n.saturating_mul(k)) } else { 0 };
        (a, a.saturating_add(b))
    }
}

/// Elements of scratch memory for `m × k` times `k × n`, whatever the layouts.
pub const fn gemm_scratch(
    m: usize,
    n: usize,
    k: usize,
    tile: Tile,
    blocking: Blocking,
    bytes: usize,
) -> usize {
    let mut most = 0;
    let mut case = 0;
    while case < 12 {
        let (m, n) = if case & 1 == 0 { (m, n) } else { (n, m) };
        let a = [Order::Rows, Order::Columns, Order::Scattered][case / 4];
        let p = Product { m, n, k, a, b_by_rows: case & 2 == 0 };
        let loops = Loops::new(p, tile, blocking, bytes);
        most = at_least(loops.regions(p, tile).1.saturating_add(tile_scratch(tile)), most);
        case += 1;
    }
    most
}

/// Elements for a tile on its way to an output with scattered rows and columns.
pub const fn tile_scratch(tile: Tile) -> usize {
    if tile.lanes > 1 { line(tile.mr * tile.nr()) } else { 0 }
}

/// A whole number of cache lines, for any element. Like all lengths of scratch memory it saturates:
/// a sum that would not fit in memory becomes one that certainly does not.
pub const fn line(elements: usize) -> usize {
    elements.div_ceil(16).saturating_mul(16)
}

/// A by columns: every value of k is a cache line of which a tile uses a part, a row of memory away
/// from the next. A copy pays if many strips read it, or if a long sum has more lines than L1 has room for.
const fn a_pays(p: Product, tile: Tile, bytes: usize) -> bool {
    let strips = p.n.div_ceil(tile.nr());
    let large = p.m.saturating_mul(at_most(p.k, K_BLOCK) * bytes) > 64 << 10;
    matches!(p.a, Order::Columns) && large && (strips > 5 || p.k >= K_BLOCK / 2 && strips > 2)
}

/// Every element of B is read once for each tile of rows; a copy of it costs as much as about
/// two of them, and saves what strides cost in L1 and TLB.
const fn b_pays(p: Product, bytes: usize) -> bool {
    p.m >= 96 && p.n.saturating_mul(at_most(p.k, K_BLOCK) * bytes) > 128 << 10
}

pub(crate) const fn at_least(x: usize, least: usize) -> usize {
    if x < least { least } else { x }
}

pub(crate) const fn at_most(x: usize, most: usize) -> usize {
    if x > most { most } else { x }
}

/// A length cut into pieces that are as equal as can be.
#[derive(Clone, Copy, Debug)]
pub struct Pieces {
    /// How many.
    pub count: usize,
    each: usize,
    longer: usize,
}

impl Pieces {
    /// `total` in the fewest pieces of at most `most`.
    #[inline(always)]
    pub const fn new(total: usize, most: usize) -> Self {
        if total <= most {
            return Pieces { count: (total > 0) as usize, each: total, longer: 0 };
        }
        let count = total.div_ceil(most);
        Pieces { count, each: total / count, longer: total % count }
    }

    /// Start and length of piece i.
    #[inline(always)]
    pub const fn get(&self, i: usize) -> (usize, usize) {
        let longer_before = if i < self.longer { i } else { self.longer };
        (i * self.each + longer_before, self.each + (i < self.longer) as usize)
    }

    /// Start and length of each.
    #[inline(always)]
    pub fn iter(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.count).map(move |i| self.get(i))
    }
}

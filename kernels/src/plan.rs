//! From a shape to a way of computing it: pure arithmetic, nothing is measured or remembered.
//!
//! ```text
//!     loop 5  pc  k, K_BLOCK at a time        the order of additions
//!     loop 4  ic  rows, mc at a time          a block of A: mc × kc, in L3 if it goes through scratch memory
//!     loop 3  jc  columns, nc at a time       a panel of B: kc × nc, stays in L2
//!     loop 2  ir  microtiles of MR rows       MR × kc of A, stays in L1
//!     loop 1  jr  strips of NR columns        kc × NR of B, streamed from L2
//! ```
//!
//! Each part of A is copied or packed once, and of B once for every block of A, so that it costs little
//! wherever there are many columns and rows.

use trine_core::K_BLOCK;

use crate::isa::Isa;
use crate::slabs;
use crate::tuning::Thresholds;

/// How much of the operands is worked on at a time. Only speed depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocking {
    /// Rows of A that are packed or copied together.
    pub mc: usize,
    /// Columns of B that are packed or copied together.
    pub nc: usize,
    /// When operands go through scratch memory.
    pub packing: Packing,
    /// Where that begins, and what else a plan chooses by size.
    pub thresholds: Thresholds,
}

/// When operands that kernels could read as they are go through scratch memory: nowhere without the feature
/// `packing`. Others always do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Where it pays.
    Auto,
    /// Wherever it is possible.
    Always,
    /// Nowhere.
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
        let row = K_BLOCK * bytes;
        let mut thresholds = Thresholds::for_caches(caches);
        if !matches!(isa, Isa::Avx512 | Isa::Avx2 | Isa::Sse2) {
            // Kernels of the others fetch nothing.
            thresholds.fetch_a_bytes = usize::MAX;
        }
        Blocking {
            mc: at_least(per(per(at_most(caches.l3 / 8, 8 << 20), row), tile.mr), 1) * tile.mr,
            nc: at_least(per(per(caches.l2 / 2, row), tile.nr()), 1) * tile.nr(),
            packing: Packing::Auto,
            thresholds,
        }
    }
}

impl Blocking {
    /// Whether a k×n B is so large that few rows have ways of their own to go through it.
    #[inline(always)]
    pub(crate) const fn is_large(&self, n: usize, k: usize, bytes: usize) -> bool {
        match self.packing {
            Packing::Always => false,
            Packing::Never => true,
            Packing::Auto => n.saturating_mul(k).saturating_mul(bytes) > self.thresholds.stream_bytes,
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
            Isa::Simd128 => Tile { mr: 4, nrv: 3, lanes: per(16, bytes) },
            Isa::Sse2 => Tile { mr: 6, nrv: 2, lanes: per(16, bytes) },
            Isa::Avx2 => Tile { mr: 6, nrv: 2, lanes: per(32, bytes) },
            Isa::Avx512 => Tile { mr: 8, nrv: 3, lanes: per(64, bytes) },
            Isa::Neon => Tile { mr: 8, nrv: 3, lanes: per(16, bytes) },
        }
    }

    /// The tile for few rows: as many accumulators in fewer and longer rows, so that more of a row of B
    /// is read at a time.
    pub const fn few(isa: Isa, bytes: usize) -> Self {
        let tile = Tile::of(isa, bytes);
        match isa {
            Isa::Portable => tile,
            Isa::Simd128 | Isa::Sse2 | Isa::Avx2 => Tile { mr: 2, nrv: 4, ..tile },
            Isa::Avx512 | Isa::Neon => Tile { mr: 4, nrv: 6, ..tile },
        }
    }

    /// Most columns.
    pub const fn nr(&self) -> usize {
        self.nrv * self.lanes
    }

    /// The strips of `n` columns: as wide as can be, but none of a single vector if two of two
    /// vectors do as well; at last one whose last vector is partial.
    #[inline(always)]
    pub fn strips(self, n: usize) -> impl Iterator<Item = Strips> {
        let mut j = 0;
        core::iter::from_fn(move || {
            (j < n).then(|| {
                let strips = self.strips_from(j, n);
                j += strips.count * strips.width;
                strips
            })
        })
    }

    /// Those of one width that begin at column `j`.
    #[inline(always)]
    pub fn strips_from(self, j: usize, n: usize) -> Strips {
        let vectors = (n - j).div_ceil(self.lanes);
        let last = (n - 1) % self.lanes + 1;
        let (nrv, count) = if vectors <= self.nrv {
            (vectors, 1)
        } else {
            let (wide, rest) = (vectors / self.nrv, vectors % self.nrv);
            match (rest, wide) {
                (1, 1) if self.nrv == 3 => (2, 2),
                (1, _) if self.nrv == 3 => (self.nrv, wide - 1),
                _ => (self.nrv, wide),
            }
        };
        // The very last strip stands alone if it is partial.
        let ends = nrv * count == vectors && last < self.lanes;
        let (count, tail) = if ends && count > 1 { (count - 1, false) } else { (count, ends) };
        let last = if tail { last } else { self.lanes };
        Strips { j, width: nrv * self.lanes, count, tail, last }
    }
}

/// Neighbouring strips of the same width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strips {
    /// Where they begin.
    pub j: usize,
    /// Columns of each, in whole vectors.
    pub width: usize,
    /// How many.
    pub count: usize,
    /// Whether the last vector is partial.
    pub tail: bool,
    /// Columns in the last vector.
    pub last: usize,
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
    /// How B lies in memory.
    pub b: Order,
    /// Distance between rows of B, in elements.
    pub b_row: usize,
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
    /// How the kernels get at A.
    pub a: Access,
    /// How the kernels get at B.
    pub b: Access,
    /// Whether C is so large that it is fetched before it is needed.
    pub fetch: bool,
    /// Whether the same is true of A.
    pub fetch_a: bool,
    /// The tile.
    pub tile: Tile,
}

/// How the kernels get at an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Where it lies.
    Direct,
    /// Where it lies for the first tile, which copies it into scratch memory for the others.
    Copied,
    /// It is brought into their order first, in scratch memory.
    Packed,
}

impl Access {
    /// Whether it goes through scratch memory.
    pub const fn is_direct(self) -> bool {
        matches!(self, Access::Direct)
    }

    const fn new(packed: bool, copied: bool) -> Self {
        if packed {
            Access::Packed
        } else if cfg!(feature = "packing") && copied {
            Access::Copied
        } else {
            Access::Direct
        }
    }
}

impl Loops {
    /// The loops for a product.
    pub const fn new(p: Product, isa: Isa, blocking: Blocking, bytes: usize) -> Self {
        let tile = Tile::of(isa, bytes);
        let mut loops = Loops {
            mc: at_least(p.m, 1),
            nc: at_least(p.n, 1),
            a: Access::Direct,
            b: Access::Direct,
            fetch: p.m.saturating_mul(p.n).saturating_mul(bytes) > 16 << 10,
            fetch_a: false,
            tile,
        };
        if tile.lanes == 1 {
            // Strides are free.
            return loops;
        }
        let (pays_a, pays_b) = match blocking.packing {
            Packing::Always => (matches!(p.a, Order::Columns), true),
            Packing::Never => (false, false),
            Packing::Auto => {
                (a_pays(p, tile, blocking.thresholds, bytes), b_pays(p, tile, blocking.thresholds, bytes))
            }
        };
        let packs_a = matches!(p.a, Order::Scattered) || cfg!(feature = "packing") && pays_a;
        loops.a = Access::new(packs_a, false);
        loops.b = Access::new(!matches!(p.b, Order::Rows), pays_b);
        loops.fetch_a = fetch_a_pays(p, blocking.thresholds, bytes);
        let few = Tile::few(isa, bytes);
        if p.m <= few.mr && p.n > tile.nr() && loops.a.is_direct() && loops.b.is_direct() {
            loops.tile = few;
            return loops;
        }
        if !loops.a.is_direct() {
            loops.mc = at_least(at_most(blocking.mc, p.m), 1);
        }
        if !loops.b.is_direct() {
            loops.nc = at_least(at_most(blocking.nc, p.n), 1);
        }
        loops
    }

    /// Where the panel of B begins, behind the block of A, and where it ends.
    pub const fn regions(&self, p: Product, isa: Isa, bytes: usize) -> [usize; 2] {
        if p.k == 0 {
            // Sums over nothing read no operand.
            return [0; 2];
        }
        let tile = Tile::of(isa, bytes);
        let k = at_most(p.k, K_BLOCK);
        let a = if !self.a.is_direct() {
            let rows = at_most(self.mc, p.m);
            line(rows.saturating_mul(k).saturating_add(rows.div_ceil(tile.mr).saturating_mul(tile.lanes)))
        } else {
            0
        };
        let panel = self.nc.div_ceil(tile.nr()).saturating_mul(tile.nr());
        let n = at_most(panel, p.n.div_ceil(tile.lanes).saturating_mul(tile.lanes));
        let b = if self.b.is_direct() { 0 } else { line(n.saturating_mul(k)) };
        [a, a.saturating_add(b)]
    }
}

/// Elements of scratch memory for `m × k` times `k × n`, whatever the layouts.
pub const fn gemm_scratch(m: usize, n: usize, k: usize, isa: Isa, blocking: Blocking, bytes: usize) -> usize {
    let tile = Tile::of(isa, bytes);
    let mut most = 0;
    let mut case = 0;
    while case < 12 {
        let (m, n) = if case & 1 == 0 { (m, n) } else { (n, m) };
        let a = [Order::Rows, Order::Columns, Order::Scattered][case / 4];
        let b = if case & 2 == 0 { Order::Rows } else { Order::Scattered };
        let p = Product { m, n, k, a, b, b_row: n };
        let loops = Loops::new(p, isa, blocking, bytes);
        most = at_least(loops.regions(p, isa, bytes)[1].saturating_add(tile_scratch(tile)), most);
        case += 1;
    }
    // Sums that wait, if C lies so, or as Cᵀ.
    if slabs::pays((m, n, k), isa, bytes, &blocking) {
        most = at_least(most, slabs::scratch((m, n), bytes));
    }
    if slabs::pays((n, m, k), isa, bytes, &blocking) {
        most = at_least(most, slabs::scratch((n, m), bytes));
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

/// Up to this length a sum leaves no time to fetch its own part of C.
pub const SHORT: usize = 64;

/// Bytes of a cache line.
pub const LINE: usize = 64;

/// Whether rows of B compete for few places in the caches: they are a multiple of so much apart. What does not stay
/// in L2 in any case suffers from half of that.
const fn is_crowded(p: Product, when: Thresholds, bytes: usize) -> bool {
    const CROWDED: usize = 2048;
    let row = p.b_row.wrapping_mul(bytes);
    let far = p.n.saturating_mul(p.k).saturating_mul(bytes) / 2 > when.copy_b_bytes;
    row.is_multiple_of(CROWDED) || far && row.is_multiple_of(CROWDED / 2)
}

/// Whether a product reads its operands where they lie, and near enough: there is little to plan.
#[inline(always)]
pub const fn is_plain(p: Product, tile: Tile, blocking: &Blocking, bytes: usize) -> bool {
    let when = blocking.thresholds;
    let copied = a_pays(p, tile, when, bytes) || matches!(p.b, Order::Rows) && b_pays(p, tile, when, bytes);
    matches!(blocking.packing, Packing::Auto) && !copied && !fetch_a_pays(p, when, bytes)
}

/// A by columns: every value of k is a cache line of which a tile uses a part, a row of memory away from the next.
/// Packed beforehand, a line is read once, for all tiles that have a part of it: worth it if so many lines do not
/// stay in L1 until the next tile.
const fn a_pays(p: Product, tile: Tile, when: Thresholds, bytes: usize) -> bool {
    let k = at_most(p.k, K_BLOCK);
    let large = p.m.saturating_mul(k * bytes) > when.copy_a_bytes && k * LINE * 4 > when.copy_a_bytes;
    matches!(p.a, Order::Columns) && large && p.n.div_ceil(tile.nr()) > when.copy_a_strips
}

/// A by rows from beyond the near caches. A processor that finds out by itself what comes next loses the thread where
/// a tile begins, which reads a line of each of its rows, then the next line of each. With short sums that costs less
/// than to fetch, unless A comes from memory.
const fn fetch_a_pays(p: Product, when: Thresholds, bytes: usize) -> bool {
    let size = p.m.saturating_mul(at_most(p.k, K_BLOCK) * bytes);
    let all = size.saturating_add(p.m.saturating_mul(p.n).saturating_mul(bytes));
    matches!(p.a, Order::Rows) && size > when.fetch_a_bytes && (p.k >= FETCHED || all >= when.past_bytes)
}

/// From such a length of the sums on.
const FETCHED: usize = 64;

/// B by rows: a copy costs little beside the first tile of rows, and saves the others what strides
/// cost in L1 and TLB.
const fn b_pays(p: Product, tile: Tile, when: Thresholds, bytes: usize) -> bool {
    let (tiles, size) = (p.m.div_ceil(tile.mr), p.n.saturating_mul(at_most(p.k, K_BLOCK) * bytes));
    // Each tile would read again from L3 what L2 does not hold.
    let beyond = tile.lanes * bytes == MEASURED && size / 2 > when.copy_b_bytes;
    let fewest = if beyond { when.copy_b_tiles / 3 } else { when.copy_b_tiles };
    tiles >= fewest && size > when.copy_b_bytes
        || tiles >= CROWDED_TILES && size > when.stream_bytes && is_crowded(p, when, bytes)
}

/// Bytes of AVX2's vectors, with which that has been measured.
const MEASURED: usize = 32;

/// From so many tiles of rows on, rows of B that compete for places are worth a copy.
const CROWDED_TILES: usize = 6;

/// How many of `y` there are in `x`: a division that cannot panic, for firmware that is to have no panic.
const fn per(x: usize, y: usize) -> usize {
    match x.checked_div(y) {
        Some(quotient) => quotient,
        None => 0,
    }
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

    /// How many pieces from i on have the same length.
    #[inline(always)]
    pub const fn same(&self, i: usize) -> usize {
        if i < self.longer { self.longer - i } else { self.count - i }
    }

    /// Start and length of each.
    #[inline(always)]
    pub fn iter(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.count).map(move |i| self.get(i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDES: [usize; 14] = [0, 1, 2, 3, 8, 9, 17, 97, 150, 289, 400, 513, 2049, 5000];

    fn products() -> impl Iterator<Item = Product> {
        let sides = || SIDES.into_iter();
        let orders = [Order::Rows, Order::Columns, Order::Scattered];
        sides().flat_map(move |m| {
            sides().flat_map(move |n| {
                sides().step_by(2).flat_map(move |k| {
                    // Some with rows of B that compete for places.
                    let b_row = if k % 4 == 0 { 512 } else { n };
                    orders.into_iter().flat_map(move |a| orders.map(|b| Product { m, n, k, a, b, b_row }))
                })
            })
        })
    }

    fn loops((m, side, b_row): (usize, usize, usize), isa: Isa, bytes: usize) -> Loops {
        let p = Product { m, n: side, k: side, a: Order::Rows, b: Order::Rows, b_row };
        Loops::new(p, isa, Blocking::for_caches(Caches::DEFAULT, isa, bytes), bytes)
    }

    #[test]
    fn rows_that_compete_for_places_are_copied_early() {
        for (isa, bytes) in [(Isa::Avx2, 4), (Isa::Avx512, 4), (Isa::Avx512, 8)] {
            let tiles = |count| count * Tile::of(isa, bytes).mr;
            let access = |count, side, row: usize| loops((tiles(count), side, row / bytes), isa, bytes).b;
            let copied = Access::new(false, true);
            assert_eq!((access(6, 500, 4096), access(6, 500, 4096 + 64)), (copied, Access::Direct));
            assert_eq!(access(5, 500, 4096), Access::Direct);
            // Half as far apart: only what does not stay in L2.
            assert_eq!((access(6, 1000, 3072), access(6, 200, 3072)), (copied, Access::Direct));
        }
    }

    #[test]
    fn a_b_that_l2_does_not_hold_is_copied_for_fewer_rows_with_avx2() {
        let caches = Caches { l2: 512 << 10, ..Caches::DEFAULT };
        let access = |isa, rows, n| {
            let p = Product { m: rows, n, k: 512, a: Order::Rows, b: Order::Rows, b_row: n };
            Loops::new(p, isa, Blocking::for_caches(caches, isa, 4), 4).b
        };
        let copied = Access::new(false, true);
        // Sixteen tiles of six rows, and 300 columns of 512: 600 KiB.
        assert_eq!((access(Isa::Avx2, 91, 300), access(Isa::Avx2, 90, 300)), (copied, Access::Direct));
        // L2 holds it.
        assert_eq!((access(Isa::Avx2, 282, 250), access(Isa::Avx2, 283, 250)), (Access::Direct, copied));
        assert_eq!(access(Isa::Avx512, 200, 300), Access::Direct);
    }

    /// Every column once, in strips as wide as can be, and only the very last one partial.
    #[test]
    fn strips_cover_all_columns() {
        for (isa, bytes) in [(Isa::Avx2, 4), (Isa::Avx512, 4), (Isa::Avx512, 8), (Isa::Portable, 4)] {
            for tile in [Tile::of(isa, bytes), Tile::few(isa, bytes)] {
                for n in 1..400 {
                    let (mut columns, mut narrow) = (0, 0);
                    for strips in tile.strips(n) {
                        assert_eq!(strips.j, columns, "{n} columns");
                        assert!(strips.count > 0 && strips.width <= tile.nr(), "{n} columns");
                        assert!(!strips.tail || strips.count == 1, "{n} columns");
                        let missing = if strips.tail { tile.lanes - strips.last } else { 0 };
                        columns += strips.count * strips.width - missing;
                        narrow += if strips.width < tile.nr() { strips.count } else { 0 };
                        assert_eq!(strips.tail, columns == n && !n.is_multiple_of(tile.lanes), "{n} columns");
                    }
                    assert_eq!(columns, n);
                    assert!(narrow <= if tile.nrv == 3 { 2 } else { 1 }, "{n} columns");
                }
            }
        }
    }

    /// A tile on its way to a scattered output has the same room, whichever it is.
    #[test]
    fn a_tile_for_few_rows_is_no_larger() {
        for (isa, bytes) in Isa::ALL.into_iter().flat_map(|isa| [(isa, 4), (isa, 8)]) {
            let (tile, few) = (Tile::of(isa, bytes), Tile::few(isa, bytes));
            assert!(few.mr * few.nr() <= tile.mr * tile.nr(), "{isa}");
        }
    }

    #[test]
    fn rows_are_fetched_from_l3_for_long_sums_and_from_memory_for_all() {
        let blocking = Blocking::for_caches(Caches::DEFAULT, Isa::Avx2, 4);
        let fetched = |m, n, k, a| {
            let p = Product { m, n, k, a, b: Order::Rows, b_row: n };
            let fetched = Loops::new(p, Isa::Avx2, blocking, 4).fetch_a;
            assert!(!(fetched && is_plain(p, Tile::of(Isa::Avx2, 4), &blocking, 4)));
            fetched
        };
        assert!(fetched(4096, 256, 256, Order::Rows));
        assert!(!fetched(4096, 256, 256, Order::Columns));
        assert!(!fetched(512, 512, 512, Order::Rows));
        assert!(!fetched(16384, 32, 32, Order::Rows));
        assert!(fetched(1 << 20, 32, 32, Order::Rows));
        // What is large is C.
        assert!(!fetched(4, 1 << 24, 512, Order::Rows));
        let neon = Blocking::for_caches(Caches::DEFAULT, Isa::Neon, 4);
        let large = Product { m: 1 << 20, n: 32, k: 256, a: Order::Rows, b: Order::Rows, b_row: 32 };
        assert!(!Loops::new(large, Isa::Neon, neon, 4).fetch_a);
    }

    /// A part has fewer rows, columns, or values of k; a single row of A has an order of its own.
    #[test]
    fn a_part_needs_no_more_scratch_memory_than_the_whole() {
        let caches = Caches::DEFAULT;
        for (isa, bytes) in [(Isa::Avx2, 4), (Isa::Avx512, 4), (Isa::Avx512, 8), (Isa::Portable, 4)] {
            let chosen = Blocking::for_caches(caches, isa, bytes);
            let eager = Thresholds {
                copy_a_bytes: 0,
                copy_a_strips: 1,
                copy_b_bytes: 0,
                copy_b_tiles: 3,
                stream_bytes: 0,
                ..chosen.thresholds
            };
            for packing in [Packing::Auto, Packing::Always, Packing::Never] {
                let tiny = Blocking { mc: 3, nc: 40, packing, ..chosen };
                let eager = Blocking { thresholds: eager, ..tiny };
                for blocking in [Blocking { packing, ..chosen }, tiny, eager] {
                    let need = |p: Product| Loops::new(p, isa, blocking, bytes).regions(p, isa, bytes)[1];
                    for whole in products() {
                        let enough = need(whole);
                        let less = |side: usize| [side / 2, side.saturating_sub(1), side.min(2), side.min(1)];
                        let rows = less(whole.m).map(|m| Product { m, ..whole });
                        let cols = less(whole.n).map(|n| Product { n, ..whole });
                        let sums = less(whole.k).map(|k| Product { k, ..whole });
                        for part in rows.into_iter().chain(cols).chain(sums) {
                            let row = part.m == 1 && part.a == Order::Scattered;
                            let part = Product { a: if row { Order::Columns } else { part.a }, ..part };
                            assert!(need(part) <= enough, "{isa}, {blocking:?}: {part:?} of {whole:?}");
                        }
                    }
                }
            }
        }
    }
}

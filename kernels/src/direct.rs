//! A product computed where its operands lie: one block of k, no plan.
//!
//! ```text
//!     for each run of strips of columns, of microtiles of rows
//!         microkernel, then the activation
//! ```
//!
//! The same loops as in `blocked`, without what such a product does not need and would wait for.

use trine_core::{Element, K_BLOCK};

use crate::elementwise::activate;
use crate::isa::Kernels;
use crate::pack;
use crate::plan::{Blocking, Order, Packing, Strips, Tile, is_plain, line};
use crate::problem::Problem;
use crate::scalar;
use crate::tiles::Tiles;
use crate::upcoming::Ahead;

/// Elements of a B by columns that are turned at once.
const AT_ONCE: usize = 4096;

/// Whether this is for a problem in its best orientation: one so small that no operand is worth a copy, or larger
/// with operands that are not.
#[inline(always)]
pub fn fits<V: Kernels<E>, E: Element>(p: &Problem<E>, blocking: &Blocking) -> bool {
    is_small::<V, E>(p, blocking)
        || could::<V, E>(p, blocking, blocking.thresholds.planless) && plain::<V, E>(p, blocking)
}

/// Whether it is for a problem however its operands lie, and for every part of it.
#[inline(always)]
pub fn is_small<V: Kernels<E>, E: Element>(p: &Problem<E>, blocking: &Blocking) -> bool {
    could::<V, E>(p, blocking, blocking.thresholds.small)
}

/// Whether there is one block of at most `most` multiply-adds, and nothing to be packed but a B that has room.
#[inline(always)]
fn could<V: Kernels<E>, E: Element>(p: &Problem<E>, blocking: &Blocking, most: usize) -> bool {
    // With one lane strides are free, and nothing is ever copied.
    if V::LANES == 1 {
        return true;
    }
    let work = p.m.saturating_mul(p.n).saturating_mul(p.k);
    let a = p.a.col == 1 || p.a.row == 1 || p.m == 1;
    // Columns of B that are contiguous are transposed first, all of them, in the room of a panel.
    let b = p.b.col == 1 || p.b.row == 1 && p.n <= blocking.nc;
    let some = work > 0 && work <= most && p.k <= K_BLOCK;
    some && a && b && p.c.col == 1 && blocking.packing != Packing::Always
}

/// Apart from what small products do.
#[inline(never)]
fn plain<V: Kernels<E>, E: Element>(p: &Problem<E>, blocking: &Blocking) -> bool {
    is_plain(p.product(), Tile::of(V::ISA, E::BYTES), blocking, E::BYTES)
}

/// Elements of scratch memory that it needs: no more than a plan would.
#[inline(always)]
pub fn scratch<V: Kernels<E>, E: Element>(p: &Problem<E>) -> usize {
    if V::LANES == 1 || p.b.col == 1 { 0 } else { room::<V, E>(p.n, p.k) }
}

/// Elements that `n` columns of `k` take when they have been turned.
#[inline(always)]
pub fn room<V: Kernels<E>, E: Element>(n: usize, k: usize) -> usize {
    line(n.next_multiple_of(V::LANES) * k)
}

/// Computes it.
///
/// # Safety
/// It [`fits`]; the operands can be accessed as their shapes and strides say; C (and Y) overlap
/// nothing else, and no two of their elements share a place. `room` is as [`scratch`] says.
#[inline(always)]
pub unsafe fn run<V: Kernels<E>, E: Element>(
    v: V,
    p: &Problem<E>,
    blocking: &Blocking,
    room: *mut E,
    ahead: Ahead<E>,
) {
    if V::LANES == 1 {
        // SAFETY: the contract is the same.
        return unsafe { scalar::product(p) };
    }
    // A small B by columns is turned at once. A large one goes strip by strip, each in one piece of memory: rows as long
    // as B would put each vector into a line, or a set of L1, of its own.
    let turns = p.b.col != 1;
    let at_once = turns && p.n * p.k <= AT_ONCE;
    let (b, b_row) = if at_once {
        let width = p.n.next_multiple_of(V::LANES);
        // SAFETY: all of B, and the room for it.
        unsafe { pack::strip(v, p.b, p.k, p.n, room, width) };
        (room.cast_const(), width)
    } else {
        (p.b.ptr, p.b.row)
    };
    let few = const { Tile::few(V::ISA, E::BYTES) };
    let few = p.m <= few.mr && p.n > const { Tile::of(V::ISA, E::BYTES).nr() };
    let past = p.goes_past::<V>(&blocking.thresholds);
    let way = Way { b, b_row, room: if turns && !at_once { Some(room) } else { None }, few, past, ahead };
    let mut j = 0;
    while j < p.n {
        // SAFETY: the contract is the same.
        j = unsafe { strips(v, p, &way, j) };
    }
    if past {
        v.settle();
    }
}

/// What all strips of a product share.
struct Way<'u, E> {
    /// B, whose rows are contiguous, or are in the room when a strip has been turned.
    b: *const E,
    b_row: usize,
    room: Option<*mut E>,
    /// Whether tiles are those for few rows.
    few: bool,
    past: bool,
    ahead: Ahead<'u, E>,
}

/// All rows of the strips of one width that begin at column `j`. Returns where the next ones begin. Apart from the loop over
/// these, which is seldom long: before it, a compiler would prepare for each of them what one needs.
///
/// # Safety
/// As for [`run`].
#[inline(never)]
unsafe fn strips<V: Kernels<E>, E: Element>(v: V, p: &Problem<E>, way: &Way<'_, E>, j: usize) -> usize {
    let (most, few) = const { (Tile::of(V::ISA, E::BYTES), Tile::few(V::ISA, E::BYTES)) };
    let (strips, mr, counts) = if way.few {
        (few.strips_from(j, p.n), p.m, [1, 0])
    } else {
        let (mr, counts) = tiles(p.m, most.mr);
        (most.strips_from(j, p.n), mr, counts)
    };
    let (b, b_row, b_strip) = match way.room {
        // SAFETY: these columns of B, and the room for them.
        Some(room) => (unsafe { turn(v, p, strips, room) }, strips.width, strips.width * p.k),
        None => (way.b.wrapping_add(j), way.b_row, strips.width),
    };
    let relu = p.is_relu();
    let c = p.c.at(0, j);
    let mut t = Tiles {
        strips: strips.count,
        rows: counts[0],
        a_tile: mr * p.a.row,
        b,
        b_row,
        b_strip,
        b_col: 1,
        c: c.ptr,
        c_row: c.row,
        last: strips.last,
        alpha: p.alpha,
        initial: p.initial(true, (0, j), c),
        relu,
        past: way.past,
        ahead: way.ahead,
        ..Tiles::new(p.a, p.b, p.k)
    };
    // SAFETY: parts of the operands.
    unsafe {
        some(v, p, &t, strips, (0, mr));
        if counts[1] > 0 {
            let i = counts[0] * mr;
            t.a = t.a.wrapping_add(i * p.a.row);
            t.c = t.c.wrapping_add(i * p.c.row);
            t.initial = t.initial.at(i, 0);
            (t.rows, t.a_tile) = (counts[1], (mr - 1) * p.a.row);
            some(v, p, &t, strips, (i, mr - 1));
        }
    }
    j + strips.count * strips.width
}

/// Those tiles of them that have `mr` rows, from row `i` on.
///
/// # Safety
/// As for [`run`].
#[inline(always)]
unsafe fn some<V: Kernels<E>, E: Element>(
    v: V,
    p: &Problem<E>,
    t: &Tiles<'_, E>,
    strips: Strips,
    (i, mr): (usize, usize),
) {
    let by_rows = p.a.col == 1;
    debug_assert!(by_rows || p.product().a == Order::Columns);
    let kernel = V::TABLE.kernel((strips.width / V::LANES, mr), by_rows, strips.tail, false);
    // SAFETY: parts of the operands.
    unsafe {
        kernel(v, t);
        if !t.relu && p.activates() {
            let (c, cols) = (p.c.at(i, strips.j), (strips.count * strips.width).min(p.n - strips.j));
            let y = p.y.map_or(c, |y| y.at(i, strips.j));
            activate(v, p.activation, c.source(), y, t.rows * mr, cols);
        }
    }
}

/// Tiles of `m` rows, as equal as can be: how many rows the first have, and how many of these there are and of those that
/// have one less.
#[inline(always)]
fn tiles(m: usize, most: usize) -> (usize, [usize; 2]) {
    let count = m.div_ceil(most);
    // Fewer than `most` rows are missing: there is no division by what is not a constant.
    let (mut mr, mut missing) = (most, count * most - m);
    while missing >= count && missing > 0 {
        (mr, missing) = (mr - 1, missing - count);
    }
    (mr, [count - missing, missing])
}

/// Some strips of a B by columns as the kernels read them, and where: strip after strip, each row by row.
///
/// # Safety
/// As for [`run`].
unsafe fn turn<V: Kernels<E>, E: Element>(v: V, p: &Problem<E>, strips: Strips, room: *mut E) -> *const E {
    let first = room.wrapping_add(strips.j * p.k);
    for i in 0..strips.count {
        let j = strips.j + i * strips.width;
        // SAFETY: the columns of a strip, and their room.
        unsafe {
            pack::strip(
                v,
                p.b.at(0, j),
                p.k,
                strips.width.min(p.n - j),
                first.wrapping_add(i * strips.width * p.k),
                strips.width,
            )
        };
    }
    first
}

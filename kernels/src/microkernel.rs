//! The microkernel: one body for every ISA, element type and tile.
//!
//! ```text
//!            B  b_row →   [ NRV vectors ]            for k in 0..len:
//!                             ↓                          b[0..NRV] = row k of B
//!     A   a0 ┐   ┌─────┬─────┬─────┐                     for i in 0..MR:
//!         a1 │   │ acc │ acc │ acc │                         acc[i][·] += A[i][k] · b[·]
//!         ⋮  │   │     MR × NRV    │                 then, once:
//!     col k  ┘   └─────┴─────┴─────┘                     C = alpha·acc (+ initial)
//! ```
//!
//! A sum over k stays in one lane of one accumulator and is never split, so its order does not
//! depend on the tile. A is read one element at a time and spread over a vector: from rows that
//! are contiguous along k (`BY_ROWS`), or from columns whose elements are neighbours, as in a
//! micropanel. B's rows are contiguous. The last vector of a row may be partial (`TAIL`): a mask keeps
//! its memory untouched. Machines with one lane have a body of their own (`scalar.rs`).
//!
//! On the way through long sums the kernel may copy B into scratch memory (`COPY`), in the order in which the
//! next tiles will read it: the stores cost nothing beside the multiply-adds, where a copy beforehand costs as
//! much as two tiles.
//!
//! Four values of k go into one turn of the loop: the integer instructions of a turn compete with
//! the multiply-adds for the same ports, and cost a tenth of the speed if they are not spread out.

use core::array::from_fn;
use core::cell::Cell;
use core::sync::atomic::{Ordering, compiler_fence};

use trine_core::Element;

use crate::plan::LINE;
use crate::tiles::{Initial, Tiles};
use crate::upcoming::Upcoming;
use crate::vector::Vector;

/// Rows of a tile from which it can fetch A: an A with fewer is not large.
const FETCHES: usize = 4;

/// Rows of a tile from which it can do what only large operands need: from 20 rows on, which are cut into tiles as equal
/// as can be, no tile has fewer where the largest has six or eight. Each kernel of this kind takes twice the time to compile:
/// those with a partial vector and those that copy are of it only where sums go through runs.
pub const TALL: usize = 5;

/// Values of k in one turn of the loop.
pub const UNROLL: usize = 4;

/// A microkernel for one tile shape: rows of such tiles.
pub type Microkernel<V, E> = unsafe fn(V, &Tiles<E>);

/// The body as a function that is compiled for `V`. `TAIL`: the last vector is partial.
/// `BY_ROWS`: A's rows are contiguous, otherwise its columns are. `COPY`: B is copied.
///
/// # Safety
/// With M = `rows`·MR and N the columns of all strips, `last` counted in the last vector of each: A can be
/// read as M×`len`, B as `len`×N, the initial matrix as M×N, M or N values; C can be written as M×N and overlaps
/// neither A nor B. C may be the initial matrix. With a copy `rows` is 1. What is copied has its place, which
/// overlaps nothing else: `len` whole rows of each strip of B. So have sums that wait: as many whole vectors as there are
/// in all tiles.
unsafe fn tile<
    V: Vector<E>,
    E: Element,
    const MR: usize,
    const NRV: usize,
    const TAIL: bool,
    const BY_ROWS: bool,
    const COPY: bool,
>(
    v: V,
    t: &Tiles<E>,
) {
    v.vectorize(
        #[inline(always)]
        // SAFETY: the contract is the same.
        || unsafe {
            // A loop of its own: in the other, what this one keeps would push out what it needs.
            let large = MR >= TALL && (V::RUNS && !BY_ROWS || V::HINTS && !COPY && !TAIL);
            if large && (t.ahead.is_some() || t.past) {
                body::<V, E, MR, NRV, TAIL, BY_ROWS, COPY, true>(v, t);
            } else {
                body::<V, E, MR, NRV, TAIL, BY_ROWS, COPY, false>(v, t);
            }
        },
    );
}

/// LARGE: it may fetch what is upcoming, write past the caches, and let sums wait.
#[inline(always)]
unsafe fn body<
    V: Vector<E>,
    E: Element,
    const MR: usize,
    const NRV: usize,
    const TAIL: bool,
    const BY_ROWS: bool,
    const COPY: bool,
    const LARGE: bool,
>(
    v: V,
    t: &Tiles<E>,
) {
    // A copy, which stores to C cannot change.
    let mut t = *t;
    let tail = v.tail(t.last);
    // Strides of 1 that the compiler should know.
    (t.b_col, t.c_col) = (1, 1);
    if BY_ROWS {
        t.a_col = 1;
    } else {
        t.a_row = 1;
    }
    let width = NRV * V::LANES;
    let waits = LARGE && V::RUNS && !BY_ROWS;
    debug_assert!(waits || !(t.resumes || t.stays), "sums that wait are lost");
    let mut sums = t.sums;
    let mut upcoming = if LARGE { t.ahead.map(Cell::get) } else { None };
    for _ in 0..t.rows {
        let mut s = t;
        for _ in 0..t.strips {
            // SAFETY: a microtile of those that the caller speaks of: MR rows, one strip of B, its columns of C.
            unsafe {
                let mut acc = begin::<V, E, MR, NRV>(v, &s);
                if waits && t.resumes {
                    acc = resume(v, sums);
                }
                sum::<V, E, MR, NRV, TAIL, BY_ROWS, COPY, LARGE>(v, &s, upcoming.as_mut(), &mut acc, tail);
                if waits && t.stays {
                    keep(v, sums, &acc);
                } else {
                    end::<V, E, MR, NRV, TAIL, LARGE>(v, &s, acc, tail);
                }
            }
            s.fetch_a = None;
            s.b = s.b.wrapping_add(t.b_strip);
            sums = sums.wrapping_add(MR * width);
            s.copy_b = s.copy_b.wrapping_add(width * t.len);
            s.c = s.c.wrapping_add(width * t.c_col);
            s.initial = match s.initial {
                Initial::Rows(p, row) => Initial::Rows(p.wrapping_add(width * t.c_col), row),
                Initial::Spread(p) => Initial::Spread(p.wrapping_add(width)),
                same => same,
            };
        }
        t.a = t.a.wrapping_add(t.a_tile);
        t.c = t.c.wrapping_add(MR * t.c_row);
        t.initial = match t.initial {
            Initial::Rows(p, row) => Initial::Rows(p.wrapping_add(MR * row), row),
            Initial::Columns(p) => Initial::Columns(p.wrapping_add(MR)),
            same => same,
        };
    }
    if let (Some(ahead), Some(upcoming)) = (t.ahead, upcoming) {
        ahead.set(upcoming);
    }
}

/// What the accumulators begin with, while C is on its way.
#[inline(always)]
fn begin<V: Vector<E>, E: Element, const MR: usize, const NRV: usize>(
    v: V,
    t: &Tiles<E>,
) -> [[V::V; NRV]; MR] {
    if let Some(ahead) = t.fetch {
        each::<MR, NRV>(|i, j| v.prefetch(t.c.wrapping_add(ahead + i * t.c_row + j * V::LANES * t.c_col)));
    }
    [[v.splat(E::ZERO); NRV]; MR]
}

/// Sums of a tile that have waited, in whole vectors.
///
/// # Safety
/// They are there.
#[inline(always)]
pub unsafe fn resume<V: Vector<E>, E: Element, const MR: usize, const NRV: usize>(
    v: V,
    sums: *const E,
) -> [[V::V; NRV]; MR] {
    // SAFETY: the contract is the same.
    from_fn(|i| from_fn(|j| unsafe { v.load_at(sums.wrapping_add((i * NRV + j) * V::LANES)) }))
}

/// Where [`resume`] finds them.
///
/// # Safety
/// There is room for them.
#[inline(always)]
pub unsafe fn keep<V: Vector<E>, E: Element, const MR: usize, const NRV: usize>(
    v: V,
    sums: *mut E,
    acc: &[[V::V; NRV]; MR],
) {
    // SAFETY: the contract is the same.
    each::<MR, NRV>(|i, j| unsafe { v.store_at(sums.wrapping_add((i * NRV + j) * V::LANES), acc[i][j]) });
}

/// Adds `len` products to each accumulator. LARGE: and fetches on the way what is upcoming.
#[inline(always)]
pub unsafe fn sum<
    V: Vector<E>,
    E: Element,
    const MR: usize,
    const NRV: usize,
    const TAIL: bool,
    const BY_ROWS: bool,
    const COPY: bool,
    const LARGE: bool,
>(
    v: V,
    t: &Tiles<E>,
    mut upcoming: Option<&mut Upcoming<E>>,
    acc: &mut [[V::V; NRV]; MR],
    tail: V::Tail,
) {
    let (mut a, mut b) = (t.a, t.b);
    let mut copy_b = t.copy_b;
    // One value of k, u behind where the pointers are.
    macro_rules! add {
        ($u:expr) => {{
            let (a, b) = (a.wrapping_add($u * t.a_col), b.wrapping_add($u * t.b_row));
            // SAFETY: column k of A and row k of B, as the caller says, and the place of its copy.
            unsafe {
                let row = step::<V, E, MR, NRV, TAIL, BY_ROWS>(v, acc, (a, t.a_row), (b, t.b_col), tail);
                if COPY {
                    for (j, &b) in row.iter().enumerate() {
                        v.store_at(copy_b.wrapping_add(($u * NRV + j) * V::LANES), b);
                    }
                }
            }
        }};
    }
    // A cache line of each row is fetched while the tile works on another: all at once they would wait for one another.
    let fetch = if BY_ROWS && MR >= FETCHES { t.fetch_a } else { None };
    let mut turns = t.len / UNROLL;
    while turns > 0 {
        let mut now = turns;
        if let Some(ahead) = fetch {
            each::<MR, 1>(|i, _| v.prefetch(a.wrapping_add(ahead.wrapping_add(i * t.a_row))));
            now = now.min(LINE / E::BYTES / UNROLL);
        }
        if LARGE
            && let Some(upcoming) = &mut upcoming
            && upcoming.is_some()
        {
            upcoming.fetch(|p| v.prefetch(p));
            now = 1;
        }
        turns -= now;
        for _ in 0..now {
            // Not a loop: how much of one the compiler unrolls depends on the tile. The fences keep the loads of
            // one k from moving up to those of another, where they would spill.
            add!(0);
            compiler_fence(Ordering::SeqCst);
            add!(1);
            compiler_fence(Ordering::SeqCst);
            add!(2);
            compiler_fence(Ordering::SeqCst);
            add!(3);
            compiler_fence(Ordering::SeqCst);
            a = a.wrapping_add(UNROLL * t.a_col);
            b = b.wrapping_add(UNROLL * t.b_row);
            copy_b = copy_b.wrapping_add(UNROLL * NRV * V::LANES);
        }
    }
    for _ in 0..t.len % UNROLL {
        add!(0);
        a = a.wrapping_add(t.a_col);
        b = b.wrapping_add(t.b_row);
        copy_b = copy_b.wrapping_add(NRV * V::LANES);
    }
}

/// `C = initial + alpha·acc`, and perhaps ReLU. LARGE: perhaps past the caches.
///
/// # Safety
/// MR rows of NRV vectors of C can be written, the last vector partial with `TAIL`, and as much of the initial value read.
#[inline(always)]
pub unsafe fn end<
    V: Vector<E>,
    E: Element,
    const MR: usize,
    const NRV: usize,
    const TAIL: bool,
    const LARGE: bool,
>(
    v: V,
    t: &Tiles<E>,
    mut acc: [[V::V; NRV]; MR],
    tail: V::Tail,
) {
    let alpha = v.splat(t.alpha);
    match t.initial {
        // 1·p is p.
        Initial::Nothing if t.alpha == E::ONE => {}
        Initial::Nothing => each::<MR, NRV>(|i, j| acc[i][j] = v.mul(alpha, acc[i][j])),
        Initial::Rows(p, row) => each::<MR, NRV>(|i, j| {
            // SAFETY: row i of the initial matrix.
            let initial = unsafe { load::<V, E, NRV, TAIL>(v, p.wrapping_add(i * row), j, t.c_col, tail) };
            acc[i][j] = v.mul_add(alpha, acc[i][j], initial);
        }),
        Initial::Columns(p) => each::<MR, NRV>(|i, j| {
            // SAFETY: one of this microtile's MR values, as the caller says.
            let initial = v.splat(unsafe { *p.add(i) });
            acc[i][j] = v.mul_add(alpha, acc[i][j], initial);
        }),
        Initial::Spread(p) => each::<MR, NRV>(|i, j| {
            // SAFETY: one value for each column.
            let initial = unsafe { load::<V, E, NRV, TAIL>(v, p, j, 1, tail) };
            acc[i][j] = v.mul_add(alpha, acc[i][j], initial);
        }),
    }
    if t.relu {
        each::<MR, NRV>(|i, j| acc[i][j] = v.relu(acc[i][j]));
    }
    // SAFETY: the contract is the same.
    unsafe {
        if LARGE && !TAIL && t.past {
            store::<V, E, MR, NRV, TAIL, true>(v, t, &acc, tail);
        } else {
            store::<V, E, MR, NRV, TAIL, false>(v, t, &acc, tail);
        }
    }
}

/// Writes a tile of C, perhaps past the caches.
#[inline(always)]
unsafe fn store<
    V: Vector<E>,
    E: Element,
    const MR: usize,
    const NRV: usize,
    const TAIL: bool,
    const PAST: bool,
>(
    v: V,
    t: &Tiles<E>,
    acc: &[[V::V; NRV]; MR],
    tail: V::Tail,
) {
    each::<MR, NRV>(|i, j| {
        let p = t.c.wrapping_add(i * t.c_row + j * V::LANES * t.c_col);
        // SAFETY: columns of row i of C; a partial vector writes its own only, and rows that go past the caches are
        // aligned.
        unsafe {
            if TAIL && j == NRV - 1 {
                v.store_tail(p, tail, acc[i][j]);
            } else if PAST {
                v.store_past(p, acc[i][j]);
            } else {
                v.store_at(p, acc[i][j]);
            }
        }
    });
}

/// One value of k: a column of A times a row of B, which is returned.
#[inline(always)]
unsafe fn step<
    V: Vector<E>,
    E: Element,
    const MR: usize,
    const NRV: usize,
    const TAIL: bool,
    const BY_ROWS: bool,
>(
    v: V,
    acc: &mut [[V::V; NRV]; MR],
    (a, a_row): (*const E, usize),
    (b, b_col): (*const E, usize),
    tail: V::Tail,
) -> [V::V; NRV] {
    // SAFETY: NRV vectors of B, the last one partial, and MR elements of A, as the caller says.
    unsafe {
        let row: [V::V; NRV] = from_fn(|j| load::<V, E, NRV, TAIL>(v, b, j, b_col, tail));
        if BY_ROWS {
            v.add_column::<MR, NRV, false>(acc, (a, a_row), &row);
        } else {
            v.add_column::<MR, NRV, true>(acc, (a, a_row), &row);
        }
        row
    }
}

/// Vector j of a row; the last one reads its own elements only.
#[inline(always)]
unsafe fn load<V: Vector<E>, E: Element, const NRV: usize, const TAIL: bool>(
    v: V,
    row: *const E,
    j: usize,
    col: usize,
    tail: V::Tail,
) -> V::V {
    let p = row.wrapping_add(j * V::LANES * col);
    // SAFETY: the caller says that these elements can be read.
    unsafe { if TAIL && j == NRV - 1 { v.load_tail(p, tail) } else { v.load_at(p) } }
}

#[inline(always)]
fn each<const MR: usize, const NRV: usize>(mut f: impl FnMut(usize, usize)) {
    for i in 0..MR {
        for j in 0..NRV {
            f(i, j);
        }
    }
}

/// The kernels of one tile.
pub struct Variants<V: 'static, E: 'static> {
    /// For A by columns and by rows, the whole one and the one with a partial vector.
    pub plain: [[Microkernel<V, E>; 2]; 2],
    /// Those that copy B, with whole vectors: for A by columns and by rows. None in tiles for few rows, which
    /// have nobody to copy for, on a machine with one lane, where nothing is copied, and without the feature
    /// `packing`.
    pub copying: Option<[Microkernel<V, E>; 2]>,
}

/// The microkernels of one ISA and element type.
pub struct Table<V: 'static, E: 'static> {
    /// For 1, 2 … vectors in a row, for 1, 2 … rows.
    pub kernels: &'static [&'static [Variants<V, E>]],
}

impl<V: Vector<E>, E: Element> Table<V, E> {
    /// The kernel for a strip of `nrv` vectors and `mr` rows; whether it copies B.
    #[inline(always)]
    pub fn kernel(
        &self,
        (nrv, mr): (usize, usize),
        by_rows: bool,
        tail: bool,
        copies: bool,
    ) -> Microkernel<V, E> {
        let variants = &self.kernels[nrv - 1][mr - 1];
        match &variants.copying {
            Some(copying) if copies => copying[usize::from(by_rows)],
            _ => variants.plain[usize::from(by_rows)][usize::from(tail)],
        }
    }
}

/// A table by its tiles: for each number of vectors the numbers of rows.
macro_rules! table {
    ($name:ident, $doc:literal, $($kind:ident $nrv:literal: $($mr:literal)*;)*) => {
        impl<V: Vector<E>, E: Element> Table<V, E> {
            #[doc = $doc]
            pub const $name: Self = Table { kernels: &[$(table!(@row $kind, $nrv: $($mr)*)),*] };
        }
    };
    (@row $kind:ident, $nrv:literal: $($mr:literal)*) => {
        &[$(Variants {
            plain: [table!(@tails $mr, $nrv, false), table!(@tails $mr, $nrv, true)],
            copying: table!(@copying $kind, $mr, $nrv),
        }),*]
    };
    (@tails $mr:literal, $nrv:literal, $by_rows:expr) => {
        [tile::<V, E, $mr, $nrv, false, { $by_rows }, false>, tile::<V, E, $mr, $nrv, true, { $by_rows }, false>]
    };
    (@copying few, $mr:literal, $nrv:literal) => { None };
    (@copying lanes, $mr:literal, $nrv:literal) => {
        if cfg!(feature = "packing") {
            Some([
                tile::<V, E, $mr, $nrv, false, false, true>,
                tile::<V, E, $mr, $nrv, false, true, true>,
            ])
        } else {
            None
        }
    };
}

table!(WIDE, "For 32 registers.",
    lanes 1: 1 2 3 4 5 6 7 8;
    lanes 2: 1 2 3 4 5 6 7 8;
    lanes 3: 1 2 3 4 5 6 7 8;
    few 4: 1 2 3 4;
    few 5: 1 2 3 4;
    few 6: 1 2 3 4;
);
table!(NARROW, "For 16 registers.",
    lanes 1: 1 2 3 4 5 6;
    lanes 2: 1 2 3 4 5 6;
    few 3: 1 2;
    few 4: 1 2;
);
table!(FIFTEEN, "For 15 registers and a multiply-add that takes two instructions.",
    lanes 1: 1 2 3 4;
    lanes 2: 1 2 3 4;
    lanes 3: 1 2 3 4;
    few 4: 1 2;
);

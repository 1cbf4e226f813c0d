//! Products with the single-precision multiply-add of VFPv4 (Cortex-M4F, M7, M33).
//!
//! The compiler cannot be asked for this instruction: `core` does not expose it, and inline assembly
//! gets no single-precision registers as operands on a core without double precision, so that each
//! value would pass through core registers. Here a whole microtile is assembly, and registers have
//! fixed uses:
//!
//! ```text
//!     s0 … s15    the sums: row i, column j in s(4i + j)
//!     s16 … s23   two columns of A           s24 … s31   two rows of B
//! ```
//!
//! Two values of k in a turn: 32 multiply-adds, 6 to 8 loads, at most 4 additions to addresses, 2
//! instructions of the loop. A load of several registers is one instruction: what is contiguous along k is
//! loaded two values at a time, what is contiguous across it four.
//!
//! One call computes as many microtiles beside each other as there are whole ones: only the pointers into B and C
//! move. Edges: where k is the contiguous direction, the last row or column stands for those that are missing,
//! and their sums are not used. Whatever else there may be goes four sums at a time.

use core::arch::asm;
use core::mem::offset_of;

use crate::pack::Source;
use crate::problem::{Problem, Target};
use crate::scalar::{Ending, Part, SIDE, Sums, end};
use crate::tiles::Initial;

/// What the sums begin with.
static ZEROS: Sums<f32> = [[0.0; SIDE]; SIDE];

/// A microtile as its kernel sees it, the first of some beside each other: all strides in bytes.
#[repr(C)]
struct Tile {
    zeros: &'static Sums<f32>,
    len: usize,
    /// Where the result goes, and how far its rows are apart.
    c: *mut f32,
    c_row: usize,
    /// What `alpha·sums` is added to; if null, the sums themselves are the result.
    initial: *const f32,
    initial_row: usize,
    alpha: f32,
    /// The rows of A, or in front the first of its columns.
    a: [*const f32; SIDE],
    /// The columns of B, or in front the first of its rows.
    b: [*const f32; SIDE],
    a_col: usize,
    b_row: usize,
    /// From where the kernel has read B to, to where the next microtile begins.
    b_next: usize,
}

/// Multiply-adds of one column of A and one row of B, 2 or 4 columns: the numbers of the registers.
macro_rules! step {
    (4, $a:tt $b:tt) => { concat!(step!(2, $a $b), step!(@third $a $b)) };
    (2, $a:tt [$b0:literal $b1:literal $b2:literal $b3:literal]) => {
        concat!(step!(@column $a [0 4 8 12] $b0), step!(@column $a [1 5 9 13] $b1))
    };
    (@third $a:tt [$b0:literal $b1:literal $b2:literal $b3:literal]) => {
        concat!(step!(@column $a [2 6 10 14] $b2), step!(@column $a [3 7 11 15] $b3))
    };
    (@column [$a0:literal $a1:literal $a2:literal $a3:literal]
        [$c0:literal $c1:literal $c2:literal $c3:literal] $b:literal) => {
        concat!(
            "vfma.f32 s", $c0, ", s", $a0, ", s", $b, "\n", "vfma.f32 s", $c1, ", s", $a1, ", s", $b, "\n",
            "vfma.f32 s", $c2, ", s", $a2, ", s", $b, "\n", "vfma.f32 s", $c3, ", s", $a3, ", s", $b, "\n",
        )
    };
}

/// The end of a row: as it is, or `alpha·sums` added to its initial values.
macro_rules! end_of_row {
    (4, plain [$c0:literal $c1:literal $c2:literal $c3:literal]) => {
        concat!("vstmia {p0}, {{s", $c0, "-s", $c3, "}}\n", "add {p0}, {p1}\n")
    };
    (2, plain [$c0:literal $c1:literal $c2:literal $c3:literal]) => {
        concat!("vstmia {p0}, {{s", $c0, ", s", $c1, "}}\n", "add {p0}, {p1}\n")
    };
    (4, added [$c0:literal $c1:literal $c2:literal $c3:literal]) => {
        concat!(
            "vldmia {p2}, {{s16-s19}}\n",
            "add {p2}, {p3}\n",
            "vfma.f32 s16, s31, s",
            $c0,
            "\n",
            "vfma.f32 s17, s31, s",
            $c1,
            "\n",
            "vfma.f32 s18, s31, s",
            $c2,
            "\n",
            "vfma.f32 s19, s31, s",
            $c3,
            "\n",
            "vstmia {p0}, {{s16-s19}}\n",
            "add {p0}, {p1}\n",
        )
    };
    (2, added [$c0:literal $c1:literal $c2:literal $c3:literal]) => {
        concat!(
            "vldmia {p2}, {{s16, s17}}\n",
            "add {p2}, {p3}\n",
            "vfma.f32 s16, s31, s",
            $c0,
            "\n",
            "vfma.f32 s17, s31, s",
            $c1,
            "\n",
            "vstmia {p0}, {{s16, s17}}\n",
            "add {p0}, {p1}\n",
        )
    };
}

/// A kernel for 4 rows and 2 or 4 columns: what loads its pointers into B, and into A; what loads two values of k and
/// what loads one; the pointers into B that go on; the registers of A and B for the first and for the second of two.
/// Its pointers are p0 to p7, those into B none of the first four.
macro_rules! kernel {
    ($name:ident, $cols:tt, [$($begin_b:literal),*], [$($begin_a:literal),*], [$($two:literal),*], [$($one:literal),*],
        [$($next:literal),*], [$a0:tt $b0:tt], [$a1:tt $b1:tt]) => {
        /// # Safety
        /// For `count` microtiles beside each other, which is not 0: of A and B `len` values of k can be read, of the
        /// initial values 4 rows, and as many rows of C written.
        #[inline(never)]
        unsafe fn $name(tile: &mut Tile, count: usize) {
            // SAFETY: reads and writes what the caller says, and the fields of the tile; every register it changes is
            // named.
            unsafe {
                asm!(
                    $($begin_b,)*
                    "1:",
                    "ldr {len}, [{t}, {zeros}]",
                    "vldmia {len}, {{s0-s15}}",
                    "ldr {len}, [{t}, {length}]",
                    $($begin_a,)*
                    "subs {len}, {len}, #2",
                    "blt 3f",
                    "2:",
                    $($two,)*
                    step!($cols, $a0 $b0),
                    step!($cols, $a1 $b1),
                    "subs {len}, {len}, #2",
                    "bge 2b",
                    "3:",
                    // −2 if nothing is left, −1 if one value of k is.
                    "lsls {len}, {len}, #31",
                    "beq 4f",
                    $($one,)*
                    step!($cols, [16 17 18 19] [24 25 26 27]),
                    "4:",
                    "ldr {len}, [{t}, {b_next}]",
                    $($next,)*
                    "ldrd {p0}, {p1}, [{t}, {c}]",
                    "add {len}, {p0}, #16",
                    "str {len}, [{t}, {c}]",
                    "ldrd {p2}, {p3}, [{t}, {initial}]",
                    "cmp {p2}, #0",
                    "beq 5f",
                    "add {len}, {p2}, #16",
                    "str {len}, [{t}, {initial}]",
                    "vldr s31, [{t}, {alpha}]",
                    end_of_row!($cols, added [0 1 2 3]),
                    end_of_row!($cols, added [4 5 6 7]),
                    end_of_row!($cols, added [8 9 10 11]),
                    end_of_row!($cols, added [12 13 14 15]),
                    "b 6f",
                    "5:",
                    end_of_row!($cols, plain [0 1 2 3]),
                    end_of_row!($cols, plain [4 5 6 7]),
                    end_of_row!($cols, plain [8 9 10 11]),
                    end_of_row!($cols, plain [12 13 14 15]),
                    "6:",
                    "subs {count}, {count}, #1",
                    "bne 1b",
                    "/* {p4} {p5} {p6} {p7} {a} {b} {strides} */",
                    t = in(reg) tile, count = inout(reg) count => _, len = out(reg) _, p0 = out(reg) _, p1 = out(reg) _, p2 = out(reg) _,
                    p3 = out(reg) _, p4 = out(reg) _, p5 = out(reg) _, p6 = out(reg) _, p7 = out(reg) _,
                    zeros = const offset_of!(Tile, zeros), length = const offset_of!(Tile, len),
                    c = const offset_of!(Tile, c), initial = const offset_of!(Tile, initial),
                    alpha = const offset_of!(Tile, alpha), a = const offset_of!(Tile, a),
                    b = const offset_of!(Tile, b), strides = const offset_of!(Tile, a_col),
                    b_next = const offset_of!(Tile, b_next),
                    out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _,
                    out("s6") _, out("s7") _, out("s8") _, out("s9") _, out("s10") _, out("s11") _,
                    out("s12") _, out("s13") _, out("s14") _, out("s15") _, out("s16") _, out("s17") _,
                    out("s18") _, out("s19") _, out("s20") _, out("s21") _, out("s22") _, out("s23") _,
                    out("s24") _, out("s25") _, out("s26") _, out("s27") _, out("s28") _, out("s29") _,
                    out("s30") _, out("s31") _, options(nostack),
                );
            }
        }
    };
}

/// A's rows and B's rows are contiguous.
macro_rules! rows_rows {
    ($name:ident, $cols:tt, $first:literal, $second:literal) => {
        kernel!($name, $cols,
            ["ldr {p4}, [{t}, {b}]", "ldr {p5}, [{t}, {strides} + 4]"],
            ["ldrd {p0}, {p1}, [{t}, {a}]", "ldrd {p2}, {p3}, [{t}, {a} + 8]"],
            ["vldmia {p0}!, {{s16, s17}}", "vldmia {p1}!, {{s18, s19}}", "vldmia {p2}!, {{s20, s21}}",
             "vldmia {p3}!, {{s22, s23}}", $first, "add {p4}, {p5}", $second, "add {p4}, {p5}"],
            ["vldr s16, [{p0}]", "vldr s17, [{p1}]", "vldr s18, [{p2}]", "vldr s19, [{p3}]", $first],
            ["add {p4}, {len}"],
            [[16 18 20 22] [24 25 26 27]], [[17 19 21 23] [28 29 30 31]]);
    };
}
rows_rows!(rows_rows_4, 4, "vldmia {p4}, {{s24-s27}}", "vldmia {p4}, {{s28-s31}}");
rows_rows!(rows_rows_2, 2, "vldmia {p4}, {{s24, s25}}", "vldmia {p4}, {{s28, s29}}");

/// A's columns and B's rows are contiguous.
macro_rules! columns_rows {
    ($name:ident, $cols:tt, $first:literal, $second:literal) => {
        kernel!($name, $cols,
            ["ldr {p4}, [{t}, {b}]", "ldr {p5}, [{t}, {strides} + 4]"],
            ["ldr {p0}, [{t}, {a}]", "ldr {p1}, [{t}, {strides}]"],
            ["vldmia {p0}, {{s16-s19}}", "add {p0}, {p1}", "vldmia {p0}, {{s20-s23}}", "add {p0}, {p1}",
             $first, "add {p4}, {p5}", $second, "add {p4}, {p5}"],
            ["vldmia {p0}, {{s16-s19}}", $first],
            ["add {p4}, {len}"],
            [[16 17 18 19] [24 25 26 27]], [[20 21 22 23] [28 29 30 31]]);
    };
}
columns_rows!(columns_rows_4, 4, "vldmia {p4}, {{s24-s27}}", "vldmia {p4}, {{s28-s31}}");
columns_rows!(columns_rows_2, 2, "vldmia {p4}, {{s24, s25}}", "vldmia {p4}, {{s28, s29}}");

// A's rows and B's columns are contiguous.
kernel!(rows_columns, 4,
    ["ldrd {p4}, {p5}, [{t}, {b}]", "ldrd {p6}, {p7}, [{t}, {b} + 8]"],
    ["ldrd {p0}, {p1}, [{t}, {a}]", "ldrd {p2}, {p3}, [{t}, {a} + 8]"],
    ["vldmia {p0}!, {{s16, s17}}", "vldmia {p1}!, {{s18, s19}}", "vldmia {p2}!, {{s20, s21}}",
     "vldmia {p3}!, {{s22, s23}}", "vldmia {p4}!, {{s24, s25}}", "vldmia {p5}!, {{s26, s27}}",
     "vldmia {p6}!, {{s28, s29}}", "vldmia {p7}!, {{s30, s31}}"],
    ["vldr s16, [{p0}]", "vldr s17, [{p1}]", "vldr s18, [{p2}]", "vldr s19, [{p3}]",
     "vldr s24, [{p4}]", "vldr s25, [{p5}]", "vldr s26, [{p6}]", "vldr s27, [{p7}]"],
    ["add {p4}, {len}", "add {p5}, {len}", "add {p6}, {len}", "add {p7}, {len}"],
    [[16 18 20 22] [24 26 28 30]], [[17 19 21 23] [25 27 29 31]]);

/// Four sums; the loads of a value of k for each, and of the one for all.
macro_rules! four {
    ($name:ident, [$($loads:literal),*]) => {
        /// Strides in bytes: of `p`, one value for each sum, and of `q`, the same for all.
        ///
        /// # Safety
        /// `len` values can be read from each pointer, or rows of four from the first; `len` is not 0.
        #[inline(never)]
        unsafe fn $name(len: usize, p: [*const f32; SIDE], q: *const f32, strides: [usize; 2]) -> [f32; SIDE] {
            let mut sums = [0.0f32; SIDE];
            // SAFETY: reads what the caller says, writes the sums; every register it changes is named.
            unsafe {
                asm!(
                    "vldmia {sums}, {{s0-s3}}",
                    "2:",
                    $($loads,)*
                    "vldr s8, [{q}]",
                    "add {q}, {qs}",
                    "vfma.f32 s0, s4, s8",
                    "vfma.f32 s1, s5, s8",
                    "vfma.f32 s2, s6, s8",
                    "vfma.f32 s3, s7, s8",
                    "subs {len}, {len}, #1",
                    "bne 2b",
                    "vstmia {sums}, {{s0-s3}}",
                    "/* {p1} {p2} {p3} */",
                    sums = in(reg) sums.as_mut_ptr(), len = inout(reg) len => _, p0 = inout(reg) p[0] => _,
                    p1 = inout(reg) p[1] => _, p2 = inout(reg) p[2] => _, p3 = inout(reg) p[3] => _,
                    q = inout(reg) q => _, ps = in(reg) strides[0], qs = in(reg) strides[1],
                    out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _,
                    out("s7") _, out("s8") _, options(nostack),
                );
            }
            sums
        }
    };
}
four!(
    any,
    [
        "vldr s4, [{p0}]",
        "add {p0}, {ps}",
        "vldr s5, [{p1}]",
        "add {p1}, {ps}",
        "vldr s6, [{p2}]",
        "add {p2}, {ps}",
        "vldr s7, [{p3}]",
        "add {p3}, {ps}"
    ]
);
four!(neighbours, ["vldmia {p0}, {{s4-s7}}", "add {p0}, {ps}"]);

/// The first elements of four rows; the last row stands for those that are missing.
#[inline(always)]
fn firsts(s: Source<f32>, rows: usize) -> [*const f32; SIDE] {
    core::array::from_fn(|i| s.ptr.wrapping_add(i.min(rows - 1).wrapping_mul(s.row)))
}

const fn bytes(stride: usize) -> usize {
    stride.wrapping_mul(size_of::<f32>())
}

/// The kernels for an order of A and B, for 4 columns and for 2.
type Kernels = [unsafe fn(&mut Tile, usize); 2];

/// Those that there are; a single row or one that has no neighbours goes four sums at a time.
#[inline(always)]
fn kernels(a: Source<f32>, b: Source<f32>, rows: usize) -> Option<Kernels> {
    match (a.col == 1, b.col == 1) {
        _ if rows == 1 => None,
        (true, true) => Some([rows_rows_4, rows_rows_2]),
        // Columns that are missing are no matter there.
        (true, false) if b.row == 1 => Some([rows_columns, rows_columns]),
        (false, true) if a.row == 1 && rows == SIDE => Some([columns_rows_4, columns_rows_2]),
        _ => None,
    }
}

impl Tile {
    /// Its sums as they are, to `acc`.
    #[inline(always)]
    fn new(part: &Part<f32>, acc: *mut Sums<f32>) -> Self {
        let &Part { a, b, len, rows, cols } = part;
        Tile {
            zeros: &ZEROS,
            len,
            c: acc.cast(),
            c_row: bytes(SIDE),
            initial: core::ptr::null(),
            initial_row: 0,
            alpha: 1.0,
            a: firsts(a, rows),
            b: firsts(b.t(), cols),
            a_col: bytes(a.col),
            b_row: bytes(b.row),
            // What is read two values at a time is passed; a last single one is not.
            b_next: bytes(SIDE.wrapping_mul(b.col).wrapping_sub((len & !1).wrapping_mul(b.row))),
        }
    }

    /// To their place in C.
    #[inline(always)]
    fn ending(self, c: Target<f32>, alpha: f32, initial: Initial<f32>) -> Self {
        let (initial, initial_row) = match initial {
            Initial::Rows(p, row) => (p, bytes(row)),
            _ => (core::ptr::null(), 0),
        };
        Tile { c: c.ptr, c_row: bytes(c.row), initial, initial_row, alpha, ..self }
    }
}

/// Rows `i` to `i + rows` of C, of one block of the sum.
///
/// # Safety
/// As for [`crate::scalar::product`]; `rows` is 1 to 4, `len` is not 0.
#[inline(always)]
pub unsafe fn rows(p: &Problem<f32>, (pc, len): (usize, usize), (i, rows): (usize, usize)) {
    let a = p.a.at(i, pc);
    let part = |j: usize| Part { a, b: p.b.at(pc, j), len, rows, cols: SIDE.min(p.n - j) };
    let (alpha, mut j) = (p.alpha, 0);
    let initial = |j: usize| p.initial(pc == 0, (i, j), p.c.at(i, j));
    // A kernel that writes C itself: its rows are contiguous, and the end is one that it knows.
    let known = match initial(0) {
        Initial::Nothing => alpha == 1.0,
        Initial::Rows(..) => true,
        _ => false,
    };
    // SAFETY: parts of the operands.
    unsafe {
        if let (true, true, Some([whole, _])) =
            (rows == SIDE && known, p.c.col == 1 && p.n >= SIDE, kernels(a, p.b, rows))
        {
            let mut tile = Tile::new(&part(0), core::ptr::null_mut()).ending(p.c.at(i, 0), alpha, initial(0));
            whole(&mut tile, p.n / SIDE);
            j = p.n / SIDE * SIDE;
        }
        while j < p.n {
            let (part, mut acc) = (part(j), ZEROS);
            sums(&part, &mut acc);
            end(&acc, (rows, part.cols), p.c.at(i, j), Ending { alpha, initial: initial(j) });
            j += part.cols;
        }
    }
}

/// The sums of a microtile that is not whole, or that has strides of its own.
///
/// # Safety
/// A can be read as `rows × len`, B as `len × cols`; `rows`, `cols` are 1 to 4, `len` is not 0.
#[inline(never)]
unsafe fn sums(part: &Part<f32>, acc: &mut Sums<f32>) {
    let &Part { a, b, len, rows, cols } = part;
    let mut done = 0;
    // SAFETY: what the caller says, and no row or column beyond the last.
    unsafe {
        if rows == 1 {
            acc[0] = row(part);
            return;
        }
        if let Some([four, two]) = kernels(a, b, rows)
            && (cols > 1 || b.row == 1 && b.col != 1)
        {
            let complete = cols == SIDE || b.col != 1;
            let kernel = if complete { four } else { two };
            kernel(&mut Tile::new(part, acc), 1);
            done = if complete { cols } else { 2 };
        }
        for j in done..cols {
            let column = row(&Part { a: b.at(0, j).t(), b: a.t(), len, rows: 1, cols: rows });
            for (acc, sum) in acc.iter_mut().zip(column) {
                if let Some(acc) = acc.get_mut(j) {
                    *acc = sum;
                }
            }
        }
    }
}

/// One row of sums.
///
/// # Safety
/// As for [`sums`].
#[inline(never)]
unsafe fn row(part: &Part<f32>) -> [f32; SIDE] {
    let &Part { a, b, len, cols, .. } = part;
    let four = if b.col == 1 && cols == SIDE { neighbours } else { any };
    // SAFETY: what the caller says, and no column beyond the last.
    unsafe { four(len, firsts(b.t(), cols), a.ptr, [bytes(b.row), bytes(a.col)]) }
}

//! `cblas_sgemm` and `cblas_dgemm`, under all their names, with the cases of the reference implementation's test
//! programs (sizes, scalars, orders, transposes, wrong arguments), and more: every bit in the defined order, nothing
//! between the elements of C, no element of C read for beta = 0.

use core::ffi::c_int;
use std::process::Command;

use trine::cblas::{
    cblas_dgemm, cblas_dgemm_64, cblas_dgemm64_, cblas_sgemm, cblas_sgemm_64, cblas_sgemm64_,
};
use trine_core::{Fused, LinearKernels, MatMut, MatRef, Reference, Rng, Rounding, Unfused, Write};
use trine_kernels::{Isa, Supported};

const LAYOUTS: [c_int; 2] = [101, 102];
const TRANS: [c_int; 3] = [111, 112, 113];

/// Of the three names of a function.
#[derive(Clone, Copy, Debug)]
enum Name {
    Plain,
    /// With `_64`.
    Reference,
    /// With `64_`.
    OpenBlas,
}

const NAMES: [Name; 3] = [Name::Plain, Name::Reference, Name::OpenBlas];

/// The arguments that are not pointers.
#[derive(Clone, Copy, Debug)]
struct Case<E> {
    name: Name,
    layout: c_int,
    trans: [c_int; 2],
    sides: [i64; 3],
    alpha: E,
    beta: E,
    /// Beyond the least of lda, ldb, ldc.
    gap: usize,
}

trait Gemm: Supported {
    unsafe fn call(case: &Case<Self>, operands: (&[Self], &[Self], *mut Self), ld: [i64; 3]);
}

macro_rules! gemm {
    ($($e:ident $plain:ident $reference:ident $open_blas:ident)*) => {
        $(impl Gemm for $e {
            unsafe fn call(case: &Case<$e>, (a, b, c): (&[$e], &[$e], *mut $e), ld: [i64; 3]) {
                let Case { name, layout, trans: [ta, tb], alpha, beta, .. } = *case;
                let (a, b) = (a.as_ptr(), b.as_ptr());
                // SAFETY: the contract is the same.
                unsafe {
                    let long = match name {
                        Name::Plain => {
                            let ([m, n, k], [lda, ldb, ldc]) = (case.sides.map(int), ld.map(int));
                            return $plain(layout, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
                        }
                        Name::Reference => $reference,
                        Name::OpenBlas => $open_blas,
                    };
                    let ([m, n, k], [lda, ldb, ldc]) = (case.sides, ld);
                    long(layout, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
                }
            }
        })*
    };
}

gemm! {
    f32 cblas_sgemm cblas_sgemm_64 cblas_sgemm64_
    f64 cblas_dgemm cblas_dgemm_64 cblas_dgemm64_
}

fn int(x: i64) -> c_int {
    c_int::try_from(x).expect("an int")
}

/// Rows and columns of op(X) in memory as it lies: elements, leading dimension, strides of op(X).
struct Place {
    len: usize,
    ld: usize,
    row: usize,
    col: usize,
}

fn place(by_rows: bool, (rows, cols): (usize, usize), gap: usize) -> Place {
    let (lines, line) = if by_rows { (rows, cols) } else { (cols, rows) };
    let ld = line.max(1) + gap;
    let (row, col) = if by_rows { (ld, 1) } else { (1, ld) };
    Place { len: lines * ld, ld, row, col }
}

/// What the order of the documentation gives, one value at a time.
fn expected<E: Supported>(
    case: &Case<E>,
    c: &mut [E],
    at: &Place,
    a: MatRef<'_, E>,
    b: MatRef<'_, E>,
    isa: Isa,
) {
    let (m, n, k) = (a.nrows(), b.ncols(), a.ncols());
    let mut c = MatMut::with_strides(c, m, n, at.row, at.col).expect("fits");
    let sums = k > 0 && case.alpha != E::ZERO;
    for i in 0..m {
        for j in 0..n {
            if case.beta == E::ZERO && !sums {
                c.set(i, j, E::ZERO);
            } else if case.beta != E::ZERO && case.beta != E::ONE {
                let scaled = case.beta * c.at(i, j);
                c.set(i, j, scaled);
            }
        }
    }
    if sums && m > 0 && n > 0 {
        let write = Write { add: case.beta != E::ZERO, alpha: case.alpha };
        match isa.rounding::<E>() {
            Rounding::Fused => Reference(Fused).matmul(c, a, b, write),
            Rounding::Unfused => Reference(Unfused).matmul(c, a, b, write),
        }
        .expect("fits");
    }
}

fn try_case<E: Gemm>(case: &Case<E>, rng: &mut Rng) {
    let [m, n, k] = case.sides.map(|side| side as usize);
    let (by_rows, gap) = (case.layout == 101, case.gap);
    let turned = case.trans.map(|trans| trans != 111);
    let (at_a, at_b) = (place(by_rows != turned[0], (m, k), gap), place(by_rows != turned[1], (k, n), gap));
    let at_c = place(by_rows, (m, n), gap);
    let mut random = |len| (0..len).map(|_| E::from_f64(2.0 * rng.uniform() - 1.0)).collect::<Vec<E>>();
    let (mut a, mut b, mut c) = (random(at_a.len), random(at_b.len), random(at_c.len));
    if case.alpha == E::ZERO {
        // Not read.
        a.fill(E::NAN);
        b.fill(E::NAN);
    }
    let element = |i: usize| {
        let (line, at) = (i / at_c.ld, i % at_c.ld);
        if by_rows { line < m && at < n } else { line < n && at < m }
    };
    for i in (0..c.len()).filter(|&i| case.beta == E::ZERO || !element(i)) {
        c[i] = E::NAN;
    }
    let mut right = c.clone();
    let view =
        |data, at: &Place, rows, cols| MatRef::with_strides(data, rows, cols, at.row, at.col).expect("fits");
    let isa: Isa = std::env::var("TRINE_ISA").map_or(Isa::best(), |name| name.parse().expect("a name"));
    expected(case, &mut right, &at_c, view(&a, &at_a, m, k), view(&b, &at_b, k, n), isa);
    let ld = [at_a.ld, at_b.ld, at_c.ld].map(|ld| ld as i64);
    // SAFETY: operands as the arguments say.
    unsafe { E::call(case, (&a, &b, c.as_mut_ptr()), ld) };
    for (i, (found, right)) in c.iter().zip(&right).enumerate() {
        assert_eq!(found.bits(), right.bits(), "element {i} is {found:?}, expected {right:?}: {case:?}");
    }
}

/// Sizes, scalars, orders and transposes of the reference implementation's tests.
fn table<E: Gemm>() {
    let sides = [0, 1, 2, 3, 5, 7, 35];
    let number = E::from_f64;
    let mut rng = Rng::new(5);
    let mut cases = 0;
    for layout in LAYOUTS {
        for (ta, tb) in TRANS.iter().flat_map(|&ta| TRANS.map(|tb| (ta, tb))) {
            for (m, n, k) in
                sides.iter().flat_map(|&m| sides.iter().flat_map(move |&n| sides.map(|k| (m, n, k))))
            {
                for alpha in [0.0, 1.0, 0.7] {
                    for beta in [0.0, 1.0, 1.3] {
                        let (alpha, beta) = (number(alpha), number(beta));
                        let (trans, sides) = ([ta, tb], [m, n, k]);
                        let (name, gap) = (NAMES[cases % 3], 1 + cases % 2);
                        try_case(&Case { name, layout, trans, sides, alpha, beta, gap }, &mut rng);
                        cases += 1;
                    }
                }
            }
        }
    }
    println!("{}: {cases} cases", E::NAME);
}

#[test]
fn the_reference_s_cases_in_single_precision() {
    table::<f32>();
}

#[test]
fn the_reference_s_cases_in_double_precision() {
    table::<f64>();
}

/// More than a block of a sum, more than a tile, several threads where `TRINE_THREADS` asks for them.
#[test]
fn larger_ones() {
    let mut rng = Rng::new(6);
    for (name, layout) in NAMES.iter().flat_map(|&name| LAYOUTS.map(|layout| (name, layout))) {
        for trans in [[111, 111], [112, 111], [111, 112], [112, 113]] {
            for sides in [[70, 90, 600], [1, 300, 600], [300, 1, 513], [33, 34, 1030]] {
                for (alpha, beta) in [(1.0, 0.0), (-0.7, 1.3), (1.0, 1.0), (0.3, -1.0)] {
                    let single = (alpha as f32, beta as f32);
                    let case = Case { name, layout, trans, sides, alpha: single.0, beta: single.1, gap: 0 };
                    try_case(&case, &mut rng);
                    try_case(&Case { name, layout, trans, sides, alpha, beta, gap: 3 }, &mut rng);
                }
            }
        }
    }
}

/// Several threads at once, each with its engine.
#[test]
fn many_threads_may_call() {
    std::thread::scope(|scope| {
        for seed in 0..4 {
            scope.spawn(move || {
                let mut rng = Rng::new(seed);
                for sides in [[35, 20, 9], [120, 110, 100], [5, 600, 5]] {
                    let (name, layout, trans) = (Name::Plain, 101, [111, 112]);
                    try_case(
                        &Case { name, layout, trans, sides, alpha: 0.7f32, beta: 1.3, gap: 1 },
                        &mut rng,
                    );
                }
            });
        }
    });
}

/// Name, layout, transposes, sides, leading dimensions; the number of the one that is wrong.
type Wrong = (Name, c_int, [c_int; 2], [i64; 3], [i64; 3], u8);

/// The wrong arguments of the reference's tests, by the number of the argument that is named; and sides of which
/// the lower 32 bits would be right. The message is on standard error: each is made in a process of its own (this
/// test, with a variable).
const WRONG: [Wrong; 17] = [
    (Name::Plain, 100, [111, 111], [2, 2, 2], [2, 2, 2], 1),
    (Name::Plain, 101, [110, 111], [2, 2, 2], [2, 2, 2], 2),
    (Name::Plain, 102, [111, 114], [2, 2, 2], [2, 2, 2], 3),
    (Name::Plain, 101, [111, 111], [-1, 0, 0], [1, 1, 1], 4),
    (Name::Plain, 102, [111, 112], [0, -1, 0], [1, 1, 1], 5),
    (Name::Plain, 101, [112, 111], [0, 0, -1], [1, 1, 1], 6),
    (Name::Plain, 101, [111, 111], [0, 0, 2], [1, 1, 1], 9),
    (Name::Plain, 102, [111, 111], [2, 0, 0], [1, 1, 2], 9),
    (Name::Plain, 101, [112, 111], [2, 0, 0], [1, 1, 1], 9),
    (Name::Plain, 101, [111, 111], [0, 2, 0], [1, 1, 2], 11),
    (Name::Plain, 102, [111, 112], [0, 2, 0], [1, 1, 1], 11),
    (Name::Plain, 101, [111, 111], [0, 2, 0], [1, 2, 1], 14),
    (Name::Plain, 102, [111, 111], [2, 0, 0], [2, 1, 1], 14),
    (Name::Plain, 101, [111, 111], [0, 0, 0], [1, 1, 0], 14),
    (Name::Reference, 102, [111, 111], [1 << 32, 0, 0], [1, 1, 1], 9),
    (Name::OpenBlas, 101, [111, 111], [0, 1 << 32, 0], [1, 1, 1 << 32], 11),
    (Name::OpenBlas, 101, [112, 111], [0, 0, -1 << 32], [1, 1, 1], 6),
];

#[test]
fn wrong_arguments_are_named_and_nothing_is_written() {
    if let Ok(which) = std::env::var("TRINE_TEST_WRONG") {
        let (name, layout, trans, sides, ld, _) = WRONG[which.parse::<usize>().expect("a number")];
        let (a, b, mut c) = ([1f32; 4], [1f32; 4], [5f32; 4]);
        let case = Case { name, layout, trans, sides, alpha: 1.0, beta: 0.0, gap: 0 };
        // SAFETY: refused before anything is used.
        unsafe { f32::call(&case, (&a, &b, c.as_mut_ptr()), ld) };
        assert_eq!(c, [5.0; 4]);
        return;
    }
    for (i, wrong) in WRONG.iter().enumerate() {
        let out = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "wrong_arguments_are_named_and_nothing_is_written", "--nocapture"])
            .env("TRINE_TEST_WRONG", i.to_string())
            .output()
            .expect("runs");
        let words = String::from_utf8_lossy(&out.stderr);
        let routine = match wrong.0 {
            Name::Plain => "cblas_sgemm",
            Name::Reference => "cblas_sgemm_64",
            Name::OpenBlas => "cblas_sgemm64_",
        };
        let expected = format!("Parameter {} to routine {routine} was incorrect\n", wrong.5);
        assert!(out.status.success() && words.contains(&expected), "{wrong:?}: {words}");
    }
}

/// A null pointer is only wrong where something would be there.
#[test]
fn nothing_may_be_null() {
    for name in NAMES {
        let case =
            Case { name, layout: 101, trans: [111, 111], sides: [0, 3, 2], alpha: 1f64, beta: 0.0, gap: 0 };
        // SAFETY: no element is there.
        unsafe { f64::call(&case, (&[], &[], core::ptr::null_mut()), [2, 3, 3]) };
    }
}

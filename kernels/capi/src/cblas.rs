//! `cblas_sgemm` and `cblas_dgemm`, so that a program linked with a BLAS can have these two from here; also under
//! the names that they have where integers are 64 bits long (`cblas_sgemm_64`, `cblas_sgemm64_`).
//!
//! ```text
//!     C = alpha·op(A)·op(B) + beta·C        op(A) M×K   op(B) K×N   C M×N
//! ```
//!
//! The order, which BLAS leaves open:
//!
//! ```text
//!     M = 0 or N = 0           nothing
//!     alpha = 0 or K = 0       C = beta·C; A and B are not read
//!     beta = 0                 C is not read; the first block is alpha·p
//!     else                     C = beta·C, rounded (not for beta = 1); then F(alpha, p, C) for each block
//! ```
//!
//! where p are the partial sums of [`trine_core::linear`], and `beta·C` is 0 where beta is.
//!
//! The instruction set is that of `TRINE_ISA`, else the best; the number of threads that of `TRINE_THREADS`, else
//! one. All callers share these threads; who comes while they are busy works alone. Each calling thread has an
//! engine, whose scratch memory stays until the thread ends. A wrong argument is named on
//! standard error, as the reference implementation does, and nothing is written; where that one ends the program,
//! this one returns. What cannot be told to a caller (a wrong variable, no memory) ends the program.

use core::cell::RefCell;
use core::ffi::c_int;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use trine_core::{Element, Error, Lanes, LinearKernels, Shape, Task, Write};
use trine_kernels::{Engine, Isa, Pool, Supported, raw};

use crate::isa::{known, trine_isa};

const ROW_MAJOR: c_int = 101;
const COL_MAJOR: c_int = 102;
const NO_TRANS: c_int = 111;
const TRANS: c_int = 112;
const CONJ_TRANS: c_int = 113;

/// The arguments of one call, in their order.
#[derive(Clone, Copy)]
struct Call<E> {
    layout: c_int,
    trans: [c_int; 2],
    sides: [i64; 3],
    alpha: E,
    a: *const E,
    lda: i64,
    b: *const E,
    ldb: i64,
    beta: E,
    c: *mut E,
    ldc: i64,
}

/// A wrong argument: its number, its name and what is wrong with it.
type Wrong = (u8, &'static str, String);

/// Operands that can be computed with.
struct Operands<E> {
    shape: Shape,
    a: raw::Source<E>,
    b: raw::Source<E>,
    c: raw::Target<E>,
}

impl<E: Supported> Call<E> {
    /// The rules of the reference implementation, in the order of the arguments; and no null where something lies.
    fn check(&self) -> Result<Operands<E>, Wrong> {
        let by_rows = match self.layout {
            ROW_MAJOR => true,
            COL_MAJOR => false,
            found => return Err((1, "layout", format!("is {found}"))),
        };
        let mut turned = [false; 2];
        for (i, (number, name)) in [(2, "TransA"), (3, "TransB")].into_iter().enumerate() {
            turned[i] = match self.trans[i] {
                NO_TRANS => false,
                TRANS | CONJ_TRANS => true,
                found => return Err((number, name, format!("is {found}"))),
            };
        }
        let side = |i: usize, name| {
            usize::try_from(self.sides[i]).map_err(|_| (4 + i as u8, name, format!("is {}", self.sides[i])))
        };
        let (m, n, k) = (side(0, "M")?, side(1, "N")?, side(2, "K")?);
        let reads = m > 0 && n > 0 && k > 0 && self.alpha != E::ZERO;
        let (row, col) =
            view((8, "A", self.a.is_null() && reads), (9, "lda", self.lda), (m, k), by_rows != turned[0])?;
        let a = raw::Source { ptr: self.a, row, col };
        let (row, col) =
            view((10, "B", self.b.is_null() && reads), (11, "ldb", self.ldb), (k, n), by_rows != turned[1])?;
        let b = raw::Source { ptr: self.b, row, col };
        let (row, col) =
            view((13, "C", self.c.is_null() && m > 0 && n > 0), (14, "ldc", self.ldc), (m, n), by_rows)?;
        Ok(Operands { shape: Shape { n: m, d: k, m: n }, a, b, c: raw::Target { ptr: self.c, row, col } })
    }

    /// Computes it.
    ///
    /// # Safety
    /// The matrices are as the checked arguments say; C shares no element with A or B.
    unsafe fn run(&self, operands: Operands<E>, engine: &mut Engine<'static>) -> Result<(), Error> {
        let Operands { shape, a, b, c } = operands;
        if shape.n == 0 || shape.m == 0 {
            return Ok(());
        }
        let sums = shape.d > 0 && self.alpha != E::ZERO;
        if self.beta != E::ONE && !(sums && self.beta == E::ZERO) {
            // SAFETY: C, as the caller says.
            unsafe { scale(engine, shape, c, self.beta) };
        }
        if !sums {
            return Ok(());
        }
        let write = Write { add: self.beta != E::ZERO, alpha: self.alpha };
        // SAFETY: the contract is the same.
        unsafe { engine.matmul_raw(shape, c, a, b, write) }
    }
}

/// The strides of a `rows × cols` operand of which rows, or else columns, are contiguous; or what is wrong with its
/// pointer or its leading dimension.
fn view(
    (number, name, is_null): (u8, &'static str, bool),
    (ld_number, ld_name, ld): (u8, &'static str, i64),
    (rows, cols): (usize, usize),
    by_rows: bool,
) -> Result<(usize, usize), Wrong> {
    if is_null {
        return Err((number, name, "is null".into()));
    }
    let least = if by_rows { cols } else { rows }.max(1);
    match usize::try_from(ld) {
        Ok(ld) if ld >= least => Ok(if by_rows { (ld, 1) } else { (1, ld) }),
        _ => Err((ld_number, ld_name, format!("is {ld}, but must be at least {least}"))),
    }
}

/// `C = beta·C`, and 0 where beta is: C is not read then.
///
/// # Safety
/// C can be written, and read unless beta is 0.
unsafe fn scale<E: Supported>(engine: &mut Engine<'static>, shape: Shape, c: raw::Target<E>, beta: E) {
    struct Scale<E> {
        c: raw::Target<E>,
        lines: usize,
        len: usize,
        beta: E,
    }
    impl<E: Element> Task<E> for Scale<E> {
        type Output = ();
        #[inline(always)]
        fn run<L: Lanes<E>>(self, lanes: L) {
            for i in 0..self.lines {
                let line = self.c.at(i, 0).ptr;
                if self.beta == E::ZERO {
                    for j in 0..self.len {
                        // SAFETY: an element of C.
                        unsafe { line.add(j).write(E::ZERO) };
                    }
                    continue;
                }
                // SAFETY: a line of C, whose elements are neighbours, and hold something.
                let line = unsafe { core::slice::from_raw_parts_mut(line, self.len) };
                for part in line.chunks_mut(L::LANES) {
                    lanes.store(part, lanes.mul(lanes.splat(self.beta), lanes.load(part)));
                }
            }
        }
    }
    let scale = if c.col == 1 {
        Scale { c, lines: shape.n, len: shape.m, beta }
    } else {
        Scale { c: raw::Target { row: c.col, col: c.row, ..c }, lines: shape.m, len: shape.n, beta }
    };
    LinearKernels::run(engine, scale);
}

/// What the environment says, read at the first call.
struct Settings {
    isa: Isa,
    /// What all callers share, if there are to be several threads. A forked process works without them.
    pool: Option<Pool>,
}

fn settings() -> &'static Settings {
    static SETTINGS: OnceLock<Settings> = OnceLock::new();
    SETTINGS.get_or_init(|| {
        let isa = match known(trine_isa::ENVIRONMENT as i32) {
            Ok(isa) => isa,
            Err(failure) => fatal(format_args!("TRINE_ISA: {failure}")),
        };
        let threads = std::env::var("TRINE_THREADS").map_or(Ok(1), |threads| threads.parse());
        let Ok(threads @ 1..=4096) = threads else {
            fatal(format_args!("TRINE_THREADS must be from 1 to 4096"))
        };
        Settings { isa, pool: (threads > 1).then(|| Pool::new(threads)) }
    })
}

fn new_engine() -> Engine<'static> {
    let Settings { isa, pool } = settings();
    let engine = match Engine::with_isa(*isa) {
        Ok(engine) => engine,
        Err(error) => fatal(format_args!("TRINE_ISA: {error}")),
    };
    match pool {
        Some(pool) => engine.with_executor(pool),
        None => engine,
    }
}

thread_local! {
    static ENGINE: RefCell<Option<Engine<'static>>> = const { RefCell::new(None) };
}

/// Works with this thread's engine, or with a new one where that is in use (a signal handler) or gone
/// (the end of the thread).
fn with_engine(work: &mut dyn FnMut(&mut Engine<'static>)) {
    let with_own = ENGINE.try_with(|engine| match engine.try_borrow_mut() {
        Ok(mut engine) => {
            work(engine.get_or_insert_with(new_engine));
            true
        }
        Err(_) => false,
    });
    if !with_own.unwrap_or(false) {
        work(&mut new_engine());
    }
}

fn fatal(what: core::fmt::Arguments<'_>) -> ! {
    let _ = writeln!(std::io::stderr(), "trine: {what}");
    std::process::abort()
}

/// One call, from arguments to result.
///
/// # Safety
/// As for [`cblas_sgemm`].
unsafe fn gemm<E: Supported>(routine: &str, call: Call<E>) {
    let done = catch_unwind(AssertUnwindSafe(|| match call.check() {
        Err((number, name, what)) => {
            // The sentence of the reference implementation, then what is wrong.
            let _ = writeln!(
                std::io::stderr(),
                "Parameter {number} to routine {routine} was incorrect\n{name} {what}"
            );
        }
        Ok(Operands { shape, a, b, c }) => with_engine(&mut |engine| {
            let operands = Operands { shape, a, b, c };
            // SAFETY: checked as far as it can be; the rest as the caller says.
            if let Err(error) = unsafe { call.run(operands, engine) } {
                fatal(format_args!("{routine}: {error}"));
            }
        }),
    }));
    if done.is_err() {
        fatal(format_args!("{routine}: a mistake in the library itself: please report it"));
    }
}

/// The functions themselves: a name, an element type, the type of sides and leading dimensions.
macro_rules! gemm {
    ($($name:ident: $e:ty, $int:ty, $doc:literal;)*) => {
        $(#[doc = $doc]
        ///
        /// # Safety
        /// The matrices are as the arguments say, and C shares no element with A or B.
        #[allow(clippy::too_many_arguments, reason = "the signature is BLAS's")]
        // SAFETY: the one definition of this symbol, with the type that cblas.h gives it.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            layout: c_int,
            trans_a: c_int,
            trans_b: c_int,
            m: $int,
            n: $int,
            k: $int,
            alpha: $e,
            a: *const $e,
            lda: $int,
            b: *const $e,
            ldb: $int,
            beta: $e,
            c: *mut $e,
            ldc: $int,
        ) {
            let (trans, sides) = ([trans_a, trans_b], [m, n, k].map(i64::from));
            let [lda, ldb, ldc] = [lda, ldb, ldc].map(i64::from);
            // SAFETY: the contract is the same.
            unsafe { gemm(stringify!($name), Call { layout, trans, sides, alpha, a, lda, b, ldb, beta, c, ldc }) }
        })*
    };
}

gemm! {
    cblas_sgemm: f32, c_int, "`C = alpha·op(A)·op(B) + beta·C`, single precision.";
    cblas_dgemm: f64, c_int, "`C = alpha·op(A)·op(B) + beta·C`, double precision.";
    cblas_sgemm_64: f32, i64, "`cblas_sgemm` with 64-bit integers, as the reference implementation and MKL call it.";
    cblas_dgemm_64: f64, i64, "`cblas_dgemm` with 64-bit integers, as the reference implementation and MKL call it.";
    cblas_sgemm64_: f32, i64, "`cblas_sgemm` with 64-bit integers, as OpenBLAS and numpy call it.";
    cblas_dgemm64_: f64, i64, "`cblas_dgemm` with 64-bit integers, as OpenBLAS and numpy call it.";
}

//! A product out of a shared library with the C interface of BLAS (`cblas_sgemm`, `cblas_dgemm`).

use std::ffi::{CStr, OsStr, c_char, c_int};
use std::marker::PhantomData;

use libloading::Library;
use trine_core::{Element, Error, Layout, MatMut, MatRef, Write, linear};
use trine_kernels::Multiply;

use crate::Failure;
use crate::stored::Stored;

// Enumerations in C, hence `int`, whatever the integers of the library are.
const ROW_MAJOR: c_int = 101;
const COL_MAJOR: c_int = 102;
const NO_TRANS: c_int = 111;
const TRANS: c_int = 112;
const WITHIN: &str = "within the integers of the library";

/// `cblas_?gemm(order, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)`, with I for
/// the integers of the library.
type Gemm<I, E> =
    unsafe extern "C" fn(c_int, c_int, c_int, I, I, I, E, *const E, I, *const E, I, E, *mut E, I);

/// The function, by the size of its integers.
#[derive(Clone, Copy)]
enum Function<E> {
    Lp64(Gemm<i32, E>),
    Ilp64(Gemm<i64, E>),
}

/// A library's product.
#[derive(Clone, Copy)]
pub struct Cblas<E> {
    function: Function<E>,
}

/// A name under which libraries export a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    prefix: &'static str,
    function: String,
    suffix: &'static str,
}

impl Symbol {
    /// As the library spells it.
    pub fn name(&self) -> String {
        format!("{}{}{}", self.prefix, self.function, self.suffix)
    }

    /// Whether the name says that integers have 64 bits.
    pub const fn says_ilp64(&self) -> bool {
        !self.suffix.is_empty()
    }

    /// Another function of the same library, by the same custom.
    fn sibling(&self, function: &str) -> String {
        format!("{}{function}{}", self.prefix, self.suffix)
    }
}

/// The usual names of a function, in the order in which they are tried: 32-bit integers come first.
pub fn symbols(function: &str) -> Vec<Symbol> {
    let symbol = |prefix, suffix| Symbol { prefix, function: function.into(), suffix };
    ["", "64_", "_64"].into_iter().flat_map(|suffix| ["", "scipy_"].map(|p| symbol(p, suffix))).collect()
}

/// The first of the usual names that is there.
///
/// # Errors
/// A sentence that lists what was tried.
fn find<T>(function: &str, mut get: impl FnMut(&str) -> Option<T>) -> Result<(Symbol, T), String> {
    let tried = symbols(function);
    let found = tried.iter().find_map(|symbol| Some((symbol.clone(), get(&symbol.name())?)));
    let names = || tried.iter().map(Symbol::name).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| format!("it has none of {}", names()))
}

/// Whether a library whose names do not tell says that its integers have 64 bits: OpenBLAS in its
/// configuration, BLIS as a number.
fn says_ilp64(library: &Library, symbol: &Symbol) -> bool {
    let (config, bits) = (symbol.sibling("openblas_get_config"), "bli_info_get_blas_int_type_size");
    // SAFETY: the functions have these types in every version of the two libraries; the text that
    // the first returns is constant.
    unsafe {
        let config = library.get::<unsafe extern "C" fn() -> *const c_char>(config.as_str());
        let bits = library.get::<unsafe extern "C" fn() -> isize>(bits);
        let config = config.map(|config| config()).ok().filter(|text| !text.is_null());
        config.is_some_and(|text| config_says_ilp64(&CStr::from_ptr(text).to_string_lossy()))
            || bits.is_ok_and(|bits| bits() == 64)
    }
}

fn config_says_ilp64(config: &str) -> bool {
    config.split_whitespace().any(|word| word == "USE64BITINT")
}

impl<E: Element> Cblas<E> {
    /// Opens a library, which stays open: its threads may run until the end. Returns also what was
    /// found, in words.
    ///
    /// # Errors
    /// The system's reason why it cannot be opened, or the names that it lacks.
    pub fn open(path: &OsStr) -> Result<(Self, String), Failure> {
        let named = |why: String| format!("{}: {why}", path.display());
        // SAFETY: what a library does when it is loaded is the concern of who named it.
        let library = unsafe { Library::new(path) }.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            named(format!("cannot be opened: {}", cause.unwrap_or_else(|| error.to_string())))
        })?;
        let function = if E::BYTES == 4 { "cblas_sgemm" } else { "cblas_dgemm" };
        // SAFETY: a symbol of this name is this function, with integers of one size or the other.
        let get = |name: &str| unsafe { library.get::<Gemm<i32, E>>(name) }.map(|symbol| *symbol).ok();
        let (symbol, lp64) = find(function, get).map_err(named)?;
        let wide = symbol.says_ilp64() || says_ilp64(&library, &symbol);
        let function = if wide {
            // SAFETY: the same symbol, found before, whose integers have 64 bits.
            Function::Ilp64(*unsafe { library.get::<Gemm<i64, E>>(symbol.name().as_str()) }?)
        } else {
            Function::Lp64(lp64)
        };
        std::mem::forget(library);
        let bits = if wide { 64 } else { 32 };
        Ok((Cblas { function }, format!("{}, {bits}-bit integers, {}", symbol.name(), path.display())))
    }
}

/// A product as the library is asked for it.
struct Call<'a, E> {
    order: c_int,
    trans: [c_int; 2],
    /// m, n, k, lda, ldb, ldc.
    sizes: [usize; 6],
    factors: [E; 2],
    a: *const E,
    b: *const E,
    c: *mut E,
    borrowed: PhantomData<&'a mut E>,
}

impl<'a, E: Element> Call<'a, E> {
    fn new(mut c: MatMut<'a, E>, a: MatRef<'a, E>, b: MatRef<'a, E>, write: Write<E>) -> Result<Self, Error> {
        let shape = linear::check_matmul(c.layout(), a.layout(), b.layout())?;
        let stored = |operand, layout: Layout| Stored::of(operand, layout);
        let (of_a, of_b) = (stored("a", a.layout())?, stored("b", b.layout())?);
        let of_c = stored("c", c.layout())?;
        Ok(Call {
            order: if of_c.by_rows { ROW_MAJOR } else { COL_MAJOR },
            trans: [of_a, of_b].map(|of| if of.by_rows == of_c.by_rows { NO_TRANS } else { TRANS }),
            sizes: [shape.n, shape.m, shape.d, of_a.leading, of_b.leading, of_c.leading],
            factors: [write.alpha, if write.add { E::ONE } else { E::ZERO }],
            a: a.as_slice().as_ptr(),
            b: b.as_slice().as_ptr(),
            c: c.as_mut_slice().as_mut_ptr(),
            borrowed: PhantomData,
        })
    }

    fn make<I: TryFrom<usize> + Copy>(self, function: Gemm<I, E>) -> Result<(), Error> {
        let counted = self.sizes.map(|size| I::try_from(size).ok());
        let [Some(m), Some(n), Some(k), Some(lda), Some(ldb), Some(ldc)] = counted else {
            return Err(Error::Value { operand: "every side and stride", expected: WITHIN });
        };
        let Call { order, trans: [ta, tb], factors: [alpha, beta], a, b, c, .. } = self;
        // SAFETY: m×k, k×n and m×n elements with these leading dimensions are in the views, which fit
        // each other and live as long as this; C is borrowed alone.
        unsafe { function(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) };
        Ok(())
    }
}

impl<E: Element> Multiply<E> for Cblas<E> {
    fn multiply(
        &mut self,
        c: MatMut<'_, E>,
        a: MatRef<'_, E>,
        b: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error> {
        let call = Call::new(c, a, b, write)?;
        match self.function {
            Function::Lp64(function) => call.make(function),
            Function::Ilp64(function) => call.make(function),
        }
    }
}

#[cfg(test)]
mod tests {
    use trine_core::{LinearKernels, Reference, Unfused};
    use trine_kernels::{Composed, Engine};

    use super::*;
    use crate::contest::Trial;
    use crate::workload::OPS;

    /// What the function of a library does, as the standard has it.
    #[allow(clippy::too_many_arguments, reason = "the standard's")]
    unsafe extern "C" fn textbook<I: Copy + TryInto<usize>, E: Element>(
        order: c_int,
        trans_a: c_int,
        trans_b: c_int,
        m: I,
        n: I,
        k: I,
        alpha: E,
        a: *const E,
        lda: I,
        b: *const E,
        ldb: I,
        beta: E,
        c: *mut E,
        ldc: I,
    ) {
        let [m, n, k, lda, ldb, ldc] = [m, n, k, lda, ldb, ldc].map(|size| size.try_into().unwrap_or(0));
        let at = |trans: c_int, leading: usize, i: usize, j: usize| {
            if (order == ROW_MAJOR) == (trans == NO_TRANS) { i * leading + j } else { j * leading + i }
        };
        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
            // SAFETY: elements of the three matrices, as the caller says.
            unsafe {
                let product = |p| *a.add(at(trans_a, lda, i, p)) * *b.add(at(trans_b, ldb, p, j));
                let sum = alpha * (0..k).fold(E::ZERO, |sum, p| sum + product(p));
                let c = c.add(at(NO_TRANS, ldc, i, j));
                *c = if beta == E::ZERO { sum } else { beta * *c + sum };
            }
        }
    }

    #[test]
    fn names_in_the_order_in_which_they_are_tried() {
        let names: Vec<_> = symbols("cblas_sgemm").iter().map(Symbol::name).collect();
        let expected = [
            "cblas_sgemm",
            "scipy_cblas_sgemm",
            "cblas_sgemm64_",
            "scipy_cblas_sgemm64_",
            "cblas_sgemm_64",
            "scipy_cblas_sgemm_64",
        ];
        assert_eq!(names, expected);
        let found = |there: &[&str]| find("cblas_sgemm", |name| there.contains(&name).then_some(()));
        let (both, ()) = found(&["cblas_sgemm_64", "cblas_sgemm"]).expect("one of them");
        assert_eq!((both.name().as_str(), both.says_ilp64()), ("cblas_sgemm", false));
        let (long, ()) = found(&["scipy_cblas_sgemm64_"]).expect("it is there");
        assert_eq!((long.name().as_str(), long.says_ilp64()), ("scipy_cblas_sgemm64_", true));
        assert_eq!(long.sibling("openblas_get_config"), "scipy_openblas_get_config64_");
        let none = found(&["sgemm_"]).expect_err("not the C interface");
        assert_eq!(none, format!("it has none of {}", expected.join(", ")));
    }

    #[test]
    fn a_library_says_that_its_integers_are_long() {
        assert!(config_says_ilp64("OpenBLAS 0.3.21  USE64BITINT DYNAMIC_ARCH Zen"));
        assert!(!config_says_ilp64("OpenBLAS 0.3.21 DYNAMIC_ARCH NO_AFFINITY Zen MAX_THREADS=64"));
    }

    #[test]
    fn the_layer_on_the_textbook_function_is_right() {
        fn on<E: crate::products::Scalar>() {
            for function in [Function::Lp64(textbook::<i32, E>), Function::Ilp64(textbook::<i64, E>)] {
                for op in OPS {
                    let shape = trine_core::Shape { n: 6, d: 11, m: 5 };
                    let trial = Trial::<E>::new(op, shape, &mut Engine::new()).expect("it fits");
                    let admitted = trial.admit("textbook", Composed::of(Cblas { function }));
                    assert_eq!(admitted.err(), None);
                }
            }
        }
        on::<f32>();
        on::<f64>();
    }

    #[test]
    fn every_order_and_no_other_stride() {
        let data: Vec<f64> = (0..64).map(f64::from).collect();
        let strides = [(8, 1), (1, 8), (16, 2)];
        let mut cblas = Composed::of(Cblas { function: Function::Lp64(textbook::<i32, f64>) });
        for (i, j, l) in (0..27).map(|i| (i / 9, i / 3 % 3, i % 3)) {
            let view =
                |(row, col): (usize, usize)| MatRef::with_strides(&data, 3, 3, row, col).expect("inside");
            let (a, b) = (view(strides[i]), view(strides[j]));
            let (mut found, mut expected) = (vec![7.0; 64], vec![7.0; 64]);
            let (row, col) = strides[l];
            let c = |c| MatMut::with_strides(c, 3, 3, row, col).expect("inside");
            let write = Write::ADD.times(2.0);
            let done = cblas.matmul(c(&mut found), a, b, write);
            if [i, j, l].contains(&2) {
                assert!(done.is_err_and(|error| error.to_string().contains("row-major or column-major")));
                assert!(found.iter().all(|&c| c == 7.0), "nothing is written");
            } else {
                done.expect("an order of BLAS");
                Reference(Unfused).matmul(c(&mut expected), a, b, write).expect("it fits");
                // Whole numbers: exact in any order of additions. Nothing between the rows is written.
                assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn what_short_integers_cannot_count_is_an_error() {
        let data = [1f32; 4];
        let far = MatRef::with_strides(&data, 1, 2, 1, 1).expect("inside");
        let mut c = [0f32; 4];
        let c = MatMut::row_major(&mut c, 1, 2).expect("inside");
        let b = MatRef::row_major(&data, 2, 2).expect("inside");
        let mut call = Call::new(c, far, b, Write::REPLACE).expect("it fits");
        call.sizes[4] = 1 << 31;
        let error = call.make(textbook::<i32, f32>).expect_err("2³¹ is too far");
        assert!(error.to_string().contains("integers of the library"), "{error}");
    }

    #[test]
    fn a_library_that_does_not_exist() {
        let error = Cblas::<f32>::open(OsStr::new("/no/such/libblas.so")).err().expect("there is none");
        assert!(error.to_string().starts_with("/no/such/libblas.so: cannot be opened: "), "{error}");
    }

    /// The C library has been loaded anyway.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn a_library_without_the_function() {
        let error = Cblas::<f64>::open(OsStr::new("libc.so.6")).err().expect("no BLAS");
        let error = error.to_string();
        assert!(error.starts_with("libc.so.6: it has none of cblas_dgemm, scipy_cblas_dgemm, "), "{error}");
    }
}

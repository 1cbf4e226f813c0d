//! What has to hold for every implementation, and the list of them.

use quickcheck::{QuickCheck, TestResult};
use trine_core::{Element, Fused, Lanes, LinearKernels, Reference, Rounding, Task, Unfused};

use crate::case::Case;

/// A statement about an implementation.
pub trait Property {
    /// Whether it holds for this case.
    ///
    /// # Errors
    /// Why it does not.
    fn check<E: Element, K: LinearKernels<E>>(case: &Case, kernels: &mut K) -> Result<(), String>;
}

struct RoundingOf;

impl<E: Element> Task<E> for RoundingOf {
    type Output = Rounding;

    fn run<L: Lanes<E>>(self, _: L) -> Rounding {
        L::ROUNDING
    }
}

/// How an implementation rounds its multiply-adds.
pub fn rounding<E: Element, K: LinearKernels<E>>(kernels: &mut K) -> Rounding {
    kernels.run(RoundingOf)
}

/// Whether the property holds for this case in the reference of both roundings.
///
/// # Errors
/// For which it does not, and why.
pub fn in_references<P: Property, E: Element>(case: &Case) -> Result<(), String> {
    P::check::<E, _>(case, &mut Reference(Fused)).map_err(|why| format!("reference, fused: {why}"))?;
    P::check::<E, _>(case, &mut Reference(Unfused)).map_err(|why| format!("reference, unfused: {why}"))
}

/// Whether the property holds for this case in every implementation that runs here.
///
/// # Errors
/// For which it does not, and why.
pub fn in_all<P: Property, E: Element>(case: &Case) -> Result<(), String> {
    in_references::<P, E>(case)
}

fn result<P: Property, E: Element>(case: Case) -> TestResult {
    match in_all::<P, E>(&case) {
        Ok(()) => TestResult::passed(),
        Err(why) => TestResult::error(format!("{}: {why}", E::NAME)),
    }
}

/// Holds the property against `tests` random cases of each element type (the variable
/// `QUICKCHECK_TESTS` goes first), and every implementation.
///
/// # Panics
/// With the simplest case found for which it does not hold.
pub fn hold<P: Property>(tests: u64) {
    let tests = std::env::var("QUICKCHECK_TESTS").ok().and_then(|n| n.parse().ok()).unwrap_or(tests);
    let check = |result: fn(Case) -> TestResult| QuickCheck::new().tests(tests).quickcheck(result);
    check(result::<P, f32>);
    check(result::<P, f64>);
}

/// Holds the property against given cases, both element types, and every implementation.
///
/// # Panics
/// With the first case for which it does not hold.
pub fn hold_in<P: Property>(cases: impl IntoIterator<Item = Case>) {
    for case in cases {
        for (name, result) in [("f32", in_all::<P, f32>(&case)), ("f64", in_all::<P, f64>(&case))] {
            if let Err(why) = result {
                panic!("{name}: {why}\n{case:?}");
            }
        }
    }
}

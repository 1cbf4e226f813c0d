//! What has to hold for every implementation, and the list of them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Write as _;

use quickcheck::{QuickCheck, TestResult};
use trine_core::{Element, Fused, Lanes, LinearKernels, Reference, Rounding, Task, Unfused};
use trine_kernels::{Blocking, Engine, Isa, Packing, Supported};

use crate::case::{Blocks, Case};
use crate::values::mix;

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

/// Every instruction set of this machine.
pub fn isas() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available())
}

/// The blocks that a case asks for, where they are not the engine's own choice.
fn blocking(blocks: Blocks, chosen: Blocking) -> Blocking {
    let mut thresholds = chosen.thresholds;
    if matches!(blocks, Blocks::Tiny | Blocks::TinyPacked | Blocks::TinyDirect) {
        // Short sums row after row and past the caches, an A that is fetched, however small they are.
        (thresholds.outer_bytes, thresholds.past_bytes, thresholds.fetch_a_bytes) = (0, 0, 0);
    }
    if matches!(blocks, Blocks::Planned | Blocks::Tiny) {
        (thresholds.small, thresholds.planless) = (0, 0);
    }
    let (mc, nc, packing) = match blocks {
        Blocks::Chosen | Blocks::Planned => (chosen.mc, chosen.nc, chosen.packing),
        Blocks::Packed => (chosen.mc, chosen.nc, Packing::Always),
        Blocks::Direct => (chosen.mc, chosen.nc, Packing::Never),
        // Neither side a multiple of any tile, so that every block has an edge.
        Blocks::Tiny => (5, 7, Packing::Auto),
        Blocks::TinyPacked => (3, 40, Packing::Always),
        Blocks::TinyDirect => (19, 1, Packing::Never),
    };
    Blocking { mc, nc, packing, thresholds }
}

/// An engine with the threads and blocks that a case asks for.
pub fn equipped<'s, E: Supported>(engine: Engine<'s>, case: &Case) -> Engine<'s> {
    let engine = engine.with_threads(case.threads);
    match case.blocks {
        Blocks::Chosen => engine,
        blocks => {
            let chosen = engine.blocking::<E>();
            engine.with_blocking(blocking(blocks, chosen))
        }
    }
}

type Engines = HashMap<(Isa, usize, Blocks, &'static str), Engine<'static>>;

thread_local! {
    static ENGINES: RefCell<Engines> = RefCell::default();
}

/// Works with the engine that a case asks for, on one instruction set. It has been used before,
/// so its scratch memory holds what earlier calls left there.
///
/// # Panics
/// If this machine does not have the instruction set.
pub fn with_engine<E: Supported, T>(
    isa: Isa,
    case: &Case,
    work: impl FnOnce(&mut Engine<'static>) -> T,
) -> T {
    ENGINES.with_borrow_mut(|engines| {
        let engine = engines
            .entry((isa, case.threads, case.blocks, E::NAME))
            .or_insert_with(|| equipped::<E>(Engine::with_isa(isa).expect("an available ISA"), case));
        work(engine)
    })
}

/// Whether the property holds for this case in every implementation that runs here: the
/// references of both roundings and an engine on each instruction set.
///
/// # Errors
/// For which it does not, and why.
pub fn in_all<P: Property, E: Supported>(case: &Case) -> Result<(), String> {
    P::check::<E, _>(case, &mut Reference(Fused)).map_err(|why| format!("reference, fused: {why}"))?;
    P::check::<E, _>(case, &mut Reference(Unfused)).map_err(|why| format!("reference, unfused: {why}"))?;
    in_engines::<P, E>(case)
}

/// Whether the property holds for this case in an engine on each instruction set.
///
/// # Errors
/// For which it does not, and why.
pub fn in_engines<P: Property, E: Supported>(case: &Case) -> Result<(), String> {
    for isa in isas() {
        with_engine::<E, _>(isa, case, |engine| P::check::<E, _>(case, engine))
            .map_err(|why| format!("engine on {isa}: {why}"))?;
    }
    Ok(())
}

/// A statement about a case, for one element type.
pub type Statement = fn(&Case) -> Result<(), String>;

thread_local! {
    static STATEMENT: RefCell<Option<(&'static str, Statement)>> = const { RefCell::new(None) };
}

/// Tries the statements, by the names of their element types, on `tests` random cases each (the
/// variable `QUICKCHECK_TESTS` goes first).
///
/// # Panics
/// With the simplest case found for which one does not hold.
pub fn hold_on_random(tests: u64, statements: [(&'static str, Statement); 2]) {
    fn result(case: Case) -> TestResult {
        let (name, statement) = STATEMENT.with_borrow(|statement| statement.expect("set below"));
        trace(name, &case);
        match statement(&case) {
            Ok(()) => TestResult::passed(),
            Err(why) => TestResult::error(format!("{name}: {why}")),
        }
    }
    let tests = variable("QUICKCHECK_TESTS").map_or(tests, |n| n as u64);
    for statement in statements {
        // quickcheck takes functions and no closures.
        STATEMENT.set(Some(statement));
        QuickCheck::new().tests(tests).quickcheck(result as fn(Case) -> TestResult);
    }
}

/// With `TRINE_TRACE` set, every case is printed before it is tried: an access beside a guard page ends
/// the program, and the last case printed is the one.
fn trace(name: &str, case: &Case) {
    if std::env::var_os("TRINE_TRACE").is_some() {
        // Not held back by the test harness.
        writeln!(std::io::stderr(), "{name}: {case:?}").expect("stderr");
    }
}

/// A number from the environment.
fn variable(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// Tries the statements on given cases, or with `TRINE_EVERY=n` on about one in n of them: for
/// emulated CPUs.
///
/// # Panics
/// With the first case for which one does not hold.
pub fn hold_on(cases: impl IntoIterator<Item = Case>, statements: [(&'static str, Statement); 2]) {
    let every = variable("TRINE_EVERY").unwrap_or(1).max(1) as u64;
    // Not in step with the loops that made the list.
    let taken = |index: &usize| mix(*index as u64).is_multiple_of(every);
    for (_, case) in cases.into_iter().enumerate().filter(|(index, _)| taken(index)) {
        for (name, statement) in statements {
            trace(name, &case);
            if let Err(why) = statement(&case) {
                panic!("{name}: {why}\n{case:?}");
            }
        }
    }
}

/// Holds the property against random cases, both element types, every implementation.
///
/// # Panics
/// With the simplest case found for which it does not hold.
pub fn hold<P: Property>(tests: u64) {
    hold_on_random(tests, [("f32", in_all::<P, f32>), ("f64", in_all::<P, f64>)]);
}

/// Holds the property against given cases, both element types, every implementation.
///
/// # Panics
/// With the first case for which it does not hold.
pub fn hold_in<P: Property>(cases: impl IntoIterator<Item = Case>) {
    hold_on(cases, [("f32", in_all::<P, f32>), ("f64", in_all::<P, f64>)]);
}

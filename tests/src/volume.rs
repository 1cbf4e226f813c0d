//! Many cases without end: numbered ones, the ways in which each can be carried out, and the simplest
//! case that still fails.

use std::panic::{AssertUnwindSafe, catch_unwind};

use quickcheck::{Arbitrary, Gen};
use trine_core::{Element, Fused, LinearKernels, Reference, Rounding, Shape, Unfused};

use crate::case::{ACTIVATIONS, Blocks, Case, Op, Role};
use crate::memory::Memory;
use crate::operand::Place;
use crate::run::{Outcome, agree};
use crate::sizes::{LONG, SIDES};
use crate::values::mix;

/// Ways in which one case is carried out on one instruction set.
pub const WAYS: usize = 4;

/// Simpler cases that are tried at most before the search for the simplest ends.
const TRIES: usize = 3000;

/// One case in this many is so large that several threads take part.
const LARGE: u64 = 24;

fn generator(seed: u64, number: u64) -> Gen {
    Gen::from_size_and_seed(100, mix(mix(seed) ^ number))
}

/// Two long sides and a short one, in any order, of up to a few million multiply-adds.
fn large_shape(g: &mut Gen) -> Shape {
    let mut sides = [0; 3].map(|_| *g.choose(&LONG).expect("sides"));
    sides[usize::arbitrary(g) % 3] = *g.choose(&SIDES).expect("sides");
    while sides.iter().product::<usize>() > 4 << 20 {
        let largest = (0..3).max_by_key(|&i| sides[i]).expect("a side");
        sides[largest] = sides[largest] / 2 + usize::arbitrary(g) % 2;
    }
    let [n, d, m] = sides;
    Shape { n, d, m }
}

/// The case with this number among those of a seed. In plain memory: an access beside a guard page would
/// end the program, and nothing would be reported.
pub fn numbered(seed: u64, number: u64) -> Case {
    let g = &mut generator(seed, number);
    let case = Case { memory: Memory::Plain, ..Case::arbitrary(g) };
    if number.is_multiple_of(LARGE) { Case { shape: large_shape(g), ..case } } else { case }
}

/// Every method at one shape, with every activation and both ways of writing where it has them.
pub fn at_shape(shape: Shape, seed: u64) -> Vec<Case> {
    let Shape { n, d, m } = shape;
    let mut cases = Vec::new();
    for op in Op::ALL {
        let plain = Case { seed: mix(seed), ..Case::plain(op, n, d, m) };
        let has_activation = matches!(op, Op::Forward | Op::Backward | Op::Step);
        let has_write = matches!(op, Op::Matmul | Op::GradInput | Op::GradParams | Op::Backward);
        for &activation in &ACTIVATIONS[..if has_activation { 7 } else { 1 }] {
            for add in [false, true].into_iter().take(1 + usize::from(has_write)) {
                let mut case = Case { activation, ..plain.clone() };
                (case.write.add, case.params_write.add) = (add, add);
                if op == Op::Step {
                    case.params_write.alpha = 0.01;
                }
                cases.push(case);
            }
        }
    }
    cases
}

/// The same call in other places, with other blocks and numbers of threads: all have one result. The first
/// is the case itself.
pub fn ways(case: &Case, seed: u64) -> Vec<Case> {
    let g = &mut generator(seed, case.seed);
    let mut ways = vec![case.clone()];
    while ways.len() < WAYS {
        let mut way = case.clone();
        for place in way.places.iter_mut().filter(|place| !place.repeats()) {
            let other = Place::arbitrary(g);
            if !other.repeats() {
                *place = other;
            }
        }
        way.threads = 1 + usize::arbitrary(g) % 3;
        way.blocks = *g.choose(&Blocks::ALL).expect("blocks");
        ways.push(way);
    }
    ways
}

/// How many elements a case writes.
pub fn elements(case: &Case) -> u64 {
    let of = |role: Role| role.sides(case.shape).0 as u64 * role.sides(case.shape).1 as u64;
    Role::ALL.into_iter().filter(|role| case.writes(*role)).map(of).sum()
}

/// What the reference of this rounding makes of a case.
pub fn expected<E: Element>(case: &Case, rounding: Rounding) -> Outcome<E> {
    match rounding {
        Rounding::Fused => case.run(&mut Reference(Fused)),
        Rounding::Unfused => case.run(&mut Reference(Unfused)),
    }
}

/// What an implementation makes of a case, where that is neither an error nor a panic.
///
/// # Errors
/// The error, or the words of the panic.
pub fn attempt<E: Element, K: LinearKernels<E>>(case: &Case, kernels: &mut K) -> Result<Outcome<E>, String> {
    let call = || {
        let mut outcome = Outcome::before(case);
        outcome.call(case, kernels).map(|()| outcome).map_err(|error| format!("refused: {error}"))
    };
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
        Err(format!("panicked: {words}"))
    })
}

/// What is wrong with what an implementation makes of a case, compared with the reference.
///
/// # Errors
/// The first difference.
pub fn verdict<E: Element>(
    case: &Case,
    rounding: Rounding,
    attempt: impl FnOnce(&Case) -> Result<Outcome<E>, String>,
) -> Result<(), String> {
    agree(&attempt(case)?, &expected(case, rounding))
}

/// The simplest case found that still fails, and how.
pub fn shrink(case: Case, why: String, fails: impl Fn(&Case) -> Option<String>) -> (Case, String) {
    let (mut simplest, mut tries) = ((case, why), 0);
    'simpler: loop {
        for simpler in simplest.0.shrink() {
            tries += 1;
            if tries > TRIES {
                return simplest;
            }
            if let Some(why) = fails(&simpler) {
                simplest = (simpler, why);
                continue 'simpler;
            }
        }
        return simplest;
    }
}

//! From bytes to something worth trying: what the fuzz targets share.

use arbitrary::{Arbitrary, Result, Unstructured};
use trine_core::{
    Activation, Element, Fused, LinearKernels, Reference, Rounding, Saved, Shape, Unfused, Write,
};
use trine_kernels::Supported;
use trine_tests::property::{isas, rounding, with_engine};
use trine_tests::run::agree;
use trine_tests::{Blocks, Case, Memory, Op, Order, Outcome, Place, Role, Values, case::ACTIVATIONS};

/// Multiply-adds of a case at most: many small ones find more than few large ones.
const LIMIT: usize = 60_000;

/// A length: most are small, some as large as can be.
///
/// # Errors
/// None that a target has to handle: bytes that have run out are zeros.
pub fn length(u: &mut Unstructured<'_>) -> Result<usize> {
    Ok(match u.int_in_range(0..=7u8)? {
        0..=4 => u.int_in_range(0..=40)?,
        5 => 1usize << u.int_in_range(0..=63u32)?,
        6 => usize::MAX - u.int_in_range(0..=40usize)?,
        _ => usize::arbitrary(u)?,
    })
}

/// One activation, now and then one that has to be refused.
///
/// # Errors
/// As [`length`].
pub fn activation(u: &mut Unstructured<'_>) -> Result<Activation> {
    Ok(match u.int_in_range(0..=7usize)? {
        7 => Activation::LeakyRelu { slope: f32::arbitrary(u)? },
        i => ACTIVATIONS[i],
    })
}

fn shape(u: &mut Unstructured<'_>) -> Result<Shape> {
    let long = u.int_in_range(0..=8usize)?;
    let mut sides = [0; 3];
    for (i, side) in sides.iter_mut().enumerate() {
        *side = u.int_in_range(0..=if i == long { 1100 } else { 100 })?;
    }
    while sides.iter().product::<usize>() > LIMIT {
        if let Some(side) = (0..3).filter(|&i| i != long).max_by_key(|&i| sides[i]) {
            sides[side] /= 2;
        }
    }
    let [n, d, m] = sides;
    Ok(Shape { n, d, m })
}

fn place(u: &mut Unstructured<'_>) -> Result<Place> {
    let orders = [Order::Rows, Order::Columns, Order::OneRow, Order::OneColumn];
    Ok(Place {
        order: *u.choose(&orders)?,
        step: u.int_in_range(1..=3)?,
        pad: u.int_in_range(0..=17)?,
        before: u.int_in_range(0..=7)?,
        after: u.int_in_range(0..=3)?,
    })
}

fn write(u: &mut Unstructured<'_>) -> Result<Write<f64>> {
    let alpha = match u.int_in_range(0..=3u8)? {
        0 => 1.0,
        1 => -0.01,
        2 => 0.0,
        _ => f64::arbitrary(u)?,
    };
    Ok(Write { add: bool::arbitrary(u)?, alpha })
}

/// One call of one of these methods.
///
/// # Errors
/// As [`length`].
pub fn case(u: &mut Unstructured<'_>, ops: &[Op]) -> Result<Case> {
    let values =
        [Values::Whole, Values::Uniform, Values::Wide, Values::Extreme, Values::Sparse, Values::Dense];
    let memories = [Memory::Plain, Memory::GuardBefore, Memory::GuardBehind];
    let activation = ACTIVATIONS[u.int_in_range(0..=6usize)?];
    let mut places = [Place::PLAIN; 7];
    for at in &mut places {
        *at = place(u)?;
    }
    Ok(Case {
        op: *u.choose(ops)?,
        shape: shape(u)?,
        first_row: 0,
        places,
        memory: *u.choose(&memories)?,
        write: write(u)?,
        params_write: write(u)?,
        activation,
        bias: bool::arbitrary(u)?,
        first_output: bool::arbitrary(u)?,
        second_output: bool::arbitrary(u)?,
        saved: activation.saves() != Saved::Nothing || bool::arbitrary(u)?,
        values: *u.choose(&values)?,
        seed: u64::from(u16::arbitrary(u)?),
        threads: 1 + usize::from(u.int_in_range(0..=9u8)? == 0),
        blocks: *u.choose(&Blocks::ALL)?,
    })
}

/// Sides of operands of which one may not fit.
fn sides(u: &mut Unstructured<'_>, case: &Case) -> Result<[(usize, usize); 7]> {
    let mut sides = Role::ALL.map(|role| role.sides(case.shape));
    if u.int_in_range(0..=3u8)? == 0 {
        let role = u.int_in_range(0..=6usize)?;
        let other = u.int_in_range(0..=20)?;
        if role == Role::Bias as usize || bool::arbitrary(u)? {
            sides[role].1 = other;
        } else {
            sides[role].0 = other;
        }
    }
    Ok(sides)
}

/// A call that may be refused: the reference and each engine agree on that, with the same words, and on
/// every bit of every operand afterwards.
fn compare<E: Supported>(case: &Case, sides: [(usize, usize); 7]) -> std::result::Result<(), String> {
    let run = |kernels: &mut dyn FnMut(&mut Outcome<E>) -> Refused| {
        let mut outcome = Outcome::<E>::with_sides(case, |role| sides[role as usize]);
        let refused = kernels(&mut outcome);
        (refused, outcome)
    };
    let expected = [
        run(&mut |outcome| call(case, outcome, &mut Reference(Fused))),
        run(&mut |outcome| call(case, outcome, &mut Reference(Unfused))),
    ];
    for isa in isas() {
        with_engine::<E, _>(isa, case, |engine| {
            let (refused, expected) = &expected[usize::from(rounding::<E, _>(engine) == Rounding::Unfused)];
            let (found, outcome) = run(&mut |outcome| call(case, outcome, engine));
            if found != *refused {
                return Err(format!("{isa}: {found:?}, but the reference says {refused:?}"));
            }
            agree(&outcome, expected).map_err(|why| format!("{isa}: {why}"))
        })?;
    }
    Ok(())
}

type Refused = std::result::Result<(), String>;

fn call<E: Element, K: LinearKernels<E>>(case: &Case, outcome: &mut Outcome<E>, kernels: &mut K) -> Refused {
    outcome.call(case, kernels).map_err(|error| error.to_string())
}

/// One call from bytes, of f32 or f64, on every engine.
///
/// # Errors
/// As [`length`].
///
/// # Panics
/// If an engine and the reference do not agree.
pub fn call_from_bytes(bytes: &[u8], ops: &[Op]) -> Result<()> {
    let u = &mut Unstructured::new(bytes);
    let double = bool::arbitrary(u)?;
    let case = case(u, ops)?;
    let sides = sides(u, &case)?;
    let compared = if double { compare::<f64>(&case, sides) } else { compare::<f32>(&case, sides) };
    if let Err(why) = compared {
        panic!("{why}\nf64: {double}, sides {sides:?}, {case:?}");
    }
    Ok(())
}

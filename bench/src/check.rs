//! `trine check`: every operation on every instruction set against the reference, bit for bit.
//!
//! The reference computes each expected result once; the engines compute it on each instruction
//! set, with one thread and with two, with operands copied where it pays and wherever it is possible, from
//! operands in row-major order and in other layouts.

use rayon::prelude::*;
use trine_core::{Element, Error, Fused, Reference, Rng, Rounding, Shape, Unfused};

use crate::cli::Dtype;
use crate::scenario::{Call, Case, Outputs};
use crate::shape;
use crate::storage::Layout;
use crate::verify::same;
use crate::workload::rounding;
use trine_kernels::{Blocking, Engine, Isa, Packing, Supported};

/// How many failures are kept in words.
const KEPT: usize = 5;

/// What was compared, and what differed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Calls of engines.
    pub calls: u64,
    /// Elements compared.
    pub elements: u64,
    /// Elements whose bits differ.
    pub differing: u64,
    /// Calls that failed, wrote beside their output, or differ from the reference.
    pub wrong_calls: u64,
    /// The first wrong calls, in words, each with a command that reproduces it.
    pub failures: Vec<String>,
}

impl Tally {
    /// Counts another tally.
    pub fn add(&mut self, other: Tally) {
        self.calls += other.calls;
        self.elements += other.elements;
        self.differing += other.differing;
        self.wrong_calls += other.wrong_calls;
        self.failures.extend(other.failures);
        self.failures.truncate(KEPT);
    }

    fn compare<E: Element>(
        &mut self,
        found: Result<Outputs<E>, Error>,
        expected: &Outputs<E>,
        story: impl Fn() -> String,
    ) {
        self.calls += 1;
        let differing = self.differing;
        let mut first = match &found {
            Ok(found) => found
                .iter()
                .find(|(_, out)| !out.guards_hold())
                .map(|(name, _)| format!("something was written between or behind the elements of {name}")),
            Err(error) => Some(error.to_string()),
        };
        for ((name, found), (_, expected)) in found.iter().flatten().zip(expected) {
            for (i, (found, expected)) in found.values().into_iter().zip(expected.values()).enumerate() {
                self.elements += 1;
                if !same(found, expected) {
                    self.differing += 1;
                    first.get_or_insert_with(|| {
                        let (found_bits, bits) = (found.bits(), expected.bits());
                        format!(
                            "element {i} of {name} is {found} ({found_bits:#x}), not {expected} ({bits:#x})"
                        )
                    });
                }
            }
        }
        self.wrong_calls += u64::from(first.is_some() || self.differing > differing);
        if let Some(first) = first.filter(|_| self.failures.len() < KEPT) {
            self.failures.push(format!("{}\n    {first}", story()));
        }
    }
}

/// The shape with this number among those of a seed: small ones, ones around the size of tiles,
/// zero included, and now and then one whose sums are longer than a block, or of one or two rows that
/// are computed in slices of the sum.
pub fn random_shape(seed: u64, number: u64) -> Shape {
    let mut rng = Rng::keyed(seed, &[number]);
    let mut sides = [0; 3];
    for side in &mut sides {
        let most = [3, 17, 33, 66, 130][rng.below(5) as usize];
        *side = rng.below(most + 1) as usize;
    }
    let kind = rng.below(64);
    if kind == 1 {
        sides = [1 + rng.below(2) as usize, 513 + rng.below(90) as usize, 130 + rng.below(130) as usize];
    }
    if kind.is_multiple_of(16) {
        let long = rng.below(3) as usize;
        sides[long] = 512 + rng.below(700) as usize;
        sides[(long + 1) % 3] %= 24;
        sides[(long + 2) % 3] %= 24;
    }
    let [n, d, m] = sides;
    Shape { n, d, m }
}

/// Engines for each instruction set: with one thread, with two, and with one that copies every operand
/// it can.
///
/// # Errors
/// An instruction set that cannot be used.
pub fn engines(isas: &[Isa]) -> Result<Vec<Engine<'static>>, Error> {
    let mut engines = Vec::new();
    for &isa in isas {
        engines.push(Engine::with_isa(isa)?);
        engines.push(Engine::with_isa(isa)?.with_threads(2));
        let copying = Engine::with_isa(isa)?;
        // The blocks of f32 do for f64.
        let blocking = Blocking { packing: Packing::Always, ..copying.blocking::<f32>() };
        engines.push(copying.with_blocking(blocking));
    }
    Ok(engines)
}

/// Compares every call at every shape, several shapes at a time in the rayon pool this is called
/// in. `on_shape` is called after each.
///
/// # Errors
/// An instruction set that cannot be used; a wrong result is no error but counted.
pub fn shapes_on(
    shapes: &[Shape],
    seed: u64,
    isas: &[Isa],
    dtypes: &[Dtype],
    on_shape: impl Fn() + Sync,
) -> Result<Tally, Error> {
    let one = |engines: &mut Result<Vec<Engine<'static>>, Error>, shape: &Shape| {
        let engines = engines.as_mut().map_err(|error| *error)?;
        let mut tally = Tally::default();
        for dtype in dtypes {
            tally.add(match dtype {
                Dtype::F32 => shape_on::<f32>(*shape, seed, engines)?,
                Dtype::F64 => shape_on::<f64>(*shape, seed, engines)?,
            });
        }
        on_shape();
        Ok(tally)
    };
    let tallies: Vec<Tally> =
        shapes.par_iter().map_init(|| engines(isas), one).collect::<Result<_, Error>>()?;
    let mut sum = Tally::default();
    tallies.into_iter().for_each(|tally| sum.add(tally));
    Ok(sum)
}

/// Compares every call at one shape. `seed` decides the operands, their layouts and which
/// activations the backward calls have.
///
/// # Errors
/// None that a shape could cause: a wrong result is no error but counted.
pub fn shape_on<E: Supported>(shape: Shape, seed: u64, engines: &mut [Engine<'_>]) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    let case = Case::<E>::new(shape, seed);
    for call in &case.calls {
        let mut expected = Expected { case: &case, call, fused: None, unfused: None };
        for engine in &mut *engines {
            let (isa, threads) = (engine.isa().name(), engine.threads());
            let packing = engine.blocking::<E>().packing;
            let expected = expected.of(rounding::<E, _>(engine))?;
            for layouts in [[Layout::Rows; 4], case.layouts] {
                tally.compare(call.carry_out(engine, &case, layouts), expected, || {
                    let (name, command) = (shape::name(shape), shape::argument(shape));
                    let (call, dtype) = (call.name(), E::NAME);
                    format!(
                        "trine check --shape {command} --seed {seed} --dtype {dtype} --isa {isa}\n    \
                         {call} at {name}, threads: {threads}, packing: {packing:?}, layouts: {layouts:?}"
                    )
                });
            }
        }
    }
    Ok(tally)
}

/// What the reference says, once for each rounding.
struct Expected<'a, E> {
    case: &'a Case<E>,
    call: &'a Call<E>,
    fused: Option<Outputs<E>>,
    unfused: Option<Outputs<E>>,
}

impl<E: Element> Expected<'_, E> {
    fn of(&mut self, rounding: Rounding) -> Result<&Outputs<E>, Error> {
        let (case, call, layouts) = (self.case, self.call, [Layout::Rows; 4]);
        let known = match rounding {
            Rounding::Fused => &mut self.fused,
            Rounding::Unfused => &mut self.unfused,
        };
        match known {
            Some(outputs) => Ok(outputs),
            None => Ok(known.insert(match rounding {
                Rounding::Fused => call.carry_out(&mut Reference(Fused), case, layouts)?,
                Rounding::Unfused => call.carry_out(&mut Reference(Unfused), case, layouts)?,
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_of_every_kind() {
        let shapes: Vec<Shape> = (0..2000).map(|i| random_shape(7, i)).collect();
        let sides = || shapes.iter().flat_map(|s| [s.n, s.d, s.m]);
        for wanted in 0..=130 {
            assert!(sides().any(|side| side == wanted), "no side of {wanted}");
        }
        for long in [|s: &Shape| s.n, |s: &Shape| s.d, |s: &Shape| s.m] {
            assert!(shapes.iter().filter(|s| long(s) > 512).count() > 20);
        }
        assert!(shapes.iter().filter(|s| (1..=2).contains(&s.n) && s.d > 512 && s.m > 96).count() > 10);
        assert_eq!(shapes[5], random_shape(7, 5));
    }

    #[test]
    fn a_difference_is_counted_and_told() {
        let case = Case::<f32>::new(Shape { n: 3, d: 4, m: 5 }, 1);
        let call = &case.calls[0];
        let run = || call.carry_out(&mut Reference(Fused), &case, [Layout::Rows; 4]);
        let expected = run().expect("shapes fit");
        let mut tally = Tally::default();
        tally.compare(run(), &expected, || "same".into());
        assert_eq!((tally.calls, tally.differing, tally.wrong_calls), (1, 0, 0));
        assert!(tally.elements >= 15);
        let mut wrong = expected.clone();
        let mut y = wrong[0].1.view_mut().expect("fits");
        y.set(1, 2, f32::from_bits(y.at(1, 2).to_bits() ^ 1));
        tally.compare(Ok(wrong), &expected, || "wrong".into());
        assert_eq!((tally.calls, tally.differing, tally.wrong_calls), (2, 1, 1));
        assert!(tally.failures[0].starts_with("wrong\n    element 7 of y is "), "{:?}", tally.failures);
        tally.compare(Err(Error::TooLarge { operand: "x" }), &expected, || "refused".into());
        assert_eq!((tally.calls, tally.differing, tally.wrong_calls), (3, 1, 2));
    }

    #[test]
    fn engines_agree_at_a_shape() {
        let mut engines = engines(&[Isa::best(), Isa::Portable]).expect("available everywhere");
        let tally = shape_on::<f32>(Shape { n: 9, d: 17, m: 33 }, 1, &mut engines);
        let tally = tally.expect("shapes fit");
        assert!(tally.elements > 10_000 && tally.wrong_calls == 0, "{tally:?}");
    }
}

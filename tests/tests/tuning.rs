//! A tuning decides how fast a result comes, and nothing else.

use trine_core::Error;
use trine_kernels::{Choice, Engine, Isa, Supported, Tuning};
use trine_tests::exact;
use trine_tests::property::{hold_on, hold_on_random, isas};
use trine_tests::values::mix;
use trine_tests::{Blocks, Case, Memory, Op};

/// Below, at and above what a plan would choose, and what makes no sense at all.
const VALUES: [usize; 16] = [0, 1, 2, 3, 5, 7, 16, 17, 40, 100, 512, 513, 4096, 1 << 16, 1 << 20, usize::MAX];

/// Some of the choices, by chance.
fn random(isa: Isa, seed: u64) -> Tuning {
    let mut tuning = Tuning::new(isa);
    for (i, choice) in Choice::ALL.into_iter().enumerate() {
        let drawn = mix(seed ^ (i as u64) << 40);
        if !drawn.is_multiple_of(4) {
            let value = VALUES[(drawn >> 8) as usize % VALUES.len()];
            tuning.set(4, choice, value);
            tuning.set(8, choice, value);
        }
    }
    tuning
}

fn same_bits<E: Supported>(case: &Case) -> Result<(), String> {
    for isa in isas() {
        let tuning =
            random(isa, case.seed.wrapping_mul(1 << 20) ^ case.shape.d as u64 ^ mix(case.shape.m as u64));
        // By way of the text, as a file would come.
        let tuning = tuning.to_string().parse().map_err(|why| format!("{why}\n{tuning}"))?;
        let engine = Engine::with_isa(isa).expect("available").with_threads(case.threads);
        let mut engine = engine.with_tuning(&tuning).expect("of this instruction set");
        exact::same_bits::<E, _>(case, &mut engine).map_err(|why| format!("{why}, with\n{tuning}"))?;
    }
    Ok(())
}

#[test]
fn any_tuning_gives_the_bits_of_the_reference() {
    hold_on_random(400, [("f32", same_bits::<f32>), ("f64", same_bits::<f64>)]);
}

/// The shapes that a threshold decides about: one or two long rows, tall, wide and long products.
#[test]
fn any_tuning_gives_the_bits_of_the_reference_where_plans_differ() {
    let shapes = [(1, 530, 300), (2, 600, 131), (150, 90, 130), (520, 40, 33), (37, 513, 97), (300, 64, 129)];
    let cases = shapes.into_iter().flat_map(|(n, d, m)| {
        Op::ALL.into_iter().flat_map(move |op| {
            (0..4).map(move |seed| Case {
                seed,
                threads: 1 + seed as usize % 3,
                blocks: Blocks::Chosen,
                ..Case::plain(op, n, d, m)
            })
        })
    });
    hold_on(cases, [("f32", same_bits::<f32>), ("f64", same_bits::<f64>)]);
}

#[test]
fn a_tuning_is_refused_by_another_instruction_set() {
    let tuning = Tuning::new(Isa::Neon);
    let engine = Engine::with_isa(Isa::Portable).expect("available everywhere");
    let error = engine.with_tuning(&tuning).expect_err("for another instruction set");
    let expected = "for the instruction set of the engine";
    assert_eq!(error, Error::Value { operand: "the tuning", expected });
}

#[test]
fn an_engine_takes_what_a_tuning_chooses_and_keeps_the_rest() {
    let engine = Engine::new();
    let before = (engine.blocking::<f32>(), engine.blocking::<f64>());
    let text = format!("trine-tuning 1\nisa {}\nf64 nc 72\nf64 mc 0", engine.isa());
    let engine = engine.with_tuning(&text.parse().expect("well formed")).expect("of this instruction set");
    assert_eq!(engine.blocking::<f32>(), before.0);
    let expected = Choice::Mc.with(Choice::Nc.with(before.1, 72), 1);
    assert_eq!(engine.blocking::<f64>(), expected);
}

/// The first strip of columns copies A, whole vectors of it: where there was no whole one, what lies behind the rows
/// of C was written.
#[test]
fn a_is_not_copied_by_a_partial_strip() {
    let text = |isa: Isa| {
        let choices =
            |element| format!("{element} copy-a-bytes 0\n{element} copy-a-strips 0\n{element} small 0\n");
        format!("trine-tuning 1\nisa {isa}\n{}{}", choices("f32"), choices("f64"))
    };
    for isa in isas() {
        let tuning = text(isa).parse().expect("well formed");
        let case = Case { memory: Memory::GuardBehind, ..Case::plain(Op::GradParams, 40, 30, 13) };
        let mut engine = Engine::with_isa(isa).expect("available").with_tuning(&tuning).expect("of this set");
        exact::same_bits::<f32, _>(&case, &mut engine).expect("the reference's bits");
    }
}

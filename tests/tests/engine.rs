//! What an engine must not let a result depend on, the memory it says it needs, the instruction
//! sets that ran.

use std::collections::BTreeSet;
use std::io::Write as _;

use trine_core::{Activation, Element, Error, LinearKernels, Shape, Write};
use trine_kernels::{Blocking, Engine, Isa, Line, Packing, Supported, registry, scratch_len};
use trine_tests::exact::{EXACT, exact};
use trine_tests::memory::{Buffer, Memory};
use trine_tests::property::{hold_on, hold_on_random, isas, with_engine};
use trine_tests::{Blocks, Case, Op, Order, Outcome, Role, agree};

/// To the terminal, also from a test that passes.
fn report(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("stderr");
}

/// `TRINE_REQUIRE=avx2,avx512` makes it a failure if one of them did not run.
#[test]
fn required_instruction_sets_run() {
    let mut ran = BTreeSet::new();
    for isa in isas() {
        let case = Case::plain(Op::Backward, 37, 41, 43);
        let run = |found: Isa| assert_eq!(found, isa, "another engine than was asked for");
        with_engine::<f32, _>(isa, &case, |engine| run(engine.isa()));
        for (name, statement) in EXACT {
            statement(&case).unwrap_or_else(|why| panic!("{name}: {why}"));
        }
        ran.insert(isa.name());
    }
    let ran: Vec<_> = ran.into_iter().collect();
    report(&format!("instruction sets that ran: {}", ran.join(", ")));
    let required = std::env::var("TRINE_REQUIRE").unwrap_or_default();
    for name in required.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let isa: Isa = name.parse().unwrap_or_else(|error| panic!("TRINE_REQUIRE={required}: {error}"));
        assert!(ran.contains(&isa.name()), "TRINE_REQUIRE={required}, but {name} did not run");
    }
}

/// A problem of exactly the tile of each kernel, with its last vector whole, with one lane of it, and
/// with all but one; both orders of the output.
#[test]
fn every_kernel_in_the_registry_is_exact() {
    let (mut names, mut ran, mut elsewhere) = (BTreeSet::new(), 0, BTreeSet::new());
    for kernel in registry() {
        assert!(names.insert(kernel.to_string()), "{kernel} is there twice");
        if !kernel.isa.is_available() {
            elsewhere.insert(kernel.isa.name());
            continue;
        }
        let before_last = kernel.nr - kernel.lanes;
        for columns in BTreeSet::from([kernel.nr, before_last + 1, kernel.nr - usize::from(kernel.lanes > 1)])
        {
            for order in [Order::Rows, Order::Columns] {
                for write in [Write::REPLACE, Write::ADD.times(-0.5)] {
                    let (n, m) = match order {
                        Order::Columns => (columns, kernel.mr),
                        _ => (kernel.mr, columns),
                    };
                    let mut case =
                        Case { write, memory: Memory::GuardBehind, ..Case::plain(Op::Matmul, n, 21, m) };
                    case.places[Role::Y as usize].order = order;
                    case.places[Role::X as usize].order = order;
                    case.places[Role::W as usize].order = order;
                    let (_, statement) = EXACT[usize::from(kernel.element == "f64")];
                    statement(&case).unwrap_or_else(|why| panic!("{kernel}: {why}\n{case:?}"));
                }
            }
        }
        ran += 1;
    }
    let elsewhere: Vec<_> = elsewhere.into_iter().collect();
    report(&format!(
        "kernels held against the reference: {ran} of {}; not here: {}",
        names.len(),
        elsewhere.join(", ")
    ));
    // Every instruction set has kernels, for both element types, and is thereby tested above.
    for isa in Isa::ALL {
        for element in ["f32", "f64"] {
            assert!(
                registry().any(|kernel| (kernel.isa, kernel.element) == (isa, element)),
                "{element} on {isa}"
            );
        }
    }
}

fn equal_to<E: Supported>(case: &Case, other: &Case) -> Result<(), String> {
    for isa in isas() {
        let found = with_engine::<E, _>(isa, case, |engine| case.run::<E, _>(engine));
        let expected = with_engine::<E, _>(isa, other, |engine| other.run::<E, _>(engine));
        agree(&found, &expected).map_err(|why| format!("engine on {isa}: {why}"))?;
    }
    Ok(())
}

/// Large enough that every thread gets a part, with parts that do not come out even.
#[test]
fn a_result_does_not_depend_on_threads() {
    fn one_thread<E: Supported>(case: &Case) -> Result<(), String> {
        for isa in isas() {
            let run = |threads| {
                let case = Case { threads, ..case.clone() };
                with_engine::<E, _>(isa, &case, |engine| case.run::<E, _>(engine))
            };
            let expected = run(1);
            for threads in [2, 3, 7] {
                agree(&run(threads), &expected).map_err(|why| format!("{isa}, {threads} threads: {why}"))?;
            }
        }
        Ok(())
    }
    let shapes = [(517, 89, 91), (91, 517, 89), (89, 91, 517), (1300, 70, 65), (7, 1031, 533)];
    let cases = shapes.into_iter().flat_map(|(n, d, m)| {
        Op::ALL.map(|op| Case {
            activation: Activation::Gelu,
            params_write: Write::ADD.times(-0.01),
            ..Case::plain(op, n, d, m)
        })
    });
    hold_on(cases, [("f32", one_thread::<f32>), ("f64", one_thread::<f64>)]);
}

#[test]
fn a_result_does_not_depend_on_blocking() {
    fn own_blocks<E: Supported>(case: &Case) -> Result<(), String> {
        Blocks::ALL.into_iter().try_for_each(|blocks| equal_to::<E>(&Case { blocks, ..case.clone() }, case))
    }
    hold_on_random(100, [("f32", own_blocks::<f32>), ("f64", own_blocks::<f64>)]);
}

/// The operations of the tests as the scratch length knows them.
fn op(op: Op) -> trine_kernels::Op {
    match op {
        Op::Forward | Op::Matmul => trine_kernels::Op::Forward,
        Op::GradInput => trine_kernels::Op::GradInput,
        Op::GradParams => trine_kernels::Op::GradParams,
        Op::Backward => trine_kernels::Op::Backward,
        Op::Step => trine_kernels::Op::Step,
    }
}

/// Makes the call on this scratch memory. If it is refused, nothing has been written, and the lines
/// that were needed are returned.
fn call_on<E: Supported>(
    case: &Case,
    isa: Isa,
    scratch: &mut [Line],
) -> Result<Result<Outcome<E>, usize>, String> {
    let found = scratch.len();
    let mut engine = Engine::with_scratch(isa, scratch).map_err(|error| error.to_string())?;
    let mut outcome = Outcome::<E>::before(case);
    match outcome.call(case, &mut engine) {
        Ok(()) => Ok(Ok(outcome)),
        Err(error @ Error::Scratch { expected, .. }) => {
            let message = format!("scratch needs {expected} units, but has {found}");
            if error.to_string() != message || expected <= found {
                return Err(format!("\"{error}\" with {found}"));
            }
            agree(&outcome, &Outcome::before(case)).map_err(|why| format!("written, then refused: {why}"))?;
            Ok(Err(expected))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// The memory that a call asks for is no more than `scratch_len` tells, and with exactly as much, at
/// the edge of a page, it gives the same bits.
fn with_own_scratch<E: Supported>(case: &Case) -> Result<(), String> {
    let shape = case.shape;
    for isa in isas() {
        let told = scratch_len::<E>(isa, op(case.op), shape.n, shape.d, shape.m);
        let expected = with_engine::<E, _>(isa, case, |engine| case.run::<E, _>(engine));
        let needed = call_on::<E>(case, isa, &mut [])?.err().unwrap_or(0);
        if needed > told {
            return Err(format!("{isa}: scratch_len tells {told} lines, the call asks for {needed}"));
        }
        for len in [needed, told] {
            let mut scratch = Buffer::new(len, Line::UNINIT, case.memory);
            let found = call_on::<E>(case, isa, &mut scratch)?
                .map_err(|more| format!("{isa}: asked for {needed} lines, with {len} for {more}"))?;
            agree(&found, &expected).map_err(|why| format!("{isa} with {len} lines of scratch: {why}"))?;
        }
        if needed > 0 {
            let mut scratch = Buffer::new(needed - 1, Line::UNINIT, case.memory);
            match call_on::<E>(case, isa, &mut scratch)? {
                Err(more) if more == needed => {}
                Err(more) => {
                    return Err(format!("{isa}: asked for {needed} lines, with one less for {more}"));
                }
                Ok(_) => return Err(format!("{isa}: asked for {needed} lines, and made do with one less")),
            }
        }
    }
    Ok(())
}

#[test]
fn scratch_memory_is_as_long_as_it_is_said_to_be() {
    let shapes =
        [(1, 1, 1), (5, 7, 9), (64, 48, 33), (97, 130, 300), (130, 300, 97), (600, 33, 70), (0, 5, 5)];
    let cases = shapes.into_iter().flat_map(|(n, d, m)| {
        Op::ALL.into_iter().flat_map(move |op| {
            [Order::Rows, Order::Columns].into_iter().flat_map(move |order| {
                [Memory::GuardBefore, Memory::GuardBehind].map(|memory| {
                    let plain = Case::plain(op, n, d, m);
                    let places = plain.places.map(|place| place.ordered(order));
                    Case { memory, places, activation: Activation::Relu, ..plain }
                })
            })
        })
    });
    hold_on(cases, [("f32", with_own_scratch::<f32>), ("f64", with_own_scratch::<f64>)]);
    hold_on_random(60, [("f32", with_own_scratch::<f32>), ("f64", with_own_scratch::<f64>)]);
}

/// On several threads a sweep takes as many blocks of the batch at a time.
#[test]
fn a_plan_tells_enough_scratch_memory_for_its_threads() {
    let chosen = Engine::new().blocking::<f32>();
    let blocking = Blocking { mc: 4096, nc: 96, packing: Packing::Auto, ..chosen };
    for (threads, isa) in [1, 2, 3].into_iter().flat_map(|threads| isas().map(move |isa| (threads, isa))) {
        for op in [Op::Backward, Op::GradParams] {
            // ∇Y has to be packed, all rows of a wave.
            let mut case = Case::plain(op, 2000, 8, 512);
            case.places[Role::Y as usize].step = 2;
            let engine = Engine::with_scratch(isa, &mut []).expect("available");
            let mut engine = engine.with_threads(threads).with_blocking(blocking);
            let Shape { n, d, m } = case.shape;
            let told = engine.plan::<f32>(self::op(op), n, d, m).scratch_bytes();
            let needed = match Outcome::<f32>::before(&case).call(&case, &mut engine) {
                Err(Error::Scratch { expected, .. }) => expected * size_of::<Line>(),
                other => other.map(|()| 0).expect("only memory is lacking"),
            };
            let lines = told.next_multiple_of(size_of::<Line>());
            assert!(
                needed <= lines,
                "{op:?} on {isa}, {threads} threads: told {told} bytes, needed {needed}"
            );
        }
    }
}

#[test]
fn scratch_length_is_known_at_compile_time() {
    const LEN: usize = scratch_len::<f32>(Isa::Portable, trine_kernels::Op::Backward, 16, 64, 10);
    let mut scratch = [Line::UNINIT; LEN];
    let mut engine = Engine::with_scratch(Isa::Portable, &mut scratch).expect("runs anywhere");
    let case = Case::plain(Op::Backward, 16, 64, 10);
    let expected = with_engine::<f32, _>(Isa::Portable, &case, |engine| case.run::<f32, _>(engine));
    agree(&case.run::<f32, _>(&mut engine), &expected).unwrap();
}

/// Both element types, all shapes and all operations in turn through one engine: what one call
/// leaves in the scratch memory is of no consequence for the next.
#[test]
fn an_engine_can_be_used_for_anything_in_turn() {
    fn call<E: Supported>(case: &Case, engine: &mut Engine<'_>) {
        let expected = with_engine::<E, _>(engine.isa(), case, |fresh| case.run::<E, _>(fresh));
        agree(&case.run::<E, _>(engine), &expected)
            .unwrap_or_else(|why| panic!("{}: {why}\n{case:?}", E::NAME));
    }
    for isa in isas() {
        let mut engine = Engine::with_isa(isa).expect("available");
        for (n, d, m) in [(3, 5, 7), (70, 90, 110), (2, 600, 3), (130, 64, 65), (1, 1, 1), (97, 130, 300)] {
            for op in Op::ALL {
                call::<f32>(&Case::plain(op, n, d, m), &mut engine);
                call::<f64>(&Case::plain(op, m, n, d), &mut engine);
            }
        }
    }
}

/// Asking for what the machine lacks is an error, never another instruction set in silence.
#[test]
fn an_instruction_set_that_is_not_there_is_refused() {
    for isa in Isa::ALL {
        let expected = format!("{isa} cannot be used: this machine does not have it");
        for engine in [Engine::with_isa(isa), Engine::with_scratch(isa, &mut [])] {
            match engine {
                Ok(engine) => assert!(isa.is_available() && engine.isa() == isa),
                Err(error) => assert!(!isa.is_available() && error.to_string() == expected, "{error}"),
            }
        }
    }
    let foreign = if cfg!(target_arch = "x86_64") { Isa::Neon } else { Isa::Avx512 };
    assert_eq!(
        Engine::with_isa(foreign).expect_err("of another architecture"),
        Error::Isa { wanted: foreign.name(), reason: "this machine does not have it" }
    );
    assert!(Isa::Portable.is_available());
    assert!(Isa::best().is_available());
    assert_eq!(Engine::new().isa(), Isa::best());
}

#[test]
fn instruction_sets_go_by_name() {
    for isa in Isa::ALL {
        assert_eq!(isa.name().parse(), Ok(isa));
        assert_eq!(isa.to_string(), isa.name());
    }
    for name in ["", "AVX2", "sse", "avx512 "] {
        let error = name.parse::<Isa>().expect_err("no such name");
        assert_eq!(
            error.to_string(),
            "the instruction set must be one of portable, simd128, sse2, neon, avx2, avx512"
        );
    }
}

/// The rounding that the kernels are said to have is the one their lanes have.
#[test]
fn rounding_is_as_it_is_said_to_be() {
    fn check<E: Supported>()
    where
        for<'s> Engine<'s>: LinearKernels<E>,
    {
        for isa in isas() {
            let found = with_engine::<E, _>(isa, &Case::plain(Op::Forward, 1, 1, 1), |engine| {
                trine_tests::property::rounding::<E, _>(engine)
            });
            assert_eq!(found, isa.rounding::<E>(), "{} on {isa}", E::NAME);
        }
    }
    check::<f32>();
    check::<f64>();
    // (1 + 2⁻¹²)² − 1 − 2⁻¹¹ is 2⁻²⁴ only if the product is not rounded.
    let x = 1.0 + 2f32.powi(-12);
    assert_eq!(x.fused(x, -1.0 - 2f32.powi(-11)), 2f32.powi(-24));
    exact::<f32>(&Case { values: trine_tests::Values::Wide, ..Case::plain(Op::Matmul, 17, 700, 33) })
        .unwrap();
}

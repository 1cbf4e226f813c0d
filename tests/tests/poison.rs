//! Scratch memory full of signalling NaN before every call, beside unreadable pages: a kernel that reads what
//! it has not written gives a NaN, and one that writes behind its end is stopped.

use trine_core::{Error, Shape};
use trine_kernels::{Engine, Isa, Line, Supported, registry};
use trine_tests::case::ACTIVATIONS;
use trine_tests::memory::Buffer;
use trine_tests::property::{equipped, hold_on, hold_on_random, isas, with_engine};
use trine_tests::{Blocks, Case, Memory, Op, Order, Outcome, Place, Role, agree};

/// Signalling NaN to f32 and to f64 alike.
const POISON: u32 = 0x7fa5_5a5a;

/// `lines` of it at the edge of a page.
fn poisoned(lines: usize, memory: Memory) -> Buffer<Line> {
    let mut buffer = Buffer::new(lines, Line::UNINIT, memory);
    let words = buffer.as_mut_ptr().cast::<u32>();
    for i in 0..lines * size_of::<Line>() / 4 {
        // SAFETY: the buffer's own bytes, aligned to whole lines.
        unsafe { words.add(i).write(POISON) };
    }
    buffer
}

/// Lines that a call asks for.
fn needed<E: Supported>(case: &Case, mut engine: Engine<'_>) -> Result<usize, String> {
    match Outcome::<E>::before(case).call(case, &mut engine) {
        Ok(()) => Ok(0),
        Err(Error::Scratch { expected, .. }) => Ok(expected),
        Err(other) => Err(other.to_string()),
    }
}

/// The engine of a case on this memory.
fn on<'s, E: Supported>(case: &Case, isa: Isa, scratch: &'s mut [Line]) -> Engine<'s> {
    equipped::<E>(Engine::with_scratch(isa, scratch).expect("available"), case)
}

fn reads_only_what_it_wrote<E: Supported>(case: &Case) -> Result<(), String> {
    for isa in isas() {
        let expected = with_engine::<E, _>(isa, case, |engine| case.run::<E, _>(engine));
        let lines = needed::<E>(case, on::<E>(case, isa, &mut []))?;
        for memory in [Memory::GuardBefore, Memory::GuardBehind] {
            let mut scratch = poisoned(lines, memory);
            agree(&case.run::<E, _>(&mut on::<E>(case, isa, &mut scratch)), &expected)
                .map_err(|why| format!("{isa}, {lines} poisoned lines, {memory:?}: {why}"))?;
        }
    }
    Ok(())
}

#[test]
fn no_kernel_reads_scratch_memory_that_it_has_not_written() {
    let statements = [
        ("f32", reads_only_what_it_wrote::<f32> as fn(&Case) -> Result<(), String>),
        ("f64", reads_only_what_it_wrote::<f64>),
    ];
    hold_on_random(150, statements);
    // Long sums, many rows, few rows, a batch of several waves: copies, streams, packing.
    let shapes = [(3, 530, 200), (130, 40, 150), (2, 300, 700), (1100, 20, 33), (97, 700, 65)];
    let cases = shapes.into_iter().flat_map(|(n, d, m)| {
        Op::ALL.into_iter().flat_map(move |op| {
            Blocks::ALL.into_iter().zip(ACTIVATIONS).flat_map(move |(blocks, activation)| {
                [Order::Rows, Order::Columns].map(|order| {
                    let plain = Case::plain(op, n, d, m);
                    let places = plain.places.map(|place| place.ordered(order));
                    Case { places, blocks, activation, ..plain }
                })
            })
        })
    });
    hold_on(cases, statements);
}

/// Every tile with a whole and a partial last vector, each operand at both edges of a page, in the orders and
/// blocks that lead to every way of reading it.
#[test]
fn every_kernel_stays_between_guard_pages_on_both_sides() {
    let mut ran = 0;
    for kernel in registry().filter(|kernel| kernel.isa.is_available()) {
        let statement = match kernel.element {
            "f32" => trine_tests::exact::exact::<f32> as fn(&Case) -> Result<(), String>,
            _ => trine_tests::exact::exact::<f64>,
        };
        for columns in [kernel.nr, kernel.nr - kernel.lanes + 1] {
            for (memory, order) in [Memory::GuardBefore, Memory::GuardBehind]
                .into_iter()
                .flat_map(|memory| [Order::Rows, Order::Columns].map(|order| (memory, order)))
            {
                for blocks in [Blocks::Chosen, Blocks::TinyPacked, Blocks::TinyDirect] {
                    let Shape { n, d, m } = match order {
                        Order::Columns => Shape { n: columns, d: 19, m: kernel.mr },
                        _ => Shape { n: kernel.mr, d: 19, m: columns },
                    };
                    let plain = Case::plain(Op::Matmul, n, d, m);
                    for transposed in [None, Some(Role::X), Some(Role::W)] {
                        let mut case = Case { memory, blocks, ..plain.clone() };
                        case.places = [Place::PLAIN.ordered(order); 7];
                        if let Some(role) = transposed {
                            let place = &mut case.places[role as usize];
                            place.order = if order == Order::Rows { Order::Columns } else { Order::Rows };
                        }
                        statement(&case).unwrap_or_else(|why| panic!("{kernel}: {why}\n{case:?}"));
                        ran += 1;
                    }
                }
            }
        }
    }
    assert!(ran > 1000, "{ran}");
}

//! The ways of a backward pass through a long batch, each with shapes that take it: blocks that are fetched while another
//! is computed, runs between which sums wait.

use trine_core::{Activation, K_BLOCK, Shape, Write};
use trine_kernels::{Engine, Isa, Supported};
use trine_tests::exact::{self, EXACT};
use trine_tests::property::{hold_on, isas};
use trine_tests::{Blocks, Case, Memory, Op, Order, Role, Values};

/// Several blocks of the batch, of which the next is fetched while one is computed: squares, edges, outputs narrow
/// enough to be computed from the other side, with and without what lies apart.
#[test]
fn blocks_of_the_batch_that_are_fetched() {
    let shapes = [(32, 32), (37, 53), (128, 10), (24, 3), (5, 64), (1, 1)];
    let cases = shapes.into_iter().flat_map(|(d, m)| {
        [(Blocks::Tiny, 1), (Blocks::TinyDirect, 1), (Blocks::TinyDirect, 3)].into_iter().flat_map(
            move |(blocks, threads)| {
                let n = 3 * K_BLOCK + d;
                let relu = Case {
                    blocks,
                    threads,
                    activation: Activation::Relu,
                    ..Case::plain(Op::Backward, n, d, m)
                };
                let params = Case { activation: Activation::Identity, op: Op::GradParams, ..relu.clone() };
                let apart = relu.clone().ordered(&[(Role::X, Order::Columns)]);
                [relu, params, apart]
            },
        )
    });
    hold_on(cases, EXACT);
}

/// An engine for which the batch of a case comes from afar and its ∇W is near, with or without fetching the next block:
/// the reference's bits.
fn in_runs<E: Supported>(case: &Case) -> Result<(), String> {
    let Shape { n, d, m } = case.shape;
    for isa in isas() {
        let engine = Engine::with_isa(isa).expect("available").with_threads(case.threads);
        let mut blocking = engine.blocking::<E>();
        blocking.thresholds.copy_b_bytes = (d * m).max(64 * (d + m)) * E::BYTES;
        blocking.thresholds.thread_work = 1;
        if case.seed.is_multiple_of(2) {
            blocking.thresholds.past_bytes = 0;
        }
        let mut engine = engine.with_blocking(blocking);
        let plan = engine.plan::<E>(trine_kernels::Op::GradParams, n, d, m).to_string();
        // Eight rows make two tiles of four, and a single column is the row of the other side.
        if plan.contains("runs of") != (matches!(isa, Isa::Avx2) && d != 8 && m > 1) {
            return Err(plan);
        }
        exact::same_bits::<E, _>(case, &mut engine).map_err(|why| format!("{why}\n{plan}"))?;
    }
    Ok(())
}

/// Rows of a batch of which three threads take a block each in turn, with an activation.
const LONG: usize = 5 * K_BLOCK + 130;

/// Sums over a batch that wait from run to run: partial vectors, few and many tiles, those that copy, around a block and
/// several, seen from the other side, by threads whose parts have few rows.
#[test]
fn batches_in_runs() {
    let shapes = [(5, 1), (5, 7), (6, 16), (8, 33), (16, 130), (43, 24), (41, 100), (61, 113), (128, 10)];
    let cases = shapes.into_iter().flat_map(|(d, m)| {
        // More than twice what is near.
        let least = 2 * (d * m).max(64 * (d + m)) / (d + m) + 2;
        [least, K_BLOCK + 1, 2 * K_BLOCK + 67, LONG]
            .into_iter()
            .filter(move |&n| n != LONG || d * m < 1500 || m == 100)
            .flat_map(move |n| {
                (0..4).map(move |seed| {
                    let op = [Op::Backward, Op::GradParams, Op::Step, Op::GradParams][seed as usize];
                    let params_write = if seed == 1 { Write::ADD.times(-0.5) } else { Write::REPLACE };
                    let case = Case { seed, params_write, threads: 1 + n % 3, ..Case::plain(op, n, d, m) };
                    let activation =
                        if n.is_multiple_of(2) { Activation::Relu } else { Activation::Identity };
                    match op {
                        Op::Backward | Op::Step => Case { activation, ..case },
                        _ if seed == 3 => case.ordered(&[(Role::Dw, Order::Columns)]),
                        _ => Case { memory: Memory::GuardBehind, values: Values::Wide, ..case },
                    }
                })
            })
    });
    hold_on(cases, [("f32", in_runs::<f32>), ("f64", in_runs::<f64>)]);
}

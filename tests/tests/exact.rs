//! Every engine against the reference, bit by bit.

use quickcheck::{Arbitrary, Gen};
use trine_core::{Activation, K_BLOCK, Write};
use trine_tests::case::ACTIVATIONS;
use trine_tests::exact::EXACT;
use trine_tests::property::{hold_on, hold_on_random};
use trine_tests::{Blocks, Case, Memory, Op, Order, Role, Values};

/// Shapes, strides, transposes, blocking, threads, what is written and how, what is in the
/// operands: all at random.
#[test]
fn random_cases() {
    hold_on_random(1000, EXACT);
}

/// Every number of rows with every number of columns up to more than two tiles: each microtile of
/// each kernel and each of its edges.
#[test]
fn every_tile_and_edge() {
    let sides = (0..=18).flat_map(|n| (0..=100).map(move |m| (n, m)));
    hold_on(sides.map(|(n, m)| Case::plain(Op::Forward, n, 3, m)), EXACT);
}

/// The same where C has its columns contiguous, and where it is scattered.
#[test]
fn every_tile_and_edge_of_outputs_in_any_order() {
    let sides = (1..=50).flat_map(|n| (1..=10).map(move |m| (n, m)));
    let cases = sides.flat_map(|(n, m)| {
        let mut transposed = Case::plain(Op::Matmul, n, 2, m);
        transposed.write = Write::ADD.times(0.5);
        transposed.places[Role::Y as usize].order = Order::Columns;
        let mut scattered = transposed.clone();
        scattered.places[Role::Y as usize].step = 2;
        [transposed, scattered]
    });
    hold_on(cases, EXACT);
}

/// Below, at and above one block of the sum and two, for each of the three sums.
#[test]
fn sums_around_the_block() {
    let lengths = [K_BLOCK - 1, K_BLOCK, K_BLOCK + 1, 2 * K_BLOCK - 1, 2 * K_BLOCK, 2 * K_BLOCK + 1];
    let cases = lengths.into_iter().flat_map(|k| {
        [(9, k, 17), (k, 9, 17), (9, 17, k)].into_iter().flat_map(|(n, d, m)| {
            Op::ALL.into_iter().flat_map(move |op| {
                [Write::REPLACE, Write::ADD.times(-0.01)].map(|write| Case {
                    write,
                    params_write: write,
                    activation: Activation::Tanh,
                    values: Values::Wide,
                    ..Case::plain(op, n, d, m)
                })
            })
        })
    });
    hold_on(cases, EXACT);
}

/// One row, one column, one product; tall, wide and deep.
#[test]
fn thin_shapes() {
    let shapes = [
        (1, 1, 1),
        (1, 10, 1),
        (1, 1, 10),
        (1, 700, 300),
        (1, 300, 700),
        (700, 300, 1),
        (2, 1, 2000),
        (2000, 1, 2),
        (2000, 3, 1),
        (1, 2000, 1),
        (4000, 7, 5),
        (5, 7, 4000),
    ];
    let cases = shapes.into_iter().flat_map(|(n, d, m)| {
        Op::ALL.into_iter().flat_map(move |op| {
            [Order::Rows, Order::Columns].map(|order| {
                let mut case = Case::plain(op, n, d, m);
                case.places[Role::W as usize].order = order;
                case
            })
        })
    });
    hold_on(cases, EXACT);
}

/// Large enough that the engine packs on its own account and uses all threads it is given.
#[test]
fn large_enough_for_blocks_and_threads() {
    let shapes = [(130, 200, 150), (400, 90, 97), (97, 530, 80), (1100, 60, 65)];
    let cases = shapes.into_iter().flat_map(|(n, d, m)| {
        [Op::Forward, Op::GradInput, Op::GradParams, Op::Backward, Op::Step].into_iter().flat_map(move |op| {
            (1..=3).map(move |threads| Case {
                threads,
                activation: Activation::Relu,
                ..Case::plain(op, n, d, m)
            })
        })
    });
    hold_on(cases, EXACT);
}

/// Activations where they are nearly 0, nearly 1, overflow, or meet what is no number.
#[test]
fn activations_of_every_magnitude() {
    let cases = ACTIVATIONS.into_iter().flat_map(|activation| {
        [Op::Forward, Op::Backward].into_iter().flat_map(move |op| {
            [Values::Wide, Values::Extreme, Values::Dense].map(|values| Case {
                activation,
                values,
                // One term in each sum of the forward pass: Z is what the values are.
                ..Case::plain(op, 97, 1, 33)
            })
        })
    });
    hold_on(cases, EXACT);
}

/// Every operand begins right after a page that cannot be read, or ends right before one.
#[test]
fn nothing_is_read_or_written_beyond_the_operands() {
    let sides = [1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 47, 48, 49, 65];
    let memories = [Memory::GuardBefore, Memory::GuardBehind];
    let mut pick = Gen::new(10);
    let shapes = sides.iter().flat_map(|&n| sides.iter().map(move |&m| (n, m)));
    let cases: Vec<Case> = shapes
        .flat_map(|(n, m)| Op::ALL.into_iter().flat_map(move |op| memories.map(|memory| (n, m, op, memory))))
        .map(|(n, m, op, memory)| {
            let d = *pick.choose(&sides).expect("sides");
            let mut case = Case { op, memory, activation: Activation::Silu, ..Case::plain(op, n, d, m) };
            case.blocks = *pick.choose(&Blocks::ALL).expect("blocks");
            for place in &mut case.places {
                let orders = [Order::Rows, Order::Columns];
                place.order = *pick.choose(&orders).expect("orders");
                place.step = if u8::arbitrary(&mut pick) % 8 == 0 { 2 } else { 1 };
            }
            case
        })
        .collect();
    hold_on(cases, EXACT);
}

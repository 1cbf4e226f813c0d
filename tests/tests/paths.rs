//! The ways through the kernels that random cases are too small for or seldom meet, each with shapes
//! that take it: few rows by a B that is read in its own order, operands copied by the first tiles that read them,
//! many rows in one call, transposes in registers.

use trine_core::{Activation, K_BLOCK, LinearKernels, MatMut, MatRef, Write};
use trine_kernels::Engine;
use trine_tests::exact::EXACT;
use trine_tests::property::{hold_on, isas};
use trine_tests::{Blocks, Case, Memory, Op, Order, Role, Values};

/// The product added to, and the layer with an activation inside and one outside of the kernel.
fn calls(n: usize, d: usize, m: usize) -> [Case; 3] {
    let relu =
        Case { activation: Activation::Relu, first_output: false, ..Case::plain(Op::Forward, n, d, m) };
    [
        Case { write: Write::ADD.times(-0.5), values: Values::Wide, ..Case::plain(Op::Matmul, n, d, m) },
        relu.clone(),
        Case { activation: Activation::Silu, first_output: true, ..relu },
    ]
}

/// Small enough to go without a plan, of several tiles of rows and strips of columns of all widths.
#[test]
fn a_small_product_is_added_to_what_every_tile_holds() {
    let cases = [(1, 3, 130), (9, 3, 97), (20, 5, 70), (17, 1, 33)].into_iter().flat_map(|(n, d, m)| {
        let columns = [Role::X, Role::W, Role::Y].map(|role| (role, Order::Columns));
        let sum = Case { write: Write::ADD, ..Case::plain(Op::Matmul, n, d, m) };
        [0, 1, 2, 3].map(|some| sum.clone().ordered(&columns[..some]))
    });
    hold_on(cases, EXACT);
}

/// One row of C and two, which read B in its own order, four, which have tiles of their own, and five; sums of a few
/// and of many products, with every rest of four, around one block and two. Wide enough not to be small.
fn few_rows() -> impl Iterator<Item = (usize, usize, usize)> {
    let sums = [9, 64, K_BLOCK - 1, K_BLOCK + 1, 2 * K_BLOCK + 2];
    [1, 2, 4, 5].into_iter().flat_map(move |rows| {
        sums.map(|k| {
            let wide = (1 << 17) / (k * rows) + 1;
            (rows, k, wide.max(97 + k % 5))
        })
    })
}

#[test]
fn few_rows_times_rows() {
    let cases = few_rows().flat_map(|(rows, k, cols)| {
        let columns = [Role::X, Role::W, Role::Y].map(|role| (role, Order::Columns));
        let [sum, relu, silu] = calls(rows, k, cols);
        let by_columns = sum.clone().ordered(&columns[..1]);
        let mut scattered = silu.clone();
        scattered.places[Role::Y as usize].step = 2;
        // Seen from the other side: the columns are the rows.
        let [turned_sum, turned_relu, _] = calls(cols, k, rows).map(|case| case.ordered(&columns));
        let all = [sum, turned_relu, by_columns, relu, scattered, turned_sum];
        all.into_iter().take(if rows > 2 { 3 } else { 6 })
    });
    hold_on(cases, EXACT);
}

/// The sums have room for some thousand columns; those behind come after them.
#[test]
fn few_rows_of_more_columns_than_there_is_room_for() {
    let widths =
        [(1, 1024), (1, 2048), (1, 2049), (1, 4096), (1, 4097), (2, 1024), (2, 1025), (2, 2048), (2, 2049)];
    let shapes = widths.map(|(rows, cols)| (rows, 33, cols)).into_iter();
    // Several blocks of the sum for several runs of columns.
    let cases = shapes.chain([(1, K_BLOCK + 3, 4097), (2, K_BLOCK + 6, 2049)]).flat_map(|(rows, k, cols)| {
        let [sum, relu, silu] = calls(rows, k, cols);
        [sum, relu, silu].map(|case| Case { memory: Memory::GuardBehind, ..case })
    });
    hold_on(cases, EXACT);
}

/// Up to a dozen rows times a W whose columns are contiguous, which is turned in registers or into L1, and one row more:
/// sums shorter than a vector, of whole vectors and a rest, of several chunks and blocks; a few columns, and groups of
/// them.
#[test]
fn few_rows_times_columns() {
    let sums = [1, 5, 16, 37, K_BLOCK, 2 * K_BLOCK + 33];
    let cases = (1..=13).flat_map(|rows| sums.map(|k| (rows, k))).flat_map(|(rows, k)| {
        [7, 16, 61].into_iter().flat_map(move |cols| {
            let [sum, relu, silu] = calls(rows, k, cols);
            let some = if rows % 2 == 0 { relu } else { silu };
            let blocks = if rows % 3 == 0 { Blocks::TinyDirect } else { Blocks::Chosen };
            [sum, some].map(|case| {
                Case { blocks, memory: Memory::GuardBehind, ..case }.ordered(&[(Role::W, Order::Columns)])
            })
        })
    });
    hold_on(cases, EXACT);
}

/// The same where the columns are half a page apart, and begin within a cache line.
#[test]
fn few_rows_times_columns_that_compete_for_places() {
    let cases = [1, 2, 5, 12].into_iter().flat_map(|rows| {
        [1, 3, 4, 13, 16].map(|missing| {
            let case = Case::plain(Op::Matmul, rows, K_BLOCK - missing, 50);
            let mut case = case.ordered(&[(Role::W, Order::Columns)]);
            case.places[Role::W as usize].pad = missing;
            Case { memory: Memory::GuardBehind, ..case }
        })
    });
    hold_on(cases, EXACT);
}

/// Outputs narrower than a vector, and of a whole one, their rows neighbours or apart: the rest of the rows is computed a
/// second time, sums go on in another block, and of many rows not all have room at a time.
#[test]
fn narrow_outputs() {
    let around = [(13, 80), (15, 70), (16, 70), (40, 60), (61, 40), (100, 50), (300, 40)];
    let blocks = [(23, K_BLOCK + 9), (29, K_BLOCK + 9), (64, 2 * K_BLOCK)];
    let rows_and_sums = around.into_iter().chain(blocks);
    let cols = (1..=13).chain([16, 17]);
    let cases = cols.flat_map(|cols| rows_and_sums.clone().map(move |(rows, k)| (rows, k, cols)));
    let cases = cases.flat_map(|(rows, k, cols)| {
        let params =
            Case { params_write: Write::ADD.times(0.5), ..Case::plain(Op::GradParams, k, rows, cols) };
        let [sum, relu, silu] = calls(rows, k, cols);
        let all = [sum, relu, silu, Case { params_write: Write::REPLACE, ..params.clone() }, params];
        all.map(|mut case| {
            // From what seems to be memory, too.
            case.blocks = if cols % 3 == 0 { Blocks::TinyDirect } else { Blocks::Chosen };
            for role in [Role::Y, Role::Dw] {
                case.places[role as usize].pad = cols % 2 * 3;
            }
            Case { memory: Memory::GuardBehind, ..case }
        })
    });
    hold_on(cases, EXACT);
}

/// A wave of the batch that is a single row, where the first has 512.
#[test]
fn a_last_row_of_the_batch_streams() {
    let case = Case { bias: false, second_output: false, ..Case::plain(Op::Backward, K_BLOCK + 1, 130, 513) };
    hold_on([case.ordered(&[(Role::W, Order::Columns)])], EXACT);
}

/// An A by rows that is fetched ahead: sums shorter than a cache line of it, of whole lines and a rest.
#[test]
fn rows_that_are_fetched() {
    let cases = [3, 15, 16, 17, 65, K_BLOCK + 9]
        .into_iter()
        .flat_map(|k| [(9, 40), (23, 100)].map(|(m, n)| (m, k, n)));
    let cases = cases.flat_map(|(rows, k, cols)| {
        calls(rows, k, cols).map(|mut case| {
            case.places[Role::X as usize].pad = k % 2 * 5;
            Case { blocks: Blocks::Tiny, memory: Memory::GuardBehind, ..case }
        })
    });
    hold_on(cases, EXACT);
}

/// Large outputs in aligned rows are written past the caches (`Tiny`: however large they are), whole vectors of them,
/// also by threads that have a part each; others are not.
#[test]
fn outputs_that_go_past_the_caches() {
    let cases = [(40, 9, 64), (70, 64, 96), (33, 65, 32), (600, 3, 16)].into_iter().flat_map(|(n, d, m)| {
        let [sum, relu, silu] = calls(n, d, m);
        let written = Case::plain(Op::Matmul, n, d, m);
        let gradient = Case::plain(Op::GradInput, n, m, d);
        let backward = Case { activation: Activation::Relu, ..Case::plain(Op::Backward, n, m, d) };
        // Rows that are aligned and end within a vector.
        let mut padded = Case::plain(Op::Forward, n, d, m - 5);
        padded.places[Role::Y as usize].pad = 5;
        [sum, relu, silu, gradient, backward, padded, written].into_iter().flat_map(|case| {
            let case = Case { memory: Memory::GuardBefore, ..case };
            [(Blocks::Chosen, 1), (Blocks::Tiny, 1), (Blocks::TinyDirect, 1), (Blocks::Tiny, 3)]
                .map(|(blocks, threads)| Case { blocks, threads, ..case.clone() })
        })
    });
    hold_on(cases, EXACT);
}

/// Every tile that copies, for A by rows and packed columns: whole vectors, and partial ones behind them.
#[test]
fn every_tile_that_copies() {
    let columns = [4, 8, 12, 16, 24, 32, 48, 49, 64, 80, 97, 112];
    let cases = (1..=17).flat_map(|n| columns.map(|m| (n, m))).flat_map(|(n, m)| {
        [Blocks::Packed, Blocks::TinyPacked].into_iter().flat_map(move |blocks| {
            [Order::Rows, Order::Columns].map(|order| {
                let case = Case { blocks, memory: Memory::GuardBehind, ..Case::plain(Op::Forward, n, 7, m) };
                case.ordered(&[(Role::X, order)])
            })
        })
    });
    hold_on(cases, EXACT);
}

/// Blocks of the sum, blocks of rows, panels of columns: what is copied in one is gone in the next.
#[test]
fn copies_are_of_the_block_at_hand() {
    let places = [
        (Order::Rows, 1, 1),
        (Order::Columns, 1, 1),
        // A is packed one by one, B copied.
        (Order::Rows, 2, 1),
        // C goes through scratch memory as well.
        (Order::Rows, 1, 2),
        (Order::Columns, 1, 2),
    ];
    let shapes = [(19, K_BLOCK + 1, 130), (50, 40, 97)];
    let blocks = [Blocks::Packed, Blocks::TinyPacked];
    let ways = shapes.into_iter().flat_map(|shape| blocks.map(|blocks| (shape, blocks)));
    let cases = ways.flat_map(|((n, d, m), blocks)| {
        places.into_iter().flat_map(move |(x_order, x_step, y_step)| {
            calls(n, d, m).map(|case| {
                let mut case = Case { blocks, ..case }.ordered(&[(Role::X, x_order)]);
                case.places[Role::X as usize].step = x_step;
                case.places[Role::Y as usize].step = y_step;
                case
            })
        })
    });
    hold_on(cases, EXACT);
}

/// So large that the engine copies B, and so wide that it packs A by columns, on its own account.
#[test]
fn copies_that_pay() {
    let b = Case::plain(Op::Matmul, 385, K_BLOCK + 1, 260);
    let a = Case { bias: false, ..Case::plain(Op::GradParams, K_BLOCK + 1, 40, 300) };
    hold_on([b, a], EXACT);
}

/// Rows of W and of ∇Y half a page apart and more: copied from a few tiles on, read from end to end by one row; and with
/// fewer columns than the rows have room for.
#[test]
fn rows_that_compete_for_places() {
    let shapes = [(50, 70, 512), (48, K_BLOCK + 1, 256), (1, 300, 512), (2, 37, 1024), (49, 130, 1024)];
    let cases = shapes.into_iter().flat_map(|(n, d, m)| {
        let [sum, relu, silu] = calls(n, d, m);
        let params = Case { bias: true, ..Case::plain(Op::GradParams, d, n, m) };
        let mut padded = Case { memory: Memory::GuardBehind, ..Case::plain(Op::Matmul, n, d, m - 3) };
        padded.places[Role::W as usize].pad = 3;
        [sum, relu, silu, params, padded]
    });
    hold_on(cases, EXACT);
}

/// Several rows times rows of W a page apart, and of any W where nothing is copied: as many as share L1, and one more;
/// with every rest of four values of k and of the columns that stay in registers, in several runs of columns.
#[test]
fn several_rows_times_rows_that_compete_for_places() {
    let sums = [5, 38, 130, K_BLOCK + 7];
    let cases =
        [3, 4, 7, 12, 16, 17].into_iter().flat_map(|rows| sums.map(|k| (rows, k))).flat_map(|(rows, k)| {
            let far = [1024, 1024 - 3, 1024 - 9, 512].map(|cols| (cols, 1024 - cols, Blocks::Chosen));
            let any =
                [(64, 0, Blocks::TinyDirect), (75, 1, Blocks::TinyDirect), (401, 0, Blocks::TinyDirect)];
            far.into_iter().chain(any).map(move |(cols, pad, blocks)| {
                let [sum, relu, silu] = calls(rows, k, cols);
                let some = match (rows + cols) % 3 {
                    0 => sum.ordered(&[(Role::X, Order::Columns)]),
                    1 => relu,
                    _ => silu,
                };
                let mut case = Case { blocks, memory: Memory::GuardBehind, ..some };
                case.places[Role::W as usize].pad = pad;
                case
            })
        });
    hold_on(cases, EXACT);
}

/// Several rows times a W that counts as larger than the caches, in slabs: every number of rows, slabs and blocks of the
/// sum that end early, a part of a vector, more columns than a slab has; on one thread and on two.
#[test]
fn several_rows_times_a_w_from_memory() {
    let sizes = [(1, 50), (5, 401), (64, 17), (67, 100), (130, 96), (K_BLOCK + 7, 75), (12, 4096 + 23)];
    let cases =
        (2..=9).flat_map(|rows| sizes.map(|(k, cols)| (rows, k, cols))).flat_map(|(rows, k, cols)| {
            let [sum, relu, silu] = calls(rows, k, cols);
            let mut columns = sum.clone().ordered(&[(Role::X, Order::Columns)]);
            columns.places[Role::W as usize].pad = 5;
            let threads = Case { threads: 2, ..sum.clone() };
            [sum, relu, silu, columns, threads].map(|case| Case {
                blocks: Blocks::Tiny,
                memory: Memory::GuardBehind,
                ..case
            })
        });
    hold_on(cases, EXACT);
}

/// Larger than small, and no operand worth a copy: no plan either. Around the end of a block of the sum and of what
/// there is room for of a B by columns.
#[test]
fn larger_products_without_a_plan() {
    let shapes = [(130, 64, 200), (70, K_BLOCK, 50), (70, K_BLOCK + 1, 50), (300, 20, 97), (9, 100, 600)];
    let cases = shapes.into_iter().flat_map(|(n, d, m)| {
        let [sum, relu, silu] = calls(n, d, m);
        let params = Case { bias: true, ..Case::plain(Op::GradParams, d, n, m) };
        let turned = sum.clone().ordered(&[(Role::W, Order::Columns)]);
        let backward = Case { activation: Activation::Relu, ..Case::plain(Op::Backward, n, d, m) };
        [sum, relu, silu, params, turned, backward]
    });
    hold_on(cases, EXACT);
}

/// Each thread copies its part in scratch memory of its own, or reads it from end to end.
#[test]
fn threads_copy_and_stream_for_themselves() {
    let cases = [
        (Op::Forward, 260, 90, 97, Blocks::TinyPacked, Order::Columns),
        (Op::Backward, 97, 90, 260, Blocks::Packed, Order::Rows),
        (Op::Forward, 2, 310, 3400, Blocks::Chosen, Order::Rows),
    ];
    let cases = cases.map(|(op, n, d, m, blocks, order)| {
        Case { blocks, threads: 2, ..Case::plain(op, n, d, m) }.ordered(&[(Role::X, order)])
    });
    hold_on(cases, EXACT);
}

/// Little to do for each row: one call of a kernel for several microtiles of them, with a plan and without, with every
/// kind of initial value, every order of A, B in its place and packed.
#[test]
fn many_rows_with_little_to_do_for_each() {
    let cases = [(700, 7, 33), (331, 64, 20), (53, 63, 90), (60, K_BLOCK + 1, 9)].into_iter().flat_map(
        |(n, d, m)| {
            [Order::Rows, Order::Columns].into_iter().flat_map(move |x| {
                [Order::Rows, Order::Columns].into_iter().flat_map(move |w| {
                    [Order::Rows, Order::Columns].into_iter().flat_map(move |y| {
                        [(1, Blocks::Planned), (1, Blocks::Chosen), (2, Blocks::Chosen)].into_iter().flat_map(
                            move |(step, blocks)| {
                                calls(n, d, m).map(|case| {
                                    let case = Case { blocks, ..case };
                                    let mut case = case.ordered(&[(Role::X, x), (Role::W, w), (Role::Y, y)]);
                                    case.places[Role::X as usize].step = step;
                                    case
                                })
                            },
                        )
                    })
                })
            })
        },
    );
    hold_on(cases, EXACT);
}

/// Wᵀ is transposed in registers: whole squares, pieces of 16 bytes, what is left of k, few columns.
#[test]
fn every_length_of_a_transpose() {
    let cases = (1..=37).flat_map(|k| [1, 3, 8, 15, 16, 17, 33, 48, 50].map(|cols| (k, cols))).flat_map(
        |(k, cols)| {
            let ways = [(Memory::GuardBefore, Blocks::Planned), (Memory::GuardBehind, Blocks::Packed)];
            ways.map(|(memory, blocks)| {
                let case = Case { memory, blocks, ..Case::plain(Op::Matmul, 3, k, cols) };
                case.ordered(&[(Role::W, Order::Columns)])
            })
        },
    );
    hold_on(cases, EXACT);
}

/// A single row or column, or a matrix without elements, may have strides that lead nowhere.
#[test]
fn strides_that_no_element_uses_may_be_anything() {
    const FAR: usize = usize::MAX / 2;
    for isa in isas() {
        let mut engine = Engine::with_isa(isa).expect("available");
        for k in [3, 700] {
            let (x, w) = (vec![1.0f32; 9 * k], vec![1.0f32; k]);
            let mut y = [f32::NAN; 18];
            let column = MatRef::with_strides(&w, k, 1, 1, FAR).expect("one column");
            let x = MatRef::row_major(&x, 9, k).expect("x");
            let out = MatMut::with_strides(&mut y, 9, 1, 2, FAR).expect("one column");
            engine.matmul(out, x, column, Write::REPLACE).expect("fits");
            assert!(y.iter().step_by(2).all(|&y| y == k as f32), "{isa}: {y:?}");

            let mut y = [f32::NAN; 9];
            let row = MatRef::with_strides(&w, 1, k, FAR, 1).expect("one row");
            let out = MatMut::with_strides(&mut y, 1, 9, FAR, 1).expect("one row");
            engine.matmul(out, row, x.t(), Write::REPLACE).expect("fits");
            assert!(y.iter().all(|&y| y == k as f32), "{isa}: {y:?}");
        }
        // One row longer than L1, which few products make.
        const LONG: usize = 20_000;
        for k in 1..=4 {
            let (x, w) = (vec![1.0f32; k], vec![1.0f32; k * LONG]);
            let mut y = vec![f32::NAN; LONG];
            let row = MatRef::with_strides(&x, 1, k, FAR, 1).expect("one row");
            let out = MatMut::with_strides(&mut y, 1, LONG, FAR, 1).expect("one row");
            let w = MatRef::row_major(&w, k, LONG).expect("w");
            engine.matmul(out, row, w, Write::REPLACE).expect("fits");
            assert!(y.iter().all(|&y| y == k as f32), "{isa}");
        }
        // A single column of W that is large, of outputs with rows and columns apart.
        let (x, w) = (vec![1.0f32; 5 * 20_000], vec![1.0f32; 20_000]);
        let mut y = vec![f32::NAN; 9];
        let x = MatRef::row_major(&x, 5, 20_000).expect("x");
        let column = MatRef::with_strides(&w, 20_000, 1, 1, FAR).expect("one column");
        let out = MatMut::with_strides(&mut y, 5, 1, 2, 1).expect("apart");
        engine.matmul(out, x, column, Write::REPLACE).expect("fits");
        assert!(y.iter().step_by(2).all(|&y| y == 20_000.0), "{isa}");
        // ∇b of a batch of more than one block, and of no columns at all.
        let empty = MatRef::with_strides(&[] as &[f32], K_BLOCK + 9, 0, FAR, FAR).expect("empty");
        let x = vec![1.0f32; K_BLOCK + 9];
        let x = MatRef::row_major(&x, K_BLOCK + 9, 1).expect("x");
        let dw = MatMut::with_strides(&mut [], 1, 0, FAR, FAR).expect("empty");
        engine.grad_params(dw, Some(&mut []), x, empty, Write::REPLACE).expect("nothing to do");
    }
}

/// Sums of one product to four, and of five, which have another way: outputs with and without a partial
/// vector, in rows that are aligned (at the beginning of a page) and rows that are not, past the caches (`Tiny`)
/// and not.
#[test]
fn sums_of_few_products_row_after_row() {
    let cases = (1..=5).flat_map(|k| {
        let shapes = [(70, 128), (40, 32), (33, 48), (33, 300), (260, 65)];
        shapes.into_iter().flat_map(move |(d, m)| {
            [Blocks::Chosen, Blocks::Tiny].into_iter().flat_map(move |blocks| {
                let [sum, relu, _] = calls(d, k, m);
                let plain = Case { blocks, ..Case::plain(Op::Matmul, d, k, m) };
                let gradient = Case { blocks, bias: true, ..Case::plain(Op::GradParams, k, d, m) };
                let step =
                    Case { blocks, params_write: Write::ADD.times(-0.5), ..Case::plain(Op::Step, k, d, m) };
                let columns = gradient.clone().ordered(&[(Role::Dw, Order::Columns)]);
                let aligned =
                    [&plain, &gradient].map(|case| Case { memory: Memory::GuardBefore, ..case.clone() });
                let others =
                    [Case { blocks, ..sum }, Case { blocks, ..relu }, plain, gradient, step, columns];
                // Rows that are aligned and end within a vector.
                let padded = [Op::Matmul, Op::GradParams].map(|op| {
                    let shape = if op == Op::Matmul { (d, k, 45) } else { (k, d, 45) };
                    let mut case = Case { blocks, ..Case::plain(op, shape.0, shape.1, shape.2) };
                    for role in [Role::Y, Role::Dw] {
                        case.places[role as usize].pad = 3;
                    }
                    Case { memory: Memory::GuardBefore, ..case }
                });
                others.into_iter().chain(aligned).chain(padded)
            })
        })
    });
    hold_on(cases, EXACT);
}

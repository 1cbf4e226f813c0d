//! What must have no say in a result: the rest of the batch, where operands lie, how a batch is
//! taken apart.

use trine_core::{Element, K_BLOCK, LinearKernels, Shape, Write};
use trine_tests::values::mix;
use trine_tests::{Case, Memory, Op, Order, Outcome, Place, Property, Role, hold, hold_in};

fn without(case: &Case, repeated: &[Order]) -> Case {
    let place =
        |place: Place| if repeated.contains(&place.order) { place.ordered(Order::Rows) } else { place };
    Case { places: case.places.map(place), ..case.clone() }
}

/// Row i alone has the bits of row i in the batch.
struct BatchInvariance;

impl Property for BatchInvariance {
    fn check<E: Element, K: LinearKernels<E>>(case: &Case, kernels: &mut K) -> Result<(), String> {
        let case = without(case, &[Order::OneRow]);
        let n = case.shape.n;
        let outputs = || Role::ALL.into_iter().filter(|role| role.of_batch() && case.writes(*role));
        let whole = case.run::<E, K>(kernels);
        let mut parts: Vec<_> = match n {
            0..=4 => (0..n).map(|i| i..i + 1).collect(),
            _ => [0, n / 2, mix(case.seed) as usize % n, n - 1].map(|i| i..i + 1).into(),
        };
        parts.push(n / 3..n - n / 4);
        for rows in parts {
            let part = case.rows(rows.clone()).run::<E, K>(kernels);
            trine_tests::run::agree_rows(&part, &whole, outputs(), rows.start).map_err(|why| {
                format!("rows {rows:?} alone differ from the same rows of the batch: {why}")
            })?;
        }
        Ok(())
    }
}

#[test]
fn a_row_does_not_depend_on_its_batch() {
    hold::<BatchInvariance>(120);
}

/// Strides, transposes, offsets and neighbouring memory change nothing.
struct LayoutInvariance;

impl Property for LayoutInvariance {
    fn check<E: Element, K: LinearKernels<E>>(case: &Case, kernels: &mut K) -> Result<(), String> {
        let case = without(case, &[Order::OneRow, Order::OneColumn]);
        let plain = Case { places: [Place::PLAIN; 7], memory: Memory::Plain, ..case.clone() };
        let (found, expected) = (case.run::<E, K>(kernels), plain.run::<E, K>(kernels));
        trine_tests::agree(&found, &expected).map_err(|why| format!("differs from the plain layout: {why}"))
    }
}

#[test]
fn a_result_does_not_depend_on_where_operands_lie() {
    hold::<LayoutInvariance>(200);
}

/// ∇W and ∇b of a batch that is taken apart at multiples of K_BLOCK rows and accumulated are those
/// of the whole batch.
struct Accumulation;

impl Property for Accumulation {
    fn check<E: Element, K: LinearKernels<E>>(case: &Case, kernels: &mut K) -> Result<(), String> {
        let whole = case.run::<E, K>(kernels);
        let n = case.shape.n;
        let mut sum = Outcome::<E>::before(&Case { params_write: Write::ADD, ..case.clone() });
        for first in (0..n).step_by(K_BLOCK) {
            let write = Write { add: case.params_write.add || first > 0, ..case.params_write };
            let part = Case { params_write: write, ..case.rows(first..n.min(first + K_BLOCK)) };
            let mut next = Outcome::before(&part);
            for role in [Role::Dw, Role::Bias].into_iter().filter(|_| first > 0) {
                next.copy(role, &sum);
            }
            next.call(&part, kernels).map_err(|error| error.to_string())?;
            sum = next;
        }
        trine_tests::run::agree_rows(&sum, &whole, [Role::Dw, Role::Bias], 0)
    }
}

#[test]
fn gradients_accumulate_over_blocks_of_the_batch_exactly() {
    let shapes = [(K_BLOCK + 1, 3, 5), (2 * K_BLOCK, 17, 9), (2 * K_BLOCK + 7, 33, 12), (K_BLOCK - 1, 4, 4)];
    let writes = [Write::REPLACE, Write::ADD, Write::ADD.times(-0.125)];
    hold_in::<Accumulation>(shapes.into_iter().flat_map(|(n, d, m)| {
        [Op::GradParams, Op::Backward]
            .into_iter()
            .flat_map(move |op| writes.map(|params_write| Case { params_write, ..Case::plain(op, n, d, m) }))
    }));
}

/// Whoever stores W as (out, in) passes its transpose and gets the same bits.
#[test]
fn a_transposed_weight_is_the_same_weight() {
    let sides = [1, 2, 7, 8, 9, 16, 31, 33, 48, 64, 65];
    let cases = sides.iter().flat_map(|&d| {
        sides.iter().flat_map(move |&m| {
            Op::ALL.map(|op| {
                let mut case = Case::plain(op, 5, d, m);
                case.places[Role::W as usize].order = Order::Columns;
                case.places[Role::Dw as usize].order = Order::Columns;
                case
            })
        })
    });
    hold_in::<LayoutInvariance>(cases);
}

/// Two matrices may lie between each other, both strides larger than one and neither a multiple of
/// the other.
#[test]
fn interleaved_strides_are_not_confused() {
    use trine_core::{Layout, MatMut, MatRef};
    struct Interleaved;
    impl Property for Interleaved {
        fn check<E: Element, K: LinearKernels<E>>(case: &Case, kernels: &mut K) -> Result<(), String> {
            let Shape { n, d, m } = case.shape;
            // i·3 + j·7 takes no value twice for fewer than 7 rows.
            let layout = Layout { rows: n, cols: m, row_stride: 3, col_stride: 7 };
            let before = Outcome::<E>::before(case);
            let (x, w) = (before.get(Role::X).view(), before.get(Role::W).view());
            let mut y = vec![E::NAN; layout.span().expect("small")];
            let view = MatMut::with_strides(&mut y, n, m, 3, 7).expect("no two in one place");
            kernels.matmul(view, x, w, Write::REPLACE).map_err(|error| error.to_string())?;
            let view = MatRef::with_strides(&y, n, m, 3, 7).expect("no two in one place");
            let mut plain = vec![E::NAN; n * m];
            let rows = MatMut::row_major(&mut plain, n, m).expect("n×m");
            kernels.matmul(rows, x, w, Write::REPLACE).map_err(|error| error.to_string())?;
            for (i, j) in (0..n).flat_map(|i| (0..m).map(move |j| (i, j))) {
                let (a, b) = (view.at(i, j), plain[i * m + j]);
                if a.bits() != b.bits() {
                    return Err(format!("[{i}, {j}] is {a:?}, expected {b:?} (sum of {d})"));
                }
            }
            Ok(())
        }
    }
    hold_in::<Interleaved>(
        [(6, 9, 11), (6, 40, 50), (5, 513, 17)].map(|(n, d, m)| Case::plain(Op::Matmul, n, d, m)),
    );
}

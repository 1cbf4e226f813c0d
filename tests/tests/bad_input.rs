//! What is refused, in which words, and that nothing has been written then.

use trine_core::{
    Activation, Backward, Element, Error, Fused, Gradients, LinearKernels, MatMut, MatRef, Reference,
    Unfused, Write,
};
use trine_kernels::Engine;
use trine_tests::property::isas;
use trine_tests::{Case, Op, Outcome, Property, Role, hold_in};

fn message<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => "accepted".into(),
        Err(error) => error.to_string(),
    }
}

/// Both kinds of view give the same answer to the same question.
fn both(data: &mut [f32], rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> String {
    let read = message(MatRef::with_strides(data, rows, cols, row_stride, col_stride));
    let write = message(MatMut::with_strides(data, rows, cols, row_stride, col_stride));
    assert_eq!(read, write);
    read
}

#[test]
fn a_slice_that_is_too_short_is_refused() {
    let data = &mut [0f32; 12];
    assert_eq!(message(MatRef::row_major(data, 3, 5)), "matrix needs 15 values, but has 12");
    assert_eq!(message(MatMut::row_major(data, 13, 1)), "matrix needs 13 values, but has 12");
    assert_eq!(message(MatMut::<f32>::row_major(&mut [], 1, 1)), "matrix needs 1 value, but has 0");
    // (2 − 1)·8 + (3 − 1)·2 + 1: what comes after the last element is not needed.
    assert_eq!(both(data, 2, 3, 8, 2), "matrix needs 13 values, but has 12");
    assert_eq!(both(data, 2, 3, 7, 2), "accepted");
    assert_eq!(both(data, 3, 4, 1, 3), "accepted");
    assert_eq!(both(data, 3, 5, 1, 3), "matrix needs 15 values, but has 12");
}

#[test]
fn a_size_that_overflows_is_refused() {
    const LARGE: usize = usize::MAX;
    let data = &mut [0f32; 4];
    let expected = "matrix: shape and strides reach beyond the address space";
    assert_eq!(message(MatRef::row_major(data, LARGE, 2)), expected);
    assert_eq!(both(data, LARGE, LARGE, 1, 1), expected);
    assert_eq!(both(data, 2, 2, LARGE, 1), expected);
    assert_eq!(both(data, 3, 2, LARGE / 2 + 1, 1), expected);
    assert_eq!(both(data, 2, 2, LARGE - 1, 1), expected);
    assert_eq!(both(data, 2, 1, LARGE - 1, 1), format!("matrix needs {LARGE} values, but has 4"));
    // Nothing is reached where a side is 0.
    assert_eq!(both(data, 0, LARGE, LARGE, LARGE), "accepted");
    assert_eq!(both(data, LARGE, 0, LARGE, LARGE), "accepted");
    // A stride that is never used may be anything.
    assert_eq!(both(data, 1, 4, LARGE, 1), "accepted");
}

#[test]
fn an_output_with_two_elements_in_one_place_is_refused() {
    let data = &mut [0f32; 64];
    let mut refused = |rows, cols, row_stride, col_stride| {
        message(MatMut::with_strides(data, rows, cols, row_stride, col_stride))
    };
    let expected = |rows, cols, row_stride, col_stride| {
        format!(
            "output of {rows}×{cols} with row stride {row_stride} and column stride {col_stride} would have two \
             elements in one place"
        )
    };
    for (rows, cols, rs, cs) in
        [(2, 3, 0, 1), (2, 3, 1, 0), (2, 2, 1, 1), (3, 4, 3, 1), (4, 3, 2, 3), (2, 1, 0, 1)]
    {
        assert_eq!(refused(rows, cols, rs, cs), expected(rows, cols, rs, cs));
    }
    // 2i = 3j first at i = 3, j = 2.
    for (rows, cols, rs, cs) in
        [(3, 20, 2, 3), (20, 2, 2, 3), (1, 5, 0, 1), (5, 1, 1, 0), (1, 1, 0, 0), (0, 5, 0, 0)]
    {
        assert_eq!(refused(rows, cols, rs, cs), "accepted");
    }
    // To be read, any of these is fine.
    assert_eq!(message(MatRef::with_strides(data, 100, 8, 0, 1)), "accepted");
}

/// The rule is exact: it refuses just those layouts in which a search finds two elements in one place.
#[test]
fn overlap_is_found_exactly() {
    let data = &mut [0u8; 200].map(f32::from);
    for (rows, cols) in (0..6).flat_map(|rows| (0..6).map(move |cols| (rows, cols))) {
        for (rs, cs) in (0..9).flat_map(|rs| (0..9).map(move |cs| (rs, cs))) {
            let mut seen = std::collections::BTreeSet::new();
            let distinct = (0..rows).all(|i| (0..cols).all(|j| seen.insert(i * rs + j * cs)));
            let accepted = MatMut::with_strides(data, rows, cols, rs, cs).is_ok();
            assert_eq!(accepted, distinct, "{rows}×{cols}, strides {rs} and {cs}");
        }
    }
}

#[test]
fn a_range_past_the_end_is_refused() {
    let data = &mut std::array::from_fn::<f32, 12, _>(|i| i as f32);
    let view = MatRef::row_major(data, 3, 4).unwrap();
    assert_eq!(message(view.rows(1..4)), "a range ends at row 4, but there are 3 rows");
    assert_eq!(message(view.t().rows(5..6)), "a range ends at row 6, but there are 4 rows");
    assert_eq!(message(view.rows(4..4)), "a range ends at row 4, but there are 3 rows");
    assert_eq!(message(view.cols(0..5)), "a range ends at column 5, but there are 4 columns");
    let row = view.rows(0..1).unwrap();
    assert_eq!(message(row.rows(0..2)), "a range ends at row 2, but there is 1 row");
    #[expect(clippy::reversed_empty_ranges, reason = "it is the error that is tested")]
    let backwards = 2..1;
    assert_eq!(message(view.rows(backwards.clone())), "a range ends at row 2, but there are 3 rows");
    assert_eq!(message(view.rows(3..3)), "accepted");
    assert_eq!(view.rows(1..3).unwrap().at(0, 2).to_bits(), view.at(1, 2).to_bits());
    assert_eq!(view.cols(1..3).unwrap().at(2, 0).to_bits(), view.at(2, 1).to_bits());
    assert_eq!(view.t().cols(2..3).unwrap().t().at(0, 3).to_bits(), view.at(2, 3).to_bits());
    let mut write = MatMut::row_major(data, 3, 4).unwrap();
    assert_eq!(message(write.reborrow().rows(1..4)), "a range ends at row 4, but there are 3 rows");
    assert_eq!(message(write.reborrow().cols(0..5)), "a range ends at column 5, but there are 4 columns");
    assert_eq!(message(write.reborrow().rows(backwards)), "a range ends at row 2, but there are 3 rows");
    assert_eq!(message(write.rows(3..3)), "accepted");
}

#[test]
#[should_panic(expected = "element (3, 0) of a 3×4 matrix")]
fn an_element_outside_is_no_element() {
    MatRef::row_major(&[0f32; 12], 3, 4).unwrap().at(3, 0);
}

/// One operand at a time has a side too many or too few.
struct WrongShapes;

/// Which operand of a layer of 3×4×5 has which sides instead, and what is said of it.
type Wrong = (Role, (usize, usize), &'static str);

fn wrong(op: Op) -> &'static [Wrong] {
    match op {
        Op::Forward => &[
            (Role::W, (6, 5), "w has 6 rows, but x has 4 columns"),
            (Role::X, (3, 1), "w has 4 rows, but x has 1 column"),
            (Role::Y, (1, 5), "y has 1 row, but x has 3 rows"),
            (Role::Y, (3, 6), "y has 6 columns, but w has 5 columns"),
            (Role::Bias, (1, 4), "bias has 4 values, but w has 5 columns"),
            (Role::Bias, (1, 1), "bias has 1 value, but w has 5 columns"),
            (Role::Z, (2, 5), "z has 2 rows, but y has 3 rows"),
            (Role::Z, (3, 0), "z has 0 columns, but y has 5 columns"),
        ],
        Op::Matmul => &[
            (Role::W, (3, 5), "b has 3 rows, but a has 4 columns"),
            (Role::Y, (4, 5), "c has 4 rows, but a has 3 rows"),
            (Role::Y, (3, 1), "c has 1 column, but b has 5 columns"),
        ],
        Op::GradInput => &[
            (Role::Y, (3, 4), "dz has 4 columns, but w has 5 columns"),
            (Role::Dx, (2, 4), "dx has 2 rows, but dz has 3 rows"),
            (Role::Dx, (3, 5), "dx has 5 columns, but w has 4 rows"),
        ],
        Op::GradParams => &[
            (Role::Y, (2, 5), "dz has 2 rows, but x has 3 rows"),
            (Role::Dw, (3, 5), "dw has 3 rows, but x has 4 columns"),
            (Role::Dw, (4, 4), "dw has 4 columns, but dz has 5 columns"),
            (Role::Bias, (1, 6), "db has 6 values, but dz has 5 columns"),
        ],
        Op::Backward => &[
            (Role::W, (3, 5), "w has 3 rows, but x has 4 columns"),
            (Role::Y, (2, 5), "dy has 2 rows, but x has 3 rows"),
            (Role::Y, (3, 4), "dy has 4 columns, but w has 5 columns"),
            (Role::Z, (2, 5), "saved has 2 rows, but dy has 3 rows"),
            (Role::Z, (3, 6), "saved has 6 columns, but dy has 5 columns"),
            (Role::Dx, (2, 4), "dx has 2 rows, but x has 3 rows"),
            (Role::Dx, (3, 3), "dx has 3 columns, but x has 4 columns"),
            (Role::Dw, (5, 5), "dw has 5 rows, but w has 4 rows"),
            (Role::Dw, (4, 4), "dw has 4 columns, but w has 5 columns"),
            (Role::Bias, (1, 4), "db has 4 values, but w has 5 columns"),
        ],
        Op::Step => &[
            (Role::W, (3, 5), "w has 3 rows, but x has 4 columns"),
            (Role::Y, (2, 5), "dy has 2 rows, but x has 3 rows"),
            (Role::Y, (3, 4), "dy has 4 columns, but w has 5 columns"),
            (Role::Z, (2, 5), "saved has 2 rows, but dy has 3 rows"),
            (Role::Z, (3, 6), "saved has 6 columns, but dy has 5 columns"),
            (Role::Dx, (2, 4), "dx has 2 rows, but x has 3 rows"),
            (Role::Dx, (3, 3), "dx has 3 columns, but x has 4 columns"),
            (Role::Bias, (1, 4), "bias has 4 values, but w has 5 columns"),
        ],
    }
}

/// Whether the call is refused in these words and leaves every operand as it was.
fn refused<E: Element, K: LinearKernels<E>>(
    case: &Case,
    kernels: &mut K,
    operands: impl Fn() -> Outcome<E>,
    expected: &str,
) -> Result<(), String> {
    let (mut after, before) = (operands(), operands());
    let found = message(after.call(case, kernels));
    if found != expected {
        return Err(format!("{:?}: \"{found}\", expected \"{expected}\"", case.op));
    }
    for role in Role::ALL {
        let bits = |outcome: &Outcome<E>| -> Vec<u64> {
            outcome.get(role).buffer().iter().map(|value| value.bits()).collect()
        };
        if bits(&after) != bits(&before) {
            return Err(format!("{:?}: {role:?} was written before \"{expected}\"", case.op));
        }
    }
    Ok(())
}

impl Property for WrongShapes {
    fn check<E: Element, K: LinearKernels<E>>(case: &Case, kernels: &mut K) -> Result<(), String> {
        for &(role, sides, expected) in wrong(case.op) {
            let shape = case.shape;
            let operands = || Outcome::with_sides(case, |r| if r == role { sides } else { r.sides(shape) });
            refused::<E, K>(case, kernels, operands, expected)?;
        }
        Ok(())
    }
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    // ReLU, so that something has to be saved.
    hold_in::<WrongShapes>(
        Op::ALL.map(|op| Case { activation: Activation::Relu, ..Case::plain(op, 3, 4, 5) }),
    );
}

struct WrongSlope;

impl Property for WrongSlope {
    fn check<E: Element, K: LinearKernels<E>>(case: &Case, kernels: &mut K) -> Result<(), String> {
        for slope in [0.0, -0.5, f32::INFINITY, f32::NAN] {
            let case = Case { activation: Activation::LeakyRelu { slope }, ..case.clone() };
            refused::<E, K>(&case, kernels, || Outcome::before(&case), "slope must be positive and finite")?;
        }
        Ok(())
    }
}

#[test]
fn a_slope_outside_its_domain_is_refused() {
    hold_in::<WrongSlope>([Op::Forward, Op::Backward, Op::Step].map(|op| Case::plain(op, 3, 4, 5)));
}

struct MissingSaved;

impl Property for MissingSaved {
    fn check<E: Element, K: LinearKernels<E>>(case: &Case, kernels: &mut K) -> Result<(), String> {
        let missing = [
            (Activation::Relu, "y is missing, but ReLU needs it"),
            (Activation::LeakyRelu { slope: 0.1 }, "y is missing, but leaky ReLU needs it"),
            (Activation::Sigmoid, "y is missing, but sigmoid needs it"),
            (Activation::Tanh, "y is missing, but tanh needs it"),
            (Activation::Gelu, "z is missing, but GELU needs it"),
            (Activation::Silu, "z is missing, but SiLU needs it"),
        ];
        for (activation, expected) in missing {
            let case = Case { activation, saved: false, ..case.clone() };
            refused::<E, K>(&case, kernels, || Outcome::before(&case), expected)?;
        }
        Ok(())
    }
}

#[test]
fn what_an_activation_needs_must_be_there() {
    hold_in::<MissingSaved>([Op::Backward, Op::Step].map(|op| Case::plain(op, 3, 4, 5)));
}

/// ∇W of a layer without activation, given something else as what was saved.
fn gradient(kernels: &mut impl LinearKernels<f32>, saved: Option<MatRef<'_, f32>>) -> [f32; 4] {
    let (x, dy) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]);
    let square = |data| MatRef::row_major(data, 2, 2).expect("fits");
    let given =
        Backward { x: square(&x), w: square(&x), dy: square(&dy), activation: Activation::Identity, saved };
    let mut dw = [0.0; 4];
    let (dx_write, params_write) = (Write::REPLACE, Write::REPLACE);
    let view = MatMut::row_major(&mut dw, 2, 2).expect("fits");
    kernels
        .backward(given, Gradients { dx: None, dx_write, dw: Some(view), db: None, params_write })
        .expect("fits");
    dw
}

/// Found by fuzzing: the reference looked for an element of it.
#[test]
fn what_was_saved_for_nothing_is_not_looked_at() {
    let nothing = MatRef::row_major(&[], 1, 0).expect("empty");
    let expected = [26.0, 30.0, 38.0, 44.0];
    for saved in [None, Some(nothing)] {
        assert_eq!(gradient(&mut Reference(Fused), saved), expected);
        assert_eq!(gradient(&mut Reference(Unfused), saved), expected);
        for isa in isas() {
            assert_eq!(gradient(&mut Engine::with_isa(isa).expect("available"), saved), expected, "{isa}");
        }
    }
}

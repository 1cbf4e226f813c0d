//! The reference itself, against whole numbers and sums worked out by hand.

use trine_core::{
    Activation, Element, Fused, K_BLOCK, LinearKernels, MatMut, MatRef, Reference, Rounding, Shape, Unfused,
    Write,
};
use trine_tests::{Case, Op, Property, Role, Values, hold};

/// The product of whole numbers, in whole numbers.
fn integer(case: &Case) -> impl Fn(Role, usize, usize) -> i64 + use<> {
    let before = trine_tests::Outcome::<f64>::before(case);
    let Shape { n, d, m } = case.shape;
    let case = case.clone();
    move |role, i, j| {
        let at = |role: Role, i, j| before.get(role).view().at(i, j) as i64;
        let sum = |len: usize, term: &dyn Fn(usize) -> i64| (0..len).map(term).sum::<i64>();
        let initial = if case.reads(role) { at(role, i, j) } else { 0 };
        initial
            + match role {
                Role::Dx => sum(m, &|k| at(Role::Y, i, k) * at(Role::W, j, k)),
                Role::Bias => sum(n, &|k| at(Role::Y, k, j)),
                Role::Dw => sum(n, &|k| at(Role::X, k, i) * at(Role::Y, k, j)),
                _ => sum(d, &|k| at(Role::X, i, k) * at(Role::W, k, j)),
            }
    }
}

struct WholeNumbers;

impl Property for WholeNumbers {
    fn check<E: Element, K: LinearKernels<E>>(case: &Case, kernels: &mut K) -> Result<(), String> {
        let mut case = Case { values: Values::Whole, activation: Activation::Identity, ..case.clone() };
        if matches!(case.op, Op::Forward | Op::Step) {
            // Another formula; the product is tested without it.
            case.op = Op::Matmul;
        }
        (case.write.alpha, case.params_write.alpha) = (1.0, 1.0);
        let expected = integer(&case);
        let found = case.run::<E, K>(kernels);
        for role in Role::ALL.into_iter().filter(|&role| case.writes(role)) {
            let view = found.get(role).view();
            for (i, j) in (0..view.nrows()).flat_map(|i| (0..view.ncols()).map(move |j| (i, j))) {
                let (a, b) = (view.at(i, j), expected(role, i, j));
                if a.to_f64() != b as f64 {
                    return Err(format!("{role:?}[{i}, {j}] is {a:?}, expected {b}"));
                }
            }
        }
        found.gaps_intact()
    }
}

#[test]
fn products_of_whole_numbers_are_exact() {
    hold::<WholeNumbers>(150);
}

fn dot<K: LinearKernels<f32>>(kernels: &mut K, a: &[f32], b: &[f32], write: Write<f32>, old: f32) -> f32 {
    let mut c = [old];
    let view = MatMut::row_major(&mut c, 1, 1).unwrap();
    let (a, b) = (MatRef::row_major(a, 1, a.len()).unwrap(), MatRef::row_major(b, b.len(), 1).unwrap());
    kernels.matmul(view, a, b, write).unwrap();
    c[0]
}

/// 2²⁴ + 1 is no `f32` and rounds to 2²⁴: ones are lost as long as they meet the large number one
/// by one, and count as soon as they come as the sum of a block of their own.
#[test]
fn a_sum_is_cut_into_blocks_of_512() {
    assert_eq!(K_BLOCK, 512);
    let large = 16_777_216f32;
    for (ones, expected) in [(511, large), (512, large), (513, large + 2.0), (511 + 512, large + 512.0)] {
        let mut a = vec![1.0; 1 + ones];
        a[0] = large;
        let b = vec![1.0; 1 + ones];
        assert_eq!(dot(&mut Reference(Fused), &a, &b, Write::REPLACE, f32::NAN), expected, "{ones} ones");
        assert_eq!(dot(&mut Reference(Unfused), &a, &b, Write::REPLACE, f32::NAN), expected, "{ones} ones");
    }
    // The old content joins after the first block: 1 + … + 1 is 512 by then.
    let ones = vec![1.0; 512];
    assert_eq!(dot(&mut Reference(Fused), &ones, &ones, Write::ADD, large), large + 512.0);
}

/// (1 + 2⁻¹²)² = 1 + 2⁻¹¹ + 2⁻²⁴, of which the last term is lost when the product is rounded.
#[test]
fn fused_and_unfused_round_as_they_say() {
    let x = 1.0 + 2f32.powi(-12);
    let (a, b) = ([-1.0 - 2f32.powi(-11), x], [1.0, x]);
    assert_eq!(dot(&mut Reference(Fused), &a, &b, Write::REPLACE, 0.0), 2f32.powi(-24));
    assert_eq!(dot(&mut Reference(Unfused), &a, &b, Write::REPLACE, 0.0), 0.0);
    let rounding = |k: &mut Reference<Unfused>| trine_tests::property::rounding::<f32, _>(k);
    assert_eq!(rounding(&mut Reference(Unfused)), Rounding::Unfused);
}

/// alpha multiplies each partial sum, not each product: 0·∞ is NaN, and −1 turns signs.
#[test]
fn alpha_meets_the_partial_sum() {
    let r = &mut Reference(Fused);
    let inf = [f32::INFINITY];
    assert!(dot(r, &inf, &[1.0], Write::REPLACE.times(0.0), 0.0).is_nan());
    assert!(dot(r, &inf, &[1.0], Write::REPLACE.times(f32::NAN), 0.0).is_nan());
    assert_eq!(dot(r, &[2.0], &[3.0], Write::ADD.times(-1.0), 10.0), 4.0);
    assert_eq!(dot(r, &[0.0], &[3.0], Write::REPLACE.times(-1.0), 1.0).to_bits(), (-0f32).to_bits());
    // −0·1 + 0 is +0.
    assert_eq!(dot(r, &[-0.0], &[1.0], Write::REPLACE, 1.0).to_bits(), 0f32.to_bits());
}

/// An empty sum is its initial value, or +0; alpha has nothing to multiply.
#[test]
fn an_empty_sum_is_its_initial_value() {
    let r = &mut Reference(Fused);
    assert_eq!(dot(r, &[], &[], Write::REPLACE.times(f32::NAN), f32::NAN).to_bits(), 0f32.to_bits());
    assert_eq!(dot(r, &[], &[], Write::ADD.times(f32::NAN), -0.0).to_bits(), (-0f32).to_bits());
    let bias = [-0.0, 7.0];
    let mut y = [f32::NAN; 2];
    let (x, w) = (MatRef::row_major(&[], 1, 0).unwrap(), MatRef::row_major(&[], 0, 2).unwrap());
    let view = MatMut::row_major(&mut y, 1, 2).unwrap();
    r.forward(view, x, w, Some(&bias), Activation::Identity).unwrap();
    assert_eq!(y.map(f32::to_bits), bias.map(f32::to_bits));
}

/// Rows without end and no column: nothing is computed, and that at once.
#[test]
fn rows_without_columns_have_an_end() {
    let (n, d) = (usize::MAX >> 4, 3);
    let x = [1.0f32; 3];
    let rows = MatRef::with_strides(&x, n, d, 0, 1).expect("rows may repeat");
    let w = MatRef::row_major(&[], d, 0).expect("nothing");
    let y = || MatMut::row_major(&mut [], n, 0).expect("nothing");
    Reference(Fused).matmul(y(), rows, w, Write::REPLACE).expect("the sides fit");
    Reference(Fused).forward(y(), rows, w, None, Activation::Identity).expect("the sides fit");
    let dz = MatRef::row_major(&[], 0, n).expect("nothing").t();
    let mut dw = [];
    let dw = MatMut::row_major(&mut dw, d, 0).expect("nothing");
    Reference(Fused).grad_params(dw, None, rows, dz, Write::ADD).expect("the sides fit");
}

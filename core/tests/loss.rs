//! Losses: values by hand, finite differences, lane widths, parts of a batch, bad input.

mod common;

use common::{Random, Wide, With};
use trine_core::loss::{argmax, correct};
use trine_core::{Element, Fused, Lanes, Loss, MatMut, MatRef, Reference, Target, Unfused};

const LOSSES: [Loss; 2] = [Loss::MeanSquared, Loss::SoftmaxCrossEntropy];

fn close(a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() <= tolerance, "{a} is not within {tolerance} of {b}");
}

/// Loss and gradient of a contiguous n×m problem.
fn evaluate<E: Element>(
    loss: Loss,
    y: &[E],
    (n, m): (usize, usize),
    target: Target<'_, E>,
    batch: usize,
) -> (E, Vec<E>) {
    let mut dy = vec![E::NAN; n * m];
    let y = MatRef::row_major(y, n, m).unwrap();
    let into = MatMut::row_major(&mut dy, n, m).unwrap();
    let value = loss.evaluate(&mut Reference(Fused), y, target, batch, Some(into)).unwrap();
    (value, dy)
}

#[test]
fn mean_squared_error_by_hand() {
    let t = [0.5, 2.0, -1.0, 4.0];
    let t = Target::Rows(MatRef::row_major(&t, 2, 2).unwrap());
    let (loss, dy) = evaluate(Loss::MeanSquared, &[1.0f64, 2.0, 1.0, 1.0], (2, 2), t, 2);
    // Differences ½, 0, 2, −3; squares ¼, 0, 4, 9; divided by 2·2.
    assert_eq!(loss, 13.25 / 4.0);
    assert_eq!(dy, [0.25, 0.0, 1.0, -1.5]);

    // Of a batch of 8: a quarter of it.
    let (loss, dy) = evaluate(Loss::MeanSquared, &[1.0f64, 2.0, 1.0, 1.0], (2, 2), t, 8);
    assert_eq!(loss, 13.25 / 16.0);
    assert_eq!(dy, [0.0625, 0.0, 0.25, -0.375]);
}

#[test]
fn mean_squared_error_of_classes_takes_them_as_ones() {
    let (loss, dy) =
        evaluate(Loss::MeanSquared, &[1.0f64, 2.0, 3.0, 4.0], (2, 2), Target::Classes(&[1, 0]), 2);
    // Differences 1, 1; 2, 4.
    assert_eq!(loss, 22.0 / 4.0);
    assert_eq!(dy, [0.5, 0.5, 1.0, 2.0]);
}

#[test]
fn cross_entropy_by_hand() {
    let ln = f64::ln;
    // Softmax of (ln 1, ln 2, ln 5) is (1, 2, 5)/8.
    let y = [ln(1.0), ln(2.0), ln(5.0), 0.0, 0.0, 0.0];
    let (loss, dy) = evaluate(Loss::SoftmaxCrossEntropy, &y, (2, 3), Target::Classes(&[1, 2]), 2);
    close(loss, (ln(4.0) + ln(3.0)) / 2.0, 1e-15);
    let third = 1.0 / 3.0;
    for (found, p_minus_t) in dy.iter().zip([0.125, -0.75, 0.625, third, third, third - 1.0]) {
        close(*found, p_minus_t / 2.0, 1e-15);
    }

    let t = [0.25, 0.25, 0.5, 1.0, 1.0, 0.0];
    let rows = Target::Rows(MatRef::row_major(&t, 2, 3).unwrap());
    let (loss, dy) = evaluate(Loss::SoftmaxCrossEntropy, &y, (2, 3), rows, 4);
    let first = 0.25 * ln(8.0) + 0.25 * ln(4.0) + 0.5 * ln(1.6);
    close(loss, (first + 2.0 * ln(3.0)) / 4.0, 1e-15);
    for (found, gradient) in dy.iter().zip([-0.125, 0.0, 0.125, -third, -third, 2.0 * third]) {
        close(*found, gradient / 4.0, 1e-15);
    }
}

/// Data of a random problem: outputs, probability rows, classes.
fn problem<E: Element>(seed: u64, n: usize, m: usize) -> (Vec<E>, Vec<E>, Vec<u32>) {
    let mut random = Random(seed);
    let y = (0..n * m).map(|_| E::from_f64(random.between(-4.0, 4.0))).collect();
    let t = (0..n * m).map(|_| E::from_f64(random.between(0.0, 1.0))).collect();
    let classes = (0..n).map(|_| random.below(m) as u32).collect();
    (y, t, classes)
}

#[test]
fn gradients_are_finite_differences() {
    let (n, m, batch) = (3, 7, 5);
    let (y, t, classes) = problem::<f64>(1, n, m);
    for loss in LOSSES {
        for target in [Target::Classes(&classes), Target::Rows(MatRef::row_major(&t, n, m).unwrap())] {
            let (_, dy) = evaluate(loss, &y, (n, m), target, batch);
            for k in 0..n * m {
                let at = |h: f64| {
                    let mut y = y.clone();
                    y[k] += h;
                    evaluate(loss, &y, (n, m), target, batch).0
                };
                close(dy[k], (at(1e-5) - at(-1e-5)) / 2e-5, 1e-9);
            }
        }
    }
}

/// The same problem with other lanes and other strides, by bits.
fn same_everywhere<E: Element, S: Lanes<E, V = E, Mask = bool>>(scalar: S) {
    for (n, m) in [(1, 1), (2, 10), (5, 3), (3, 64), (2, 65), (4, 150)] {
        let (y, t, classes) = problem::<E>(n as u64, n, m);
        let yt: Vec<E> = (0..n * m).map(|k| y[k % n * m + k / n]).collect();
        for loss in LOSSES {
            for target in [Target::Classes(&classes), Target::Rows(MatRef::row_major(&t, n, m).unwrap())] {
                let y = MatRef::row_major(&y, n, m).unwrap();
                let mut want = vec![E::NAN; n * m];
                let into = MatMut::row_major(&mut want, n, m).unwrap();
                let value = loss.evaluate(&mut Reference(scalar), y, target, n, Some(into)).unwrap();
                assert!(value.to_f64().is_finite() && want.iter().all(|x| x.to_f64().is_finite()));

                let mut wide = With(Wide::<_, 4>(scalar));
                let alone = loss.evaluate(&mut wide, y, target, n, None).unwrap();
                assert_eq!(alone.bits(), value.bits(), "{loss:?} {n}×{m} without a gradient");

                // y by columns, dy with gaps in both directions.
                let yt = MatRef::row_major(&yt, m, n).unwrap().t();
                let (row, col) = (3 * m + 1, 3);
                let untouched = E::from_f64(-77.0);
                let mut found = vec![untouched; n * row];
                let into = MatMut::with_strides(&mut found, n, m, row, col).unwrap();
                let strided = loss.evaluate(&mut wide, yt, target, n, Some(into)).unwrap();
                assert_eq!(strided.bits(), value.bits(), "{loss:?} {n}×{m} strided");
                for (k, found) in found.iter().enumerate() {
                    let (i, j) = (k / row, k % row / col);
                    let inside = j < m && k % row % col == 0;
                    let want = if inside { want[i * m + j] } else { untouched };
                    assert_eq!(found.bits(), want.bits(), "{loss:?} {n}×{m} at ({i}, {j})");
                }
            }
        }
    }
}

#[test]
fn lanes_and_strides_do_not_matter() {
    same_everywhere::<f32, _>(Fused);
    same_everywhere::<f32, _>(Unfused);
    same_everywhere::<f64, _>(Fused);
    same_everywhere::<f64, _>(Unfused);
}

#[test]
fn classes_are_ones_among_zeros() {
    let (n, m) = (4, 70);
    let (y, _, classes) = problem::<f32>(9, n, m);
    let mut t = vec![0f32; n * m];
    for (i, &class) in classes.iter().enumerate() {
        t[i * m + class as usize] = 1.0;
    }
    for loss in LOSSES {
        let rows = Target::Rows(MatRef::row_major(&t, n, m).unwrap());
        assert_eq!(
            evaluate(loss, &y, (n, m), Target::Classes(&classes), n),
            evaluate(loss, &y, (n, m), rows, n)
        );
    }
}

#[test]
fn parts_of_a_batch_have_the_rows_of_the_whole() {
    let (n, m) = (6, 11);
    let (y, _, classes) = problem::<f32>(4, n, m);
    for loss in LOSSES {
        let (whole, dy) = evaluate(loss, &y, (n, m), Target::Classes(&classes), n);
        let (first, a) = evaluate(loss, &y[..2 * m], (2, m), Target::Classes(&classes[..2]), n);
        let (rest, b) = evaluate(loss, &y[2 * m..], (4, m), Target::Classes(&classes[2..]), n);
        assert_eq!(dy, [a, b].concat());
        close((first + rest) as f64, whole as f64, 1e-6);
    }
}

#[test]
fn a_constant_added_to_a_row_changes_nothing() {
    // Multiples of 1/16, so that the shifted logits are exact.
    let y: Vec<f32> = (0..30).map(|k| (k * 7 % 31) as f32 / 16.0).collect();
    let classes = Target::Classes(&[3, 9, 0]);
    let want = evaluate(Loss::SoftmaxCrossEntropy, &y, (3, 10), classes, 3);
    for shift in [1e3, -1e3, 1e5, -1e5] {
        let y: Vec<f32> = y.iter().map(|y| y + shift).collect();
        assert_eq!(evaluate(Loss::SoftmaxCrossEntropy, &y, (3, 10), classes, 3), want);
    }
}

#[test]
fn large_logits_stay_finite() {
    let y = [1e30f32, -1e30, 0.0, f32::MAX, f32::MIN, 3.0];
    let (loss, dy) = evaluate(Loss::SoftmaxCrossEntropy, &y, (2, 3), Target::Classes(&[0, 0]), 2);
    assert_eq!((loss, dy), (0.0, vec![0.0; 6]));
}

#[test]
fn infinities_and_nan_do_not_panic() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    for row in [[nan; 3], [-inf; 3], [inf; 3], [inf, 0.0, 1.0], [0.0, nan, 1.0]] {
        for loss in LOSSES {
            let (value, _) = evaluate(loss, &row, (1, 3), Target::Classes(&[1]), 1);
            assert!(!value.is_finite(), "{loss:?} of {row:?} is {value}");
        }
    }
    // A column that is ruled out adds nothing as long as it is not the answer.
    let (value, dy) =
        evaluate(Loss::SoftmaxCrossEntropy, &[0.0, -inf, 0.0], (1, 3), Target::Classes(&[2]), 1);
    close(value as f64, std::f64::consts::LN_2, 1e-7);
    assert_eq!(dy, [0.5, 0.0, -0.5]);
    let (value, _) = evaluate(Loss::SoftmaxCrossEntropy, &[0.0, -inf], (1, 2), Target::Classes(&[1]), 1);
    assert_eq!(value, inf);
}

#[test]
fn nothing_has_no_loss() {
    for loss in LOSSES {
        let (value, dy) = evaluate::<f32>(loss, &[], (0, 5), Target::Classes(&[]), 0);
        assert_eq!((value.to_bits(), dy.len()), (0, 0));
        let none = Target::Rows(MatRef::row_major(&[], 3, 0).unwrap());
        assert_eq!(evaluate::<f32>(loss, &[], (3, 0), none, 3).0, 0.0);
    }
}

#[test]
fn answers_are_counted() {
    let nan = f32::NAN;
    #[rustfmt::skip]
    let y = [
        1.0, 3.0, 3.0,
        nan, -1.0, -2.0,
        5.0, nan, 6.0,
        nan, nan, nan,
        f32::NEG_INFINITY, f32::NEG_INFINITY, nan,
    ];
    let view = MatRef::row_major(&y, 5, 3).unwrap();
    let best: Vec<_> = (0..5).map(|i| argmax(view, i)).collect();
    assert_eq!(best, [Some(1), Some(1), Some(2), None, Some(0)]);
    assert_eq!(correct(view, Target::Classes(&[1, 1, 2, 0, 0])), Ok(4));
    assert_eq!(correct(view, Target::Classes(&[2, 0, 2, 1, 1])), Ok(1));
    // A row without an answer is wrong even where the target has none either.
    assert_eq!(correct(view, Target::Rows(view)), Ok(4));
    let empty = MatRef::<f32>::row_major(&[], 2, 0).unwrap();
    assert_eq!((argmax(empty, 1), correct(empty, Target::Rows(empty))), (None, Ok(0)));
}

#[test]
fn bad_input_is_refused_and_nothing_written() {
    let y = [0f32; 6];
    let y = MatRef::row_major(&y, 2, 3).unwrap();
    let rows = Target::Rows(MatRef::row_major(&[0f32; 6], 3, 2).unwrap());
    let cases = [
        (Target::Classes(&[0, 3]), 2, 6, "target of row 1 is class 3, but y has 3 columns"),
        (Target::Classes(&[0]), 2, 6, "target has 1 value, but y has 2 rows"),
        (rows, 2, 6, "target has 3 rows, but y has 2 rows"),
        (Target::Classes(&[0, 1]), 1, 6, "batch must be at least the number of rows"),
        (Target::Classes(&[0, 1]), 2, 4, "dy has 2 columns, but y has 3 columns"),
    ];
    for (target, batch, len, message) in cases {
        for loss in LOSSES {
            let mut dy = vec![7f32; len];
            let into = MatMut::row_major(&mut dy, 2, len / 2).unwrap();
            let error = loss.evaluate(&mut Reference(Fused), y, target, batch, Some(into)).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert!(dy.iter().all(|&dy| dy == 7.0));
        }
    }
    assert_eq!(
        correct(y, Target::Classes(&[4, 0])).unwrap_err().to_string(),
        "target of row 0 is class 4, but y has 3 columns"
    );
}

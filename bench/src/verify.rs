//! Whether results are right, before their time is taken: the engine's against the reference bit
//! for bit, a peer's against the engine's within a tolerance.

use std::ops::Range;

use trine_core::{Element, Fused, Reference, Rounding, Shape, Unfused};

use crate::workload::{Operands, Results, perform};
use trine_kernels::Op;

/// Multiply-adds that the reference may spend on one comparison.
const BUDGET: usize = 1 << 24;

/// Whether two values are the same: same bits, or both not a number (payloads are not promised).
pub fn same<E: Element>(a: E, b: E) -> bool {
    a.bits() == b.bits() || (a.partial_cmp(&a).is_none() && b.partial_cmp(&b).is_none())
}

/// Up to three ranges of 0..len, from the beginning, the middle and the end, of together at most
/// `wanted` items (but at least one each).
fn samples(len: usize, wanted: usize) -> Vec<Range<usize>> {
    let each = (wanted / 3).max(1);
    if len <= wanted || len <= 3 * each {
        return vec![0..len; 1];
    }
    let middle = (len - each) / 2;
    vec![0..each, middle..middle + each, len - each..len]
}

/// Compares what the engine computed with the reference of its rounding: all of a small shape, of
/// a large one some rows of Y and ∇X, and of ∇W with ∇b. Returns how many elements were compared.
///
/// # Errors
/// A sentence that names the first element that differs.
pub fn exact<E: Element>(
    op: Op,
    given: &Operands<E>,
    out: &Results<E>,
    rounding: Rounding,
) -> Result<usize, String> {
    let Shape { n, d, m } = given.shape;
    let mut compared = 0;
    let mut compare = |name: &str, found: &[E], expected: &[E]| {
        compared += found.len();
        match found.iter().zip(expected).position(|(a, b)| !same(*a, *b)) {
            None => Ok(()),
            Some(i) => Err(format!("{name}: {:e} instead of {:e}", found[i].to_f64(), expected[i].to_f64())),
        }
    };
    let input = matches!(op, Op::GradInput | Op::Backward | Op::Step);
    for rows in samples(n, BUDGET / (d * m).max(1)).into_iter().filter(|_| input || op == Op::Forward) {
        let expected = reference(op, &given.batch(rows.clone()), rounding);
        if input {
            compare("dx", &out.dx[rows.start * d..rows.end * d], &expected.dx)?;
        } else {
            compare("y", &out.y[rows.start * m..rows.end * m], &expected.y)?;
        }
    }
    let params = matches!(op, Op::GradParams | Op::Backward | Op::Step);
    for columns in samples(d, BUDGET / (n * m).max(1)).into_iter().filter(|_| params) {
        let expected = reference(op, &given.features(columns.clone()), rounding);
        compare("dw", &out.dw[columns.start * m..columns.end * m], &expected.dw)?;
        compare("db", &out.db, &expected.db)?;
    }
    Ok(compared)
}

fn reference<E: Element>(op: Op, given: &Operands<E>, rounding: Rounding) -> Results<E> {
    let mut out = Results::before(op, given);
    let done = match rounding {
        Rounding::Fused => perform(op, &mut Reference(Fused), given, &mut out),
        Rounding::Unfused => perform(op, &mut Reference(Unfused), given, &mut out),
    };
    done.expect("the operands were made for this shape");
    out
}

/// Compares a peer, whose order of additions is its own, with the engine. Operands are smaller
/// than 1, so a sum of K products may be off by some K roundings.
///
/// # Errors
/// A sentence that names the first element that is too far off.
pub fn close<E: Element>(shape: Shape, found: &Results<E>, expected: &Results<E>) -> Result<(), String> {
    let unit = 2f64.powi(1 - E::DIGITS as i32);
    let Shape { n, d, m } = shape;
    let parts = [
        ("y", &found.y, &expected.y, (m, d)),
        ("dx", &found.dx, &expected.dx, (d, m)),
        ("dw", &found.dw, &expected.dw, (m, n)),
        ("db", &found.db, &expected.db, (m, n)),
    ];
    for (name, found, expected, (cols, k)) in parts {
        let tolerance = 4.0 * unit * (k as f64 + 4.0);
        let near = |a: E, b: E| same(a, b) || (a.to_f64() - b.to_f64()).abs() <= tolerance;
        let far = |i: &usize| !near(found[*i], expected[*i]);
        if let Some(first) = (0..found.len()).find(far) {
            let (a, b) = (found[first].to_f64(), expected[first].to_f64());
            let (row, col, all) = (first / cols, first % cols, (0..found.len()).filter(far).count());
            let of = format!("{all} of {} elements off", found.len());
            return Err(format!("{name}[{row}, {col}]: {a:e}, but {b:e} was expected ({of})"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::OPS;

    #[test]
    fn samples_cover_both_ends() {
        assert_eq!(samples(5, 10), [0..5; 1]);
        assert_eq!(samples(0, 10), [0..0; 1]);
        assert_eq!(samples(100, 9), [0..3, 48..51, 97..100]);
        assert_eq!(samples(100, 0), [0..1, 49..50, 99..100]);
        assert_eq!(samples(2, 0), [0..2; 1]);
    }

    #[test]
    fn one_wrong_bit_is_found() {
        let shape = Shape { n: 3, d: 4, m: 5 };
        let given = Operands::<f32>::random(shape, 1);
        for op in OPS {
            let right = reference(op, &given, Rounding::Fused);
            assert!(exact(op, &given, &right, Rounding::Fused).is_ok_and(|compared| compared > 0));
            let mut wrong = reference(op, &given, Rounding::Fused);
            let part = part_of(op, &mut wrong);
            let last = part.len() - 1;
            part[last] = f32::from_bits(part[last].to_bits() ^ 1);
            assert!(exact(op, &given, &wrong, Rounding::Fused).is_err());
            assert_eq!(close(shape, &wrong, &right), Ok(()));
            part_of(op, &mut wrong)[last] += 0.01;
            assert!(close(shape, &wrong, &right).is_err());
        }
    }

    #[test]
    fn a_step_that_leaves_the_weights_alone_is_found() {
        let shape = Shape { n: 40, d: 4, m: 5 };
        let given = Operands::<f32>::random(shape, 1);
        let right = reference(Op::Step, &given, Rounding::Fused);
        let mut idle = reference(Op::Step, &given, Rounding::Fused);
        idle.dw.copy_from_slice(&given.w);
        assert!(close(shape, &idle, &right).is_err());
        assert!(exact(Op::Step, &given, &idle, Rounding::Fused).is_err());
    }

    fn part_of(op: Op, out: &mut Results<f32>) -> &mut [f32] {
        match op {
            Op::Forward => &mut out.y,
            Op::GradInput => &mut out.dx,
            _ => &mut out.db,
        }
    }

    #[test]
    fn the_roundings_differ() {
        let given = Operands::<f32>::random(Shape { n: 8, d: 64, m: 8 }, 1);
        let unfused = reference(Op::GradInput, &given, Rounding::Unfused);
        assert!(exact(Op::GradInput, &given, &unfused, Rounding::Fused).is_err());
    }

    #[test]
    fn nan_is_nan() {
        assert!(
            same(f32::NAN, -f32::NAN) && same(0.0f64, 0.0) && !same(0.0f64, -0.0) && !same(1.0, f32::NAN)
        );
    }
}

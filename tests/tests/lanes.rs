//! Elementwise work on the lanes of every engine against one value at a time, bit by bit.

use trine_core::{Element, Fused, Lanes, LinearKernels, Reference, Rounding, Task, Unfused, math};
use trine_kernels::Supported;
use trine_tests::Case;
use trine_tests::case::{ACTIVATIONS, Op};
use trine_tests::property::{isas, rounding, with_engine};
use trine_tests::run::same;
use trine_tests::values::{Values, mix};

/// What the formulas of the library are made of.
#[derive(Clone, Copy, Debug)]
enum Formula {
    Add,
    Sub,
    Mul,
    Div,
    MulAdd,
    Sqrt,
    Abs,
    Neg,
    Smaller,
    Exp,
    Log,
    Tanh,
    Sigmoid,
    Silu,
    Gelu,
    SiluDerivative,
    GeluDerivative,
    /// Of one of the activations.
    Derivative(usize),
    /// 2ⁿ, for whole numbers.
    Pow2,
    /// The two parts of positive normal numbers.
    Exponent,
    Significand,
}

const ANY: [Formula; 24] = {
    use Formula::*;
    [
        Add,
        Sub,
        Mul,
        Div,
        MulAdd,
        Sqrt,
        Abs,
        Neg,
        Smaller,
        Exp,
        Log,
        Tanh,
        Sigmoid,
        Silu,
        Gelu,
        SiluDerivative,
        GeluDerivative,
        Derivative(0),
        Derivative(1),
        Derivative(2),
        Derivative(3),
        Derivative(4),
        Derivative(5),
        Derivative(6),
    ]
};

struct Map<'a, E> {
    formula: Formula,
    operands: [&'a [E]; 3],
    out: &'a mut [E],
}

impl Formula {
    fn of<E: Element, L: Lanes<E>>(self, lanes: L, [a, b, c]: [L::V; 3]) -> L::V {
        match self {
            Formula::Add => lanes.add(a, b),
            Formula::Sub => lanes.sub(a, b),
            Formula::Mul => lanes.mul(a, b),
            Formula::Div => lanes.div(a, b),
            Formula::MulAdd => lanes.mul_add(a, b, c),
            Formula::Sqrt => lanes.sqrt(a),
            Formula::Abs => lanes.abs(a),
            Formula::Neg => lanes.neg(a),
            Formula::Smaller => lanes.select(lanes.less(a, b), a, c),
            Formula::Exp => math::exp(lanes, a),
            Formula::Log => math::log(lanes, a),
            Formula::Tanh => math::tanh(lanes, a),
            Formula::Sigmoid => math::sigmoid(lanes, a),
            Formula::Silu => math::silu(lanes, a),
            Formula::Gelu => math::gelu(lanes, a),
            Formula::SiluDerivative => math::silu_derivative(lanes, a),
            Formula::GeluDerivative => math::gelu_derivative(lanes, a),
            Formula::Derivative(activation) => ACTIVATIONS[activation].backward(lanes, a, b),
            Formula::Pow2 => lanes.pow2(a),
            Formula::Exponent => lanes.split(a).0,
            Formula::Significand => lanes.split(a).1,
        }
    }
}

impl<E: Element> Task<E> for Map<'_, E> {
    type Output = usize;

    fn run<L: Lanes<E>>(self, lanes: L) -> usize {
        for start in (0..self.out.len()).step_by(L::LANES) {
            let operands = self.operands.map(|operand| lanes.load(&operand[start..]));
            lanes.store(&mut self.out[start..], self.formula.of(lanes, operands));
        }
        L::LANES
    }
}

fn map<E: Element, K: LinearKernels<E>>(kernels: &mut K, formula: Formula, operands: [&[E]; 3]) -> Vec<E> {
    let mut out = vec![E::NAN; operands[0].len()];
    kernels.run(Map { formula, operands, out: &mut out });
    out
}

fn agree<E: Supported>(formulas: &[Formula], operands: [&[E]; 3]) {
    for &formula in formulas {
        for isa in isas() {
            let (found, rounding) = with_engine::<E, _>(isa, &Case::plain(Op::Forward, 1, 1, 1), |engine| {
                (map(engine, formula, operands), rounding::<E, _>(engine))
            });
            let expected = match rounding {
                Rounding::Fused => map(&mut Reference(Fused), formula, operands),
                Rounding::Unfused => map(&mut Reference(Unfused), formula, operands),
            };
            for (i, (&a, &b)) in found.iter().zip(&expected).enumerate() {
                let at = operands.map(|operand| operand[i]);
                assert!(
                    same(a, b),
                    "{formula:?} of {at:?} is {a:?} ({:#x}) on {isa}, expected {b:?} ({:#x})",
                    a.bits(),
                    b.bits()
                );
            }
        }
    }
}

/// Numbers of every kind: special ones, moderate ones, any bits at all.
fn numbers<E: Element>(len: u64, seed: u64) -> Vec<E> {
    let kinds = [Values::Dense, Values::Uniform, Values::Wide, Values::Extreme];
    let number = |i: u64| match i % 6 {
        kind @ 0..=3 => kinds[kind as usize].value(mix(mix(seed) ^ i)),
        4 => E::of_bits(mix(seed ^ i << 20) >> (64 - 8 * E::BYTES)),
        _ => Values::Uniform.value::<E>(mix(seed ^ i << 20)) * E::from_f64(100.0),
    };
    (0..len).map(number).collect()
}

fn every_formula<E: Supported>() {
    // Not a whole number of vectors, so that the last is partial.
    let [a, b, c] = [1, 2, 3].map(|seed| numbers::<E>(20_011, seed));
    agree(&ANY, [&a, &b, &c]);

    let exponents = if E::BYTES == 4 { -126..=127 } else { -1022..=1023 };
    let whole: Vec<E> = exponents.map(|n: i32| E::from_f64(f64::from(n))).collect();
    agree(&[Formula::Pow2], [&whole; 3]);

    let smallest_normal = E::of_bits(1 << (E::DIGITS - 1));
    let normal = |&x: &E| x >= smallest_normal && x < E::INFINITY;
    let positive: Vec<E> = a.into_iter().filter(normal).chain([smallest_normal, E::ONE]).collect();
    assert!(positive.len() > 5000);
    agree(&[Formula::Exponent, Formula::Significand], [&positive; 3]);
}

#[test]
fn every_formula_is_the_same_on_all_lanes() {
    every_formula::<f32>();
    every_formula::<f64>();
}

/// Less than a vector is read and written: neither more nor elsewhere.
fn every_length<E: Supported>() {
    for len in 0..=40 {
        let operand = numbers::<E>(len, 7);
        agree(&[Formula::Add, Formula::Exp], [&operand; 3]);
        for isa in isas() {
            let mut out = vec![E::NAN; len as usize + 20];
            let (room, rest) = out.split_at_mut(len as usize);
            let task = Map { formula: Formula::Abs, operands: [&operand; 3], out: room };
            with_engine::<E, _>(isa, &Case::plain(Op::Forward, 1, 1, 1), |engine| engine.run(task));
            assert!(rest.iter().all(|x| x.bits() == E::NAN.bits()), "{isa} writes beyond {len} values");
        }
    }
}

#[test]
fn partial_vectors_keep_to_their_slice() {
    every_length::<f32>();
    every_length::<f64>();
}

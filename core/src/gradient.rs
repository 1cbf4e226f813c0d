//! A slice of gradients as a whole: set to zero, measured, clipped.

use crate::element::Element;
use crate::error::Error;
use crate::optimizer::not_negative;

/// Sets every gradient to +0, before gradients are accumulated.
pub fn zero<E: Element>(grads: &mut [E]) {
    grads.fill(E::ZERO);
}

/// How many sums [`norm`] runs side by side.
const STRIPES: usize = 16;

/// The Euclidean norm `√Σ g²`, in `f64`. Element i is added to sum i mod 16, in order of i; then
/// the sixteen sums are added in order.
pub fn norm<E: Element>(grads: &[E]) -> f64 {
    let mut sums = [0.0f64; STRIPES];
    for stripe in grads.chunks(STRIPES) {
        for (sum, g) in sums.iter_mut().zip(stripe) {
            let g = g.to_f64();
            *sum += g * g;
        }
    }
    sums.iter().fold(0.0, |all, sum| all + sum).square_root()
}

/// Scales the gradients by `max/norm` if their [`norm`] is above `max`, and returns the norm from
/// before. A norm that is infinite or not a number leaves them as they are.
///
/// # Errors
/// [`Error::Value`] unless `max` is finite and not negative.
pub fn clip_norm<E: Element>(grads: &mut [E], max: f64) -> Result<f64, Error> {
    not_negative("max", max)?;
    let norm = norm(grads);
    if norm > max && norm < f64::INFINITY {
        let factor = E::from_f64(max / norm);
        for g in grads {
            *g = *g * factor;
        }
    }
    Ok(norm)
}

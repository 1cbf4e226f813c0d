//! Adam and AdamW: the formula, with all that does not depend on the parameter computed before.

use super::{Formula, Optimizer, Rule, fraction};
use crate::element::Element;
use crate::error::Error;
use crate::lanes::Lanes;

pub(super) fn check_constants(beta1: f64, beta2: f64, epsilon: f64) -> Result<(), Error> {
    fraction("beta1", beta1)?;
    fraction("beta2", beta2)?;
    let fits = epsilon > 0.0 && epsilon < f64::INFINITY;
    if fits { Ok(()) } else { Err(Error::Value { operand: "epsilon", expected: "finite and positive" }) }
}

pub(super) struct Adam<E> {
    beta1: E,
    rest1: E,
    beta2: E,
    rest2: E,
    /// η/(1−β₁ᵗ).
    step: E,
    /// 1/√(1−β₂ᵗ).
    scale: E,
    epsilon: E,
    /// 1 − η·λ.
    keep: Option<E>,
}

impl<E: Element> Adam<E> {
    /// The current step of an optimizer with one of these rules.
    pub(super) fn new(optimizer: &Optimizer, epsilon: f64) -> Self {
        let (beta1, beta2) = optimizer.rule.betas();
        let keep = match optimizer.rule {
            Rule::AdamW { weight_decay, .. } if weight_decay > 0.0 => {
                Some(E::from_f64(1.0 - optimizer.lr * weight_decay))
            }
            _ => None,
        };
        Adam {
            beta1: E::from_f64(beta1),
            rest1: E::from_f64(1.0 - beta1),
            beta2: E::from_f64(beta2),
            rest2: E::from_f64(1.0 - beta2),
            step: E::from_f64(optimizer.lr / (1.0 - optimizer.powers.0)),
            scale: E::from_f64(1.0 / (1.0 - optimizer.powers.1).square_root()),
            epsilon: E::from_f64(epsilon),
            keep,
        }
    }
}

impl<E: Element> Formula<E, 2> for Adam<E> {
    #[inline(always)]
    fn update<L: Lanes<E>>(&self, lanes: L, p: L::V, g: L::V, [m, v]: [L::V; 2]) -> (L::V, [L::V; 2]) {
        let of = |x| lanes.splat(x);
        let p = match self.keep {
            Some(keep) => lanes.mul(of(keep), p),
            None => p,
        };
        let m = lanes.add(lanes.mul(of(self.beta1), m), lanes.mul(of(self.rest1), g));
        let square = lanes.mul(lanes.mul(of(self.rest2), g), g);
        let v = lanes.add(lanes.mul(of(self.beta2), v), square);
        let root = lanes.add(lanes.mul(lanes.sqrt(v), of(self.scale)), of(self.epsilon));
        (lanes.sub(p, lanes.div(lanes.mul(of(self.step), m), root)), [m, v])
    }
}

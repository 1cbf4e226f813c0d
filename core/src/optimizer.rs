//! From a gradient to a step: SGD, momentum, Nesterov, Adam, AdamW over flat slices.
//!
//! Every rule works on each parameter alone, so parameters may be updated in one piece, layer by
//! layer or shard by shard, with the same bits. Only separately rounded additions, subtractions,
//! multiplications, divisions and square roots are used, never a fused multiply-add: a step has
//! the same bits on every target, also on those without one. What does not depend on the
//! parameter (bias corrections, products of hyperparameters) is computed once per step in `f64`
//! and rounded once.

#[cfg(feature = "optimizers")]
mod adam;

use crate::element::Element;
use crate::error::{Dim, Error};
use crate::lanes::{Lanes, Task};
use crate::linear::LinearKernels;

/// How a step follows from a gradient. p is a parameter, g its gradient, η the learning rate,
/// t = 1, 2, … the step.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Rule {
    /// Stochastic gradient descent: `p ← p − η·(g + λ·p)`.
    Sgd {
        /// λ, the factor of the L2 penalty λ/2·p².
        weight_decay: f64,
    },
    /// The heavy ball (B. Polyak 1964): `v ← μ·v + (g + λ·p)`, `p ← p − η·v`.
    Momentum {
        /// μ, in [0, 1).
        momentum: f64,
        /// λ, the factor of the L2 penalty.
        weight_decay: f64,
    },
    /// Nesterov's accelerated gradient, in the form of I. Sutskever et al. 2013 with the
    /// parameters taken at the point looked ahead to: `g' = g + λ·p`, `v ← μ·v + g'`,
    /// `p ← p − η·(g' + μ·v)`.
    Nesterov {
        /// μ, in [0, 1).
        momentum: f64,
        /// λ, the factor of the L2 penalty.
        weight_decay: f64,
    },
    /// Adam (D. Kingma, J. Ba 2015): `m ← β₁·m + (1−β₁)·g`, `v ← β₂·v + (1−β₂)·g²`,
    /// `p ← p − η/(1−β₁ᵗ)·m / (√v/√(1−β₂ᵗ) + ε)`.
    #[cfg(feature = "optimizers")]
    Adam {
        /// β₁, in [0, 1).
        beta1: f64,
        /// β₂, in [0, 1).
        beta2: f64,
        /// ε, positive.
        epsilon: f64,
    },
    /// Adam with decoupled weight decay (I. Loshchilov, F. Hutter 2019): `p ← (1 − η·λ)·p`, then
    /// a step of Adam.
    #[cfg(feature = "optimizers")]
    AdamW {
        /// β₁, in [0, 1).
        beta1: f64,
        /// β₂, in [0, 1).
        beta2: f64,
        /// ε, positive.
        epsilon: f64,
        /// λ.
        weight_decay: f64,
    },
}

impl Rule {
    /// Plain SGD, no decay.
    pub const SGD: Rule = Rule::Sgd { weight_decay: 0.0 };
    /// Adam with the constants of its paper.
    #[cfg(feature = "optimizers")]
    pub const ADAM: Rule = Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    /// AdamW with the constants of Adam's paper and λ = 0.01.
    #[cfg(feature = "optimizers")]
    pub const ADAMW: Rule = Rule::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 };

    /// Values of state for so many parameters: none, v, or m followed by v. Zero before the first
    /// step. (Saturates: a length that overflows is one that no slice has.)
    pub const fn state_len(self, params: usize) -> usize {
        match self {
            Rule::Sgd { .. } => 0,
            Rule::Momentum { .. } | Rule::Nesterov { .. } => params,
            #[cfg(feature = "optimizers")]
            Rule::Adam { .. } | Rule::AdamW { .. } => params.saturating_mul(2),
        }
    }

    /// # Errors
    /// [`Error::Value`] if a constant is outside its domain.
    pub fn check(self) -> Result<(), Error> {
        match self {
            Rule::Sgd { weight_decay } => not_negative("weight_decay", weight_decay),
            Rule::Momentum { momentum, weight_decay } | Rule::Nesterov { momentum, weight_decay } => {
                fraction("momentum", momentum)?;
                not_negative("weight_decay", weight_decay)
            }
            #[cfg(feature = "optimizers")]
            Rule::Adam { beta1, beta2, epsilon } => adam::check_constants(beta1, beta2, epsilon),
            #[cfg(feature = "optimizers")]
            Rule::AdamW { beta1, beta2, epsilon, weight_decay } => {
                adam::check_constants(beta1, beta2, epsilon)?;
                not_negative("weight_decay", weight_decay)
            }
        }
    }

    /// (β₁, β₂), zero where the rule has none.
    const fn betas(self) -> (f64, f64) {
        match self {
            Rule::Sgd { .. } | Rule::Momentum { .. } | Rule::Nesterov { .. } => (0.0, 0.0),
            #[cfg(feature = "optimizers")]
            Rule::Adam { beta1, beta2, .. } | Rule::AdamW { beta1, beta2, .. } => (beta1, beta2),
        }
    }
}

/// The first `len` values of the state, and the rest: an error where a slice would panic, for which firmware
/// has no room.
fn moments<E>(state: &mut [E], len: usize) -> Result<(&mut [E], &mut [E]), Error> {
    let found = state.len();
    state.split_at_mut_checked(len).ok_or(Error::TooShort { operand: "state", expected: len, found })
}

// Written so that NaN fails each of them.

pub(crate) fn not_negative(operand: &'static str, x: f64) -> Result<(), Error> {
    let fits = (0.0..f64::INFINITY).contains(&x);
    if fits { Ok(()) } else { Err(Error::Value { operand, expected: "finite and not negative" }) }
}

fn fraction(operand: &'static str, x: f64) -> Result<(), Error> {
    let fits = (0.0..1.0).contains(&x);
    if fits { Ok(()) } else { Err(Error::Value { operand, expected: "at least 0 and less than 1" }) }
}

/// A rule, its learning rate and the count of steps. The moments are in a slice of the caller's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimizer {
    rule: Rule,
    lr: f64,
    steps: u64,
    /// β₁ᵗ and β₂ᵗ, by repeated multiplication: no power function, hence the same bits everywhere.
    powers: (f64, f64),
}

impl Optimizer {
    /// An optimizer before its first step.
    ///
    /// # Errors
    /// [`Error::Value`] if the learning rate or a constant of the rule is outside its domain.
    pub fn new(rule: Rule, lr: f64) -> Result<Self, Error> {
        rule.check()?;
        not_negative("lr", lr)?;
        Ok(Optimizer { rule, lr, steps: 0, powers: (1.0, 1.0) })
    }

    /// The rule.
    pub const fn rule(&self) -> Rule {
        self.rule
    }

    /// The learning rate.
    pub const fn lr(&self) -> f64 {
        self.lr
    }

    /// How many steps have been begun.
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// [`Rule::state_len`].
    pub const fn state_len(&self, params: usize) -> usize {
        self.rule.state_len(params)
    }

    /// Sets the learning rate of the following steps.
    ///
    /// # Errors
    /// [`Error::Value`]; the learning rate is then as before.
    pub fn set_lr(&mut self, lr: f64) -> Result<(), Error> {
        not_negative("lr", lr)?;
        self.lr = lr;
        Ok(())
    }

    /// Begins the next step: to be followed by [`apply`](Optimizer::apply) on every part of the
    /// parameters.
    pub fn advance(&mut self) {
        let (beta1, beta2) = self.rule.betas();
        self.powers = (self.powers.0 * beta1, self.powers.1 * beta2);
        self.steps += 1;
    }

    /// The same optimizer after so many steps, to go on from saved parameters and state. Takes
    /// two multiplications per step.
    #[must_use]
    pub fn resume(self, steps: u64) -> Self {
        let mut optimizer = Optimizer { steps: 0, powers: (1.0, 1.0), ..self };
        for _ in 0..steps {
            optimizer.advance();
        }
        optimizer
    }

    /// One step for all parameters: [`advance`](Optimizer::advance) and
    /// [`apply`](Optimizer::apply).
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::TooShort`]; no step has then been counted and nothing written.
    pub fn step<E: Element, K: LinearKernels<E>>(
        &mut self,
        kernels: &mut K,
        params: &mut [E],
        grads: &[E],
        state: &mut [E],
    ) -> Result<(), Error> {
        self.check(params, grads, state)?;
        self.advance();
        self.apply(kernels, params, grads, state)
    }

    /// The current step for some of the parameters. `state` belongs to these parameters: its
    /// first [`state_len`](Optimizer::state_len) values are used. Done with the lanes of
    /// `kernels`; bound by memory: two (SGD) to four (Adam) slices are read, one to three written.
    ///
    /// # Errors
    /// [`Error::Shape`] if `grads` has not the length of `params`, [`Error::TooShort`] for
    /// `state`, [`Error::Value`] before the first [`advance`](Optimizer::advance). Nothing has
    /// then been written.
    pub fn apply<E: Element, K: LinearKernels<E>>(
        &self,
        kernels: &mut K,
        params: &mut [E],
        grads: &[E],
        state: &mut [E],
    ) -> Result<(), Error> {
        self.check(params, grads, state)?;
        if self.steps == 0 {
            return Err(Error::Value { operand: "step", expected: "begun with advance" });
        }
        let len = params.len();
        match self.rule {
            Rule::Sgd { weight_decay } => {
                let formula = Sgd { lr: E::from_f64(self.lr), decay: decay(weight_decay) };
                kernels.run(Update { formula, params, grads, state: [] });
            }
            Rule::Momentum { momentum, weight_decay } | Rule::Nesterov { momentum, weight_decay } => {
                let formula = Momentum {
                    momentum: E::from_f64(momentum),
                    lr: E::from_f64(self.lr),
                    decay: decay(weight_decay),
                    ahead: matches!(self.rule, Rule::Nesterov { .. }),
                };
                kernels.run(Update { formula, params, grads, state: [moments(state, len)?.0] });
            }
            #[cfg(feature = "optimizers")]
            Rule::Adam { epsilon, .. } | Rule::AdamW { epsilon, .. } => {
                let formula = adam::Adam::new(self, epsilon);
                let (m, rest) = moments(state, len)?;
                let (v, _) = moments(rest, len)?;
                kernels.run(Update { formula, params, grads, state: [m, v] });
            }
        }
        Ok(())
    }

    fn check<E>(&self, params: &[E], grads: &[E], state: &[E]) -> Result<(), Error> {
        let (found, expected) = (grads.len(), params.len());
        if found != expected {
            let dim = Dim::Values;
            return Err(Error::Shape {
                operand: "grads",
                dim,
                found,
                other: "params",
                other_dim: dim,
                expected,
            });
        }
        let (found, expected) = (state.len(), self.state_len(params.len()));
        if found < expected {
            return Err(Error::TooShort { operand: "state", expected, found });
        }
        Ok(())
    }
}

/// λ as a factor, or nothing, so that `0·p` is never computed (it is NaN where p is infinite).
fn decay<E: Element>(weight_decay: f64) -> Option<E> {
    (weight_decay > 0.0).then(|| E::from_f64(weight_decay))
}

/// One rule with everything that does not depend on the parameter already computed. S values of
/// state go with each parameter.
trait Formula<E: Element, const S: usize> {
    /// The new parameter and state.
    fn update<L: Lanes<E>>(&self, lanes: L, p: L::V, g: L::V, state: [L::V; S]) -> (L::V, [L::V; S]);
}

/// A formula over slices of one length.
struct Update<'a, E, F, const S: usize> {
    formula: F,
    params: &'a mut [E],
    grads: &'a [E],
    state: [&'a mut [E]; S],
}

impl<E: Element, F: Formula<E, S>, const S: usize> Task<E> for Update<'_, E, F, S> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<E>>(self, lanes: L) {
        let Update { formula, params, grads, state } = self;
        // All are of one length. Iterators instead of ranges, and one by one, not zipped: firmware has no room
        // for panics.
        let mut state = state.map(|part| part.chunks_mut(L::LANES));
        let (mut params, mut grads) = (params.chunks_mut(L::LANES), grads.chunks(L::LANES));
        while let (Some(params), Some(grads)) = (params.next(), grads.next()) {
            let mut state = state.each_mut().map(|part| part.next().unwrap_or_default());
            let old = state.each_ref().map(|part| lanes.load(part));
            let (p, new) = formula.update(lanes, lanes.load(params), lanes.load(grads), old);
            lanes.store(params, p);
            for (part, new) in state.iter_mut().zip(new) {
                lanes.store(part, new);
            }
        }
    }
}

/// `g + λ·p`.
#[inline(always)]
fn penalised<E: Element, L: Lanes<E>>(lanes: L, decay: Option<E>, p: L::V, g: L::V) -> L::V {
    match decay {
        Some(decay) => lanes.add(g, lanes.mul(lanes.splat(decay), p)),
        None => g,
    }
}

struct Sgd<E> {
    lr: E,
    decay: Option<E>,
}

impl<E: Element> Formula<E, 0> for Sgd<E> {
    #[inline(always)]
    fn update<L: Lanes<E>>(&self, lanes: L, p: L::V, g: L::V, _: [L::V; 0]) -> (L::V, [L::V; 0]) {
        let g = penalised(lanes, self.decay, p, g);
        (lanes.sub(p, lanes.mul(lanes.splat(self.lr), g)), [])
    }
}

struct Momentum<E> {
    momentum: E,
    lr: E,
    decay: Option<E>,
    /// Nesterov: step along g + μ·v instead of v.
    ahead: bool,
}

impl<E: Element> Formula<E, 1> for Momentum<E> {
    #[inline(always)]
    fn update<L: Lanes<E>>(&self, lanes: L, p: L::V, g: L::V, [v]: [L::V; 1]) -> (L::V, [L::V; 1]) {
        let momentum = lanes.splat(self.momentum);
        let g = penalised(lanes, self.decay, p, g);
        let v = lanes.add(lanes.mul(momentum, v), g);
        let along = if self.ahead { lanes.add(g, lanes.mul(momentum, v)) } else { v };
        (lanes.sub(p, lanes.mul(lanes.splat(self.lr), along)), [v])
    }
}

//! Activation functions and their derivatives, written once for every lane width.

use crate::element::Element;
use crate::error::Error;
use crate::lanes::Lanes;
#[cfg(feature = "activations")]
use crate::math;

/// What stands between `Z = X·W + b` and `Y = act(Z)`.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
#[non_exhaustive]
pub enum Activation {
    /// Y = Z.
    #[default]
    Identity,
    /// `max(z, 0)`; NaN stays NaN.
    Relu,
    /// `z` if positive, else `slope·z`.
    LeakyRelu {
        /// Positive and finite, so that the sign of Y tells the sign of Z.
        slope: f32,
    },
    /// `1/(1 + e^−z)`.
    #[cfg(feature = "activations")]
    Sigmoid,
    /// Hyperbolic tangent.
    #[cfg(feature = "activations")]
    Tanh,
    /// `z/2·(1 + tanh(√(2/π)·(z + 0.044715·z³)))` (D. Hendrycks, K. Gimpel 2016).
    #[cfg(feature = "activations")]
    Gelu,
    /// `z·sigmoid(z)`, also called swish.
    #[cfg(feature = "activations")]
    Silu,
}

/// What the backward pass has to know of the forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// Nothing.
    Nothing,
    /// Y, which the next layer keeps as its input anyway.
    Output,
    /// Z, which forward writes on request.
    PreActivation,
}

impl Activation {
    /// What the derivative is computed from.
    pub const fn saves(self) -> Saved {
        match self {
            Activation::Identity => Saved::Nothing,
            Activation::Relu | Activation::LeakyRelu { .. } => Saved::Output,
            #[cfg(feature = "activations")]
            Activation::Sigmoid | Activation::Tanh => Saved::Output,
            #[cfg(feature = "activations")]
            Activation::Gelu | Activation::Silu => Saved::PreActivation,
        }
    }

    /// As in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Activation::Identity => "identity",
            Activation::Relu => "ReLU",
            Activation::LeakyRelu { .. } => "leaky ReLU",
            #[cfg(feature = "activations")]
            Activation::Sigmoid => "sigmoid",
            #[cfg(feature = "activations")]
            Activation::Tanh => "tanh",
            #[cfg(feature = "activations")]
            Activation::Gelu => "GELU",
            #[cfg(feature = "activations")]
            Activation::Silu => "SiLU",
        }
    }

    /// # Errors
    /// [`Error::Value`] if a parameter is outside its domain.
    pub fn check(self) -> Result<(), Error> {
        match self {
            Activation::LeakyRelu { slope } if !(slope > 0.0 && slope < f32::INFINITY) => {
                Err(Error::Value { operand: "slope", expected: "positive and finite" })
            }
            _ => Ok(()),
        }
    }

    /// `act(z)`.
    #[inline(always)]
    pub fn apply<E: Element, L: Lanes<E>>(self, lanes: L, z: L::V) -> L::V {
        let zero = lanes.splat(E::ZERO);
        match self {
            Activation::Identity => z,
            Activation::Relu => lanes.select(lanes.less(z, zero), zero, z),
            Activation::LeakyRelu { slope } => {
                let slope = lanes.splat(E::from_f64(slope as f64));
                lanes.select(lanes.less(z, zero), lanes.mul(slope, z), z)
            }
            #[cfg(feature = "activations")]
            Activation::Sigmoid => math::sigmoid(lanes, z),
            #[cfg(feature = "activations")]
            Activation::Tanh => math::tanh(lanes, z),
            #[cfg(feature = "activations")]
            Activation::Gelu => math::gelu(lanes, z),
            #[cfg(feature = "activations")]
            Activation::Silu => math::silu(lanes, z),
        }
    }

    /// `dy·act'`, the derivative taken from what [`saves`](Activation::saves) names.
    #[inline(always)]
    pub fn backward<E: Element, L: Lanes<E>>(self, lanes: L, dy: L::V, saved: L::V) -> L::V {
        let zero = lanes.splat(E::ZERO);
        #[cfg(feature = "activations")]
        let one = lanes.splat(E::ONE);
        match self {
            Activation::Identity => dy,
            Activation::Relu => lanes.select(lanes.less(zero, saved), dy, zero),
            Activation::LeakyRelu { slope } => {
                let slope = lanes.splat(E::from_f64(slope as f64));
                lanes.select(lanes.less(zero, saved), dy, lanes.mul(slope, dy))
            }
            #[cfg(feature = "activations")]
            Activation::Sigmoid => lanes.mul(dy, lanes.mul(saved, lanes.sub(one, saved))),
            #[cfg(feature = "activations")]
            Activation::Tanh => lanes.mul(dy, lanes.mul(lanes.sub(one, saved), lanes.add(one, saved))),
            #[cfg(feature = "activations")]
            Activation::Gelu => lanes.mul(dy, math::gelu_derivative(lanes, saved)),
            #[cfg(feature = "activations")]
            Activation::Silu => lanes.mul(dy, math::silu_derivative(lanes, saved)),
        }
    }
}

//! Activations: special values, and derivatives as good as what they are taken from.

mod common;

use common::Random;
use trine_core::{Activation, Element, Fused, Lanes, Saved, Unfused};

const ALL: [Activation; 7] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.01 },
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Gelu,
    Activation::Silu,
];

fn both<E: Element>(f: impl Fn(bool) -> E) -> [E; 2] {
    [f(true), f(false)]
}

fn apply<E: Element>(activation: Activation, z: E) -> [E; 2] {
    both(|fused| if fused { activation.apply(Fused, z) } else { activation.apply(Unfused, z) })
}

fn backward<E: Element>(activation: Activation, dy: E, saved: E) -> [E; 2] {
    both(
        |fused| {
            if fused {
                activation.backward(Fused, dy, saved)
            } else {
                activation.backward(Unfused, dy, saved)
            }
        },
    )
}

#[test]
fn nan_stays_nan() {
    for activation in ALL {
        for y in apply(activation, f32::NAN) {
            assert!(y.is_nan(), "{activation:?}");
        }
    }
}

#[test]
fn rectifiers_are_exact() {
    let leaky = Activation::LeakyRelu { slope: 0.25 };
    for (z, relu, leaked) in [
        (2.0f32, 2.0f32, 2.0f32),
        (-2.0, 0.0, -0.5),
        (0.0, 0.0, 0.0),
        (-0.0, -0.0, -0.0),
        (f32::INFINITY, f32::INFINITY, f32::INFINITY),
        (f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY),
    ] {
        assert_eq!(apply(Activation::Relu, z).map(f32::to_bits), [relu.to_bits(); 2]);
        assert_eq!(apply(leaky, z).map(f32::to_bits), [leaked.to_bits(); 2]);
    }
    for (y, relu, leaked) in [(3.0f32, 8.0f32, 8.0f32), (-3.0, 0.0, 2.0), (0.0, 0.0, 2.0), (-0.0, 0.0, 2.0)] {
        assert_eq!(backward(Activation::Relu, 8.0, y), [relu; 2]);
        assert_eq!(backward(leaky, 8.0, y), [leaked; 2]);
    }
}

/// From Y, the derivative of sigmoid and tanh loses at most two roundings: near the ends of the
/// range only Y's own rounding is left.
#[test]
fn derivatives_from_the_output_are_as_good_as_the_output() {
    let mut random = Random(5);
    for _ in 0..200_000 {
        let y = random.between(0.0, 1.0) as f32;
        let y = if random.bits() & 1 == 0 { y } else { 1.0 - y * random.between(0.0, 1e-5) as f32 };
        let wide = y as f64;
        for (activation, want) in
            [(Activation::Sigmoid, wide * (1.0 - wide)), (Activation::Tanh, (1.0 - wide) * (1.0 + wide))]
        {
            for found in backward(activation, 1.0f32, y) {
                let relative = (found as f64 - want).abs() / want.max(f64::MIN_POSITIVE);
                assert!(relative <= 1.5 * f32::EPSILON as f64, "{activation:?} at y = {y}: {relative:e}");
            }
        }
    }
}

/// `backward` against a difference quotient of `apply`, from what `saves` names.
fn slopes<S: Lanes<f64, V = f64>>(lanes: S) {
    for activation in ALL {
        for k in -400..=400 {
            let (z, h) = (k as f64 / 40.0 + 0.0123, 1e-5);
            let y = activation.apply(lanes, z);
            let saved = match activation.saves() {
                Saved::Nothing => f64::NAN,
                Saved::Output => y,
                Saved::PreActivation => z,
            };
            let quotient = (activation.apply(lanes, z + h) - activation.apply(lanes, z - h)) / (2.0 * h);
            let found = activation.backward(lanes, 2.0, saved);
            assert!((found - 2.0 * quotient).abs() < 1e-9, "{activation:?} at {z}: {found}, 2·{quotient}");
        }
    }
}

#[test]
fn derivatives_are_slopes() {
    slopes(Fused);
    slopes(Unfused);
}

#[test]
fn a_slope_outside_its_domain_is_refused() {
    for slope in [0.0, -0.1, f32::INFINITY, f32::NAN] {
        let error = Activation::LeakyRelu { slope }.check().unwrap_err();
        assert_eq!(error.to_string(), "slope must be positive and finite");
    }
    for activation in ALL {
        assert_eq!(activation.check(), Ok(()));
    }
}

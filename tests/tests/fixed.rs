//! Layers of a fixed shape against an engine of the same rounding, bit by bit.

use trine_core::{Backward, Element, Gradients, LinearKernels, MatMut, MatRef, Rng, Step, Write};
use trine_kernels::fixed::Layer;
use trine_kernels::{Activation, Engine, Isa, Supported};
use trine_tests::case::ACTIVATIONS;

fn random<E: Element, const R: usize, const C: usize>(rng: &mut Rng) -> [[E; C]; R] {
    [(); R].map(|()| [(); C].map(|()| E::from_f64(2.0 * rng.uniform() - 1.0)))
}

fn bits<E: Element>(values: &[E]) -> Vec<u64> {
    values.iter().map(|value| value.bits()).collect()
}

/// Forward, backward and a step, of both.
fn agree<E: Supported, const N: usize, const D: usize, const M: usize>(activation: Activation) {
    let mut rng = Rng::keyed(1, &[N as u64, D as u64, M as u64]);
    let layer = Layer::<E, D, M> { w: random(&mut rng), b: random::<E, 1, M>(&mut rng)[0] };
    let (x, dy) = (random::<E, N, D>(&mut rng), random::<E, N, M>(&mut rng));
    let (mut y, mut z) = ([[E::NAN; M]; N], [[E::NAN; M]; N]);
    layer.forward(&x, activation, &mut y).expect("a good slope");
    layer.forward(&x, Activation::Identity, &mut z).expect("no slope");
    let saved = if activation.saves() == trine_core::Saved::PreActivation { z } else { y };

    let mut engine = Engine::with_isa(Isa::Portable).expect("everywhere");
    let mut expected = [[E::NAN; M]; N];
    let view = |values| MatRef::row_major(values, N, D).expect("all of it");
    let out = |values| MatRef::row_major(values, N, M).expect("all of it");
    let w = MatRef::row_major(layer.w.as_flattened(), D, M).expect("all of it");
    let to = MatMut::row_major(expected.as_flattened_mut(), N, M).expect("all of it");
    engine.forward(to, view(x.as_flattened()), w, Some(&layer.b), activation).expect("fits");
    assert_eq!(bits(y.as_flattened()), bits(expected.as_flattened()), "{N}×{D}×{M} {activation:?}");

    for write in [Write::REPLACE, Write::ADD.times(E::from_f64(-0.3))] {
        let start = Layer { w: random(&mut rng), b: random::<E, 1, M>(&mut rng)[0] };
        let (mut dz, mut dx, mut gradient) = (dy, [[E::NAN; D]; N], start);
        layer
            .backward(&x, &saved, &mut dz, activation, Some(&mut dx), &mut gradient, write)
            .expect("a good slope");
        let (mut expected_dx, mut expected) = ([[E::NAN; D]; N], start);
        let given = Backward {
            x: view(x.as_flattened()),
            w,
            dy: out(dy.as_flattened()),
            activation,
            saved: Some(out(saved.as_flattened())),
        };
        let wanted = Gradients {
            dx: Some(MatMut::row_major(expected_dx.as_flattened_mut(), N, D).expect("all of it")),
            dx_write: Write::REPLACE,
            dw: Some(MatMut::row_major(expected.w.as_flattened_mut(), D, M).expect("all of it")),
            db: Some(&mut expected.b),
            params_write: write,
        };
        engine.backward(given, wanted).expect("fits");
        assert_eq!(bits(dx.as_flattened()), bits(expected_dx.as_flattened()), "{N}×{D}×{M} {activation:?}");
        assert_eq!(bits(gradient.as_slice()), bits(expected.as_slice()), "{N}×{D}×{M} {activation:?}");
    }

    let (mut stepped, mut expected, lr) = (layer, layer, E::from_f64(0.05));
    stepped.step(&x, &saved, &mut { dy }, activation, None, lr).expect("a good slope");
    let step = Step {
        x: view(x.as_flattened()),
        w: MatMut::row_major(expected.w.as_flattened_mut(), D, M).expect("all of it"),
        bias: Some(&mut expected.b),
        dy: out(dy.as_flattened()),
        activation,
        saved: Some(out(saved.as_flattened())),
        dx: None,
        lr,
    };
    engine.backward_step(step).expect("fits");
    assert_eq!(bits(stepped.as_slice()), bits(expected.as_slice()), "{N}×{D}×{M} {activation:?}");
}

#[test]
fn a_layer_of_a_fixed_shape_has_the_bits_of_an_engine() {
    for activation in ACTIVATIONS {
        agree::<f32, 1, 1, 1>(activation);
        agree::<f32, 4, 8, 4>(activation);
        agree::<f32, 7, 5, 10>(activation);
        agree::<f32, 1, 9, 3>(activation);
        agree::<f32, 6, 517, 2>(activation);
        agree::<f64, 5, 6, 7>(activation);
    }
}

#[test]
fn a_bad_slope_is_refused_before_anything_is_written() {
    let layer = Layer::<f32, 2, 2>::ZERO;
    let mut y = [[7.0; 2]; 1];
    let refused = layer.forward(&[[1.0; 2]], Activation::LeakyRelu { slope: -1.0 }, &mut y);
    assert_eq!(refused.expect_err("refused").to_string(), "slope must be positive and finite");
    assert_eq!(y, [[7.0; 2]]);
}

#[test]
fn parameters_lie_as_in_a_network() {
    let mut layer = Layer::<f32, 2, 3> { w: [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], b: [7.0, 8.0, 9.0] };
    assert_eq!(layer.as_slice(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    layer.as_mut_slice()[7] = 0.0;
    assert_eq!(layer.b, [7.0, 0.0, 9.0]);
}

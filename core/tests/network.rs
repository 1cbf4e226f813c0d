//! The network as a whole: gradients, accumulation, microbatches in flight, stages, training.

#[path = "common/model.rs"]
mod model;

use model::{Model, WIDTHS, bits, kernels, network, normals};
use trine_core::{
    Activation, Backprop, BackpropStep, Cache, Error, MatMut, MatRef, Network, Optimizer, Rule, Write,
    hash_params,
};

const ACTIVATIONS: [Activation; 7] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.125 },
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Gelu,
    Activation::Silu,
];

#[test]
fn lengths_are_known_at_compile_time() {
    const NET: Network<'static> = match Network::new(&[2, 3, 1], Activation::Silu, Activation::Sigmoid) {
        Ok(network) => network,
        Err(_) => panic!(),
    };
    static PARAMS: [f32; NET.params_len()] = [0.0; NET.params_len()];
    assert_eq!(PARAMS.len(), 2 * 3 + 3 + 3 + 1);
    // X, then Y and Z of the SiLU layer, then Y of the sigmoid.
    const ACTIVATIONS: usize = NET.activations_len(10, 4);
    assert_eq!(ACTIVATIONS, (2 + 3 + 3 + 1) * 10 * 4);
    assert_eq!((NET.scratch_len(10), NET.slots_len(4)), (30, 12));
    let scratch = |widths| Network::new(widths, Activation::Relu, Activation::Relu).unwrap().scratch_len(2);
    assert_eq!((scratch(&[9, 9]), scratch(&[9, 5, 9]), scratch(&[9, 3, 5, 9])), (0, 10, 20));
    assert_eq!(network(Activation::Relu).params_range(1..3), 28..28 + 32 + 30);
    assert_eq!(
        Network::new(&[usize::MAX; 3], Activation::Relu, Activation::Relu).unwrap().params_len(),
        usize::MAX
    );
}

/// `Σ c·y` at some parameters and input.
fn objective(model: &mut Model<f64>, x: &[f64], c: &[f64], rows: usize) -> f64 {
    let scratch = model.network.scratch_len(rows);
    model.infer(x, rows, scratch).iter().zip(c).map(|(y, c)| y * c).sum()
}

#[test]
fn gradients_are_those_of_finite_differences() {
    const ROWS: usize = 5;
    const H: f64 = 1e-5;
    for (i, hidden) in ACTIVATIONS.into_iter().enumerate() {
        // Every activation at the output as well, next to another one.
        let output = ACTIVATIONS[(i + 3) % ACTIVATIONS.len()];
        let mut model = Model::<f64>::new(Network::new(&WIDTHS, hidden, output).unwrap(), ROWS, 1);
        let mut x = normals(ROWS * WIDTHS[0], 1);
        let c: Vec<f64> = normals(ROWS * WIDTHS[4], 2);
        let mut dx = vec![f64::NAN; x.len()];
        model.gradients(&x, &c, Write::REPLACE, Some(&mut dx));
        let close = |found: f64, difference: f64, what: &str, i| {
            let error = (found - difference).abs() / (1.0 + difference.abs());
            assert!(
                error < 1e-8,
                "{hidden:?} {output:?}: {what} {i} is {found}, differences say {difference}"
            );
        };
        for i in 0..model.params.len() {
            let p = model.params[i];
            model.params[i] = p + H;
            let above = objective(&mut model, &x, &c, ROWS);
            model.params[i] = p - H;
            let below = objective(&mut model, &x, &c, ROWS);
            model.params[i] = p;
            close(model.grads[i], (above - below) / (2.0 * H), "gradient of parameter", i);
        }
        for i in 0..x.len() {
            let old = x[i];
            x[i] = old + H;
            let above = objective(&mut model, &x, &c, ROWS);
            x[i] = old - H;
            let below = objective(&mut model, &x, &c, ROWS);
            x[i] = old;
            close(dx[i], (above - below) / (2.0 * H), "gradient of input", i);
        }
    }
}

#[test]
fn inference_gives_the_bits_of_training_in_any_blocks() {
    const ROWS: usize = 7;
    for hidden in ACTIVATIONS {
        for depth in 1..5 {
            let network = network(hidden).stage(0..depth).unwrap();
            let mut model = Model::<f32>::new(network, ROWS, 1);
            let x = normals(ROWS * WIDTHS[0], 3);
            let (network, mut cache, params, ..) = model.parts();
            network.input(&mut cache, 0, ROWS).unwrap().copy_from_slice(&x);
            network.forward(&mut kernels(), params, &mut cache, 0).unwrap();
            let y = bits(network.output(&cache, 0).unwrap().as_slice())[..ROWS * WIDTHS[depth]].to_vec();
            let one = network.scratch_len(1);
            for scratch in [one, 2 * one + 1, 3 * one, network.scratch_len(ROWS), 9 * one] {
                assert_eq!(bits(&model.infer(&x, ROWS, scratch)), y, "{hidden:?}, scratch {scratch}");
            }
            assert_eq!(bits(&model.infer(&x[..3], 1, one)), y[..WIDTHS[depth]]);
            assert!(model.infer(&[], 0, 0).is_empty());
        }
    }
}

#[test]
fn accumulated_microbatches_add_up() {
    let mut model = Model::<f64>::new(network(Activation::Relu), 8, 1);
    let (x, c): (Vec<f64>, Vec<f64>) = (normals(8 * 3, 5), normals(8 * 2, 6));
    model.gradients(&x, &c, Write::REPLACE, None);
    let whole = model.grads.clone();
    // Microbatches of 3, 3 and 2 rows: the last one is smaller.
    let mut sum = vec![0.0; whole.len()];
    for (i, rows) in [0..3, 3..6, 6..8].into_iter().enumerate() {
        let write = if i == 0 { Write::REPLACE } else { Write::ADD };
        model.grads = if i == 0 { vec![f64::NAN; sum.len()] } else { model.grads };
        let (x, c) = (&x[rows.start * 3..rows.end * 3], &c[rows.start * 2..rows.end * 2]);
        model.gradients(x, c, write, None);
        let accumulated = std::mem::replace(&mut model.grads, vec![f64::NAN; sum.len()]);
        model.gradients(x, c, Write::REPLACE, None);
        sum.iter_mut().zip(&model.grads).for_each(|(sum, g)| *sum += g);
        // One sum of fewer than K_BLOCK terms each: adding it once is adding its product.
        assert_eq!(bits(&accumulated), bits(&sum));
        model.grads = accumulated;
    }
    for (sum, whole) in model.grads.iter().zip(&whole) {
        assert!((sum - whole).abs() < 1e-13 * (1.0 + whole.abs()));
    }
}

#[test]
fn microbatches_in_flight_do_not_disturb_each_other() {
    const DEPTH: usize = 3;
    for hidden in [Activation::Relu, Activation::Gelu] {
        let mut alone = Model::<f32>::new(network(hidden), 4, 1);
        let mut model = Model::<f32>::new(network(hidden), 4, DEPTH);
        let row_counts = [4, 4, 2, 4, 3, 0, 1];
        let inputs: Vec<Vec<f32>> = row_counts.iter().map(|n| normals(n * 3, 70 + *n as u64)).collect();
        let dys: Vec<Vec<f32>> = row_counts.iter().map(|n| normals(n * 2, 80 + *n as u64)).collect();
        alone.grads.fill(0.0);
        for (x, dy) in inputs.iter().zip(&dys) {
            alone.gradients(x, dy, Write::ADD, None);
        }

        let (network, mut cache, params, grads, scratch) = model.parts();
        grads.fill(0.0);
        let mut backward = |cache: &mut Cache<'_, f32>, i: usize| {
            let dy = MatRef::row_major(&dys[i], row_counts[i], 2).unwrap();
            let (params, write) = (&*params, Write::ADD);
            let operands = Backprop { params, grads, write, dy, dx: None, scratch };
            network.backward(&mut kernels(), cache, i, operands, |_, _| {}).unwrap();
        };
        let params = alone.params.clone();
        for i in 0..row_counts.len() {
            if i >= DEPTH {
                let full = network.input(&mut cache, i, 1).unwrap_err();
                assert!(matches!(full, Error::Slot { found: "full", .. }));
                backward(&mut cache, i - DEPTH);
            }
            network.input(&mut cache, i, row_counts[i]).unwrap().copy_from_slice(&inputs[i]);
            network.forward(&mut kernels(), &params, &mut cache, i).unwrap();
        }
        for i in row_counts.len() - DEPTH..row_counts.len() {
            backward(&mut cache, i);
        }
        let row = network.activations_len(1, 1) * size_of::<f32>();
        assert_eq!((cache.bytes(), cache.peak_bytes()), (0, row * 10));
        assert_eq!(bits(&model.grads), bits(&alone.grads));
    }
}

#[test]
fn stages_give_the_bits_of_the_whole() {
    const ROWS: usize = 4;
    for hidden in [Activation::Tanh, Activation::Silu] {
        for split in 1..4 {
            let mut whole = Model::<f32>::new(network(hidden), ROWS, 1);
            let (x, dy) = (normals(ROWS * 3, 8), normals(ROWS * 2, 9));
            whole.gradients(&x, &dy, Write::REPLACE, None);

            let mut stages = [0..split, split..4].map(|layers| {
                let mut model = Model::<f32>::new(network(hidden).stage(layers.clone()).unwrap(), ROWS, 1);
                model.params.copy_from_slice(&whole.params[whole.network.params_range(layers)]);
                model
            });
            let [first, second] = &mut stages;
            let between = first.infer(&x, ROWS, 100);
            let mut dx = vec![f32::NAN; between.len()];
            second.gradients(&between, &dy, Write::REPLACE, Some(&mut dx));
            first.gradients(&x, &dx, Write::REPLACE, None);
            let joined = [&first.grads[..], &second.grads[..]].concat();
            assert_eq!(bits(&joined), bits(&whole.grads), "{hidden:?}, split at {split}");
            assert_eq!((first.network.first_layer(), second.network.first_layer()), (0, split));
        }
    }
}

#[test]
fn each_gradient_is_final_when_it_is_announced() {
    let mut model = Model::<f32>::new(network(Activation::LeakyRelu { slope: 0.25 }), 3, 1);
    let (x, dy) = (normals::<f32>(9, 1), normals::<f32>(6, 2));
    assert_eq!(model.gradients(&x, &dy, Write::REPLACE, None), [3, 2, 1, 0]);

    let (network, mut cache, params, grads, scratch) = model.parts();
    network.input(&mut cache, 0, 3).unwrap().copy_from_slice(&x);
    network.forward(&mut kernels(), params, &mut cache, 0).unwrap();
    let dy = MatRef::row_major(&dy, 3, 2).unwrap();
    let operands = Backprop { params, grads, write: Write::REPLACE, dy, dx: None, scratch };
    let mut announced = vec![f32::NAN; network.params_len()];
    network
        .backward(&mut kernels(), &mut cache, 0, operands, |layer, grads| {
            announced[network.params_range(layer..layer + 1)].copy_from_slice(grads);
        })
        .unwrap();
    assert!(announced.iter().all(|g| !g.is_nan()));
    assert_eq!(bits(&announced), bits(&model.grads));
}

#[test]
fn a_step_in_place_is_backward_into_the_parameters() {
    const ROWS: usize = 6;
    let lr = 0.03f32;
    for hidden in ACTIVATIONS {
        let mut model = Model::<f32>::new(network(hidden), ROWS, 1);
        let (x, dy) = (normals::<f32>(ROWS * 3, 1), normals::<f32>(ROWS * 2, 2));
        model.grads = model.params.clone();
        let mut dx = vec![f32::NAN; x.len()];
        model.gradients(&x, &dy, Write::ADD.times(-lr), Some(&mut dx));

        let (network, mut cache, params, grads, scratch) = model.parts();
        network.input(&mut cache, 0, ROWS).unwrap().copy_from_slice(&x);
        network.forward(&mut kernels(), params, &mut cache, 0).unwrap();
        let mut step_dx = vec![f32::NAN; x.len()];
        let view = MatMut::row_major(&mut step_dx, ROWS, 3).unwrap();
        let dy = MatRef::row_major(&dy, ROWS, 2).unwrap();
        let step = BackpropStep { params, lr, dy, dx: Some(view), scratch };
        network.backward_step(&mut kernels(), &mut cache, 0, step).unwrap();
        assert_eq!(cache.bytes(), 0);
        assert_eq!(bits(params), bits(grads), "{hidden:?}");
        assert_eq!(bits(&step_dx), bits(&dx), "{hidden:?}");
    }
}

/// Trains on exclusive or with mean squared error, its gradient written out here; returns the
/// outputs and the hash of the parameters.
fn exclusive_or(hidden: Activation, rule: Rule, lr: f64, steps: usize) -> ([f32; 4], u64) {
    let x = [0.0f32, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
    let target = [0.0f32, 1.0, 1.0, 0.0];
    let network = Network::new(&[2, 8, 1], hidden, Activation::Identity).unwrap();
    let mut model = Model::<f32>::new(network, 4, 1);
    let mut optimizer = Optimizer::new(rule, lr).unwrap();
    let mut state = vec![0.0; optimizer.state_len(network.params_len())];
    for _ in 0..steps {
        let y = model.infer(&x, 4, network.scratch_len(4));
        let dy: Vec<f32> = y.iter().zip(target).map(|(y, target)| (y - target) / 4.0).collect();
        model.gradients(&x, &dy, Write::REPLACE, None);
        optimizer.step(&mut kernels(), &mut model.params, &model.grads, &mut state).unwrap();
    }
    let y = model.infer(&x, 4, network.scratch_len(4));
    (y.try_into().unwrap(), hash_params(&model.params))
}

#[test]
fn exclusive_or_is_learned_and_always_the_same_way() {
    let momentum = Rule::Nesterov { momentum: 0.9, weight_decay: 0.0 };
    for (hidden, rule, lr) in [
        (Activation::Relu, Rule::ADAM, 0.02),
        (Activation::LeakyRelu { slope: 0.1 }, momentum, 0.1),
        (Activation::Tanh, Rule::Momentum { momentum: 0.9, weight_decay: 0.0 }, 0.1),
        (Activation::Gelu, Rule::ADAMW, 0.02),
    ] {
        let (y, hash) = exclusive_or(hidden, rule, lr, 1500);
        let right = y.iter().zip([0.0, 1.0, 1.0, 0.0]).all(|(y, target)| (y - target).abs() < 0.05);
        assert!(right, "{hidden:?} {rule:?}: {y:?}");
        assert_eq!(exclusive_or(hidden, rule, lr, 1500), (y, hash));
    }
}

#[test]
fn hashes_are_fnv_1a() {
    // "foobar" and two zero bytes as one f64: FNV-1a of those eight bytes.
    let mut expected = 0x85944171f73967e8u64;
    for _ in 0..2 {
        expected = expected.wrapping_mul(0x100000001b3);
    }
    assert_eq!(hash_params(&[f64::from_le_bytes(*b"foobar\0\0")]), expected);
    assert_eq!(hash_params::<f32>(&[]), 0xcbf29ce484222325);
    assert_ne!(hash_params(&[0.0f32]), hash_params(&[-0.0f32]));
    let halves = [f32::from_le_bytes(*b"foob"), f32::from_le_bytes(*b"ar\0\0")];
    assert_eq!(hash_params(&halves), expected);
}

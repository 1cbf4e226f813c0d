//! What a network refuses, and what is left when its kernels fail: parameters, gradients and cache as before.

#[path = "common/model.rs"]
mod model;

use model::{Model, bits, kernels, network};
use trine_core::{
    Activation, Backprop, BackpropStep, Backward, Cache, Error, Forward, Gradients, LinearKernels, MatMut,
    MatRef, Network, Slot, Step, Task, Write,
};

#[test]
fn wrong_operands_are_refused_and_nothing_is_written() {
    let mut model = Model::<f32>::new(network(Activation::Gelu), 4, 2);
    let before = model.params.clone();
    let (network, mut cache, params, grads, scratch) = model.parts();
    let message = |result: Result<(), Error>| result.unwrap_err().to_string();
    grads.fill(5.0);

    assert_eq!(message(network.forward(&mut kernels(), params, &mut cache, 0)), "cache slot 0 is empty");
    network.input(&mut cache, 0, 4).unwrap().fill(1.0);
    let forward = network.forward(&mut kernels(), &params[1..], &mut cache, 0);
    assert_eq!(message(forward), "params has 103 values, but network has 104 values");
    assert_eq!(cache.bytes(), 4 * 4 * 3);

    let zeros = [0.0f32; 12];
    let dy = |rows, cols| MatRef::row_major(&zeros, rows, cols).unwrap();
    let mut dx = [5.0f32; 16];
    let backward = |cache: &mut Cache<'_, f32>,
                    grads: &mut [f32],
                    dy: MatRef<'_, f32>,
                    dx: Option<MatMut<'_, f32>>,
                    scratch: &mut [f32]| {
        let operands = Backprop { params: &before, grads, write: Write::REPLACE, dy, dx, scratch };
        let result = network.backward(&mut kernels(), cache, 0, operands, |_, _| panic!("announced"));
        result.unwrap_err().to_string()
    };
    assert_eq!(backward(&mut cache, grads, dy(4, 2), None, scratch), "cache slot 1 is empty");
    network.forward(&mut kernels(), &before, &mut cache, 0).unwrap();
    assert_eq!(message(network.forward(&mut kernels(), &before, &mut cache, 0)), "cache slot 1 is full");

    let bytes = cache.bytes();
    let found = backward(&mut cache, &mut grads[1..], dy(4, 2), None, scratch);
    assert_eq!(found, "grads has 103 values, but network has 104 values");
    let found = backward(&mut cache, grads, dy(3, 2), None, scratch);
    assert_eq!(found, "dy has 3 rows, but x has 4 rows");
    let found = backward(&mut cache, grads, dy(4, 3), None, scratch);
    assert_eq!(found, "dy has 3 columns, but w has 2 columns");
    let view = MatMut::row_major(&mut dx, 4, 4).unwrap();
    let found = backward(&mut cache, grads, dy(4, 2), Some(view), scratch);
    assert_eq!(found, "dx has 4 columns, but w has 3 rows");
    let found = backward(&mut cache, grads, dy(4, 2), None, &mut scratch[1..]);
    assert_eq!(found, "scratch needs 56 units, but has 55");
    assert_eq!(cache.bytes(), bytes);

    let step = BackpropStep { params: &mut params[1..], lr: 1.0, dy: dy(4, 2), dx: None, scratch };
    let found = message(network.backward_step(&mut kernels(), &mut cache, 0, step));
    assert_eq!(found, "params has 103 values, but network has 104 values");
    let step = BackpropStep { params, lr: 1.0, dy: dy(1, 2), dx: None, scratch };
    let found = message(network.backward_step(&mut kernels(), &mut cache, 0, step));
    assert_eq!(found, "dy has 1 row, but x has 4 rows");

    assert!(grads.iter().chain(&dx).all(|g| *g == 5.0));
    assert_eq!(bits(params), bits(&before));
}

#[test]
fn inference_and_shapes_refuse_what_does_not_fit() {
    let network = network(Activation::Relu);
    let params = vec![0.0f32; network.params_len()];
    let (x, mut y) = ([0.0f32; 12], [5.0f32; 8]);
    let mut infer = |(n, d): (usize, usize), (yn, m): (usize, usize), params: &[f32], scratch: usize| {
        let x = MatRef::row_major(&x, n, d).unwrap();
        let view = MatMut::row_major(&mut y, yn, m).unwrap();
        let error = network.infer(&mut kernels(), params, x, view, &mut vec![0.0; scratch]).unwrap_err();
        assert_eq!(y, [5.0; 8]);
        error.to_string()
    };
    assert_eq!(infer((3, 4), (3, 2), &params, 99), "x has 4 columns, but w has 3 rows");
    assert_eq!(infer((4, 3), (3, 2), &params, 99), "y has 3 rows, but x has 4 rows");
    assert_eq!(infer((4, 3), (4, 1), &params, 99), "y has 1 column, but w has 2 columns");
    assert_eq!(infer((4, 3), (4, 2), &params, 13), "scratch needs 14 units, but has 13");
    assert_eq!(infer((4, 3), (4, 2), &[], 99), "params has 0 values, but network has 104 values");

    let relu = Activation::Relu;
    assert_eq!(Network::new(&[3], relu, relu).unwrap_err().to_string(), "widths must be at least two");
    assert!(network.stage(2..2).is_err());
    assert_eq!(
        network.stage(3..5).unwrap_err().to_string(),
        "a range ends at value 5, but there are 4 values"
    );

    // A cache that was made for another network.
    let other = Network::new(&[3, 7, 4, 5, 2], relu, relu).unwrap();
    let (mut memory, mut slots) = (vec![0.0f32; other.activations_len(4, 1)], [Slot::EMPTY; 5]);
    let mut cache = other.cache(&mut memory, &mut slots, 4).unwrap();
    let error = network.input(&mut cache, 0, 1).unwrap_err();
    assert_eq!(error.to_string(), "cache has 5 columns, but network has 6 columns");

    let slope = Network::new(&[1, 1, 1], Activation::LeakyRelu { slope: -1.0 }, relu).unwrap();
    let x = MatRef::row_major(&[1.0f32], 1, 1).unwrap();
    let mut y = [5.0f32];
    let view = MatMut::row_major(&mut y, 1, 1).unwrap();
    let error = slope.infer(&mut kernels(), &[0.0; 4], x, view, &mut [0.0]).unwrap_err();
    assert_eq!(error.to_string(), "slope must be positive and finite");
}

/// Kernels that have had enough after some calls, as if their scratch did not suffice.
struct Tiring(usize);

impl Tiring {
    fn call(&mut self, then: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        self.0 = self.0.checked_sub(1).ok_or(Error::Scratch { expected: 2, found: 1 })?;
        then()
    }
}

impl LinearKernels<f32> for Tiring {
    fn forward_with(&mut self, forward: Forward<'_, f32>) -> Result<(), Error> {
        self.call(|| kernels().forward_with(forward))
    }
    fn matmul(
        &mut self,
        c: MatMut<'_, f32>,
        a: MatRef<'_, f32>,
        b: MatRef<'_, f32>,
        write: Write<f32>,
    ) -> Result<(), Error> {
        self.call(|| kernels().matmul(c, a, b, write))
    }
    fn grad_params(
        &mut self,
        dw: MatMut<'_, f32>,
        db: Option<&mut [f32]>,
        x: MatRef<'_, f32>,
        dz: MatRef<'_, f32>,
        write: Write<f32>,
    ) -> Result<(), Error> {
        self.call(|| kernels().grad_params(dw, db, x, dz, write))
    }
    fn backward(&mut self, given: Backward<'_, f32>, wanted: Gradients<'_, f32>) -> Result<(), Error> {
        self.call(|| kernels().backward(given, wanted))
    }
    fn backward_step(&mut self, step: Step<'_, f32>) -> Result<(), Error> {
        self.call(|| kernels().backward_step(step))
    }
    fn run<T: Task<f32>>(&mut self, task: T) -> T::Output {
        kernels().run(task)
    }
}

#[test]
fn after_kernels_fail_the_cache_is_as_before() {
    let mut model = Model::<f32>::new(network(Activation::Silu), 2, 1);
    let (network, mut cache, params, grads, scratch) = model.parts();
    network.input(&mut cache, 0, 2).unwrap().fill(1.0);
    let bytes = cache.bytes();
    for calls in 0..4 {
        assert!(network.forward(&mut Tiring(calls), params, &mut cache, 0).is_err());
        assert_eq!(cache.bytes(), bytes);
    }
    network.forward(&mut Tiring(4), params, &mut cache, 0).unwrap();
    let bytes = cache.bytes();
    for calls in 0..5 {
        let dy = MatRef::row_major(&[1.0f32; 4], 2, 2).unwrap();
        let operands = Backprop { params, grads, write: Write::REPLACE, dy, dx: None, scratch };
        let result = network.backward(&mut Tiring(calls), &mut cache, 0, operands, |_, _| {});
        assert_eq!(result.is_ok(), calls == 4);
        assert_eq!(cache.bytes(), if calls == 4 { 0 } else { bytes });
    }
}

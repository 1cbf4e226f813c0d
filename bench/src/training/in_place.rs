//! Training without memory for gradients: each layer steps as soon as its own are known, straight into its
//! weights. One worker, plain SGD; what firmware with little memory does, with the same bits.

use std::time::{Duration, Instant};

use trine_core::loss::{Loss, Target};
use trine_core::{BackpropStep, LinearKernels, MatMut, MatRef, Network, Slot};
use trine_kernels::Engine;

use super::session::{EpochResult, Event, Job, Outcome, network, recognised};
use crate::images::{Chosen, Data, order};
use crate::parallel::error::Error;
use crate::parallel::worker::Batch;
use crate::timed::Timed;

/// Memory for a training, made once.
struct Memory {
    params: Vec<f32>,
    activations: Vec<f32>,
    slots: Vec<Slot>,
    scratch: Vec<f32>,
    dy: Vec<f32>,
    classes: Vec<u32>,
}

impl Memory {
    fn new(network: &Network<'_>, batch: usize) -> Self {
        Memory {
            params: vec![0.0; network.params_len()],
            activations: vec![0.0; network.activations_len(batch, 1)],
            slots: vec![Slot::EMPTY; network.slots_len(1)],
            scratch: vec![0.0; network.scratch_len(batch)],
            dy: vec![0.0; batch * network.widths()[network.layers()]],
            classes: Vec::new(),
        }
    }
}

/// Trains.
///
/// # Errors
/// Those of the network.
pub fn run(job: &Job, data: &Data, mut on_event: impl FnMut(Event<'_>)) -> Result<Outcome, Error> {
    let recipe = &job.recipe;
    let network = network(&recipe.widths)?;
    let mut kernels = Timed::whole(Engine::with_isa(job.isa)?.with_threads(job.threads));
    let mut memory = Memory::new(&network, recipe.batch);
    network.init(&mut memory.params, recipe.seed)?;
    let (mut numbers, mut results): (Vec<u32>, _) = ((0..data.train.len() as u32).collect(), Vec::new());
    let steps = recipe.epochs * data.train.len().div_ceil(recipe.batch);
    let (mut step, mut time) = (0, Duration::ZERO);
    for epoch in 0..recipe.epochs {
        order(&mut numbers, recipe.seed, epoch);
        let (start, mut loss) = (Instant::now(), 0.0);
        for chosen in numbers.chunks(recipe.batch) {
            let lr = (recipe.lr * recipe.rates.factor(step, steps)) as f32;
            let chosen = Chosen { images: &data.train, order: chosen };
            loss += one_step(&mut kernels, &network, &mut memory, &chosen, lr)?;
            step += 1;
            on_event(Event::Step);
        }
        time += start.elapsed();
        let seconds = start.elapsed().as_secs_f64();
        let numbers: Vec<u32> = (0..data.test.len() as u32).collect();
        let (mut right, shares) = (0, kernels.shares);
        for order in numbers.chunks(recipe.batch) {
            right +=
                recognised(&mut kernels, &network, &memory.params, &Chosen { images: &data.test, order })?;
        }
        kernels.shares = shares;
        let result = EpochResult {
            loss: loss / data.train.len() as f64,
            accuracy: right as f64 / data.test.len() as f64,
            samples_per_second: data.train.len() as f64 / seconds,
        };
        on_event(Event::Epoch(epoch + 1, &result));
        results.push(result);
    }
    Ok(Outcome {
        hash: trine_core::hash_params(&memory.params),
        results,
        time,
        samples: recipe.epochs * data.train.len(),
        shares: kernels.shares,
        waits: Default::default(),
        activations: memory.activations.len() * size_of::<f32>(),
        trace: Vec::new(),
    })
}

/// One batch; its loss, times its rows.
fn one_step<K: LinearKernels<f32>>(
    kernels: &mut K,
    network: &Network<'_>,
    memory: &mut Memory,
    batch: &Chosen<'_>,
    lr: f32,
) -> Result<f64, Error> {
    let Memory { params, activations, slots, scratch, dy, classes } = memory;
    let (rows, columns) = (batch.rows(), network.widths()[network.layers()]);
    let mut cache = network.cache(activations, slots, rows)?;
    batch.input(0..rows, network.input(&mut cache, 0, rows)?);
    batch.classes(0..rows, classes);
    network.forward(kernels, params, &mut cache, 0)?;
    let (y, to_dy) = (network.output(&cache, 0)?, MatMut::row_major(dy, rows, columns)?);
    let target = Target::Classes(classes);
    let loss = Loss::SoftmaxCrossEntropy.evaluate(kernels, y, target, rows, Some(to_dy))?;
    let dy = MatRef::row_major(dy, rows, columns)?;
    network.backward_step(kernels, &mut cache, 0, BackpropStep { params, lr, dy, dx: None, scratch })?;
    Ok(f64::from(loss) * rows as f64)
}

//! The main job: a network learns handwritten digits.

use std::time::{Duration, Instant};

use trine_core::loss::{Loss, Target, correct};
use trine_core::{
    Activation, Backprop, Error, LinearKernels, MatMut, MatRef, Network, Optimizer, Rng, Rule, Slot, Write,
    hash_params, shuffle,
};

use crate::data::{CLASSES, Digits, PIXELS};
use crate::timed::{Shares, Timed, clocked};

/// Values between the layers.
pub const WIDTHS: [usize; 4] = [PIXELS, 128, 64, CLASSES];
/// Images that are kept for the test.
pub const TEST: usize = 360;
/// Times that every image of the training set is seen.
pub const EPOCHS: usize = 40;
/// Images per step.
pub const BATCH: usize = 64;
/// Learning rate at the first step; falls along a straight line to 0 at the end.
const LR: f64 = 4e-3;
/// Decides the split, the initial weights and the order of the images.
const SEED: u64 = 1;

/// What came out.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Images of the test set that were recognised.
    pub correct: usize,
    /// Mean loss over the last epoch.
    pub loss: f32,
    /// Wall-clock time of the training, without the test.
    pub time: Duration,
    /// Where it went.
    pub shares: Shares,
    /// FNV-1a of the trained parameters.
    pub hash: u64,
}

/// Training set and test set: the digits in the order of a seeded shuffle, the last [`TEST`] for
/// the test.
pub fn split(digits: &Digits) -> (Digits, Digits) {
    let mut numbers: Vec<u32> = (0..digits.len() as u32).collect();
    shuffle(&mut numbers, &mut Rng::keyed(SEED, &[0]));
    let (train, test) = numbers.split_at(digits.len().saturating_sub(TEST));
    (digits.select(train), digits.select(test))
}

/// Memory for a training, made once.
struct Memory {
    params: Vec<f32>,
    grads: Vec<f32>,
    state: Vec<f32>,
    activations: Vec<f32>,
    slots: Vec<Slot>,
    scratch: Vec<f32>,
    dy: Vec<f32>,
}

impl Memory {
    fn new(network: &Network<'_>, optimizer: &Optimizer) -> Self {
        let params = network.params_len();
        Memory {
            params: vec![0.0; params],
            grads: vec![0.0; params],
            state: vec![0.0; optimizer.state_len(params)],
            activations: vec![0.0; network.activations_len(BATCH, 1)],
            slots: vec![Slot::EMPTY; network.slots_len(1)],
            scratch: vec![0.0; network.scratch_len(BATCH)],
            dy: vec![0.0; BATCH * CLASSES],
        }
    }
}

/// Trains on one set, tests on the other. `on_epoch` is told the mean loss of each epoch.
///
/// The time in [`Outcome::shares`] for forward, ∇X and ∇W is what `shares` finds in the kernels:
/// [`Timed`] for those that have a clock, nothing for others.
///
/// # Errors
/// Those of the network; none where the sets hold images and labels of the digits.
pub fn train<K: LinearKernels<f32>>(
    kernels: &mut K,
    shares: impl Fn(&K) -> Shares,
    (train, test): (&Digits, &Digits),
    mut on_epoch: impl FnMut(f32),
) -> Result<Outcome, Error> {
    let network = Network::new(&WIDTHS, Activation::Relu, Activation::Identity)?;
    let mut optimizer = Optimizer::new(Rule::ADAMW, LR)?;
    let Memory { mut params, mut grads, mut state, mut activations, mut slots, mut scratch, mut dy } =
        Memory::new(&network, &optimizer);
    let mut cache = network.cache(&mut activations, &mut slots, BATCH)?;
    network.init(&mut params, SEED)?;

    let (start, mut own, mut loss) = (Instant::now(), Shares::default(), 0.0);
    let mut order: Vec<u32> = (0..train.len() as u32).collect();
    let steps = EPOCHS * train.len().div_ceil(BATCH);
    for epoch in 0..EPOCHS {
        shuffle(&mut order, &mut Rng::keyed(SEED, &[1, epoch as u64]));
        let mut sum = 0.0;
        for batch in order.chunks(BATCH) {
            let batch = train.select(batch);
            let rows = batch.len();
            network.input(&mut cache, 0, rows)?.copy_from_slice(&batch.images);
            network.forward(kernels, &params, &mut cache, 0)?;
            let to_dy = MatMut::row_major(&mut dy, rows, CLASSES)?;
            let (y, target) = (network.output(&cache, 0)?, Target::Classes(&batch.labels));
            sum += clocked(&mut own.loss, || {
                Loss::SoftmaxCrossEntropy.evaluate(kernels, y, target, rows, Some(to_dy))
            })? * rows as f32;
            let operands = Backprop {
                params: &params,
                grads: &mut grads,
                write: Write::REPLACE,
                dy: MatRef::row_major(&dy, rows, CLASSES)?,
                dx: None,
                scratch: &mut scratch,
            };
            network.backward(kernels, &mut cache, 0, operands, |_, _| {})?;
            optimizer.set_lr(LR * (1.0 - optimizer.steps() as f64 / steps as f64))?;
            clocked(&mut own.optimizer, || optimizer.step(kernels, &mut params, &grads, &mut state))?;
        }
        loss = sum / train.len() as f32;
        on_epoch(loss);
    }
    let time = start.elapsed();
    let shares = Shares { loss: own.loss, optimizer: own.optimizer, ..shares(kernels) };

    let mut y = vec![0.0; test.len() * CLASSES];
    let images = MatRef::row_major(&test.images, test.len(), PIXELS)?;
    let to_y = MatMut::row_major(&mut y, test.len(), CLASSES)?;
    network.infer(kernels, &params, images, to_y, &mut scratch)?;
    let y = MatRef::row_major(&y, test.len(), CLASSES)?;
    let correct = correct(y, Target::Classes(&test.labels))?;
    Ok(Outcome { correct, loss, time, shares, hash: hash_params(&params) })
}

/// The same with a clock in the kernels.
///
/// # Errors
/// As [`train`].
pub fn train_timed<K: LinearKernels<f32>>(kernels: K, sets: (&Digits, &Digits)) -> Result<Outcome, Error> {
    train(&mut Timed::new(kernels), |timed| timed.shares, sets, |_| {})
}

#[cfg(test)]
mod tests {
    use trine_core::Rounding;
    use trine_kernels::{Engine, Isa};

    use super::*;
    use crate::data::FILE;

    #[test]
    fn sets_are_apart_and_complete() {
        let digits = Digits::read(FILE).expect("the file in the repository");
        let (train, test) = split(&digits);
        assert_eq!((train.len(), test.len()), (1797 - TEST, TEST));
        let mut all: Vec<&[f32]> = train.images.chunks(PIXELS).chain(test.images.chunks(PIXELS)).collect();
        let mut before: Vec<&[f32]> = digits.images.chunks(PIXELS).collect();
        let order = |a: &&[f32], b: &&[f32]| a.partial_cmp(b).expect("no NaN");
        all.sort_by(order);
        before.sort_by(order);
        assert!(all == before);
    }

    const HASH: &str = "ff5ad141bb12b9cb";

    #[test]
    fn learns_and_gives_one_hash() {
        let digits = Digits::read(FILE).expect("the file in the repository");
        let (train_set, test_set) = split(&digits);
        let sets = (&train_set, &test_set);
        let mut losses = Vec::new();
        let best = train(&mut Engine::new(), |_| Shares::default(), sets, |loss| losses.push(loss));
        let best = best.expect("shapes fit");
        assert_eq!(format!("{:016x}", best.hash), HASH, "the hash that the README states");
        assert!(best.correct * 100 >= test_set.len() * 97, "{} of {TEST}", best.correct);
        assert!(losses.len() == EPOCHS && losses[EPOCHS - 1] < losses[0] / 10.0, "{losses:?}");
        let fused = |isa: &Isa| isa.rounding::<f32>() == Rounding::Fused;
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available() && fused(isa)) {
            let engine = Engine::with_isa(isa).expect("available").with_threads(2);
            let other = train_timed(engine, sets).expect("shapes fit");
            assert_eq!(other.hash, best.hash, "{}", isa.name());
        }
    }
}

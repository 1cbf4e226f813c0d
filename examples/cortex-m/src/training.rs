//! The digits network, 64→32→10: the same as
//! `trine train --data digits --layers 64,32,10 --images 512,128 --batch 16 --microbatches 1 --epochs 10`,
//! with `--optimizer momentum`, or with `--optimizer sgd --in-place`.

use trine_core::init::init_layer;
use trine_core::loss::{Loss, Target};
use trine_core::{Error, MatMut, MatRef, Optimizer, Rng, Rule, Write, hash_parts, shuffle};
use trine_kernels::fixed::Layer;
use trine_kernels::{Activation, Engine, Isa};

/// Values between the layers.
const D: usize = 64;
const H: usize = 32;
const M: usize = 10;
/// Images in a batch.
const BATCH: usize = 16;
/// Images to learn from; the others are for the test.
pub const TRAIN: usize = 512;
/// Times that every image is seen.
const EPOCHS: usize = 10;
/// Decides initial weights and the order of the images.
const SEED: u64 = 1;

/// An image: pixels from 0 (white) to 16 (black), and what it shows.
type Image = [u8; D + 1];

/// The numbers of the images in the order in which they are learned from.
pub type Order = [u32; TRAIN];

/// The images, made with `cargo run --release -p trine-bench --bin subset`.
fn images() -> &'static [Image] {
    include_bytes!("../digits.bin").as_chunks().0
}

/// The parameters of both layers, or as many gradients, or the optimizer's state.
#[derive(Debug)]
pub struct Params {
    first: Layer<f32, D, H>,
    second: Layer<f32, H, M>,
}

impl Params {
    /// All zero.
    pub const ZERO: Self = Params { first: Layer::ZERO, second: Layer::ZERO };

    /// FNV-1a, as the program `trine` prints it.
    pub fn hash(&self) -> u64 {
        hash_parts([self.first.as_slice(), self.second.as_slice()])
    }
}

/// What one batch leaves between forward and backward.
#[derive(Debug)]
pub struct Activations {
    x: [[f32; D]; BATCH],
    hidden: [[f32; H]; BATCH],
    y: [[f32; M]; BATCH],
    d_hidden: [[f32; H]; BATCH],
    dy: [[f32; M]; BATCH],
    labels: [u32; BATCH],
}

impl Activations {
    /// Before the first batch.
    pub const ZERO: Self = Activations {
        x: [[0.0; D]; BATCH],
        hidden: [[0.0; H]; BATCH],
        y: [[0.0; M]; BATCH],
        d_hidden: [[0.0; H]; BATCH],
        dy: [[0.0; M]; BATCH],
        labels: [0; BATCH],
    };

    fn load<'i>(&mut self, images: impl Iterator<Item = &'i Image>) {
        for ((x, label), image) in self.x.iter_mut().zip(&mut self.labels).zip(images) {
            let [pixels @ .., digit] = image;
            for (x, &pixel) in x.iter_mut().zip(pixels) {
                *x = f32::from(pixel) / 16.0;
            }
            *label = u32::from(*digit);
        }
    }

    fn forward(&mut self, params: &Params) -> Result<(), Error> {
        params.first.forward(&self.x, Activation::Relu, &mut self.hidden)?;
        params.second.forward(&self.hidden, Activation::Identity, &mut self.y)
    }

    /// ∇Y of a batch.
    fn loss(&mut self, engine: &mut Engine<'_>) -> Result<(), Error> {
        let y = MatRef::row_major(self.y.as_flattened(), BATCH, M)?;
        let dy = MatMut::row_major(self.dy.as_flattened_mut(), BATCH, M)?;
        Loss::SoftmaxCrossEntropy.evaluate(engine, y, Target::Classes(&self.labels), BATCH, Some(dy))?;
        Ok(())
    }
}

/// How weights follow from a batch.
pub trait Method {
    /// Learning rate at the first step; it falls along a straight line to 0.
    const LR: f64;

    /// Backward, and a step.
    ///
    /// # Errors
    /// None with these settings.
    fn step(
        &mut self,
        engine: &mut Engine<'_>,
        params: &mut Params,
        activations: &mut Activations,
        lr: f64,
    ) -> Result<(), Error>;
}

/// Gradients in memory of their own, then a step of momentum.
#[derive(Debug)]
pub struct WithGradients<'m> {
    /// The gradients.
    pub gradients: &'m mut Params,
    /// The optimizer's state.
    pub state: &'m mut Params,
    /// The optimizer.
    pub optimizer: Optimizer,
}

impl<'m> WithGradients<'m> {
    /// # Errors
    /// None with these settings.
    pub fn new(gradients: &'m mut Params, state: &'m mut Params) -> Result<Self, Error> {
        let rule = Rule::Momentum { momentum: 0.9, weight_decay: 0.0 };
        Ok(WithGradients { gradients, state, optimizer: Optimizer::new(rule, Self::LR)? })
    }
}

impl Method for WithGradients<'_> {
    const LR: f64 = 0.02;

    #[inline(always)]
    fn step(
        &mut self,
        engine: &mut Engine<'_>,
        params: &mut Params,
        activations: &mut Activations,
        lr: f64,
    ) -> Result<(), Error> {
        let Activations { x, hidden, y, d_hidden, dy, .. } = activations;
        let Params { first, second } = params;
        let (gradients, state, write) = (&mut *self.gradients, &mut *self.state, Write::REPLACE);
        let identity = Activation::Identity;
        second.backward(hidden, y, dy, identity, Some(d_hidden), &mut gradients.second, write)?;
        first.backward(x, hidden, d_hidden, Activation::Relu, None, &mut gradients.first, write)?;
        self.optimizer.set_lr(lr)?;
        self.optimizer.advance();
        let (grads, state) = ([gradients.first.as_slice(), gradients.second.as_slice()], state);
        self.optimizer.apply(engine, first.as_mut_slice(), grads[0], state.first.as_mut_slice())?;
        self.optimizer.apply(engine, second.as_mut_slice(), grads[1], state.second.as_mut_slice())
    }
}

/// Straight into the weights.
#[derive(Debug)]
pub struct InPlace;

impl Method for InPlace {
    const LR: f64 = 0.1;

    #[inline(always)]
    fn step(
        &mut self,
        _: &mut Engine<'_>,
        params: &mut Params,
        activations: &mut Activations,
        lr: f64,
    ) -> Result<(), Error> {
        let Activations { x, hidden, y, d_hidden, dy, .. } = activations;
        params.second.step(hidden, y, dy, Activation::Identity, Some(d_hidden), lr as f32)?;
        params.first.step(x, hidden, d_hidden, Activation::Relu, None, lr as f32)
    }
}

/// Trains, and counts the images of the test that are recognised.
///
/// # Errors
/// None with these settings.
pub fn train<T: Method>(
    mut method: T,
    params: &mut Params,
    activations: &mut Activations,
    order: &mut Order,
) -> Result<u32, Error> {
    let mut engine = Engine::with_scratch(Isa::Portable, &mut [])?;
    init_layer(params.first.as_mut_slice(), D, H, 0, SEED)?;
    init_layer(params.second.as_mut_slice(), H, M, 1, SEED)?;
    for (i, number) in order.iter_mut().enumerate() {
        *number = i as u32;
    }
    let (mut step, steps) = (0, EPOCHS * TRAIN / BATCH);
    for epoch in 0..EPOCHS {
        shuffle(order, &mut Rng::keyed(SEED, &[1, epoch as u64]));
        for batch in order.as_chunks::<BATCH>().0 {
            activations.load(batch.iter().filter_map(|&number| images().get(number as usize)));
            activations.forward(params)?;
            activations.loss(&mut engine)?;
            let lr = T::LR * (1.0 - f64::from(step) / steps as f64);
            method.step(&mut engine, params, activations, lr)?;
            step += 1;
        }
    }
    test(params, activations)
}

/// How many images of the test are recognised.
fn test(params: &Params, activations: &mut Activations) -> Result<u32, Error> {
    let mut right = 0;
    for batch in images().get(TRAIN..).unwrap_or(&[]).as_chunks::<BATCH>().0 {
        activations.load(batch.iter());
        activations.forward(params)?;
        for (y, &label) in activations.y.iter().zip(&activations.labels) {
            let (mut best, mut digit) = (f32::NEG_INFINITY, u32::MAX);
            for (j, &y) in (0..).zip(y) {
                if y > best {
                    (best, digit) = (y, j);
                }
            }
            right += u32::from(digit == label);
        }
    }
    Ok(right)
}

/// Images of the test.
pub fn tests() -> u32 {
    (images().len() - TRAIN) as u32
}

//! The training of `trine train`, a step at a time, in static memory: the same shuffles, the same
//! arithmetic, hence the same weights as there on an engine that rounds twice.

use trine_core::loss::{Loss, Target, argmax};
use trine_core::{
    Activation, Backprop, Error, MatMut, MatRef, Network, Optimizer, Rng, Rule, Slot, Write, hash_params,
    shuffle,
};
use trine_kernels::{Engine, Isa, Line, Op, scratch_len};

use crate::clock::{Clock, Clocked, LAYERS, LOSS, OPTIMIZER, PHASES};
use crate::digits::{CLASSES, Digits, Numbers, PIXELS};

const WIDTHS: [usize; LAYERS + 1] = [PIXELS, 128, 64, CLASSES];
/// Images per step at most.
const BATCH: usize = 256;
const NETWORK: Network<'static> = match Network::new(&WIDTHS, Activation::Relu, Activation::Identity) {
    Ok(network) => network,
    Err(_) => panic!("these widths are a network"),
};
const PARAMS: usize = NETWORK.params_len();
const RULE: Rule = Rule::ADAMW;
/// Lines of scratch memory for the widest of the layers, on the engine of this module.
const LINES: usize = {
    let (mut most, mut i) = (0, 0);
    while i < LAYERS {
        let len = scratch_len::<f32>(ISA, Op::Backward, BATCH, WIDTHS[i], WIDTHS[i + 1]);
        let forward = scratch_len::<f32>(ISA, Op::Forward, BATCH, WIDTHS[i], WIDTHS[i + 1]);
        most = if len > most { len } else { most };
        most = if forward > most { forward } else { most };
        i += 1;
    }
    most
};

/// What the module is compiled for.
const ISA: Isa = if cfg!(target_feature = "simd128") { Isa::Simd128 } else { Isa::Portable };

/// The engine's instruction set.
pub fn isa() -> Isa {
    Isa::best()
}

/// A training and its memory.
pub struct Trainer {
    params: [f32; PARAMS],
    grads: [f32; PARAMS],
    state: [f32; RULE.state_len(PARAMS)],
    activations: [f32; NETWORK.activations_len(BATCH, 1)],
    slots: [Slot; NETWORK.slots_len(1)],
    between: [f32; NETWORK.scratch_len(BATCH)],
    dy: [f32; BATCH * CLASSES],
    labels: [u32; BATCH],
    scratch: [Line; LINES],
    /// The images: first those of the training in the order of this epoch, then those of the test.
    numbers: Numbers,
    /// The same before any epoch.
    split: Numbers,
    training: usize,
    /// Steps so far: the optimizer is made anew for each, so that all of this is 0 before the start and the
    /// module has no bytes for it.
    steps: u64,
    batch: usize,
    epochs: usize,
    seed: u64,
    lr: f64,
    losses: (f32, f32, f32),
    peak: usize,
    pub clock: Clock,
}

impl Trainer {
    /// One that has not been started.
    pub const EMPTY: Trainer = Trainer {
        params: [0.0; PARAMS],
        grads: [0.0; PARAMS],
        state: [0.0; RULE.state_len(PARAMS)],
        activations: [0.0; NETWORK.activations_len(BATCH, 1)],
        slots: [Slot::EMPTY; NETWORK.slots_len(1)],
        between: [0.0; NETWORK.scratch_len(BATCH)],
        dy: [0.0; BATCH * CLASSES],
        labels: [0; BATCH],
        scratch: [Line::UNINIT; LINES],
        numbers: Numbers([0; 1800]),
        split: Numbers([0; 1800]),
        training: 0,
        steps: 0,
        batch: 0,
        epochs: 0,
        seed: 0,
        lr: 0.0,
        losses: (0.0, 0.0, 0.0),
        peak: 0,
        clock: Clock { phases: [0.0; PHASES] },
    };

    /// Starts anew.
    pub fn start(
        &mut self,
        digits: &Digits,
        batch: usize,
        epochs: usize,
        lr: f64,
        seed: u64,
    ) -> Result<(), Error> {
        if batch == 0 || batch > BATCH {
            return Err(Error::Value { operand: "batch", expected: "1 to 256" });
        }
        if digits.training() == 0 {
            return Err(Error::Value { operand: "digits", expected: "loaded before" });
        }
        Optimizer::new(RULE, lr)?;
        digits.order(seed, &mut self.split);
        (self.training, self.batch, self.epochs) = (digits.training(), batch, epochs);
        (self.steps, self.seed, self.lr) = (0, seed, lr);
        (self.losses, self.peak) = ((0.0, 0.0, 0.0), 0);
        self.state.fill(0.0);
        self.clock.phases = [0.0; PHASES];
        NETWORK.init(&mut self.params, seed)
    }

    /// Steps so far, of the whole training, of an epoch.
    pub fn steps(&self) -> (usize, usize, usize) {
        let an_epoch = self.training.div_ceil(self.batch.max(1));
        (self.steps as usize, self.epochs * an_epoch, an_epoch)
    }

    /// Takes the images of an epoch into its order. That of an epoch begins with the last one's.
    fn begin_epoch(&mut self, epoch: usize) {
        if epoch == 0 {
            self.numbers.0 = self.split.0;
        }
        // `trine train` shuffles positions in the training set, each epoch those of the one before.
        let order = &mut self.numbers.0[..self.training];
        shuffle(order, &mut Rng::keyed(self.seed, &[1, epoch as u64]));
    }

    /// One step, if there is one left.
    pub fn step(&mut self, digits: &Digits) -> Result<(), Error> {
        let (done, in_all, an_epoch) = self.steps();
        if done >= in_all {
            return Ok(());
        }
        let (epoch, at) = (done / an_epoch, done % an_epoch);
        if at == 0 {
            self.begin_epoch(epoch);
            self.losses.2 = 0.0;
        }
        let end = self.training.min((at + 1) * self.batch);
        let numbers = &self.numbers.0[at * self.batch..end];
        let rows = numbers.len();

        let engine = Engine::with_scratch(isa(), &mut self.scratch)?;
        let mut kernels = Clocked { kernels: engine, clock: &mut self.clock, next: 0 };
        let mut cache = NETWORK.cache(&mut self.activations, &mut self.slots, BATCH)?;
        let input = NETWORK.input(&mut cache, 0, rows)?;
        for ((to, label), &number) in input.chunks_exact_mut(PIXELS).zip(&mut self.labels).zip(numbers) {
            let (image, digit) = digits.get(number);
            to.copy_from_slice(image);
            *label = digit;
        }
        NETWORK.forward(&mut kernels, &self.params, &mut cache, 0)?;
        let (y, target) = (NETWORK.output(&cache, 0)?, Target::Classes(&self.labels[..rows]));
        let to_dy = MatMut::row_major(&mut self.dy, rows, CLASSES)?;
        let Clocked { kernels: engine, clock, .. } = &mut kernels;
        let loss =
            clock.phase(LOSS, || Loss::SoftmaxCrossEntropy.evaluate(engine, y, target, rows, Some(to_dy)))?;
        kernels.next = LOSS + 1;
        let operands = Backprop {
            params: &self.params,
            grads: &mut self.grads,
            write: Write::REPLACE,
            dy: MatRef::row_major(&self.dy, rows, CLASSES)?,
            dx: None,
            scratch: &mut self.between,
        };
        NETWORK.backward(&mut kernels, &mut cache, 0, operands, |_, _| {})?;
        self.peak = self.peak.max(cache.peak_bytes());
        let lr = self.lr * (1.0 - self.steps as f64 / in_all as f64);
        let mut optimizer = Optimizer::new(RULE, lr)?.resume(self.steps);
        let Clocked { kernels: engine, clock, .. } = &mut kernels;
        let (params, grads, state) = (&mut self.params, &self.grads, &mut self.state);
        clock.phase(OPTIMIZER, || optimizer.step(engine, params, grads, state))?;
        self.steps = optimizer.steps();

        let (batch, mean, sum) = &mut self.losses;
        *batch = loss;
        *sum += loss * rows as f32;
        if end == self.training {
            *mean = *sum / self.training as f32;
        }
        Ok(())
    }

    /// Images per step.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Loss of the last batch.
    pub fn batch_loss(&self) -> f32 {
        self.losses.0
    }

    /// Mean loss of the last whole epoch.
    pub fn epoch_loss(&self) -> f32 {
        self.losses.1
    }

    /// Another learning rate at the start of the line.
    pub fn set_lr(&mut self, lr: f64) -> Result<(), Error> {
        // The optimizer's own check.
        Optimizer::new(RULE, lr)?;
        self.lr = lr;
        Ok(())
    }

    /// Images of the test that are recognised.
    pub fn correct(&mut self, digits: &Digits) -> Result<usize, Error> {
        let mut right = 0;
        let numbers = &self.split.0[self.training..self.training + digits.test()];
        let mut engine = Engine::with_scratch(isa(), &mut self.scratch)?;
        for numbers in numbers.chunks(BATCH) {
            let rows = numbers.len();
            let images = &mut self.activations[..rows * PIXELS];
            for ((to, label), &number) in images.chunks_exact_mut(PIXELS).zip(&mut self.labels).zip(numbers) {
                let (image, digit) = digits.get(number);
                to.copy_from_slice(image);
                *label = digit;
            }
            let (x, y) =
                (MatRef::row_major(images, rows, PIXELS)?, MatMut::row_major(&mut self.dy, rows, CLASSES)?);
            NETWORK.infer(&mut engine, &self.params, x, y, &mut self.between)?;
            let y = MatRef::row_major(&self.dy, rows, CLASSES)?;
            right += trine_core::loss::correct(y, Target::Classes(&self.labels[..rows]))?;
        }
        Ok(right)
    }

    /// The probability of each digit.
    pub fn predict(&mut self, image: &[f32; PIXELS], to: &mut [f32; CLASSES]) -> Result<(), Error> {
        let mut engine = Engine::with_scratch(isa(), &mut self.scratch)?;
        let (x, y) = (MatRef::row_major(image, 1, PIXELS)?, MatMut::row_major(to, 1, CLASSES)?);
        NETWORK.infer(&mut engine, &self.params, x, y, &mut self.between)?;
        // The gradient of the loss for class c is the softmax, less 1 at c.
        let y = MatRef::row_major(to, 1, CLASSES)?;
        let class = argmax(y, 0).unwrap_or(0);
        let (target, mut gradient) = ([class as u32], [0.0; CLASSES]);
        let dy = MatMut::row_major(&mut gradient, 1, CLASSES)?;
        Loss::SoftmaxCrossEntropy.evaluate(&mut engine, y, Target::Classes(&target), 1, Some(dy))?;
        *to = gradient;
        to[class] += 1.0;
        Ok(())
    }

    /// FNV-1a of the parameters.
    pub fn hash(&self) -> u64 {
        hash_params(&self.params)
    }

    /// The most bytes of activations at once.
    pub fn peak(&self) -> usize {
        self.peak
    }
}

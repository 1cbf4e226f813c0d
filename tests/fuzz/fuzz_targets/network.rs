//! A network, its cache, losses and steps in any order, right and wrong: an engine and the reference agree on
//! every error and on every bit.
#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use trine_core::cache::{Cache, Slot};
use trine_core::{
    Activation, Backprop, BackpropStep, Fused, LinearKernels, Loss, MatMut, MatRef, Network, Reference,
    Rounding, Target, Unfused, Write,
};
use trine_fuzz::activation;
use trine_kernels::{Engine, Isa};
use trine_tests::values::{mix, uniform};

fn numbers(len: usize, seed: u64) -> Vec<f32> {
    (0..len as u64).map(|i| uniform(mix(seed << 32 ^ i)) as f32).collect()
}

/// One thing that is done with a network.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Act {
    Input { microbatch: u8, rows: u8 },
    Forward { microbatch: u8 },
    Loss { microbatch: u8, squared: bool },
    Backward { microbatch: u8, add: bool, dx: bool, short: bool },
    Step { microbatch: u8 },
    Infer { rows: u8, scratch: u8 },
    Stage { from: u8, to: u8 },
}

/// A network and everything it works with.
struct World<'a, 'c, K> {
    network: Network<'a>,
    kernels: K,
    params: Vec<f32>,
    grads: Vec<f32>,
    scratch: Vec<f32>,
    dy: Vec<f32>,
    cache: Cache<'c, f32>,
    log: Vec<String>,
}

impl<K: LinearKernels<f32>> World<'_, '_, K> {
    fn hash(values: &[f32]) -> u64 {
        values.iter().fold(0, |hash, v| mix(hash ^ u64::from(if v.is_nan() { !0 } else { v.to_bits() })))
    }

    /// ∇Y for the rows of a microbatch, or for one if there is none.
    fn rows(&self, microbatch: usize) -> usize {
        self.cache.rows(microbatch, 0).unwrap_or(1)
    }

    fn act(&mut self, act: Act) {
        let network = self.network;
        let (d, m) = (network.widths()[0], network.widths()[network.layers()]);
        let told = match act {
            Act::Input { microbatch, rows } => {
                let rows = usize::from(rows % 7);
                network.input(&mut self.cache, microbatch.into(), rows).map(|x| {
                    x.copy_from_slice(&numbers(rows * d, u64::from(microbatch)));
                })
            }
            Act::Forward { microbatch } => {
                network.forward(&mut self.kernels, &self.params, &mut self.cache, microbatch.into())
            }
            Act::Loss { microbatch, squared } => self.loss(microbatch.into(), squared),
            Act::Backward { microbatch, add, dx, short } => self.backward(microbatch.into(), add, dx, short),
            Act::Step { microbatch } => {
                let rows = self.rows(microbatch.into());
                self.dy.resize(rows * m, 0.5);
                MatRef::row_major(&self.dy, rows, m).and_then(|dy| {
                    let scratch = &mut self.scratch;
                    let step = BackpropStep { params: &mut self.params, lr: 0.1, dy, dx: None, scratch };
                    network.backward_step(&mut self.kernels, &mut self.cache, microbatch.into(), step)
                })
            }
            Act::Infer { rows, scratch } => self.infer(usize::from(rows % 9), scratch.into()),
            Act::Stage { from, to } => network.stage(usize::from(from)..usize::from(to)).map(drop),
        };
        self.log.push(format!(
            "{act:?} {told:?} {:x} {:x} {}",
            Self::hash(&self.params),
            Self::hash(&self.grads),
            self.cache.bytes()
        ));
    }

    fn loss(&mut self, microbatch: usize, squared: bool) -> std::result::Result<(), trine_core::Error> {
        let y = self.network.output(&self.cache, microbatch)?;
        let (rows, m) = (y.nrows(), y.ncols());
        self.dy.resize(rows * m, 0.0);
        let dy = Some(MatMut::row_major(&mut self.dy, rows, m)?);
        let classes: Vec<u32> = (0..rows).map(|i| (i % m.max(1)) as u32).collect();
        let wanted = numbers(rows * m, 9);
        let (loss, target) = if squared {
            (Loss::MeanSquared, Target::Rows(MatRef::row_major(&wanted, rows, m)?))
        } else {
            (Loss::SoftmaxCrossEntropy, Target::Classes(&classes))
        };
        loss.evaluate(&mut self.kernels, y, target, rows, dy).map(drop)
    }

    fn backward(
        &mut self,
        microbatch: usize,
        add: bool,
        dx: bool,
        short: bool,
    ) -> std::result::Result<(), trine_core::Error> {
        let rows = self.rows(microbatch);
        let (d, m) = (self.network.widths()[0], self.network.widths()[self.network.layers()]);
        self.dy.resize(rows * m, 0.5);
        let mut memory = vec![f32::NAN; rows * d];
        let need = self.network.scratch_len(rows);
        self.scratch.resize(if short { need / 2 } else { need }, 0.0);
        let operands = Backprop {
            params: &self.params,
            grads: &mut self.grads,
            write: if add { Write::ADD } else { Write::REPLACE },
            dy: MatRef::row_major(&self.dy, rows, m)?,
            dx: if dx { Some(MatMut::row_major(&mut memory, rows, d)?) } else { None },
            scratch: &mut self.scratch,
        };
        let mut layers = 0;
        let done = self
            .network
            .backward(&mut self.kernels, &mut self.cache, microbatch, operands, |_, _| layers += 1);
        self.log.push(format!("{layers} layers, ∇X {:x}", Self::hash(&memory)));
        done
    }

    fn infer(&mut self, rows: usize, scratch: usize) -> std::result::Result<(), trine_core::Error> {
        let (d, m) = (self.network.widths()[0], self.network.widths()[self.network.layers()]);
        let (x, mut y) = (numbers(rows * d, 3), vec![f32::NAN; rows * m]);
        let mut scratch = vec![f32::NAN; scratch];
        let (x, to) = (MatRef::row_major(&x, rows, d)?, MatMut::row_major(&mut y, rows, m)?);
        let done = self.network.infer(&mut self.kernels, &self.params, x, to, &mut scratch);
        self.log.push(format!("{:x}", Self::hash(&y)));
        done
    }
}

/// What a network is made of.
struct Setup {
    widths: Vec<usize>,
    hidden: Activation,
    output: Activation,
    batch: usize,
    depth: usize,
}

fn log<K: LinearKernels<f32>>(setup: &Setup, kernels: K, acts: &[Act]) -> Vec<String> {
    let network = match Network::new(&setup.widths, setup.hidden, setup.output) {
        Ok(network) => network,
        Err(error) => return vec![error.to_string()],
    };
    let mut memory = vec![f32::NAN; network.activations_len(setup.batch, setup.depth)];
    let mut slots = vec![Slot::EMPTY; network.slots_len(setup.depth)];
    let cache = match network.cache(&mut memory, &mut slots, setup.batch) {
        Ok(cache) => cache,
        Err(error) => return vec![error.to_string()],
    };
    let (params, grads) = (numbers(network.params_len(), 7), vec![0.0; network.params_len()]);
    let scratch = vec![f32::NAN; network.scratch_len(setup.batch)];
    let (dy, log) = (Vec::new(), Vec::new());
    let mut world = World { network, kernels, params, grads, scratch, dy, cache, log };
    acts.iter().for_each(|&act| world.act(act));
    world.log
}

fn networks(bytes: &[u8]) -> Result<()> {
    let u = &mut Unstructured::new(bytes);
    let widths = (0..u.int_in_range(0..=4u8)?).map(|_| u.int_in_range(0..=20usize)).collect::<Result<_>>()?;
    let (hidden, output) = (activation(u)?, activation(u)?);
    let (batch, depth) = (u.int_in_range(0..=6usize)?, u.int_in_range(0..=3usize)?);
    let setup = Setup { widths, hidden, output, batch, depth };
    let acts: Vec<Act> = (0..u.int_in_range(0..=12u8)?).map(|_| Act::arbitrary(u)).collect::<Result<_>>()?;
    let expected = [log(&setup, Reference(Fused), &acts), log(&setup, Reference(Unfused), &acts)];
    for isa in Isa::ALL {
        let Ok(engine) = Engine::with_isa(isa) else { continue };
        let expected = &expected[usize::from(isa.rounding::<f32>() == Rounding::Unfused)];
        assert_eq!(log(&setup, engine, &acts), *expected, "{isa}");
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let _ = networks(bytes);
});

//! What `examples/c/train.c` computes, with the Rust interface: the same numbers in, the same training, the same
//! hash of the weights out. Reads the digits on standard input; `TRINE_ISA` chooses the instruction set.

use std::io::Read;

use trine_core::{
    Activation, Backward, Error, Gradients, LinearKernels, MatMut, MatRef, Step, Write, hash_params,
};
use trine_kernels::Engine;

const PIXELS: usize = 64;
const HIDDEN: usize = 32;
const CLASSES: usize = 10;
const TEST: usize = 360;
const BATCH: usize = 32;
const EPOCHS: usize = 60;
const RATE: f32 = 0.25;

struct Digits {
    images: Vec<f32>,
    labels: Vec<usize>,
}

fn read() -> Digits {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).expect("digits on standard input");
    let mut digits = Digits { images: Vec::new(), labels: Vec::new() };
    for line in text.lines() {
        let mut numbers = line.split(',').map(|n| n.trim().parse::<u16>().expect("a number"));
        digits.images.extend(numbers.by_ref().take(PIXELS).map(|pixel| f32::from(pixel) * 0.0625));
        digits.labels.push(usize::from(numbers.next().expect("a digit")));
    }
    digits
}

/// As `begin` in C.
fn begin(len: usize, mut seed: u32) -> Vec<f32> {
    let mut next = || {
        seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
        ((seed >> 8) as f32 * (1.0 / 16777216.0) - 0.5) * 0.25
    };
    (0..len).map(|_| next()).collect()
}

struct Network {
    w1: Vec<f32>,
    b1: Vec<f32>,
    w2: Vec<f32>,
    b2: Vec<f32>,
    hidden: Vec<f32>,
    y: Vec<f32>,
}

impl Network {
    fn forward(&mut self, engine: &mut Engine<'_>, x: &[f32]) -> Result<(), Error> {
        let n = x.len() / PIXELS;
        let (w1, w2) =
            (MatRef::row_major(&self.w1, PIXELS, HIDDEN)?, MatRef::row_major(&self.w2, HIDDEN, CLASSES)?);
        let (x, b1) = (MatRef::row_major(x, n, PIXELS)?, Some(&self.b1[..]));
        engine.forward(MatMut::row_major(&mut self.hidden, n, HIDDEN)?, x, w1, b1, Activation::Relu)?;
        let (x, b2) = (MatRef::row_major(&self.hidden, n, HIDDEN)?, Some(&self.b2[..]));
        engine.forward(MatMut::row_major(&mut self.y, n, CLASSES)?, x, w2, b2, Activation::Identity)
    }

    fn step(&mut self, engine: &mut Engine<'_>, x: &[f32], labels: &[usize]) -> Result<(), Error> {
        let target = |i: usize| if labels[i / CLASSES] == i % CLASSES { 1.0 } else { 0.0 };
        let dy: Vec<f32> =
            (0..BATCH * CLASSES).map(|i| (self.y[i] - target(i)) * (1.0 / BATCH as f32)).collect();
        let mut dhidden = vec![0.0; BATCH * HIDDEN];
        engine.backward_step(Step {
            x: MatRef::row_major(&self.hidden, BATCH, HIDDEN)?,
            w: MatMut::row_major(&mut self.w2, HIDDEN, CLASSES)?,
            bias: Some(&mut self.b2),
            dy: MatRef::row_major(&dy, BATCH, CLASSES)?,
            activation: Activation::Identity,
            saved: None,
            dx: Some(MatMut::row_major(&mut dhidden, BATCH, HIDDEN)?),
            lr: RATE,
        })?;
        let (mut dw, mut db) = (vec![0.0; PIXELS * HIDDEN], vec![0.0; HIDDEN]);
        let given = Backward {
            x: MatRef::row_major(x, BATCH, PIXELS)?,
            w: MatRef::row_major(&self.w1, PIXELS, HIDDEN)?,
            dy: MatRef::row_major(&dhidden, BATCH, HIDDEN)?,
            activation: Activation::Relu,
            saved: Some(MatRef::row_major(&self.hidden, BATCH, HIDDEN)?),
        };
        let wanted = Gradients {
            dx: None,
            dx_write: Write::REPLACE,
            dw: Some(MatMut::row_major(&mut dw, PIXELS, HIDDEN)?),
            db: Some(&mut db),
            params_write: Write::REPLACE,
        };
        engine.backward(given, wanted)?;
        for (value, gradient) in self.w1.iter_mut().zip(&dw).chain(self.b1.iter_mut().zip(&db)) {
            *value -= RATE * gradient;
        }
        Ok(())
    }
}

fn main() -> Result<(), Error> {
    let digits = read();
    let mut engine = Engine::from_env()?;
    let n = digits.labels.len();
    let mut network = Network {
        w1: begin(PIXELS * HIDDEN, 1),
        b1: vec![0.0; HIDDEN],
        w2: begin(HIDDEN * CLASSES, 2),
        b2: vec![0.0; CLASSES],
        hidden: vec![0.0; n * HIDDEN],
        y: vec![0.0; n * CLASSES],
    };
    for _ in 0..EPOCHS {
        for from in (0..=n - TEST - BATCH).step_by(BATCH) {
            let x = &digits.images[from * PIXELS..][..BATCH * PIXELS];
            network.forward(&mut engine, x)?;
            network.step(&mut engine, x, &digits.labels[from..])?;
        }
    }
    let params = [&network.w1[..], &network.b1, &network.w2, &network.b2].concat();
    println!("weights    {:016x} (FNV-1a)", hash_params(&params));
    Ok(())
}

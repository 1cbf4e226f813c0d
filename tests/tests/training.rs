//! Whole training runs, network, loss and optimizer together: the same bits on every engine.

use trine_core::{
    Activation, Backprop, Element, Error, Fused, LinearKernels, Loss, MatMut, MatRef, Network, Optimizer,
    Reference, Rounding, Rule, Slot, Target, Unfused, Write,
};
use trine_kernels::Supported;
use trine_tests::case::ACTIVATIONS;
use trine_tests::property::{isas, rounding, with_engine};
use trine_tests::values::{mix, uniform};
use trine_tests::{Blocks, Case, Op};

/// Wider than a tile in places, in no way a multiple of a vector.
const WIDTHS: [usize; 4] = [21, 53, 34, 7];
const ROWS: usize = 45;
const STEPS: u64 = 4;

#[derive(Clone, Copy, Debug)]
struct Run {
    hidden: Activation,
    loss: Loss,
    rule: Rule,
}

/// Losses and parameters after some steps, each on two microbatches.
fn train<E: Element, K: LinearKernels<E>>(run: Run, kernels: &mut K) -> Result<Vec<u64>, Error> {
    let network = Network::new(&WIDTHS, run.hidden, Activation::Identity)?;
    let mut params = vec![E::ZERO; network.params_len()];
    network.init(&mut params, 5)?;
    let mut grads = vec![E::NAN; params.len()];
    let mut optimizer = Optimizer::new(run.rule, 0.01)?;
    let mut state = vec![E::ZERO; optimizer.state_len(params.len())];
    let mut scratch = vec![E::NAN; network.scratch_len(ROWS)];
    let mut memory = vec![E::NAN; network.activations_len(ROWS, 2)];
    let mut slots = vec![Slot::EMPTY; network.slots_len(2)];
    let outputs = WIDTHS[WIDTHS.len() - 1];
    let mut losses = Vec::new();
    for step in 0..STEPS {
        let mut cache = network.cache(&mut memory, &mut slots, ROWS)?;
        for microbatch in 0..2 {
            let random = |i: usize| mix(mix(step << 32 | (microbatch as u64) << 16) ^ i as u64);
            let input = network.input(&mut cache, microbatch, ROWS)?;
            input.iter_mut().enumerate().for_each(|(i, x)| *x = E::from_f64(uniform(random(i))));
            network.forward(kernels, &params, &mut cache, microbatch)?;
            let classes: Vec<u32> =
                (0..ROWS).map(|i| (random(1 << 20 | i) % outputs as u64) as u32).collect();
            let mut dy = vec![E::NAN; ROWS * outputs];
            let gradient = MatMut::row_major(&mut dy, ROWS, outputs)?;
            let y = network.output(&cache, microbatch)?;
            let target = Target::Classes(&classes);
            losses.push(run.loss.evaluate(kernels, y, target, 2 * ROWS, Some(gradient))?);
            let operands = Backprop {
                params: &params,
                grads: &mut grads,
                write: if microbatch == 0 { Write::REPLACE } else { Write::ADD },
                dy: MatRef::row_major(&dy, ROWS, outputs)?,
                dx: None,
                scratch: &mut scratch,
            };
            network.backward(kernels, &mut cache, microbatch, operands, |_, _| {})?;
        }
        optimizer.step(kernels, &mut params, &grads, &mut state)?;
    }
    Ok(losses.into_iter().chain(params).chain(state).map(E::bits).collect())
}

fn on_every_engine<E: Supported>(run: Run) {
    let (mut fused, mut unfused) = (None, None);
    for isa in isas() {
        for (threads, blocks) in [(1, Blocks::Chosen), (2, Blocks::TinyPacked)] {
            let engine = Case { threads, blocks, ..Case::plain(Op::Forward, 1, 1, 1) };
            let (found, rounding) = with_engine::<E, _>(isa, &engine, |engine| {
                (train::<E, _>(run, engine).expect("fits"), rounding::<E, _>(engine))
            });
            let reference = |lanes: Rounding| match lanes {
                Rounding::Fused => train::<E, _>(run, &mut Reference(Fused)).expect("fits"),
                Rounding::Unfused => train::<E, _>(run, &mut Reference(Unfused)).expect("fits"),
            };
            let expected = match rounding {
                Rounding::Fused => fused.get_or_insert_with(|| reference(rounding)),
                Rounding::Unfused => unfused.get_or_insert_with(|| reference(rounding)),
            };
            let differ = found.iter().zip(expected.iter()).filter(|(a, b)| a != b).count();
            assert_eq!(differ, 0, "values that differ on {isa}, {} and {engine:?} in {run:?}", E::NAME);
            let nan = found.iter().filter(|&&bits| E::of_bits(bits).to_f64().is_nan()).count();
            assert_eq!(nan, 0, "NaN in {run:?}");
        }
    }
}

#[test]
fn training_gives_the_same_weights_everywhere() {
    let rules = [
        Rule::SGD,
        Rule::Momentum { momentum: 0.9, weight_decay: 0.01 },
        Rule::Nesterov { momentum: 0.9, weight_decay: 0.0 },
        Rule::ADAM,
        Rule::ADAMW,
    ];
    for (i, hidden) in ACTIVATIONS.into_iter().enumerate() {
        for loss in [Loss::MeanSquared, Loss::SoftmaxCrossEntropy] {
            let run = Run { hidden, loss, rule: rules[i % rules.len()] };
            on_every_engine::<f32>(run);
            on_every_engine::<f64>(Run { rule: rules[(i + 2) % rules.len()], ..run });
        }
    }
}

/// A loss falls where it is trained on the same data: the pieces fit together.
#[test]
fn every_rule_and_loss_learns() {
    for rule in [Rule::SGD, Rule::Momentum { momentum: 0.9, weight_decay: 0.0 }, Rule::ADAM, Rule::ADAMW] {
        for loss in [Loss::MeanSquared, Loss::SoftmaxCrossEntropy] {
            let (first, last) = fit(rule, loss).expect("fits");
            assert!(last < 0.5 * first, "{rule:?}, {loss:?}: from {first} to {last}");
        }
    }
}

/// The first and the last loss of 300 steps on 12 rows.
fn fit(rule: Rule, loss: Loss) -> Result<(f64, f64), Error> {
    const N: usize = 12;
    let mut engine = trine_kernels::Engine::new();
    let network = Network::new(&[4, 16, 3], Activation::Tanh, Activation::Identity)?;
    let mut params = vec![0f64; network.params_len()];
    network.init(&mut params, 1)?;
    let mut grads = vec![0.0; params.len()];
    let mut optimizer = Optimizer::new(rule, if rule == Rule::SGD { 0.5 } else { 0.02 })?;
    let mut state = vec![0.0; optimizer.state_len(params.len())];
    let mut scratch = vec![0.0; network.scratch_len(N)];
    let mut memory = vec![0.0; network.activations_len(N, 1)];
    let mut slots = vec![Slot::EMPTY; network.slots_len(1)];
    let classes: Vec<u32> = (0..N as u32).map(|i| i % 3).collect();
    let (mut first, mut last) = (None, 0.0);
    for _ in 0..300 {
        let mut cache = network.cache(&mut memory, &mut slots, N)?;
        let input = network.input(&mut cache, 0, N)?;
        input.iter_mut().enumerate().for_each(|(i, x)| *x = uniform(mix(i as u64)));
        network.forward(&mut engine, &params, &mut cache, 0)?;
        let mut dy = vec![0.0; N * 3];
        let gradient = MatMut::row_major(&mut dy, N, 3)?;
        last = loss.evaluate(
            &mut engine,
            network.output(&cache, 0)?,
            Target::Classes(&classes),
            N,
            Some(gradient),
        )?;
        first = first.or(Some(last));
        let dy = MatRef::row_major(&dy, N, 3)?;
        let (write, scratch) = (Write::REPLACE, &mut scratch[..]);
        let operands = Backprop { params: &params, grads: &mut grads, write, dy, dx: None, scratch };
        network.backward(&mut engine, &mut cache, 0, operands, |_, _| {})?;
        optimizer.step(&mut engine, &mut params, &grads, &mut state)?;
    }
    Ok((first.unwrap_or(last), last))
}

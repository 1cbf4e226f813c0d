//! Any number of workers, however they share the work: the weights of one.

mod common;

use common::{data, job, on, same, train};
use trine_bench::parallel::exchange::Choice;
use trine_bench::training::recipe::{Plan, Recipe};
use trine_bench::training::session::Job;
use trine_core::schedule::Policy;
use trine_core::{
    Activation, Backward, Fused, Gradients, LinearKernels, MatMut, MatRef, Network, Reference, Rule, Tree,
    Write,
};

fn with(job: &Job, change: impl FnOnce(&mut Recipe, &mut Plan)) -> Job {
    let mut job = job.clone();
    change(&mut job.recipe, &mut job.plan);
    job
}

#[test]
fn replicas_give_the_weights_of_one_worker() {
    let data = data();
    for (microbatches, rule) in
        [(4, Rule::ADAMW), (6, Rule::SGD), (8, Rule::Momentum { momentum: 0.9, weight_decay: 0.01 })]
    {
        let one = with(&job(), |recipe, _| (recipe.microbatches, recipe.rule) = (microbatches, rule));
        let expected = train(&one, &data).expect("one worker");
        for replicas in [2, 4, 8] {
            if microbatches % replicas > 0 {
                assert!(train(&on(&one, replicas, 1, 1), &data).is_err(), "{replicas} of {microbatches}");
                continue;
            }
            for interleaved in [true, false] {
                for bucket in [1 << 20, 1000, 77] {
                    let job = with(&on(&one, replicas, 1, 1), |_, plan| {
                        (plan.interleaved, plan.bucket) = (interleaved, bucket);
                    });
                    same(&job, &data, &expected);
                }
            }
        }
    }
}

#[test]
fn rows_instead_of_gradients_give_the_same_weights() {
    let data = data();
    for microbatches in [4, 12] {
        let one = with(&job(), |recipe, _| recipe.microbatches = microbatches);
        let expected = train(&one, &data).expect("one worker");
        // At the last balance the rows of some layers travel and the gradients of others.
        let choices = [Choice::Rows, Choice::Cheaper { balance: 1e9 }, Choice::Cheaper { balance: 120.0 }];
        for choice in choices {
            for replicas in [2, 4] {
                same(&with(&on(&one, replicas, 1, 1), |_, plan| plan.choice = choice), &data, &expected);
                same(&with(&on(&one, replicas, 2, 1), |_, plan| plan.choice = choice), &data, &expected);
            }
        }
    }
}

#[test]
fn pipelines_give_the_weights_of_one_worker() {
    let data = data();
    for microbatches in [1, 4, 8] {
        let one = with(&job(), |recipe, _| recipe.microbatches = microbatches);
        let expected = train(&one, &data).expect("one worker");
        for policy in Policy::ALL {
            for stages in [2, 4, 5] {
                for recompute in [false, true] {
                    let change =
                        |_: &mut Recipe, plan: &mut Plan| (plan.policy, plan.recompute) = (policy, recompute);
                    same(&with(&on(&one, 1, stages, 1), change), &data, &expected);
                }
            }
            if microbatches > 1 {
                same(&with(&on(&one, 2, 2, 1), |_, plan| plan.policy = policy), &data, &expected);
            }
        }
    }
}

#[test]
fn computing_again_saves_memory() {
    let data = data();
    let pipeline = with(&on(&job(), 1, 1, 1), |recipe, plan| {
        (recipe.microbatches, plan.policy) = (8, Policy::GPipe);
    });
    let kept = train(&pipeline, &data).expect("fits");
    let again = with(&pipeline, |_, plan| plan.recompute = true);
    same(&again, &data, &kept);
    let again = train(&again, &data).expect("fits");
    // Eight microbatches of six rows: all activations of each, or the inputs of each and all of one.
    let (input, all) = (64, 64 + 33 + 40 + 17 + 24 + 10);
    assert_eq!(kept.activations, 4 * 6 * 8 * all);
    assert_eq!(again.activations, 4 * 6 * (8 * input + all));
}

#[test]
fn parts_of_layers_give_the_weights_of_unsplit_ones() {
    let data = data();
    for shards in [2, 4] {
        let one = with(&job(), |recipe, _| recipe.shards = shards);
        let expected = train(&one, &data).expect("one worker");
        for parts in [1, 2, 4] {
            if parts > shards {
                assert!(train(&on(&one, 1, 1, parts), &data).is_err());
                continue;
            }
            for (replicas, stages) in [(1, 1), (2, 1), (1, 2), (2, 3)] {
                same(&on(&one, replicas, stages, parts), &data, &expected);
            }
        }
    }
}

/// One step of the pair, computed here from slices of the matrices: columns of W₁, rows of W₂,
/// partial sums along the tree.
#[test]
fn a_pair_in_shards_is_the_sum_of_its_definition() {
    let data = data();
    let shards = 4;
    let small = with(&job(), |recipe, _| {
        recipe.widths = vec![64, 21, 10];
        (recipe.batch, recipe.microbatches, recipe.shards) = (203, 1, shards);
        (recipe.rule, recipe.lr, recipe.epochs) = (Rule::SGD, 0.1, 1);
    });
    let network = Network::new(&small.recipe.widths, Activation::Relu, Activation::Identity).expect("layers");
    let mut params = vec![0f32; network.params_len()];
    network.init(&mut params, 1).expect("fits");
    step_of_a_pair(&data, &mut params, shards).expect("fits");
    let expected = trine_core::hash_params(&params);
    for parts in [1, 2, 4] {
        let found = train(&on(&small, 1, 1, parts), &data).expect("fits");
        // The reference is fused, as all kernels but two of x86.
        if small.recipe.rounding == trine_core::Rounding::Fused {
            assert_eq!(found.hash, expected, "{parts} workers");
        }
    }
}

fn step_of_a_pair(
    data: &trine_bench::images::Data,
    params: &mut [f32],
    shards: usize,
) -> Result<(), trine_core::Error> {
    let (n, d, h, m) = (data.train.len(), 64, 21, 10);
    let mut kernels = Reference(Fused);
    let mut numbers: Vec<u32> = (0..n as u32).collect();
    trine_bench::images::order(&mut numbers, 1, 0);
    let mut x = vec![0f32; n * d];
    for (&number, x) in numbers.iter().zip(x.chunks_mut(d)) {
        data.train.image(number as usize, x);
    }
    let classes: Vec<u32> = numbers.iter().map(|&i| u32::from(data.train.labels[i as usize])).collect();
    let tree = Tree::new(shards)?;
    let x = MatRef::row_major(&x, n, d)?;
    let (old, mut hidden) = (params.to_vec(), vec![0f32; n * h]);
    let w1 = MatRef::row_major(&old[..d * h], d, h)?;
    let b1 = &old[d * h..(d + 1) * h];
    let w2 = MatRef::row_major(&old[(d + 1) * h..][..h * m], h, m)?;
    let b2 = &old[(d + 1) * h + h * m..];
    // Columns of H are whole sums, split or not.
    kernels.forward(MatMut::row_major(&mut hidden, n, h)?, x, w1, Some(b1), Activation::Relu)?;
    let hidden = MatRef::row_major(&hidden, n, h)?;
    let mut partials = Vec::new();
    for shard in 0..shards {
        let rows = tree.rows(h, shard);
        let mut partial = vec![0f32; n * m];
        let zero = vec![0.0; m];
        let bias = if shard == 0 { b2 } else { &zero };
        let (a, b) = (hidden.cols(rows.clone())?, w2.rows(rows)?);
        kernels.forward(MatMut::row_major(&mut partial, n, m)?, a, b, Some(bias), Activation::Identity)?;
        partials.push(partial);
    }
    let sum = |a: &[f32], b: &[f32]| -> Vec<f32> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
    let y = sum(&sum(&partials[0], &partials[1]), &sum(&partials[2], &partials[3]));
    let (y, mut dy) = (MatRef::row_major(&y, n, m)?, vec![0f32; n * m]);
    let target = trine_core::Target::Classes(&classes);
    let to_dy = Some(MatMut::row_major(&mut dy, n, m)?);
    trine_core::Loss::SoftmaxCrossEntropy.evaluate(&mut kernels, y, target, n, to_dy)?;
    let (dy, mut grads) = (MatRef::row_major(&dy, n, m)?, vec![0f32; params.len()]);
    let (first, second) = grads.split_at_mut((d + 1) * h);
    let mut dh = vec![0f32; n * h];
    let (dw2, db2) = second.split_at_mut(h * m);
    let given = Backward { x: hidden, w: w2, dy, activation: Activation::Identity, saved: None };
    let (dx_write, params_write) = (Write::REPLACE, Write::REPLACE);
    let (dx, dw) = (Some(MatMut::row_major(&mut dh, n, h)?), Some(MatMut::row_major(dw2, h, m)?));
    kernels.backward(given, Gradients { dx, dx_write, dw, db: Some(db2), params_write })?;
    let (dw1, db1) = first.split_at_mut(d * h);
    let (dy, saved) = (MatRef::row_major(&dh, n, h)?, Some(hidden));
    let given = Backward { x, w: w1, dy, activation: Activation::Relu, saved };
    let dw = Some(MatMut::row_major(dw1, d, h)?);
    kernels.backward(given, Gradients { dx: None, dx_write, dw, db: Some(db1), params_write })?;
    for (p, g) in params.iter_mut().zip(&grads) {
        *p -= 0.1 * g;
    }
    Ok(())
}

/// With a single shard, and the network and settings of the main job, it is the main job.
#[test]
fn one_shard_is_plain_training() {
    let data = trine_bench::images::Source::Digits.read().expect("part of the program");
    let main = with(&job(), |recipe, _| {
        recipe.widths = trine_bench::train::WIDTHS.to_vec();
        (recipe.batch, recipe.microbatches, recipe.epochs) = (64, 1, trine_bench::train::EPOCHS);
    });
    let found = train(&main, &data).expect("fits");
    if main.recipe.rounding == trine_core::Rounding::Fused {
        assert_eq!(format!("{:016x}", found.hash), "ff5ad141bb12b9cb");
    }
    assert_eq!((found.results[39].accuracy * 360.0).round(), 353.0);
}

/// A sum of more rows than one block of additions holds is not added in one go.
#[test]
fn shards_longer_than_a_block_of_additions() {
    let data = trine_bench::images::Source::Digits.read().expect("part of the program");
    let one = with(&job(), |recipe, _| {
        (recipe.batch, recipe.microbatches, recipe.epochs) = (1437, 2, 2);
    });
    let expected = train(&one, &data).expect("fits");
    same(&on(&one, 2, 1, 1), &data, &expected);
    same(&on(&one, 1, 2, 1), &data, &expected);
    same(&with(&on(&one, 2, 1, 1), |_, plan| plan.choice = Choice::Rows), &data, &expected);
}

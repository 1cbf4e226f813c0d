//! Small trainings on some of the digits.
#![allow(dead_code, reason = "each suite uses a part of it")]

use std::time::Duration;

use trine_bench::images::{Data, Source};
use trine_bench::parallel::Error;
use trine_bench::parallel::exchange::Choice;
use trine_bench::parallel::grid::Grid;
use trine_bench::parallel::threads::Options;
use trine_bench::training::launch::{all, on_threads};
use trine_bench::training::recipe::{Plan, RateSchedule, Recipe};
use trine_bench::training::session::{Job, Outcome};
use trine_core::Rule;
use trine_core::schedule::Policy;
use trine_kernels::Isa;

/// 203 images to learn from: the last batch of 48 has 11.
pub fn data() -> Data {
    let mut data = Source::Digits.read().expect("part of the program");
    for (set, len) in [(&mut data.train, 203), (&mut data.test, 50)] {
        set.labels.truncate(len);
        set.pixels.truncate(len * set.width);
    }
    data
}

/// One worker, five layers.
pub fn job() -> Job {
    let isa = Isa::best();
    let recipe = Recipe {
        data: "digits".into(),
        data_hash: 1,
        widths: vec![64, 33, 40, 17, 24, 10],
        batch: 48,
        microbatches: 4,
        shards: 1,
        rule: Rule::ADAMW,
        lr: 4e-3,
        rates: RateSchedule::Linear,
        epochs: 2,
        seed: 1,
        rounding: isa.rounding::<f32>(),
    };
    let plan = Plan {
        grid: Grid::ONE,
        policy: Policy::OneForwardOneBackward,
        recompute: false,
        interleaved: true,
        bucket: 1000,
        choice: Choice::Gradients,
    };
    Job { recipe, plan, isa, threads: 1, checkpoint: None, resume: None, traced: None }
}

/// The same job on other workers.
pub fn on(job: &Job, replicas: usize, stages: usize, parts: usize) -> Job {
    let grid = Grid { replicas, stages, parts };
    Job { plan: Plan { grid, ..job.plan }, ..job.clone() }
}

/// Short enough for a test that waits for it to end.
pub fn options() -> Options {
    Options { timeout: Duration::from_secs(20), ..Options::default() }
}

/// What the first worker came to; all have the same hash and results.
pub fn train(job: &Job, data: &Data) -> Result<Outcome, Error> {
    let outcomes = all(on_threads(job, data, options(), |_| {}))?;
    let first = outcomes[0].clone();
    for outcome in outcomes {
        assert_eq!(outcome.hash, first.hash);
        for (a, b) in outcome.results.iter().zip(&first.results) {
            assert_eq!((a.loss.to_bits(), a.accuracy), (b.loss.to_bits(), b.accuracy));
        }
    }
    Ok(first)
}

/// The same weights and results as those of `expected`.
pub fn same(job: &Job, data: &Data, expected: &Outcome) {
    let Job { recipe, plan, .. } = job;
    let found = train(job, data).unwrap_or_else(|error| panic!("{plan:?}: {error}"));
    assert_eq!(found.hash, expected.hash, "{plan:?}, {} microbatches", recipe.microbatches);
    for (a, b) in found.results.iter().zip(&expected.results) {
        assert_eq!((a.loss.to_bits(), a.accuracy), (b.loss.to_bits(), b.accuracy), "{plan:?}");
    }
}

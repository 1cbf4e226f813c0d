//! `trine pebble`.

use std::path::PathBuf;

use clap::Args;
use trine_core::{Rng, Rule};
use trine_kernels::Isa;

use super::timeline::Timeline;
use super::{gantt, pebble};
use crate::images::{Data, Images};
use crate::parallel::exchange::Choice;
use crate::parallel::grid::Grid;
use crate::parallel::threads::Options;
use crate::training::args::ScheduleName;
use crate::training::launch::{all, on_threads};
use crate::training::recipe::{Plan, RateSchedule, Recipe, room};
use crate::training::session::Job;
use crate::{Failure, files};

/// In one picture at most.
const MICROBATCHES: usize = 128;

/// Draws one step: activations in memory over time, or the workers of a pipeline
#[derive(Clone, Debug, Args)]
pub struct PebbleArgs {
    /// Values between the layers
    #[arg(long, value_delimiter = ',', default_value = "784,512,256,10", value_name = "WIDTHS")]
    layers: Vec<usize>,
    /// Rows of the batch
    #[arg(long, default_value = "256")]
    batch: usize,
    /// Microbatches of the batch
    #[arg(long, default_value = "4")]
    microbatches: usize,
    /// Stages; with more than one the workers are drawn
    #[arg(long, default_value = "1", value_name = "N")]
    pp: usize,
    /// The schedule
    #[arg(long, value_enum, default_value = "gpipe")]
    schedule: ScheduleName,
    /// Activations are computed again instead of kept
    #[arg(long)]
    recompute: bool,
    /// Draws a step that was run, on data of no meaning
    #[arg(long)]
    measured: bool,
    /// Where the picture goes
    #[arg(long, value_name = "FILE")]
    svg: PathBuf,
}

/// A job on random images, 16 batches of them, for one worker.
///
/// # Errors
/// Settings that do not go together.
pub fn example(widths: &[usize], batch: usize, microbatches: usize) -> Result<(Job, Data), Failure> {
    let isa = Isa::best();
    let recipe = Recipe {
        data: "noise".into(),
        data_hash: 0,
        widths: widths.to_vec(),
        batch,
        microbatches,
        shards: 1,
        rule: Rule::SGD,
        lr: 0.01,
        rates: RateSchedule::Constant,
        epochs: 1,
        seed: 1,
        rounding: isa.rounding::<f32>(),
    };
    let plan = Plan {
        grid: Grid::ONE,
        policy: trine_core::Policy::GPipe,
        recompute: false,
        interleaved: true,
        bucket: 1 << 16,
        choice: Choice::Gradients,
    };
    let job = Job { recipe, plan, isa, threads: 1, checkpoint: None, resume: None, traced: Some(12) };
    job.plan.check(&job.recipe)?;
    let values = widths.iter().try_fold(0usize, |sum, &width| sum.checked_add(width));
    room(values.and_then(|values| values.checked_mul(batch)?.checked_mul(16)), "--batch")?;
    let (mut rng, width, classes) = (Rng::new(1), widths[0], *widths.last().unwrap_or(&1));
    let mut images = |count: usize| Images {
        width,
        scale: 255.0,
        pixels: (0..count * width).map(|_| rng.next_u64() as u8).collect(),
        labels: (0..count).map(|_| rng.below(classes.min(256) as u64) as u8).collect(),
    };
    let (train, test) = (images(16 * batch), images(1));
    Ok((job, Data { train, test, classes }))
}

impl PebbleArgs {
    /// Draws and writes the file.
    ///
    /// # Errors
    /// Settings that do not go together; a file that cannot be written.
    pub fn run(&self) -> Result<(), Failure> {
        if self.layers.len() < 2 || self.batch == 0 || self.microbatches == 0 {
            return Err("a picture needs two widths, and a batch and microbatches of 1 or more".into());
        }
        if self.microbatches > MICROBATCHES {
            return Err(format!("a picture of more than {MICROBATCHES} microbatches cannot be read").into());
        }
        let (mut job, data) = example(&self.layers, self.batch, self.microbatches)?;
        let Job { recipe, plan, .. } = &mut job;
        plan.grid.stages = self.pp;
        (plan.policy, plan.recompute) = (self.schedule.policy(), self.recompute);
        plan.check(recipe)?;
        let (recipe, plan) = (&job.recipe, &job.plan);
        let picture = if self.measured {
            let outcomes = all(on_threads(&job, &data, Options::default(), |_| {}))?;
            let traces = outcomes.into_iter().map(|outcome| outcome.trace).collect();
            let timeline = Timeline::measured(traces);
            println!("{:.1} % of the workers' time is spent waiting", 100.0 * timeline.idle());
            gantt::draw(recipe, plan, &timeline, true)?
        } else if self.pp > 1 {
            let timeline = Timeline::planned(recipe, plan)?;
            println!("{:.1} % of the workers' time is spent waiting", 100.0 * timeline.idle());
            gantt::draw(recipe, plan, &timeline, false)?
        } else {
            let (picture, peak) = pebble::draw(recipe, plan)?;
            println!("at most {peak} bytes of activations");
            picture
        };
        let path = &self.svg;
        files::write(path, &picture)?;
        println!("{}", path.display());
        Ok(())
    }
}

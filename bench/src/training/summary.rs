//! What a training prints.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::in_place;
use super::launch::{all, on_threads};
use super::recipe::RateSchedule;
use super::session::{EpochResult, Event, Job, Outcome};
use crate::images::Data;
use crate::parallel::grid::Grid;
use crate::parallel::threads::Options;
use crate::{Failure, table};

/// What is trained, how, and by whom, in three lines.
pub fn head(job: &Job, data: &Data, workers: &str) {
    let recipe = &job.recipe;
    let widths: Vec<_> = recipe.widths.iter().map(usize::to_string).collect();
    let falling = match recipe.rates {
        RateSchedule::Constant => "",
        RateSchedule::Linear => " falling to 0",
    };
    println!(
        "data       {}: {} images to learn from, {} for the test",
        recipe.data,
        data.train.len(),
        data.test.len()
    );
    println!(
        "network    {} (ReLU, softmax cross-entropy), {:?}, rate {}{falling}",
        widths.join("→"),
        recipe.rule,
        recipe.lr
    );
    let Grid { replicas, stages, parts } = job.plan.grid;
    println!(
        "step       batch {} in {} microbatches; {replicas} replicas × {stages} stages ({}) × {parts} parts, {workers}",
        recipe.batch,
        recipe.microbatches,
        job.plan.policy.name()
    );
}

/// A bar over all steps where the output is a terminal, a line for each epoch elsewhere.
pub struct Progress {
    bar: ProgressBar,
    epochs: usize,
}

impl Progress {
    /// Nothing has been done.
    pub fn new(job: &Job, data: &Data) -> Self {
        let steps = data.train.len().div_ceil(job.recipe.batch.max(1)) * job.recipe.epochs;
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} steps, {eta} left; {msg}");
        let bar = ProgressBar::new(steps as u64);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Progress { bar, epochs: job.recipe.epochs }
    }

    /// Something has been done.
    pub fn tell(&self, event: Event<'_>) {
        match event {
            Event::Step => self.bar.inc(1),
            Event::Epoch(epoch, result) => {
                let EpochResult { loss, accuracy, samples_per_second } = result;
                let (percent, rate) = (100.0 * accuracy, samples_per_second);
                let text = format!("loss {loss:.4}, test {percent:.2} %, {rate:.0} samples/s");
                if self.bar.is_hidden() {
                    println!("epoch {epoch:>3} of {}: {text}", self.epochs);
                }
                self.bar.set_message(text);
            }
        }
    }

    /// All has been done.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// What came out, the workers' time and memory.
pub fn print(outcomes: &[Outcome], test: usize) {
    let Some(first) = outcomes.first() else { return };
    if let Some(&EpochResult { loss, accuracy, .. }) = first.results.last() {
        let right = (accuracy * test as f64).round();
        println!(
            "accuracy   {:.2} % of the test set ({right} of {test}), loss {loss:.4} in training",
            100.0 * accuracy
        );
    }
    if first.samples == 0 {
        println!("time       none: all epochs had been done");
        println!("weights    {:016x} (FNV-1a)", first.hash);
        return;
    }
    let seconds = first.time.as_secs_f64();
    println!("time       {}, {:.0} samples/s", table::duration(seconds), first.samples as f64 / seconds);
    for (rank, outcome) in outcomes.iter().enumerate() {
        println!("worker {rank:<3} {}", worker(outcome));
    }
    println!("weights    {:016x} (FNV-1a)", first.hash);
}

/// Where one worker's time went, and its memory.
pub fn worker(outcome: &Outcome) -> String {
    let Outcome { time, shares, waits, activations, .. } = outcome;
    let percent = |part: Duration| 100.0 * part.as_secs_f64() / time.as_secs_f64();
    format!(
        "products {:.0} % (forward {:.0} %, backward {:.0} %), waiting for neighbours {:.1} %, for sums {:.1} %; \
         activations {:.0} KiB",
        percent(shares.forward + shares.dx + shares.dw),
        percent(shares.forward),
        percent(shares.dx + shares.dw),
        percent(waits.neighbours),
        percent(waits.sums),
        *activations as f64 / 1024.0
    )
}

/// Trains on threads, or in place, and prints all of that.
///
/// # Errors
/// What ended a worker.
pub fn train(job: &Job, data: &Data, options: Options, in_place: bool) -> Result<Vec<Outcome>, Failure> {
    head(job, data, "threads");
    let progress = Progress::new(job, data);
    let outcomes = if in_place {
        vec![in_place::run(job, data, |event| progress.tell(event))]
    } else {
        on_threads(job, data, options, |event| progress.tell(event))
    };
    progress.end();
    for (rank, outcome) in outcomes.iter().enumerate() {
        if let (Err(error), 2..) = (outcome, job.plan.grid.workers()) {
            eprintln!("worker {rank}: {error}");
        }
    }
    let outcomes = all(outcomes)?;
    print(&outcomes, data.test.len());
    Ok(outcomes)
}

//! Who does what when: by the schedule, with the operations of each layer for time, or as measured.

use trine_core::schedule::check::{Mark, Place, run_with};
use trine_core::{Instruction, Schedule};

use crate::Failure;
use crate::parallel::grid::stages;
use crate::parallel::trace::{Span, Work};
use crate::training::recipe::{Plan, Recipe};

/// A layer's pass within one worker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pass {
    /// Which microbatch.
    pub microbatch: usize,
    /// Which layer of the network.
    pub layer: usize,
    /// Forward, or backward.
    pub forward: bool,
    /// Begin and end.
    pub time: (f64, f64),
}

/// Spans of all workers of one replica, by stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    /// In order of time.
    pub workers: Vec<Vec<Span>>,
    /// Time of the last.
    pub end: f64,
}

/// Operations of a layer's forward for one microbatch, in millions. Backward takes twice as many, but
/// once where ∇X is not computed.
fn forward(recipe: &Recipe, layer: usize) -> f64 {
    let rows = recipe.batch as f64 / recipe.microbatches as f64;
    2.0 * rows * (recipe.widths[layer] * recipe.widths[layer + 1]) as f64 / 1e6
}

fn backward(recipe: &Recipe, layer: usize) -> f64 {
    forward(recipe, layer) * if layer == 0 { 1.0 } else { 2.0 }
}

/// The schedule of one replica.
///
/// # Errors
/// [`Error::Settings`](crate::parallel::Error::Settings).
pub fn schedule(recipe: &Recipe, plan: &Plan) -> Result<Schedule, Failure> {
    let replicas = plan.grid.replicas;
    Ok(Schedule::new(plan.policy, plan.grid.stages, recipe.microbatches / replicas, replicas)?)
}

impl Timeline {
    /// By the schedule; time in millions of operations.
    ///
    /// # Errors
    /// More stages than layers.
    pub fn planned(recipe: &Recipe, plan: &Plan) -> Result<Timeline, Failure> {
        let schedule = schedule(recipe, plan)?;
        let layers = stages(&recipe.widths, plan.grid.stages, recipe.shards)?;
        // Whole numbers of operations, of which the checker's clocks are made.
        let time = |worker: usize, one: fn(&Recipe, usize) -> f64| {
            let sum: f64 = layers[worker].clone().map(|layer| one(recipe, layer)).sum();
            (sum * 1e6).round() as u64
        };
        let mut places: Vec<_> =
            (0..schedule.stages()).map(|stage| Place::new(schedule.worker(stage))).collect();
        let mut marks = vec![Mark::default(); schedule.stages() * schedule.microbatches()];
        let mut workers = vec![Vec::new(); schedule.stages()];
        // Where activations are computed again, a backward begins with its forward.
        let times = |worker| {
            let (ahead, back) = (time(worker, forward), time(worker, backward));
            let again = plan.recompute && schedule.in_flight(worker) > 1;
            (ahead, if again { ahead + back } else { back })
        };
        let capacity = schedule.microbatches();
        let report =
            run_with(&mut places, &mut marks, capacity, capacity, times, |worker, instruction, end| {
                let (ahead, back) = times(worker);
                let (work, taken) = match instruction {
                    Instruction::Forward(i) => (Work::Forward(i), ahead),
                    Instruction::Backward { microbatch, .. } => (Work::Backward(microbatch), back),
                    _ => return,
                };
                let span = |at: u64| at as f64 / 1e6;
                workers[worker].push(Span { work, start: span(end - taken), end: span(end) });
            })?;
        Ok(Timeline { workers, end: report.makespan as f64 / 1e6 })
    }

    /// From the traces of a run, in milliseconds since the first of them.
    pub fn measured(traces: Vec<Vec<Span>>) -> Timeline {
        let all = || traces.iter().flatten();
        let first = all().map(|span| span.start).fold(f64::INFINITY, f64::min);
        let milliseconds = |time: f64| (time - first) * 1e3;
        let end = all().map(|span| milliseconds(span.end)).fold(0.0, f64::max);
        let shift =
            |span: Span| Span { start: milliseconds(span.start), end: milliseconds(span.end), ..span };
        let workers = traces.into_iter().map(|spans| spans.into_iter().map(shift).collect()).collect();
        Timeline { workers, end }
    }

    /// The share of all workers' time in which they go neither forward nor backward.
    pub fn idle(&self) -> f64 {
        let busy = |span: &&Span| matches!(span.work, Work::Forward(_) | Work::Backward(_));
        let busy: f64 = self.workers.iter().flatten().filter(busy).map(|span| span.end - span.start).sum();
        1.0 - busy / (self.end * self.workers.len() as f64)
    }
}

/// The passes of a single worker through all layers, one microbatch after the other. With `recompute`
/// and more than one microbatch in flight a forward comes again before the backward.
///
/// # Errors
/// None with microbatches.
pub fn passes(recipe: &Recipe, plan: &Plan) -> Result<Vec<Pass>, Failure> {
    let (schedule, layers) = (schedule(recipe, plan)?, recipe.widths.len() - 1);
    let (mut passes, mut now, mut held) = (Vec::new(), 0.0, None);
    let again = plan.recompute && schedule.in_flight(0) > 1;
    for instruction in schedule.worker(0) {
        let (microbatch, back) = match instruction {
            Instruction::Forward(i) => (i, false),
            Instruction::Backward { microbatch, .. } => (microbatch, true),
            _ => continue,
        };
        let mut push = |layer, forward, time: f64| {
            passes.push(Pass { microbatch, layer, forward, time: (now, now + time) });
            now += time;
        };
        if !back || again && held != Some(microbatch) {
            (0..layers).for_each(|layer| push(layer, true, forward(recipe, layer)));
            held = Some(microbatch);
        }
        if back {
            (0..layers).rev().for_each(|layer| push(layer, false, backward(recipe, layer)));
        }
    }
    Ok(passes)
}

/// An activation in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// Of which microbatch.
    pub microbatch: usize,
    /// The input of layer `slot`, which is the output of the layer before it.
    pub slot: usize,
    /// From when to when.
    pub time: (f64, f64),
    /// How much.
    pub bytes: usize,
}

/// What is kept when, in the order in which it appears. A bar ends with the backward that uses it
/// last; where activations are computed again, with the next microbatch that takes their place.
pub fn kept(recipe: &Recipe, plan: &Plan, passes: &[Pass]) -> Vec<Kept> {
    let layers = recipe.widths.len() - 1;
    let rows = |microbatch| {
        let tree = trine_core::Tree::new(recipe.microbatches);
        tree.map_or(0, |tree| tree.rows(recipe.batch, microbatch).len())
    };
    let deep = schedule(recipe, plan).map_or(1, |schedule| schedule.in_flight(0));
    let again = plan.recompute && deep > 1;
    let mut all: Vec<Kept> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let close = |all: &mut Vec<Kept>, open: &mut Vec<usize>, at: f64, which: &dyn Fn(&Kept) -> bool| {
        open.retain(|&i| {
            let done = which(&all[i]);
            if done {
                all[i].time.1 = at;
            }
            !done
        });
    };
    // Where activations are computed again, slot `layers + 1` stands for the input that is kept.
    let saved = layers + 1;
    for pass in passes {
        let Pass { microbatch, layer, time: (start, end), .. } = *pass;
        let put = |all: &mut Vec<Kept>, open: &mut Vec<usize>, slot: usize| {
            let width = recipe.widths[if slot == saved { 0 } else { slot }];
            let bytes = 4 * width * rows(microbatch);
            open.push(all.len());
            all.push(Kept { microbatch, slot, time: (start, start), bytes });
        };
        if pass.forward && layer == 0 {
            if again {
                close(&mut all, &mut open, start, &|kept| kept.slot <= layers);
                if !all.iter().any(|kept| kept.slot == saved && kept.microbatch == microbatch) {
                    put(&mut all, &mut open, saved);
                }
            }
            put(&mut all, &mut open, 0);
        }
        if pass.forward {
            put(&mut all, &mut open, layer + 1);
        } else {
            let last = |kept: &Kept| kept.microbatch == microbatch && (kept.slot == layer + 1 || layer == 0);
            close(&mut all, &mut open, end, &last);
        }
    }
    all
}

/// Bytes in memory over time, and the most of it.
pub fn memory(kept: &[Kept]) -> (Vec<(f64, f64)>, usize) {
    let mut changes: Vec<(f64, i64)> = kept
        .iter()
        .flat_map(|kept| [(kept.time.0, kept.bytes as i64), (kept.time.1, -(kept.bytes as i64))])
        .collect();
    // At one time, what goes goes first.
    changes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let (mut now, mut most) = (0, 0);
    let mut points = Vec::new();
    for (time, change) in changes {
        now += change;
        most = most.max(now);
        points.push((time, now as f64));
    }
    (points, most as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::args::example;

    #[test]
    fn computing_again_takes_time_where_activations_were_dropped() {
        let (mut job, _) = example(&[8; 5], 16, 4).expect("fits");
        job.plan.grid.stages = 2;
        job.plan.policy = trine_core::Policy::OneForwardOneBackward;
        let plain = Timeline::planned(&job.recipe, &job.plan).expect("fits");
        job.plan.recompute = true;
        let again = Timeline::planned(&job.recipe, &job.plan).expect("fits");
        let back = |timeline: &Timeline, stage: usize| {
            let spans = timeline.workers[stage].iter();
            let back = spans.filter(|span| matches!(span.work, Work::Backward(_)));
            back.map(|span| span.end - span.start).sum::<f64>()
        };
        let layers = 2.0 * forward(&job.recipe, 1);
        let more = 4.0 * layers;
        assert!((back(&again, 0) - back(&plain, 0) - more).abs() < 1e-9);
        // A last stage has one microbatch at a time and drops nothing.
        assert!((back(&again, 1) - back(&plain, 1)).abs() < 1e-9);
    }
}

//! Workers over time: forward, backward, waiting; and how many activations each of them has.

use super::canvas::{BACKWARD, Canvas, FORWARD, STEP, SUMS, WAITING, bytes};
use super::timeline::{Timeline, schedule};
use crate::Failure;
use crate::parallel::grid::stages;
use crate::parallel::trace::{Span, Work};
use crate::training::recipe::{Plan, Recipe};

/// Draws the workers of one replica; `measured` says where the times come from.
///
/// # Errors
/// Settings that do not go together.
pub fn draw(recipe: &Recipe, plan: &Plan, timeline: &Timeline, measured: bool) -> Result<String, Failure> {
    let schedule = schedule(recipe, plan)?;
    let (part, whole) = schedule.bubble();
    let widths: Vec<_> = recipe.widths.iter().map(usize::to_string).collect();
    let title = format!(
        "One step of a pipeline, {}, {}, schedule {}{}{}",
        number(schedule.stages(), "stage", "s"),
        number(schedule.microbatches(), "microbatch", "es"),
        plan.policy.name(),
        if plan.recompute { ", activations computed again" } else { "" },
        if measured { ", measured" } else { "" }
    );
    let lines = [
        format!(
            "{}, batch {}. Below each worker: the activations in its memory.",
            widths.join("→"),
            recipe.batch
        ),
        format!(
            "Waiting: {:.1} % of the workers' time. Formula for equal stages: {part}/{whole} = {:.1} %.",
            100.0 * timeline.idle(),
            100.0 * part as f64 / whole as f64
        ),
    ];
    let mut canvas = Canvas::new(timeline.end, &title, &lines);
    let mut legend =
        vec![(FORWARD, "F0: forward of microbatch 0"), (BACKWARD, "B0: its backward"), (WAITING, "waiting")];
    if measured {
        legend.extend([(SUMS, "sums over replicas"), (STEP, "optimizer")]);
    }
    canvas.legend(&legend);
    let layers = stages(&recipe.widths, plan.grid.stages, recipe.shards)?;
    for (stage, spans) in timeline.workers.iter().enumerate() {
        let own = &layers[stage];
        let own = if own.len() == 1 {
            format!("layer {}", own.end)
        } else {
            format!("layers {} to {}", own.start + 1, own.end)
        };
        worker(&mut canvas, timeline.end, &format!("stage {}", stage + 1), &own, spans);
        let per_row: usize = layers[stage].clone().map(|layer| recipe.widths[layer]).sum();
        let per_row = per_row + recipe.widths[layers[stage].end];
        let rows = recipe.batch.div_ceil(recipe.microbatches);
        in_flight(
            &mut canvas,
            spans,
            4 * rows * per_row,
            plan.recompute.then_some(4 * rows * recipe.widths[layers[stage].start]),
        );
    }
    canvas.axis(if measured { "milliseconds" } else { "time in millions of floating-point operations" });
    Ok(canvas.finish())
}

/// A number of things.
pub fn number(count: usize, thing: &str, plural: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { plural })
}

fn worker(canvas: &mut Canvas, end: f64, name: &str, below: &str, spans: &[Span]) {
    canvas.name(canvas.y + 16.0, name, below);
    let row = (canvas.y, 30.0);
    canvas.bar((0.0, end), row, WAITING, "");
    for span in spans {
        let (colour, words) = match span.work {
            Work::Forward(i) => (FORWARD, format!("F{i}")),
            Work::Backward(i) => (BACKWARD, format!("B{i}")),
            Work::Reduce => (SUMS, "sums".into()),
            Work::Step => (STEP, "step".into()),
            Work::Wait => continue,
        };
        canvas.bar((span.start, span.end), row, colour, &words);
    }
    canvas.y += 36.0;
}

/// Microbatches between the beginning of their forward and the end of their backward. Where
/// activations are computed again, all but one of them are there with their input only.
fn in_flight(canvas: &mut Canvas, spans: &[Span], each: usize, input: Option<usize>) {
    let mut changes = Vec::new();
    for span in spans {
        match span.work {
            Work::Forward(_) => changes.push((span.start, 1)),
            Work::Backward(_) => changes.push((span.end, -1)),
            _ => {}
        }
    }
    changes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let (mut now, mut most, mut points) = (0i32, 0, Vec::new());
    for (time, change) in changes {
        now += change;
        most = most.max(now);
        points.push((time, f64::from(now)));
    }
    let count = most as usize;
    let size = match input {
        Some(input) if count > 1 => each + count * input,
        _ => count * each,
    };
    let label = format!("at most {}, {}", number(count, "microbatch", "es"), bytes(size));
    canvas.steps(&points, (canvas.y, 44.0), &label);
    canvas.y += 58.0;
}

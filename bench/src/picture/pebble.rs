//! The pebble graph of one worker: which activation is in memory when, and when each gradient is
//! there to be sent.

use super::canvas::{BACKWARD, Canvas, FORWARD, KEPT, STEP, bytes};
use super::gantt::number;
use super::timeline::{Kept, Pass, kept, memory, passes};
use crate::Failure;
use crate::training::recipe::{Plan, Recipe};

/// A picture and the most bytes of activations in it.
///
/// # Errors
/// Settings that do not go together.
pub fn draw(recipe: &Recipe, plan: &Plan) -> Result<(String, usize), Failure> {
    let passes = passes(recipe, plan)?;
    let kept = kept(recipe, plan, &passes);
    let (points, peak) = memory(&kept);
    let end = passes.last().map_or(0.0, |pass| pass.time.1) * 1.03;
    let mut canvas = Canvas::new(end, &title(recipe, plan), &lines(recipe, plan, peak));
    canvas.legend(&[
        (FORWARD, "F1: forward of layer 1"),
        (BACKWARD, "B1: its backward"),
        (KEPT, "activation in memory"),
        (STEP, "optimizer"),
    ]);
    work(&mut canvas, &passes, end);
    activations(&mut canvas, recipe, &kept);
    gradients(&mut canvas, recipe, plan, &passes, end);
    canvas.name(canvas.y + 40.0, "memory", "of activations");
    let label = format!("peak {} ({peak} bytes)", bytes(peak));
    canvas.steps(&points, (canvas.y, 80.0), &label);
    canvas.y += 92.0;
    canvas.axis("time in millions of floating-point operations");
    Ok((canvas.finish(), peak))
}

fn title(recipe: &Recipe, plan: &Plan) -> String {
    let widths: Vec<_> = recipe.widths.iter().map(usize::to_string).collect();
    let microbatches = recipe.microbatches / plan.grid.replicas;
    format!(
        "One step of {}: batch {}, {}, schedule {}{}",
        widths.join("→"),
        recipe.batch,
        number(microbatches, "microbatch", "es"),
        plan.policy.name(),
        if plan.recompute { ", activations computed again" } else { "" }
    )
}

fn lines(recipe: &Recipe, plan: &Plan, peak: usize) -> Vec<String> {
    let other = Plan { recompute: !plan.recompute, ..*plan };
    let mut lines = vec![
        "A bar is an activation in memory: from the forward that computes it to the last backward that needs it.".into(),
        "A triangle: a layer's gradient has grown by a microbatch (hollow), or is complete and can be sent (filled)."
            .into(),
    ];
    if let Ok(passes) = passes(recipe, &other) {
        let (_, others) = memory(&kept(recipe, &other, &passes));
        if others != peak {
            let how = if plan.recompute { "kept" } else { "computed again (--recompute)" };
            let (peak, others) = (bytes(peak), bytes(others));
            lines.push(format!("Peak {peak}. If activations were {how} instead: {others}."));
        }
    }
    lines
}

fn work(canvas: &mut Canvas, passes: &[Pass], end: f64) {
    canvas.name(canvas.y + 18.0, "work", "by layer");
    for pass in passes {
        let (colour, letter) = if pass.forward { (FORWARD, 'F') } else { (BACKWARD, 'B') };
        let words = format!("{letter}{}", pass.layer + 1);
        canvas.bar(pass.time, (canvas.y, 28.0), colour, &words);
    }
    let last = passes.last().map_or(0.0, |pass| pass.time.1);
    canvas.bar((last, end), (canvas.y, 28.0), STEP, "step");
    canvas.y += 44.0;
}

/// A row for each activation, within it a line for each microbatch that is kept at the same time.
fn activations(canvas: &mut Canvas, recipe: &Recipe, all: &[Kept]) {
    let layers = recipe.widths.len() - 1;
    for slot in [layers + 1].into_iter().chain(0..=layers) {
        let of_slot: Vec<&Kept> = all.iter().filter(|kept| kept.slot == slot).collect();
        if of_slot.is_empty() {
            continue;
        }
        // Each bar into the first line that is free at its time.
        let mut lines: Vec<f64> = Vec::new();
        let height = 16.0;
        for kept in &of_slot {
            let free = lines.iter().position(|&until| until <= kept.time.0);
            let line = free.unwrap_or(lines.len());
            if line == lines.len() {
                lines.push(0.0);
            }
            lines[line] = kept.time.1;
            let words = format!("microbatch {}, {}", kept.microbatch, bytes(kept.bytes));
            canvas.bar(kept.time, (canvas.y + line as f64 * height, height - 1.0), KEPT, &words);
        }
        let (name, width) = match slot {
            0 => ("input X".into(), recipe.widths[0]),
            slot if slot > layers => ("input, kept".into(), recipe.widths[0]),
            slot => (format!("output of layer {slot}"), recipe.widths[slot]),
        };
        canvas.name(canvas.y + 12.0, &name, &format!("{width} values a row"));
        canvas.y += (lines.len() as f64 * height).max(32.0) + 4.0;
        canvas.rule(canvas.y - 3.0);
    }
}

fn gradients(canvas: &mut Canvas, recipe: &Recipe, plan: &Plan, passes: &[Pass], end: f64) {
    let last = recipe.microbatches / plan.grid.replicas - 1;
    for layer in (0..recipe.widths.len() - 1).rev() {
        canvas.name(canvas.y + 15.0, &format!("∇W, ∇b of layer {}", layer + 1), "");
        for pass in passes.iter().filter(|pass| !pass.forward && pass.layer == layer) {
            if pass.microbatch == last {
                canvas.bar((pass.time.1, end), (canvas.y + 6.0, 8.0), "#f3c9c6", "");
            }
            canvas.triangle(pass.time.1, canvas.y + 15.0, pass.microbatch == last);
        }
        canvas.y += 24.0;
        canvas.rule(canvas.y - 1.0);
    }
    canvas.y += 6.0;
}

#[cfg(test)]
mod tests {
    use trine_core::schedule::Policy;

    use super::*;
    use crate::picture::args::example;

    /// The memory in the picture is the memory of a run.
    #[test]
    fn the_peak_is_that_of_a_run() {
        for policy in Policy::ALL {
            for recompute in [false, true] {
                for microbatches in [1, 4] {
                    let (mut job, data) = example(&[12, 9, 7, 3], 20, microbatches).expect("fits");
                    (job.plan.policy, job.plan.recompute) = (policy, recompute);
                    let (picture, peak) = draw(&job.recipe, &job.plan).expect("fits");
                    assert!(picture.contains(&format!("({peak} bytes)")));
                    let outcomes =
                        crate::training::launch::on_threads(&job, &data, Default::default(), |_| {});
                    let outcomes = crate::training::launch::all(outcomes).expect("fits");
                    assert_eq!(peak, outcomes[0].activations, "{policy:?}, {recompute}, {microbatches}");
                }
            }
        }
    }
}

//! What `trine` prints without a command: the machine, the training, the speed.

use std::time::Duration;

use trine_core::{Rounding, Shape};
use trine_kernels::{Engine, Isa, Op};

use crate::bench::Setup;
use crate::cli::{Dtype, bench_table, progress};
use crate::data::{Digits, FILE};
use crate::machine::Machine;
use crate::peak::Peak;
use crate::peer::Peer;
use crate::timed::Shares;
use crate::train::{BATCH, EPOCHS, Outcome, TEST, WIDTHS, split, train, train_timed};
use crate::{Failure, shape, table};

/// From a small batch through a small layer to the size where blocks matter.
const SHAPES: [Shape; 5] =
    shape::shapes([(32, 64, 128), (64, 64, 64), (64, 784, 128), (256, 256, 256), (512, 512, 512)]);

/// The three products, and what a layer in the middle of a network needs on the way back.
const OPS: [Op; 4] = [Op::Forward, Op::GradInput, Op::GradParams, Op::Backward];

/// How long each of them is measured.
const TIME: Duration = Duration::from_millis(300);

/// Trains and prints what came out.
///
/// # Errors
/// Two trainings that differ in a bit.
pub fn training(isa: Isa, threads: usize) -> Result<(), Failure> {
    let machine = Machine::this();
    println!("CPU        {}", machine.line());
    let peak = table::rate(Peak::new::<f32>(isa, threads)?.gflops::<f32>(15));
    println!("engine     {}, {}", isa.name(), table::counted(threads, "thread"));
    println!("peak       {peak} GFLOP/s of f32 multiply-adds in registers, the limit for everything below");

    let (train_set, test_set) = split(&Digits::read(FILE)?);
    let sets = (&train_set, &test_set);
    let widths: Vec<_> = WIDTHS.iter().map(usize::to_string).collect();
    println!("\nA network {} (ReLU, softmax cross-entropy, AdamW) learns", widths.join("→"));
    println!("handwritten digits: {} images to learn from, {TEST} others", train_set.len());
    println!("(by a seeded shuffle) for the test; {EPOCHS} epochs in batches of {BATCH}.\n");

    let bar = progress("epochs", EPOCHS);
    let engine = || Engine::with_isa(isa).map(|engine| engine.with_threads(threads));
    let outcome = train(
        &mut engine()?,
        |_| Shares::default(),
        sets,
        |loss| {
            bar.set_message(format!("loss {loss:.4}"));
            bar.inc(1);
        },
    )?;
    bar.finish_and_clear();
    let apart = train_timed(engine()?, sets)?;
    if apart.hash != outcome.hash {
        return Err("two trainings gave different weights".into());
    }
    let Outcome { correct, loss, time, hash, .. } = outcome;
    let (percent, seconds) = (100.0 * correct as f64 / TEST as f64, table::duration(time.as_secs_f64()));
    println!("accuracy   {percent:.1} % of the test set ({correct} of {TEST}), loss {loss:.4} in training");
    println!("time       {seconds}; {}", shares(&apart));
    let same = match isa.rounding::<f32>() {
        Rounding::Fused => "the same wherever multiply-adds are fused",
        Rounding::Unfused => "the same wherever multiply-adds are rounded twice",
    };
    println!("weights    {hash:016x} (FNV-1a), {same}");
    Ok(())
}

/// In percent of a training in which ∇X and ∇W are taken apart.
fn shares(apart: &Outcome) -> String {
    let Shares { forward, dx, dw, loss, optimizer } = apart.shares;
    let percent = |part: Duration| 100.0 * part.as_secs_f64() / apart.time.as_secs_f64();
    let known = forward + dx + dw + loss + optimizer;
    format!(
        "forward {:.0} %, ∇X {:.0} %, ∇W+∇b {:.0} %, loss {:.0} %, optimizer {:.0} %, rest {:.0} %",
        percent(forward),
        percent(dx),
        percent(dw),
        percent(loss),
        percent(optimizer),
        percent(apart.time.saturating_sub(known))
    )
}

/// Measures and prints the speed of the layer next to the naive loops and the `gemm` crate.
///
/// # Errors
/// A wrong result.
pub fn speed(isa: Isa, threads: usize) -> Result<(), Failure> {
    let setup = Setup::new(isa, threads, vec![Peer::Gemm, Peer::Naive], TIME);
    bench_table(&setup, Dtype::F32, &SHAPES, &OPS)?;
    Ok(())
}

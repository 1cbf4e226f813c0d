//! One process that measures a row: the engine, the peak and the peers in turns. Where a process has its memory
//! decides about some percent of its time, and no repetition within it would show that: so a process is one
//! observation.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use trine_kernels::Engine;

use super::row::Row;
use super::slow::{Slow, measured, slowed};
use crate::Failure;
use crate::cli::Dtype;
use crate::contest::{Trial, open};
use crate::measure::{Contender, interleave};
use crate::peak::Peak;
use crate::peer::Peer;
use crate::products::Scalar;
use crate::stats::Summary;
use crate::workload::flops;

/// The naive loops take part up to so many floating-point operations a call.
const NAIVE_LIMIT: f64 = 1e6;

/// Rounds in a process.
pub const ROUNDS: usize = 21;

/// Natural logarithms of the engine's time over that of each reference.
pub type Ratios = BTreeMap<String, f64>;

/// Seconds, round by round.
#[derive(Debug, Serialize, Deserialize)]
struct Times {
    engine: Vec<f64>,
    references: BTreeMap<String, Vec<f64>>,
}

impl Times {
    /// The middle of the ratios, round by round: what disturbs a round disturbs both.
    fn ratios(&self) -> Option<Ratios> {
        let of = |reference: &Vec<f64>| {
            let ratios: Vec<f64> = self.engine.iter().zip(reference).map(|(a, b)| (a / b).ln()).collect();
            Summary::of(&ratios).map(|summary| summary.median)
        };
        self.references.iter().map(|(name, times)| Some((name.clone(), of(times)?))).collect()
    }
}

/// Measures a row in this process and prints it for [`measure`].
///
/// # Errors
/// A peer that is wrong, an instruction set that cannot be used.
pub fn serve(row: &Row, slow: Option<Slow>) -> Result<(), Failure> {
    let times = match row.dtype {
        Dtype::F32 => times::<f32>(row, slow),
        Dtype::F64 => times::<f64>(row, slow),
    };
    println!("{}", serde_json::to_string(&times?)?);
    Ok(())
}

fn times<E: Scalar>(row: &Row, slow: Option<Slow>) -> Result<Times, Failure> {
    let mut engine = Engine::with_isa(row.isa)?;
    let trial = Trial::<E>::new(row.op, row.shape, &mut engine)?;
    let peak = Peak::new::<E>(row.isa, 1)?;
    let mut contenders = vec![match slow.filter(|slow| slow.op == row.op) {
        None => trial.timed("trine", engine),
        Some(slow) => slowed(&trial, row.isa, slow.share)?,
    }];
    let naive = flops(row.op, row.shape) <= NAIVE_LIMIT;
    for peer in [Peer::Gemm, Peer::Naive].into_iter().filter(|peer| naive || *peer != Peer::Naive) {
        let (admit, _) = open::<E>(&peer, 1)?;
        contenders
            .push(admit(peer.name(), &trial).map_err(|why| format!("{peer} is wrong in {row}: {why}"))?);
    }
    let flops = flops(row.op, row.shape);
    contenders.push(Contender::sampled("peak", move || Ok(flops / peak.sample::<E>())));
    let samples = interleave(&mut contenders, Duration::ZERO, ROUNDS)?;
    let mut named = contenders.iter().map(|contender| contender.name.clone()).zip(samples);
    let (_, engine) = named.next().ok_or("no sample was taken")?;
    Ok(Times { engine, references: named.collect() })
}

/// By how much a row is slowed, in words.
///
/// # Errors
/// Those of the engine.
pub fn slowed_by(row: &Row, share: f64) -> Result<String, Failure> {
    fn ratio<E: Scalar>(row: &Row, share: f64) -> Result<f64, Failure> {
        let trial = Trial::<E>::new(row.op, row.shape, &mut Engine::with_isa(row.isa)?)?;
        measured(&trial, row.isa, share)
    }
    let ratio = match row.dtype {
        Dtype::F32 => ratio::<f32>(row, share),
        Dtype::F64 => ratio::<f64>(row, share),
    };
    Ok(format!("slower on purpose: {row} by {:.1} %, measured in turns", 100.0 * (ratio? - 1.0)))
}

/// Measures a row in a process of its own: what other rows leave behind in a process would be seen too.
///
/// # Errors
/// Those of the process.
pub fn measure(row: &Row, slow: Option<Slow>) -> Result<Ratios, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["regress", "--measure", &row.to_string()]).stdin(Stdio::null()).stderr(Stdio::inherit());
    if let Some(slow) = slow {
        command.arg(format!("--slow={slow}"));
    }
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("a process that measures has failed: {}", output.status).into());
    }
    let times: Times = serde_json::from_slice(&output.stdout)?;
    times.ratios().ok_or_else(|| "a process that measures has taken no sample".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_by_hand() {
        let references = [("gemm".to_string(), vec![1.0, 10.0, 4.0])].into();
        // The second round was disturbed.
        let times = Times { engine: vec![2.0, 20.0, 6.0], references };
        let ratios = times.ratios().expect("samples");
        assert!((ratios["gemm"] - 2f64.ln()).abs() < 1e-12, "{ratios:?}");
    }
}

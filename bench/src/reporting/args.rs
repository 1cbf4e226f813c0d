//! The arguments of `trine report`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use trine_core::Shape;
use trine_kernels::{Isa, Op};

use super::page;
use super::run::{Job, Subjects};
use crate::bench::Report;
use crate::cli::{Dtype, once, seconds};
use crate::contest;
use crate::peer::Peer;
use crate::shape::{ShapeArgs, shapes};
use crate::workload::{OPS, parse_op};
use crate::{Failure, files};

/// Small layers, batches of a usual size, large ones, few rows, and many rows of a narrow layer.
const USUAL: [Shape; 20] = shapes([
    (1, 64, 32),
    (8, 8, 8),
    (16, 16, 16),
    (16, 64, 10),
    (32, 128, 10),
    (32, 32, 32),
    (37, 53, 41),
    (64, 64, 64),
    (127, 131, 137),
    (64, 784, 512),
    (128, 784, 256),
    (256, 512, 512),
    (512, 512, 512),
    (512, 1024, 1024),
    (1024, 1024, 1024),
    (1024, 768, 3072),
    (1, 1024, 1024),
    (4, 1024, 1024),
    (8, 4096, 1024),
    (16384, 128, 16),
]);
/// One of each class.
const QUICK: [Shape; 5] =
    shapes([(16, 64, 10), (64, 64, 64), (64, 784, 512), (256, 256, 256), (1, 1024, 1024)]);
/// Where threads are compared.
const SCALING: [Shape; 3] = shapes([(64, 784, 512), (512, 512, 512), (1024, 1024, 1024)]);

/// Measures everything and writes one page: a single HTML file that needs no network
///
/// The limits of the machine; every operation at every shape, next to peers and to the roofline; speed
/// over size and over threads; the layer's whole step; the cost of a call. The JSON inside is that of
/// `bench --json`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    #[command(flatten)]
    shapes: ShapeArgs,
    /// Where the page goes
    #[arg(long, value_name = "FILE", default_value = "trine-report.html")]
    out: PathBuf,
    /// Writes everything that was found to a file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measures nothing: takes everything from a file that `report --json` or `bench --json` wrote
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["shape", "shapes", "op", "dtype", "peers", "time", "cubes", "quick", "cold"]
    )]
    from: Option<PathBuf>,
    /// Operations: fwd, dx, dw, backward, step [default: all]
    #[arg(long, value_parser = parse_op, value_delimiter = ',')]
    op: Vec<Op>,
    /// Element types; speed over size and over threads is that of the first
    #[arg(long, value_enum, value_delimiter = ',', default_value = "f32")]
    dtype: Vec<Dtype>,
    /// Who is measured next to the engine, as for `bench` [default: gemm,matrixmultiply, and faer where it
    /// was built]
    #[arg(long, visible_alias = "peer", value_delimiter = ',', value_name = "PEER")]
    peers: Vec<Peer>,
    /// Seconds for each operation at each shape [default: 0.25, or 0.1 with --quick]
    #[arg(long, value_parser = seconds)]
    time: Option<Duration>,
    /// Speed over size is measured from 4³ up to this [default: 4096, or 512 with --quick]
    #[arg(long, value_name = "N")]
    cubes: Option<usize>,
    /// Five shapes in place of twenty, each for a shorter time: some 15 seconds
    #[arg(long)]
    quick: bool,
    /// Takes operands and results out of the caches before each call
    #[arg(long)]
    cold: bool,
}

impl ReportArgs {
    fn peers(&self) -> Vec<Peer> {
        if !self.peers.is_empty() {
            return self.peers.clone();
        }
        let mut peers = vec![Peer::Gemm, Peer::MatrixMultiply];
        peers.extend(cfg!(feature = "faer").then_some(Peer::Faer));
        peers
    }

    fn job(&self, isa: Isa, threads: usize) -> Result<Job, Failure> {
        let peers = self.peers();
        crate::workload::can_be_cold(self.cold)?;
        let (mut shapes, mut scaling) = (self.shapes.read()?, Vec::new());
        if shapes.is_empty() {
            shapes = if self.quick { QUICK.to_vec() } else { USUAL.to_vec() };
        }
        scaling.extend(SCALING.into_iter().filter(|shape| !self.quick || shape.n < 1024));
        let largest = self.cubes.unwrap_or(if self.quick { 512 } else { 4096 });
        let sides = (2..u32::BITS).map(|i| 1usize << i).take_while(|&side| side <= largest);
        let cubes = sides.map(|side| Shape { n: side, d: side, m: side }).collect();
        let ops = if self.op.is_empty() { OPS.to_vec() } else { once(&self.op) };
        let default = Duration::from_millis(if self.quick { 100 } else { 250 });
        let (dtypes, time) = (once(&self.dtype), self.time.unwrap_or(default));
        contest::rehearse(&peers, &shapes, &dtypes, threads)?;
        let subjects = Subjects { shapes, ops, dtypes, cubes, scaling };
        Ok(Job { isa, threads, peers, time, cold: self.cold, subjects })
    }

    /// Measures, prints and writes.
    ///
    /// # Errors
    /// A peer that cannot be used, a wrong result, a file that cannot be read or written.
    pub fn run(&self, isa: Isa, threads: usize) -> Result<(), Failure> {
        files::writable([Some(&*self.out), self.json.as_deref()])?;
        let report = match &self.from {
            Some(path) => files::parse(path, Report::read)?,
            None => self.job(isa, threads)?.run()?,
        };
        report.write(self.json.as_deref())?;
        files::write(&self.out, &page::render(&report)?)?;
        println!("\npage: {}", self.out.display());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_shapes_of_which_none_is_twice() {
        for shapes in [&USUAL[..], &QUICK, &SCALING] {
            let mut sides: Vec<_> = shapes.iter().map(|shape| (shape.n, shape.d, shape.m)).collect();
            sides.sort_unstable();
            sides.dedup();
            assert_eq!(sides.len(), shapes.len());
        }
    }
}

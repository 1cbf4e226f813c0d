//! `trine regress`: whether a kernel has become slower than it was. Times of two days cannot be compared; ratios to
//! something measured in the same rounds can: to the peak of multiply-adds, to the `gemm` crate, to naive loops.

mod file;
mod judge;
mod process;
mod row;
mod slow;
pub(crate) mod statistics;

use std::path::{Path, PathBuf};

use clap::Args;
use trine_core::Shape;
use trine_kernels::{Isa, Op};

pub use row::Row;

use crate::cli::{Dtype, once, progress};
use crate::machine::Machine;
use crate::workload::parse_op;
use crate::{Failure, files, shape};
use file::Baseline;
use judge::{Judged, Rule, Source, Verdict, gather, judge};
use process::Ratios;
use slow::Slow;

/// From a tiny layer to one of whole blocks, and one of few rows. All stay in L2: what is larger tells as much of
/// the neighbours, with whom the rest of the memory is shared, as of the kernels.
const SHAPES: [Shape; 5] =
    shape::shapes([(16, 64, 10), (64, 64, 64), (64, 784, 128), (256, 256, 256), (4, 256, 256)]);

/// The three products, and all of the way back.
const OPS: [Op; 4] = [Op::Forward, Op::GradInput, Op::GradParams, Op::Backward];

/// Compares the speed with a file, as ratios; exit code 3 if something is slower
///
/// With --save it writes the ratios; without, it measures the rows of the file and compares.
#[derive(Debug, Args)]
#[command(override_usage = "trine regress --baseline <FILE> [--save] [OPTIONS]")]
pub struct RegressArgs {
    /// The ratios to compare with
    #[arg(long, value_name = "FILE", required_unless_present = "measure")]
    baseline: Option<PathBuf>,
    /// Write the ratios there, instead of comparing
    #[arg(long)]
    save: bool,
    /// Shapes to save [default: five, from 16x64x10 to 256x256x256]
    #[arg(long, value_name = "NxDxM", value_parser = shape::measurable, requires = "save")]
    shape: Vec<Shape>,
    /// Operations to save [default: fwd, dx, dw, backward]
    #[arg(long, value_parser = parse_op, value_delimiter = ',', requires = "save")]
    op: Vec<Op>,
    /// Element types to save
    #[arg(long, value_enum, value_delimiter = ',', default_value = "f32", requires = "save")]
    dtype: Vec<Dtype>,
    /// The least change that is one, in percent
    #[arg(long, value_name = "PERCENT", default_value = "2.5", value_parser = percent)]
    least: f64,
    /// Fewest processes that measure; four times as many at most
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u16).range(4..=1000))]
    processes: u16,
    /// Make an operation slower, to see it found: OP=PERCENT
    #[arg(long, value_name = "OP=P", hide = true)]
    slow: Option<Slow>,
    /// Measure this row in this process
    #[arg(long, hide = true)]
    measure: Option<Row>,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse() {
        Ok(percent) if (0.1..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("expected a percentage from 0.1 to 100".into()),
    }
}

/// Something has become slower: the reason for an exit code of its own.
#[derive(Debug)]
pub struct Slower(usize);

impl std::fmt::Display for Slower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} row{} slower than in the baseline", self.0, if self.0 == 1 { " is" } else { "s are" })
    }
}

impl std::error::Error for Slower {}

/// Processes of this program.
struct Processes<'a> {
    rows: &'a [Row],
    slow: Option<Slow>,
    bar: indicatif::ProgressBar,
}

impl Source for Processes<'_> {
    fn measure(&mut self, rows: &[usize]) -> Result<Vec<Ratios>, Failure> {
        // How many it takes is not known before.
        let next = self.bar.position() + 1;
        self.bar.set_length(self.bar.length().map_or(next, |known| known.max(next)));
        self.bar.set_message(format!("of {} rows", rows.len()));
        self.bar.set_position(next);
        rows.iter().map(|&row| process::measure(&self.rows[row], self.slow)).collect()
    }
}

impl RegressArgs {
    /// Measures, and compares or writes. Without instruction sets: saves the best, compares all.
    ///
    /// # Errors
    /// [`Slower`]; a wrong result, a file that cannot be read.
    pub fn run(&self, isas: &[Isa], threads: usize) -> Result<(), Failure> {
        if let Some(row) = &self.measure {
            return process::serve(row, self.slow);
        }
        let path = self.baseline.as_ref().ok_or("--baseline is missing")?;
        if threads != 1 {
            return Err(
                "a ratio of several threads is the neighbours': regress measures one, without --threads"
                    .into(),
            );
        }
        if self.save { self.save(path, isas) } else { self.compare(path, isas) }
    }

    fn rule(&self) -> Rule {
        let least = usize::from(self.processes);
        Rule { least: self.least, processes: (least, 4 * least), ..Rule::DEFAULT }
    }

    fn processes<'a>(&self, rows: &'a [Row]) -> Processes<'a> {
        Processes { rows, slow: self.slow, bar: progress("processes", usize::from(self.processes)) }
    }

    fn save(&self, path: &Path, isas: &[Isa]) -> Result<(), Failure> {
        files::writable([Some(path)])?;
        let (rows, Rule { least, processes: (fewest, most), .. }) = (self.rows(isas), self.rule());
        let mut source = self.processes(&rows);
        // Every comparison has the errors of the baseline too: twice as many processes.
        let (all, many) = ((0..rows.len()).collect(), (2 * fewest, 2 * most));
        let samples = gather(&mut source, rows.len(), all, many, 0.1 * least)?;
        source.bar.finish_and_clear();
        let baseline = Baseline::new(&rows, &samples);
        baseline.write(path)?;
        println!("{}: {} rows on {}", path.display(), rows.len(), baseline.machine.cpu);
        Ok(())
    }

    fn compare(&self, path: &Path, isas: &[Isa]) -> Result<(), Failure> {
        let baseline = Baseline::read(path)?;
        let named = |what: String| Failure::from(format!("{}{what}", path.display()));
        let (theirs, ours) = (&baseline.machine.cpu, Machine::this().cpu);
        if *theirs != ours {
            return Err(named(format!(" is of another machine, {theirs}: on {ours} it says nothing")));
        }
        let (compiler, this) = (&baseline.compiler, env!("TRINE_RUSTC"));
        if compiler != this {
            println!("{}: built with {compiler}, this program with {this}", path.display());
        }
        let (rows, before) = baseline.samples(isas)?;
        if rows.is_empty() {
            let names: Vec<_> = isas.iter().map(|isa| isa.name()).collect();
            return Err(named(format!(": no row on {}", names.join(", "))));
        }
        if let Some(slow) = self.slow {
            for row in rows.iter().filter(|row| row.op == slow.op) {
                println!("{}", process::slowed_by(row, slow.share)?);
            }
        }
        let (mut source, rule) = (self.processes(&rows), self.rule());
        let judged = judge(&before, &mut source, rule)?;
        source.bar.finish_and_clear();
        report(&rows, &judged, rule)
    }

    fn rows(&self, isas: &[Isa]) -> Vec<Row> {
        let shapes = if self.shape.is_empty() { &SHAPES[..] } else { &self.shape };
        let ops = if self.op.is_empty() { &OPS[..] } else { &self.op };
        let best = [Isa::best()];
        let isas = if isas.is_empty() { &best } else { isas };
        let mut rows = Vec::new();
        for (&isa, &dtype) in isas.iter().flat_map(|isa| self.dtype.iter().map(move |dtype| (isa, dtype))) {
            let of = |(&shape, &op): (&Shape, &Op)| Row { op, dtype, shape, isa };
            rows.extend(shapes.iter().flat_map(|shape| ops.iter().map(move |op| (shape, op))).map(of));
        }
        once(&rows)
    }
}

/// Prints the table, slower rows last.
fn report(rows: &[Row], judged: &[Judged], rule: Rule) -> Result<(), Failure> {
    println!(
        "{:<36} {:<9} {:>7} {:>7} {:>8}  99 % interval",
        "op/dtype/shape/isa", "time over", "before", "now", "change"
    );
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&row| judged[row].verdict == Verdict::Slower);
    for row in order {
        let Judged { verdict, reference, before, now, change, .. } = &judged[row];
        let percent = |logarithm: f64| 100.0 * logarithm.exp_m1();
        let word = match verdict {
            Verdict::Same => "",
            Verdict::Cleared => "no: measured again",
            Verdict::Slower => "SLOWER",
            Verdict::Faster => "faster",
            Verdict::Noisy => "too noisy to say",
        };
        println!(
            "{:<36} {reference:<9} {:>7.3} {:>7.3} {:>+6.1} %  {:>+5.1} … {:>+5.1} %  {word}",
            rows[row],
            before.exp(),
            now.exp(),
            percent(change.estimate),
            percent(change.low),
            percent(change.high)
        );
    }
    let slower = judged.iter().filter(|judged| judged.verdict == Verdict::Slower).count();
    println!(
        "Slower: by more than {:.1} % against both references or two of three, measured twice, by chance in one run of {:.0}.",
        100.0 * rule.least,
        1.0 / rule.level
    );
    if slower == 0 { Ok(()) } else { Err(Slower(slower).into()) }
}

#[cfg(test)]
mod tests;

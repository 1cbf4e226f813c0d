//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use trine_core::Shape;

use crate::accuracy::args::ErrorArgs;
use crate::check::args::CheckArgs;
use crate::contest::Peers;
use crate::counts::CountsArgs;
use crate::limits::{Limits, LimitsArgs};
use crate::peer::Peer;
use crate::picture::args::PebbleArgs;
use crate::picture::curves;
use crate::products::Scalar;
use crate::regress::{RegressArgs, Slower};
use crate::reporting::args::ReportArgs;
use crate::shape::ShapeArgs;
use crate::training::args::TrainArgs;
use crate::training::summary;
use crate::tune::{self, TuneArgs};
use crate::workload::{OPS, can_be_cold, op_name, parse_op};
use crate::{Failure, bench, contest, files, report, table, worker};
use trine_kernels::{Engine, Isa, Op};

/// Trains a small network on handwritten digits, then measures the layer: the main job.
#[derive(Debug, Parser)]
#[command(
    name = "trine",
    bin_name = "trine",
    version,
    about,
    subcommand_negates_reqs = true,
    after_help = "Without a command: trains a small network on handwritten digits, then measures the layer, in under a minute."
)]
struct Cli {
    #[command(flatten)]
    engine: EngineArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct EngineArgs {
    /// Instruction sets, separated by commas: portable, sse2, avx2, avx512, neon [default: the best; check: all]
    #[arg(
        long,
        global = true,
        env = "TRINE_ISA",
        hide_env_values = true,
        value_delimiter = ',',
        value_name = "ISA"
    )]
    isa: Vec<Isa>,
    /// Threads of the engine and of its peers
    #[arg(long, global = true, env = "TRINE_THREADS", hide_env_values = true, default_value = "1", value_parser = threads)]
    threads: usize,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(BenchArgs),
    Check(Box<CheckArgs>),
    Error(ErrorArgs),
    Limits(LimitsArgs),
    Plan(PlanArgs),
    Train(Box<TrainArgs>),
    Pebble(PebbleArgs),
    Report(ReportArgs),
    Regress(RegressArgs),
    Counts(CountsArgs),
    Tune(TuneArgs),
    Worker(WorkerArgs),
}

/// Measures operations at shapes, next to peers and to the peak of the machine
///
/// All take turns, sample by sample, on the same operands. Before that, the engine's results have
/// to be the reference's bits. A peer's may differ from them by 4·(K+4)·ε for sums of K products
/// (operands are smaller than 1; ε is the distance from 1 to the next number); one that differs more
/// is reported as wrong and not timed.
///
/// Each cblas library works in a process of its own, with as many threads as the engine. The
/// function is looked up as cblas_sgemm, scipy_cblas_sgemm, and both with 64_ or _64 at the end,
/// which stand for 64-bit integers.
#[derive(Debug, Args)]
struct BenchArgs {
    #[command(flatten)]
    shapes: ShapeArgs,
    /// Operations: fwd, dx, dw, backward, step [default: all]
    #[arg(long, value_parser = parse_op, value_delimiter = ',')]
    op: Vec<Op>,
    /// Element types
    #[arg(long, value_enum, value_delimiter = ',', default_value = "f32")]
    dtype: Vec<Dtype>,
    /// Who is measured next to the engine, separated by commas or in several options:
    /// naive, gemm, matrixmultiply, faer, cblas=PATH or cblas=PATH:NAME (a shared library with
    /// cblas_sgemm and cblas_dgemm; PATH as for the system's loader)
    #[arg(
        long,
        visible_alias = "peer",
        value_delimiter = ',',
        default_value = "naive,gemm",
        value_name = "PEER"
    )]
    peers: Vec<Peer>,
    /// Writes everything that was found to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Seconds for each operation at each shape
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    time: Duration,
    /// Takes operands and results out of the caches before each call
    #[arg(long)]
    cold: bool,
    /// What `trine tune` has written, for the engine
    #[arg(long, value_name = "FILE")]
    tuning: Option<PathBuf>,
}

/// Says in words how the engine computes a shape
#[derive(Debug, Args)]
struct PlanArgs {
    /// Rows of the batch
    n: usize,
    /// Input features
    d: usize,
    /// Output features
    m: usize,
    /// Operations: fwd, dx, dw, backward, step [default: all]
    #[arg(long, value_parser = parse_op, value_delimiter = ',')]
    op: Vec<Op>,
    /// Element types
    #[arg(long, value_enum, value_delimiter = ',', default_value = "f32")]
    dtype: Vec<Dtype>,
    /// What `trine tune` has written, for the engine
    #[arg(long, value_name = "FILE")]
    tuning: Option<PathBuf>,
}

/// Serves one peer to the process that started it
#[derive(Debug, Args)]
#[command(hide = true)]
struct WorkerArgs {
    /// The peer
    #[arg(long)]
    peer: Peer,
    /// The element type
    #[arg(long, value_enum)]
    dtype: Dtype,
}

/// An element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dtype {
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

impl Dtype {
    /// As in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::F64 => "f64",
        }
    }

    /// Of an element.
    pub const fn bytes(self) -> usize {
        match self {
            Dtype::F32 => size_of::<f32>(),
            Dtype::F64 => size_of::<f64>(),
        }
    }
}

/// A bar where the output is a terminal, nothing otherwise.
pub(crate) fn progress(what: &str, len: usize) -> ProgressBar {
    let template = format!("{{bar:40}} {{pos}}/{{len}} {what} {{msg}}");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(len as u64).with_style(style)
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads) if (1..=1024).contains(&threads) => Ok(threads),
        _ => Err("expected a number from 1 to 1024".into()),
    }
}

/// An argument of the command line.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=3600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected a number of seconds, at most 3600".into()),
    }
}

/// What was asked for twice is measured once.
pub(crate) fn once<T: PartialEq + Copy>(asked: &[T]) -> Vec<T> {
    let mut once = Vec::new();
    asked.iter().for_each(|one| {
        if !once.contains(one) {
            once.push(*one);
        }
    });
    once
}

impl EngineArgs {
    /// The instruction sets asked for, or else `default`; all of them can be used.
    fn isas(&self, default: impl FnOnce() -> Vec<Isa>) -> Result<Vec<Isa>, Failure> {
        let isas = if self.isa.is_empty() { default() } else { once(&self.isa) };
        for &isa in &isas {
            Engine::with_isa(isa)?;
        }
        Ok(isas)
    }
}

impl EngineArgs {
    /// The one instruction set asked for, or else the best.
    fn one_isa(&self) -> Result<Isa, Failure> {
        match self.isas(|| vec![Isa::best()])?[..] {
            [isa] => Ok(isa),
            _ => Err("one instruction set at a time: give --isa a single name".into()),
        }
    }
}

impl EngineArgs {
    /// The main job, or what the arguments say.
    fn train(&self, args: &TrainArgs) -> Result<(), Failure> {
        let (isa, threads) = (self.one_isa()?, self.threads);
        let Some(source) = &args.data else { return report::training(isa, threads) };
        let (job, data) = args.job(source, isa, threads)?;
        let outcomes = summary::train(&job, &data, args.options(), args.in_place)?;
        if let (Some(path), [first, ..]) = (&args.curves, &outcomes[..]) {
            let title = format!("{}, {} images", job.recipe.data, data.train.len());
            curves::draw(path, &title, &first.results)?;
            println!("curves     {}", path.display());
        }
        Ok(())
    }
}

impl BenchArgs {
    fn run(&self, engine: &EngineArgs) -> Result<(), Failure> {
        let (shapes, isas) = (self.shapes.read()?, engine.isas(|| vec![Isa::best()])?);
        let dtypes = once(&self.dtype);
        if shapes.is_empty() {
            return Err("nothing to measure: give --shape NxDxM or --shapes FILE".into());
        }
        can_be_cold(self.cold)?;
        files::writable([self.json.as_deref()])?;
        contest::rehearse(&self.peers, &shapes, &dtypes, engine.threads)?;
        let tuning = tune::read(self.tuning.as_deref())?;
        for &isa in &isas {
            tune::engine(isa, 1, tuning.as_ref())?;
        }
        let ops = if self.op.is_empty() { OPS.to_vec() } else { once(&self.op) };
        let start = Instant::now();
        let mut report =
            bench::Report { settings: self.settings(engine, &isas, &shapes), ..bench::Report::new() };
        println!("{}", report.machine.line());
        let limits = Limits::measure(&report.machine, &isas, &isas, &[engine.threads])?;
        for &isa in &isas {
            for &dtype in &dtypes {
                let setup = bench::Setup {
                    cold: self.cold,
                    roof: limits.roof(&report.machine.caches, isa, engine.threads),
                    start,
                    tuning,
                    ..bench::Setup::new(isa, engine.threads, self.peers.clone(), self.time)
                };
                let (libraries, rows) = bench_table(&setup, dtype, &shapes, &ops)?;
                report.libraries.extend(libraries);
                report.rows.extend(rows);
            }
        }
        report.limits = Some(limits);
        report.settings.took = start.elapsed().as_secs_f64();
        report.write(self.json.as_deref())
    }

    fn settings(&self, engine: &EngineArgs, isas: &[Isa], shapes: &[Shape]) -> bench::Settings {
        bench::Settings {
            isas: isas.iter().map(|isa| isa.name().into()).collect(),
            dtypes: once(&self.dtype).iter().map(|dtype| dtype.name().into()).collect(),
            threads: engine.threads,
            peers: self.peers.iter().map(|peer| peer.name().into()).collect(),
            cold: self.cold,
            time: self.time.as_secs_f64(),
            shapes: shapes.iter().map(|shape| [shape.n, shape.d, shape.m]).collect(),
            ..bench::Settings::now()
        }
    }
}

/// Measures and prints, row by row. Returns also what libraries there are.
pub(crate) fn bench_table(
    setup: &bench::Setup,
    dtype: Dtype,
    shapes: &[Shape],
    ops: &[Op],
) -> Result<(Vec<bench::Library>, Vec<bench::Row>), Failure> {
    match dtype {
        Dtype::F32 => bench_table_of::<f32>(setup, shapes, ops),
        Dtype::F64 => bench_table_of::<f64>(setup, shapes, ops),
    }
}

fn bench_table_of<E: Scalar>(
    setup: &bench::Setup,
    shapes: &[Shape],
    ops: &[Op],
) -> Result<(Vec<bench::Library>, Vec<bench::Row>), Failure> {
    let mut peers = Peers::<E>::start(&setup.peers, setup.threads)?;
    println!("\n{}, {}, {}", E::NAME, setup.isa.name(), table::counted(setup.threads, "thread"));
    let libraries = peers.libraries();
    for bench::Library { name, how } in &libraries {
        println!("{name}: {how}");
    }
    let names: Vec<_> = setup.peers.iter().map(Peer::name).collect();
    println!("{}", table::head(&names));
    let mut rows = Vec::new();
    for (&shape, &op) in shapes.iter().flat_map(|shape| ops.iter().map(move |op| (shape, op))) {
        let row = bench::measure(setup, &mut peers, op, shape)?;
        println!("{}", table::line(&row, &names));
        rows.push(row);
    }
    println!("{}", table::foot(&rows, &names));
    Ok((libraries, rows))
}

impl PlanArgs {
    fn run(&self, engine: &EngineArgs) -> Result<(), Failure> {
        let ops = if self.op.is_empty() { OPS.to_vec() } else { self.op.clone() };
        for isa in engine.isas(|| vec![Isa::best()])? {
            let tuning = tune::read(self.tuning.as_deref())?;
            let engine = tune::engine(isa, engine.threads, tuning.as_ref())?;
            for &dtype in &self.dtype {
                for &op in &ops {
                    let plan = match dtype {
                        Dtype::F32 => engine.plan::<f32>(op, self.n, self.d, self.m).to_string(),
                        Dtype::F64 => engine.plan::<f64>(op, self.n, self.d, self.m).to_string(),
                    };
                    println!("{:<8} {plan}", op_name(op));
                }
            }
        }
        Ok(())
    }
}

impl Cli {
    fn run(&self) -> Result<(), Failure> {
        match &self.command {
            None => {
                let (isa, threads) = (self.engine.one_isa()?, self.engine.threads);
                report::training(isa, threads)?;
                report::speed(isa, threads)
            }
            Some(Command::Train(args)) => self.engine.train(args),
            Some(Command::Pebble(args)) => args.run(),
            Some(Command::Bench(args)) => args.run(&self.engine),
            Some(Command::Check(args)) => {
                let all = || Isa::ALL.into_iter().filter(|isa| isa.is_available()).collect();
                args.run(self.engine.isas(all)?, self.engine.threads.max(2))
            }
            Some(Command::Error(args)) => args.run(self.engine.one_isa()?),
            Some(Command::Limits(args)) => args.run(&self.engine.isas(|| vec![Isa::best()])?),
            Some(Command::Report(args)) => args.run(self.engine.one_isa()?, self.engine.threads),
            Some(Command::Plan(args)) => args.run(&self.engine),
            Some(Command::Regress(args)) => args.run(&self.engine.isas(Vec::new)?, self.engine.threads),
            Some(Command::Counts(args)) => args.run(),
            Some(Command::Tune(args)) => args.run(self.engine.one_isa()?, self.engine.threads),
            Some(Command::Worker(args)) => match args.dtype {
                Dtype::F32 => worker::serve::<f32>(&args.peer, self.engine.threads),
                Dtype::F64 => worker::serve::<f64>(&args.peer, self.engine.threads),
            },
        }
    }

    /// In a pool of the threads that were asked for; `check` makes its own, and a worker has none: its
    /// peer brings its own.
    fn run_in_pool(&self) -> Result<(), Failure> {
        let threads = match self.command {
            Some(Command::Check(_) | Command::Worker(_)) => 1,
            _ => self.engine.threads,
        };
        match threads {
            1 => self.run(),
            threads => rayon::ThreadPoolBuilder::new().num_threads(threads).build()?.install(|| self.run()),
        }
    }
}

/// Who reads the output may have seen enough (`trine bench … | head -5`): an end, as by the signal that the standard
/// library ignores, and no panic. A peer's process that is gone is another matter, and an error.
fn end_without_a_reader() {
    const KILLED_BY_SIGPIPE: i32 = 128 + 13;
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let message = info.payload().downcast_ref::<String>().map_or("", String::as_str);
        if message.starts_with("failed printing to stdout") && message.contains("Broken pipe") {
            std::process::exit(KILLED_BY_SIGPIPE);
        }
        usual(info);
    }));
}

/// Reads the command line and does what it says. Exit code 2 where the command line is wrong, 1
/// where a command fails, 3 where `trine regress` has found something slower.
pub fn main() -> ExitCode {
    end_without_a_reader();
    match Cli::parse().run_in_pool() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trine: {error}");
            if error.is::<Slower>() { ExitCode::from(3) } else { ExitCode::FAILURE }
        }
    }
}

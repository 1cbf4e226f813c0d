//! `mpirun -np N trine-data-parallel --data … --dp … --pp … --tp …`: see the README.

mod mpi;

use std::process::ExitCode;

use ::mpi::topology::Communicator as _;
use clap::Parser;
use trine_bench::Failure;
use trine_bench::parallel::comm::Communicator as _;
use trine_bench::picture::curves;
use trine_bench::training::args::TrainArgs;
use trine_bench::training::session::{self, Job};
use trine_bench::training::summary::{self, Progress};
use trine_kernels::Isa;

/// Trains on the processes that mpirun has started, with the bits of one worker.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(flatten)]
    train: TrainArgs,
    /// Instruction set: portable, avx2, avx512, neon [default: the best]
    #[arg(long, env = "TRINE_ISA", hide_env_values = true)]
    isa: Option<Isa>,
}

/// Bytes of messages that one worker has under way at most, of a step or between two, with room to
/// spare: its gradients to all others and their sums, activations and errors of a batch, and a copy of
/// all parameters to each.
fn room(job: &Job) -> usize {
    let widths = &job.recipe.widths;
    let params: usize = widths.windows(2).map(|pair| (pair[0] + 1) * pair[1]).sum();
    let rows: usize = widths.iter().sum::<usize>() * job.recipe.batch;
    let workers = job.plan.grid.workers();
    16 * workers * (params + rows) + (64 << 20)
}

fn run(cli: &Cli, universe: &mut ::mpi::environment::Universe) -> Result<(), Failure> {
    let source = cli.train.data.as_ref().ok_or("--data says what to learn from")?;
    let (job, data) = cli.train.job(source, cli.isa.unwrap_or(Isa::best()), 1)?;
    let comm = mpi::Mpi::new(universe, room(&job), cli.train.options().timeout);
    let (rank, first) = (comm.rank(), comm.rank() == 0);
    if first {
        summary::head(&job, &data, &format!("{} processes", comm.size()));
    }
    let progress = first.then(|| Progress::new(&job, &data));
    let outcome = session::run(&job, &data, comm, |event| {
        if let Some(progress) = &progress {
            progress.tell(event);
        }
    })?;
    if let Some(progress) = progress {
        progress.end();
        summary::print(std::slice::from_ref(&outcome), data.test.len());
        if let Some(path) = &cli.train.curves {
            curves::draw(path, &job.recipe.data, &outcome.results)?;
        }
    } else {
        println!("worker {rank:<3} {}", summary::worker(&outcome));
    }
    Ok(())
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let Some(mut universe) = ::mpi::initialize() else {
        eprintln!("trine-data-parallel: MPI cannot be initialised");
        return ExitCode::FAILURE;
    };
    let world = universe.world();
    match run(&cli, &mut universe) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker {}: {error}", world.rank());
            // Others may wait for messages that never come; an orderly end would wait for them.
            world.abort(1)
        }
    }
}

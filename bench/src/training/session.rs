//! One worker's training from the first epoch to the last.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trine_core::loss::{Target, correct};
use trine_core::{
    Activation, Element, LinearKernels, MatMut, MatRef, Network, Optimizer, Schedule, Tree, hash_params,
};
use trine_kernels::{Engine, Isa};

use super::checkpoint::{Checkpoint, fnv};
use super::recipe::{Plan, Recipe};
use crate::images::{Chosen, Data, order};
use crate::parallel::comm::{Communicator, Group, Kind, Tag, share};
use crate::parallel::error::Error;
use crate::parallel::exchange::Exchange;
use crate::parallel::grads::Grads;
use crate::parallel::grid::{Layout, Seat, Span};
use crate::parallel::reduce::Buckets;
use crate::parallel::stage::{Stage, StageMemory, StageSettings};
use crate::parallel::trace::{self, Trace};
use crate::parallel::worker::{Reduction, Waits, Worker};
use crate::timed::{Shares, Timed};

/// What an epoch came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochResult {
    /// Mean loss over the training set, while learning.
    pub loss: f64,
    /// Share of the test set that is recognised.
    pub accuracy: f64,
    /// Images learned from in a second, the test not counted.
    pub samples_per_second: f64,
}

/// A training, the same for all workers.
#[derive(Clone, Debug)]
pub struct Job {
    /// What decides the bits.
    pub recipe: Recipe,
    /// How it is shared.
    pub plan: Plan,
    /// Instruction set.
    pub isa: Isa,
    /// Threads of each worker's engine.
    pub threads: usize,
    /// Where the state goes after each epoch.
    pub checkpoint: Option<PathBuf>,
    /// Where it comes from.
    pub resume: Option<PathBuf>,
    /// A step of which the trace is kept.
    pub traced: Option<u64>,
}

/// What happens on the way, told to whoever looks on.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A step has been done.
    Step,
    /// An epoch has been done, this one from 1.
    Epoch(usize, &'a EpochResult),
}

/// What came out of one worker.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// FNV-1a of all parameters, the same at every worker.
    pub hash: u64,
    /// What each epoch came to.
    pub results: Vec<EpochResult>,
    /// Wall-clock time of the training, without tests.
    pub time: Duration,
    /// Images that were learned from, by all workers together.
    pub samples: usize,
    /// Time in the kernels of this worker.
    pub shares: Shares,
    /// Time this worker waited.
    pub waits: Waits,
    /// Bytes of this worker's activations at most.
    pub activations: usize,
    /// Of the traced step.
    pub trace: Vec<trace::Span>,
}

/// The network of a recipe: ReLU between the layers, softmax in the loss.
///
/// # Errors
/// [`Error::Core`] with fewer than two widths.
pub fn network(widths: &[usize]) -> Result<Network<'_>, Error> {
    Ok(Network::new(widths, Activation::Relu, Activation::Identity)?)
}

/// Trains. Every worker of the grid calls this with its end of the connections.
///
/// # Errors
/// Settings that do not go together or that differ among the workers; those of the communicator and
/// of files.
pub fn run<C: Communicator>(
    job: &Job,
    data: &Data,
    comm: C,
    on_event: impl FnMut(Event<'_>),
) -> Result<Outcome, Error> {
    let Job { recipe, plan, .. } = job;
    plan.check(recipe)?;
    let network = network(&recipe.widths)?;
    let (grid, rank) = (plan.grid, comm.rank());
    if comm.size() != grid.workers() {
        let (size, workers) = (comm.size(), grid.workers());
        return Err(Error::Settings(format!("{size} workers were started, but the grid has {workers}")));
    }
    if recipe.widths[0] != data.train.width || recipe.widths[network.layers()] < data.classes {
        let (width, classes) = (data.train.width, data.classes);
        return Err(Error::Settings(format!(
            "--layers has to begin with {width}, the pixels of an image, and to end with {classes} or more, the classes"
        )));
    }
    let seat = grid.seat(rank);
    let microbatches = recipe.microbatches / grid.replicas;
    let schedule = Schedule::new(plan.policy, grid.stages, microbatches, grid.replicas)?;
    let layout = Layout::new(&recipe.widths, &grid, seat, recipe.shards)?;
    let settings = StageSettings {
        rows: recipe.batch.div_ceil(recipe.microbatches),
        depth: schedule.in_flight(seat.stage),
        recompute: plan.recompute,
        parts: grid.parts_of(seat),
    };
    let mut memory = StageMemory::new(&network, &layout, &settings)?;
    let stage = Stage::new(&network, &layout, &mut memory, &settings)?;
    let params = vec![0.0; layout.params()?];
    let optimizer = Optimizer::new(recipe.rule, recipe.lr)?;
    let worker = Worker {
        kernels: Timed::whole(Engine::with_isa(job.isa)?.with_threads(job.threads)),
        comm,
        grid,
        seat,
        schedule,
        tree: Tree::new(recipe.microbatches)?,
        stage,
        spans: layout.spans()?,
        grads: Grads::new(params.len(), microbatches)?,
        state: vec![0.0; optimizer.state_len(params.len())],
        params,
        optimizer,
        reduction: reduction(job, seat, &layout, microbatches)?,
        losses: vec![0.0; microbatches],
        waits: Waits::default(),
        trace: Trace::default(),
        between: Default::default(),
    };
    let steps = data.train.len().div_ceil(recipe.batch);
    let session =
        Session { job, data, network, layout, worker, steps, time: Duration::ZERO, results: Vec::new() };
    session.run(on_event)
}

fn reduction(job: &Job, seat: Seat, layout: &Layout, microbatches: usize) -> Result<Reduction, Error> {
    let (Plan { grid, choice, bucket, interleaved, .. }, recipe) = (job.plan, &job.recipe);
    let group = grid.replicas_of(seat);
    let travels = |span: Span| {
        let (d, m) = (recipe.widths[span.layer], recipe.widths[span.layer + 1]);
        let rows = grid.replicas > 1 && span.whole && choice.rows(recipe.batch, d, m);
        rows.then_some((span, d, m))
    };
    let layers = layout.spans()?.into_iter().filter_map(travels);
    let exchange = Exchange::new(group.clone(), Tree::new(microbatches)?, layers)?;
    Ok(Reduction { buckets: Buckets::new(group, bucket), exchange, interleaved })
}

struct Session<'j, 'm, C> {
    job: &'j Job,
    data: &'j Data,
    network: Network<'j>,
    layout: Layout,
    worker: Worker<'m, Timed<Engine<'static>>, C>,
    /// In an epoch.
    steps: usize,
    time: Duration,
    results: Vec<EpochResult>,
}

impl<C: Communicator> Session<'_, '_, C> {
    fn run(mut self, mut on_event: impl FnMut(Event<'_>)) -> Result<Outcome, Error> {
        let Recipe { epochs, batch, seed, lr, rates, .. } = self.job.recipe;
        let first = self.begin()?;
        let mut numbers: Vec<u32> = (0..self.data.train.len() as u32).collect();
        let mut whole = Vec::new();
        let origin = Instant::now();
        for epoch in 0..epochs {
            order(&mut numbers, seed, epoch);
            if epoch < first {
                continue;
            }
            let start = Instant::now();
            for chosen in numbers.chunks(batch) {
                let step = self.worker.optimizer.steps();
                if self.job.traced == Some(step) {
                    self.worker.trace.begin(origin);
                }
                self.worker.optimizer.set_lr(lr * rates.factor(step, epochs * self.steps))?;
                self.worker.step(&Chosen { images: &self.data.train, order: chosen })?;
                self.worker.trace.end();
                on_event(Event::Step);
            }
            self.time += start.elapsed();
            let seconds = start.elapsed().as_secs_f64();
            self.compare_replicas(epoch)?;
            whole = self.assemble(&self.worker.params.clone())?;
            let result = EpochResult {
                loss: self.loss()?,
                accuracy: self.accuracy(&whole)?,
                samples_per_second: self.data.train.len() as f64 / seconds,
            };
            self.results.push(result);
            self.save(&whole, epoch + 1)?;
            on_event(Event::Epoch(epoch + 1, &result));
        }
        if whole.is_empty() {
            whole = self.assemble(&self.worker.params.clone())?;
        }
        Ok(Outcome {
            hash: hash_params(&whole),
            time: self.time,
            samples: (epochs - first.min(epochs)) * self.data.train.len(),
            shares: self.worker.kernels.shares,
            waits: self.worker.waits,
            activations: self.worker.stage.peak_bytes(),
            trace: std::mem::take(&mut self.worker.trace.spans),
            results: self.results,
        })
    }

    /// Makes sure that all workers do the same; initial weights, or those of a checkpoint. Returns the
    /// epochs that are done.
    fn begin(&mut self) -> Result<usize, Error> {
        let items = self.job.recipe.items();
        let saved = self.job.resume.as_deref().map(Checkpoint::load).transpose()?;
        let mut whole = vec![0.0; self.network.params_len()];
        let mut epochs = 0;
        if let Some(saved) = &saved {
            saved.check(&items)?;
            epochs = saved.epochs;
        }
        self.agree(saved.as_ref())?;
        let Worker { params, state, optimizer, .. } = &mut self.worker;
        match saved {
            None => self.network.init(&mut whole, self.job.recipe.seed)?,
            Some(saved) => {
                let (kinds, len) = (optimizer.state_len(1), whole.len());
                if saved.params.len() != len || saved.state.len() != kinds * len {
                    return Err(Error::File("the checkpoint is of another network".into()));
                }
                whole.copy_from_slice(&saved.params);
                if kinds > 0 {
                    for (state, whole) in state.chunks_mut(params.len()).zip(saved.state.chunks(len)) {
                        self.layout.take(&self.network, whole, state)?;
                    }
                }
                *optimizer = optimizer.resume(saved.steps);
                self.results = saved.results;
            }
        }
        self.layout.take(&self.network, &whole, params)?;
        Ok(epochs)
    }

    /// # Errors
    /// [`Error::Differs`] if another worker has other settings, other data or another checkpoint.
    fn agree(&mut self, saved: Option<&Checkpoint>) -> Result<(), Error> {
        let mut items = self.job.recipe.items();
        items.extend(self.job.plan.items());
        let mut hashes: Vec<u64> = items.iter().map(|item| fnv(item.value.as_bytes())).collect();
        hashes.push(saved.map_or(0, |saved| hash_params(&saved.params) ^ saved.steps));
        hashes.push(self.job.recipe.epochs as u64);
        // What is saved is put together by all workers, so all have to know of it.
        hashes.push(u64::from(self.job.checkpoint.is_some()));
        let more = ["checkpoint to resume", "number of epochs", "setting of --checkpoint"];
        let names = items.iter().map(|item| item.name.as_str()).chain(more);
        let group = self.worker.grid.all(self.worker.seat);
        let all = share(&mut self.worker.comm, &group, &hashes)?;
        for (rank, theirs) in all.iter().enumerate() {
            for ((name, ours), theirs) in names.clone().zip(&hashes).zip(theirs) {
                if ours != theirs {
                    return Err(Error::Differs { rank, what: name.into() });
                }
            }
        }
        Ok(())
    }

    /// # Errors
    /// [`Error::Weights`] if a replica has other weights.
    fn compare_replicas(&mut self, epoch: usize) -> Result<(), Error> {
        let Worker { comm, grid, seat, spans, params, .. } = &mut self.worker;
        let group = grid.replicas_of(*seat);
        let hashes: Vec<u64> = spans.iter().map(|span| hash_params(&params[span.range.clone()])).collect();
        let all = share(comm, &group, &hashes)?;
        for (theirs, &rank) in all.iter().zip(&group.members) {
            if let Some(i) = (0..hashes.len()).find(|&i| hashes[i] != theirs[i]) {
                return Err(Error::Weights { rank, layer: spans[i].layer, epoch: epoch + 1 });
            }
        }
        Ok(())
    }

    /// Values of the whole network, of which each worker of a copy has a part: to all of them.
    fn assemble(&mut self, own: &[f32]) -> Result<Vec<f32>, Error> {
        let Worker { comm, grid, seat, .. } = &mut self.worker;
        let (tag, group): (_, Group) = (Tag::new(Kind::Control, 1), grid.copy_of(*seat));
        let mut whole = vec![0.0; self.network.params_len()];
        for (_, rank) in group.others() {
            comm.send_copy(rank, tag, own)?;
        }
        self.layout.put(&self.network, own, &mut whole)?;
        for (_, rank) in group.others() {
            let recipe = &self.job.recipe;
            let layout = Layout::new(&recipe.widths, grid, grid.seat(rank), recipe.shards)?;
            let theirs = comm.receive(rank, tag, layout.params()?)?;
            layout.put(&self.network, &theirs, &mut whole)?;
            comm.give_back(theirs);
        }
        Ok(whole)
    }

    /// The mean loss since the last call. Added up by microbatch, in the order of the whole batch, so
    /// that it is the same for any number of workers.
    fn loss(&mut self) -> Result<f64, Error> {
        let Worker { comm, grid, seat, losses, .. } = &mut self.worker;
        let sums: Vec<u64> = losses.iter().map(|loss| loss.to_bits()).collect();
        let all = share(comm, &grid.all(*seat), &sums)?;
        losses.fill(0.0);
        let last = |replica| grid.rank(Seat { replica, stage: grid.stages - 1, part: 0 });
        let sums = (0..grid.replicas).flat_map(|replica| &all[last(replica)]);
        let sum: f64 = sums.map(|&bits| f64::from_bits(bits)).sum();
        Ok(sum / self.data.train.len() as f64)
    }

    /// The share of the test set that is recognised; each worker looks at a part of it.
    fn accuracy(&mut self, params: &[f32]) -> Result<f64, Error> {
        let Worker { comm, grid, seat, kernels, .. } = &mut self.worker;
        let (test, group) = (&self.data.test, grid.all(*seat));
        let numbers: Vec<u32> = (0..test.len() as u32).collect();
        let own = Tree::new(group.len())?.rows(test.len(), group.me);
        let (shares, mut right) = (kernels.shares, 0);
        for numbers in numbers[own].chunks(self.job.recipe.batch) {
            right += recognised(kernels, &self.network, params, &Chosen { images: test, order: numbers })?;
        }
        kernels.shares = shares;
        let all = share(comm, &group, &[right as u64])?;
        Ok(all.iter().map(|right| right[0]).sum::<u64>() as f64 / test.len() as f64)
    }

    fn save(&mut self, params: &[f32], epochs: usize) -> Result<(), Error> {
        let Some(path) = &self.job.checkpoint else { return Ok(()) };
        let own = self.worker.params.len();
        let mut state = Vec::new();
        for part in self.worker.state.clone().chunks(own.max(1)) {
            state.extend(self.assemble(part)?);
        }
        if self.worker.comm.rank() > 0 {
            return Ok(());
        }
        let (items, steps) = (self.job.recipe.items(), self.worker.optimizer.steps());
        let (params, results) = (params.to_vec(), self.results.clone());
        Checkpoint { items, epochs, steps, results, params, state }.save(path)
    }
}

/// How many of some images are recognised.
///
/// # Errors
/// Those of the network.
pub(super) fn recognised<K: LinearKernels<f32>>(
    kernels: &mut K,
    network: &Network<'_>,
    params: &[f32],
    chosen: &Chosen<'_>,
) -> Result<usize, Error> {
    use crate::parallel::worker::Batch;
    let (rows, widths) = (chosen.rows(), network.widths());
    let (d, m) = (widths[0], widths[network.layers()]);
    let (mut x, mut y) = (vec![0.0; rows * d], vec![f32::ZERO; rows * m]);
    let (mut scratch, mut classes) = (vec![0.0; network.scratch_len(rows)], Vec::new());
    chosen.input(0..rows, &mut x);
    chosen.classes(0..rows, &mut classes);
    let to_y = MatMut::row_major(&mut y, rows, m)?;
    network.infer(kernels, params, MatRef::row_major(&x, rows, d)?, to_y, &mut scratch)?;
    Ok(correct(MatRef::row_major(&y, rows, m)?, Target::Classes(&classes))?)
}

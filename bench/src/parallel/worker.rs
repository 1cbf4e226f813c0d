//! The worker: runs a schedule's instructions over a communicator.

use std::time::{Duration, Instant};

use trine_core::loss::{Loss, Target};
use trine_core::schedule::{Instruction, Schedule};
use trine_core::{LinearKernels, MatMut, MatRef, Optimizer, Tree};

use super::blocks::Back;
use super::comm::{Communicator, Kind, Tag};
use super::error::Error;
use super::exchange::Exchange;
use super::grads::Grads;
use super::grid::{Grid, Seat, Span};
use super::reduce::Buckets;
use super::stage::Stage;
use super::trace::{Trace, Work};

/// Where a batch's rows come from.
pub trait Batch {
    /// Rows of the whole batch.
    fn rows(&self) -> usize;
    /// Writes the input of some rows.
    fn input(&self, rows: std::ops::Range<usize>, to: &mut [f32]);
    /// Writes their classes.
    fn classes(&self, rows: std::ops::Range<usize>, to: &mut Vec<u32>);
}

/// How gradients travel between replicas.
#[derive(Debug)]
pub struct Reduction {
    /// Layers whose gradients travel.
    pub buckets: Buckets,
    /// Layers whose rows travel instead.
    pub exchange: Exchange,
    /// Whether they are sent as soon as they are there, or all after backward.
    pub interleaved: bool,
}

/// Where a worker's time went.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Waits {
    /// For neighbours in the pipeline.
    pub neighbours: Duration,
    /// For sums over replicas, after backward: what was not hidden behind it.
    pub sums: Duration,
}

/// One worker with everything it has.
pub struct Worker<'m, K, C> {
    /// Computes.
    pub kernels: K,
    /// Talks.
    pub comm: C,
    /// Who is where.
    pub grid: Grid,
    /// Where this one is.
    pub seat: Seat,
    /// What everybody does in a step.
    pub schedule: Schedule,
    /// Shards of the whole batch.
    pub tree: Tree,
    /// Its layers.
    pub stage: Stage<'m>,
    /// Where each layer's parameters are.
    pub spans: Vec<Span>,
    /// Its parameters.
    pub params: Vec<f32>,
    /// Its gradients.
    pub grads: Grads,
    /// Its optimizer.
    pub optimizer: Optimizer,
    /// And that one's state.
    pub state: Vec<f32>,
    /// How gradients are summed over replicas.
    pub reduction: Reduction,
    /// Losses of its microbatches since they were last read, weighted by rows: on a last stage.
    pub losses: Vec<f64>,
    /// Where its time went.
    pub waits: Waits,
    /// What it did when.
    pub trace: Trace,
    /// Between instructions: classes, and ∇Y and ∇X.
    pub between: Between,
}

/// What one instruction leaves for another.
#[derive(Debug, Default)]
pub struct Between {
    classes: Vec<u32>,
    dy: Vec<f32>,
    dx: Vec<f32>,
}

impl<K: LinearKernels<f32>, C: Communicator> Worker<'_, K, C> {
    /// One step on a batch, of which every worker takes its part.
    ///
    /// # Errors
    /// Those of the layers and of the communicator.
    pub fn step(&mut self, batch: &impl Batch) -> Result<(), Error> {
        for instruction in self.schedule.worker(self.seat.stage) {
            self.execute(instruction, batch)?;
        }
        Ok(())
    }

    /// The rows of one of this worker's microbatches.
    fn rows(&self, microbatch: usize, batch: &impl Batch) -> std::ops::Range<usize> {
        self.tree.rows(batch.rows(), self.seat.replica * self.schedule.microbatches() + microbatch)
    }

    fn neighbour(&self, stage: usize) -> usize {
        self.grid.rank(Seat { stage, ..self.seat })
    }

    fn execute(&mut self, instruction: Instruction, batch: &impl Batch) -> Result<(), Error> {
        let (stage, last) = (self.seat.stage, self.seat.stage + 1 == self.grid.stages);
        let start = Instant::now();
        match instruction {
            Instruction::ZeroGrad => self.grads.zero(),
            Instruction::LoadInput(i) => {
                let rows = self.rows(i, batch);
                self.stage.input(i, rows.len(), |input| batch.input(rows.clone(), input))?;
            }
            Instruction::LoadTarget(i) => batch.classes(self.rows(i, batch), &mut self.between.classes),
            Instruction::Forward(i) => {
                self.stage.forward(&mut self.kernels, &mut self.comm, &self.params, i)?;
                self.trace.push(Work::Forward(i), start);
            }
            Instruction::SendActivation(i) => {
                let mut message = self.comm.buffer();
                let output = self.stage.output(&mut self.kernels, &self.params, i)?;
                message.extend_from_slice(&output.as_slice()[..output.nrows() * output.ncols()]);
                self.comm.send(self.neighbour(stage + 1), Tag::new(Kind::Activation, i), message)?;
            }
            Instruction::RecvActivation(i) => {
                let rows = self.rows(i, batch).len();
                let (from, tag) = (self.neighbour(stage - 1), Tag::new(Kind::Activation, i));
                let message = self.comm.receive(from, tag, rows * self.stage.width.0)?;
                self.stage.input(i, rows, |input| input.copy_from_slice(&message))?;
                self.comm.give_back(message);
                self.waited(start);
            }
            Instruction::RecvGradient(i) => {
                let (from, tag) = (self.neighbour(stage + 1), Tag::new(Kind::Gradient, i));
                let expected = self.rows(i, batch).len() * self.stage.width.1;
                let message = self.comm.receive(from, tag, expected)?;
                self.comm.give_back(std::mem::replace(&mut self.between.dy, message));
                self.waited(start);
            }
            Instruction::SendGradient(i) => {
                let message = std::mem::take(&mut self.between.dx);
                self.comm.send(self.neighbour(stage - 1), Tag::new(Kind::Gradient, i), message)?;
            }
            Instruction::Backward { microbatch, reduce } => {
                if last {
                    self.loss(microbatch, batch)?;
                }
                self.backward(microbatch, reduce, self.rows(microbatch, batch).len())?;
                self.trace.push(Work::Backward(microbatch), start);
            }
            Instruction::OptimizerStep => {
                self.finish_sums(batch)?;
                let start = Instant::now();
                let Worker { kernels, params, grads, state, optimizer, .. } = self;
                optimizer.step(kernels, params, grads.total(), state)?;
                self.trace.push(Work::Step, start);
            }
        }
        Ok(())
    }

    fn waited(&mut self, start: Instant) {
        self.waits.neighbours += start.elapsed();
        self.trace.push(Work::Wait, start);
    }

    /// The loss of a microbatch, and ∇Y.
    fn loss(&mut self, microbatch: usize, batch: &impl Batch) -> Result<(), Error> {
        let Between { classes, dy, .. } = &mut self.between;
        let (rows, columns) = (classes.len(), self.stage.width.1);
        dy.resize(rows * columns, 0.0);
        let y = self.stage.output(&mut self.kernels, &self.params, microbatch)?;
        let to_dy = Some(MatMut::row_major(dy, rows, columns)?);
        let target = Target::Classes(classes);
        let loss = Loss::SoftmaxCrossEntropy.evaluate(&mut self.kernels, y, target, batch.rows(), to_dy)?;
        self.losses[microbatch] += f64::from(loss) * batch.rows() as f64;
        Ok(())
    }

    fn backward(&mut self, microbatch: usize, reduce: bool, rows: usize) -> Result<(), Error> {
        let Worker { kernels, comm, stage, params, grads, reduction, spans, seat, between, .. } = self;
        let Reduction { buckets, exchange, interleaved } = reduction;
        let dy = MatRef::row_major(&between.dy, rows, stage.width.1)?;
        let dx = if seat.stage > 0 {
            between.dx = comm.buffer();
            between.dx.resize(rows * stage.width.0, 0.0);
            Some(MatMut::row_major(&mut between.dx, rows, stage.width.0)?)
        } else {
            None
        };
        let back = Back { params, microbatch, dy, dx };
        grads.begin(microbatch, rows);
        if reduce {
            buckets.begin(params.len());
        }
        stage.backward(kernels, comm, back, &mut |kernels, comm, place, pass| {
            if exchange.has(place.layer) {
                exchange.send(kernels, comm, place.layer, &pass)?;
            }
            let bias = pass.dy.ncols();
            let (target, write) = grads.target(place.range.clone());
            let start = target.len() - bias;
            pass.run(kernels, &params[place.range.clone()], target, write)?;
            if place.no_bias {
                target[start..].fill(0.0);
            }
            grads.close(place.range.clone());
            if reduce && *interleaved {
                ready(comm, buckets, exchange, grads.total(), place.layer, place.range.start)?;
            }
            Ok(())
        })?;
        if reduce && !*interleaved {
            for span in spans.iter().rev() {
                ready(comm, buckets, exchange, grads.total(), span.layer, span.range.start)?;
            }
        }
        Ok(())
    }

    /// Waits for what backward has begun.
    fn finish_sums(&mut self, batch: &impl Batch) -> Result<(), Error> {
        if self.grid.replicas == 1 {
            return Ok(());
        }
        let start = Instant::now();
        let Worker { kernels, comm, grads, reduction, tree, schedule, .. } = self;
        reduction.buckets.finish(comm, grads.total())?;
        let own = schedule.microbatches();
        let rows = |replica: usize, i: usize| tree.rows(batch.rows(), replica * own + i).len();
        reduction.exchange.finish(kernels, comm, grads.total(), rows)?;
        self.waits.sums += start.elapsed();
        self.trace.push(Work::Reduce, start);
        Ok(())
    }
}

/// A layer's gradients are complete, from `from` on.
fn ready(
    comm: &mut impl Communicator,
    buckets: &mut Buckets,
    exchange: &Exchange,
    grads: &mut [f32],
    layer: usize,
    from: usize,
) -> Result<(), Error> {
    if exchange.has(layer) { buckets.skip(comm, grads, from) } else { buckets.ready(comm, grads, from) }
}

//! Schedules: what each worker does in one step of training, as data.
//!
//! ```text
//!     n stages, one behind the other, each a range of layers; m microbatches 0 … m−1
//!
//!     stage 0   F0 F1 F2 F3 ·  ·  B0 ·  B1 ·  B2 ·  B3      F forward, B backward of a microbatch
//!     stage 1      F0 F1 F2 ·  B0 …                         · waiting
//! ```
//!
//! All schedules here are one rule with one number: a worker goes forward while fewer than `limit`
//! microbatches are between their forward and their backward, and backward otherwise.
//!
//! | | limit of stage s | bubble | source |
//! |---|---|---|---|
//! | naive | 1 | (n−1)/n | |
//! | GPipe | m | (n−1)/(m+n−1) | Y. Huang et al. 2019 |
//! | 1F1B | min(m, n−s) | (n−1)/(m+n−1) | PipeDream-flush, D. Narayanan et al. 2021 |
//!
//! The bubble is the share of the workers' time that is spent waiting, where all stages take the
//! same time. Microbatches go backward in the order in which they went forward, under every
//! schedule, so that gradients are added in one order. One stage is a single worker; replicas of a
//! pipeline (of one stage or more) are data parallel, and reduce their gradients in the last
//! backward. [`check`](mod@check) proves all of this for a set of schedules.

pub mod check;

use core::fmt;

use crate::error::Error;

/// One thing that a worker does. Numbers are microbatches, from 0 in every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// Gradients begin anew.
    ZeroGrad,
    /// The rows of a microbatch into the first stage.
    LoadInput(usize),
    /// Its classes into the last stage.
    LoadTarget(usize),
    /// All layers of the stage; what backward needs stays in the cache.
    Forward(usize),
    /// All layers from the last to the first; gradients accumulate.
    Backward {
        /// Which microbatch.
        microbatch: usize,
        /// Whether it is the last one and each layer's gradient is then summed over the replicas.
        reduce: bool,
    },
    /// The stage's output to the next stage.
    SendActivation(usize),
    /// The stage's input from the stage before.
    RecvActivation(usize),
    /// The gradient of the stage's input to the stage before.
    SendGradient(usize),
    /// The gradient of the stage's output from the next stage.
    RecvGradient(usize),
    /// A step of the optimizer.
    OptimizerStep,
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Instruction::ZeroGrad => write!(f, "zero gradients"),
            Instruction::LoadInput(i) => write!(f, "load input {i}"),
            Instruction::LoadTarget(i) => write!(f, "load target {i}"),
            Instruction::Forward(i) => write!(f, "forward {i}"),
            Instruction::Backward { microbatch, reduce: false } => write!(f, "backward {microbatch}"),
            Instruction::Backward { microbatch, reduce: true } => {
                write!(f, "backward {microbatch} and all-reduce")
            }
            Instruction::SendActivation(i) => write!(f, "send activation {i}"),
            Instruction::RecvActivation(i) => write!(f, "receive activation {i}"),
            Instruction::SendGradient(i) => write!(f, "send gradient {i}"),
            Instruction::RecvGradient(i) => write!(f, "receive gradient {i}"),
            Instruction::OptimizerStep => write!(f, "optimizer step"),
        }
    }
}

/// How many microbatches a stage keeps between forward and backward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// One: a single stage works at a time.
    Naive,
    /// All: every forward, then every backward.
    GPipe,
    /// As many as there are stages from this one on: one forward, one backward.
    OneForwardOneBackward,
}

impl Policy {
    /// All of them.
    pub const ALL: [Policy; 3] = [Policy::Naive, Policy::GPipe, Policy::OneForwardOneBackward];

    /// As in reports and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Policy::Naive => "naive",
            Policy::GPipe => "gpipe",
            Policy::OneForwardOneBackward => "1f1b",
        }
    }
}

/// The schedules of all workers of a pipeline, for one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    policy: Policy,
    stages: usize,
    microbatches: usize,
    replicas: usize,
}

impl Schedule {
    /// A pipeline of `stages` workers, `microbatches` in each of its `replicas`.
    ///
    /// # Errors
    /// [`Error::Value`] if one of the numbers is 0.
    pub const fn new(
        policy: Policy,
        stages: usize,
        microbatches: usize,
        replicas: usize,
    ) -> Result<Self, Error> {
        let operand = match (stages, microbatches, replicas) {
            (0, _, _) => "stages",
            (_, 0, _) => "microbatches",
            (_, _, 0) => "replicas",
            _ => return Ok(Schedule { policy, stages, microbatches, replicas }),
        };
        Err(Error::Value { operand, expected: "at least 1" })
    }

    /// How it was made.
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// Workers of one pipeline.
    pub const fn stages(&self) -> usize {
        self.stages
    }

    /// Microbatches in one pipeline and step.
    pub const fn microbatches(&self) -> usize {
        self.microbatches
    }

    /// Pipelines side by side.
    pub const fn replicas(&self) -> usize {
        self.replicas
    }

    /// Microbatches that a stage has in its cache at most: the depth the cache is made with.
    pub const fn in_flight(&self, stage: usize) -> usize {
        let limit = match self.policy {
            Policy::Naive => 1,
            Policy::GPipe => self.microbatches,
            Policy::OneForwardOneBackward => self.stages.saturating_sub(stage),
        };
        let most = if limit < self.microbatches { limit } else { self.microbatches };
        if most == 0 { 1 } else { most }
    }

    /// The bubble as a fraction, numerator and denominator.
    pub const fn bubble(&self) -> (usize, usize) {
        match self.policy {
            Policy::Naive => (self.stages - 1, self.stages),
            Policy::GPipe | Policy::OneForwardOneBackward => {
                (self.stages - 1, self.microbatches + self.stages - 1)
            }
        }
    }

    /// What the worker of a stage does, in order. The same in every replica.
    pub const fn worker(&self, stage: usize) -> Instructions {
        Instructions { schedule: *self, stage, forwards: 0, backwards: 0, at: At::Start }
    }
}

/// Where an iterator is within the instructions around one forward or backward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    Between,
    /// Forward of the microbatch number `forwards`, with its input.
    Forward,
    AfterForward,
    /// Backward of the microbatch number `backwards`, with its gradient.
    Backward,
    AfterBackward,
    End,
}

/// The instructions of one worker for one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instructions {
    schedule: Schedule,
    stage: usize,
    forwards: usize,
    backwards: usize,
    at: At,
}

impl Instructions {
    /// What comes between two passes: the input of a forward, the target or gradient of a
    /// backward, or the end.
    fn next_pass(&mut self) -> Instruction {
        let all = self.schedule.microbatches;
        let room = self.forwards - self.backwards < self.schedule.in_flight(self.stage);
        if self.forwards < all && room {
            self.at = At::Forward;
            match self.stage {
                0 => Instruction::LoadInput(self.forwards),
                _ => Instruction::RecvActivation(self.forwards),
            }
        } else if self.backwards < all {
            self.at = At::Backward;
            if self.on_last_stage() {
                Instruction::LoadTarget(self.backwards)
            } else {
                Instruction::RecvGradient(self.backwards)
            }
        } else {
            self.at = At::End;
            Instruction::OptimizerStep
        }
    }

    fn on_last_stage(&self) -> bool {
        self.stage + 1 == self.schedule.stages
    }
}

impl Iterator for Instructions {
    type Item = Instruction;

    fn next(&mut self) -> Option<Instruction> {
        Some(match self.at {
            At::Start => {
                self.at = At::Between;
                Instruction::ZeroGrad
            }
            At::Between => self.next_pass(),
            At::Forward => {
                self.at = if self.on_last_stage() { At::Between } else { At::AfterForward };
                self.forwards += 1;
                Instruction::Forward(self.forwards - 1)
            }
            At::AfterForward => {
                self.at = At::Between;
                Instruction::SendActivation(self.forwards - 1)
            }
            At::Backward => {
                self.at = if self.stage == 0 { At::Between } else { At::AfterBackward };
                self.backwards += 1;
                let reduce = self.schedule.replicas > 1 && self.backwards == self.schedule.microbatches;
                Instruction::Backward { microbatch: self.backwards - 1, reduce }
            }
            At::AfterBackward => {
                self.at = At::Between;
                Instruction::SendGradient(self.backwards - 1)
            }
            At::End => return None,
        })
    }
}

impl core::iter::FusedIterator for Instructions {}

//! The command line of a training, the same for threads and for MPI.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum, value_parser};
use trine_core::Rule;
use trine_core::schedule::Policy;
use trine_kernels::Isa;

use super::checkpoint::fnv;
use super::recipe::{Plan, RateSchedule, Recipe};
use super::session::Job;
use crate::files;
use crate::images::{Data, Source};
use crate::parallel::exchange::Choice;
use crate::parallel::grid::Grid;
use crate::parallel::threads::Options;

/// Floating-point operations that a worker does while a value travels: 100 GFLOP/s, 1 GB/s.
const BALANCE: f64 = 400.0;

/// Trains a multi-layer perceptron, alone or on several workers, with the same bits
#[derive(Clone, Debug, Args)]
pub struct TrainArgs {
    /// digits, fashion-mnist or fashion-mnist:DIRECTORY; without it, the main job
    #[arg(long, value_name = "DATA")]
    pub data: Option<Source>,
    #[command(flatten)]
    learn: LearnArgs,
    #[command(flatten)]
    share: ShareArgs,
    /// Steps straight into the weights, without memory for gradients: SGD, alone, --microbatches 1
    #[arg(long, requires = "data", conflicts_with_all = ["checkpoint", "resume", "dp", "pp", "tp", "tensor_shards"])]
    pub in_place: bool,
    /// Saves weights and optimizer state here after each epoch
    #[arg(long, requires = "data", value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Goes on from a checkpoint
    #[arg(long, requires = "data", value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Draws loss and accuracy over the epochs
    #[arg(long, requires = "data", value_name = "FILE")]
    pub curves: Option<PathBuf>,
}

/// What decides the bits.
#[derive(Clone, Debug, Args)]
struct LearnArgs {
    /// Values between the layers [default: digits 64,128,96,64,10; fashion-mnist 784,512,256,10]
    #[arg(long, requires = "data", value_delimiter = ',', value_name = "WIDTHS")]
    layers: Vec<usize>,
    /// Images in a batch [default: digits 64, fashion-mnist 256]
    #[arg(long, requires = "data")]
    batch: Option<usize>,
    /// Only the first so many images to learn from, and so many for the test [default: all]
    #[arg(long, requires = "data", value_delimiter = ',', value_name = "TRAIN,TEST")]
    images: Vec<usize>,
    /// Times that every image is seen [default: digits 40, fashion-mnist 10]
    #[arg(long, requires = "data")]
    epochs: Option<usize>,
    /// Shards of a batch, of all workers together
    #[arg(long, requires = "data", default_value = "4")]
    microbatches: usize,
    /// Shards of the layers of a pair [default: --tp]
    #[arg(long, requires = "data")]
    tensor_shards: Option<usize>,
    /// How a step follows from a gradient
    #[arg(long, requires = "data", value_enum, default_value = "adamw")]
    optimizer: OptimizerName,
    /// Learning rate [default: 0.004 for digits, 0.002 for fashion-mnist; 0.1 for sgd, 0.02 with momentum]
    #[arg(long, requires = "data")]
    lr: Option<f64>,
    /// The learning rate over the steps
    #[arg(long, requires = "data", value_enum, default_value = "linear")]
    schedule_lr: RateSchedule,
    /// Decides initial weights and the order of the images
    #[arg(long, requires = "data", default_value = "1")]
    seed: u64,
}

/// How the work is shared; has no say in the bits.
#[derive(Clone, Debug, Args)]
struct ShareArgs {
    /// Data parallel: replicas
    #[arg(long, requires = "data", default_value = "1", value_name = "N")]
    dp: usize,
    /// Pipeline parallel: stages
    #[arg(long, requires = "data", default_value = "1", value_name = "N")]
    pp: usize,
    /// Tensor parallel: parts of each pair of layers
    #[arg(long, requires = "data", default_value = "1", value_name = "N")]
    tp: usize,
    /// The pipeline's schedule
    #[arg(long, requires = "data", value_enum, default_value = "1f1b")]
    schedule: ScheduleName,
    /// Computes activations again instead of keeping them
    #[arg(long, requires = "data")]
    recompute: bool,
    /// Sends gradients only after all of backward
    #[arg(long, requires = "data")]
    not_interleaved: bool,
    /// KiB of gradients that travel together
    #[arg(long, requires = "data", default_value = "256", value_name = "KIB", value_parser = at_least_one())]
    bucket: usize,
    /// What travels between replicas
    #[arg(long, requires = "data", value_enum, default_value = "auto")]
    exchange: ExchangeName,
    /// For auto: operations that a worker does while a value travels
    #[arg(long, requires = "data", default_value_t = BALANCE, value_name = "OPERATIONS", value_parser = balance)]
    balance: f64,
    /// Microseconds for which a message occupies its sender's line (threads)
    #[arg(long, requires = "data", default_value = "0", value_name = "MICROSECONDS", value_parser = value_parser!(u64).range(..=60_000_000))]
    latency: u64,
    /// Seconds without a sign of another worker until it is given up
    #[arg(long, requires = "data", default_value = "30", value_name = "SECONDS", value_parser = value_parser!(u64).range(1..=1_000_000))]
    timeout: u64,
}

fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

fn balance(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(balance) if balance > 0.0 && f64::is_finite(balance) => Ok(balance),
        _ => Err("expected a number of operations above 0".into()),
    }
}

/// Names of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OptimizerName {
    Sgd,
    Momentum,
    Nesterov,
    Adam,
    Adamw,
}

impl OptimizerName {
    const fn rule(self) -> Rule {
        match self {
            OptimizerName::Sgd => Rule::SGD,
            OptimizerName::Momentum => Rule::Momentum { momentum: 0.9, weight_decay: 0.0 },
            OptimizerName::Nesterov => Rule::Nesterov { momentum: 0.9, weight_decay: 0.0 },
            OptimizerName::Adam => Rule::ADAM,
            OptimizerName::Adamw => Rule::ADAMW,
        }
    }

    const fn lr(self, digits: bool) -> f64 {
        match self {
            OptimizerName::Sgd => 0.1,
            OptimizerName::Momentum | OptimizerName::Nesterov => 0.02,
            OptimizerName::Adam | OptimizerName::Adamw if digits => 4e-3,
            OptimizerName::Adam | OptimizerName::Adamw => 2e-3,
        }
    }
}

/// Names of schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScheduleName {
    /// One microbatch through all stages, there and back, then the next.
    Naive,
    /// All forwards, then all backwards.
    Gpipe,
    /// One forward, one backward.
    #[value(name = "1f1b")]
    OneForwardOneBackward,
}

impl ScheduleName {
    /// As in the library.
    pub const fn policy(self) -> Policy {
        match self {
            ScheduleName::Naive => Policy::Naive,
            ScheduleName::Gpipe => Policy::GPipe,
            ScheduleName::OneForwardOneBackward => Policy::OneForwardOneBackward,
        }
    }
}

/// What travels between replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ExchangeName {
    /// What takes less time.
    Auto,
    /// Gradients.
    Gradients,
    /// Activations and errors.
    Rows,
}

impl TrainArgs {
    /// Reads the data and makes a job of it all.
    ///
    /// # Errors
    /// Data that cannot be read; settings that do not go together.
    pub fn job(&self, source: &Source, isa: Isa, threads: usize) -> Result<(Job, Data), crate::Failure> {
        files::writable([self.checkpoint.as_deref(), self.curves.as_deref()])?;
        let mut data = source.read()?;
        match self.learn.images[..] {
            [] => {}
            [train, test] => {
                data.train.truncate(train, "learn from")?;
                data.test.truncate(test, "test with")?;
            }
            _ => return Err("--images takes two numbers, as in 512,128".into()),
        }
        let (learn, digits) = (&self.learn, *source == Source::Digits);
        let widths: &[usize] = match learn.layers.len() {
            0 if digits => &[64, 128, 96, 64, 10],
            0 => &[784, 512, 256, 10],
            _ => &learn.layers,
        };
        let sets = [&data.train, &data.test];
        let hashes: Vec<u8> = sets
            .iter()
            .flat_map(|set| [fnv(&set.pixels), fnv(&set.labels)])
            .flat_map(u64::to_le_bytes)
            .collect();
        let recipe = Recipe {
            data: source.name().into(),
            data_hash: fnv(&hashes),
            widths: widths.to_vec(),
            // There is no larger one.
            batch: learn.batch.unwrap_or(if digits { 64 } else { 256 }).min(data.train.len()),
            microbatches: learn.microbatches,
            shards: learn.tensor_shards.unwrap_or(self.share.tp),
            rule: learn.optimizer.rule(),
            lr: learn.lr.unwrap_or(learn.optimizer.lr(digits)),
            rates: learn.schedule_lr,
            epochs: learn.epochs.unwrap_or(if digits { 40 } else { 10 }),
            seed: learn.seed,
            rounding: isa.rounding::<f32>(),
        };
        let plan = self.share.plan();
        plan.check(&recipe)?;
        if self.in_place && (recipe.microbatches, recipe.rule) != (1, Rule::SGD) {
            return Err("--in-place needs --optimizer sgd and --microbatches 1".into());
        }
        let (checkpoint, resume) = (self.checkpoint.clone(), self.resume.clone());
        Ok((Job { recipe, plan, isa, threads, checkpoint, resume, traced: None }, data))
    }

    /// What the connections are like.
    pub fn options(&self) -> Options {
        let (latency, timeout) = (self.share.latency, self.share.timeout);
        Options {
            latency: Duration::from_micros(latency),
            timeout: Duration::from_secs(timeout),
            ..Options::default()
        }
    }
}

impl ShareArgs {
    fn plan(&self) -> Plan {
        Plan {
            grid: Grid { replicas: self.dp, stages: self.pp, parts: self.tp },
            policy: self.schedule.policy(),
            recompute: self.recompute,
            interleaved: !self.not_interleaved,
            bucket: self.bucket.saturating_mul(1024) / size_of::<f32>(),
            choice: match self.exchange {
                ExchangeName::Auto => Choice::Cheaper { balance: self.balance },
                ExchangeName::Gradients => Choice::Gradients,
                ExchangeName::Rows => Choice::Rows,
            },
        }
    }
}

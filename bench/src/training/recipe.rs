//! What is trained, and how: everything that decides the bits, and what has no say in them.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use trine_core::schedule::Policy;
use trine_core::{Rounding, Rule, Tree};

use crate::parallel::Error;
use crate::parallel::exchange::Choice;
use crate::parallel::grid::Grid;

/// The learning rate over the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RateSchedule {
    /// The same at every step.
    Constant,
    /// Along a straight line from its full value to 0 at the end.
    Linear,
}

impl RateSchedule {
    /// The factor at a step, of so many.
    pub fn factor(self, step: u64, steps: usize) -> f64 {
        match self {
            RateSchedule::Constant => 1.0,
            RateSchedule::Linear => 1.0 - step as f64 / steps as f64,
        }
    }
}

/// Everything that decides the weights, bit by bit.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Name of the data.
    pub data: String,
    /// FNV-1a of what is in it.
    pub data_hash: u64,
    /// Values between the layers.
    pub widths: Vec<usize>,
    /// Images in a batch.
    pub batch: usize,
    /// Shards of a batch, of all replicas together.
    pub microbatches: usize,
    /// Shards of a layer under tensor parallelism.
    pub shards: usize,
    /// How a step follows from a gradient.
    pub rule: Rule,
    /// Learning rate.
    pub lr: f64,
    /// Over the steps.
    pub rates: RateSchedule,
    /// Times that every image is seen.
    pub epochs: usize,
    /// Decides initial weights and the order of the images.
    pub seed: u64,
    /// Of the multiply-add.
    pub rounding: Rounding,
}

/// How the work is shared. Has no say in the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Workers in each direction.
    pub grid: Grid,
    /// Of the pipeline.
    pub policy: Policy,
    /// Activations are computed again instead of kept.
    pub recompute: bool,
    /// Gradients travel while backward goes on.
    pub interleaved: bool,
    /// Values in a bucket.
    pub bucket: usize,
    /// What travels between replicas.
    pub choice: Choice,
}

/// A setting with its name, to be compared and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// As on the command line.
    pub name: String,
    /// As text.
    pub value: String,
}

fn item(name: &str, value: impl ToString) -> Item {
    Item { name: name.into(), value: value.to_string() }
}

impl Recipe {
    /// What the weights, two copies of them, their gradients and the optimizer take at least, in
    /// values; `None` if that is no number.
    fn values(&self) -> Option<usize> {
        let layer = |pair: &[usize]| pair[0].checked_add(1)?.checked_mul(pair[1]);
        let sum = |sum: usize, pair: &[usize]| sum.checked_add(layer(pair)?);
        let params = self.widths.windows(2).try_fold(0, sum)?;
        let state = trine_core::Optimizer::new(self.rule, 0.0).map_or(0, |optimizer| optimizer.state_len(1));
        params.checked_mul(4 + state)
    }

    /// All of it. The number of epochs decides only where the learning rate depends on it.
    pub fn items(&self) -> Vec<Item> {
        let mut widths = String::new();
        for (i, width) in self.widths.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let _ = write!(widths, "{comma}{width}");
        }
        let epochs = match self.rates {
            RateSchedule::Constant => "any number".into(),
            RateSchedule::Linear => self.epochs.to_string(),
        };
        // As many for all recipes: workers compare them one by one.
        vec![
            item("data", format!("{} ({:016x})", self.data, self.data_hash)),
            item("layers", widths),
            item("batch", self.batch),
            item("microbatches", self.microbatches),
            item("tensor-shards", self.shards),
            item("optimizer", format!("{:?}", self.rule)),
            item("lr", self.lr),
            item("schedule-lr", format!("{:?}", self.rates)),
            item("seed", self.seed),
            item("multiply-add", self.rounding.name()),
            item("epochs", epochs),
        ]
    }
}

impl Plan {
    /// All of it, in which workers have to agree as well.
    pub fn items(&self) -> Vec<Item> {
        let Grid { replicas, stages, parts } = self.grid;
        vec![
            item("dp", replicas),
            item("pp", stages),
            item("tp", parts),
            item("schedule", self.policy.name()),
            item("interleaving", self.interleaved),
            item("bucket", self.bucket),
            item("exchange", format!("{:?}", self.choice)),
        ]
    }

    /// Whether recipe and plan go together.
    ///
    /// # Errors
    /// [`Error::Settings`].
    pub fn check(&self, recipe: &Recipe) -> Result<(), Error> {
        let wrong = |text: String| Err(Error::Settings(text));
        let Grid { replicas, stages, parts } = self.grid;
        if recipe.widths.len() < 2 || recipe.widths.contains(&0) {
            return wrong("--layers needs two widths or more, none of them 0".into());
        }
        if [replicas, stages, parts, recipe.batch, recipe.epochs].contains(&0) {
            return wrong("--dp, --pp, --tp, --batch and --epochs are 1 or more".into());
        }
        // Before anything is counted with these numbers.
        room(recipe.values(), "--layers")?;
        let microbatches = recipe.microbatches;
        if Tree::new(microbatches).and_then(|tree| tree.subtree(replicas)).is_err() {
            return wrong(format!(
                "--microbatches {microbatches} cannot be shared among --dp {replicas}: \
                 a power of two that divides it is needed"
            ));
        }
        let shards = recipe.shards;
        crate::parallel::grid::stages(&recipe.widths, stages, shards)?;
        if Tree::new(shards).and_then(|tree| tree.subtree(parts)).is_err() {
            return wrong(format!(
                "--tensor-shards {shards} cannot be shared among --tp {parts}: \
                 a power of two that divides it is needed"
            ));
        }
        if recipe.microbatches > recipe.batch {
            return wrong(format!("a batch of {} has not {microbatches} rows for shards", recipe.batch));
        }
        Ok(())
    }
}

/// Whether there is memory for so many values; `None` is more than can be counted.
///
/// # Errors
/// [`Error::Settings`] with the name of what is too large.
pub fn room(values: Option<usize>, what: &str) -> Result<(), Error> {
    // Nothing is written to it, so that it costs nothing.
    let there_is = values.is_some_and(|values| Vec::<f32>::new().try_reserve_exact(values).is_ok());
    if there_is {
        Ok(())
    } else {
        Err(Error::Settings(format!("{what}: more values than there is memory for")))
    }
}

/// The first setting in which two lists differ.
pub fn difference(ours: &[Item], theirs: &[Item]) -> Option<String> {
    let find = |name: &str| theirs.iter().find(|item| item.name == name).map_or("none", |item| &item.value);
    let changed = ours.iter().find(|item| find(&item.name) != item.value);
    changed.map(|item| format!("{} {}, not {}", item.name, find(&item.name), item.value))
}

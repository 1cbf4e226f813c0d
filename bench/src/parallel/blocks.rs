//! Layers that a worker computes together: whole ones, or its shards of a pair.
//!
//! ```text
//!     whole                    X → layers → Y
//!
//!     pair, shard s of T       X → act(X·W₁[:,s] + b₁[s])·W₂[s,:] = Pₛ       a network of two layers
//!                              Y = act(P₀ + P₁ + … along the tree)           b₂ is in P₀
//!                              ∇X = ∇X₀ + ∇X₁ + … along the tree             from ∇Z₂ in every shard
//! ```
//!
//! A pair needs one sum over the workers on the way forward and one on the way back (M. Shoeybi et
//! al. 2019, Megatron). The tree has T leaves, whoever computes them, so the bits do not depend on
//! the number of workers.

use std::ops::Range;

use trine_core::backprop::Pass;
use trine_core::{Activation, Cache, Lanes, LinearKernels, MatMut, MatRef, Network, Saved, Slot, Task, Tree};

use super::comm::{Communicator, Group};
use super::error::Error;
use super::reduce::AllReduce;

/// Where a layer's parameters are, for whoever takes its gradients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// In the worker's slice.
    pub range: Range<usize>,
    /// Which layer of the whole network.
    pub layer: usize,
    /// Whether its bias is zero and stays zero.
    pub no_bias: bool,
}

/// What a pass on the way back has to work with.
#[derive(Debug)]
pub struct Back<'a> {
    /// The worker's parameters.
    pub params: &'a [f32],
    /// Which microbatch.
    pub microbatch: usize,
    /// Gradient of the output.
    pub dy: MatRef<'a, f32>,
    /// Gradient of the input, if it is wanted.
    pub dx: Option<MatMut<'a, f32>>,
}

/// Takes the gradients of a layer.
pub type OnLayer<'a, K, C> = &'a mut dyn FnMut(&mut K, &mut C, Place, Pass<'_, f32>) -> Result<(), Error>;

/// Memory of a network's cache.
#[derive(Debug)]
pub struct CacheMemory {
    values: Vec<f32>,
    slots: Vec<Slot>,
    inputs: Vec<f32>,
    input_slots: Vec<Slot>,
    scratch: Vec<f32>,
}

impl CacheMemory {
    /// For `depth` microbatches of up to `rows` rows; with `recompute`, of inputs only, and the rest
    /// for one.
    pub fn new(network: &Network<'_>, rows: usize, depth: usize, recompute: bool) -> Self {
        let (deep, inputs) = if recompute { (1, depth) } else { (depth, 0) };
        CacheMemory {
            values: vec![0.0; network.activations_len(rows, deep)],
            slots: vec![Slot::EMPTY; network.slots_len(deep)],
            inputs: vec![0.0; network.widths()[0] * rows * inputs],
            input_slots: vec![Slot::EMPTY; inputs],
            scratch: vec![0.0; network.scratch_len(rows)],
        }
    }
}

/// Whole layers.
#[derive(Debug)]
pub struct Whole<'m> {
    network: Network<'m>,
    cache: Cache<'m, f32>,
    /// Inputs only, where the rest is computed again.
    inputs: Option<Cache<'m, f32>>,
    /// The microbatch whose activations are in a cache that others use too.
    held: Option<usize>,
    scratch: &'m mut [f32],
    /// Where the parameters begin in the worker's slice.
    offset: usize,
}

impl<'m> Whole<'m> {
    /// On memory of its own.
    ///
    /// # Errors
    /// None where the memory was made for this network.
    pub fn new(
        network: Network<'m>,
        memory: &'m mut CacheMemory,
        rows: usize,
        offset: usize,
    ) -> Result<Self, Error> {
        let CacheMemory { values, slots, inputs, input_slots, scratch } = memory;
        let width = network.widths()[0];
        let inputs = match input_slots.len() {
            0 => None,
            _ => Some(Cache::new(inputs, input_slots, 1, rows, |_| width)?),
        };
        let cache = network.cache(values, slots, rows)?;
        Ok(Whole { network, cache, inputs, held: None, scratch, offset })
    }

    fn params<'p>(&self, params: &'p [f32]) -> &'p [f32] {
        &params[self.offset..self.offset + self.network.params_len()]
    }

    /// The place of a microbatch's input.
    ///
    /// # Errors
    /// Those of the cache.
    pub fn input(&mut self, microbatch: usize, rows: usize) -> Result<&mut [f32], Error> {
        Ok(match &mut self.inputs {
            Some(inputs) => inputs.put(microbatch, 0, rows)?,
            None => self.network.input(&mut self.cache, microbatch, rows)?,
        })
    }

    /// All layers.
    ///
    /// # Errors
    /// Those of the network.
    pub fn forward<K: LinearKernels<f32>>(
        &mut self,
        kernels: &mut K,
        params: &[f32],
        microbatch: usize,
    ) -> Result<(), Error> {
        if let Some(inputs) = &self.inputs {
            if let Some(other) = self.held.take() {
                for slot in 0..=self.network.layers() {
                    self.cache.take(other, slot)?;
                }
            }
            let rows = inputs.rows(microbatch, 0)?;
            let input = inputs.get(microbatch, 0)?;
            self.network.input(&mut self.cache, microbatch, rows)?.copy_from_slice(input);
            self.held = Some(microbatch);
        }
        let params = self.params(params);
        Ok(self.network.forward(kernels, params, &mut self.cache, microbatch)?)
    }

    /// What a microbatch's forward came to; computed again if it has been dropped.
    ///
    /// # Errors
    /// Those of the network.
    pub fn output<K: LinearKernels<f32>>(
        &mut self,
        kernels: &mut K,
        params: &[f32],
        microbatch: usize,
    ) -> Result<MatRef<'_, f32>, Error> {
        if self.inputs.is_some() && self.held != Some(microbatch) {
            self.forward(kernels, params, microbatch)?;
        }
        Ok(self.network.output(&self.cache, microbatch)?)
    }

    /// From ∇Y to ∇X, each layer's gradients to `on_layer`.
    ///
    /// # Errors
    /// Those of the network and of `on_layer`.
    pub fn backward<K: LinearKernels<f32>, C>(
        &mut self,
        kernels: &mut K,
        comm: &mut C,
        back: Back<'_>,
        on_layer: OnLayer<'_, K, C>,
    ) -> Result<(), Error> {
        let Back { params, microbatch, dy, dx } = back;
        self.output(kernels, params, microbatch)?;
        let Whole { network, cache, inputs, held, scratch, offset } = self;
        network.sweep(cache, microbatch, dy, dx, scratch, |layer, pass| {
            let own = network.params_range(layer..layer + 1);
            let range = *offset + own.start..*offset + own.end;
            let layer = network.first_layer() + layer;
            on_layer(kernels, comm, Place { range, layer, no_bias: false }, pass)
        })?;
        *held = None;
        if let Some(inputs) = inputs {
            inputs.take(microbatch, 0)?;
        }
        Ok(())
    }

    /// Bytes in the caches at most.
    pub fn peak_bytes(&self) -> usize {
        self.cache.peak_bytes() + self.inputs.as_ref().map_or(0, Cache::peak_bytes)
    }
}

/// Memory of a pair.
#[derive(Debug)]
pub struct PairMemory {
    /// Widths of the shards.
    pub widths: Vec<[usize; 3]>,
    caches: Vec<CacheMemory>,
}

impl PairMemory {
    /// For the shards of one worker.
    ///
    /// # Errors
    /// None where the widths are those of layers.
    pub fn new(
        widths: Vec<[usize; 3]>,
        hidden: Activation,
        rows: usize,
        depth: usize,
    ) -> Result<Self, Error> {
        let cache = |widths: &[usize; 3]| {
            let network = Network::new(widths, hidden, Activation::Identity)?;
            Ok::<_, Error>(CacheMemory::new(&network, rows, depth, false))
        };
        let caches = widths.iter().map(cache).collect::<Result<_, _>>()?;
        Ok(PairMemory { widths, caches })
    }
}

/// The shards of two layers that one worker has.
#[derive(Debug)]
pub struct Pair<'m> {
    shards: Vec<Whole<'m>>,
    first_layer: usize,
    /// Whether the first shard of all is among them.
    has_bias: bool,
    tree: Tree,
    group: Group,
    sum: AllReduce,
    activation: Activation,
    /// For each microbatch in flight: Z₂ if backward needs it, and Y.
    z: Vec<Vec<f32>>,
    y: Vec<Vec<f32>>,
    columns: usize,
    dz: Vec<f32>,
    bytes: usize,
}

/// What a pair is made of.
#[derive(Debug)]
pub struct PairSettings {
    /// The first of the two layers.
    pub first_layer: usize,
    /// The first of the shards.
    pub first_shard: usize,
    /// Between the two layers.
    pub hidden: Activation,
    /// After the second.
    pub output: Activation,
    /// Who has the other shards.
    pub group: Group,
    /// Rows of a microbatch at most.
    pub rows: usize,
    /// Microbatches in flight at most.
    pub depth: usize,
    /// Where the parameters begin in the worker's slice.
    pub offset: usize,
}

impl<'m> Pair<'m> {
    /// On memory of its own.
    ///
    /// # Errors
    /// None where the memory was made for this.
    pub fn new(memory: &'m mut PairMemory, settings: PairSettings) -> Result<Self, Error> {
        let PairSettings { first_layer, first_shard, hidden, output, group, rows, depth, mut offset } =
            settings;
        let PairMemory { widths, caches } = memory;
        let columns = widths.first().map_or(0, |widths| widths[2]);
        let tree = Tree::new(widths.len())?;
        let mut shards = Vec::new();
        for (widths, cache) in widths.iter().zip(caches) {
            let network = Network::new(widths, hidden, Activation::Identity)?;
            shards.push(Whole::new(network, cache, rows, offset)?);
            offset += network.params_len();
        }
        let places = vec![Vec::new(); depth];
        Ok(Pair {
            shards,
            first_layer,
            has_bias: first_shard == 0,
            tree,
            group,
            sum: AllReduce::default(),
            activation: output,
            z: places.clone(),
            y: places,
            columns,
            dz: Vec::new(),
            bytes: 0,
        })
    }

    /// The same input for all shards.
    ///
    /// # Errors
    /// Those of the caches.
    pub fn input(
        &mut self,
        microbatch: usize,
        rows: usize,
        fill: &mut dyn FnMut(&mut [f32]),
    ) -> Result<(), Error> {
        self.shards.iter_mut().try_for_each(|shard| {
            fill(shard.input(microbatch, rows)?);
            Ok(())
        })
    }

    /// Partial sums, their sum over all shards, the activation.
    ///
    /// # Errors
    /// Those of the network and of the communicator.
    pub fn forward<K: LinearKernels<f32>>(
        &mut self,
        kernels: &mut K,
        comm: &mut impl Communicator,
        params: &[f32],
        microbatch: usize,
    ) -> Result<(), Error> {
        let mut stack = Vec::new();
        for (i, shard) in self.shards.iter_mut().enumerate() {
            shard.forward(kernels, params, microbatch)?;
            let mut partial = comm.buffer();
            let output = shard.output(kernels, params, microbatch)?;
            partial.extend_from_slice(&output.as_slice()[..output.nrows() * output.ncols()]);
            push(comm, &mut stack, partial, self.tree.merges_after(i));
        }
        let total = over_group(comm, &self.group, &mut self.sum, stack)?;
        let place = microbatch % self.y.len();
        let y = &mut self.y[place];
        y.clear();
        y.extend_from_slice(&total);
        if let Saved::PreActivation = self.activation.saves() {
            self.z[place].clear();
            self.z[place].extend_from_slice(&total);
        }
        comm.give_back(total);
        kernels.run(Apply { activation: self.activation, values: y });
        self.bytes =
            self.bytes.max(self.y.iter().chain(&self.z).map(|values| size_of_val(&values[..])).sum());
        Ok(())
    }

    /// Y of a microbatch.
    ///
    /// # Errors
    /// None after its forward.
    pub fn output(&self, microbatch: usize) -> Result<MatRef<'_, f32>, Error> {
        let y = &self.y[microbatch % self.y.len()];
        let rows = y.len().checked_div(self.columns).unwrap_or(0);
        Ok(MatRef::row_major(y, rows, self.columns)?)
    }

    /// From ∇Y to ∇X, each layer's gradients to `on_layer`.
    ///
    /// # Errors
    /// Those of the network, of the communicator and of `on_layer`.
    pub fn backward<K: LinearKernels<f32>, C: Communicator>(
        &mut self,
        kernels: &mut K,
        comm: &mut C,
        back: Back<'_>,
        on_layer: OnLayer<'_, K, C>,
    ) -> Result<(), Error> {
        let Back { params, microbatch, dy, dx } = back;
        let (rows, columns) = (dy.nrows(), dy.ncols());
        let place = microbatch % self.y.len();
        let saved = match self.activation.saves() {
            Saved::PreActivation => &self.z[place],
            Saved::Nothing | Saved::Output => &self.y[place],
        };
        self.dz.clear();
        self.dz.extend_from_slice(&dy.as_slice()[..rows * columns]);
        kernels.run(Derive { activation: self.activation, saved, values: &mut self.dz });
        let dz = MatRef::row_major(&self.dz, rows, columns)?;
        // From the last shard to the first, so that gradients are complete from the end on. Sums
        // are taken in the order of the tree afterwards.
        let mut partials = Vec::new();
        for (i, shard) in self.shards.iter_mut().enumerate().rev() {
            let (first, no_bias) = (self.first_layer, i > 0 || !self.has_bias);
            let own = &mut |kernels: &mut K, comm: &mut C, place: Place, pass: Pass<'_, f32>| {
                let second = place.layer == 1;
                let place = Place { layer: first + place.layer, no_bias: second && no_bias, ..place };
                on_layer(kernels, comm, place, pass)
            };
            let mut partial = comm.buffer();
            let to_dx = match &dx {
                None => None,
                Some(dx) => {
                    partial.resize(rows * dx.ncols(), 0.0);
                    Some(MatMut::row_major(&mut partial, rows, dx.ncols())?)
                }
            };
            shard.backward(kernels, comm, Back { params, microbatch, dy: dz, dx: to_dx }, own)?;
            partials.push(partial);
        }
        let mut stack = Vec::new();
        for (i, partial) in partials.into_iter().rev().enumerate() {
            push(comm, &mut stack, partial, self.tree.merges_after(i));
        }
        if let Some(mut dx) = dx {
            let total = over_group(comm, &self.group, &mut self.sum, stack)?;
            dx.as_mut_slice()[..total.len()].copy_from_slice(&total);
            comm.give_back(total);
        } else {
            stack.into_iter().for_each(|partial| comm.give_back(partial));
        }
        Ok(())
    }

    /// Bytes in the caches at most.
    pub fn peak_bytes(&self) -> usize {
        self.bytes + self.shards.iter().map(Whole::peak_bytes).sum::<usize>()
    }
}

/// Puts a partial sum on the stack and closes sums.
fn push(comm: &mut impl Communicator, stack: &mut Vec<Vec<f32>>, partial: Vec<f32>, merges: usize) {
    stack.push(partial);
    for _ in 0..merges {
        if let (Some(right), Some(left)) = (stack.pop(), stack.last_mut()) {
            trine_core::shards::add(left, &right);
            comm.give_back(right);
        }
    }
}

/// The sum over the group of what is left on the stack, one sum for each worker.
fn over_group(
    comm: &mut impl Communicator,
    group: &Group,
    sum: &mut AllReduce,
    mut stack: Vec<Vec<f32>>,
) -> Result<Vec<f32>, Error> {
    let mut total = stack.pop().unwrap_or_default();
    if group.len() > 1 {
        // A number that no bucket has: both may be under way.
        let len = total.len();
        sum.start(comm, group, TENSOR, &total, 0..len)?;
        sum.wait(comm, group, &mut total)?;
    }
    Ok(total)
}

/// The number of sums within a layer, beyond those of buckets.
pub const TENSOR: usize = 1 << 20;

/// `y = act(y)`.
struct Apply<'a> {
    activation: Activation,
    values: &'a mut [f32],
}

impl Task<f32> for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<f32>>(self, lanes: L) {
        for values in self.values.chunks_mut(L::LANES) {
            let y = self.activation.apply(lanes, lanes.load(values));
            lanes.store(values, y);
        }
    }
}

/// `∇Z = ∇Y ⊙ act'`.
pub(super) struct Derive<'a> {
    pub activation: Activation,
    pub saved: &'a [f32],
    pub values: &'a mut [f32],
}

impl Task<f32> for Derive<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<f32>>(self, lanes: L) {
        for (values, saved) in self.values.chunks_mut(L::LANES).zip(self.saved.chunks(L::LANES)) {
            let dz = self.activation.backward(lanes, lanes.load(values), lanes.load(saved));
            lanes.store(values, dz);
        }
    }
}

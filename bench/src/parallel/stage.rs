//! All layers of one worker: its blocks, one behind the other.

use trine_core::{LinearKernels, MatMut, MatRef, Network};

use super::blocks::{Back, CacheMemory, OnLayer, Pair, PairMemory, PairSettings, Whole};
use super::comm::{Communicator, Group};
use super::error::Error;
use super::grid::{Layout, Piece};

/// What a worker's layers are made with.
#[derive(Clone, Debug)]
pub struct StageSettings {
    /// Rows of a microbatch at most.
    pub rows: usize,
    /// Microbatches in flight at most.
    pub depth: usize,
    /// Whether activations are computed again instead of kept.
    pub recompute: bool,
    /// Who has the other parts of the same layers.
    pub parts: Group,
}

/// Memory of a stage, made once.
#[derive(Debug)]
pub struct StageMemory {
    blocks: Vec<BlockMemory>,
}

#[derive(Debug)]
enum BlockMemory {
    Whole(CacheMemory),
    Pair(PairMemory),
}

impl StageMemory {
    /// For the layers of a worker.
    ///
    /// # Errors
    /// [`Error::Settings`] where tensor parallel layers are to be computed again.
    pub fn new(network: &Network<'_>, layout: &Layout, settings: &StageSettings) -> Result<Self, Error> {
        let &StageSettings { rows, depth, recompute, .. } = settings;
        let mut blocks = Vec::new();
        for piece in &layout.pieces {
            blocks.push(match piece {
                Piece::Whole(layers) => {
                    let network = network.stage(layers.clone())?;
                    // With a single microbatch there is nothing to be saved.
                    BlockMemory::Whole(CacheMemory::new(&network, rows, depth, recompute && depth > 1))
                }
                Piece::Pair { .. } if recompute => {
                    let text = "activations of tensor parallel layers are kept, not computed again";
                    return Err(Error::Settings(text.into()));
                }
                Piece::Pair { first, shards, of } => {
                    let widths = shards.clone().map(|shard| layout.shard_widths(*first, shard, *of));
                    let widths = widths.collect::<Result<_, _>>()?;
                    BlockMemory::Pair(PairMemory::new(widths, network.activation(*first), rows, depth)?)
                }
            });
        }
        Ok(StageMemory { blocks })
    }
}

#[derive(Debug)]
enum Block<'m> {
    Whole(Whole<'m>),
    Pair(Box<Pair<'m>>),
}

/// The layers of one worker.
#[derive(Debug)]
pub struct Stage<'m> {
    blocks: Vec<Block<'m>>,
    /// Values per row of the input and of the output.
    pub width: (usize, usize),
    /// Values per row between the blocks.
    widths: Vec<usize>,
}

impl<'m> Stage<'m> {
    /// On its memory.
    ///
    /// # Errors
    /// None where the memory was made for the same.
    pub fn new(
        network: &Network<'m>,
        layout: &Layout,
        memory: &'m mut StageMemory,
        settings: &StageSettings,
    ) -> Result<Self, Error> {
        let (mut blocks, mut widths, mut offset) = (Vec::new(), Vec::new(), 0);
        for (piece, memory) in layout.pieces.iter().zip(&mut memory.blocks) {
            match (piece, memory) {
                (Piece::Whole(layers), BlockMemory::Whole(memory)) => {
                    let network = network.stage(layers.clone())?;
                    widths.push(network.widths()[0]);
                    blocks.push(Block::Whole(Whole::new(network, memory, settings.rows, offset)?));
                    offset += network.params_len();
                }
                (Piece::Pair { first, shards, .. }, BlockMemory::Pair(memory)) => {
                    widths.push(network.widths()[*first]);
                    let len: usize =
                        memory.widths.iter().map(|[d, hidden, m]| (d + 1) * hidden + (hidden + 1) * m).sum();
                    let pair = PairSettings {
                        first_layer: *first,
                        first_shard: shards.start,
                        hidden: network.activation(*first),
                        output: network.activation(first + 1),
                        group: settings.parts.clone(),
                        rows: settings.rows,
                        depth: settings.depth,
                        offset,
                    };
                    blocks.push(Block::Pair(Box::new(Pair::new(memory, pair)?)));
                    offset += len;
                }
                _ => return Err(Error::Settings("memory of another stage".into())),
            }
        }
        let layers = layout.layers();
        let width = (network.widths()[layers.start], network.widths()[layers.end]);
        Ok(Stage { blocks, width, widths })
    }

    /// Begins a microbatch: `fill` writes its input, rows × width values.
    ///
    /// # Errors
    /// Those of the caches.
    pub fn input(
        &mut self,
        microbatch: usize,
        rows: usize,
        mut fill: impl FnMut(&mut [f32]),
    ) -> Result<(), Error> {
        self.blocks.first_mut().map_or(Ok(()), |block| block.input(microbatch, rows, &mut fill))
    }

    /// All layers.
    ///
    /// # Errors
    /// Those of the layers and of the communicator.
    pub fn forward<K: LinearKernels<f32>>(
        &mut self,
        kernels: &mut K,
        comm: &mut impl Communicator,
        params: &[f32],
        microbatch: usize,
    ) -> Result<(), Error> {
        for i in 0..self.blocks.len() {
            let (before, after) = self.blocks.split_at_mut(i);
            if let Some(before) = before.last_mut() {
                let output = before.output(kernels, params, microbatch)?;
                let (rows, len) = (output.nrows(), output.nrows() * output.ncols());
                let values = output.as_slice();
                after[0].input(microbatch, rows, &mut |input| input.copy_from_slice(&values[..len]))?;
            }
            match &mut after[0] {
                Block::Whole(whole) => whole.forward(kernels, params, microbatch)?,
                Block::Pair(pair) => pair.forward(kernels, comm, params, microbatch)?,
            }
        }
        Ok(())
    }

    /// The output of a microbatch.
    ///
    /// # Errors
    /// Those of the layers.
    pub fn output<K: LinearKernels<f32>>(
        &mut self,
        kernels: &mut K,
        params: &[f32],
        microbatch: usize,
    ) -> Result<MatRef<'_, f32>, Error> {
        match self.blocks.last_mut() {
            Some(block) => block.output(kernels, params, microbatch),
            None => Err(Error::Settings("a stage without layers".into())),
        }
    }

    /// From ∇Y to ∇X, the last layer first; each layer's gradients to `on_layer`.
    ///
    /// # Errors
    /// Those of the layers, of the communicator and of `on_layer`.
    pub fn backward<K: LinearKernels<f32>, C: Communicator>(
        &mut self,
        kernels: &mut K,
        comm: &mut C,
        back: Back<'_>,
        on_layer: OnLayer<'_, K, C>,
    ) -> Result<(), Error> {
        let Back { params, microbatch, dy: last, mut dx } = back;
        let (rows, mut from) = (last.nrows(), None::<Vec<f32>>);
        for i in (0..self.blocks.len()).rev() {
            let width = self.widths[i];
            let mut to = None;
            let dx = if i == 0 {
                dx.take()
            } else {
                let buffer = to.insert(comm.buffer());
                buffer.resize(rows * width, 0.0);
                Some(MatMut::row_major(buffer, rows, width)?)
            };
            let dy = match &from {
                Some(values) => MatRef::row_major(values, rows, self.widths[i + 1])?,
                None => last,
            };
            let back = Back { params, microbatch, dy, dx };
            match &mut self.blocks[i] {
                Block::Whole(whole) => whole.backward(kernels, comm, back, on_layer)?,
                Block::Pair(pair) => pair.backward(kernels, comm, back, on_layer)?,
            }
            if let Some(values) = std::mem::replace(&mut from, to) {
                comm.give_back(values);
            }
        }
        Ok(())
    }

    /// Bytes of activations at most.
    pub fn peak_bytes(&self) -> usize {
        let bytes = |block: &Block<'_>| match block {
            Block::Whole(whole) => whole.peak_bytes(),
            Block::Pair(pair) => pair.peak_bytes(),
        };
        self.blocks.iter().map(bytes).sum()
    }
}

impl Block<'_> {
    fn input(
        &mut self,
        microbatch: usize,
        rows: usize,
        fill: &mut dyn FnMut(&mut [f32]),
    ) -> Result<(), Error> {
        match self {
            Block::Whole(whole) => {
                fill(whole.input(microbatch, rows)?);
                Ok(())
            }
            Block::Pair(pair) => pair.input(microbatch, rows, fill),
        }
    }

    fn output<K: LinearKernels<f32>>(
        &mut self,
        kernels: &mut K,
        params: &[f32],
        microbatch: usize,
    ) -> Result<MatRef<'_, f32>, Error> {
        match self {
            Block::Whole(whole) => whole.output(kernels, params, microbatch),
            Block::Pair(pair) => pair.output(microbatch),
        }
    }
}

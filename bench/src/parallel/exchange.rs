//! For wide layers and small batches: the rows travel instead of the gradient.
//!
//! ```text
//!     all-reduce    moves 2·(N−1)/N·(d+1)·m values from each worker: the gradient, there and back
//!     all-gather    moves   (N−1)/N·n·(d+m): X and ∇Z of the whole batch of n rows, and each worker
//!                   computes the gradients of the others' rows as well, (N−1)/N·2·n·d·m operations
//! ```
//!
//! Values are what a network is slow with, operations what a CPU is slow with; the balance says how
//! many operations a worker does in the time in which a value travels. Either way the sum has the
//! order of the tree, so the choice is never seen in a result.

use trine_core::backprop::Pass;
use trine_core::shards::add;
use trine_core::{LinearKernels, MatMut, MatRef, Tree};

use super::blocks::Derive;
use super::comm::{Communicator, Group, Kind, Tag};
use super::error::Error;
use super::grads::Grads;
use super::grid::Span;

/// What travels between replicas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Choice {
    /// Gradients, always.
    Gradients,
    /// Activations and errors, always.
    Rows,
    /// What takes less time at this balance: operations that a worker does while a value travels.
    Cheaper {
        /// Operations for a value.
        balance: f64,
    },
}

impl Choice {
    /// Whether the rows of a d×m layer travel, n in the batch.
    pub fn rows(self, n: usize, d: usize, m: usize) -> bool {
        let (n, d, m) = (n as f64, d as f64, m as f64);
        match self {
            Choice::Gradients => false,
            Choice::Rows => true,
            // Both without the factor (N−1)/N.
            Choice::Cheaper { balance } => n * (d + m) + 2.0 * n * d * m / balance < 2.0 * (d + 1.0) * m,
        }
    }
}

/// A layer whose rows travel.
#[derive(Debug)]
struct Layer {
    span: Span,
    d: usize,
    m: usize,
    /// For the gradients of one other replica's rows.
    theirs: Grads,
    /// Sums of replicas.
    sums: Vec<Vec<f32>>,
}

/// The layers of a worker whose rows travel.
#[derive(Debug)]
pub struct Exchange {
    group: Group,
    /// The tree of one replica's microbatches.
    own: Tree,
    layers: Vec<Layer>,
    dz: Vec<f32>,
}

impl Exchange {
    /// For the given layers with their widths d and m.
    ///
    /// # Errors
    /// [`Error::Core`] unless the group is a power of two.
    pub fn new(
        group: Group,
        own: Tree,
        layers: impl IntoIterator<Item = (Span, usize, usize)>,
    ) -> Result<Self, Error> {
        let replicas = Tree::new(group.len())?;
        replicas.subtree(group.len())?;
        let layer = |(span, d, m): (Span, usize, usize)| {
            let theirs = Grads::new(span.range.len(), own.leaves())?;
            let sums = vec![vec![0.0; span.range.len()]; replicas.depth()];
            Ok(Layer { span, d, m, theirs, sums })
        };
        let layers = layers.into_iter().map(layer).collect::<Result<_, Error>>()?;
        Ok(Exchange { group, own, layers, dz: Vec::new() })
    }

    /// Whether a layer's rows travel.
    pub fn has(&self, layer: usize) -> bool {
        self.layers.iter().any(|own| own.span.layer == layer)
    }

    /// Sends X and ∇Z of a microbatch to the other replicas.
    ///
    /// # Errors
    /// Those of the communicator.
    pub fn send<K: LinearKernels<f32>>(
        &mut self,
        kernels: &mut K,
        comm: &mut impl Communicator,
        layer: usize,
        pass: &Pass<'_, f32>,
    ) -> Result<(), Error> {
        let all = |view: MatRef<'_, f32>| view.nrows() * view.ncols();
        let dy = &pass.dy.as_slice()[..all(pass.dy)];
        self.dz.clear();
        self.dz.extend_from_slice(dy);
        let saved = pass.saved.map_or(dy, |saved| saved.as_slice());
        kernels.run(Derive { activation: pass.activation, saved, values: &mut self.dz });
        for (_, rank) in self.group.others() {
            let mut message = comm.buffer();
            message.extend_from_slice(&pass.x.as_slice()[..all(pass.x)]);
            message.extend_from_slice(&self.dz);
            comm.send(rank, Tag::new(Kind::Rows, layer), message)?;
        }
        Ok(())
    }

    /// Computes the gradients of the other replicas' rows and adds all along the tree, into the sum
    /// of the own. `rows` are those of microbatch i of replica r.
    ///
    /// # Errors
    /// Those of the communicator and of the kernels.
    pub fn finish<K: LinearKernels<f32>>(
        &mut self,
        kernels: &mut K,
        comm: &mut impl Communicator,
        grads: &mut [f32],
        rows: impl Fn(usize, usize) -> usize,
    ) -> Result<(), Error> {
        let replicas = Tree::new(self.group.len())?;
        for layer in &mut self.layers {
            let range = layer.span.range.clone();
            let mut height = 0;
            for (replica, &rank) in self.group.members.iter().enumerate() {
                if replica == self.group.me {
                    layer.sums[height].copy_from_slice(&grads[range.clone()]);
                } else {
                    layer.theirs(kernels, comm, rank, self.own, |i| rows(replica, i))?;
                    layer.sums[height].copy_from_slice(layer.theirs.total());
                }
                for _ in 0..replicas.merges_after(replica) {
                    let (below, top) = layer.sums.split_at_mut(height);
                    add(&mut below[height - 1], &top[0]);
                    height -= 1;
                }
                height += 1;
            }
            grads[range].copy_from_slice(&layer.sums[0]);
        }
        Ok(())
    }
}

impl Layer {
    /// The gradients of another replica's rows, which arrive by microbatch.
    fn theirs<K: LinearKernels<f32>>(
        &mut self,
        kernels: &mut K,
        comm: &mut impl Communicator,
        rank: usize,
        own: Tree,
        rows: impl Fn(usize) -> usize,
    ) -> Result<(), Error> {
        let (d, m, all) = (self.d, self.m, 0..self.span.range.len());
        self.theirs.zero();
        for microbatch in 0..own.leaves() {
            let n = rows(microbatch);
            let message = comm.receive(rank, Tag::new(Kind::Rows, self.span.layer), n * (d + m))?;
            let (x, dz) = message.split_at(n * d);
            let (x, dz) = (MatRef::row_major(x, n, d)?, MatRef::row_major(dz, n, m)?);
            self.theirs.begin(microbatch, n);
            let (target, write) = self.theirs.target(all.clone());
            let (dw, db) = target.split_at_mut(d * m);
            kernels.grad_params(MatMut::row_major(dw, d, m)?, Some(db), x, dz, write)?;
            self.theirs.close(all.clone());
            comm.give_back(message);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_favours_rows_for_wide_layers_and_small_batches() {
        let slow = Choice::Cheaper { balance: 1e6 };
        assert!(slow.rows(16, 4096, 4096));
        assert!(!slow.rows(16_384, 4096, 4096));
        assert!(!slow.rows(256, 256, 10));
        // The same layer where computing costs as much as sending.
        assert!(!Choice::Cheaper { balance: 1.0 }.rows(16, 4096, 4096));
        assert!(Choice::Rows.rows(1000, 1, 1) && !Choice::Gradients.rows(1, 1000, 1000));
    }
}

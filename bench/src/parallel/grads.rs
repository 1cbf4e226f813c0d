//! Gradients of microbatches, added along the tree as they come.

use std::ops::Range;

use trine_core::shards::add;
use trine_core::{K_BLOCK, Tree, Write};

use super::error::Error;

/// A stack of sums. The lowest becomes the sum of all.
#[derive(Debug)]
pub struct Grads {
    tree: Tree,
    levels: Vec<Vec<f32>>,
    /// Sums on the stack.
    height: usize,
    /// Of the microbatch in hand: where its gradients go, how, and how many sums are closed with it.
    level: usize,
    write: Write<f32>,
    merges: usize,
}

impl Grads {
    /// For the microbatches of one worker.
    ///
    /// # Errors
    /// [`Error::Core`] if there are none.
    pub fn new(params: usize, microbatches: usize) -> Result<Self, Error> {
        let tree = Tree::new(microbatches)?;
        let levels = vec![vec![0.0; params]; tree.depth()];
        Ok(Grads { tree, levels, height: 0, level: 0, write: Write::REPLACE, merges: 0 })
    }

    /// No sum is there.
    pub fn zero(&mut self) {
        self.height = 0;
    }

    /// Begins the next microbatch, of so many rows.
    pub fn begin(&mut self, microbatch: usize, rows: usize) {
        let merges = self.tree.merges_after(microbatch);
        // The gradient of up to K_BLOCK rows is a single block of additions: adding it to a sum is
        // then one rounding, the same as adding it afterwards, and spares a pass over the memory.
        let at_once = merges > 0 && (1..=K_BLOCK).contains(&rows);
        self.write = if at_once { Write::ADD } else { Write::REPLACE };
        self.level = self.height - usize::from(at_once);
        self.merges = merges - usize::from(at_once);
        self.height = self.height + 1 - merges;
    }

    /// Where a layer's gradients go, and how.
    pub fn target(&mut self, range: Range<usize>) -> (&mut [f32], Write<f32>) {
        (&mut self.levels[self.level][range], self.write)
    }

    /// A layer's gradients are there: closes sums.
    pub fn close(&mut self, range: Range<usize>) {
        for level in (self.level - self.merges..self.level).rev() {
            let (below, above) = self.levels.split_at_mut(level + 1);
            add(&mut below[level][range.clone()], &above[0][range.clone()]);
        }
    }

    /// The sum of all microbatches, of the layers closed in the last one.
    pub fn total(&mut self) -> &mut [f32] {
        &mut self.levels[0]
    }

    /// Bytes of all sums.
    pub fn bytes(&self) -> usize {
        self.levels.iter().map(|level| size_of_val(&level[..])).sum()
    }
}

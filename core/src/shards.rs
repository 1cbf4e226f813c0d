//! One order for sums over a batch, however many workers share it.
//!
//! The rows of a batch are cut into a fixed number of shards. The gradient of a shard is summed as
//! every gradient is; shards are added along a fixed binary tree that halves their range:
//!
//! ```text
//!     4 shards      (g₀ + g₁) + (g₂ + g₃)            6 shards      (g₀ + (g₁ + g₂)) + (g₃ + (g₄ + g₅))
//! ```
//!
//! N = 2ᵏ workers that divide the shards among them each own a subtree: they add what is in it, and
//! the N results are added along what is left of the tree, which is the tree of N. So the bits do
//! not depend on N. A shard is also a microbatch of a pipeline.

use core::ops::Range;

use crate::element::Element;
use crate::error::Error;

/// The tree over so many shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    leaves: usize,
}

impl Tree {
    /// # Errors
    /// [`Error::Value`] if there is no shard.
    pub const fn new(leaves: usize) -> Result<Self, Error> {
        if leaves == 0 {
            return Err(Error::Value { operand: "shards", expected: "at least 1" });
        }
        Ok(Tree { leaves })
    }

    /// How many shards there are.
    pub const fn leaves(self) -> usize {
        self.leaves
    }

    /// The tree of what each of `workers` owns.
    ///
    /// # Errors
    /// [`Error::Value`] if they do not own subtrees: `workers` has to be a power of two that
    /// divides the shards.
    pub const fn subtree(self, workers: usize) -> Result<Tree, Error> {
        if !workers.is_power_of_two() || !self.leaves.is_multiple_of(workers) {
            let expected = "a power of two that divides the number of shards";
            return Err(Error::Value { operand: "workers", expected });
        }
        Ok(Tree { leaves: self.leaves / workers })
    }

    /// The rows of a shard, of `rows` in the batch: sizes differ by one at most. Rows that do not
    /// go round leave shards empty.
    pub const fn rows(self, rows: usize, leaf: usize) -> Range<usize> {
        self.first_row(rows, leaf)..self.first_row(rows, leaf + 1)
    }

    const fn first_row(self, rows: usize, leaf: usize) -> usize {
        // In u128, for which no number of rows is too large.
        (rows as u128 * leaf as u128 / self.leaves as u128) as usize
    }

    /// With shards taken in order and sums kept on a stack: how many times the two topmost are
    /// replaced by their sum after this one has been put on it.
    pub const fn merges_after(self, leaf: usize) -> usize {
        let (mut from, mut to, mut merges) = (0, self.leaves, 0);
        while to - from > 1 {
            if to == leaf + 1 {
                merges += 1;
            }
            let middle = from + (to - from) / 2;
            (from, to) = if leaf < middle { (from, middle) } else { (middle, to) };
        }
        merges
    }

    /// The most sums that are on the stack at once.
    pub const fn depth(self) -> usize {
        let (mut on_stack, mut most, mut leaf) = (0, 0, 0);
        while leaf < self.leaves {
            on_stack += 1;
            if on_stack > most {
                most = on_stack;
            }
            on_stack -= self.merges_after(leaf);
            leaf += 1;
        }
        most
    }
}

/// `into += from`, one addition for each value: a node of the tree, the left side in `into`.
pub fn add<E: Element>(into: &mut [E], from: &[E]) {
    for (a, &b) in into.iter_mut().zip(from) {
        *a = *a + b;
    }
}

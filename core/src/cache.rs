//! What forward keeps for backward: activations in memory of the caller's, one slot for each
//! layer of each microbatch in flight.
//!
//! ```text
//!     memory   | 0  x · y₀ · y₁ · y₂ | 1  x · y₀ · y₁ · y₂ | … | depth−1  x · y₀ · y₁ · y₂ |
//! ```
//!
//! A slot is filled once by forward and freed by the matching backward; anything else is an
//! error. Microbatches take the places of a ring, number i the place i mod depth, so a pipeline
//! with so many microbatches in flight numbers them 0, 1, 2, … and never moves anything.
//! Checkpointing is two caches: a deep one with a single slot per microbatch for the input of a
//! stage, and one of depth 1 for the activations that are computed again before backward.

use core::ops::Range;

use crate::element::Element;
use crate::error::{Dim, Error};

/// The book-keeping of one slot. The caller hands in as many as it has slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    start: usize,
    width: usize,
    /// Microbatch and rows.
    held: Option<(usize, usize)>,
}

impl Slot {
    /// A slot that belongs to no cache yet.
    pub const EMPTY: Slot = Slot { start: 0, width: 0, held: None };
}

/// Activations between their forward and their backward pass.
#[derive(Debug)]
pub struct Cache<'a, E> {
    memory: &'a mut [E],
    slots: &'a mut [Slot],
    layers: usize,
    batch: usize,
    bytes: usize,
    peak: usize,
}

impl<'a, E: Element> Cache<'a, E> {
    /// Values of memory for `depth` microbatches of up to `batch` rows, where `width` is the sum
    /// of the widths of one microbatch's slots. Saturates.
    pub const fn memory_len(width: usize, batch: usize, depth: usize) -> usize {
        width.saturating_mul(batch).saturating_mul(depth)
    }

    /// An empty cache of `slots.len()/layers` microbatches; slot `layer` of each holds up to
    /// `batch` rows of `width(layer)` values.
    ///
    /// # Errors
    /// [`Error::Value`] if `slots` is not a positive multiple of `layers`, [`Error::TooShort`]
    /// for `memory`.
    pub fn new(
        memory: &'a mut [E],
        slots: &'a mut [Slot],
        layers: usize,
        batch: usize,
        width: impl Fn(usize) -> usize,
    ) -> Result<Self, Error> {
        if layers == 0 || slots.is_empty() || !slots.len().is_multiple_of(layers) {
            let expected = "as many as one microbatch has, or a multiple";
            return Err(Error::Value { operand: "slots", expected });
        }
        let sum = (0..layers).fold(0usize, |sum, layer| sum.saturating_add(width(layer)));
        let (found, expected) = (memory.len(), Self::memory_len(sum, batch, slots.len() / layers));
        if found < expected {
            return Err(Error::TooShort { operand: "cache", expected, found });
        }
        let mut start = 0;
        for (i, slot) in slots.iter_mut().enumerate() {
            let width = width(i % layers);
            *slot = Slot { start, width, held: None };
            start += width * batch;
        }
        Ok(Cache { memory, slots, layers, batch, bytes: 0, peak: 0 })
    }

    /// Microbatches in flight at most.
    pub const fn depth(&self) -> usize {
        self.slots.len() / self.layers
    }

    /// Slots of each microbatch.
    pub const fn layers(&self) -> usize {
        self.layers
    }

    /// Rows of a microbatch at most.
    pub const fn batch(&self) -> usize {
        self.batch
    }

    /// Values per row of a slot.
    pub fn width(&self, layer: usize) -> Option<usize> {
        self.slots[..self.layers].get(layer).map(|slot| slot.width)
    }

    /// Bytes in filled slots now.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The most bytes that were ever in filled slots at once.
    pub const fn peak_bytes(&self) -> usize {
        self.peak
    }

    /// Fills an empty slot: returns its rows × width values to be written. Their old content is
    /// left over from earlier use.
    ///
    /// # Errors
    /// [`Error::Slot`] if the slot is full or does not exist, [`Error::Shape`] if there are more
    /// rows than the cache was made for.
    pub fn put(&mut self, microbatch: usize, layer: usize, rows: usize) -> Result<&mut [E], Error> {
        let slot = self.index(microbatch, layer)?;
        let range = self.fill(slot, microbatch, rows)?;
        Ok(&mut self.memory[range])
    }

    /// Fills slot `to`, with as many rows as the earlier slot `from` holds, while reading that.
    ///
    /// # Errors
    /// [`Error::Slot`] if `from` is not filled, or `to` does not follow it or is full.
    pub fn put_after(
        &mut self,
        microbatch: usize,
        from: usize,
        to: usize,
    ) -> Result<(&[E], &mut [E]), Error> {
        let (read, rows) = self.find(microbatch, from)?;
        let slot = self.index(microbatch, to)?;
        if to <= from {
            return Err(Error::Slot { slot, found: "not behind the one it is computed from" });
        }
        let write = self.fill(slot, microbatch, rows)?;
        let (before, after) = self.memory.split_at_mut(write.start);
        Ok((&before[read], &mut after[..write.len()]))
    }

    /// Reads a filled slot.
    ///
    /// # Errors
    /// [`Error::Slot`] if it is empty, belongs to another microbatch, or does not exist.
    pub fn get(&self, microbatch: usize, layer: usize) -> Result<&[E], Error> {
        let (range, _) = self.find(microbatch, layer)?;
        Ok(&self.memory[range])
    }

    /// Rows in a filled slot.
    ///
    /// # Errors
    /// As [`get`](Cache::get).
    pub fn rows(&self, microbatch: usize, layer: usize) -> Result<usize, Error> {
        Ok(self.find(microbatch, layer)?.1)
    }

    /// Frees a filled slot and returns its values, which stay until the slot is filled again.
    ///
    /// # Errors
    /// As [`get`](Cache::get).
    pub fn take(&mut self, microbatch: usize, layer: usize) -> Result<&mut [E], Error> {
        let (range, _) = self.find(microbatch, layer)?;
        let slot = self.index(microbatch, layer)?;
        self.slots[slot].held = None;
        self.bytes -= range.len() * E::BYTES;
        Ok(&mut self.memory[range])
    }

    /// Fails unless `put` of this slot would succeed.
    pub(crate) fn check_empty(&self, microbatch: usize, layer: usize) -> Result<(), Error> {
        let slot = self.index(microbatch, layer)?;
        match self.slots[slot].held {
            None => Ok(()),
            Some(_) => Err(Error::Slot { slot, found: "full" }),
        }
    }

    fn index(&self, microbatch: usize, layer: usize) -> Result<usize, Error> {
        if layer >= self.layers {
            return Err(Error::Slot { slot: layer, found: "beyond those of a microbatch" });
        }
        Ok(microbatch % self.depth() * self.layers + layer)
    }

    fn find(&self, microbatch: usize, layer: usize) -> Result<(Range<usize>, usize), Error> {
        let slot = self.index(microbatch, layer)?;
        let Slot { start, width, held } = self.slots[slot];
        match held {
            None => Err(Error::Slot { slot, found: "empty" }),
            Some((other, _)) if other != microbatch => {
                Err(Error::Slot { slot, found: "held by another microbatch" })
            }
            Some((_, rows)) => Ok((start..start + rows * width, rows)),
        }
    }

    fn fill(&mut self, slot: usize, microbatch: usize, rows: usize) -> Result<Range<usize>, Error> {
        if rows > self.batch {
            return Err(Error::Shape {
                operand: "microbatch",
                dim: Dim::Rows,
                found: rows,
                other: "cache",
                other_dim: Dim::Rows,
                expected: self.batch,
            });
        }
        let Slot { start, width, held } = &mut self.slots[slot];
        if held.is_some() {
            return Err(Error::Slot { slot, found: "full" });
        }
        *held = Some((microbatch, rows));
        self.bytes += rows * *width * E::BYTES;
        self.peak = self.peak.max(self.bytes);
        Ok(*start..*start + rows * *width)
    }
}

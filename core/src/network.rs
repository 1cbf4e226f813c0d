//! A multi-layer perceptron over one flat slice of parameters and one of gradients.
//!
//! ```text
//!     params, grads    | W₀ d×m row-major · b₀ | W₁ · b₁ | …      one layer behind the other
//!     forward          x → y₀ → y₁ → … → y          into the cache, slot i + 1 for yᵢ (and zᵢ)
//!     backward         ∇W₀,∇b₀ ← … ← ∇W₁,∇b₁ ← ∇y   the last layer first; frees the slots
//! ```
//!
//! A stage of a pipeline, a contiguous range of layers on one worker, is a `Network` again:
//! [`Network::stage`]. Its seeds and its bits are those of the whole.

use core::ops::Range;

use crate::activation::{Activation, Saved};
use crate::cache::{Cache, Slot};
use crate::element::Element;
use crate::error::{Dim, Error};
use crate::init::init_layer;
use crate::linear::{Forward, LinearKernels};
use crate::view::{MatMut, MatRef};

/// Widths and activations of the layers. Holds no parameters: they are handed to each call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Network<'a> {
    widths: &'a [usize],
    hidden: Activation,
    output: Activation,
    first: usize,
}

/// Slots that a forward pass has filled, freed again unless it comes to its end.
struct Begun<'b, 'c, E: Element> {
    cache: &'b mut Cache<'c, E>,
    microbatch: usize,
    /// Behind slot 0, which holds the input.
    slots: usize,
}

impl<E: Element> Drop for Begun<'_, '_, E> {
    fn drop(&mut self) {
        for slot in 1..=self.slots {
            // An empty one is none to be freed.
            let _ = self.cache.take(self.microbatch, slot);
        }
    }
}

impl<'a> Network<'a> {
    /// `widths.len() − 1` layers: layer i takes `widths[i]` values to `widths[i + 1]`. All but
    /// the last are followed by `hidden`; with a softmax in the loss, `output` is the identity.
    ///
    /// # Errors
    /// [`Error::Value`] if there are fewer than two widths.
    pub const fn new(widths: &'a [usize], hidden: Activation, output: Activation) -> Result<Self, Error> {
        if widths.len() < 2 {
            return Err(Error::Value { operand: "widths", expected: "at least two" });
        }
        Ok(Network { widths, hidden, output, first: 0 })
    }

    /// A contiguous range of the layers as a network of its own; its parameters are
    /// [`params_range`](Network::params_range) of the whole.
    ///
    /// # Errors
    /// [`Error::Range`], [`Error::Value`] if the range is empty.
    pub fn stage(&self, layers: Range<usize>) -> Result<Network<'a>, Error> {
        if layers.start >= layers.end {
            return Err(Error::Value { operand: "layers", expected: "at least one" });
        }
        let (found, expected) = (layers.end, self.layers());
        if found > expected {
            return Err(Error::Range { dim: Dim::Values, found, expected });
        }
        let output = self.activation(layers.end - 1);
        let widths = &self.widths[layers.start..=layers.end];
        Ok(Network { widths, output, first: self.first + layers.start, ..*self })
    }

    /// Number of layers.
    pub const fn layers(&self) -> usize {
        self.widths.len() - 1
    }

    /// Values per row between the layers, input and output included.
    pub const fn widths(&self) -> &'a [usize] {
        self.widths
    }

    /// The index of the first layer in the network of which this is a stage.
    pub const fn first_layer(&self) -> usize {
        self.first
    }

    /// What follows a layer.
    ///
    /// # Panics
    /// Where there is no such layer.
    pub const fn activation(&self, layer: usize) -> Activation {
        assert!(layer < self.layers(), "no such layer");
        if layer + 1 == self.layers() { self.output } else { self.hidden }
    }

    /// Number of parameters, d·m + m for each layer. Saturates, as all lengths here: such a
    /// length is one that no slice has.
    pub const fn params_len(&self) -> usize {
        self.params_before(self.layers())
    }

    const fn params_before(&self, layer: usize) -> usize {
        let (mut sum, mut i) = (0usize, 0);
        while i < layer {
            let weights = self.widths[i].saturating_mul(self.widths[i + 1]);
            sum = sum.saturating_add(weights).saturating_add(self.widths[i + 1]);
            i += 1;
        }
        sum
    }

    /// Where the parameters of some layers are; within those of one layer, W comes first.
    ///
    /// # Panics
    /// Where there are no such layers.
    pub const fn params_range(&self, layers: Range<usize>) -> Range<usize> {
        assert!(layers.start <= layers.end && layers.end <= self.layers(), "no such layers");
        self.params_before(layers.start)..self.params_before(layers.end)
    }

    /// Values per row in slot i of a microbatch: X in slot 0, then Y of each layer, followed by Z
    /// where its activation needs that.
    const fn slot_width(&self, slot: usize) -> usize {
        let width = self.widths[slot];
        if slot > 0 && matches!(self.activation(slot - 1).saves(), Saved::PreActivation) {
            width.saturating_mul(2)
        } else {
            width
        }
    }

    /// Slots of the cache for `depth` microbatches in flight.
    pub const fn slots_len(&self, depth: usize) -> usize {
        self.widths.len().saturating_mul(depth)
    }

    /// Values of memory of the cache for `depth` microbatches of up to `batch` rows.
    pub const fn activations_len(&self, batch: usize, depth: usize) -> usize {
        let (mut sum, mut i) = (0usize, 0);
        while i < self.widths.len() {
            sum = sum.saturating_add(self.slot_width(i));
            i += 1;
        }
        sum.saturating_mul(batch).saturating_mul(depth)
    }

    /// Values of scratch for backward and inference with `batch` rows: two buffers of the widest
    /// hidden layer that take turns; one if there is one hidden layer, none without.
    pub const fn scratch_len(&self, batch: usize) -> usize {
        let hidden = self.layers() - 1;
        let buffers = if hidden < 2 { hidden } else { 2 };
        self.widest().saturating_mul(batch).saturating_mul(buffers)
    }

    const fn widest(&self) -> usize {
        let (mut widest, mut i) = (0, 1);
        while i < self.layers() {
            if self.widths[i] > widest {
                widest = self.widths[i];
            }
            i += 1;
        }
        widest
    }

    /// Initial parameters ([`init_layer`]): those of a stage are that part of the whole's.
    ///
    /// # Errors
    /// [`Error::Shape`]; nothing has then been written.
    pub fn init<E: Element>(&self, params: &mut [E], seed: u64) -> Result<(), Error> {
        self.check_params("params", params.len())?;
        for layer in 0..self.layers() {
            let (d, m) = (self.widths[layer], self.widths[layer + 1]);
            let range = self.params_range(layer..layer + 1);
            init_layer(&mut params[range], d, m, self.first + layer, seed)?;
        }
        Ok(())
    }

    /// A cache for this network, with as many microbatches in flight as `slots` has room for.
    ///
    /// # Errors
    /// [`Error::TooShort`] and [`Error::Value`] as [`Cache::new`].
    pub fn cache<'c, E: Element>(
        &self,
        memory: &'c mut [E],
        slots: &'c mut [Slot],
        batch: usize,
    ) -> Result<Cache<'c, E>, Error> {
        Cache::new(memory, slots, self.widths.len(), batch, |slot| self.slot_width(slot))
    }

    /// Begins a microbatch: the memory for its input, rows × `widths[0]` values, row-major, to be
    /// written by the caller before [`forward`](Network::forward).
    ///
    /// # Errors
    /// [`Error::Slot`] if the microbatch before it in this place is still in flight,
    /// [`Error::Shape`] if there are more rows than the cache was made for.
    pub fn input<'c, E: Element>(
        &self,
        cache: &'c mut Cache<'_, E>,
        microbatch: usize,
        rows: usize,
    ) -> Result<&'c mut [E], Error> {
        self.check_cache(cache)?;
        cache.put(microbatch, 0, rows)
    }

    /// Forward for training: from the microbatch's input through all layers; everything that
    /// backward needs stays in the cache. 2·n·d·m floating-point operations per layer.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Value`], [`Error::Slot`] if there is no input or forward has
    /// been done, [`Error::Scratch`] of the kernels. The cache is then as before, and also if the
    /// kernels panic.
    pub fn forward<E: Element, K: LinearKernels<E>>(
        &self,
        kernels: &mut K,
        params: &[E],
        cache: &mut Cache<'_, E>,
        microbatch: usize,
    ) -> Result<(), Error> {
        self.check_params("params", params.len())?;
        self.check_activations()?;
        self.check_cache(cache)?;
        let rows = cache.rows(microbatch, 0)?;
        for slot in 1..=self.layers() {
            cache.check_empty(microbatch, slot)?;
        }
        let mut begun = Begun { cache, microbatch, slots: 0 };
        for layer in 0..self.layers() {
            begun.slots = layer + 1;
            let (x, yz) = begun.cache.put_after(microbatch, layer, layer + 1)?;
            self.forward_layer(kernels, params, layer, rows, x, yz)?;
        }
        begun.slots = 0;
        Ok(())
    }

    fn forward_layer<E: Element, K: LinearKernels<E>>(
        &self,
        kernels: &mut K,
        params: &[E],
        layer: usize,
        rows: usize,
        x: &[E],
        yz: &mut [E],
    ) -> Result<(), Error> {
        let (d, m) = (self.widths[layer], self.widths[layer + 1]);
        let activation = self.activation(layer);
        let (w, bias) = self.weights(params, layer)?;
        let (y, z) = yz.split_at_mut(rows * m);
        let z = match activation.saves() {
            Saved::PreActivation => Some(MatMut::row_major(z, rows, m)?),
            Saved::Nothing | Saved::Output => None,
        };
        let (x, y) = (MatRef::row_major(x, rows, d)?, MatMut::row_major(y, rows, m)?);
        kernels.forward_with(Forward { x, w, bias: Some(bias), activation, y, z })
    }

    /// W and b of a layer.
    pub(crate) fn weights<'p, E>(
        &self,
        params: &'p [E],
        layer: usize,
    ) -> Result<(MatRef<'p, E>, &'p [E]), Error> {
        let (d, m) = (self.widths[layer], self.widths[layer + 1]);
        let (w, b) = params[self.params_range(layer..layer + 1)].split_at(d * m);
        Ok((MatRef::row_major(w, d, m)?, b))
    }

    /// The output of a microbatch after forward, n×m: for the loss, or the next stage.
    ///
    /// # Errors
    /// [`Error::Slot`] before forward and after backward.
    pub fn output<'c, E: Element>(
        &self,
        cache: &'c Cache<'_, E>,
        microbatch: usize,
    ) -> Result<MatRef<'c, E>, Error> {
        self.check_cache(cache)?;
        self.y(cache, microbatch, self.layers())
    }

    /// The first part of a slot: X in slot 0, else Y.
    pub(crate) fn y<'c, E: Element>(
        &self,
        cache: &'c Cache<'_, E>,
        microbatch: usize,
        slot: usize,
    ) -> Result<MatRef<'c, E>, Error> {
        let (data, rows) = (cache.get(microbatch, slot)?, cache.rows(microbatch, slot)?);
        MatRef::row_major(data, rows, self.widths[slot])
    }

    /// What the derivative of a layer's activation is taken from.
    pub(crate) fn saved<'c, E: Element>(
        &self,
        cache: &'c Cache<'_, E>,
        microbatch: usize,
        layer: usize,
    ) -> Result<Option<MatRef<'c, E>>, Error> {
        let y = self.y(cache, microbatch, layer + 1)?;
        Ok(match self.activation(layer).saves() {
            Saved::Nothing => None,
            Saved::Output => Some(y),
            Saved::PreActivation => {
                let z = &y.as_slice()[y.nrows() * y.ncols()..];
                Some(MatRef::row_major(z, y.nrows(), y.ncols())?)
            }
        })
    }

    /// Forward without a cache: `y` from `x`, any number of rows. They are worked through in
    /// blocks of as many rows as the scratch has room for ([`scratch_len`](Network::scratch_len)
    /// of one row is enough); the bits do not depend on that.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Value`], [`Error::Scratch`]. Nothing has then been written, but
    /// if the kernels' own scratch is too small for a later layer, some of y may have been.
    pub fn infer<E: Element, K: LinearKernels<E>>(
        &self,
        kernels: &mut K,
        params: &[E],
        x: MatRef<'_, E>,
        mut y: MatMut<'_, E>,
        scratch: &mut [E],
    ) -> Result<(), Error> {
        let (rows, layers) = (x.nrows(), self.layers());
        self.check_params("params", params.len())?;
        self.check_activations()?;
        check_side("x", Dim::Columns, x.ncols(), ("w", Dim::Rows, self.widths[0]))?;
        check_side("y", Dim::Rows, y.nrows(), ("x", Dim::Rows, rows))?;
        check_side("y", Dim::Columns, y.ncols(), ("w", Dim::Columns, self.widths[layers]))?;
        let block = match self.scratch_len(1) {
            0 => rows,
            one => rows.min(scratch.len() / one),
        };
        if rows > 0 && block == 0 {
            return Err(Error::Scratch { expected: self.scratch_len(1), found: scratch.len() });
        }
        for start in (0..rows).step_by(block.max(1)) {
            let part = start..rows.min(start + block);
            let y = y.reborrow().rows(part.clone())?;
            self.infer_block(kernels, params, x.rows(part)?, y, scratch)?;
        }
        Ok(())
    }

    fn infer_block<E: Element, K: LinearKernels<E>>(
        &self,
        kernels: &mut K,
        params: &[E],
        x: MatRef<'_, E>,
        y: MatMut<'_, E>,
        scratch: &mut [E],
    ) -> Result<(), Error> {
        let rows = x.nrows();
        let (mut write, mut read) = self.buffers(scratch, rows);
        let mut y = Some(y);
        for layer in 0..self.layers() {
            let (d, m) = (self.widths[layer], self.widths[layer + 1]);
            let (w, bias) = self.weights(params, layer)?;
            let x = if layer == 0 { x } else { MatRef::row_major(read, rows, d)? };
            let last = if layer + 1 == self.layers() { y.take() } else { None };
            let y = match last {
                Some(y) => y,
                None => MatMut::row_major(write, rows, m)?,
            };
            kernels.forward(y, x, w, Some(bias), self.activation(layer))?;
            core::mem::swap(&mut write, &mut read);
        }
        Ok(())
    }

    /// The two buffers that take turns between the layers, the one to be written first in front:
    /// the other may be missing where it is never used.
    pub(crate) fn buffers<'s, E>(&self, scratch: &'s mut [E], rows: usize) -> (&'s mut [E], &'s mut [E]) {
        let first = if self.layers() < 2 { 0 } else { rows * self.widest() };
        scratch.split_at_mut(first)
    }

    pub(crate) fn check_params(&self, operand: &'static str, found: usize) -> Result<(), Error> {
        check_side(operand, Dim::Values, found, ("network", Dim::Values, self.params_len()))
    }

    pub(crate) fn check_activations(&self) -> Result<(), Error> {
        self.hidden.check()?;
        self.output.check()
    }

    /// Whether the cache was made for this network's widths.
    pub(crate) fn check_cache<E: Element>(&self, cache: &Cache<'_, E>) -> Result<(), Error> {
        let (found, expected) = (cache.layers(), self.widths.len());
        check_side("cache", Dim::Values, found, ("network", Dim::Values, expected))?;
        for slot in 0..expected {
            let found = cache.width(slot).unwrap_or(0);
            check_side("cache", Dim::Columns, found, ("network", Dim::Columns, self.slot_width(slot)))?;
        }
        Ok(())
    }
}

/// A side of an operand against the side it has to agree with.
pub(crate) fn check_side(
    operand: &'static str,
    dim: Dim,
    found: usize,
    (other, other_dim, expected): (&'static str, Dim, usize),
) -> Result<(), Error> {
    if found == expected {
        Ok(())
    } else {
        Err(Error::Shape { operand, dim, found, other, other_dim, expected })
    }
}

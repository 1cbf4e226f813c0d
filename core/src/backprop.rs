//! A network on the way back: from ∇Y through the layers, the last one first.

use core::mem::swap;

use crate::activation::Activation;
use crate::cache::Cache;
use crate::element::Element;
use crate::error::{Dim, Error};
use crate::linear::{Backward, Gradients, LinearKernels, Step, Write};
use crate::network::{Network, check_side};
use crate::view::{MatMut, MatRef};

/// What [`Network::backward`] reads and writes.
#[derive(Debug)]
pub struct Backprop<'a, E> {
    /// The parameters of the forward pass.
    pub params: &'a [E],
    /// Gradients of the parameters, in the same order.
    pub grads: &'a mut [E],
    /// How they are written: [`Write::ADD`] accumulates over microbatches.
    pub write: Write<E>,
    /// Gradient of the output, n×m.
    pub dy: MatRef<'a, E>,
    /// Gradient of the input, n×d, replaced: what a stage of a pipeline sends back to the one
    /// before it. `None`, as everywhere in a first stage, skips the product.
    pub dx: Option<MatMut<'a, E>>,
    /// [`Network::scratch_len`] values, for the gradients between the layers.
    pub scratch: &'a mut [E],
}

/// What [`Network::backward_step`] reads and writes.
#[derive(Debug)]
pub struct BackpropStep<'a, E> {
    /// The parameters of the forward pass, updated.
    pub params: &'a mut [E],
    /// Learning rate.
    pub lr: E,
    /// Gradient of the output, n×m.
    pub dy: MatRef<'a, E>,
    /// Gradient of the input, n×d, replaced; `None` skips it.
    pub dx: Option<MatMut<'a, E>>,
    /// [`Network::scratch_len`] values.
    pub scratch: &'a mut [E],
}

/// The operands of one layer on the way back, but for its weights.
#[derive(Debug)]
pub struct Pass<'a, E> {
    /// Input of the layer, n×d.
    pub x: MatRef<'a, E>,
    /// Y or Z of the forward pass, n×m, as [`Activation::saves`] says.
    pub saved: Option<MatRef<'a, E>>,
    /// What follows the layer.
    pub activation: Activation,
    /// Gradient of its output, n×m.
    pub dy: MatRef<'a, E>,
    /// Gradient of its input, n×d, to be replaced. `None` in a first layer.
    pub dx: Option<MatMut<'a, E>>,
}

impl<E: Element> Pass<'_, E> {
    /// Runs the layer: `params` and `grads` are W followed by b, and their gradients.
    ///
    /// # Errors
    /// As [`LinearKernels::backward`]; [`Error::Shape`] if a length is not that of the layer.
    pub fn run<K: LinearKernels<E>>(
        self,
        kernels: &mut K,
        params: &[E],
        grads: &mut [E],
        write: Write<E>,
    ) -> Result<(), Error> {
        let (d, m) = (self.x.ncols(), self.dy.ncols());
        let expected = ("layer", Dim::Values, d.saturating_add(1).saturating_mul(m));
        check_side("params", Dim::Values, params.len(), expected)?;
        check_side("grads", Dim::Values, grads.len(), expected)?;
        let Pass { x, saved, activation, dy, dx } = self;
        let w = MatRef::row_major(&params[..d * m], d, m)?;
        let (dw, db) = grads.split_at_mut(d * m);
        let dw = Some(MatMut::row_major(dw, d, m)?);
        let wanted = Gradients { dx, dx_write: Write::REPLACE, dw, db: Some(db), params_write: write };
        kernels.backward(Backward { x, w, dy, activation, saved }, wanted)
    }
}

impl Network<'_> {
    /// Gradients of all parameters from ∇Y, and the microbatch's slots freed. As soon as those of
    /// a layer are complete they are handed to `on_layer` with the layer's index: last layer
    /// first, while those of the layers before it are still to come, so that sending them can
    /// begin. 4·n·d·m floating-point operations per layer, 2·n·d·m in the first without `dx`.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Value`], [`Error::Scratch`], [`Error::Slot`] if forward has not
    /// been done. Nothing has then been written and the slots are as before; the one exception is
    /// kernels whose own scratch is too small for a layer before the last, when the gradients
    /// behind that layer have been written.
    pub fn backward<E: Element, K: LinearKernels<E>>(
        &self,
        kernels: &mut K,
        cache: &mut Cache<'_, E>,
        microbatch: usize,
        operands: Backprop<'_, E>,
        mut on_layer: impl FnMut(usize, &mut [E]),
    ) -> Result<(), Error> {
        let Backprop { params, grads, write, dy, dx, scratch } = operands;
        self.check_params("params", params.len())?;
        self.check_params("grads", grads.len())?;
        self.sweep(cache, microbatch, dy, dx, scratch, |layer, pass| {
            let range = self.params_range(layer..layer + 1);
            let own = &mut grads[range.clone()];
            pass.run(kernels, &params[range], own, write)?;
            on_layer(layer, own);
            Ok(())
        })
    }

    /// A step of SGD on the way back, without memory for gradients: `params += −lr·grads`, the
    /// same bits as [`backward`](Network::backward) of [`Write::ADD`]`.times(-lr)` into the
    /// parameters, each layer after its ∇X has been taken. The microbatch's slots are freed.
    ///
    /// # Errors
    /// As [`backward`](Network::backward), with the parameters in the place of the gradients.
    pub fn backward_step<E: Element, K: LinearKernels<E>>(
        &self,
        kernels: &mut K,
        cache: &mut Cache<'_, E>,
        microbatch: usize,
        operands: BackpropStep<'_, E>,
    ) -> Result<(), Error> {
        let BackpropStep { params, lr, dy, dx, scratch } = operands;
        self.check_params("params", params.len())?;
        self.sweep(cache, microbatch, dy, dx, scratch, |layer, pass| {
            let Pass { x, saved, activation, dy, dx } = pass;
            let (d, m) = (self.widths()[layer], self.widths()[layer + 1]);
            let own = &mut params[self.params_range(layer..layer + 1)];
            let (w, bias) = own.split_at_mut(d * m);
            let (w, bias) = (MatMut::row_major(w, d, m)?, Some(bias));
            kernels.backward_step(Step { x, w, bias, dy, activation, saved, dx, lr })
        })
    }

    /// The layers from last to first, each with its ∇Y and a place for its ∇X, for whoever does
    /// something of his own with a layer: [`backward`](Network::backward) is this with
    /// [`Pass::run`]. The microbatch's slots are freed at the end.
    ///
    /// # Errors
    /// Those of `layer_pass`, and [`Error::Shape`], [`Error::Value`], [`Error::Scratch`],
    /// [`Error::Slot`] before its first call. The slots are then as before, and also if it panics:
    /// the sweep can be done again.
    pub fn sweep<E: Element, F: From<Error>>(
        &self,
        cache: &mut Cache<'_, E>,
        microbatch: usize,
        dy: MatRef<'_, E>,
        mut dx: Option<MatMut<'_, E>>,
        scratch: &mut [E],
        mut layer_pass: impl FnMut(usize, Pass<'_, E>) -> Result<(), F>,
    ) -> Result<(), F> {
        let rows = self.check_sweep(cache, microbatch, &dy, &dx, scratch.len())?;
        let (mut write, mut read) = self.buffers(scratch, rows);
        for layer in (0..self.layers()).rev() {
            let (d, m) = (self.widths()[layer], self.widths()[layer + 1]);
            let last = layer + 1 == self.layers();
            let pass = Pass {
                x: self.y(cache, microbatch, layer)?,
                saved: self.saved(cache, microbatch, layer)?,
                activation: self.activation(layer),
                dy: if last { dy } else { MatRef::row_major(read, rows, m)? },
                dx: if layer == 0 { dx.take() } else { Some(MatMut::row_major(write, rows, d)?) },
            };
            layer_pass(layer, pass)?;
            swap(&mut write, &mut read);
        }
        for slot in 0..=self.layers() {
            cache.take(microbatch, slot)?;
        }
        Ok(())
    }

    /// Everything that can be wrong, before anything is written. Returns the rows.
    fn check_sweep<E: Element>(
        &self,
        cache: &Cache<'_, E>,
        microbatch: usize,
        dy: &MatRef<'_, E>,
        dx: &Option<MatMut<'_, E>>,
        scratch: usize,
    ) -> Result<usize, Error> {
        self.check_activations()?;
        self.check_cache(cache)?;
        for slot in 0..=self.layers() {
            cache.get(microbatch, slot)?;
        }
        let rows = cache.rows(microbatch, 0)?;
        check_side("dy", Dim::Rows, dy.nrows(), ("x", Dim::Rows, rows))?;
        let m = self.widths()[self.layers()];
        check_side("dy", Dim::Columns, dy.ncols(), ("w", Dim::Columns, m))?;
        if let Some(dx) = dx {
            check_side("dx", Dim::Rows, dx.nrows(), ("x", Dim::Rows, rows))?;
            check_side("dx", Dim::Columns, dx.ncols(), ("w", Dim::Rows, self.widths()[0]))?;
        }
        let expected = self.scratch_len(rows);
        if scratch < expected {
            return Err(Error::Scratch { expected, found: scratch });
        }
        Ok(rows)
    }
}

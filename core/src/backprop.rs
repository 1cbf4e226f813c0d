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

/// The operands of one layer.
struct Pass<'a, E> {
    x: MatRef<'a, E>,
    saved: Option<MatRef<'a, E>>,
    activation: Activation,
    dy: MatRef<'a, E>,
    dx: Option<MatMut<'a, E>>,
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
            let Pass { x, saved, activation, dy, dx } = pass;
            let (w, _) = self.weights(params, layer)?;
            let own = &mut grads[self.params_range(layer..layer + 1)];
            let (dw, db) = own.split_at_mut(w.nrows() * w.ncols());
            let wanted = Gradients {
                dx,
                dx_write: Write::REPLACE,
                dw: Some(MatMut::row_major(dw, w.nrows(), w.ncols())?),
                db: Some(db),
                params_write: write,
            };
            kernels.backward(Backward { x, w, dy, activation, saved }, wanted)?;
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

    /// The layers from last to first, each with its ∇Y and a place for its ∇X.
    fn sweep<E: Element>(
        &self,
        cache: &mut Cache<'_, E>,
        microbatch: usize,
        dy: MatRef<'_, E>,
        mut dx: Option<MatMut<'_, E>>,
        scratch: &mut [E],
        mut layer_pass: impl FnMut(usize, Pass<'_, E>) -> Result<(), Error>,
    ) -> Result<(), Error> {
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

//! Where the time of a step goes, by layer: what the picture in the page is drawn from.

use trine_core::{
    Backward, Element, Error, Forward, Gradients, LinearKernels, MatMut, MatRef, Step, Task, Write,
};

/// Layers of the network.
pub const LAYERS: usize = 3;
/// Forward and backward of each, the loss, the optimizer.
pub const PHASES: usize = 2 * LAYERS + 2;
/// The loss, between forward and backward.
pub const LOSS: usize = LAYERS;
/// The optimizer.
pub const OPTIMIZER: usize = PHASES - 1;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    /// Milliseconds since some time, from JavaScript.
    safe fn now() -> f64;
}

/// Milliseconds in each phase.
pub struct Clock {
    pub phases: [f64; PHASES],
}

impl Clock {
    /// Does something and adds its time.
    pub fn phase<T>(&mut self, index: usize, work: impl FnOnce() -> T) -> T {
        let start = now();
        let result = work();
        if let Some(phase) = self.phases.get_mut(index) {
            *phase += now() - start;
        }
        result
    }
}

/// An implementation with a clock: the layers come one after the other, forward and back.
pub struct Clocked<'c, K> {
    pub kernels: K,
    pub clock: &'c mut Clock,
    /// Which phase the next call is.
    pub next: usize,
}

impl<K> Clocked<'_, K> {
    fn call<T>(&mut self, work: impl FnOnce(&mut K) -> T) -> T {
        let (kernels, index) = (&mut self.kernels, self.next);
        self.next += 1;
        self.clock.phase(index, || work(kernels))
    }
}

impl<E: Element, K: LinearKernels<E>> LinearKernels<E> for Clocked<'_, K> {
    fn forward_with(&mut self, forward: Forward<'_, E>) -> Result<(), Error> {
        self.call(|kernels| kernels.forward_with(forward))
    }

    fn matmul(
        &mut self,
        c: MatMut<'_, E>,
        a: MatRef<'_, E>,
        b: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error> {
        self.kernels.matmul(c, a, b, write)
    }

    fn grad_params(
        &mut self,
        dw: MatMut<'_, E>,
        db: Option<&mut [E]>,
        x: MatRef<'_, E>,
        dz: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error> {
        self.kernels.grad_params(dw, db, x, dz, write)
    }

    fn backward(&mut self, given: Backward<'_, E>, wanted: Gradients<'_, E>) -> Result<(), Error> {
        self.call(|kernels| kernels.backward(given, wanted))
    }

    fn backward_step(&mut self, step: Step<'_, E>) -> Result<(), Error> {
        self.call(|kernels| kernels.backward_step(step))
    }

    fn run<T: Task<E>>(&mut self, task: T) -> T::Output {
        self.kernels.run(task)
    }
}

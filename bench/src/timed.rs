//! Where the time of a training goes.

use std::time::{Duration, Instant};

use trine_core::{
    Backward, Element, Error, Forward, Gradients, LinearKernels, MatMut, MatRef, Step, Task, Write,
};

/// Time spent in each part.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shares {
    /// `Y = act(X·W + b)`.
    pub forward: Duration,
    /// ∇X, with ∇Z on the way.
    pub dx: Duration,
    /// ∇W and ∇b, with ∇Z on the way; all of backward where it is not taken apart.
    pub dw: Duration,
    /// What whoever runs the training adds: loss with its gradient.
    pub loss: Duration,
    /// What whoever runs the training adds: the optimizer.
    pub optimizer: Duration,
}

/// An implementation with a clock. Its backward takes ∇X first and the parameters' gradients
/// afterwards, each for itself, so that their time can be told apart; the bits are those of the
/// fused sweep, as the definition demands. [`Timed::whole`] leaves backward as it is.
#[derive(Debug)]
pub struct Timed<K> {
    kernels: K,
    apart: bool,
    /// The time so far.
    pub shares: Shares,
}

impl<K> Timed<K> {
    /// Starts from zero.
    pub fn new(kernels: K) -> Self {
        Timed { kernels, apart: true, shares: Shares::default() }
    }

    /// The same, with backward in one sweep, counted as ∇W.
    pub fn whole(kernels: K) -> Self {
        Timed { apart: false, ..Timed::new(kernels) }
    }
}

/// Does something and adds its time.
pub fn clocked<T>(sum: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *sum += start.elapsed();
    result
}

impl<E: Element, K: LinearKernels<E>> LinearKernels<E> for Timed<K> {
    fn forward_with(&mut self, forward: Forward<'_, E>) -> Result<(), Error> {
        clocked(&mut self.shares.forward, || self.kernels.forward_with(forward))
    }

    /// Counted as ∇X, the one product in a training that is called alone.
    fn matmul(
        &mut self,
        c: MatMut<'_, E>,
        a: MatRef<'_, E>,
        b: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error> {
        clocked(&mut self.shares.dx, || self.kernels.matmul(c, a, b, write))
    }

    fn grad_params(
        &mut self,
        dw: MatMut<'_, E>,
        db: Option<&mut [E]>,
        x: MatRef<'_, E>,
        dz: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error> {
        clocked(&mut self.shares.dw, || self.kernels.grad_params(dw, db, x, dz, write))
    }

    fn backward(&mut self, given: Backward<'_, E>, wanted: Gradients<'_, E>) -> Result<(), Error> {
        if !self.apart {
            return clocked(&mut self.shares.dw, || self.kernels.backward(given, wanted));
        }
        given.check(&wanted)?;
        let Gradients { dx, dx_write, dw, db, params_write } = wanted;
        if dx.is_some() {
            let only_dx = Gradients { dx, dx_write, dw: None, db: None, params_write };
            clocked(&mut self.shares.dx, || self.kernels.backward(given, only_dx))?;
        }
        let params = Gradients { dx: None, dx_write, dw, db, params_write };
        clocked(&mut self.shares.dw, || self.kernels.backward(given, params))
    }

    /// As it is, counted as ∇W and ∇b.
    fn backward_step(&mut self, step: Step<'_, E>) -> Result<(), Error> {
        clocked(&mut self.shares.dw, || self.kernels.backward_step(step))
    }

    /// Not counted here: what it is part of is known outside.
    fn run<T: Task<E>>(&mut self, task: T) -> T::Output {
        self.kernels.run(task)
    }
}

#[cfg(test)]
mod tests {
    use trine_core::{Reference, Shape};
    use trine_kernels::Op;

    use super::*;
    use crate::workload::{OPS, Operands, Results, perform};

    #[test]
    fn taking_backward_apart_changes_no_bit() {
        let given = Operands::<f32>::random(Shape { n: 5, d: 6, m: 7 }, 1);
        for op in OPS {
            let (mut plain, mut timed) = (Results::before(op, &given), Results::before(op, &given));
            perform(op, &mut Reference::<trine_core::Fused>::default(), &given, &mut plain).expect("fits");
            let mut clock = Timed::new(Reference::<trine_core::Fused>::default());
            perform(op, &mut clock, &given, &mut timed).expect("fits");
            for (a, b) in [(&plain.y, &timed.y), (&plain.dx, &timed.dx), (&plain.dw, &timed.dw)] {
                assert!(a.iter().zip(b.iter()).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
            let Shares { forward, dx, dw, .. } = clock.shares;
            assert_eq!(forward > Duration::ZERO, op == Op::Forward);
            assert_eq!(dx > Duration::ZERO, matches!(op, Op::GradInput | Op::Backward));
            assert_eq!(dw > Duration::ZERO, matches!(op, Op::GradParams | Op::Backward | Op::Step));
        }
    }
}

//! What is measured and compared: operands for one shape, and the five operations on them.

use std::ops::{Deref, DerefMut, Range};

use trine_core::Rng;
use trine_core::{
    Activation, Backward, Element, Error, Gradients, Lanes, LinearKernels, MatMut, MatRef, Rounding, Shape,
    Step, Task, Write,
};
use trine_kernels::{Op, memory};

use crate::limits::size;
use crate::machine::available_memory;
use crate::shape;

/// Every operation, in the order of reports.
pub const OPS: [Op; 5] = [Op::Forward, Op::GradInput, Op::GradParams, Op::Backward, Op::Step];

/// The learning rate of [`Op::Step`]: so large that a wrong ∇W shows in W, and so small that W, which
/// grows by the same at each repetition, stays far from infinity.
const LR: f64 = 1.0 / 8.0;

/// As on the command line and in reports.
pub const fn op_name(op: Op) -> &'static str {
    match op {
        Op::Forward => "fwd",
        Op::GradInput => "dx",
        Op::GradParams => "dw",
        Op::Backward => "backward",
        Op::Step => "step",
    }
}

/// The inverse of [`op_name`].
///
/// # Errors
/// A sentence that lists the operations.
pub fn parse_op(name: &str) -> Result<Op, String> {
    OPS.into_iter()
        .find(|&op| op_name(op) == name)
        .ok_or_else(|| format!("`{name}` is not an operation: expected fwd, dx, dw, backward or step"))
}

/// Useful floating-point operations: 2·n·d·m for each product. Bias, activation and ∇b are not
/// counted.
pub fn flops(op: Op, Shape { n, d, m }: Shape) -> f64 {
    let products = if matches!(op, Op::Backward | Op::Step) { 2.0 } else { 1.0 };
    products * 2.0 * n as f64 * d as f64 * m as f64
}

/// Bytes of all operands, each counted once (twice where it is read and written).
pub fn bytes<E: Element>(op: Op, Shape { n, d, m }: Shape) -> usize {
    let (x, w, y) = (n * d, d * m, n * m);
    let values = match op {
        Op::Forward => x + w + m + y,
        Op::GradInput => y + w + x,
        Op::GradParams => x + y + w + m,
        // Read: X, W, ∇Y and Y; written: ∇X, and ∇W and ∇b (or W and b, read before).
        Op::Backward => 2 * x + 2 * w + 2 * y + m,
        Op::Step => 2 * x + 2 * w + 2 * y + 2 * m,
    };
    values * E::BYTES
}

/// Whether there is memory for measurements at these shapes: operands and expected results in each of so many
/// processes, and results of each of so many contenders.
///
/// # Errors
/// Which shape is too large, what it takes and what there is.
pub fn room(shapes: &[Shape], element: usize, (processes, contenders): (usize, usize)) -> Result<(), String> {
    // More cannot be asked for where nothing is known.
    let there = available_memory().map_or(isize::MAX as u128, u128::from);
    for shape in shapes {
        let [n, d, m] = [shape.n, shape.d, shape.m].map(|side| side as u128);
        let (operands, results) = (n * d + d * m + m + 2 * n * m, n * m + n * d + d * m + m);
        let values = processes as u128 * (operands + results) + contenders as u128 * results;
        let bytes = values * element as u128;
        if bytes > there {
            let [bytes, there] = [bytes, there].map(|bytes| size(bytes.try_into().unwrap_or(usize::MAX)));
            return Err(format!(
                "{}: operands and results take {bytes}, and {there} of memory are free",
                shape::name(*shape)
            ));
        }
    }
    Ok(())
}

/// Whether operands can be taken out of the caches, if they are to be.
///
/// # Errors
/// An architecture without an instruction for it.
pub fn can_be_cold(cold: bool) -> Result<(), String> {
    let arch = std::env::consts::ARCH;
    if cold && !memory::CAN_EVICT {
        return Err(format!(
            "--cold: programs on {arch} have no instruction that takes data out of the caches"
        ));
    }
    Ok(())
}

/// Values that begin at a multiple of 64 bytes, as the buffers of most frameworks do.
#[derive(Debug)]
pub struct Buffer<E> {
    memory: Vec<E>,
    values: Range<usize>,
}

impl<E: Element> Buffer<E> {
    /// `len` values, one after the other from `next`.
    pub fn from_fn(len: usize, mut next: impl FnMut() -> E) -> Self {
        let spare = 64 / E::BYTES;
        let mut memory = vec![E::ZERO; len + spare];
        let start = memory.as_ptr().align_offset(64).min(spare);
        let values = start..start + len;
        memory[values.clone()].fill_with(&mut next);
        Buffer { memory, values }
    }

    /// The same value everywhere.
    pub fn filled(len: usize, value: E) -> Self {
        Buffer::from_fn(len, || value)
    }

    /// A copy.
    pub fn of(values: impl IntoIterator<Item = E>, len: usize) -> Self {
        let mut values = values.into_iter();
        Buffer::from_fn(len, || values.next().unwrap_or(E::ZERO))
    }
}

impl<E> Deref for Buffer<E> {
    type Target = [E];
    fn deref(&self) -> &[E] {
        &self.memory[self.values.clone()]
    }
}

impl<E> DerefMut for Buffer<E> {
    fn deref_mut(&mut self) -> &mut [E] {
        &mut self.memory[self.values.clone()]
    }
}

/// Inputs of every operation at one shape, row-major and without gaps.
#[derive(Debug)]
pub struct Operands<E> {
    /// The sides of the layer.
    pub shape: Shape,
    /// X, n×d.
    pub x: Buffer<E>,
    /// W, d×m.
    pub w: Buffer<E>,
    /// b, m values.
    pub bias: Buffer<E>,
    /// Y of some forward pass with ReLU, n×m: about half of it is zero.
    pub y: Buffer<E>,
    /// ∇Y, n×m.
    pub dy: Buffer<E>,
}

/// Uniform in (−1, 1), never zero.
pub fn value<E: Element>(rng: &mut Rng) -> E {
    let size = E::from_f64((rng.next_u64() >> 41) as f64 / (1u64 << 23) as f64 + 1.0 / (1u64 << 24) as f64);
    if rng.next_u64() >> 63 == 0 { size } else { -size }
}

impl<E: Element> Operands<E> {
    /// Random and not zero (but for Y), the same for the same seed and shape.
    pub fn random(shape: Shape, seed: u64) -> Self {
        let Shape { n, d, m } = shape;
        let mut rng = Rng::keyed(seed, &[n as u64, d as u64, m as u64]);
        let mut random = |len| Buffer::from_fn(len, || value(&mut rng));
        let (x, w, bias, mut y, dy) = (random(n * d), random(d * m), random(m), random(n * m), random(n * m));
        for y in y.iter_mut().filter(|y| **y < E::ZERO) {
            *y = E::ZERO;
        }
        Operands { shape, x, w, bias, y, dy }
    }

    /// Takes all of it out of the caches.
    pub fn evict(&self) {
        for part in [&self.x, &self.w, &self.bias, &self.y, &self.dy] {
            memory::evict(part);
        }
    }

    /// The same layer with some rows of the batch.
    pub fn batch(&self, rows: Range<usize>) -> Self {
        let Shape { d, m, .. } = self.shape;
        let n = rows.len();
        let part = |all: &[E], width: usize| {
            Buffer::of(all[rows.start * width..rows.end * width].iter().copied(), n * width)
        };
        Operands {
            shape: Shape { n, d, m },
            x: part(&self.x, d),
            w: Buffer::of(self.w.iter().copied(), d * m),
            bias: Buffer::of(self.bias.iter().copied(), m),
            y: part(&self.y, m),
            dy: part(&self.dy, m),
        }
    }

    /// The same layer with some of the input features.
    pub fn features(&self, range: Range<usize>) -> Self {
        let Shape { n, d, m } = self.shape;
        let width = range.len();
        let columns = (0..n).flat_map(|i| self.x[i * d + range.start..i * d + range.end].iter().copied());
        Operands {
            shape: Shape { n, d: width, m },
            x: Buffer::of(columns, n * width),
            w: Buffer::of(self.w[range.start * m..range.end * m].iter().copied(), width * m),
            bias: Buffer::of(self.bias.iter().copied(), m),
            y: Buffer::of(self.y.iter().copied(), n * m),
            dy: Buffer::of(self.dy.iter().copied(), n * m),
        }
    }
}

/// Where results go.
#[derive(Debug)]
pub struct Results<E> {
    /// Y, n×m.
    pub y: Buffer<E>,
    /// ∇X, n×d.
    pub dx: Buffer<E>,
    /// ∇W, or W itself for [`Op::Step`], d×m.
    pub dw: Buffer<E>,
    /// ∇b, or b itself for [`Op::Step`], m values.
    pub db: Buffer<E>,
}

impl<E: Element> Results<E> {
    /// Filled with what may not survive (NaN), or with what is to be updated.
    pub fn before(op: Op, given: &Operands<E>) -> Self {
        let Shape { n, d, m } = given.shape;
        let nan = |len| Buffer::filled(len, E::NAN);
        let (dw, db) = if op == Op::Step {
            (Buffer::of(given.w.iter().copied(), d * m), Buffer::of(given.bias.iter().copied(), m))
        } else {
            (nan(d * m), nan(m))
        };
        Results { y: nan(n * m), dx: nan(n * d), dw, db }
    }

    /// Takes all of it out of the caches.
    pub fn evict(&self) {
        for part in [&self.y, &self.dx, &self.dw, &self.db] {
            memory::evict(part);
        }
    }
}

/// Carries out one operation: [`Op::Forward`] with bias and ReLU, [`Op::GradInput`] and
/// [`Op::GradParams`] (∇W and ∇b) from ∇Z = ∇Y, [`Op::Backward`] through ReLU with all three
/// gradients, [`Op::Step`] the same with SGD straight into W and b.
///
/// # Errors
/// Those of [`LinearKernels`].
pub fn perform<E: Element, K: LinearKernels<E>>(
    op: Op,
    kernels: &mut K,
    given: &Operands<E>,
    out: &mut Results<E>,
) -> Result<(), Error> {
    let Shape { n, d, m } = given.shape;
    let (x, w) = (MatRef::row_major(&given.x, n, d)?, MatRef::row_major(&given.w, d, m)?);
    let (saved, dy) = (MatRef::row_major(&given.y, n, m)?, MatRef::row_major(&given.dy, n, m)?);
    let y = MatMut::row_major(&mut out.y, n, m)?;
    let (dx, dw) = (MatMut::row_major(&mut out.dx, n, d)?, MatMut::row_major(&mut out.dw, d, m)?);
    let (activation, saved, dx, db) = (Activation::Relu, Some(saved), Some(dx), Some(&mut out.db[..]));
    match op {
        Op::Forward => kernels.forward(y, x, w, Some(&given.bias), activation),
        Op::GradInput => dx.map_or(Ok(()), |dx| kernels.grad_input(dx, dy, w, Write::REPLACE)),
        Op::GradParams => kernels.grad_params(dw, db, x, dy, Write::REPLACE),
        Op::Backward => {
            let (dx_write, params_write) = (Write::REPLACE, Write::REPLACE);
            let wanted = Gradients { dx, dx_write, dw: Some(dw), db, params_write };
            kernels.backward(Backward { x, w, dy, activation, saved }, wanted)
        }
        Op::Step => {
            let lr = E::from_f64(LR);
            kernels.backward_step(Step { x, w: dw, bias: db, dy, activation, saved, dx, lr })
        }
    }
}

struct AskRounding;

impl<E: Element> Task<E> for AskRounding {
    type Output = Rounding;
    fn run<L: Lanes<E>>(self, _: L) -> Rounding {
        L::ROUNDING
    }
}

/// How an implementation rounds its multiply-adds.
pub fn rounding<E: Element, K: LinearKernels<E>>(kernels: &mut K) -> Rounding {
    kernels.run(AskRounding)
}

#[cfg(test)]
mod tests {
    use trine_core::Reference;

    use super::*;

    #[test]
    fn names_are_read_back() {
        for op in OPS {
            assert_eq!(parse_op(op_name(op)), Ok(op));
        }
        assert!(parse_op("sideways").is_err());
    }

    #[test]
    fn shapes_that_no_memory_holds_are_named() {
        let (small, huge) =
            (Shape { n: 64, d: 784, m: 512 }, Shape { n: 4_000_000_000, d: 9, m: 4_000_000_000 });
        assert_eq!(room(&[small], 8, (3, 3)), Ok(()));
        let error = room(&[small, huge], 4, (1, 1)).expect_err("2⁶⁶ bytes");
        assert!(error.starts_with("4000000000×9×4000000000: operands and results take "), "{error}");
    }

    #[test]
    fn buffers_are_aligned_and_values_not_zero() {
        let given = Operands::<f32>::random(Shape { n: 5, d: 7, m: 3 }, 1);
        for values in [&given.x, &given.w, &given.bias, &given.dy] {
            assert!(values.as_ptr().align_offset(64) == 0);
            assert!(values.iter().all(|v| *v != 0.0 && v.abs() < 1.0), "{values:?}");
        }
        assert!(given.y.iter().all(|y| *y >= 0.0) && given.y.contains(&0.0));
        assert_eq!(given.x[..], Operands::<f32>::random(given.shape, 1).x[..]);
        assert_ne!(given.x[..], Operands::<f32>::random(given.shape, 2).x[..]);
    }

    #[test]
    fn parts_give_the_same_results_as_the_whole() {
        let given = Operands::<f64>::random(Shape { n: 6, d: 5, m: 4 }, 3);
        let run = |op, given: &Operands<f64>| {
            let mut out = Results::before(op, given);
            perform(op, &mut Reference::<trine_core::Fused>::default(), given, &mut out).expect("shapes fit");
            out
        };
        for op in OPS {
            let (whole, rows, columns) =
                (run(op, &given), run(op, &given.batch(2..4)), run(op, &given.features(1..4)));
            let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&whole.y[8..16]), bits(&rows.y), "{}", op_name(op));
            assert_eq!(bits(&whole.dx[10..20]), bits(&rows.dx), "{}", op_name(op));
            assert_eq!(bits(&whole.dw[4..16]), bits(&columns.dw), "{}", op_name(op));
            assert_eq!(bits(&whole.db), bits(&columns.db), "{}", op_name(op));
        }
    }

    #[test]
    fn counts() {
        let shape = Shape { n: 2, d: 3, m: 5 };
        assert_eq!((flops(Op::Forward, shape), flops(Op::Backward, shape)), (60.0, 120.0));
        assert_eq!(bytes::<f32>(Op::Forward, shape), 4 * (6 + 15 + 5 + 10));
    }
}

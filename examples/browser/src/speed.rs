//! One layer, by the engine and by naive loops, for a comparison that JavaScript takes the time of.

use core::fmt;

use trine_core::{Activation, Error, LinearKernels, MatMut, MatRef, Reference, Rng, Unfused, Write};
use trine_kernels::{Engine, Line, Op, scratch_len};

use crate::train::isa;

/// Elements of an operand at most.
const MOST: usize = 256 * 256;
/// Lines of scratch memory: for sides of at most 512.
const LINES: usize = {
    let (x, y) = (lines(Op::Forward), lines(Op::Backward));
    if x > y { x } else { y }
};

const fn lines(op: Op) -> usize {
    let simd = scratch_len::<f32>(trine_kernels::Isa::Simd128, op, 512, 512, 512);
    let portable = scratch_len::<f32>(trine_kernels::Isa::Portable, op, 512, 512, 512);
    if simd > portable { simd } else { portable }
}

/// Operands and results.
pub struct Layer {
    x: [f32; MOST],
    w: [f32; MOST],
    dy: [f32; MOST],
    bias: [f32; 512],
    to: [f32; MOST],
    db: [f32; 512],
    expected: [f32; MOST],
    expected_db: [f32; 512],
    scratch: [Line; LINES],
    shape: (usize, usize, usize),
}

/// What is wrong.
pub enum Wrong {
    /// A call was refused.
    Error(Error),
    /// A side is 0 or above 512, or an operand has more elements than there is room for.
    Shape,
    /// Results of one operation by one implementation differ from what they should be.
    Result(&'static str, &'static str),
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Wrong::Error(error)
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Error(error) => error.fmt(f),
            Wrong::Shape => write!(f, "sides are 1 to 512, operands have at most {MOST} elements"),
            Wrong::Result(who, op) => write!(f, "{op}: wrong results of the {who}"),
        }
    }
}

impl Layer {
    /// Without operands.
    pub const EMPTY: Layer = Layer {
        x: [0.0; MOST],
        w: [0.0; MOST],
        dy: [0.0; MOST],
        bias: [0.0; 512],
        to: [0.0; MOST],
        db: [0.0; 512],
        expected: [0.0; MOST],
        expected_db: [0.0; 512],
        scratch: [Line::UNINIT; LINES],
        shape: (0, 0, 0),
    };

    /// Random operands of a layer n×d×m.
    pub fn set(&mut self, n: usize, d: usize, m: usize) -> Result<(), Wrong> {
        let sides = [n, d, m].iter().all(|side| (1..=512).contains(side));
        if !sides || [n * d, d * m, n * m].iter().any(|&len| len > MOST) {
            return Err(Wrong::Shape);
        }
        let mut rng = Rng::new(1);
        for operand in [&mut self.x, &mut self.w, &mut self.dy] {
            operand.fill_with(|| 2.0 * rng.uniform() as f32 - 1.0);
        }
        self.bias.fill_with(|| rng.uniform() as f32);
        self.shape = (n, d, m);
        Ok(())
    }

    /// That many times one operation, each into the same place.
    pub fn run(&mut self, op: u32, naive: bool, times: usize) -> Result<(), Error> {
        let (n, d, m) = self.shape;
        for _ in 0..times {
            if naive {
                self.naive(op);
            } else {
                let mut engine = Engine::with_scratch(isa(), &mut self.scratch)?;
                let operands = (&self.x[..n * d], &self.w[..d * m], &self.dy[..n * m], &self.bias[..m]);
                perform(&mut engine, op, self.shape, operands, (&mut self.to, &mut self.db))?;
            }
        }
        Ok(())
    }

    /// Textbook loops in the order in which the innermost goes along rows, so that the compiler makes
    /// vectors of it where it can; bias, ReLU and ∇b as well.
    fn naive(&mut self, op: u32) {
        let (n, d, m) = self.shape;
        let Layer { x, w, dy, bias, to, db, .. } = self;
        let (x, w, dy) = (&x[..n * d], &w[..d * m], &dy[..n * m]);
        match op {
            0 => {
                for (x, y) in x.chunks_exact(d).zip(to.chunks_exact_mut(m)) {
                    y.copy_from_slice(&bias[..m]);
                    for (x, w) in x.iter().zip(w.chunks_exact(m)) {
                        y.iter_mut().zip(w).for_each(|(y, w)| *y += x * w);
                    }
                    y.iter_mut().for_each(|y| *y = if *y < 0.0 { 0.0 } else { *y });
                }
            }
            1 => {
                for (dx, dy) in to.chunks_exact_mut(d).zip(dy.chunks_exact(m)) {
                    for (dx, w) in dx.iter_mut().zip(w.chunks_exact(m)) {
                        *dx = w.iter().zip(dy).map(|(w, dy)| w * dy).sum();
                    }
                }
            }
            _ => {
                to[..d * m].fill(0.0);
                db[..m].fill(0.0);
                for (x, dy) in x.chunks_exact(d).zip(dy.chunks_exact(m)) {
                    for (x, dw) in x.iter().zip(to.chunks_exact_mut(m)) {
                        dw.iter_mut().zip(dy).for_each(|(dw, dy)| *dw += x * dy);
                    }
                    db.iter_mut().zip(dy).for_each(|(db, dy)| *db += dy);
                }
            }
        }
    }

    /// Every operation, both implementations: the engine has the bits of the reference that rounds twice,
    /// the naive loops its values.
    pub fn check(&mut self) -> Result<(), Wrong> {
        let (n, d, m) = self.shape;
        for (op, name) in ["forward", "∇X", "∇W, ∇b"].into_iter().enumerate() {
            let len = [n * m, n * d, d * m][op];
            let op = op as u32;
            self.db.fill(0.0);
            self.expected_db.fill(0.0);
            let operands = (&self.x[..n * d], &self.w[..d * m], &self.dy[..n * m], &self.bias[..m]);
            let results = (&mut self.expected[..], &mut self.expected_db[..]);
            perform(&mut Reference(Unfused), op, self.shape, operands, results)?;
            for naive in [false, true] {
                self.to[..len].fill(f32::NAN);
                self.run(op, naive, 1)?;
                let same = |a: f32, b: f32| {
                    if naive { (a - b).abs() <= 1e-4 * (1.0 + b.abs()) } else { a.to_bits() == b.to_bits() }
                };
                let all = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(&a, &b)| same(a, b));
                if !all(&self.to[..len], &self.expected[..len]) || !all(&self.db, &self.expected_db) {
                    return Err(Wrong::Result(if naive { "naive loops" } else { "engine" }, name));
                }
            }
        }
        Ok(())
    }
}

/// One operation: forward with ReLU, ∇X, ∇W and ∇b.
fn perform<K: LinearKernels<f32>>(
    kernels: &mut K,
    op: u32,
    (n, d, m): (usize, usize, usize),
    (x, w, dy, bias): (&[f32], &[f32], &[f32], &[f32]),
    (to, db): (&mut [f32], &mut [f32]),
) -> Result<(), Error> {
    let (x, w, dy) = (MatRef::row_major(x, n, d)?, MatRef::row_major(w, d, m)?, MatRef::row_major(dy, n, m)?);
    match op {
        0 => kernels.forward(MatMut::row_major(&mut to[..n * m], n, m)?, x, w, Some(bias), Activation::Relu),
        1 => kernels.grad_input(MatMut::row_major(&mut to[..n * d], n, d)?, dy, w, Write::REPLACE),
        _ => {
            let dw = MatMut::row_major(&mut to[..d * m], d, m)?;
            kernels.grad_params(dw, Some(&mut db[..m]), x, dy, Write::REPLACE)
        }
    }
}

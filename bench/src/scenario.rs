//! The calls that `trine check` makes at one shape, for any implementation and any layout.

use trine_core::{
    Activation, Backward, Element, Error, Forward, Gradients, LinearKernels, Rng, Saved, Shape, Step, Write,
};

use crate::storage::{Layout, Matrix};
use crate::workload::{op_name, value};
use trine_kernels::Op;

/// Every activation.
const ACTIVATIONS: [Activation; 7] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.125 },
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Gelu,
    Activation::Silu,
];

/// What a call wrote, with names.
pub type Outputs<E> = Vec<(&'static str, Matrix<E>)>;

/// One call.
#[derive(Clone, Debug)]
pub struct Call<E> {
    op: Op,
    activation: Activation,
    write: Write<E>,
}

/// Operands at one shape, row-major, and what is to be called with them.
#[derive(Clone, Debug)]
pub struct Case<E> {
    shape: Shape,
    x: Vec<E>,
    w: Vec<E>,
    bias: Vec<E>,
    saved: Vec<E>,
    dy: Vec<E>,
    /// What outputs hold before a call that adds to them: n·d values.
    old_dx: Vec<E>,
    /// Layouts other than row-major: of X and ∇Y, of W and ∇W, of Y, of ∇X.
    pub layouts: [Layout; 4],
    /// Forward with every activation, each gradient replaced and added, backward and a step with
    /// some activation.
    pub calls: Vec<Call<E>>,
}

impl<E: Element> Case<E> {
    /// The same for the same seed and shape. One case of eight has zeros of both signs,
    /// infinities, NaN and subnormal numbers among its values.
    pub fn new(shape: Shape, seed: u64) -> Self {
        let Shape { n, d, m } = shape;
        let mut rng = Rng::keyed(seed, &[n as u64, d as u64, m as u64]);
        let special = rng.below(8) == 0;
        let mut values = |len: usize| -> Vec<E> {
            (0..len).map(|_| if special { or_special(&mut rng) } else { value(&mut rng) }).collect()
        };
        let (x, w, bias) = (values(n * d), values(d * m), values(m));
        let (saved, dy, old_dx) = (values(n * m), values(n * m), values(n * d));
        let layouts = [0; 4].map(|_| Layout::ALL[rng.below(5) as usize]);
        let calls = calls(&mut rng);
        Case { shape, x, w, bias, saved, dy, old_dx, layouts, calls }
    }
}

/// Once in a while a value that arithmetic treats in its own way.
fn or_special<E: Element>(rng: &mut Rng) -> E {
    let tiny = E::of_bits(rng.below(1 << 20));
    match rng.below(64) {
        0 => E::ZERO,
        1 => -E::ZERO,
        2 => tiny,
        3 if rng.below(8) == 0 => E::INFINITY,
        4 if rng.below(8) == 0 => -E::INFINITY,
        5 if rng.below(8) == 0 => E::NAN,
        _ => value(rng),
    }
}

fn calls<E: Element>(rng: &mut Rng) -> Vec<Call<E>> {
    let mut write = |write: Write<E>| {
        let alpha = if rng.below(2) == 0 { E::ONE } else { E::from_f64(-0.3) };
        write.times(alpha)
    };
    let (replace, add) = (write(Write::REPLACE), write(Write::ADD));
    let step = Write::ADD.times(E::from_f64(-0.01));
    let forward = ACTIVATIONS.map(|activation| Call { op: Op::Forward, activation, write: Write::REPLACE });
    let mut calls = forward.to_vec();
    for (op, write) in [
        (Op::GradInput, replace),
        (Op::GradInput, add),
        (Op::GradParams, replace),
        (Op::GradParams, add),
        (Op::Backward, replace),
        (Op::Backward, add),
        (Op::Step, step),
    ] {
        let activation = match op {
            Op::Backward | Op::Step => ACTIVATIONS[rng.below(7) as usize],
            _ => Activation::Identity,
        };
        calls.push(Call { op, activation, write });
    }
    calls
}

impl<E: Element> Call<E> {
    /// As in messages.
    pub fn name(&self) -> String {
        let Call { op, activation, write } = self;
        let how = if write.add { "added" } else { "replaced" };
        format!("{} ({}, {how} times {})", op_name(*op), activation.name(), write.alpha)
    }

    /// What was there before: nothing that may survive, or what is added to.
    fn old(&self, values: &[E]) -> Vec<E> {
        if self.write.add { values.to_vec() } else { vec![E::NAN; values.len()] }
    }

    /// Makes the call and returns what it wrote. `layouts` as [`Case::layouts`].
    ///
    /// # Errors
    /// Those of [`LinearKernels`].
    pub fn carry_out<K: LinearKernels<E>>(
        &self,
        kernels: &mut K,
        case: &Case<E>,
        layouts: [Layout; 4],
    ) -> Result<Outputs<E>, Error> {
        let Shape { n, d, m } = case.shape;
        let &Call { op, activation, write } = self;
        let [of_x, of_w, of_y, of_dx] = layouts;
        let (x, w) = (Matrix::new(&case.x, n, d, of_x), Matrix::new(&case.w, d, m, of_w));
        let (saved, dy) = (Matrix::new(&case.saved, n, m, of_y), Matrix::new(&case.dy, n, m, of_x));
        let mut dx = Matrix::new(&self.old(&case.old_dx), n, d, of_dx);
        let mut dw = Matrix::new(&self.old(&case.w), d, m, of_w);
        let mut db = self.old(&case.bias);
        let saved = match activation.saves() {
            Saved::Nothing => None,
            _ => Some(saved.view()?),
        };
        let (x, w, dy) = (x.view()?, w.view()?, dy.view()?);
        match op {
            Op::Forward => {
                let nothing = vec![E::NAN; n * m];
                let (mut y, mut z) = (Matrix::new(&nothing, n, m, of_y), Matrix::new(&nothing, n, m, of_dx));
                let with_z = matches!(activation.saves(), Saved::PreActivation);
                let to_z = if with_z { Some(z.view_mut()?) } else { None };
                let bias = Some(&case.bias[..]).filter(|_| activation != Activation::Relu || n % 2 == 0);
                kernels.forward_with(Forward { x, w, bias, activation, y: y.view_mut()?, z: to_z })?;
                return Ok(if with_z { vec![("y", y), ("z", z)] } else { vec![("y", y)] });
            }
            Op::GradInput => {
                kernels.grad_input(dx.view_mut()?, dy, w, write)?;
                return Ok(vec![("dx", dx)]);
            }
            Op::GradParams => {
                kernels.grad_params(dw.view_mut()?, Some(&mut db), x, dy, write)?;
                return Ok(vec![("dw", dw), ("db", Matrix::new(&db, 1, m, Layout::Rows))]);
            }
            Op::Backward => {
                let (to_dx, to_dw) = (Some(dx.view_mut()?), Some(dw.view_mut()?));
                let (dx_write, params_write, to_db) = (write, write, Some(&mut db[..]));
                let wanted = Gradients { dx: to_dx, dx_write, dw: to_dw, db: to_db, params_write };
                kernels.backward(Backward { x, w, dy, activation, saved }, wanted)?;
            }
            Op::Step => {
                let (w, bias, dx) = (dw.view_mut()?, Some(&mut db[..]), Some(dx.view_mut()?));
                kernels.backward_step(Step { x, w, bias, dy, activation, saved, dx, lr: -write.alpha })?;
            }
        }
        Ok(vec![("dx", dx), ("dw", dw), ("db", Matrix::new(&db, 1, m, Layout::Rows))])
    }
}

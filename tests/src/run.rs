//! Carrying out a case, and comparing what came of it bit by bit.

use trine_core::{Backward, Element, Error, Forward, Gradients, LinearKernels, Step};

use crate::case::{Case, Op, Role};
use crate::operand::{Operand, Place, sentinel};
use crate::values::mix;

/// All operands of a case, before or after the call.
#[derive(Debug)]
pub struct Outcome<E> {
    operands: [Operand<E>; 7],
}

impl<E: Element> Outcome<E> {
    /// The operands as they are before the call. What it does not use is empty.
    pub fn before(case: &Case) -> Self {
        Self::with_sides(case, |role| if case.uses(role) { role.sides(case.shape) } else { (0, 0) })
    }

    /// The same with the shape of each operand given, for cases that have to be refused.
    pub fn with_sides(case: &Case, sides: impl Fn(Role) -> (usize, usize)) -> Self {
        let operands = Role::ALL.map(|role| {
            let (rows, cols) = sides(role);
            let place = if role == Role::Bias { Place::PLAIN } else { case.places[role as usize] };
            let layout = place.layout(rows, cols, case.writes(role));
            let first_row = if role.of_batch() { case.first_row } else { 0 };
            let seed = mix(case.seed ^ (role as u64) << 56);
            Operand::new(layout, &place, case.memory, |i, j| {
                if case.reads(role) {
                    case.values.value(mix(seed ^ ((i + first_row) as u64) << 28 ^ j as u64))
                } else {
                    E::NAN
                }
            })
        });
        Outcome { operands }
    }

    /// One of the operands.
    pub fn get(&self, role: Role) -> &Operand<E> {
        &self.operands[role as usize]
    }

    /// Gives an operand the elements that it has in `from`.
    pub fn copy(&mut self, role: Role, from: &Self) {
        let from = from.get(role).view();
        let mut to = self.operands[role as usize].view_mut();
        for i in 0..from.nrows() {
            for j in 0..from.ncols() {
                to.set(i, j, from.at(i, j));
            }
        }
    }

    /// Makes the call.
    ///
    /// # Errors
    /// What the implementation says; a case as it is drawn has none.
    pub fn call<K: LinearKernels<E>>(&mut self, case: &Case, kernels: &mut K) -> Result<(), Error> {
        let [x, w, y, z, dx, dw, bias] = &mut self.operands;
        let activation = case.activation;
        match case.op {
            Op::Forward => kernels.forward_with(Forward {
                x: x.view(),
                w: w.view(),
                bias: case.bias.then(|| bias.values()),
                activation,
                y: y.view_mut(),
                z: case.first_output.then(|| z.view_mut()),
            }),
            Op::Matmul => kernels.matmul(y.view_mut(), x.view(), w.view(), case.write()),
            Op::GradInput => kernels.grad_input(dx.view_mut(), y.view(), w.view(), case.write()),
            Op::GradParams => {
                let db = case.bias.then(|| bias.values_mut());
                kernels.grad_params(dw.view_mut(), db, x.view(), y.view(), case.params_write())
            }
            Op::Backward => {
                let saved = case.saved.then(|| z.view());
                let wanted = Gradients {
                    dx: case.first_output.then(|| dx.view_mut()),
                    dx_write: case.write(),
                    dw: case.second_output.then(|| dw.view_mut()),
                    db: case.bias.then(|| bias.values_mut()),
                    params_write: case.params_write(),
                };
                let given = Backward { x: x.view(), w: w.view(), dy: y.view(), activation, saved };
                kernels.backward(given, wanted)
            }
            Op::Step => kernels.backward_step(Step {
                x: x.view(),
                w: w.view_mut(),
                bias: case.bias.then(|| bias.values_mut()),
                dy: y.view(),
                activation,
                saved: case.saved.then(|| z.view()),
                dx: case.first_output.then(|| dx.view_mut()),
                lr: E::from_f64(case.params_write.alpha),
            }),
        }
    }

    /// Whether nothing was written between the elements.
    ///
    /// # Errors
    /// Which place of which operand was.
    pub fn gaps_intact(&self) -> Result<(), String> {
        for role in Role::ALL {
            let operand = self.get(role);
            let gaps = operand.gaps();
            for (place, &value) in operand.buffer().iter().enumerate().filter(|(place, _)| gaps[*place]) {
                if value.bits() != sentinel::<E>().bits() {
                    return Err(format!(
                        "{role:?}: {:#x} was written to place {place} of its buffer, which is no element of {:?}",
                        value.bits(),
                        operand.layout()
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Case {
    /// The operands after the call.
    ///
    /// # Panics
    /// If the implementation refuses it.
    pub fn run<E: Element, K: LinearKernels<E>>(&self, kernels: &mut K) -> Outcome<E> {
        let mut outcome = Outcome::before(self);
        if let Err(error) = outcome.call(self, kernels) {
            panic!("refused: {error}\n{self:?}");
        }
        outcome
    }
}

/// The same bits, or both not a number.
pub fn same<E: Element>(a: E, b: E) -> bool {
    let nan = |x: E| x.partial_cmp(&x).is_none();
    a.bits() == b.bits() || nan(a) && nan(b)
}

/// Whether the operands in `roles` have the same elements; row i of `found` is compared with row
/// `first_row + i` of `expected` where they are rows of the batch.
///
/// # Errors
/// The first element that differs, and how many do.
pub fn agree_rows<E: Element>(
    found: &Outcome<E>,
    expected: &Outcome<E>,
    roles: impl IntoIterator<Item = Role>,
    first_row: usize,
) -> Result<(), String> {
    for role in roles {
        let (a, b) = (found.get(role).view(), expected.get(role).view());
        let offset = if role.of_batch() { first_row } else { 0 };
        let (mut first, mut wrong) = (None, 0usize);
        for i in 0..a.nrows() {
            for j in 0..a.ncols() {
                if !same(a.at(i, j), b.at(i + offset, j)) {
                    first = first.or(Some((i, j)));
                    wrong += 1;
                }
            }
        }
        if let Some((i, j)) = first {
            let (a, b) = (a.at(i, j), b.at(i + offset, j));
            return Err(format!(
                "{role:?}[{i}, {j}] is {a:?} ({:#x}), expected {b:?} ({:#x}); {wrong} of its elements differ",
                a.bits(),
                b.bits()
            ));
        }
    }
    Ok(())
}

/// Whether all operands have the same elements, inputs included, and nothing lies between them that
/// was not there before.
///
/// # Errors
/// What differs.
pub fn agree<E: Element>(found: &Outcome<E>, expected: &Outcome<E>) -> Result<(), String> {
    agree_rows(found, expected, Role::ALL, 0)?;
    found.gaps_intact()
}

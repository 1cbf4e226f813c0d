//! One call, described completely: what quickcheck draws, shrinks and prints.

use quickcheck::{Arbitrary, Gen};
use trine_core::{Activation, Element, Saved, Shape, Write};

use crate::memory::Memory;
use crate::operand::{Order, Place};
use crate::sizes::arbitrary_shape;
use crate::values::Values;

/// A method of [`LinearKernels`](trine_core::LinearKernels).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// `Y = act(X·W + b)`.
    Forward,
    /// The product alone: `Y = alpha·X·W`.
    Matmul,
    /// `∇X = ∇Z·Wᵀ`.
    GradInput,
    /// `∇W = Xᵀ·∇Z`, `∇b = 1ᵀ·∇Z`.
    GradParams,
    /// All three from ∇Y.
    Backward,
    /// ∇X, and a step straight into W and b.
    Step,
}

impl Op {
    /// All of them.
    pub const ALL: [Op; 6] = [Op::Forward, Op::Matmul, Op::GradInput, Op::GradParams, Op::Backward, Op::Step];
}

/// How an engine cuts its operands. Results do not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blocks {
    /// As it sees fit.
    Chosen,
    /// As it sees fit, with a plan however small it is.
    Planned,
    /// As it sees fit, everything packed.
    Packed,
    /// As it sees fit, nothing packed that can be read as it is.
    Direct,
    /// One tile at a time, packed where it sees fit.
    Tiny,
    /// One tile at a time, everything packed.
    TinyPacked,
    /// One tile at a time, nothing packed that can be read as it is.
    TinyDirect,
}

impl Blocks {
    /// All of them.
    pub const ALL: [Blocks; 7] = [
        Blocks::Chosen,
        Blocks::Planned,
        Blocks::Packed,
        Blocks::Direct,
        Blocks::Tiny,
        Blocks::TinyPacked,
        Blocks::TinyDirect,
    ];
}

/// An operand. Y stands for its gradient too, Z for what the forward pass saved, the bias for ∇b.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// X, n×d.
    X,
    /// W, d×m.
    W,
    /// Y, ∇Y or ∇Z, n×m.
    Y,
    /// Z, or whatever was saved, n×m.
    Z,
    /// ∇X, n×d.
    Dx,
    /// ∇W, d×m.
    Dw,
    /// b or ∇b, 1×m.
    Bias,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 7] = [Role::X, Role::W, Role::Y, Role::Z, Role::Dx, Role::Dw, Role::Bias];

    /// Rows and columns in a layer of this shape.
    pub const fn sides(self, Shape { n, d, m }: Shape) -> (usize, usize) {
        match self {
            Role::X | Role::Dx => (n, d),
            Role::W | Role::Dw => (d, m),
            Role::Y | Role::Z => (n, m),
            Role::Bias => (1, m),
        }
    }

    /// Whether it has a row for each row of the batch.
    pub const fn of_batch(self) -> bool {
        matches!(self, Role::X | Role::Y | Role::Z | Role::Dx)
    }
}

/// One call.
#[derive(Clone, Debug)]
pub struct Case {
    /// The method.
    pub op: Op,
    /// Batch, in, out.
    pub shape: Shape,
    /// Number of the first row of the batch: the rows are those of a larger batch from there on.
    pub first_row: usize,
    /// Where each operand lies, by [`Role`]. The bias is always contiguous.
    pub places: [Place; 7],
    /// In what memory.
    pub memory: Memory,
    /// How ∇X, or the product, is written.
    pub write: Write<f64>,
    /// How ∇W and ∇b are written; its factor is also the learning rate of a step.
    pub params_write: Write<f64>,
    /// The activation.
    pub activation: Activation,
    /// Whether there is a bias (∇b).
    pub bias: bool,
    /// Whether forward writes Z, backward ∇X.
    pub first_output: bool,
    /// Whether backward writes ∇W.
    pub second_output: bool,
    /// Whether backward is given what the forward pass saved.
    pub saved: bool,
    /// What is in the operands.
    pub values: Values,
    /// Which of these numbers.
    pub seed: u64,
    /// Threads of the engine.
    pub threads: usize,
    /// How the engine cuts its operands.
    pub blocks: Blocks,
}

/// Every activation.
pub const ACTIVATIONS: [Activation; 7] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.01 },
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Gelu,
    Activation::Silu,
];

/// Multiply-adds of a random case at most.
const LIMIT: usize = 300_000;

impl Case {
    /// The same with operands in these orders.
    pub fn ordered(mut self, orders: &[(Role, Order)]) -> Case {
        for &(role, order) in orders {
            self.places[role as usize].order = order;
        }
        self
    }

    /// The plainest case of this shape.
    pub const fn plain(op: Op, n: usize, d: usize, m: usize) -> Case {
        Case {
            op,
            shape: Shape { n, d, m },
            first_row: 0,
            places: [Place::PLAIN; 7],
            memory: Memory::Plain,
            write: Write::REPLACE,
            params_write: Write::REPLACE,
            activation: Activation::Identity,
            bias: true,
            first_output: true,
            second_output: true,
            saved: true,
            values: Values::Uniform,
            seed: 1,
            threads: 1,
            blocks: Blocks::Chosen,
        }
    }

    /// The same call on some of the rows of its batch.
    #[must_use]
    pub fn rows(&self, rows: std::ops::Range<usize>) -> Case {
        let shape = Shape { n: rows.len(), ..self.shape };
        Case { shape, first_row: self.first_row + rows.start, ..self.clone() }
    }

    /// Whether this call writes to the operand.
    pub fn writes(&self, role: Role) -> bool {
        match (self.op, role) {
            (Op::Forward, Role::Y) | (Op::Matmul, Role::Y) => true,
            (Op::Forward, Role::Z) => self.first_output,
            (Op::GradInput, Role::Dx) => true,
            (Op::Backward | Op::Step, Role::Dx) => self.first_output,
            (Op::GradParams, Role::Dw) => true,
            (Op::Backward, Role::Dw) => self.second_output,
            (Op::Step, Role::W) => true,
            (Op::GradParams | Op::Backward | Op::Step, Role::Bias) => self.bias,
            _ => false,
        }
    }

    /// Whether the call has anything to do with the operand.
    pub fn uses(&self, role: Role) -> bool {
        match (self.op, role) {
            (Op::Forward | Op::GradParams | Op::Backward | Op::Step, Role::Bias) => self.bias,
            (Op::Backward | Op::Step, Role::Z) => self.saved,
            (Op::GradInput, Role::X) | (Op::GradParams, Role::W) => false,
            (_, Role::X | Role::W | Role::Y) => true,
            _ => self.writes(role),
        }
    }

    /// Whether what an operand holds before the call matters. Where it does not, it is NaN.
    pub fn reads(&self, role: Role) -> bool {
        if !self.writes(role) {
            return true;
        }
        match (self.op, role) {
            (Op::Step, Role::W | Role::Bias) => true,
            (Op::Step | Op::Forward, _) => false,
            (_, Role::Y | Role::Dx) => self.write.add,
            _ => self.params_write.add,
        }
    }

    /// How ∇X, or the product, is written.
    pub fn write<E: Element>(&self) -> Write<E> {
        Write { add: self.write.add, alpha: E::from_f64(self.write.alpha) }
    }

    /// How ∇W and ∇b are written.
    pub fn params_write<E: Element>(&self) -> Write<E> {
        Write { add: self.params_write.add, alpha: E::from_f64(self.params_write.alpha) }
    }
}

fn arbitrary_write(g: &mut Gen) -> Write<f64> {
    let alphas = [1.0, 1.0, 1.0, -1.0, 0.5, -0.01, 0.0, -0.0, 3e-39, f64::INFINITY, f64::NAN];
    Write { add: bool::arbitrary(g), alpha: *g.choose(&alphas).expect("factors") }
}

impl Arbitrary for Case {
    fn arbitrary(g: &mut Gen) -> Self {
        let memories = [Memory::Plain, Memory::Plain, Memory::GuardBefore, Memory::GuardBehind];
        let plain = bool::arbitrary(g);
        let activation = *g.choose(&ACTIVATIONS).expect("activations");
        Case {
            op: *g.choose(&Op::ALL).expect("methods"),
            shape: arbitrary_shape(g, LIMIT),
            first_row: 0,
            places: [(); 7].map(|()| if plain { Place::PLAIN } else { Place::arbitrary(g) }),
            memory: *g.choose(&memories).expect("memories"),
            write: arbitrary_write(g),
            params_write: arbitrary_write(g),
            activation,
            bias: bool::arbitrary(g),
            first_output: u8::arbitrary(g) % 4 != 0,
            second_output: u8::arbitrary(g) % 4 != 0,
            saved: activation.saves() != Saved::Nothing || bool::arbitrary(g),
            values: Values::arbitrary(g),
            seed: u64::arbitrary(g) % 1000,
            threads: 1 + usize::arbitrary(g) % 3,
            blocks: *g.choose(&Blocks::ALL).expect("blocks"),
        }
    }

    /// Halves a side or takes one off it, or makes one thing plain.
    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let mut simpler = Vec::new();
        let Shape { n, d, m } = self.shape;
        for less in [|side: usize| side / 2, |side: usize| side.saturating_sub(1)] {
            for shape in [Shape { n: less(n), d, m }, Shape { n, d: less(d), m }, Shape { n, d, m: less(m) }]
            {
                if shape != self.shape {
                    simpler.push(Case { shape, ..self.clone() });
                }
            }
        }
        if self.seed > 1 {
            simpler.push(Case { seed: 1, ..self.clone() });
        }
        if self.threads > 1 {
            simpler.push(Case { threads: 1, ..self.clone() });
        }
        if self.blocks != Blocks::Chosen {
            simpler.push(Case { blocks: Blocks::Chosen, ..self.clone() });
        }
        if self.memory != Memory::Plain {
            simpler.push(Case { memory: Memory::Plain, ..self.clone() });
        }
        // By bits: NaN is not itself.
        let plain = |write: Write<f64>| !write.add && write.alpha.to_bits() == 1f64.to_bits();
        if !plain(self.write) {
            simpler.push(Case { write: Write::REPLACE, ..self.clone() });
        }
        if !plain(self.params_write) {
            simpler.push(Case { params_write: Write::REPLACE, ..self.clone() });
        }
        if self.activation != Activation::Identity {
            simpler.push(Case { activation: Activation::Identity, ..self.clone() });
        }
        if self.bias {
            simpler.push(Case { bias: false, ..self.clone() });
        }
        simpler.extend(self.values.shrink().map(|values| Case { values, ..self.clone() }));
        for role in 0..self.places.len() {
            simpler.extend(self.places[role].shrink().map(|place| {
                let mut case = self.clone();
                case.places[role] = place;
                case
            }));
        }
        Box::new(simpler.into_iter())
    }
}

//! Products of many shapes and strides, compared bit by bit with sums that are written down here: the order
//! of additions, and nothing else.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use trine_core::{Fused, K_BLOCK, Lanes, LinearKernels, MatMut, MatRef, Rng, Write};
use trine_cortex_m::output::Output;
use trine_kernels::{Engine, Isa};

/// Values in each operand.
const ROOM: usize = 4096;

/// A product: sides, strides of A, B and C, how it is written.
#[derive(Clone, Copy)]
struct Case {
    sides: [usize; 3],
    strides: [[usize; 2]; 3],
    write: Write<f32>,
}

impl Case {
    /// By rows, by columns, or neither.
    fn new(sides: [usize; 3], orders: [usize; 3], write: Write<f32>) -> Self {
        let [n, d, m] = sides;
        let strides = |rows: usize, cols: usize, order| match order {
            0 => [cols + 1, 1],
            1 => [1, rows],
            _ => [2 * cols + 1, 2],
        };
        let [a, b, c] = orders;
        Case { sides, strides: [strides(n, d, a), strides(d, m, b), strides(n, m, c)], write }
    }

    /// Element (i, j) of the result.
    fn expected(&self, [a, b, c]: [&[f32; ROOM]; 3], i: usize, j: usize) -> f32 {
        let at = |values: &[f32; ROOM], operand: usize, i: usize, j: usize| {
            let [row, col] = self.strides.get(operand).copied().unwrap_or_default();
            values.get(i * row + j * col).copied().unwrap_or(f32::NAN)
        };
        let mut out = self.write.add.then(|| at(c, 2, i, j));
        for from in (0..self.sides[1]).step_by(K_BLOCK) {
            let mut p = 0.0;
            for k in from..self.sides[1].min(from + K_BLOCK) {
                p = Fused.mul_add(at(a, 0, i, k), at(b, 1, k, j), p);
            }
            out = Some(out.map_or(self.write.alpha * p, |out| Fused.mul_add(self.write.alpha, p, out)));
        }
        out.unwrap_or(0.0)
    }

    /// Whether an engine agrees: in every place of C, those that are no element included.
    fn holds(&self, [a, b, c]: [&[f32; ROOM]; 3], found: &mut [f32; ROOM]) -> bool {
        *found = *c;
        let [n, d, m] = self.sides;
        let [[ar, ac], [br, bc], [cr, cc]] = self.strides;
        let done = Engine::with_scratch(Isa::Portable, &mut []).and_then(|mut engine| {
            let (a, b) = (MatRef::with_strides(a, n, d, ar, ac)?, MatRef::with_strides(b, d, m, br, bc)?);
            engine.matmul(MatMut::with_strides(found, n, m, cr, cc)?, a, b, self.write)
        });
        let mut same = done.is_ok();
        for i in 0..n {
            for j in 0..m {
                let Some(found) = found.get_mut(i * cr + j * cc) else { return false };
                same &= found.to_bits() == self.expected([a, b, c], i, j).to_bits();
                // What is left has to be as it was.
                *found = c.get(i * cr + j * cc).copied().unwrap_or(f32::NAN);
            }
        }
        same && found.iter().zip(c).all(|(found, c)| found.to_bits() == c.to_bits())
    }
}

#[entry]
fn main() -> ! {
    static mut OPERANDS: [[f32; ROOM]; 4] = [[0.0; ROOM]; 4];
    let (mut out, mut rng) = (Output::new(), Rng::new(1));
    for value in OPERANDS.as_flattened_mut() {
        // Of many magnitudes, so that every addition rounds.
        *value = (rng.uniform() - 0.5) as f32 * (1 << rng.below(20)) as f32;
    }
    let [a, b, c, found] = OPERANDS;
    let writes = [Write::REPLACE, Write::ADD, Write::ADD.times(-0.3), Write::REPLACE.times(0.7)];
    let (mut cases, mut wrong) = (0, 0);
    let mut check = |sides, number: usize| {
        let orders = [number % 3, number / 3 % 3, number / 9 % 3];
        let write = writes.get(number / 27 % 4).copied().unwrap_or(Write::REPLACE);
        cases += 1;
        wrong += u32::from(!Case::new(sides, orders, write).holds([a, b, c], found));
    };
    for n in 1..=9 {
        for m in 1..=9 {
            for d in [0, 1, 2, 3, 8] {
                // Every order and write comes to each kind of shape.
                for turn in 0..4 {
                    check([n, d, m], 31 * n + 17 * m + 7 * d + 29 * turn);
                }
            }
        }
    }
    for number in 0..108 {
        check([5, 9, 7], number);
        check([4, 6, 4], number);
    }
    for number in 0..9 {
        check([3, K_BLOCK + 5, 2], 3 * number + 1);
    }
    out.text("cases").number(cases, 6).text(" wrong").number(wrong, 6).text("\n");
    out.end(wrong == 0)
}

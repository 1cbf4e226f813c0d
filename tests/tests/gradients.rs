//! Backward against forward: central differences in f64.
//!
//! With C any fixed matrix and L = Σ C ⊙ Y, ∇Y is C, and ∇X, ∇W, ∇b are the derivatives of L. Each
//! of them is compared with (L(θ + h) − L(θ − h))/2h, whose error is of order h².

use trine_core::{
    Activation, Backward, Element, Forward, Gradients, LinearKernels, MatMut, MatRef, Saved, Write,
};
use trine_tests::case::ACTIVATIONS;
use trine_tests::values::{mix, uniform};
use trine_tests::{Case, Op, Property, hold_in};

const H: f64 = 1e-5;
const TOLERANCE: f64 = 1e-8;

struct Layer {
    sides: [usize; 3],
    x: Vec<f64>,
    w: Vec<f64>,
    bias: Vec<f64>,
    cotangent: Vec<f64>,
    activation: Activation,
}

/// An f64 as any element; only f64 is tested, the tolerance is its own.
fn cast<A: Element, B: Element>(values: &[A]) -> Vec<B> {
    values.iter().map(|x| B::from_f64(x.to_f64())).collect()
}

impl Layer {
    fn new(case: &Case, seed: u64) -> Self {
        let [n, d, m] = [case.shape.n, case.shape.d, case.shape.m];
        let random = |len: usize, role: u64| -> Vec<f64> {
            (0..len as u64).map(|i| uniform(mix(mix(seed << 8 | role) ^ i))).collect()
        };
        Layer {
            sides: [n, d, m],
            x: random(n * d, 0),
            w: random(d * m, 1),
            bias: random(m, 2),
            cotangent: random(n * m, 3),
            activation: case.activation,
        }
    }

    /// Y and Z.
    fn forward<E: Element, K: LinearKernels<E>>(&self, kernels: &mut K) -> (Vec<E>, Vec<E>) {
        let [n, d, m] = self.sides;
        let (x, w, bias) = (cast::<_, E>(&self.x), cast::<_, E>(&self.w), cast::<_, E>(&self.bias));
        let (mut y, mut z) = (vec![E::NAN; n * m], vec![E::NAN; n * m]);
        let forward = Forward {
            x: MatRef::row_major(&x, n, d).unwrap(),
            w: MatRef::row_major(&w, d, m).unwrap(),
            bias: Some(&bias),
            activation: self.activation,
            y: MatMut::row_major(&mut y, n, m).unwrap(),
            z: Some(MatMut::row_major(&mut z, n, m).unwrap()),
        };
        kernels.forward_with(forward).unwrap();
        (y, z)
    }

    /// L(θ + h) − L(θ − h) over 2h, for one of the numbers.
    fn difference<E: Element, K: LinearKernels<E>>(
        &mut self,
        kernels: &mut K,
        parameter: impl Fn(&mut Self) -> &mut f64,
    ) -> f64 {
        let old = *parameter(self);
        let mut loss = |layer: &mut Self, theta: f64| -> f64 {
            *parameter(layer) = theta;
            let (y, _) = layer.forward::<E, K>(kernels);
            y.iter().zip(&layer.cotangent).map(|(y, c)| y.to_f64() * c).sum()
        };
        let (above, below) = (loss(self, old + H), loss(self, old - H));
        *parameter(self) = old;
        (above - below) / (2.0 * H)
    }

    /// ∇X, ∇W and ∇b.
    fn backward<E: Element, K: LinearKernels<E>>(&self, kernels: &mut K, y: &[E], z: &[E]) -> [Vec<E>; 3] {
        let [n, d, m] = self.sides;
        let (x, w, dy) = (cast::<_, E>(&self.x), cast::<_, E>(&self.w), cast::<_, E>(&self.cotangent));
        let (mut dx, mut dw, mut db) = (vec![E::NAN; n * d], vec![E::NAN; d * m], vec![E::NAN; m]);
        let saved = match self.activation.saves() {
            Saved::Nothing => None,
            Saved::Output => Some(MatRef::row_major(y, n, m).unwrap()),
            Saved::PreActivation => Some(MatRef::row_major(z, n, m).unwrap()),
        };
        let given = Backward {
            x: MatRef::row_major(&x, n, d).unwrap(),
            w: MatRef::row_major(&w, d, m).unwrap(),
            dy: MatRef::row_major(&dy, n, m).unwrap(),
            activation: self.activation,
            saved,
        };
        let wanted = Gradients {
            dx: Some(MatMut::row_major(&mut dx, n, d).unwrap()),
            dx_write: Write::REPLACE,
            dw: Some(MatMut::row_major(&mut dw, d, m).unwrap()),
            db: Some(&mut db),
            params_write: Write::REPLACE,
        };
        kernels.backward(given, wanted).unwrap();
        [dx, dw, db]
    }
}

struct Differences;

impl Property for Differences {
    fn check<E: Element, K: LinearKernels<E>>(case: &Case, kernels: &mut K) -> Result<(), String> {
        if E::NAME != "f64" {
            return Ok(());
        }
        // Away from the kink of the rectifiers, where there is no derivative to compare with.
        let (mut layer, (y, z)) = (0..1000)
            .map(|attempt| {
                let layer = Layer::new(case, case.seed + attempt);
                let saved = layer.forward::<E, K>(kernels);
                (layer, saved)
            })
            .find(|(_, (_, z))| z.iter().all(|z| z.to_f64().abs() > 100.0 * H))
            .ok_or("no layer without a value at the kink")?;
        let [dx, dw, db] = layer.backward::<E, K>(kernels, &y, &z);
        type Parameter = fn(&mut Layer) -> &mut Vec<f64>;
        let parameters: [(&str, Vec<E>, Parameter); 3] = [
            ("dx", dx, |layer| &mut layer.x),
            ("dw", dw, |layer| &mut layer.w),
            ("db", db, |layer| &mut layer.bias),
        ];
        for (name, gradient, parameter) in parameters {
            for (index, found) in gradient.iter().enumerate() {
                let expected = layer.difference::<E, K>(kernels, |layer| &mut parameter(layer)[index]);
                let error = (found.to_f64() - expected).abs();
                // Written so that NaN does not pass.
                if !matches!(
                    error.partial_cmp(&(TOLERANCE * expected.abs().max(1.0))),
                    Some(std::cmp::Ordering::Less)
                ) {
                    return Err(format!("{name}[{index}] is {found:?}, by differences {expected}"));
                }
            }
        }
        Ok(())
    }
}

#[test]
fn backward_is_the_derivative_of_forward() {
    let shapes = [(1, 1, 1), (3, 4, 5), (5, 3, 2), (2, 7, 9), (9, 2, 3)];
    hold_in::<Differences>(ACTIVATIONS.into_iter().flat_map(|activation| {
        shapes.map(|(n, d, m)| Case { activation, ..Case::plain(Op::Backward, n, d, m) })
    }));
}

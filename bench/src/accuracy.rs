//! `trine error`: how far products are from the exact ones, the engine's and its peers'.
//!
//! An error is counted in units in the last place of the row norm: of the number ‖aᵢ‖·‖bⱼ‖, row i of A and
//! column j of B, which bounds what the sum can be (Cauchy and Schwarz). Unlike the relative error it does
//! not grow without limit where a sum cancels.
//!
//! The exact value is a sum in f64 for f32, whose products f64 holds exactly, and for f64 one in twice the
//! precision (T. Ogita, S. Rump, S. Oishi 2005, Dot2).

use trine_core::{Element, Error, LinearKernels, MatMut, MatRef, Reference, Rng, Shape, Unfused, Write};
use trine_kernels::{Composed, Engine, GemmCrate, Isa};

use crate::Failure;
use crate::cblas::Cblas;
#[cfg(feature = "faer")]
use crate::faer_crate::Faer;
use crate::peer::Peer;
use crate::products::{MatrixMultiply, Scalar};

pub mod args;

/// What is in the operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Evenly from −1 to 1: sums cancel.
    Mixed,
    /// Evenly from 0 to 1: sums grow, and with them the rounding errors.
    Positive,
}

impl Numbers {
    /// All of them.
    pub const ALL: [Numbers; 2] = [Numbers::Mixed, Numbers::Positive];

    /// As in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Numbers::Mixed => "−1…1",
            Numbers::Positive => "0…1",
        }
    }

    fn draw<E: Element>(self, len: usize, seed: u64) -> Vec<E> {
        let mut rng = Rng::keyed(seed, &[len as u64]);
        let mut next = || match self {
            Numbers::Mixed => 2.0 * rng.uniform() - 1.0,
            Numbers::Positive => rng.uniform(),
        };
        (0..len).map(|_| E::from_f64(next())).collect()
    }
}

/// A product whose exact value is known.
#[derive(Debug)]
pub struct Known<E> {
    shape: Shape,
    a: Vec<E>,
    b: Vec<E>,
    /// Head and tail of each exact element.
    exact: Vec<(f64, f64)>,
    /// The unit of each element.
    units: Vec<f64>,
}

/// a + b and what is lost of it (D. Knuth 1969).
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

/// The sum of products in about twice the precision of f64.
fn exact_dot(terms: impl Iterator<Item = (f64, f64)>) -> (f64, f64) {
    let (mut head, mut tail) = (0.0, 0.0);
    for (a, b) in terms {
        let product = a * b;
        let (sum, lost) = two_sum(head, product);
        (head, tail) = (sum, tail + lost + a.mul_add(b, -product));
    }
    two_sum(head, tail)
}

/// The distance of neighbouring numbers at x.
fn unit_at<E: Element>(x: f64) -> f64 {
    if x == 0.0 { f64::MIN_POSITIVE } else { 2f64.powi(x.log2().floor() as i32 + 1 - E::DIGITS as i32) }
}

impl<E: Scalar> Known<E> {
    /// A of n×d times B of d×m.
    pub fn new(shape: Shape, numbers: Numbers, seed: u64) -> Self {
        let Shape { n, d, m } = shape;
        let (a, b) = (numbers.draw::<E>(n * d, seed), numbers.draw::<E>(d * m, seed ^ 1));
        let terms = |i: usize, j: usize| {
            let (a, b) = (&a, &b);
            (0..d).map(move |k| (a[i * d + k].to_f64(), b[k * m + j].to_f64()))
        };
        let norm =
            |values: &mut dyn Iterator<Item = E>| values.map(|v| v.to_f64().powi(2)).sum::<f64>().sqrt();
        let rows: Vec<f64> = (0..n).map(|i| norm(&mut a[i * d..][..d].iter().copied())).collect();
        let columns: Vec<f64> = (0..m).map(|j| norm(&mut (0..d).map(|k| b[k * m + j]))).collect();
        let places = || (0..n).flat_map(|i| (0..m).map(move |j| (i, j)));
        let exact = places().map(|(i, j)| exact_dot(terms(i, j))).collect();
        let units = places().map(|(i, j)| unit_at::<E>(rows[i] * columns[j])).collect();
        Known { shape, a, b, exact, units }
    }

    /// The errors of a product, element by element, in units of the row norm.
    ///
    /// # Errors
    /// Those of the product.
    pub fn errors(&self, product: &mut Product<E>) -> Result<Vec<f64>, Error> {
        let Shape { n, d, m } = self.shape;
        let mut c = vec![E::NAN; n * m];
        let (a, b) = (MatRef::row_major(&self.a, n, d)?, MatRef::row_major(&self.b, d, m)?);
        product(MatMut::row_major(&mut c, n, m)?, a, b)?;
        let error = |(c, (head, tail)): (&E, &(f64, f64))| ((c.to_f64() - head) - tail).abs();
        Ok(c.iter().zip(&self.exact).map(error).zip(&self.units).map(|(error, unit)| error / unit).collect())
    }
}

/// `C = A·B`.
pub type Product<E> = dyn FnMut(MatMut<'_, E>, MatRef<'_, E>, MatRef<'_, E>) -> Result<(), Error>;

/// A product with the name it has in the table.
pub type Named<E> = (String, Box<Product<E>>);

fn product_of<E: Scalar>(mut kernels: impl LinearKernels<E> + 'static) -> Box<Product<E>> {
    Box::new(move |c, a, b| kernels.matmul(c, a, b, Write::REPLACE))
}

/// The engine's product and its peers', with names. Libraries are opened in this process, for their time is
/// not taken.
///
/// # Errors
/// Why one cannot be used.
pub fn products<E: Scalar>(isa: Isa, peers: &[Peer]) -> Result<Vec<Named<E>>, Failure> {
    let mut products = vec![(format!("trine, {isa}"), product_of::<E>(Engine::with_isa(isa)?))];
    for peer in peers {
        let product = match peer {
            Peer::Naive => product_of::<E>(Reference(Unfused)),
            Peer::Gemm => product_of::<E>(GemmCrate::new(1)),
            Peer::MatrixMultiply => product_of::<E>(Composed::of(MatrixMultiply)),
            #[cfg(feature = "faer")]
            Peer::Faer => product_of::<E>(Composed::of(Faer::new(1))),
            #[cfg(not(feature = "faer"))]
            Peer::Faer => return Err("faer was left out: cargo run --release --features faer".into()),
            Peer::Cblas { library, .. } => {
                product_of::<E>(Composed::of(Cblas::<E>::open(library.as_os_str())?.0))
            }
        };
        products.push((peer.name().into(), product));
    }
    Ok(products)
}

/// Median and worst of some errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Half of the errors are no larger.
    pub median: f64,
    /// The largest, and NaN if there is one.
    pub worst: f64,
}

impl Spread {
    /// Of at least one error; zeros of none.
    pub fn of(mut errors: Vec<f64>) -> Self {
        errors.sort_by(f64::total_cmp);
        let median = errors.get(errors.len() / 2).copied().unwrap_or(0.0);
        Spread { median, worst: errors.last().copied().unwrap_or(0.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_sum_is_exact() {
        let big = 2f64.powi(60);
        let terms = [(big, 1.0), (1.0, 2f64.powi(-50)), (-big, 1.0)];
        assert_eq!(exact_dot(terms.into_iter()), (2f64.powi(-50), 0.0));
        // (1 + ε)² − 1 − 2ε = ε², which a product in f64 has lost.
        let x = 1.0 + f64::EPSILON;
        let square = [(x, x), (-1.0, 1.0), (-2.0, f64::EPSILON)];
        let (head, tail) = exact_dot(square.into_iter());
        assert_eq!(head + tail, f64::EPSILON * f64::EPSILON);
    }

    #[test]
    fn units_are_those_of_the_type() {
        assert_eq!(unit_at::<f32>(1.0), f64::from(f32::EPSILON));
        assert_eq!(unit_at::<f32>(3.9), 2.0 * f64::from(f32::EPSILON));
        assert_eq!(unit_at::<f64>(0.5), f64::EPSILON / 2.0);
    }

    #[test]
    fn the_engine_stays_within_its_bound_and_a_wrong_product_does_not() {
        for numbers in Numbers::ALL {
            let known = Known::<f32>::new(Shape { n: 5, d: 1100, m: 7 }, numbers, 3);
            let mut engine = product_of::<f32>(Engine::new());
            let errors = known.errors(engine.as_mut()).expect("fits");
            // 512 roundings within a block and 3 of blocks, each of no more than a unit: partial sums are no
            // larger than the norm.
            assert!(errors.iter().all(|&error| error <= 515.0), "{errors:?}");
            assert!(errors.iter().any(|&error| error > 0.0), "exact by chance");
            let mut off = move |mut c: MatMut<'_, f32>, a: MatRef<'_, f32>, b: MatRef<'_, f32>| {
                engine(c.reborrow(), a, b)?;
                c.set(4, 6, c.at(4, 6) + 1.0);
                Ok(())
            };
            let worst = Spread::of(known.errors(&mut off).expect("fits")).worst;
            assert!(worst > 600.0, "{worst}");
        }
    }
}

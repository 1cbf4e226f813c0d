//! The command line of `trine error`, and its table.

use clap::Args;
use trine_core::Shape;
use trine_kernels::Isa;

use super::{Known, Numbers, Spread, products};
use crate::cli::Dtype;
use crate::peer::{Peer, distinct};
use crate::products::Scalar;
use crate::{Failure, shape};

/// Shapes where none are given: sums from short to long, outputs of no particular size.
const SHAPES: [(usize, usize, usize); 9] = [
    (64, 16, 64),
    (37, 53, 41),
    (64, 64, 64),
    (64, 256, 64),
    (64, 512, 64),
    (64, 784, 512),
    (64, 1024, 64),
    (48, 4096, 48),
    (24, 16384, 24),
];

/// Measures how far products are from the exact ones
///
/// Median and worst error of the elements of A·B, in units in the last place of ‖row of A‖·‖column of B‖, for
/// numbers evenly from −1 to 1 and from 0 to 1. The exact product is a sum in f64 for f32, in twice the
/// precision for f64.
#[derive(Debug, Args)]
pub struct ErrorArgs {
    /// A shape NxDxM: A is N×D, B is D×M; may be repeated
    #[arg(long, value_parser = shape::parse, value_name = "NxDxM")]
    shape: Vec<Shape>,
    /// Element types
    #[arg(long, value_enum, value_delimiter = ',', default_value = "f32,f64")]
    dtype: Vec<Dtype>,
    /// Who else is measured: as `bench --peers`
    #[arg(
        long,
        visible_alias = "peer",
        value_delimiter = ',',
        default_value = "naive,gemm",
        value_name = "PEER"
    )]
    peers: Vec<Peer>,
    /// Decides the numbers
    #[arg(long, default_value = "1")]
    seed: u64,
}

impl ErrorArgs {
    /// Prints a table for each element type.
    ///
    /// # Errors
    /// A peer that cannot be used or that fails.
    pub fn run(&self, isa: Isa) -> Result<(), Failure> {
        distinct(&self.peers)?;
        for dtype in &self.dtype {
            match dtype {
                Dtype::F32 => self.table::<f32>(isa)?,
                Dtype::F64 => self.table::<f64>(isa)?,
            }
        }
        Ok(())
    }

    fn shapes(&self) -> Vec<Shape> {
        match self.shape.is_empty() {
            true => SHAPES.map(|(n, d, m)| Shape { n, d, m }).to_vec(),
            false => self.shape.clone(),
        }
    }

    fn table<E: Scalar>(&self, isa: Isa) -> Result<(), Failure> {
        let mut products = products::<E>(isa, &self.peers)?;
        let names: Vec<_> = products.iter().map(|(name, _)| name.as_str()).collect();
        println!("\n{}: median / worst error, in units in the last place of the row norm\n", E::NAME);
        println!("| n×d×m | numbers | {} |", names.join(" | "));
        println!("|---|---|{}", "---|".repeat(names.len()));
        let mut all = vec![Vec::new(); products.len()];
        for shape in self.shapes() {
            for numbers in Numbers::ALL {
                let known = Known::<E>::new(shape, numbers, self.seed);
                let mut cells = Vec::new();
                for ((_, product), all) in products.iter_mut().zip(&mut all) {
                    let errors = known.errors(product.as_mut())?;
                    all.extend_from_slice(&errors);
                    cells.push(cell(Spread::of(errors)));
                }
                println!("| {} | {} | {} |", shape::name(shape), numbers.name(), cells.join(" | "));
            }
        }
        let cells: Vec<_> = all.into_iter().map(|errors| cell(Spread::of(errors))).collect();
        println!("| all elements | | {} |", cells.join(" | "));
        Ok(())
    }
}

fn cell(Spread { median, worst }: Spread) -> String {
    format!("{median:.3} / {worst:.2}")
}

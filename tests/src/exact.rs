//! The oracle: what the reference computes, for every engine to be held against.

use trine_core::{Element, LinearKernels, Rounding};
use trine_kernels::Supported;

use crate::case::Case;
use crate::property::{Statement, isas, rounding, with_engine};
use crate::run::agree;
use crate::volume::expected;

/// Whether an implementation gives the bits of the reference of its rounding, in all operands, and leaves what is between
/// their elements alone.
///
/// # Errors
/// Where it does not.
pub fn same_bits<E: Element, K: LinearKernels<E>>(case: &Case, kernels: &mut K) -> Result<(), String> {
    let found = case.run::<E, _>(kernels);
    agree(&found, &expected(case, rounding::<E, _>(kernels)))
}

/// Whether the engine of every instruction set gives the bits of the reference of its rounding,
/// in all operands, and leaves what is between their elements alone.
///
/// # Errors
/// Which does not, and where.
pub fn exact<E: Supported>(case: &Case) -> Result<(), String> {
    let (mut fused, mut unfused) = (None, None);
    for isa in isas() {
        with_engine::<E, _>(isa, case, |engine| {
            let expected = match rounding::<E, _>(engine) {
                Rounding::Fused => fused.get_or_insert_with(|| expected(case, Rounding::Fused)),
                Rounding::Unfused => unfused.get_or_insert_with(|| expected(case, Rounding::Unfused)),
            };
            agree(&case.run::<E, _>(engine), expected)
        })
        .map_err(|why| format!("engine on {isa}: {why}"))?;
    }
    Ok(())
}

/// The same for both element types.
pub const EXACT: [(&str, Statement); 2] = [("f32", exact::<f32>), ("f64", exact::<f64>)];

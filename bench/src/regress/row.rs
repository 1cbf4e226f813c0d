//! What is measured, as one name: `op/dtype/shape/isa`.

use std::fmt;
use std::str::FromStr;

use trine_core::Shape;
use trine_kernels::{Isa, Op};

use crate::cli::Dtype;
use crate::shape;
use crate::workload::{op_name, parse_op};

/// One operation at one shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The operation.
    pub op: Op,
    /// The element type.
    pub dtype: Dtype,
    /// The shape.
    pub shape: Shape,
    /// The instruction set of the engine.
    pub isa: Isa,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { op, dtype, shape, isa } = *self;
        let text = format!("{}/{}/{}/{isa}", op_name(op), dtype.name(), shape::argument(shape));
        f.pad(&text)
    }
}

impl FromStr for Row {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a row: expected op/dtype/shape/isa, as in fwd/f32/64x64x64/avx2");
        let [op, dtype, sides, isa] = text.split('/').collect::<Vec<_>>().try_into().map_err(|_| wrong())?;
        let dtype = match dtype {
            "f32" => Dtype::F32,
            "f64" => Dtype::F64,
            _ => return Err(wrong()),
        };
        Ok(Row {
            op: parse_op(op)?,
            dtype,
            shape: shape::parse(sides)?,
            isa: isa.parse().map_err(|_| wrong())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let row =
            Row { op: Op::GradParams, dtype: Dtype::F64, shape: Shape { n: 1, d: 2, m: 3 }, isa: Isa::Neon };
        assert_eq!(row.to_string(), "dw/f64/1x2x3/neon");
        assert_eq!(row.to_string().parse(), Ok(row));
        for text in [
            "",
            "dw/f64/1x2x3",
            "dw/f16/1x2x3/avx2",
            "up/f64/1x2x3/avx2",
            "dw/f64/1x2/avx2",
            "dw/f64/1x2x3/mmx",
        ] {
            assert!(text.parse::<Row>().is_err(), "{text}");
        }
    }
}

//! Shapes as people write them: `64x784x512` on the command line, `64 784 512` in a file.

use std::path::PathBuf;

use clap::Args;
use trine_core::Shape;

use crate::{Failure, files};

/// Shapes on the command line.
#[derive(Debug, Args)]
pub struct ShapeArgs {
    /// A shape NxDxM (batch, in, out); may be repeated
    #[arg(long, value_parser = measurable, value_name = "NxDxM")]
    shape: Vec<Shape>,
    /// A file of shapes, one `n d m` a line, # for comments
    #[arg(long, value_name = "FILE")]
    shapes: Option<PathBuf>,
}

impl ShapeArgs {
    /// All of them, those of the file last.
    ///
    /// # Errors
    /// A file that cannot be read or is no file of shapes.
    pub fn read(&self) -> Result<Vec<Shape>, Failure> {
        let mut shapes = self.shape.clone();
        if let Some(path) = &self.shapes {
            shapes.extend(files::parse(path, parse_file)?);
        }
        Ok(shapes)
    }
}

/// Shapes of their sides, for tables of constants.
pub const fn shapes<const N: usize>(sides: [(usize, usize, usize); N]) -> [Shape; N] {
    let mut shapes = [Shape { n: 0, d: 0, m: 0 }; N];
    let mut i = 0;
    while i < N {
        let (n, d, m) = sides[i];
        shapes[i] = Shape { n, d, m };
        i += 1;
    }
    shapes
}

/// As in reports: `64×784×512`.
pub fn name(shape: Shape) -> String {
    format!("{}×{}×{}", shape.n, shape.d, shape.m)
}

/// As an argument of the program, the inverse of [`parse`]: `64x784x512`.
pub fn argument(shape: Shape) -> String {
    format!("{}x{}x{}", shape.n, shape.d, shape.m)
}

/// Reads `NxDxM` (batch, in, out; `×` is taken as well).
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse(text: &str) -> Result<Shape, String> {
    sides(text.split(['x', 'X', '×']))
        .ok_or_else(|| format!("`{text}` is not a shape: expected NxDxM (batch, in, out), as in 64x784x512"))
}

/// Reads a shape at which there is something to measure: [`parse`], and no side is 0.
///
/// # Errors
/// A sentence that says what was expected.
pub fn measurable(text: &str) -> Result<Shape, String> {
    let shape = parse(text)?;
    if shape.n.min(shape.d).min(shape.m) > 0 {
        return Ok(shape);
    }
    Err(format!("`{text}` has no multiply-add to measure: every side must be at least 1"))
}

/// Reads a file of shapes: one `n d m` a line; what follows a `#` is a comment.
///
/// # Errors
/// A sentence that names the first line that is not a shape, or says that there is none at all.
pub fn parse_file(text: &str) -> Result<Vec<Shape>, String> {
    let mut shapes = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let shape = sides(line.split_whitespace()).filter(|shape| shape.n.min(shape.d).min(shape.m) > 0);
        shapes.push(shape.ok_or_else(|| {
            format!("line {}: expected three numbers `n d m`, none of them 0, found `{line}`", i + 1)
        })?);
    }
    if shapes.is_empty() { Err("there is no shape in it".into()) } else { Ok(shapes) }
}

/// Three whole numbers whose products can be counted, and nothing more.
fn sides<'a>(mut parts: impl Iterator<Item = &'a str>) -> Option<Shape> {
    let mut side = || parts.next()?.trim().parse::<u32>().ok().map(|side| side as usize);
    let shape = Shape { n: side()?, d: side()?, m: side()? };
    parts.next().is_none().then_some(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let shape = Shape { n: 64, d: 784, m: 512 };
        assert_eq!(parse("64x784x512"), Ok(shape));
        assert_eq!(parse("64×784×512"), Ok(shape));
        assert_eq!(parse("0x0x0"), Ok(Shape { n: 0, d: 0, m: 0 }));
        assert_eq!(parse(&name(shape)), Ok(shape));
        assert_eq!(parse(&argument(shape)), Ok(shape));
    }

    #[test]
    fn refuses_what_is_no_shape() {
        for text in ["", "64", "64x784", "64x784x512x1", "64x-1x2", "64x784x", "ax1x2", "1x1x5000000000"] {
            let error = parse(text).expect_err(text);
            assert!(error.contains("expected NxDxM") && error.contains(text), "{error}");
        }
    }

    #[test]
    fn reads_files() {
        let shapes = parse_file("# n d m\n\n1 64 32 # tiny\n  8\t8 8\r\n").expect("a file of shapes");
        assert_eq!(shapes, [Shape { n: 1, d: 64, m: 32 }, Shape { n: 8, d: 8, m: 8 }]);
        let error = parse_file("1 2 3\n1 2\n").expect_err("two numbers");
        assert_eq!(error, "line 2: expected three numbers `n d m`, none of them 0, found `1 2`");
        assert!(parse_file("1 0 3\n").is_err_and(|error| error.contains("none of them 0")));
        assert_eq!(measurable("1x2x3"), parse("1x2x3"));
        assert!(measurable("1x0x3").is_err_and(|error| error.contains("`1x0x3` has no multiply-add")));
        assert_eq!(parse_file("# nothing\n"), Err("there is no shape in it".into()));
    }
}

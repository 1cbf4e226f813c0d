//! Sizes at the limits: views of more than 2³¹ elements, sides of 0 beside sides without end, products of sides
//! that no number holds.

#![cfg(all(unix, target_pointer_width = "64"))]

use trine_core::{
    Activation, Backward, Error, Forward, Fused, Gradients, LinearKernels, MatMut, MatRef, Reference, Step,
    Write,
};
use trine_kernels::{Engine, Isa};
use trine_tests::property::isas;
use trine_tests::values::{mix, uniform};

/// Zeros that take memory only where they are touched.
struct Sparse {
    base: *mut libc::c_void,
    len: usize,
}

impl Sparse {
    fn new(len: usize) -> Self {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: new anonymous pages, no memory that anyone uses is touched.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), 4 * len, access, flags, -1, 0) };
        assert!(base != libc::MAP_FAILED, "the system refuses {len} values, touched or not");
        Sparse { base, len }
    }

    fn values(&mut self) -> &mut [f32] {
        // SAFETY: a mapping of so many values, all of them zeros, borrowed with `self`.
        unsafe { std::slice::from_raw_parts_mut(self.base.cast(), self.len) }
    }
}

impl Drop for Sparse {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `new` with this length and nothing refers to it now.
        unsafe { libc::munmap(self.base, 4 * self.len) };
    }
}

/// Elements between two neighbours: a handful of them is beyond 2³² bytes, and beyond 2³¹ elements.
const FAR: usize = (1 << 29) + 1023;
const _: () = assert!(4 * FAR > 1 << 31, "four steps along the shortest side");

/// Every product and the sweep with each operand in turn spread over 2³¹ elements and more.
fn layer(kernels: &mut impl LinearKernels<f32>, far: Option<(usize, bool)>) -> Result<Vec<u32>, Error> {
    let (n, d, m) = (6, 5, 7);
    let sides = [(n, d), (d, m), (n, m), (n, m), (n, d), (d, m)];
    let strides: Vec<(usize, usize)> = (0..6)
        .map(|i| match far {
            Some((role, false)) if role == i => (FAR, 1),
            Some((role, true)) if role == i => (1, FAR),
            _ => (sides[i].1, 1),
        })
        .collect();
    let mut memory: Vec<Sparse> = (0..6)
        .map(|i| {
            let ((rows, cols), (row, col)) = (sides[i], strides[i]);
            Sparse::new((rows - 1) * row + (cols - 1) * col + 1)
        })
        .collect();
    for (i, memory) in memory.iter_mut().enumerate() {
        for (r, c) in (0..sides[i].0).flat_map(|r| (0..sides[i].1).map(move |c| (r, c))) {
            memory.values()[r * strides[i].0 + c * strides[i].1] =
                uniform(mix((i * 10_000 + r * 100 + c) as u64)) as f32;
        }
    }
    let mut parts = memory.iter_mut().map(Sparse::values);
    let mut next = || parts.next().expect("six operands");
    let [x, w, y, dy, dx, dw] = [next(), next(), next(), next(), next(), next()];
    let view = |i: usize, data: &[f32]| (sides[i].0, sides[i].1, strides[i].0, strides[i].1, data.len());
    let read = |i: usize, data| {
        let (rows, cols, row, col, _) = view(i, data);
        MatRef::with_strides(data, rows, cols, row, col)
    };
    let mut db = vec![0.0; m];
    let bias: Vec<f32> = (0..m).map(|j| j as f32).collect();
    {
        let (rows, cols, row, col, _) = view(2, y);
        let y = MatMut::with_strides(y, rows, cols, row, col)?;
        kernels.forward(y, read(0, x)?, read(1, w)?, Some(&bias), Activation::Tanh)?;
    }
    let (dx_rows, dx_cols, dx_row, dx_col, _) = view(4, dx);
    let (dw_rows, dw_cols, dw_row, dw_col, _) = view(5, dw);
    let given = Backward {
        x: read(0, x)?,
        w: read(1, w)?,
        dy: read(3, dy)?,
        activation: Activation::Tanh,
        saved: Some(read(2, y)?),
    };
    let wanted = Gradients {
        dx: Some(MatMut::with_strides(dx, dx_rows, dx_cols, dx_row, dx_col)?),
        dx_write: Write::ADD,
        dw: Some(MatMut::with_strides(dw, dw_rows, dw_cols, dw_row, dw_col)?),
        db: Some(&mut db),
        params_write: Write::REPLACE,
    };
    kernels.backward(given, wanted)?;
    let mut bits: Vec<u32> = db.iter().map(|v| v.to_bits()).collect();
    for (i, data) in [(2, &*y), (4, &*dx), (5, &*dw)] {
        let view = read(i, data)?;
        bits.extend((0..view.nrows()).flat_map(|r| (0..view.ncols()).map(move |c| view.at(r, c).to_bits())));
    }
    Ok(bits)
}

#[test]
fn operands_that_reach_over_more_than_2_to_the_31_elements() {
    let expected = layer(&mut Reference(Fused), None).expect("fits");
    let fused = |isa: &Isa| isa.rounding::<f32>() == trine_core::Rounding::Fused;
    for isa in isas().filter(fused) {
        let mut engine = Engine::with_isa(isa).expect("available");
        for far in (0..6).flat_map(|role| [(role, false), (role, true)]) {
            assert_eq!(layer(&mut engine, Some(far)).expect("fits"), expected, "{isa} {far:?}");
        }
    }
}

/// The last rows of a matrix of 2²⁹ × 8 elements, and of its transpose.
#[test]
fn a_few_rows_of_a_matrix_of_2_to_the_32_elements() {
    let rows = 1usize << 29;
    let mut memory = Sparse::new(8 * rows);
    let x = memory.values();
    for (i, value) in x[8 * (rows - 3)..].iter_mut().enumerate() {
        *value = i as f32;
    }
    let w: Vec<f32> = (0..16).map(|i| i as f32 - 7.0).collect();
    let part = MatRef::row_major(x, rows, 8).expect("fits").rows(rows - 3..rows).expect("inside");
    let near: Vec<f32> = (0..24).map(|i| i as f32).collect();
    let near = MatRef::row_major(&near, 3, 8).expect("fits");
    let w = MatRef::row_major(&w, 8, 2).expect("fits");
    for isa in isas() {
        let mut engine = Engine::with_isa(isa).expect("available");
        let mut run = |x| {
            let mut y = [f32::NAN; 6];
            engine
                .matmul(MatMut::row_major(&mut y, 3, 2).expect("fits"), x, w, Write::REPLACE)
                .expect("fits");
            y
        };
        assert_eq!(run(part), run(near), "{isa}");
        let mut gradient = [f32::NAN; 16];
        let dw = MatMut::row_major(&mut gradient, 8, 2).expect("fits");
        engine.grad_params(dw, None, part, w.rows(0..3).expect("inside"), Write::REPLACE).expect("fits");
        assert!(gradient.iter().all(|value| value.is_finite()));
    }
}

/// No method does anything for each row of an operand that has no columns, or each column of one without rows:
/// with sides like these it would never end.
#[test]
fn sides_of_zero_beside_sides_without_end() {
    const LONG: usize = usize::MAX / 2;
    for (n, d, m) in [(0, LONG, 3), (0, 3, LONG), (0, LONG, LONG), (0, 0, LONG), (LONG, 0, 0), (LONG, 3, 0)] {
        for isa in isas() {
            let mut engine = Engine::with_isa(isa).expect("available");
            every_method(&mut engine, n, d, m).unwrap_or_else(|error| panic!("{isa}, {n}×{d}×{m}: {error}"));
        }
    }
}

/// On operands without memory: empty, or one row or value repeated.
fn every_method(kernels: &mut Engine<'_>, n: usize, d: usize, m: usize) -> Result<(), Error> {
    let ones = [1.0f32; 16];
    // Inputs may repeat; an output with elements would have to have memory.
    let read = |rows, cols| MatRef::with_strides(&ones, rows, cols, 0, 0);
    fn nothing<'a>(rows: usize, cols: usize) -> Result<MatMut<'a, f32>, Error> {
        MatMut::with_strides(&mut [], rows, cols, cols, 1)
    }
    let write = Write::REPLACE;
    if n == 0 || m == 0 {
        kernels.forward(nothing(n, m)?, read(n, d)?, read(d, m)?, None, Activation::Gelu)?;
        kernels.matmul(nothing(n, m)?, read(n, d)?, read(d, m)?, write)?;
        kernels.forward_with(Forward {
            x: read(n, d)?,
            w: read(d, m)?,
            bias: None,
            activation: Activation::Silu,
            y: nothing(n, m)?,
            z: Some(nothing(n, m)?),
        })?;
    }
    if n == 0 || d == 0 {
        kernels.grad_input(nothing(n, d)?, read(n, m)?, read(d, m)?, write)?;
    }
    if d == 0 || m == 0 {
        kernels.grad_params(nothing(d, m)?, None, read(n, d)?, read(n, m)?, write)?;
    }
    let (dx_write, params_write, activation) = (write, write, Activation::Relu);
    let given =
        Backward { x: read(n, d)?, w: read(d, m)?, dy: read(n, m)?, activation, saved: Some(read(n, m)?) };
    let dx = if n == 0 || d == 0 { Some(nothing(n, d)?) } else { None };
    let dw = if d == 0 || m == 0 { Some(nothing(d, m)?) } else { None };
    if n == 0 || m == 0 {
        kernels.backward(given, Gradients { dx, dx_write, dw, db: None, params_write })?;
    }
    if d == 0 || m == 0 {
        let dx = if n == 0 || d == 0 { Some(nothing(n, d)?) } else { None };
        if n == 0 || m == 0 {
            let (x, w, dy, saved) = (read(n, d)?, nothing(d, m)?, read(n, m)?, Some(read(n, m)?));
            kernels.backward_step(Step { x, w, bias: None, dy, activation, saved, dx, lr: 0.1 })?;
        }
    }
    Ok(())
}

/// N × 0 and 0 × N of every method, where the other operands have elements: sums over nothing.
#[test]
fn sums_over_nothing_are_the_initial_value() {
    for isa in isas() {
        let mut engine = Engine::with_isa(isa).expect("available");
        for write in [Write::REPLACE, Write::ADD] {
            let old = if write.add { 3.0 } else { 0.0f32 };
            let (mut c, mut dw, mut db) = ([3.0f32; 12], [3.0f32; 12], [3.0f32; 4]);
            let nothing: [f32; 0] = [];
            let empty = |rows, cols| MatRef::row_major(&nothing, rows, cols).expect("empty");
            let c_view = MatMut::row_major(&mut c, 3, 4).expect("fits");
            engine.matmul(c_view, empty(3, 0), empty(0, 4), write).expect("a sum over nothing");
            let c_view = MatMut::row_major(&mut c, 3, 4).expect("fits");
            engine.grad_input(c_view, empty(3, 0), empty(4, 0), write).expect("a sum over nothing");
            let dw_view = MatMut::row_major(&mut dw, 3, 4).expect("fits");
            engine.grad_params(dw_view, Some(&mut db), empty(0, 3), empty(0, 4), write).expect("no rows");
            assert_eq!((c, dw, db), ([old; 12], [old; 12], [old; 4]), "{isa} {write:?}");
        }
    }
}

/// n·m, n·d or d·m beyond usize or isize: no slice has so many values, and a view of so many is refused, however
/// it is made; repeated inputs are accepted, and what they would be multiplied into is refused.
#[test]
fn products_of_sides_that_no_number_holds_are_refused() {
    let one = [1.0f32];
    let sides = [1usize << 31, 1 << 32, 1 << 33, (1 << 62) + 1, usize::MAX];
    for (rows, cols) in sides.into_iter().flat_map(|rows| sides.map(|cols| (rows, cols))) {
        let refused = MatRef::row_major(&one, rows, cols).expect_err("one value");
        let fits = rows.checked_mul(cols).is_some();
        match refused {
            Error::TooLarge { .. } => assert!(!fits),
            Error::TooShort { expected, found: 1, .. } => assert_eq!(Some(expected), rows.checked_mul(cols)),
            other => panic!("{other}"),
        }
        assert!(MatMut::row_major(&mut [1.0f32], rows, cols).is_err());
        let repeated = MatRef::with_strides(&one, rows, cols, 0, 0).expect("one value, repeated");
        for isa in isas() {
            let mut c = [0.0f32];
            let c_view = MatMut::row_major(&mut c, 1, 1).expect("fits");
            let error = Engine::with_isa(isa)
                .expect("available")
                .matmul(c_view, repeated, repeated.t(), Write::REPLACE)
                .expect_err("another shape");
            assert!(matches!(error, Error::Shape { .. }), "{error}");
            assert_eq!(c, [0.0]);
        }
    }
}

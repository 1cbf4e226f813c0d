//! Calls as C makes them: what is refused and in which words, what may lie between what, and the same bits as
//! the Rust interface gives.

use core::ffi::CStr;
use core::ptr::{null, null_mut};

use trine::engine::*;
use trine::layer::*;
use trine::{trine_in, trine_message, trine_out, trine_status};
use trine_core::{Activation, Backward, Element, Gradients, LinearKernels, MatMut, MatRef, Rng, Step, Write};
use trine_kernels::{Engine, Isa, Supported};

type Status = trine_status;

fn message() -> String {
    // SAFETY: a text closed by a zero, copied at once.
    unsafe { CStr::from_ptr(trine_message()) }.to_str().expect("UTF-8").into()
}

struct Handle(*mut trine_engine);

impl Handle {
    fn new(isa: i32, threads: usize) -> Self {
        let mut engine = null_mut();
        // SAFETY: a place for a pointer.
        assert_eq!(unsafe { trine_engine_new(isa, threads, &mut engine) }, Status::OK, "{}", message());
        Handle(engine)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: an engine, not used any more.
        unsafe { trine_engine_free(self.0) }
    }
}

const NOTHING: usize = 0;

fn rows<E>(data: &[E], rows: usize, cols: usize) -> trine_in<E> {
    trine_in { data: data.as_ptr(), len: data.len(), rows, cols, row_stride: cols, col_stride: 1 }
}

fn out<E>(data: &mut [E], rows: usize, cols: usize) -> trine_out<E> {
    trine_out { data: data.as_mut_ptr(), len: data.len(), rows, cols, row_stride: cols, col_stride: 1 }
}

fn no_in<E>() -> trine_in<E> {
    trine_in { data: null(), len: NOTHING, rows: 0, cols: 0, row_stride: 0, col_stride: 0 }
}

fn no_out<E>() -> trine_out<E> {
    trine_out { data: null_mut(), len: NOTHING, rows: 0, cols: 0, row_stride: 0, col_stride: 0 }
}

/// The functions of one element type.
trait Calls: Supported {
    unsafe fn forward(engine: *mut trine_engine, args: &trine_forward_args<Self>) -> Status;
    unsafe fn backward(engine: *mut trine_engine, args: &trine_backward_args<Self>) -> Status;
    unsafe fn step(engine: *mut trine_engine, args: &trine_step_args<Self>) -> Status;
    unsafe fn gemm(engine: *mut trine_engine, args: &trine_gemm_args<Self>) -> Status;
}

macro_rules! calls {
    ($e:ident: $($name:ident $args:ident $function:ident,)*) => {
        impl Calls for $e {
            $(unsafe fn $name(engine: *mut trine_engine, args: &$args<$e>) -> Status {
                // SAFETY: the contract is the same.
                unsafe { $function(engine, args) }
            })*
        }
    };
}

calls!(f32: forward trine_forward_args trine_forward_f32, backward trine_backward_args trine_backward_f32,
    step trine_step_args trine_step_f32, gemm trine_gemm_args trine_gemm_f32,);
calls!(f64: forward trine_forward_args trine_forward_f64, backward trine_backward_args trine_backward_f64,
    step trine_step_args trine_step_f64, gemm trine_gemm_args trine_gemm_f64,);

fn random<E: Element>(rng: &mut Rng, len: usize) -> Vec<E> {
    (0..len).map(|_| E::from_f64(2.0 * rng.uniform() - 1.0)).collect()
}

fn bits<E: Element>(values: &[E]) -> Vec<u64> {
    values.iter().map(|value| value.bits()).collect()
}

/// A layer with GELU, whose W lies as (out, in): forward with Z, backward, a step, a product; in C and in Rust.
fn same_bits<E: Calls>(isa: Isa, number: i32, threads: usize, (n, d, m): (usize, usize, usize)) {
    let mut rng = Rng::new((n * 10_000 + d * 100 + m) as u64);
    let [x, w, bias, dy] = [n * d, d * m, m, n * m].map(|len| random::<E>(&mut rng, len));
    let (kind, activation) = (trine_activation::GELU as i32, Activation::Gelu);
    let handle = Handle::new(number, threads);
    let mut engine = Engine::with_isa(isa).expect("available");
    // Not a number where nothing is to be read.
    let fresh = |len| vec![E::NAN; len];
    let [mut y, mut z, mut dx, mut dw, mut db] = [n * m, n * m, n * d, d * m, m].map(fresh);
    let [mut y_rust, mut z_rust, mut dx_rust, mut dw_rust, mut db_rust] =
        [n * m, n * m, n * d, d * m, m].map(fresh);
    let wt = trine_in { rows: d, cols: m, row_stride: 1, col_stride: d, ..rows(&w, m, d) };
    let w_rust = MatRef::row_major(&w, m, d).expect("fits").t();
    let mat = |data, rows, cols| MatRef::row_major(data, rows, cols).expect("fits");

    let args = trine_forward_args {
        x: rows(&x, n, d),
        w: wt,
        bias: bias.as_ptr(),
        bias_len: m,
        activation: kind,
        slope: 0.0,
        y: out(&mut y, n, m),
        z: out(&mut z, n, m),
    };
    // SAFETY: operands that live to the end of the call.
    assert_eq!(unsafe { E::forward(handle.0, &args) }, Status::OK, "{}", message());
    let forward = trine_core::Forward {
        x: mat(&x, n, d),
        w: w_rust,
        bias: Some(&bias),
        activation,
        y: MatMut::row_major(&mut y_rust, n, m).expect("fits"),
        z: Some(MatMut::row_major(&mut z_rust, n, m).expect("fits")),
    };
    engine.forward_with(forward).expect("fits");
    assert_eq!((bits(&y), bits(&z)), (bits(&y_rust), bits(&z_rust)));

    let args = trine_backward_args {
        x: rows(&x, n, d),
        w: wt,
        dy: rows(&dy, n, m),
        saved: rows(&z, n, m),
        activation: kind,
        slope: 0.0,
        dx: out(&mut dx, n, d),
        dw: out(&mut dw, d, m),
        db: db.as_mut_ptr(),
        db_len: m,
        dx_write: 0,
        params_write: 0,
    };
    // SAFETY: operands that live to the end of the call.
    assert_eq!(unsafe { E::backward(handle.0, &args) }, Status::OK, "{}", message());
    let given =
        Backward { x: mat(&x, n, d), w: w_rust, dy: mat(&dy, n, m), activation, saved: Some(mat(&z, n, m)) };
    let wanted = Gradients {
        dx: Some(MatMut::row_major(&mut dx_rust, n, d).expect("fits")),
        dx_write: Write::REPLACE,
        dw: Some(MatMut::row_major(&mut dw_rust, d, m).expect("fits")),
        db: Some(&mut db_rust),
        params_write: Write::REPLACE,
    };
    engine.backward(given, wanted).expect("fits");
    assert_eq!((bits(&dx), bits(&dw), bits(&db)), (bits(&dx_rust), bits(&dw_rust), bits(&db_rust)));

    let (mut stepped, mut stepped_rust) = (w.clone(), w.clone());
    let args = trine_step_args {
        x: rows(&x, n, d),
        w: trine_out { row_stride: 1, col_stride: d, ..out(&mut stepped, d, m) },
        bias: null_mut(),
        bias_len: 0,
        dy: rows(&dy, n, m),
        saved: rows(&z, n, m),
        activation: kind,
        slope: 0.0,
        dx: out(&mut dx, n, d),
        lr: E::from_f64(0.1),
    };
    // SAFETY: operands that live to the end of the call.
    assert_eq!(unsafe { E::step(handle.0, &args) }, Status::OK, "{}", message());
    engine
        .backward_step(Step {
            x: mat(&x, n, d),
            w: MatMut::row_major(&mut stepped_rust, m, d).expect("fits").t(),
            bias: None,
            dy: mat(&dy, n, m),
            activation,
            saved: Some(mat(&z, n, m)),
            dx: Some(MatMut::row_major(&mut dx_rust, n, d).expect("fits")),
            lr: E::from_f64(0.1),
        })
        .expect("fits");
    assert_eq!((bits(&stepped), bits(&dx)), (bits(&stepped_rust), bits(&dx_rust)));

    let args = trine_gemm_args {
        a: rows(&x, n, d),
        b: wt,
        c: out(&mut y, n, m),
        alpha: E::from_f64(-0.7),
        write: trine_write::ADD as i32,
    };
    // SAFETY: operands that live to the end of the call.
    assert_eq!(unsafe { E::gemm(handle.0, &args) }, Status::OK, "{}", message());
    let write = Write::ADD.times(E::from_f64(-0.7));
    engine
        .matmul(MatMut::row_major(&mut y_rust, n, m).expect("fits"), mat(&x, n, d), w_rust, write)
        .expect("fits");
    assert_eq!(bits(&y), bits(&y_rust));
}

#[test]
fn c_and_rust_give_the_same_bits() {
    for (number, isa) in
        [(1, Isa::Portable), (2, Isa::Sse2), (3, Isa::Avx2), (4, Isa::Avx512), (5, Isa::Neon)]
    {
        if isa.is_available() {
            for shape in [(1, 1, 1), (3, 5, 7), (33, 64, 10), (0, 3, 4), (4, 0, 5), (130, 70, 90)] {
                same_bits::<f32>(isa, number, 1, shape);
                same_bits::<f64>(isa, number, 1, shape);
            }
            // Enough work for every thread.
            same_bits::<f32>(isa, number, 3, (600, 64, 96));
            same_bits::<f64>(isa, number, 3, (600, 64, 96));
        }
    }
}

/// In one buffer of rows of 8: X in columns 0 to 3, Y goes to columns 3 to 7.
#[test]
fn an_output_may_lie_between_the_columns_of_an_input() {
    let handle = Handle::new(0, 1);
    let mut wide = vec![1f32; 40];
    let w = vec![1f32; 12];
    let mut args = trine_gemm_args {
        a: trine_in { row_stride: 8, len: 40, ..rows(&wide, 5, 3) },
        b: rows(&w, 3, 4),
        c: trine_out { row_stride: 8, ..out(&mut wide[3..], 5, 4) },
        alpha: 1.0,
        write: 0,
    };
    args.a.data = wide.as_mut_ptr();
    args.c.data = wide.as_mut_ptr().wrapping_add(3);
    // SAFETY: the parts of one buffer that the views name.
    assert_eq!(unsafe { f32::gemm(handle.0, &args) }, Status::OK, "{}", message());
    for row in wide.chunks(8) {
        assert_eq!(row, [1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0, 1.0]);
    }
    args.c.data = wide.as_mut_ptr().wrapping_add(2);
    // SAFETY: as above.
    assert_eq!(unsafe { f32::gemm(handle.0, &args) }, Status::ALIASED);
    assert_eq!(message(), "c shares memory with a");
    for row in wide.chunks(8) {
        assert_eq!(row, [1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0, 1.0], "nothing was written");
    }
}

/// Wrong calls of forward: each with the change that makes it wrong, its status and its words.
#[test]
fn wrong_operands_are_named() {
    let handle = Handle::new(0, 1);
    let (x, w, bias) = (vec![1f32; 6], vec![1f32; 8], vec![1f32; 4]);
    let (mut y, mut z) = (vec![5f32; 12], vec![5f32; 12]);
    let right = trine_forward_args {
        x: rows(&x, 3, 2),
        w: rows(&w, 2, 4),
        bias: bias.as_ptr(),
        bias_len: 4,
        activation: 0,
        slope: 0.0,
        y: out(&mut y, 3, 4),
        z: out(&mut z, 3, 4),
    };
    type Change = fn(&mut trine_forward_args<f32>);
    let wrong: [(Change, Status, &str); 16] = [
        (|a| a.x.data = null(), Status::NULL, "x is null, but has 3×2 elements"),
        (|a| a.y.data = null_mut(), Status::NULL, "y is null, but has 3×4 elements"),
        (|a| a.bias = null(), Status::NULL, "bias is null"),
        (|a| a.x.len = 5, Status::TOO_SHORT, "x needs 6 values, but has 5"),
        (|a| a.w.row_stride = 5, Status::TOO_SHORT, "w needs 9 values, but has 8"),
        (
            |a| a.x.row_stride = usize::MAX,
            Status::TOO_LARGE,
            "x: shape and strides reach beyond the address space",
        ),
        (
            |a| (a.w.rows, a.w.len) = (usize::MAX / 8, usize::MAX),
            Status::TOO_LARGE,
            "w: shape and strides reach beyond the address space",
        ),
        (
            |a| a.x.data = a.x.data.wrapping_byte_add(2),
            Status::MISALIGNED,
            "the address of x is not a multiple of 4",
        ),
        (
            |a| a.z.row_stride = 3,
            Status::OVERLAP,
            "z: output of 3×4 with row stride 3 and column stride 1 would have two elements in one place",
        ),
        (|a| a.z = a.y, Status::ALIASED, "y shares memory with z"),
        (|a| a.y.data = a.w.data.cast_mut(), Status::ALIASED, "y shares memory with w"),
        (|a| a.w.rows = 1, Status::SHAPE, "w has 1 row, but x has 2 columns"),
        (|a| a.bias_len = 3, Status::SHAPE, "bias has 3 values, but w has 4 columns"),
        (|a| a.activation = 7, Status::VALUE, "activation is 7, which is no constant of trine.h"),
        (|a| (a.activation, a.slope) = (2, -1.0), Status::VALUE, "slope must be positive and finite"),
        (|a| (a.y.rows, a.z.rows) = (2, 2), Status::SHAPE, "y has 2 rows, but x has 3 rows"),
    ];
    for (change, status, words) in wrong {
        let mut args = right;
        change(&mut args);
        // SAFETY: what is wrong is refused before it is used.
        assert_eq!((unsafe { f32::forward(handle.0, &args) }, &message()[..]), (status, words));
        assert!(y.iter().chain(&z).all(|&value| value == 5.0), "written: {words}");
    }
    // SAFETY: null, and the right operands.
    unsafe {
        assert_eq!((trine_forward_f32(null_mut(), &right), &message()[..]), (Status::NULL, "engine is null"));
        assert_eq!((trine_forward_f32(handle.0, null()), &message()[..]), (Status::NULL, "args is null"));
        assert_eq!(f32::forward(handle.0, &right), Status::OK);
    }
    assert!(y.iter().chain(&z).all(|&value| value == 3.0));
    let backward = trine_backward_args {
        x: rows(&x, 3, 2),
        w: rows(&w, 2, 4),
        dy: rows(&y, 3, 4),
        saved: no_in(),
        activation: 5,
        slope: 0.0,
        dx: no_out(),
        dw: no_out(),
        db: null_mut(),
        db_len: 0,
        dx_write: 0,
        params_write: 0,
    };
    // SAFETY: what is wrong is refused before it is used.
    unsafe {
        assert_eq!(f32::backward(handle.0, &backward), Status::MISSING);
        assert_eq!(message(), "z is missing, but GELU needs it");
        assert_eq!(f32::backward(handle.0, &trine_backward_args { dx_write: 2, ..backward }), Status::VALUE);
        assert_eq!(message(), "dx_write is 2, which is no constant of trine.h");
        // Nothing is asked for.
        assert_eq!(f32::backward(handle.0, &trine_backward_args { activation: 0, ..backward }), Status::OK);
    }
}

/// An engine in memory of any alignment; as many bytes as are told do, and a larger layer is refused.
#[test]
fn an_engine_in_the_caller_s_memory() {
    let (n, d, m) = (37, 65, 30);
    let size = trine_scratch_size(0, 0, trine_op::BACKWARD as i32, n, d, m);
    let mut memory = vec![0u8; size + 64];
    let (x, w, dy) = (vec![0.5f32; n * d], vec![0.25f32; d * m], vec![1f32; n * m]);
    for skipped in [0, 1, 63] {
        let mut engine = null_mut();
        // SAFETY: memory that lives longer than the engine.
        let status = unsafe { trine_engine_in(0, memory[skipped..].as_mut_ptr().cast(), size, &mut engine) };
        assert_eq!(status, Status::OK, "{}", message());
        let mut dx = vec![f32::NAN; n * d];
        let args = trine_backward_args {
            x: rows(&x, n, d),
            w: rows(&w, d, m),
            dy: rows(&dy, n, m),
            saved: rows(&dy, n, m),
            activation: 1,
            slope: 0.0,
            dx: out(&mut dx, n, d),
            dw: no_out(),
            db: null_mut(),
            db_len: 0,
            dx_write: 0,
            params_write: 0,
        };
        // SAFETY: operands that live to the end of the call.
        assert_eq!(unsafe { f32::backward(engine, &args) }, Status::OK, "{}", message());
        assert!(dx.iter().all(|&dx| dx == 7.5));
        let (n, x, dy) = (600, vec![0.5f32; 600 * d], vec![1f32; 600 * m]);
        let mut dx = vec![f32::NAN; n * d];
        let args = trine_backward_args {
            x: rows(&x, n, d),
            dy: rows(&dy, n, m),
            saved: rows(&dy, n, m),
            dx: out(&mut dx, n, d),
            ..args
        };
        // SAFETY: operands that live to the end of the call.
        assert_eq!(unsafe { f32::backward(engine, &args) }, Status::SCRATCH);
        assert!(message().starts_with("scratch memory needs "), "{}", message());
        assert!(dx.iter().all(|dx| dx.is_nan()), "nothing was written");
        // SAFETY: not used any more.
        unsafe { trine_engine_free(engine) };
    }
    for bytes in [0, 1, 100] {
        let mut engine = null_mut();
        // SAFETY: memory of that many bytes.
        let status = unsafe { trine_engine_in(0, memory[1..].as_mut_ptr().cast(), bytes, &mut engine) };
        assert!(
            status == Status::SCRATCH
                && engine.is_null()
                && message().starts_with("an engine needs at least ")
        );
    }
    assert_eq!(trine_scratch_size(0, 0, trine_op::BACKWARD as i32, 512, 1, 1 << 62), usize::MAX);
    for (isa, element, op, words) in [
        (99, 0, 0, "isa is 99, which is no constant of trine.h"),
        (0, 2, 0, "element is 2, which is no constant of trine.h"),
        (0, 0, -1, "op is -1, which is no constant of trine.h"),
    ] {
        assert_eq!((trine_scratch_size(isa, element, op, 1, 1, 1), &message()[..]), (0, words));
    }
}

#[test]
fn an_instruction_set_that_is_not_there_is_refused() {
    let mut engine = null_mut();
    let foreign = if cfg!(target_arch = "x86_64") { 5 } else { 4 };
    // SAFETY: places for pointers, or null.
    unsafe {
        assert_eq!(trine_engine_new(foreign, 1, &mut engine), Status::ISA);
        assert!(engine.is_null() && message().ends_with("cannot be used: this machine does not have it"));
        assert_eq!(trine_engine_new(0, 1, null_mut()), Status::NULL);
        assert_eq!(trine_engine_in(0, null_mut(), 1 << 20, &mut engine), Status::NULL);
        assert_eq!(message(), "memory is null");
        trine_engine_free(null_mut());
        assert_eq!((trine_engine_isa(null()), trine_engine_threads(null())), (0, 0));
    }
}

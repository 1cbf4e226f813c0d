//! Calls of the C interface with pointers, lengths, strides, constants of any kind into one piece of memory. What is
//! refused has words and has written nothing. What is done has the bits of the reference in its outputs, and has
//! written nowhere else.
#![no_main]

use core::ffi::CStr;
use core::ptr::{null, null_mut};

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use trine::engine::{trine_engine, trine_engine_free, trine_engine_new};
use trine::isa::trine_isa;
use trine::layer::*;
use trine::{trine_in, trine_message, trine_out, trine_status};
use trine_core::{
    Activation, Backward, Error, Forward, Fused, Gradients, LinearKernels, MatMut, MatRef, Reference,
    Rounding, Saved, Step, Unfused, Write,
};
use trine_fuzz::length;
use trine_kernels::{Isa, Supported};
use trine_tests::run::same;
use trine_tests::values::{mix, uniform};

/// Elements of the memory that all operands lie in.
const MEMORY: usize = 4096;
/// What an operand has for itself if it is well-behaved.
const APART: usize = 512;

/// The functions of one element type.
trait Calls: Supported {
    const FORWARD: unsafe extern "C" fn(*mut trine_engine, *const trine_forward_args<Self>) -> trine_status;
    const BACKWARD: unsafe extern "C" fn(
        *mut trine_engine,
        *const trine_backward_args<Self>,
    ) -> trine_status;
    const STEP: unsafe extern "C" fn(*mut trine_engine, *const trine_step_args<Self>) -> trine_status;
    const GEMM: unsafe extern "C" fn(*mut trine_engine, *const trine_gemm_args<Self>) -> trine_status;
}

impl Calls for f32 {
    const FORWARD: unsafe extern "C" fn(*mut trine_engine, *const trine_forward_args<f32>) -> trine_status =
        trine_forward_f32;
    const BACKWARD: unsafe extern "C" fn(*mut trine_engine, *const trine_backward_args<f32>) -> trine_status =
        trine_backward_f32;
    const STEP: unsafe extern "C" fn(*mut trine_engine, *const trine_step_args<f32>) -> trine_status =
        trine_step_f32;
    const GEMM: unsafe extern "C" fn(*mut trine_engine, *const trine_gemm_args<f32>) -> trine_status =
        trine_gemm_f32;
}

impl Calls for f64 {
    const FORWARD: unsafe extern "C" fn(*mut trine_engine, *const trine_forward_args<f64>) -> trine_status =
        trine_forward_f64;
    const BACKWARD: unsafe extern "C" fn(*mut trine_engine, *const trine_backward_args<f64>) -> trine_status =
        trine_backward_f64;
    const STEP: unsafe extern "C" fn(*mut trine_engine, *const trine_step_args<f64>) -> trine_status =
        trine_step_f64;
    const GEMM: unsafe extern "C" fn(*mut trine_engine, *const trine_gemm_args<f64>) -> trine_status =
        trine_gemm_f64;
}

/// An operand as a call is told of it. Its pointer is into the memory or null, and it has no more elements than
/// are there; whether its shape and strides stay within them is another question.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Index of the first element; `None`: a null pointer.
    at: Option<usize>,
    /// Bytes beyond it: an address that no element has.
    bytes: usize,
    len: usize,
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl Place {
    const NONE: Place = Place { at: None, bytes: 0, len: 0, rows: 0, cols: 0, row_stride: 0, col_stride: 0 };

    fn draw(u: &mut Unstructured<'_>, slot: usize, rows: usize, cols: usize) -> Result<Self> {
        let at = slot * APART + u.int_in_range(0..=7usize)?;
        let pad = u.int_in_range(0..=3usize)?;
        let (row_stride, col_stride) = if bool::arbitrary(u)? { (cols + pad, 1) } else { (1, rows + pad) };
        let mut place =
            Place { at: Some(at), bytes: 0, len: MEMORY - at, rows, cols, row_stride, col_stride };
        match u.int_in_range(0..=31u8)? {
            0 => place.at = None,
            1 => (place.bytes, place.len) = (1, place.len - 1),
            2 => place.len = length(u)?.min(place.len),
            3 => {
                let at = u.int_in_range(0..=MEMORY - 1)?;
                (place.at, place.len) = (Some(at), MEMORY - at);
            }
            4 => (place.row_stride, place.col_stride) = (length(u)?, length(u)?),
            5 => place.rows = length(u)?,
            6 => place.cols = length(u)?,
            // No length is told: only for what lies within.
            7 if place.within() => place.len = usize::MAX,
            _ => {}
        }
        Ok(place)
    }

    fn optional(u: &mut Unstructured<'_>, slot: usize, rows: usize, cols: usize) -> Result<Self> {
        if bool::arbitrary(u)? { Self::draw(u, slot, rows, cols) } else { Ok(Self::NONE) }
    }

    /// So many values in a row.
    fn values(u: &mut Unstructured<'_>, slot: usize, cols: usize) -> Result<Self> {
        let at = slot * APART;
        Ok(match u.int_in_range(0..=15u8)? {
            0..=5 => Self::NONE,
            6 => Place { cols, ..Self::NONE },
            7 => {
                let cols = length(u)?.min(APART);
                Place { at: Some(at), rows: 1, cols, col_stride: 1, ..Self::NONE }
            }
            _ => Place { at: Some(at), rows: 1, cols, col_stride: 1, ..Self::NONE },
        })
    }

    /// Whether its elements are in the memory.
    fn within(&self) -> bool {
        let Some(at) = self.at else { return false };
        let last = |side: usize, stride: usize| side.saturating_sub(1).checked_mul(stride);
        let end = last(self.rows, self.row_stride)
            .zip(last(self.cols, self.col_stride))
            .and_then(|(row, col)| row.checked_add(col)?.checked_add(at));
        self.rows == 0 || self.cols == 0 || end.is_some_and(|end| end < MEMORY)
    }

    fn given(&self) -> bool {
        self.at.is_some() || self.rows != 0 || self.cols != 0
    }

    fn ptr<E>(&self, memory: *mut E) -> *mut E {
        self.at.map_or(null_mut(), |at| memory.wrapping_add(at).wrapping_byte_add(self.bytes))
    }

    fn read<E>(&self, memory: *mut E) -> trine_in<E> {
        let &Place { len, rows, cols, row_stride, col_stride, .. } = self;
        trine_in { data: self.ptr(memory), len, rows, cols, row_stride, col_stride }
    }

    fn written<E>(&self, memory: *mut E) -> trine_out<E> {
        let &Place { len, rows, cols, row_stride, col_stride, .. } = self;
        trine_out { data: self.ptr(memory), len, rows, cols, row_stride, col_stride }
    }

    /// Where the elements are, row by row. Only for what has been accepted.
    fn places(&self) -> impl Iterator<Item = usize> + '_ {
        let first = self.at.unwrap_or(0);
        (0..self.rows)
            .flat_map(move |i| (0..self.cols).map(move |j| first + i * self.row_stride + j * self.col_stride))
    }

    /// The elements, row by row.
    fn copy<E: Copy>(&self, memory: &[E]) -> Vec<E> {
        self.places().map(|place| memory[place]).collect()
    }
}

/// A matrix of its own with the elements of an operand.
struct Own<E>(Vec<E>, usize, usize);

impl<E: Supported> Own<E> {
    fn new(place: &Place, memory: &[E]) -> Self {
        // Nothing is nothing, however long its other side. What is not within is no operand of this call.
        let nothing = place.rows == 0 || place.cols == 0 || !place.within();
        Own(if nothing { Vec::new() } else { place.copy(memory) }, place.rows, place.cols)
    }

    fn view(&self) -> MatRef<'_, E> {
        MatRef::row_major(&self.0, self.1, self.2).expect("so many elements")
    }

    fn view_mut(&mut self) -> MatMut<'_, E> {
        MatMut::row_major(&mut self.0, self.1, self.2).expect("so many elements")
    }
}

/// Every operand and setting of any of the calls.
#[derive(Debug)]
struct Call<E> {
    x: Place,
    w: Place,
    bias: Place,
    y: Place,
    z: Place,
    dx: Place,
    dw: Place,
    activation: i32,
    slope: f32,
    dx_write: i32,
    write: i32,
    alpha: E,
}

impl<E: Calls> Call<E> {
    fn draw(u: &mut Unstructured<'_>) -> Result<Self> {
        let mut side = || u.int_in_range(0..=17usize);
        let (n, d, m) = (side()?, side()?, side()?);
        let constant = |u: &mut Unstructured<'_>, most: i32| {
            Ok(if u.int_in_range(0..=31u8)? == 0 { i32::arbitrary(u)? } else { u.int_in_range(0..=most)? })
        };
        Ok(Call {
            x: Place::draw(u, 0, n, d)?,
            w: Place::draw(u, 1, d, m)?,
            bias: Place::values(u, 2, m)?,
            y: Place::draw(u, 3, n, m)?,
            z: Place::optional(u, 4, n, m)?,
            dx: Place::optional(u, 5, n, d)?,
            dw: Place::optional(u, 6, d, m)?,
            activation: constant(u, 6)?,
            slope: if bool::arbitrary(u)? { 0.25 } else { f32::arbitrary(u)? },
            dx_write: constant(u, 1)?,
            write: constant(u, 1)?,
            alpha: E::from_f64([1.0, -0.5, 0.0, 1e30][u.int_in_range(0..=3usize)?]),
        })
    }

    fn activation(&self) -> Activation {
        match self.activation {
            0 => Activation::Identity,
            1 => Activation::Relu,
            2 => Activation::LeakyRelu { slope: self.slope },
            3 => Activation::Sigmoid,
            4 => Activation::Tanh,
            5 => Activation::Gelu,
            6 => Activation::Silu,
            other => panic!("{other} was accepted as an activation"),
        }
    }

    fn write(constant: i32) -> Write<E> {
        match constant {
            0 => Write::REPLACE,
            1 => Write::ADD,
            other => panic!("{other} was accepted as a way of writing"),
        }
    }

    /// The call, and the outputs it has.
    fn make(&self, which: u8, engine: *mut trine_engine, memory: *mut E) -> (trine_status, Vec<Place>) {
        let (values, len) = (self.bias.ptr(memory), self.bias.cols);
        let (x, w, activation, slope) =
            (self.x.read(memory), self.w.read(memory), self.activation, self.slope);
        // SAFETY: an engine, and pointers that are null or have as many elements behind them as is told.
        unsafe {
            match which {
                0 => {
                    let (y, z, bias_len) = (self.y.written(memory), self.z.written(memory), len);
                    let args = trine_forward_args { x, w, bias: values, bias_len, activation, slope, y, z };
                    (E::FORWARD(engine, &args), vec![self.y, self.z])
                }
                1 => {
                    let (dy, saved) = (self.y.read(memory), self.z.read(memory));
                    let (dx, dw, db, db_len) =
                        (self.dx.written(memory), self.dw.written(memory), values, len);
                    let (dx_write, params_write) = (self.dx_write, self.write);
                    let args = trine_backward_args {
                        x,
                        w,
                        dy,
                        saved,
                        activation,
                        slope,
                        dx,
                        dw,
                        db,
                        db_len,
                        dx_write,
                        params_write,
                    };
                    (E::BACKWARD(engine, &args), vec![self.dx, self.dw, self.bias])
                }
                2 => {
                    let (w, dy, saved) = (self.w.written(memory), self.y.read(memory), self.z.read(memory));
                    let (dx, lr, bias, bias_len) = (self.dx.written(memory), self.alpha, values, len);
                    let args = trine_step_args { x, w, bias, bias_len, dy, saved, activation, slope, dx, lr };
                    (E::STEP(engine, &args), vec![self.dx, self.w, self.bias])
                }
                _ => {
                    let (a, b, c, alpha, write) = (x, w, self.y.written(memory), self.alpha, self.write);
                    (E::GEMM(engine, &trine_gemm_args { a, b, c, alpha, write }), vec![self.y])
                }
            }
        }
    }

    /// What the reference writes into copies of the outputs, in the order of [`make`](Self::make).
    fn expected<K: LinearKernels<E>>(
        &self,
        which: u8,
        memory: &[E],
        mut k: K,
    ) -> std::result::Result<Vec<Own<E>>, Error> {
        let own = |place: &Place| Own::new(place, memory);
        let (x, mut w, mut bias, mut y, mut z) =
            (own(&self.x), own(&self.w), own(&self.bias), own(&self.y), own(&self.z));
        let (mut dx, mut dw) = (own(&self.dx), own(&self.dw));
        let has_bias = self.bias.at.is_some();
        match which {
            0 => {
                let (x, w, bias) = (x.view(), w.view(), has_bias.then_some(&*bias.0));
                let activation = self.activation();
                let has_z = self.z.given();
                let forward =
                    Forward { x, w, bias, activation, y: y.view_mut(), z: has_z.then(|| z.view_mut()) };
                k.forward_with(forward)?;
                Ok(vec![y, z])
            }
            1 => {
                let activation = self.activation();
                let saved = (activation.saves() != Saved::Nothing || self.z.given()).then(|| z.view());
                let given = Backward { x: x.view(), w: w.view(), dy: y.view(), activation, saved };
                let wanted = Gradients {
                    dx: self.dx.given().then(|| dx.view_mut()),
                    dx_write: Self::write(self.dx_write),
                    dw: self.dw.given().then(|| dw.view_mut()),
                    db: has_bias.then_some(&mut bias.0),
                    params_write: Self::write(self.write),
                };
                k.backward(given, wanted)?;
                Ok(vec![dx, dw, bias])
            }
            2 => {
                let activation = self.activation();
                let saved = (activation.saves() != Saved::Nothing || self.z.given()).then(|| z.view());
                k.backward_step(Step {
                    x: x.view(),
                    w: w.view_mut(),
                    bias: has_bias.then_some(&mut bias.0),
                    dy: y.view(),
                    activation,
                    saved,
                    dx: self.dx.given().then(|| dx.view_mut()),
                    lr: self.alpha,
                })?;
                Ok(vec![dx, w, bias])
            }
            _ => {
                k.matmul(y.view_mut(), x.view(), w.view(), Self::write(self.write).times(self.alpha))?;
                Ok(vec![y])
            }
        }
    }
}

/// An engine of the best instruction set or of the portable one, made once.
fn engine(portable: bool) -> (*mut trine_engine, Isa) {
    struct Engines([*mut trine_engine; 2]);
    impl Drop for Engines {
        fn drop(&mut self) {
            // SAFETY: engines, not used any more.
            self.0.into_iter().for_each(|engine| unsafe { trine_engine_free(engine) });
        }
    }
    thread_local! {
        static ENGINES: Engines = Engines([trine_isa::BEST, trine_isa::PORTABLE].map(|isa| {
            let mut engine = null_mut();
            // SAFETY: a place for a pointer.
            assert_eq!(unsafe { trine_engine_new(isa as i32, 1, &mut engine) }, trine_status::OK);
            engine
        }));
    }
    let isa = if portable { Isa::Portable } else { Isa::best() };
    (ENGINES.with(|engines| engines.0[usize::from(portable)]), isa)
}

fn message() -> String {
    // SAFETY: a text closed by a zero, copied at once.
    unsafe { CStr::from_ptr(trine_message()) }.to_str().expect("UTF-8").into()
}

fn one<E: Calls>(u: &mut Unstructured<'_>) -> Result<()> {
    let which = u.int_in_range(0..=3u8)?;
    let (engine, isa) = engine(bool::arbitrary(u)?);
    let call = Call::<E>::draw(u)?;
    let before: Vec<E> = (0..MEMORY).map(|i| E::from_f64(uniform(mix(i as u64)))).collect();
    let mut after = before.clone();
    let (status, outputs) = call.make(which, engine, after.as_mut_ptr());
    let mut expected = before.clone();
    if status == trine_status::OK {
        let done = match isa.rounding::<E>() {
            Rounding::Fused => call.expected(which, &before, Reference(Fused)),
            Rounding::Unfused => call.expected(which, &before, Reference(Unfused)),
        };
        let done = done.unwrap_or_else(|error| panic!("accepted, but the reference says {error}: {call:?}"));
        for (place, own) in outputs.iter().zip(&done) {
            if !own.0.is_empty() {
                place.places().zip(&own.0).for_each(|(place, value)| expected[place] = *value);
            }
        }
    } else {
        assert_ne!(status, trine_status::INTERNAL, "{}: {call:?}", message());
        assert!(!message().is_empty());
    }
    for (i, (found, expected)) in after.iter().zip(&expected).enumerate() {
        assert!(
            same(*found, *expected),
            "{i} is {found:?}, expected {expected:?}; {status:?}, {which}, {call:?}"
        );
    }
    Ok(())
}

/// No arguments, no engine.
fn nothing(which: u8) {
    // SAFETY: null.
    let status = unsafe {
        match which % 4 {
            0 => trine_forward_f32(null_mut(), null()),
            1 => trine_backward_f64(engine(false).0, null()),
            2 => trine_step_f32(null_mut(), null()),
            _ => trine_gemm_f64(engine(true).0, null()),
        }
    };
    assert_eq!(status, trine_status::NULL);
}

fuzz_target!(|bytes: &[u8]| {
    let u = &mut Unstructured::new(bytes);
    let _ = match u.int_in_range(0..=15u8) {
        Ok(0) => {
            nothing(u.int_in_range(0..=3u8).unwrap_or(0));
            Ok(())
        }
        Ok(1..=7) => one::<f64>(u),
        _ => one::<f32>(u),
    };
});

//! What the kernels need of a vector unit beyond arithmetic: memory, masks, transposes, and a
//! way into code that is compiled for it. Implemented here, once, for every token of pulp's.

use pulp::{MemMask, Simd, WithSimd, bytemuck::cast};
use trine_core::{Element, Lanes, Rounding};

use crate::plan::LINE;

/// A vector unit. A value of it exists only where the CPU has the unit.
pub trait Vector<E: Element>: Lanes<E> + Send + Sync + 'static {
    /// Selects the first lanes.
    type Tail: Copy;

    /// The first `n` lanes, `1 ≤ n ≤ LANES`.
    fn tail(self, n: usize) -> Self::Tail;

    /// # Safety
    /// `LANES` elements can be read at `p`.
    unsafe fn load_at(self, p: *const E) -> Self::V;

    /// # Safety
    /// `LANES` elements can be written at `p`.
    unsafe fn store_at(self, p: *mut E, v: Self::V);

    /// Whether the unit takes hints about the caches that pay: what is read next, and what goes past them. A strip of
    /// such a unit has whole cache lines.
    const HINTS: bool = false;

    /// Whether operands from beyond the near caches are fetched on the way through columns, and in short runs: with vectors
    /// of a whole line that has not been tried.
    const RUNS: bool = Self::HINTS && Self::LANES * E::BYTES < LINE;

    /// The same without a place in the caches, where the unit can. Other threads see it after [`settle`](Self::settle).
    ///
    /// # Safety
    /// `LANES` elements can be written at `p`, which is aligned to a vector.
    #[inline(always)]
    unsafe fn store_past(self, p: *mut E, v: Self::V) {
        // SAFETY: the contract is stricter.
        unsafe { self.store_at(p, v) }
    }

    /// Lets no later write of this thread be seen before what [`store_past`](Self::store_past) has written.
    #[inline(always)]
    fn settle(self) {}

    /// The other lanes are 0, and their memory is not touched.
    ///
    /// # Safety
    /// The elements of `tail` can be read at `p`.
    unsafe fn load_tail(self, p: *const E, tail: Self::Tail) -> Self::V;

    /// # Safety
    /// The elements of `tail` can be written at `p`.
    unsafe fn store_tail(self, p: *mut E, tail: Self::Tail, v: Self::V);

    /// Transposes `LANES × LANES` elements in registers: `put(i, v)` gets column i, in order. Row
    /// `l·(16/BYTES) + q` begins at `row(l, q)`.
    ///
    /// # Safety
    /// `LANES` elements of each row can be read.
    unsafe fn turn(self, row: impl Fn(usize, usize) -> *const E, put: impl FnMut(usize, Self::V));

    /// The same with the first 16 bytes of each row only.
    ///
    /// # Safety
    /// 16 bytes of each row can be read.
    unsafe fn turn_piece(self, row: impl Fn(usize, usize) -> *const E, put: impl FnMut(usize, Self::V));

    /// Asks for the cache line at `p`, which may be any address. May do nothing.
    fn prefetch(self, p: *const E);

    /// `v < 0 ? 0 : v`: NaN stays NaN, −0 stays −0.
    fn relu(self, v: Self::V) -> Self::V;

    /// Adds a column of A times a row of B to the accumulators: `acc[i][·] += a[i·stride]·row[·]`. With `NEAR`
    /// the stride is 1: a unit whose multiply-add takes a lane of a vector reads whole vectors of A.
    ///
    /// # Safety
    /// MR elements, `stride` apart, can be read at `a`.
    #[inline(always)]
    unsafe fn add_column<const MR: usize, const NRV: usize, const NEAR: bool>(
        self,
        acc: &mut [[Self::V; NRV]; MR],
        (a, stride): (*const E, usize),
        row: &[Self::V; NRV],
    ) {
        // SAFETY: the contract is the same.
        unsafe { spread(self, acc, (a, stride), row) }
    }

    /// Runs `f`, compiled for this unit if it is inlined.
    fn vectorize<R, F: FnOnce() -> R>(self, f: F) -> R;
}

/// [`Vector::add_column`] with each element of A spread over a vector, for as many rows as there are accumulators.
///
/// # Safety
/// An element of A for each row can be read.
#[inline(always)]
unsafe fn spread<V: Lanes<E>, E: Element, const NRV: usize>(
    v: V,
    acc: &mut [[V::V; NRV]],
    (a, stride): (*const E, usize),
    row: &[V::V; NRV],
) {
    for (i, acc) in acc.iter_mut().enumerate() {
        // SAFETY: an element of A for each row, as the caller says.
        let a = v.splat(unsafe { *a.wrapping_add(i * stride) });
        for j in 0..NRV {
            acc[j] = v.mul_add(a, row[j], acc[j]);
        }
    }
}

/// A token of pulp's as a vector unit.
#[derive(Clone, Copy, Debug)]
pub struct Pulp<S>(pub S);

/// What pulp's `Simd` lacks, for one element type.
pub trait Extra<E: Element>: Simd {
    /// See [`Vector::turn`], for the first `16·PIECES` bytes of each row.
    ///
    /// # Safety
    /// As there.
    unsafe fn turn<const PIECES: usize>(
        self,
        row: impl Fn(usize, usize) -> *const E,
        put: impl FnMut(usize, <Pulp<Self> as Lanes<E>>::V),
    ) where
        Pulp<Self>: Lanes<E>;

    /// See [`Vector::add_column`].
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn add_column<const MR: usize, const NRV: usize, const NEAR: bool>(
        self,
        acc: &mut [[<Pulp<Self> as Lanes<E>>::V; NRV]; MR],
        (a, stride): (*const E, usize),
        row: &[<Pulp<Self> as Lanes<E>>::V; NRV],
    ) where
        Pulp<Self>: Lanes<E>,
    {
        // SAFETY: the contract is the same.
        unsafe { spread(Pulp(self), acc, (a, stride), row) }
    }

    /// See [`Vector::prefetch`].
    #[inline(always)]
    fn prefetch(self, _: *const E) {}

    /// See [`Vector::HINTS`].
    const HINTS: bool = false;

    /// See [`Vector::store_past`].
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn store_past(self, p: *mut E, v: <Pulp<Self> as Lanes<E>>::V)
    where
        Pulp<Self>: Lanes<E>,
    {
        // SAFETY: the contract is stricter.
        unsafe { p.cast::<<Pulp<Self> as Lanes<E>>::V>().write_unaligned(v) }
    }

    /// See [`Vector::settle`].
    #[inline(always)]
    fn settle(self) {}

    /// See [`Vector::store_tail`], if the unit has a faster way than a mask; of how many lanes.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn store_first(self, _: *mut E, _: usize, _: <Pulp<Self> as Lanes<E>>::V) -> bool
    where
        Pulp<Self>: Lanes<E>,
    {
        false
    }

    /// See [`Vector::relu`].
    fn relu(self, v: <Pulp<Self> as Lanes<E>>::V) -> <Pulp<Self> as Lanes<E>>::V
    where
        Pulp<Self>: Lanes<E>;
}

/// A closure as pulp wants it.
pub struct Call<F>(pub F);

impl<R, F: FnOnce() -> R> WithSimd for Call<F> {
    type Output = R;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> R {
        (self.0)()
    }
}

/// Implements the arithmetic and the memory side for one element type. The last line of its
/// arguments: the shift from an exponent to its field, counted in 32-bit words (the high word
/// for `f64`); a number whose last digit of that word is 1, so that adding it puts a whole
/// number into those bits; the bits of the significand.
macro_rules! pulp_lanes {
    ($e:ident, $bits:ident, $v:ident, $m:ident, $u:ident, $lanes:ident,
     $splat:ident, $splat_u:ident, $partial_load:ident, $partial_store:ident,
     $add:ident, $sub:ident, $mul:ident, $div:ident, $mul_add:ident, $sqrt:ident, $abs:ident,
     $less:ident, $select:ident, $and:ident, $or:ident, $between:ident, $load:ident, $store:ident,
     $shift:literal, $magic:literal, $significand:literal) => {
        impl<S: Simd> Lanes<$e> for Pulp<S> {
            type V = S::$v;
            type Mask = S::$m;
            const LANES: usize = S::$lanes;
            // Fused on every SIMD token of pulp's; its scalar one is not used.
            const ROUNDING: Rounding = Rounding::Fused;

            #[inline(always)]
            fn splat(self, x: $e) -> S::$v {
                self.0.$splat(x)
            }
            #[inline(always)]
            fn load(self, from: &[$e]) -> S::$v {
                self.0.$partial_load(&from[..from.len().min(S::$lanes)])
            }
            #[inline(always)]
            fn store(self, to: &mut [$e], v: S::$v) {
                let len = to.len().min(S::$lanes);
                self.0.$partial_store(&mut to[..len], v);
            }
            #[inline(always)]
            fn add(self, a: S::$v, b: S::$v) -> S::$v {
                self.0.$add(a, b)
            }
            #[inline(always)]
            fn sub(self, a: S::$v, b: S::$v) -> S::$v {
                self.0.$sub(a, b)
            }
            #[inline(always)]
            fn mul(self, a: S::$v, b: S::$v) -> S::$v {
                self.0.$mul(a, b)
            }
            #[inline(always)]
            fn div(self, a: S::$v, b: S::$v) -> S::$v {
                self.0.$div(a, b)
            }
            #[inline(always)]
            fn mul_add(self, a: S::$v, b: S::$v, c: S::$v) -> S::$v {
                self.0.$mul_add(a, b, c)
            }
            #[inline(always)]
            fn sqrt(self, a: S::$v) -> S::$v {
                self.0.$sqrt(a)
            }
            #[inline(always)]
            fn abs(self, a: S::$v) -> S::$v {
                self.0.$abs(a)
            }
            #[inline(always)]
            fn less(self, a: S::$v, b: S::$v) -> S::$m {
                self.0.$less(a, b)
            }
            #[inline(always)]
            fn select(self, mask: S::$m, a: S::$v, b: S::$v) -> S::$v {
                self.0.$select(mask, a, b)
            }
            #[inline(always)]
            fn pow2(self, n: S::$v) -> S::$v {
                const BIAS: $e = ($e::MAX_EXP - 1) as $e;
                let field = self.0.$add(n, self.0.$splat($magic + BIAS));
                let shift = self.0.splat_u32s($shift);
                cast(self.0.wrapping_dyn_shl_u32s(cast(field), shift))
            }
            #[inline(always)]
            fn split(self, a: S::$v) -> (S::$v, S::$v) {
                const BIAS: $e = ($e::MAX_EXP - 1) as $e;
                let exponent_only = self.0.$splat_u(!$significand);
                let field = cast(self.0.$and(cast(a), exponent_only));
                let shifted: S::$u = cast(self.0.wrapping_dyn_shr_u32s(field, self.0.splat_u32s($shift)));
                // The magic number's power of two, with the exponent field as its low digits.
                let base: $e = $magic / 1.5;
                let whole: S::$v = cast(self.0.$or(shifted, self.0.$splat_u(base.to_bits())));
                let one = self.0.$splat_u((1.0 as $e).to_bits());
                let fraction = self.0.$and(cast(a), self.0.$splat_u($significand));
                (self.0.$sub(whole, self.0.$splat(base + BIAS)), cast(self.0.$or(fraction, one)))
            }
        }

        impl<S: Extra<$e> + Send + Sync + 'static> Vector<$e> for Pulp<S> {
            type Tail = (MemMask<S::$m>, usize);
            const HINTS: bool = <S as Extra<$e>>::HINTS;

            #[inline(always)]
            fn tail(self, n: usize) -> Self::Tail {
                // The bare mask: with what pulp keeps beside it, a load would go through a table of functions.
                (MemMask::new(self.0.$between(0, n as $bits).mask()), n)
            }
            #[inline(always)]
            unsafe fn load_at(self, p: *const $e) -> S::$v {
                // SAFETY: the caller says that LANES elements can be read.
                unsafe { p.cast::<S::$v>().read_unaligned() }
            }
            #[inline(always)]
            unsafe fn store_at(self, p: *mut $e, v: S::$v) {
                // SAFETY: the caller says that LANES elements can be written.
                unsafe { p.cast::<S::$v>().write_unaligned(v) }
            }
            #[inline(always)]
            unsafe fn store_past(self, p: *mut $e, v: S::$v) {
                // SAFETY: the contract is the same.
                unsafe { Extra::<$e>::store_past(self.0, p, v) }
            }
            #[inline(always)]
            fn settle(self) {
                Extra::<$e>::settle(self.0);
            }
            #[inline(always)]
            unsafe fn load_tail(self, p: *const $e, tail: Self::Tail) -> S::$v {
                // SAFETY: the caller says that the lanes of the mask can be read.
                unsafe { self.0.$load(tail.0, p) }
            }
            #[inline(always)]
            unsafe fn store_tail(self, p: *mut $e, tail: Self::Tail, v: S::$v) {
                // SAFETY: the caller says that the lanes of the mask, the first ones, can be written.
                unsafe {
                    if !Extra::<$e>::store_first(self.0, p, tail.1, v) {
                        self.0.$store(tail.0, p, v);
                    }
                }
            }
            #[inline(always)]
            unsafe fn turn(self, row: impl Fn(usize, usize) -> *const $e, put: impl FnMut(usize, S::$v)) {
                // SAFETY: the contract is the same.
                unsafe {
                    match size_of::<S::$v>() {
                        64 => Extra::<$e>::turn::<4>(self.0, row, put),
                        32 => Extra::<$e>::turn::<2>(self.0, row, put),
                        _ => Extra::<$e>::turn::<1>(self.0, row, put),
                    }
                }
            }
            #[inline(always)]
            unsafe fn turn_piece(self, row: impl Fn(usize, usize) -> *const $e, put: impl FnMut(usize, S::$v)) {
                // SAFETY: the contract is the same.
                unsafe { Extra::<$e>::turn::<1>(self.0, row, put) }
            }
            #[inline(always)]
            unsafe fn add_column<const MR: usize, const NRV: usize, const NEAR: bool>(
                self,
                acc: &mut [[S::$v; NRV]; MR],
                a: (*const $e, usize),
                row: &[S::$v; NRV],
            ) {
                // SAFETY: the contract is the same.
                unsafe { Extra::<$e>::add_column::<MR, NRV, NEAR>(self.0, acc, a, row) }
            }
            #[inline(always)]
            fn prefetch(self, p: *const $e) {
                Extra::<$e>::prefetch(self.0, p);
            }
            #[inline(always)]
            fn relu(self, v: S::$v) -> S::$v {
                Extra::<$e>::relu(self.0, v)
            }
            #[inline(always)]
            fn vectorize<R, F: FnOnce() -> R>(self, f: F) -> R {
                self.0.vectorize(Call(f))
            }
        }
    };
}

pulp_lanes!(
    f32,
    u32,
    f32s,
    m32s,
    u32s,
    F32_LANES,
    splat_f32s,
    splat_u32s,
    partial_load_f32s,
    partial_store_f32s,
    add_f32s,
    sub_f32s,
    mul_f32s,
    div_f32s,
    mul_add_f32s,
    sqrt_f32s,
    abs_f32s,
    less_than_f32s,
    select_f32s,
    and_u32s,
    or_u32s,
    mask_between_m32s,
    mask_load_ptr_f32s,
    mask_store_ptr_f32s,
    23,
    12582912.0,
    0x7f_ffff
);
pulp_lanes!(
    f64,
    u64,
    f64s,
    m64s,
    u64s,
    F64_LANES,
    splat_f64s,
    splat_u64s,
    partial_load_f64s,
    partial_store_f64s,
    add_f64s,
    sub_f64s,
    mul_f64s,
    div_f64s,
    mul_add_f64s,
    sqrt_f64s,
    abs_f64s,
    less_than_f64s,
    select_f64s,
    and_u64s,
    or_u64s,
    mask_between_m64s,
    mask_load_ptr_f64s,
    mask_store_ptr_f64s,
    20,
    1572864.0,
    0xf_ffff_ffff_ffff
);

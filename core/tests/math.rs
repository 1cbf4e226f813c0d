//! Accuracy and special values of the elementary functions.
//!
//! f32 is compared with the standard library's f64, f64 with double-double arithmetic. The default
//! run takes a stride of the 2³² f32 inputs; all of them:
//!
//! ```text
//!     cargo test --release -p trine-core --features std --test math -- --ignored --nocapture
//! ```
//!
//! On an x86-64 with FMA each of the three takes about 90 seconds of processor time, on two threads.

mod common;
#[path = "common/exact.rs"]
mod exact;

use common::{Random, Wide};
use exact::{Double, Exact};
use trine_core::{Element, Fused, Lanes, Unfused, math};

/// One of the functions under test, as a value that is generic over lanes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Function {
    Exp,
    Log,
    Tanh,
    Sigmoid,
    Silu,
    SiluDerivative,
    Gelu,
    GeluDerivative,
}

use Function::*;
const ALL: [Function; 8] = [Exp, Log, Tanh, Sigmoid, Silu, SiluDerivative, Gelu, GeluDerivative];

impl Function {
    #[inline(always)]
    fn on<E: Element, L: Lanes<E>>(self, lanes: L, v: L::V) -> L::V {
        match self {
            Exp => math::exp(lanes, v),
            Log => math::log(lanes, v),
            Tanh => math::tanh(lanes, v),
            Sigmoid => math::sigmoid(lanes, v),
            Silu => math::silu(lanes, v),
            SiluDerivative => math::silu_derivative(lanes, v),
            Gelu => math::gelu(lanes, v),
            GeluDerivative => math::gelu_derivative(lanes, v),
        }
    }

    /// The same in the standard library's f64.
    fn in_f64(self, x: f64) -> f64 {
        let linear = (8.0 / std::f64::consts::PI).sqrt();
        let w = linear * (x + 0.044715 * x * x * x);
        let sigmoid = |w: f64| if w < 0.0 { w.exp() / (1.0 + w.exp()) } else { 1.0 / (1.0 + (-w).exp()) };
        match self {
            Exp => x.exp(),
            Log => x.ln(),
            Tanh => x.tanh(),
            Sigmoid => sigmoid(x),
            Silu => x * sigmoid(x),
            SiluDerivative => sigmoid(x) + x * sigmoid(x) * sigmoid(-x),
            Gelu => x * sigmoid(w),
            GeluDerivative => {
                let slope = linear * (1.0 + 3.0 * 0.044715 * x * x);
                sigmoid(w) + x * slope * sigmoid(w) * sigmoid(-w)
            }
        }
    }

    /// The same to about 100 bits, where there is an oracle.
    fn exact(self, x: f64) -> Exact {
        match self {
            Exp => exact::exp(Double::of(x)),
            Log => exact::log(x),
            Tanh => exact::tanh(x),
            Sigmoid => exact::gate(Double::of(1.0), Double::of(x)),
            Silu => exact::gate(Double::of(x), Double::of(x)),
            Gelu => exact::gate(Double::of(x), exact::gelu_argument(x)),
            SiluDerivative | GeluDerivative => unreachable!("no oracle for {self:?}"),
        }
    }
}

/// Distance in units of the last place of `want`; infinity counts as the next power of 2.
fn ulps_f32(found: f32, want: f64) -> f64 {
    if want.is_nan() || found.is_nan() {
        return if want.is_nan() && found.is_nan() { 0.0 } else { f64::INFINITY };
    }
    let top = 2f64.powi(128);
    let (found, want) = ((found as f64).clamp(-top, top), want.clamp(-top, top));
    let exponent = (((want.to_bits() >> 52) & 0x7ff) as i32 - 1023).clamp(-126, 127);
    (found - want).abs() * 2f64.powi(23 - exponent)
}

/// The worst error and where it is.
#[derive(Clone, Copy, Debug, Default)]
struct Worst {
    ulps: f64,
    at: f64,
}

impl Worst {
    #[inline(always)]
    fn see(&mut self, ulps: f64, at: f64) {
        let ulps = if ulps.is_nan() { f64::INFINITY } else { ulps };
        if ulps > self.ulps {
            *self = Worst { ulps, at };
        }
    }
    fn merge(self, other: Self) -> Self {
        if other.ulps > self.ulps { other } else { self }
    }
}

const BLOCK: usize = 256;

/// Every `step`-th of the bit patterns from `start` on, both roundings.
#[inline(always)]
fn sweep_block(function: Function, start: u64, step: u64, of: [f32; 2]) -> [Worst; 2] {
    let x: [f32; BLOCK] = std::array::from_fn(|i| {
        let bits = start + step * i as u64;
        let x = f32::from_bits(bits.min(u32::MAX as u64) as u32);
        if x < of[0] || x > of[1] { of[1] } else { x }
    });
    let (mut fused, mut unfused) = ([0f32; BLOCK], [0f32; BLOCK]);
    let (f, u) = (Wide::<_, 16>(Fused), Wide::<_, 16>(Unfused));
    for ((x, fused), unfused) in x.chunks(16).zip(fused.chunks_mut(16)).zip(unfused.chunks_mut(16)) {
        f.store(fused, function.on::<f32, _>(f, f.load(x)));
        u.store(unfused, function.on::<f32, _>(u, u.load(x)));
    }
    let mut worst = [Worst::default(); 2];
    for i in 0..BLOCK {
        let want = function.in_f64(x[i] as f64);
        worst[0].see(ulps_f32(fused[i], want), x[i] as f64);
        worst[1].see(ulps_f32(unfused[i], want), x[i] as f64);
    }
    worst
}

/// The same for a machine with the instructions: the full run would take many minutes without.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn sweep_block_fma(function: Function, start: u64, step: u64, of: [f32; 2]) -> [Worst; 2] {
    sweep_block(function, start, step, of)
}

/// The worst errors (fused, unfused) over every `step`-th f32 within `of`, NaNs included.
fn sweep(function: Function, step: u64, of: [f32; 2]) -> [Worst; 2] {
    let part = |first: u64| {
        let mut worst = [Worst::default(); 2];
        let mut start = first * BLOCK as u64 * step;
        while start <= u32::MAX as u64 {
            #[cfg(target_arch = "x86_64")]
            let block = if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                // SAFETY: both features have just been detected.
                unsafe { sweep_block_fma(function, start, step, of) }
            } else {
                sweep_block(function, start, step, of)
            };
            #[cfg(not(target_arch = "x86_64"))]
            let block = sweep_block(function, start, step, of);
            worst = [worst[0].merge(block[0]), worst[1].merge(block[1])];
            start += 2 * BLOCK as u64 * step;
        }
        worst
    };
    let [a, b] = std::thread::scope(|scope| {
        let other = scope.spawn(|| part(1));
        [part(0), other.join().expect("the other half of the sweep panicked")]
    });
    [a[0].merge(b[0]), a[1].merge(b[1])]
}

fn assert_sweep(function: Function, step: u64, of: [f32; 2], bound: f64) {
    let [fused, unfused] = sweep(function, step, of);
    println!(
        "{function:?} f32: {:.3} ulp at {:e} fused, {:.3} ulp at {:e} unfused",
        fused.ulps, fused.at, unfused.ulps, unfused.at
    );
    for worst in [fused, unfused] {
        assert!(worst.ulps <= bound, "{function:?}: {} ulp at {:e}", worst.ulps, worst.at);
    }
}

const EVERYTHING: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];
/// A prime, so that the low bits vary.
const STRIDE: u64 = 997;

#[test]
fn exp_f32() {
    assert_sweep(Exp, STRIDE, EVERYTHING, 2.0);
}
#[test]
fn log_f32() {
    assert_sweep(Log, STRIDE, EVERYTHING, 2.0);
}
#[test]
fn tanh_f32() {
    assert_sweep(Tanh, STRIDE, EVERYTHING, 2.0);
}
#[test]
fn sigmoid_f32() {
    assert_sweep(Sigmoid, STRIDE, EVERYTHING, 4.0);
}
#[test]
fn silu_f32_where_well_conditioned() {
    assert_sweep(Silu, STRIDE, [-1.0, f32::MAX], 4.0);
}
#[test]
fn gelu_f32_where_well_conditioned() {
    assert_sweep(Gelu, STRIDE, [-0.5, f32::MAX], 4.0);
}
#[test]
fn derivatives_f32_where_positive() {
    assert_sweep(SiluDerivative, STRIDE, [-0.5, f32::MAX], 4.0);
    assert_sweep(GeluDerivative, STRIDE, [-0.25, f32::MAX], 4.0);
}

#[test]
#[ignore = "all 2³² inputs: see the top of this file"]
fn exp_f32_all() {
    assert_sweep(Exp, 1, EVERYTHING, 2.0);
}
#[test]
#[ignore = "all 2³² inputs: see the top of this file"]
fn log_f32_all() {
    assert_sweep(Log, 1, EVERYTHING, 2.0);
}
#[test]
#[ignore = "all 2³² inputs: see the top of this file"]
fn tanh_f32_all() {
    assert_sweep(Tanh, 1, EVERYTHING, 2.0);
}

/// The worst error over f64 values drawn by `draw`.
fn assert_f64(function: Function, draw: impl Fn(&mut Random) -> f64, bound: f64) {
    let (mut random, mut worst) = (Random(7), [Worst::default(); 2]);
    for _ in 0..300_000 {
        let x = draw(&mut random);
        let want = function.exact(x);
        worst[0].see(want.ulps(function.on(Fused, x)), x);
        worst[1].see(want.ulps(function.on(Unfused, x)), x);
    }
    println!("{function:?} f64: {:?} fused, {:?} unfused", worst[0], worst[1]);
    for worst in worst {
        assert!(worst.ulps <= bound, "{function:?}: {} ulp at {:e}", worst.ulps, worst.at);
    }
}

/// A value of either sign, its exponent evenly from a range.
fn spread(random: &mut Random, low: f64, high: f64) -> f64 {
    let magnitude = random.between(low, high).exp2();
    if random.bits() & 1 == 0 { magnitude } else { -magnitude }
}

#[test]
fn exp_f64() {
    assert_f64(Exp, |r| r.between(-708.0, 709.78), 2.0);
    assert_f64(Exp, |r| spread(r, -60.0, 6.0), 2.0);
}
#[test]
fn exp_f64_subnormal() {
    assert_f64(Exp, |r| r.between(-745.0, -708.0), 2.0);
}
#[test]
fn log_f64() {
    assert_f64(Log, |r| r.between(0.3, 3.0), 2.0);
    assert_f64(Log, |r| 1.0 + spread(r, -52.0, -2.0), 2.0);
    assert_f64(Log, |r| f64::from_bits(r.bits() % f64::MAX.to_bits() + 1), 2.0);
    assert_f64(Log, |r| f64::from_bits(r.bits() % (1 << 52) + 1), 2.0);
}
#[test]
fn tanh_f64() {
    assert_f64(Tanh, |r| r.between(-3.0, 3.0), 2.0);
    assert_f64(Tanh, |r| spread(r, -300.0, 5.0), 2.0);
}
#[test]
fn sigmoid_f64() {
    assert_f64(Sigmoid, |r| r.between(-745.0, 60.0), 4.0);
    assert_f64(Sigmoid, |r| spread(r, -60.0, 5.0), 4.0);
}
#[test]
fn silu_f64() {
    assert_f64(Silu, |r| r.between(-740.0, 60.0), 4.0);
}
#[test]
fn gelu_f64_where_well_conditioned() {
    assert_f64(Gelu, |r| r.between(-0.5, 60.0), 4.0);
}

/// Values that every function has to survive.
const SPECIAL: [f64; 24] = [
    0.0, -0.0, 1e-320, -1e-320, 1e-40, -1e-40, 1e-20, 0.54999, 0.55, -0.55, 1.0, -1.0, 8.0, -8.0, 13.0,
    -13.0, 88.72, -87.5, 103.97, -150.0, 1e6, -1e6, 1e30, -1e30,
];

fn special<E: Element>() -> impl Iterator<Item = E> {
    let far = [E::INFINITY, -E::INFINITY, E::NAN, E::from_f64(f64::MAX), E::from_f64(-f64::MAX)];
    let largest = E::of_bits(E::INFINITY.bits() - 1);
    SPECIAL.into_iter().map(E::from_f64).chain(far).chain([largest, -largest])
}

fn same_bits<E: Element>(a: E, b: E) -> bool {
    a.bits() == b.bits() || (a.to_f64().is_nan() && b.to_f64().is_nan())
}

fn lanes_agree<E: Element, S: Lanes<E, V = E, Mask = bool>>(scalar: S) {
    let mut random = Random(3);
    let drawn = (0..20_000).map(|_| E::of_bits(random.bits() >> (64 - 8 * E::BYTES)));
    let x: Vec<E> = special().chain(drawn).collect();
    let wide = Wide::<_, 4>(scalar);
    for function in ALL {
        for x in x.chunks_exact(4) {
            let found = function.on(wide, wide.load(x));
            for (&x, found) in x.iter().zip(found) {
                let want = function.on(scalar, x);
                assert!(same_bits(found, want), "{function:?}({x}): {found} on 4 lanes, {want} on one");
            }
        }
    }
}

#[test]
fn lane_width_does_not_matter() {
    lanes_agree::<f32, _>(Fused);
    lanes_agree::<f32, _>(Unfused);
    lanes_agree::<f64, _>(Fused);
    lanes_agree::<f64, _>(Unfused);
}

fn nan_only_from_nan<E: Element, S: Lanes<E, V = E>>(scalar: S) {
    for function in ALL {
        for x in special::<E>() {
            let y = function.on(scalar, x).to_f64();
            let expected = x.to_f64().is_nan() || (function == Log && x < E::ZERO);
            assert_eq!(y.is_nan(), expected, "{function:?}({x}) = {y}");
        }
    }
}

#[test]
fn nan_comes_only_from_nan_and_from_logarithms_of_negatives() {
    nan_only_from_nan::<f32, _>(Fused);
    nan_only_from_nan::<f32, _>(Unfused);
    nan_only_from_nan::<f64, _>(Fused);
    nan_only_from_nan::<f64, _>(Unfused);
}

/// f(x) is exactly y, signs of zeros included, for both types and roundings.
fn exactly(function: Function, x: f64, y: f64) {
    for found in [
        function.on(Fused, x),
        function.on(Unfused, x),
        function.on(Fused, x as f32) as f64,
        function.on(Unfused, x as f32) as f64,
    ] {
        assert_eq!(found.to_bits(), y.to_bits(), "{function:?}({x}) is {found}, expected {y}");
    }
}

#[test]
fn exact_values_of_exp() {
    for (x, y) in [(0.0, 1.0), (-0.0, 1.0), (-1e30, 0.0), (1e30, f64::INFINITY)] {
        exactly(Exp, x, y);
    }
    exactly(Exp, f64::NEG_INFINITY, 0.0);
    exactly(Exp, f64::INFINITY, f64::INFINITY);
    // The ends of the range: the last finite, the first infinite, the last above 0, the first 0.
    for lanes in [0, 1] {
        let f32s = |x: f32| if lanes == 0 { math::exp(Fused, x) } else { math::exp(Unfused, x) };
        let f64s = |x: f64| if lanes == 0 { math::exp(Fused, x) } else { math::exp(Unfused, x) };
        assert!(f32s(88.72283).is_finite() && f32s(88.72284) == f32::INFINITY);
        assert!(f32s(-103.97207) == f32::from_bits(1) && f32s(-103.97209) == 0.0);
        assert!(f64s(709.782712893384).is_finite() && f64s(709.7827128933841) == f64::INFINITY);
        assert!(f64s(-745.1332191019411) == f64::from_bits(1) && f64s(-745.1332191019412) == 0.0);
    }
}

#[test]
fn exact_values_of_log() {
    for (x, y) in [(1.0, 0.0), (0.0, f64::NEG_INFINITY), (-0.0, f64::NEG_INFINITY)] {
        exactly(Log, x, y);
    }
    exactly(Log, f64::INFINITY, f64::INFINITY);
}

#[test]
fn exact_values_of_tanh() {
    for (x, y) in [(0.0, 0.0), (-0.0, -0.0), (1e30, 1.0), (-1e30, -1.0)] {
        exactly(Tanh, x, y);
    }
    exactly(Tanh, f64::INFINITY, 1.0);
    exactly(Tanh, f64::NEG_INFINITY, -1.0);
    for tiny in [f64::from_bits(1), -f64::from_bits(9), f64::MIN_POSITIVE] {
        assert_eq!(math::tanh(Fused, tiny), tiny);
        assert_eq!(math::tanh(Unfused, tiny), tiny);
    }
}

#[test]
fn exact_values_of_gates() {
    let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
    for (x, y) in [(0.0, 0.5), (-0.0, 0.5), (low, 0.0), (high, 1.0), (-1e30, 0.0), (1e30, 1.0)] {
        exactly(Sigmoid, x, y);
    }
    for gate in [Silu, Gelu] {
        for (x, y) in [(0.0, 0.0), (-0.0, -0.0), (low, -0.0), (high, high), (-1e30, -0.0)] {
            exactly(gate, x, y);
        }
    }
    for derivative in [SiluDerivative, GeluDerivative] {
        for (x, y) in [(0.0, 0.5), (-0.0, 0.5), (high, 1.0), (1e30, 1.0)] {
            exactly(derivative, x, y);
        }
        for x in [low, -1e30] {
            assert!(derivative.on(Fused, x).abs() == 0.0 && derivative.on(Unfused, x as f32).abs() == 0.0);
        }
    }
}

/// Across the whole range an error is at most what the rounding of the argument explains.
#[test]
fn tails_of_gates_are_as_good_as_their_condition() {
    let mut random = Random(11);
    for _ in 0..200_000 {
        let z = random.between(-105.0, 20.0) as f32;
        for (function, slope) in [(Silu, 1.0), (Gelu, 4.0 * (z as f64).abs().min(15.0))] {
            let want = function.in_f64(z as f64);
            let bound = 4.0 + slope * (z as f64).abs();
            for found in [function.on(Fused, z), function.on(Unfused, z)] {
                let ulps = ulps_f32(found, want);
                assert!(ulps <= bound, "{function:?}({z}) = {found}, expected {want}: {ulps} ulp");
            }
        }
    }
}

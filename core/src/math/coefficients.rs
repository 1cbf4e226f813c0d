//! The numbers behind the functions, per type.
//!
//! The polynomials are minimax fits (Remez exchange in 60 digits) of what remains once the
//! leading terms, which are exact, are taken out; then rounded to the type.

/// Constants of a type's elementary functions.
pub trait Coefficients: Sized + 'static {
    /// `1.5·2^(p−1)`, p the digits of the significand: adding it rounds to a whole number.
    const ROUND: Self;
    /// ½.
    const HALF: Self;
    /// 2.
    const TWO: Self;
    /// √2.
    const SQRT_2: Self;
    /// `1/ln 2`.
    const LOG2_E: Self;
    /// `ln 2`, its leading bits only, so that a multiple by any exponent is exact: W. Cody, W. Waite 1980.
    const LN2_HIGH: Self;
    /// `ln 2 − LN2_HIGH`.
    const LN2_LOW: Self;

    /// From here on `e^x` is infinite.
    const EXP_MAX: Self;
    /// From here down `e^x` rounds to 0.
    const EXP_MIN: Self;
    /// `(e^r − 1 − r)/r²` on |r| ≤ 0.3466 (ln 2/2 and a little). Relative error in `e^r`:
    /// f32 2⁻²⁸·⁰, f64 2⁻⁵⁶·⁵.
    const EXP: &[Self];

    /// From here on tanh rounds to 1.
    const TANH_MAX: Self;
    /// Below, tanh is a polynomial; above, it is at least ½.
    const TANH_SMALL: Self;
    /// `(tanh(x)/x − 1)/x²` in powers of x² on |x| ≤ 0.55. Relative error in tanh:
    /// f32 2⁻²⁷·⁸, f64 2⁻⁵⁵·⁰.
    const TANH: &[Self];

    /// `(2·artanh(s)/s − 2)/s²` in powers of s² on |s| ≤ (√2−1)/(√2+1). Relative error in the
    /// logarithm: f32 2⁻³⁰·¹, f64 2⁻⁵⁸·⁹.
    const LOG: &[Self];
    /// The smallest normal number.
    const TINY: Self;
    /// The smallest positive number.
    const TINIEST: Self;
    /// Digits of the significand: what makes a subnormal number normal.
    const LIFT: Self;
    /// `2^LIFT`.
    const LIFT_FACTOR: Self;

    /// A number so low that `e^x` is far below the smallest number, and still two factors of
    /// normal exponents make it up.
    const LOGISTIC_MIN: Self;
    /// From here down `z·sigmoid(z)` rounds to 0.
    const SILU_MIN: Self;
    /// From here down GELU rounds to 0.
    const GELU_MIN: Self;
    /// `2·√(2/π)`.
    const GELU_LINEAR: Self;
    /// `2·√(2/π)·0.044715`.
    const GELU_CUBIC: Self;
}

impl Coefficients for f32 {
    const ROUND: Self = 1.5 * (1u32 << 23) as f32;
    const HALF: Self = 0.5;
    const TWO: Self = 2.0;
    const SQRT_2: Self = core::f32::consts::SQRT_2;
    const LOG2_E: Self = core::f32::consts::LOG2_E;
    const LN2_HIGH: Self = 0.69314575;
    const LN2_LOW: Self = 1.4286068e-6;

    const EXP_MAX: Self = 89.0;
    const EXP_MIN: Self = -104.0;
    const EXP: &[Self] = &[0.49999994, 0.16666521, 0.041668374, 0.008368741, 0.0013815928];

    const TANH_MAX: Self = 9.25;
    const TANH_SMALL: Self = 0.55;
    const TANH: &[Self] = &[-0.33333316, 0.13332586, -0.05385231, 0.021071678, -0.006274239];

    const LOG: &[Self] = &[0.66666776, 0.39977527, 0.29872283];
    const TINY: Self = f32::MIN_POSITIVE;
    const TINIEST: Self = f32::from_bits(1);
    const LIFT: Self = 24.0;
    const LIFT_FACTOR: Self = (1u32 << 24) as f32;

    const LOGISTIC_MIN: Self = -170.0;
    const SILU_MIN: Self = -120.0;
    const GELU_MIN: Self = -12.0;
    const GELU_LINEAR: Self = 1.595_769;
    const GELU_CUBIC: Self = 0.071354814;
}

impl Coefficients for f64 {
    const ROUND: Self = 1.5 * (1u64 << 52) as f64;
    const HALF: Self = 0.5;
    const TWO: Self = 2.0;
    const SQRT_2: Self = core::f64::consts::SQRT_2;
    const LOG2_E: Self = core::f64::consts::LOG2_E;
    const LN2_HIGH: Self = 0.6931471805592082;
    const LN2_LOW: Self = 7.371002565167799e-13;

    const EXP_MAX: Self = 710.0;
    const EXP_MIN: Self = -745.5;
    const EXP: &[Self] = &[
        0.5000000000000011,
        0.16666666666666416,
        0.04166666666652966,
        0.008333333333492052,
        0.0013888888943770254,
        0.0001984126951288231,
        2.4801492943633007e-5,
        2.755757978663421e-6,
        2.7630307066230573e-7,
        2.500244581597052e-8,
    ];

    const TANH_MAX: Self = 19.25;
    const TANH_SMALL: Self = 0.55;
    const TANH: &[Self] = &[
        -0.33333333333332316,
        0.133333333331687,
        -0.05396825387607749,
        0.02186948597478053,
        -0.008863194503946818,
        0.0035917196969868807,
        -0.0014532167558174423,
        0.0005791370151628842,
        -0.00021030239951940705,
        5.1021478086259266e-5,
    ];

    const LOG: &[Self] = &[
        0.6666666666666735,
        0.399999999994128,
        0.2857142874288756,
        0.22222198513859226,
        0.18183567806559978,
        0.15313951791461589,
        0.14797031076790426,
    ];
    const TINY: Self = f64::MIN_POSITIVE;
    const TINIEST: Self = f64::from_bits(1);
    const LIFT: Self = 53.0;
    const LIFT_FACTOR: Self = (1u64 << 53) as f64;

    const LOGISTIC_MIN: Self = -1400.0;
    const SILU_MIN: Self = -760.0;
    const GELU_MIN: Self = -22.5;
    const GELU_LINEAR: Self = 1.5957691216057308;
    const GELU_CUBIC: Self = 0.07135481627260025;
}

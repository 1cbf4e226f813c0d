//! The oracle for f64: double-double arithmetic (T. Dekker 1971), about 100 bits.

/// An unevaluated sum of two numbers, the second at most half a last place of the first.
#[derive(Clone, Copy, Debug)]
pub struct Double(pub f64, pub f64);

fn quick(a: f64, b: f64) -> Double {
    let s = a + b;
    Double(s, b - (s - a))
}

impl Double {
    pub fn of(x: f64) -> Self {
        Double(x, 0.0)
    }
    pub fn add(self, o: Self) -> Self {
        let s = self.0 + o.0;
        let v = s - self.0;
        quick(s, (self.0 - (s - v)) + (o.0 - v) + (self.1 + o.1))
    }
    pub fn mul(self, o: Self) -> Self {
        let p = self.0 * o.0;
        quick(p, self.0.mul_add(o.0, -p) + (self.0 * o.1 + self.1 * o.0))
    }
    pub fn neg(self) -> Self {
        Double(-self.0, -self.1)
    }
    pub fn div(self, o: Self) -> Self {
        let q = self.0 / o.0;
        let rest = self.add(o.mul(Double::of(-q)));
        quick(q, (rest.0 + rest.1) / o.0)
    }
    fn scale(self, f: f64) -> Self {
        Double(self.0 * f, self.1 * f)
    }
}

/// A number `value·2^exponent`, so that values under the normal range keep their digits.
#[derive(Clone, Copy, Debug)]
pub struct Exact {
    pub value: Double,
    pub exponent: i32,
}

/// x·2^n without a rounding between, for |n| up to 2000.
pub fn ldexp(x: f64, n: i32) -> f64 {
    let half = n / 2;
    x * 2f64.powi(half) * 2f64.powi(n - half)
}

impl Exact {
    fn of(value: Double) -> Self {
        Exact { value, exponent: 0 }
    }

    /// How far `found` is from this, in units of the last place of the exact value.
    pub fn ulps(self, found: f64) -> f64 {
        let top = ilogb(self.value.0);
        let last = (top + self.exponent).max(-1022) - 52 - self.exponent;
        let found = ldexp(found, -self.exponent);
        ldexp(((found - self.value.0) - self.value.1).abs(), -last)
    }
}

fn ilogb(x: f64) -> i32 {
    ((x.to_bits() >> 52 & 0x7ff) as i32) - 1023
}

/// ln 2.
const LN_2: Double = Double(core::f64::consts::LN_2, 2.3190468138462996e-17);

/// e^x by argument reduction, the power series and eight squarings.
pub fn exp(x: Double) -> Exact {
    let k = (x.0 / core::f64::consts::LN_2).round();
    let r = x.add(LN_2.mul(Double::of(-k))).scale(1.0 / 256.0);
    let mut sum = Double::of(1.0);
    for i in (1..=12).rev() {
        sum = Double::of(1.0).add(sum.mul(r).div(Double::of(i as f64)));
    }
    for _ in 0..8 {
        sum = sum.mul(sum);
    }
    Exact { value: sum, exponent: k as i32 }
}

/// ln x for positive x: near 1 the power series, else a step of Newton's method from the
/// library's result.
pub fn log(x: f64) -> Exact {
    let t = x - 1.0;
    if t.abs() < 0.01 {
        let t = Double::of(t);
        let terms = (1..=18).rev();
        let sum =
            terms.fold(Double::of(0.0), |s, i| Double::of(1.0).div(Double::of(i as f64)).add(s.mul(t).neg()));
        return Exact::of(sum.mul(t));
    }
    let y = x.ln();
    let inverse = exp(Double::of(-y));
    let d = Double::of(ldexp(x, inverse.exponent)).mul(inverse.value).add(Double::of(-1.0));
    Exact::of(Double::of(y).add(d).add(Double::of(-0.5 * d.0 * d.0)))
}

/// tanh x for x of the normal range.
pub fn tanh(x: f64) -> Exact {
    if x.abs() < 1e-5 {
        return Exact::of(quick(x, -x * x * x / 3.0));
    }
    let e = exp(Double::of(-2.0 * x.abs()));
    let (one, e) = (Double::of(1.0), Double(ldexp(e.value.0, e.exponent), ldexp(e.value.1, e.exponent)));
    let t = one.add(e.neg()).div(one.add(e));
    Exact::of(if x < 0.0 { t.neg() } else { t })
}

/// `z·sigmoid(w)`.
pub fn gate(z: Double, w: Double) -> Exact {
    let e = exp(if w.0 > 0.0 { w.neg() } else { w });
    let plain = Double(ldexp(e.value.0, e.exponent), ldexp(e.value.1, e.exponent));
    let below = Double::of(1.0).add(plain);
    if w.0 < 0.0 {
        Exact { value: z.mul(e.value).div(below), exponent: e.exponent }
    } else {
        Exact::of(z.div(below))
    }
}

/// The argument of GELU's sigmoid, `2·√(2/π)·(z + 0.044715·z³)`, z a number or its double.
pub fn gelu_argument(z: f64) -> Double {
    // 2·√(2/π) and 0.044715 to twice the digits.
    let linear = Double(1.5957691216057308, -9.96930880911092e-17);
    let cubic = Double::of(44715.0).div(Double::of(1e6));
    let z = Double::of(z);
    linear.mul(z.add(cubic.mul(z).mul(z).mul(z)))
}

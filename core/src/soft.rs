//! Fused multiply-add and square root in integers, for builds without the standard library:
//! `core` has neither on stable. Correctly rounded (to nearest, ties to even), so they give the
//! same bits as an instruction does.
//!
//! Method: exact integer arithmetic on the significands with a sticky bit for what is shifted
//! out, as in J. Hauser's SoftFloat.
#![cfg_attr(feature = "std", allow(dead_code))]

/// A finite, non-zero number as `significand · 2^exponent`, significand in [2⁵², 2⁵³).
fn decode(x: f64) -> (bool, u64, i32) {
    let bits = x.to_bits();
    let (field, fraction) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
    let negative = bits >> 63 != 0;
    if field == 0 {
        let shift = fraction.leading_zeros() - 11;
        (negative, fraction << shift, -1074 - shift as i32)
    } else {
        (negative, fraction | 1 << 52, field - 1075)
    }
}

/// `m · 2^e`, rounded. Bits below `m` may have been folded into its lowest bit if `m ≥ 2⁵⁵`.
fn encode(negative: bool, m: u128, e: i32) -> f64 {
    let width = 128 - m.leading_zeros() as i32;
    let unit = (e + width - 53).max(-1074);
    let shift = unit - e;
    let rounded = if shift <= 0 {
        (m << -shift) as u64
    } else if shift > width + 1 {
        0
    } else {
        let (kept, rest) = if shift == 128 { (0, m) } else { (m >> shift, m & ((1 << shift) - 1)) };
        let half = 1u128 << (shift - 1);
        (kept + u128::from(rest > half || (rest == half && kept & 1 == 1))) as u64
    };
    // A carry out of the significand moves on into the exponent field by itself.
    let magnitude = if rounded < 1 << 52 {
        rounded
    } else if unit + 1075 >= 2047 {
        f64::INFINITY.to_bits()
    } else {
        ((unit + 1075) as u64) * (1 << 52) + (rounded - (1 << 52))
    };
    let magnitude = magnitude.min(f64::INFINITY.to_bits());
    f64::from_bits(magnitude | (negative as u64) << 63)
}

/// Right shift that keeps a 1 for whatever was shifted out.
fn shift_right_jam(m: u128, by: u32) -> u128 {
    if by >= 128 { (m != 0) as u128 } else { (m >> by) | u128::from(m & ((1 << by) - 1) != 0) }
}

/// `a·b + c`, rounded once.
pub fn fused_f64(a: f64, b: f64, c: f64) -> f64 {
    if !(a.is_finite() && b.is_finite() && c.is_finite()) || a == 0.0 || b == 0.0 {
        // The product is exact or not a number: ordinary arithmetic rounds once.
        return if a.is_finite() && b.is_finite() && !c.is_finite() { c } else { a * b + c };
    }
    if c == 0.0 {
        return a * b;
    }
    let ((sa, ma, ea), (sb, mb, eb), (sc, mc, ec)) = (decode(a), decode(b), decode(c));
    let negative = sa != sb;
    // Product in [2¹²⁴, 2¹²⁶) with 20 zero bits below it.
    let (mut p, mut e) = ((ma as u128 * mb as u128) << 20, ea + eb - 20);
    let apart = ec - e;
    let c = if apart < 0 {
        shift_right_jam(mc as u128, apart.unsigned_abs())
    } else if apart <= 73 {
        (mc as u128) << apart
    } else {
        // The zero bits make the first 20 places free, and after those nothing can cancel.
        p = shift_right_jam(p, (apart - 73) as u32);
        e = ec - 73;
        (mc as u128) << 73
    };
    if negative == sc {
        return encode(negative, p + c, e);
    }
    match p.cmp(&c) {
        core::cmp::Ordering::Equal => 0.0,
        core::cmp::Ordering::Greater => encode(negative, p - c, e),
        core::cmp::Ordering::Less => encode(sc, c - p, e),
    }
}

/// `a·b + c`, rounded once. The product is exact in `f64`; the sum is rounded to odd there
/// (S. Boldo, G. Melquiond 2008), so that the second rounding, to `f32`, is the only one that counts.
pub fn fused_f32(a: f32, b: f32, c: f32) -> f32 {
    let (p, c) = (a as f64 * b as f64, c as f64);
    let sum = p + c;
    if !sum.is_finite() {
        return sum as f32;
    }
    // Knuth's TwoSum: the error of the sum, exactly.
    let v = sum - p;
    let error = (p - (sum - v)) + (c - v);
    let bits = sum.to_bits();
    if error == 0.0 || bits & 1 == 1 {
        return sum as f32;
    }
    let outwards = (error > 0.0) == (sum > 0.0);
    f64::from_bits(if outwards { bits + 1 } else { bits - 1 }) as f32
}

/// The square root, correctly rounded.
pub fn sqrt_f64(x: f64) -> f64 {
    if x == 0.0 || x == f64::INFINITY {
        return x;
    }
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    let (_, m, e) = decode(x);
    // An even exponent and a root of at least 61 bits, so that the sticky bit lies below the rounding.
    let shift = 70 + (e & 1) as u32;
    let (m, e) = ((m as u128) << shift, (e - shift as i32) / 2);
    let mut root = 0u128;
    let mut bit = 1u128 << 62;
    while bit != 0 {
        let next = root | bit;
        if next * next <= m {
            root = next;
        }
        bit >>= 1;
    }
    encode(false, root << 1 | u128::from(root * root != m), e - 1)
}

/// The square root, correctly rounded: rounding twice is harmless, as 53 ≥ 2·24 + 2.
pub fn sqrt_f32(x: f32) -> f32 {
    sqrt_f64(x as f64) as f32
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    /// SplitMix64.
    struct Random(u64);

    impl Random {
        fn bits(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ z >> 31
        }

        fn below(&mut self, n: i64) -> i64 {
            (self.bits() % n as u64) as i64
        }

        /// A significand of random, few, all or no bits: what makes halves and long carries.
        fn fraction(&mut self, width: u32) -> u64 {
            let all = (1 << width) - 1;
            let some = self.bits();
            match self.below(6) {
                0 => 0,
                1 => all,
                2 => 1 << self.below(width as i64),
                3 => all << self.below(width as i64) & all,
                4 => all >> self.below(width as i64),
                _ => some & all,
            }
        }
    }

    macro_rules! against_std {
        ($name:ident, $t:ident, $bits:ident, $fused:ident, $sqrt:ident) => {
            mod $name {
                use super::*;

                const WIDTH: u32 = $t::MANTISSA_DIGITS - 1;
                const FIELDS: i64 = 1 << ($bits::BITS - $t::MANTISSA_DIGITS);

                /// A number with this exponent field, kept within the range of fields.
                fn number(random: &mut Random, field: i64) -> $t {
                    let field = field.clamp(0, FIELDS - 1) as u64;
                    let sign = random.bits() >> 63 << ($bits::BITS - 1);
                    $t::from_bits((sign | field << WIDTH | random.fraction(WIDTH)) as $bits)
                }

                fn check_fused(a: $t, b: $t, c: $t) {
                    let (found, want) = ($fused(a, b, c), a.mul_add(b, c));
                    assert!(
                        found.to_bits() == want.to_bits() || (found.is_nan() && want.is_nan()),
                        "{a:e}·{b:e} + {c:e} is {want:e}, not {found:e}"
                    );
                }

                fn check_sqrt(a: $t) {
                    let (found, want) = ($sqrt(a), a.sqrt());
                    assert!(
                        found.to_bits() == want.to_bits() || (found.is_nan() && want.is_nan()),
                        "the root of {a:e} is {want:e}, not {found:e}"
                    );
                }

                const SPECIAL: [$t; 14] = [
                    0.0,
                    -0.0,
                    1.0,
                    -1.0,
                    0.5,
                    3.0,
                    $t::from_bits(1),
                    -$t::from_bits(1),
                    $t::MIN_POSITIVE,
                    $t::MAX,
                    $t::MIN,
                    $t::INFINITY,
                    $t::NEG_INFINITY,
                    $t::NAN,
                ];

                #[test]
                fn special_values() {
                    for a in SPECIAL {
                        check_sqrt(a);
                        for b in SPECIAL {
                            for c in SPECIAL {
                                check_fused(a, b, c);
                            }
                        }
                    }
                }

                #[test]
                fn fused_on_any_bits() {
                    let mut random = Random(1);
                    for _ in 0..1_000_000 {
                        let [a, b, c] = [0; 3].map(|_| $t::from_bits(random.bits() as $bits));
                        check_fused(a, b, c);
                    }
                }

                /// The sum's exponent near the product's: cancellation, halves, sticky bits.
                #[test]
                fn fused_near_cancellation() {
                    let mut random = Random(2);
                    let reach = 2 * WIDTH as i64 + 8;
                    for _ in 0..2_000_000 {
                        let (i, j) = (random.below(FIELDS), random.below(FIELDS));
                        let (a, b) = (number(&mut random, i), number(&mut random, j));
                        let product = i + j - (FIELDS / 2 - 1);
                        let apart = random.below(2 * reach) - reach;
                        let c = number(&mut random, product + apart);
                        check_fused(a, b, c);
                        // All but the error of the product.
                        check_fused(a, b, -(a * b));
                        let next = $t::from_bits((a * b).to_bits() ^ 1);
                        check_fused(a, b, -next);
                    }
                }

                /// Results at the ends of the range: subnormal, zero, infinite.
                #[test]
                fn fused_at_the_ends() {
                    let mut random = Random(3);
                    for _ in 0..2_000_000 {
                        let width = WIDTH as i64;
                        let low = random.bits() & 1 == 0;
                        let near = |random: &mut Random| random.below(2 * width + 8) - width - 4;
                        let product = if low { near(&mut random) } else { FIELDS - 1 - random.below(4) };
                        let i = random.below(FIELDS);
                        let j = product - i + (FIELDS / 2 - 1);
                        let field = if low { near(&mut random) } else { FIELDS - 1 - random.below(4) };
                        let (a, b) = (number(&mut random, i), number(&mut random, j));
                        let c = number(&mut random, field);
                        check_fused(a, b, c);
                    }
                }

                #[test]
                fn square_roots() {
                    let mut random = Random(4);
                    for _ in 0..300_000 {
                        check_sqrt($t::from_bits(random.bits() as $bits));
                        let field = random.below(FIELDS);
                        let root = number(&mut random, field).abs();
                        check_sqrt(root);
                        // Squares and their neighbours, where a root is barely exact.
                        let square = root * root;
                        check_sqrt(square);
                        check_sqrt($t::from_bits(square.to_bits().wrapping_add(1)));
                        check_sqrt($t::from_bits(square.to_bits().saturating_sub(1)));
                        let subnormal = number(&mut random, 0).abs();
                        check_sqrt(subnormal);
                    }
                }
            }
        };
    }

    against_std!(single, f32, u32, fused_f32, sqrt_f32);
    against_std!(double, f64, u64, fused_f64, sqrt_f64);
}

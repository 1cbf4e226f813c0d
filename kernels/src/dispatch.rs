//! The only place that chooses an instruction set.

use trine_core::{Element, Error, Rounding};

use crate::isa::portable::Portable;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
use crate::isa::sse2::Sse2;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use crate::isa::wasm::Simd128;
use crate::isa::{Isa, Kernels};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use crate::vector::Pulp;

impl Isa {
    /// Whether this machine can use it: asked of the operating system with `std`, else of the CPU.
    pub fn is_available(self) -> bool {
        Token::detect(self).is_some()
    }

    /// The widest that this machine can use.
    pub fn best() -> Isa {
        Isa::ALL.into_iter().rev().find(|isa| isa.is_available()).unwrap_or(Isa::Portable)
    }

    /// How its multiply-add rounds for `E`. Results agree bit for bit among all of one rounding.
    pub fn rounding<E: Dispatch>(self) -> Rounding {
        match self {
            Isa::Portable => <Portable as trine_core::Lanes<E>>::ROUNDING,
            Isa::Simd128 | Isa::Sse2 => Rounding::Unfused,
            _ => Rounding::Fused,
        }
    }
}

/// Proof that this machine can use an instruction set.
#[derive(Clone, Copy, Debug)]
pub struct Token(Unit);

#[derive(Clone, Copy, Debug)]
enum Unit {
    Portable(Portable),
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128(Simd128),
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    Sse2(Sse2),
    #[cfg(target_arch = "x86_64")]
    Avx2(Pulp<pulp::x86::V3>),
    #[cfg(target_arch = "x86_64")]
    Avx512(Pulp<pulp::x86::V4>),
    #[cfg(target_arch = "aarch64")]
    Neon(Pulp<pulp::aarch64::Neon>),
}

impl Token {
    /// The proof for `isa`, if this machine has it.
    pub fn detect(isa: Isa) -> Option<Token> {
        Some(Token(match isa {
            Isa::Portable => Unit::Portable(Portable),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Isa::Simd128 => Unit::Simd128(Simd128),
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Isa::Sse2 => Unit::Sse2(Sse2),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Unit::Avx2(Pulp(x86::v3()?)),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Unit::Avx512(Pulp(x86::v4()?)),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Unit::Neon(Pulp(neon()?)),
            #[allow(unreachable_patterns, reason = "the ISAs of other architectures")]
            _ => return None,
        }))
    }

    /// The proof for `isa`, or why there is none.
    pub(crate) fn require(isa: Isa) -> Result<Token, Error> {
        Token::detect(isa).ok_or(Error::Isa { wanted: isa.name(), reason: "this machine does not have it" })
    }

    /// What it proves.
    pub fn isa(self) -> Isa {
        match self.0 {
            Unit::Portable(_) => Isa::Portable,
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Unit::Simd128(_) => Isa::Simd128,
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Unit::Sse2(_) => Isa::Sse2,
            #[cfg(target_arch = "x86_64")]
            Unit::Avx2(_) => Isa::Avx2,
            #[cfg(target_arch = "x86_64")]
            Unit::Avx512(_) => Isa::Avx512,
            #[cfg(target_arch = "aarch64")]
            Unit::Neon(_) => Isa::Neon,
        }
    }
}

/// A token that the caller already holds is as good a proof.
#[cfg(target_arch = "x86_64")]
impl From<pulp::x86::V3> for Token {
    fn from(token: pulp::x86::V3) -> Self {
        Token(Unit::Avx2(Pulp(token)))
    }
}

/// A token that the caller already holds is as good a proof.
#[cfg(target_arch = "x86_64")]
impl From<pulp::x86::V4> for Token {
    fn from(token: pulp::x86::V4) -> Self {
        Token(Unit::Avx512(Pulp(token)))
    }
}

/// A token that the caller already holds is as good a proof.
#[cfg(target_arch = "aarch64")]
impl From<pulp::aarch64::Neon> for Token {
    fn from(token: pulp::aarch64::Neon) -> Self {
        Token(Unit::Neon(Pulp(token)))
    }
}

#[cfg(target_arch = "aarch64")]
fn neon() -> Option<pulp::aarch64::Neon> {
    // SAFETY: only where the target's baseline has NEON.
    #[cfg(target_feature = "neon")]
    return Some(unsafe { pulp::aarch64::Neon::new_unchecked() });
    #[cfg(not(target_feature = "neon"))]
    None
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use pulp::x86::{V3, V4};

    #[cfg(feature = "std")]
    pub fn v3() -> Option<V3> {
        V3::try_new()
    }

    #[cfg(feature = "std")]
    pub fn v4() -> Option<V4> {
        V4::try_new()
    }

    #[cfg(not(feature = "std"))]
    pub fn v3() -> Option<V3> {
        // SAFETY: the CPU has what the token stands for, and the operating system saves its registers.
        crate::cpuid::this_machine().avx2.then(|| unsafe { V3::new_unchecked() })
    }

    #[cfg(not(feature = "std"))]
    pub fn v4() -> Option<V4> {
        // SAFETY: the CPU has what the token stands for, and the operating system saves its registers.
        crate::cpuid::this_machine().avx512.then(|| unsafe { V4::new_unchecked() })
    }
}

/// Work that is generic over the vector unit.
pub trait Job<E: Element> {
    /// What it returns.
    type Output;
    /// Does it.
    fn run<V: Kernels<E>>(self, v: V) -> Self::Output;
}

/// An element type that a token can be turned into a vector unit for.
pub trait Dispatch: Element {
    /// Runs the job on the unit of the token.
    #[doc(hidden)]
    fn run<J: Job<Self>>(token: Token, job: J) -> J::Output;
}

macro_rules! dispatch {
    ($($e:ident)*) => {
        $(impl Dispatch for $e {
            #[inline(always)]
            fn run<J: Job<$e>>(token: Token, job: J) -> J::Output {
                match token.0 {
                    Unit::Portable(v) => job.run(v),
                    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
                    Unit::Simd128(v) => job.run(v),
                    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
                    Unit::Sse2(v) => job.run(v),
                    #[cfg(target_arch = "x86_64")]
                    Unit::Avx2(v) => job.run(v),
                    #[cfg(target_arch = "x86_64")]
                    Unit::Avx512(v) => job.run(v),
                    #[cfg(target_arch = "aarch64")]
                    Unit::Neon(v) => job.run(v),
                }
            }
        })*
    };
}

dispatch!(f32);
#[cfg(feature = "f64")]
dispatch!(f64);

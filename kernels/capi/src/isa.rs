//! Instruction sets by number and name.

use core::ffi::{CStr, c_char};

use trine_core::Rounding;
use trine_kernels::Isa;

use crate::status::Failure;

/// Instruction sets. The numbers stay as they are.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum trine_isa {
    /// The one that the environment variable TRINE_ISA names, else the best.
    ENVIRONMENT = -1,
    /// The best of this machine.
    BEST = 0,
    /// One value at a time, on any machine.
    PORTABLE = 1,
    /// x86-64, any.
    SSE2 = 2,
    /// x86-64 with AVX2 and FMA.
    AVX2 = 3,
    /// x86-64 with AVX-512 F, BW, CD, DQ and VL.
    AVX512 = 4,
    /// aarch64.
    NEON = 5,
    /// WebAssembly with simd128.
    SIMD128 = 6,
}

/// Types of elements.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum trine_element {
    /// float
    F32 = 0,
    /// double
    F64 = 1,
}

const NAMED: [(trine_isa, Isa, &CStr); 6] = [
    (trine_isa::PORTABLE, Isa::Portable, c"portable"),
    (trine_isa::SIMD128, Isa::Simd128, c"simd128"),
    (trine_isa::SSE2, Isa::Sse2, c"sse2"),
    (trine_isa::NEON, Isa::Neon, c"neon"),
    (trine_isa::AVX2, Isa::Avx2, c"avx2"),
    (trine_isa::AVX512, Isa::Avx512, c"avx512"),
];

/// The number that an instruction set has in C.
pub(crate) fn number(isa: Isa) -> i32 {
    NAMED.iter().find(|(_, known, _)| *known == isa).map_or(0, |(number, ..)| *number as i32)
}

/// The instruction set that a number stands for.
pub(crate) fn known(isa: i32) -> Result<Isa, Failure> {
    if isa == trine_isa::BEST as i32 {
        return Ok(Isa::best());
    }
    if isa == trine_isa::ENVIRONMENT as i32 {
        return Ok(match std::env::var_os("TRINE_ISA") {
            Some(name) => name.to_str().unwrap_or_default().parse()?,
            None => Isa::best(),
        });
    }
    let found = NAMED.iter().find(|(number, ..)| *number as i32 == isa);
    found.map(|(_, isa, _)| *isa).ok_or(Failure::Constant { operand: "isa", found: isa })
}

/// The instruction sets that this machine has, the best one last: at most `room` of them to `list`, which
/// may be null if `room` is 0. Returns how many there are.
///
/// # Safety
/// `list` has room for `room` numbers.
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trine_isa_list(list: *mut i32, room: usize) -> usize {
    let room = if list.is_null() { 0 } else { room };
    let available = || Isa::ALL.into_iter().filter(|isa| isa.is_available());
    for (i, isa) in available().take(room).enumerate() {
        // SAFETY: fewer than `room`, as the caller says.
        unsafe { list.add(i).write_unaligned(number(isa)) };
    }
    available().count()
}

/// Whether this machine has the instruction set: 1 or 0; 0 for what is no trine_isa.
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub extern "C" fn trine_isa_available(isa: i32) -> i32 {
    known(isa).is_ok_and(Isa::is_available).into()
}

/// Its name, such as "avx2", as in TRINE_ISA; null for what is no trine_isa. Of TRINE_ISA_BEST and
/// TRINE_ISA_ENVIRONMENT it is the name of what they stand for.
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub extern "C" fn trine_isa_name(isa: i32) -> *const c_char {
    let named = known(isa).ok().and_then(|isa| NAMED.iter().find(|(_, known, _)| *known == isa));
    named.map_or(core::ptr::null(), |(_, _, name)| name.as_ptr())
}

/// The instruction set of this name, or −2 if there is none.
///
/// # Safety
/// `name` is null or a text closed by a zero.
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trine_isa_named(name: *const c_char) -> i32 {
    if name.is_null() {
        return -2;
    }
    // SAFETY: a text, as the caller says.
    let name = unsafe { CStr::from_ptr(name) };
    NAMED.iter().find(|(_, _, known)| *known == name).map_or(-2, |(number, ..)| *number as i32)
}

/// Whether its multiply-add is rounded once: 1, or 0 if it is rounded after the product and after the sum; −1
/// for what is no trine_isa or no trine_element. Results are the same bits among all that return the same.
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub extern "C" fn trine_isa_is_fused(isa: i32, element: i32) -> i32 {
    let rounding = match (known(isa), element) {
        (Ok(isa), 0) => isa.rounding::<f32>(),
        (Ok(isa), 1) => isa.rounding::<f64>(),
        _ => return -1,
    };
    (rounding == Rounding::Fused).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_has_a_number_and_its_name() {
        for isa in Isa::ALL {
            assert_eq!(known(number(isa)).expect("a number"), isa);
            // SAFETY: texts of the program.
            let name = unsafe { CStr::from_ptr(trine_isa_name(number(isa))) };
            assert_eq!(name.to_str(), Ok(isa.name()));
            // SAFETY: a text closed by a zero.
            assert_eq!(unsafe { trine_isa_named(name.as_ptr()) }, number(isa));
            assert_eq!(trine_isa_available(number(isa)), isa.is_available().into());
        }
        for none in [-2, 99, i32::MAX, i32::MIN] {
            assert!(known(none).is_err() && trine_isa_name(none).is_null());
            assert_eq!((trine_isa_available(none), trine_isa_is_fused(none, 0)), (0, -1));
        }
        assert_eq!(trine_isa_is_fused(1, 2), -1);
        // SAFETY: texts, or null.
        unsafe {
            assert_eq!(trine_isa_named(core::ptr::null()), -2);
            assert_eq!(trine_isa_named(c"AVX2".as_ptr()), -2);
        }
    }

    #[test]
    fn the_list_keeps_to_its_room() {
        let available: Vec<_> = Isa::ALL.into_iter().filter(|isa| isa.is_available()).map(number).collect();
        let mut list = [77; 9];
        // SAFETY: the room is that of the list, or less.
        unsafe {
            assert_eq!(trine_isa_list(core::ptr::null_mut(), 9), available.len());
            assert_eq!(trine_isa_list(list.as_mut_ptr(), 1), available.len());
            assert_eq!((list[0], list[1]), (available[0], 77));
            assert_eq!(trine_isa_list(list.as_mut_ptr(), list.len()), available.len());
        }
        assert_eq!(list[..available.len()], available);
        assert!(list[available.len()..].iter().all(|&isa| isa == 77));
        assert_eq!(available.last(), Some(&number(Isa::best())));
    }
}

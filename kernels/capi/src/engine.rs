//! The opaque handle: an engine, with memory and threads of its own, or in the caller's memory.

use core::mem::MaybeUninit;
use std::alloc;

use trine_kernels::{Engine, Line, Op, scratch_len};

use crate::isa::{known, number};
use crate::status::{Failure, guarded, guarded_or, trine_status};

/// Computes layers on one instruction set. Used by one thread at a time; several engines are independent of
/// each other.
pub struct trine_engine {
    engine: Engine<'static>,
    /// Whether it is in memory of the caller's.
    placed: bool,
}

/// What an engine is asked to do, for the length of its memory.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum trine_op {
    /// trine_forward
    FORWARD = 0,
    /// trine_backward
    BACKWARD = 1,
    /// trine_step
    STEP = 2,
    /// trine_gemm, n×d times d×m
    GEMM = 3,
}

impl trine_engine {
    /// What computes.
    pub(crate) fn engine(&mut self) -> &mut Engine<'static> {
        &mut self.engine
    }
}

/// The engine of a call.
///
/// # Safety
/// Null or an engine that no one else uses during the call.
pub(crate) unsafe fn used<'a>(engine: *mut trine_engine) -> Result<&'a mut trine_engine, Failure> {
    // SAFETY: as the caller says.
    unsafe { engine.as_mut() }.ok_or(Failure::Null("engine"))
}

/// A new engine. `isa` is a trine_isa; `threads` the most that it uses (0 is 1): the caller's and others of its
/// own, which end with it; fewer if the system gives no more. In a forked process they are missing, and the caller's
/// works alone. Its scratch memory is made at the first call and grows with larger layers. To be freed with
/// trine_engine_free; `*engine` is null if there is none.
///
/// Errors: NULL, VALUE (no trine_isa), ISA, RESOURCES.
///
/// # Safety
/// `engine` is null or a place for a pointer.
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trine_engine_new(
    isa: i32,
    threads: usize,
    engine: *mut *mut trine_engine,
) -> trine_status {
    guarded(|| {
        // SAFETY: a place for a pointer, as the caller says.
        let engine = unsafe { engine.cast::<MaybeUninit<*mut trine_engine>>().as_mut() }
            .ok_or(Failure::Null("engine"))?;
        engine.write(core::ptr::null_mut());
        let found = Engine::with_isa(known(isa)?)?.with_threads(threads);
        // SAFETY: the type has a size.
        let place = unsafe { alloc::alloc(alloc::Layout::new::<trine_engine>()) }.cast::<trine_engine>();
        if place.is_null() {
            return Err(Failure::Resources("memory"));
        }
        // SAFETY: fresh memory of its layout.
        unsafe {
            place.write(trine_engine { engine: found, placed: false });
        }
        engine.write(place);
        Ok(())
    })
}

/// Lines that the handle takes at the beginning of the caller's memory.
const HANDLE: usize = size_of::<trine_engine>().div_ceil(size_of::<Line>());

/// A new engine of one thread in `bytes` bytes of the caller's memory, of any alignment. It allocates
/// nothing, neither now nor in a call. trine_scratch_size says how many bytes a layer needs; a call that
/// needs more is refused (SCRATCH). The memory is the engine's until trine_engine_free, which does not free it.
///
/// Errors: NULL, VALUE (no trine_isa), ISA, SCRATCH (not even room for the engine itself).
///
/// # Safety
/// `memory` is null or has `bytes` bytes that nobody else uses until the engine is freed; `engine` is null or a
/// place for a pointer.
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trine_engine_in(
    isa: i32,
    memory: *mut core::ffi::c_void,
    bytes: usize,
    engine: *mut *mut trine_engine,
) -> trine_status {
    guarded(|| {
        // SAFETY: a place for a pointer, as the caller says.
        let engine = unsafe { engine.cast::<MaybeUninit<*mut trine_engine>>().as_mut() }
            .ok_or(Failure::Null("engine"))?;
        engine.write(core::ptr::null_mut());
        if memory.is_null() {
            return Err(Failure::Null("memory"));
        }
        let isa = known(isa)?;
        let skipped = memory.cast::<u8>().align_offset(align_of::<Line>());
        let lines = bytes.saturating_sub(skipped) / size_of::<Line>();
        if lines < HANDLE {
            return Err(Failure::Memory { expected: skipped + HANDLE * size_of::<Line>(), found: bytes });
        }
        // SAFETY: the caller's memory, of which the first whole lines are the handle's and the others the engine's
        // scratch memory; what is in a line has no meaning.
        unsafe {
            let place = memory.cast::<u8>().add(skipped).cast::<Line>();
            let scratch = core::slice::from_raw_parts_mut(place.add(HANDLE), lines - HANDLE);
            let found = Engine::with_scratch(isa, scratch)?;
            let place = place.cast::<trine_engine>();
            place.write(trine_engine { engine: found, placed: true });
            engine.write(place);
        }
        Ok(())
    })
}

/// Ends an engine, and frees its memory if that is its own. Null is no engine, and nothing is done.
///
/// # Safety
/// Null, or an engine that has not been freed and is not used.
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trine_engine_free(engine: *mut trine_engine) {
    if engine.is_null() {
        return;
    }
    guarded(|| {
        // SAFETY: an engine, as the caller says, in memory from the allocator unless it was placed.
        unsafe {
            let placed = (*engine).placed;
            engine.drop_in_place();
            if !placed {
                alloc::dealloc(engine.cast(), alloc::Layout::new::<trine_engine>());
            }
        }
        Ok(())
    });
}

/// The instruction set of an engine, a trine_isa; 0 if it is null.
///
/// # Safety
/// Null or an engine.
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trine_engine_isa(engine: *const trine_engine) -> i32 {
    // SAFETY: null or an engine, as the caller says.
    unsafe { engine.as_ref() }.map_or(0, |engine| number(engine.engine.isa()))
}

/// The most threads that an engine uses; 0 if it is null.
///
/// # Safety
/// Null or an engine.
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trine_engine_threads(engine: *const trine_engine) -> usize {
    // SAFETY: null or an engine, as the caller says.
    unsafe { engine.as_ref() }.map_or(0, |engine| engine.engine.threads())
}

/// Bytes of memory for trine_engine_in, in which an engine on `isa` computes `op` (a trine_op) on an n×d×m layer
/// of `element`s (a trine_element), whatever the strides and the activation. SIZE_MAX if no memory is large
/// enough. 0 if `isa`, `element` or `op` is no constant of its kind (trine_message says which).
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub extern "C" fn trine_scratch_size(isa: i32, element: i32, op: i32, n: usize, d: usize, m: usize) -> usize {
    guarded_or(0, || {
        let isa = known(isa).map_err(|failure| (0, failure))?;
        let op = match op {
            0 | 3 => Op::Forward,
            1 => Op::Backward,
            2 => Op::Step,
            found => return Err((0, Failure::Constant { operand: "op", found })),
        };
        let lines = match element {
            0 => scratch_len::<f32>(isa, op, n, d, m),
            1 => scratch_len::<f64>(isa, op, n, d, m),
            found => return Err((0, Failure::Constant { operand: "element", found })),
        };
        let bytes = lines.saturating_add(HANDLE).saturating_mul(size_of::<Line>());
        Ok(bytes.saturating_add(align_of::<Line>() - 1))
    })
}

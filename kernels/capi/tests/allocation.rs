//! With an engine in the caller's memory nothing is allocated, neither by calls that succeed nor by calls
//! that fail. A program of its own: whatever else allocates would be counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

use trine::engine::{trine_engine_free, trine_engine_in, trine_scratch_size};
use trine::layer::{trine_gemm_args, trine_gemm_f32};
use trine::{trine_in, trine_message, trine_out, trine_status};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator, and a number.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the contract is the same.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: the contract is the same.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    const N: usize = 70;
    let (a, b, mut c) = (vec![1f32; N * N], vec![2f32; N * N], vec![0f32; N * N]);
    let mut memory = vec![0u8; trine_scratch_size(0, 0, 3, N, N, N)];
    let view = |data: &[f32]| trine_in {
        data: data.as_ptr(),
        len: N * N,
        rows: N,
        cols: N,
        row_stride: 1,
        col_stride: N,
    };
    let out = trine_out { data: c.as_mut_ptr(), len: N * N, rows: N, cols: N, row_stride: N, col_stride: 1 };
    let args = trine_gemm_args { a: view(&a), b: view(&b), c: out, alpha: 0.5, write: 0 };
    let wrong = trine_gemm_args { a: trine_in { len: 1, ..args.a }, ..args };
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let mut engine = null_mut();
    // SAFETY: memory and operands that live longer than the engine.
    let results = unsafe {
        let made = trine_engine_in(0, memory.as_mut_ptr().cast(), memory.len(), &mut engine);
        let results = (made, trine_gemm_f32(engine, &args), trine_gemm_f32(engine, &wrong), *trine_message());
        trine_engine_free(engine);
        results
    };
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    assert_eq!(results, (trine_status::OK, trine_status::OK, trine_status::TOO_SHORT, b'a' as _));
    assert!(c.iter().all(|&c| c == N as f32));
    assert_eq!(allocations, 0);
    println!("an engine in the caller's memory: no allocation");
}

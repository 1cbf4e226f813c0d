//! The report of this crate, from a Cortex-M4F or a bare aarch64 core through the debugger, or from a
//! Unix process that has the C library and no Rust standard library.
#![no_std]
#![no_main]

#[cfg(all(target_arch = "arm", target_os = "none"))]
mod firmware {
    use core::fmt::Write;
    use core::panic::PanicInfo;

    use cortex_m_rt::entry;
    use cortex_m_semihosting::debug::{EXIT_FAILURE, EXIT_SUCCESS, exit};
    use cortex_m_semihosting::hio::{hstderr, hstdout};
    use trine_kernels::Line;
    use trine_no_std::{SCRATCH, report};

    #[entry]
    fn main() -> ! {
        // The attribute makes it a `&'static mut`: `main` runs once.
        static mut MEMORY: [Line; SCRATCH] = [Line::UNINIT; SCRATCH];
        let done = hstdout().is_ok_and(|mut out| match report(&mut out, MEMORY) {
            Ok(()) => true,
            Err(failure) => {
                let _ = writeln!(out, "{failure:?}");
                false
            }
        });
        exit(if done { EXIT_SUCCESS } else { EXIT_FAILURE });
        loop {}
    }

    #[panic_handler]
    fn panic(info: &PanicInfo<'_>) -> ! {
        if let Ok(mut out) = hstderr() {
            let _ = writeln!(out, "{info}");
        }
        exit(EXIT_FAILURE);
        loop {}
    }
}

/// QEMU's machine `virt`, and whatever else begins at exception level 1 and has semihosting.
#[cfg(all(target_arch = "aarch64", target_os = "none"))]
mod bare {
    use core::arch::{asm, global_asm};
    use core::fmt::{self, Write};
    use core::panic::PanicInfo;

    use trine_kernels::{Isa, Line};
    use trine_no_std::{SCRATCH, report};

    // The unit is chosen when the program is compiled: an engine that takes the best has no other.
    const _: () = assert!(cfg!(target_feature = "neon"));

    // Vector registers are switched on, and the second GiB becomes ordinary memory (one block of a
    // translation table): without that every access has to be aligned to its size.
    global_asm!(
        ".section .text.start, \"ax\"",
        ".global _start",
        "_start:",
        "mov x1, #(3 << 20)", // CPACR_EL1.FPEN
        "msr cpacr_el1, x1",
        "adrp x0, {table}",
        "add x0, x0, :lo12:{table}",
        "ldr x1, =0x40000701", // a block: accessed, shareable, attribute 0
        "str x1, [x0, #8]",
        "mov x1, #0xff", // attribute 0: write-back
        "msr mair_el1, x1",
        "ldr x1, =0x200803519", // 39 bits of address, cached walks of 4 KiB tables, none of the upper half
        "msr tcr_el1, x1",
        "msr ttbr0_el1, x0",
        "dsb sy",
        "isb",
        "mrs x1, sctlr_el1",
        "ldr x2, =0x1005", // translation, both caches
        "orr x1, x1, x2",
        "bic x1, x1, #2", // no check of alignment
        "msr sctlr_el1, x1",
        "isb",
        "adrp x0, __stack",
        "add x0, x0, :lo12:__stack",
        "mov sp, x0",
        "bl {main}",
        "b .",
        table = sym TABLE,
        main = sym main,
    );

    #[repr(C, align(4096))]
    struct Table([u64; 512]);
    static mut TABLE: Table = Table([0; 512]);

    /// A request to the debugger.
    fn semihosting(operation: u64, argument: *const u8) {
        // SAFETY: the debugger reads what the argument points to (a text that ends with 0, or two words)
        // and answers in x0.
        unsafe {
            asm!("hlt #0xf000", inout("x0") operation => _, in("x1") argument, options(nostack, readonly));
        }
    }

    fn exit(code: u64) {
        // SYS_EXIT, because the application ends.
        semihosting(0x18, [0x20026, code].as_ptr().cast());
    }

    struct Debugger;

    impl Write for Debugger {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            for part in s.as_bytes().chunks(63) {
                let mut text = [0; 64];
                text[..part.len()].copy_from_slice(part);
                // SYS_WRITE0
                semihosting(4, text.as_ptr());
            }
            Ok(())
        }
    }

    extern "C" fn main() {
        static mut MEMORY: [Line; SCRATCH] = [Line::UNINIT; SCRATCH];
        // SAFETY: the one reference: `main` is called once.
        let memory = unsafe { &mut *(&raw mut MEMORY) };
        let done = report(&mut Debugger, memory);
        if let Err(failure) = &done {
            let _ = writeln!(Debugger, "{failure:?}");
        }
        exit(if done.is_ok() && Isa::best() == Isa::Neon { 0 } else { 1 });
    }

    #[panic_handler]
    fn panic(info: &PanicInfo<'_>) -> ! {
        let _ = writeln!(Debugger, "{info}");
        exit(1);
        loop {}
    }
}

/// RISC-V without floating point, without anything: what the emulator of Linux programs can start.
#[cfg(all(target_arch = "riscv32", target_os = "none"))]
mod riscv {
    use core::arch::{asm, global_asm};
    use core::fmt::{self, Write};
    use core::panic::PanicInfo;

    use trine_kernels::Line;
    use trine_no_std::{SCRATCH, report};

    // Where the program begins: with a stack and nothing else.
    global_asm!(".globl _start", "_start:", "andi sp, sp, -16", "call {main}", main = sym main);

    /// Linux: `write` is 64, `exit` is 93.
    ///
    /// # Safety
    /// For `write`, `c` bytes can be read at `b`; `exit` reads nothing.
    unsafe fn call(number: usize, a: usize, b: usize, c: usize) -> isize {
        let result: isize;
        // SAFETY: the kernel reads what the caller says.
        unsafe {
            asm!("ecall", in("a7") number, inlateout("a0") a as isize => result, in("a1") b, in("a2") c,
                options(nostack));
        }
        result
    }

    struct File(usize);

    impl Write for File {
        fn write_str(&mut self, mut s: &str) -> fmt::Result {
            while !s.is_empty() {
                // SAFETY: the pointer and the length are those of `s`.
                let written = unsafe { call(64, self.0, s.as_ptr() as usize, s.len()) };
                s = usize::try_from(written).ok().and_then(|n| s.get(n..)).ok_or(fmt::Error)?;
            }
            Ok(())
        }
    }

    fn exit(code: usize) -> ! {
        // SAFETY: ends the process.
        unsafe { call(93, code, 0, 0) };
        loop {}
    }

    extern "C" fn main() -> ! {
        let mut memory = [Line::UNINIT; SCRATCH];
        exit(match report(&mut File(1), &mut memory) {
            Ok(()) => 0,
            Err(failure) => {
                let _ = writeln!(File(2), "{failure:?}");
                1
            }
        })
    }

    #[panic_handler]
    fn panic(info: &PanicInfo<'_>) -> ! {
        let _ = writeln!(File(2), "{info}");
        exit(101)
    }
}

#[cfg(unix)]
mod process {
    use core::ffi::{c_char, c_int, c_void};
    use core::fmt::{self, Write};
    use core::panic::PanicInfo;

    use trine_kernels::Line;
    use trine_no_std::{SCRATCH, report};

    #[link(name = "c")]
    unsafe extern "C" {
        fn write(fd: c_int, bytes: *const c_void, len: usize) -> isize;
        fn abort() -> !;
    }

    struct File(c_int);

    impl Write for File {
        fn write_str(&mut self, mut s: &str) -> fmt::Result {
            while !s.is_empty() {
                // SAFETY: the pointer and the length are those of `s`.
                let written = unsafe { write(self.0, s.as_ptr().cast(), s.len()) };
                s = usize::try_from(written).ok().and_then(|n| s.get(n..)).ok_or(fmt::Error)?;
            }
            Ok(())
        }
    }

    /// What the C library calls.
    // SAFETY: the one definition of this symbol, with the type that C gives it.
    #[unsafe(no_mangle)]
    extern "C" fn main(_: c_int, _: *const *const c_char) -> c_int {
        let mut memory = [Line::UNINIT; SCRATCH];
        match report(&mut File(1), &mut memory) {
            Ok(()) => 0,
            Err(failure) => {
                let _ = writeln!(File(2), "{failure:?}");
                1
            }
        }
    }

    #[panic_handler]
    fn panic(info: &PanicInfo<'_>) -> ! {
        let _ = writeln!(File(2), "{info}");
        // SAFETY: takes nothing and does not return.
        unsafe { abort() }
    }
}

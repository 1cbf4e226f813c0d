//! The report of this crate, from a Cortex-M4F through its debugger, or from a Unix process that has
//! the C library and no Rust standard library.
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

/// RISC-V without floating point, without anything: what the emulator of Linux programs can start.
#[cfg(all(target_arch = "riscv32", target_os = "none"))]
mod bare {
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

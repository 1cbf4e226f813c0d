//! Text to the debugger, without `core::fmt`: that is 10 KiB of flash, and has panics in it.

use cortex_m_semihosting::debug::{EXIT_FAILURE, EXIT_SUCCESS, exit};
use cortex_m_semihosting::hio::{HostStream, hstdout};

/// Where the text goes; nowhere if there is no debugger.
pub struct Output(Option<HostStream>);

impl Output {
    /// Opens it.
    pub fn new() -> Self {
        Output(hstdout().ok())
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        if let Some(stream) = &mut self.0 {
            let _ = stream.write_all(bytes);
        }
        self
    }

    /// Text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// A number in a field of `width`.
    pub fn number(&mut self, number: u32, width: usize) -> &mut Self {
        let (mut digits, mut rest) = ([b' '; 12], number);
        let mut used = 0;
        for (i, digit) in digits.iter_mut().rev().enumerate() {
            if rest == 0 && i > 0 {
                break;
            }
            *digit = b'0' + (rest % 10) as u8;
            (rest, used) = (rest / 10, i + 1);
        }
        let from = digits.len().saturating_sub(used.max(width));
        self.bytes(digits.get(from..).unwrap_or(&[]))
    }

    /// `part/whole` with two decimals, rounded.
    pub fn ratio(&mut self, part: u32, whole: u32) -> &mut Self {
        let hundredths =
            (u64::from(part) * 200 + u64::from(whole)).checked_div(2 * u64::from(whole)).unwrap_or(0);
        let hundredths = hundredths as u32;
        self.number(hundredths / 100, 4).text(".");
        let digits = [b'0' + (hundredths / 10 % 10) as u8, b'0' + (hundredths % 10) as u8];
        self.bytes(&digits)
    }

    /// 16 hexadecimal digits.
    pub fn hash(&mut self, hash: u64) -> &mut Self {
        let mut digits = [0; 16];
        for (i, digit) in digits.iter_mut().rev().enumerate() {
            let nibble = (hash >> (4 * i)) as u8 & 15;
            *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        }
        self.bytes(&digits)
    }

    /// Ends the emulator.
    pub fn end(&mut self, good: bool) -> ! {
        exit(if good { EXIT_SUCCESS } else { EXIT_FAILURE });
        loop {
            cortex_m::asm::wfi();
        }
    }
}

impl Default for Output {
    fn default() -> Self {
        Self::new()
    }
}

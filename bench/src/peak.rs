//! The limit of the machine: fused multiply-adds per second, on one core or on several at once.

use std::time::{Duration, Instant};

use trine_core::Error;
use trine_kernels::{Isa, Supported, peak::fma_loop};

/// How long one sample lasts.
const SAMPLE: Duration = Duration::from_millis(1);

/// Multiply-adds on an instruction set, on so many threads.
#[derive(Clone, Copy, Debug)]
pub struct Peak {
    isa: Isa,
    threads: usize,
    rounds: u64,
}

impl Peak {
    /// Finds out how many rounds a sample takes.
    ///
    /// # Errors
    /// [`Error::Isa`] if this machine does not have it.
    pub fn new<E: Supported>(isa: Isa, threads: usize) -> Result<Self, Error> {
        let mut rounds = 1024;
        loop {
            let start = Instant::now();
            fma_loop::<E>(isa, rounds)?;
            if start.elapsed() >= SAMPLE {
                return Ok(Peak { isa, threads, rounds });
            }
            rounds *= 2;
        }
    }

    /// One sample: floating-point operations per second, two for each multiply-add, of all
    /// threads together.
    pub fn sample<E: Supported>(&self) -> f64 {
        let one = || {
            let start = Instant::now();
            // The instruction set was there when this was made.
            let flops = fma_loop::<E>(self.isa, self.rounds).unwrap_or(0);
            flops as f64 / start.elapsed().as_secs_f64()
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..self.threads).map(|_| scope.spawn(one)).collect();
            others.into_iter().fold(one(), |sum, other| sum + other.join().unwrap_or(f64::NAN))
        })
    }

    /// GFLOP/s, the median of some samples.
    pub fn gflops<E: Supported>(&self, samples: usize) -> f64 {
        let mut rates: Vec<f64> = (0..samples.max(1)).map(|_| self.sample::<E>() / 1e9).collect();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_has_a_peak() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let peak = Peak::new::<f32>(isa, 2).expect("available");
            let rate = peak.gflops::<f32>(3);
            assert!(rate.is_finite() && rate > 0.0, "{}: {rate}", isa.name());
        }
    }
}

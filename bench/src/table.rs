//! Measurements as a table of at most 100 columns.

use crate::bench::{Row, Timing};
use crate::shape;
use crate::stats::Summary;

/// The line above the first row.
pub fn head() -> String {
    let (time, rate) = ("time", "GFLOP/s");
    format!(
        "{:<16} {:<8} │{time:>9} {:>6} {rate:>8} {:>7} │{:>8} {:>7} │{:>8} {:>7}",
        "n×d×m", "", "±", "of peak", "gemm", "trine is", "naive", "trine is"
    )
}

/// One row.
pub fn line(row: &Row) -> String {
    let peer = |name: &str| match row.timing(name) {
        Some(Timing { gflops, engine_times_as_fast, .. }) => {
            format!("{:>8} {:>8}", rate(*gflops), times(*engine_times_as_fast))
        }
        None => format!("{:>8} {:>8}", "–", "–"),
    };
    let own = row.timings.first().map_or(String::new(), |own| {
        format!(
            "{:>9} {:>5.1}% {:>8} {:>6.1}%",
            duration(own.seconds.median),
            50.0 * own.seconds.spread(),
            rate(own.gflops),
            100.0 * own.share_of_peak
        )
    });
    let name = shape::name(row.shape());
    format!("{name:<16} {:<8} │{own} │{} │{}", row.op, peer("gemm"), peer("naive"))
}

/// What has to be known to read the rows, below the last one.
pub fn foot(rows: &[Row]) -> String {
    let peaks: Vec<f64> = rows.iter().map(|row| row.peak_gflops).collect();
    let peak = Summary::of(&peaks).map_or(f64::NAN, |peaks| peaks.median);
    let mut text = format!(
        "Peak: {} GFLOP/s, the median of the same rounds. ±: half of the distance between the quartiles.",
        rate(peak)
    );
    if rows.iter().any(|row| !row.skipped.is_empty()) {
        text += "\n–: not measured, as one call would take more than about a second.";
    }
    text
}

/// Seconds, with three digits and a unit.
pub fn duration(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 1e-6 => (s * 1e9, "ns"),
        s if s < 1e-3 => (s * 1e6, "µs"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    format!("{} {unit}", three_digits(value))
}

fn three_digits(value: f64) -> String {
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.decimals$}")
}

/// GFLOP/s.
pub fn rate(gflops: f64) -> String {
    three_digits(gflops)
}

fn times(ratio: f64) -> String {
    format!("{}×", three_digits(ratio))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits() {
        assert_eq!(duration(38.4e-9), "38.4 ns");
        assert_eq!(duration(2.013e-6), "2.01 µs");
        assert_eq!(duration(0.1234), "123 ms");
        assert_eq!(duration(9.996), "10.0 s");
        assert_eq!(times(1.5), "1.50×");
    }
}

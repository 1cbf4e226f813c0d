//! Measurements as a table: of at most 100 columns with two peers, 110 with six.

use crate::bench::{NOISE_LIMIT, Row, Timing};
use crate::shape;
use crate::stats::{Summary, geometric_mean};

/// So many peers are shown with their own GFLOP/s; of more there is only the ratio.
const DETAILED: usize = 2;
/// A column is not wider than this; a longer name is cut.
const WIDEST: usize = 9;

/// The line above the first row.
pub fn head(peers: &[&str]) -> String {
    let (time, rate) = ("time", "GFLOP/s");
    let mut line = format!("{:<14} {:<8} │{time:>9} {:>6} {rate:>8} {:>7} │", "n×d×m", "", "±", "of peak");
    let short = peers.iter().map(|name| short(name, WIDEST));
    if peers.len() <= DETAILED {
        let columns: Vec<_> = short.map(|name| format!("{name:>9} {:>8}", "trine is")).collect();
        line += &columns.join(" │");
    } else {
        short.for_each(|name| line += &format!(" {name:>6}"));
    }
    line
}

/// A name cut to a width.
pub fn short(name: &str, width: usize) -> String {
    match name.char_indices().nth(width) {
        None => name.into(),
        Some(_) => name.chars().take(width - 1).chain(['…']).collect(),
    }
}

/// So many of something: `1 thread`, `2 threads`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// One row.
pub fn line(row: &Row, peers: &[&str]) -> String {
    let own = row.timings.first().map_or(String::new(), |own| {
        format!(
            "{:>9} {:>5.1}{} {:>8} {:>6.1}%",
            duration(own.seconds.median),
            100.0 * own.noise(),
            if row.noisy { '!' } else { '%' },
            rate(own.gflops),
            100.0 * own.share_of_peak
        )
    });
    let absent = |name: &str| match row.absent.iter().find(|absent| absent.name == name) {
        Some(absent) if absent.wrong => "wrong",
        _ => "–",
    };
    let mut line = format!("{:<14} {:<8} │{own} │", shape::name(row.shape()), row.op);
    if peers.len() <= DETAILED {
        let columns = peers.iter().map(|name| match row.timing(name) {
            Some(timing) => format!("{:>9} {:>8}", rate(timing.gflops), marked(timing)),
            None => format!("{:>9} {:>8}", absent(name), "–"),
        });
        line += &columns.collect::<Vec<_>>().join(" │");
    } else {
        for name in peers {
            let ratio = row.timing(name).map(marked);
            let width = name.chars().count().clamp(6, WIDEST);
            line += &format!(" {:>width$}", ratio.as_deref().unwrap_or(absent(name)));
        }
    }
    line
}

/// What has to be known to read the rows, below the last one, and what they come to.
pub fn foot(rows: &[Row], peers: &[&str]) -> String {
    let peaks: Vec<f64> = rows.iter().map(|row| row.peak_gflops).collect();
    let peak = Summary::of(&peaks).map_or(f64::NAN, |peaks| peaks.median);
    let mut text = format!(
        "Peak: {} GFLOP/s, the median of the same rounds. ±: half of the 95 % interval of the median.",
        rate(peak)
    );
    if rows.iter().any(|row| row.noisy || row.timings.iter().any(|timing| timing.ratio_noise() > NOISE_LIMIT))
    {
        let limit = 100.0 * NOISE_LIMIT;
        text += &format!("\n! in place of % or ×: known no better than to {limit} %.");
    }
    if peers.len() > DETAILED {
        text += "\nBelow each peer: how many times as fast trine is.";
    }
    if rows.iter().flat_map(|row| &row.absent).any(|absent| !absent.wrong) {
        text += "\n–: not measured, as one call would take more than about a second.";
    }
    for row in rows {
        for absent in row.absent.iter().filter(|absent| absent.wrong) {
            let at = shape::argument(row.shape());
            text += &format!("\n{} is wrong in {} at {at}, not timed: {}", absent.name, row.op, absent.why);
        }
    }
    text + &means(rows, peers)
}

/// For each operation and peer the geometric mean of the ratios, and the lowest.
pub fn means(rows: &[Row], peers: &[&str]) -> String {
    let mut ops: Vec<&str> = Vec::new();
    for row in rows {
        if !ops.contains(&row.op.as_str()) {
            ops.push(&row.op);
        }
    }
    let width = peers.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let (mut text, mut above) = (String::new(), "");
    for (op, name) in ops.iter().flat_map(|op| peers.iter().map(move |name| (op, name))) {
        let timed = rows.iter().filter(|row| row.op == **op);
        let timed = timed.filter_map(|row| Some((row.timing(name)?.engine_times_as_fast, row.shape())));
        let timed: Vec<_> = timed.collect();
        let ratios: Vec<_> = timed.iter().map(|(ratio, _)| *ratio).collect();
        let lowest = timed.iter().min_by(|a, b| a.0.total_cmp(&b.0));
        if let (Some(mean), Some((ratio, shape))) = (geometric_mean(&ratios), lowest) {
            let (mean, lowest) = (times(mean), times(*ratio));
            let at = shape::argument(*shape);
            let op_once = if above == *op { "" } else { *op };
            text += &format!("\n{op_once:<8} {name:<width$} {mean:>6}, lowest {lowest:>5} at {at}");
            above = *op;
        }
    }
    if text.is_empty() {
        text
    } else {
        format!("\nHow many times as fast trine is, the geometric mean:{text}")
    }
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

/// How many times as fast the engine is, with a ! where that is not well known.
pub fn marked(timing: &Timing) -> String {
    let sign = if timing.ratio_noise() > NOISE_LIMIT { '!' } else { '×' };
    three_digits(timing.engine_times_as_fast) + &String::from(sign)
}

/// A ratio.
pub fn times(ratio: f64) -> String {
    format!("{}×", three_digits(ratio))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Absent;

    /// Rows of three shapes, of which a peer is wrong in the last.
    fn rows() -> Vec<Row> {
        let ratios = [Some((0.5, 2.0)), Some((2.0, 8.0)), None];
        let shapes = [(1, 64, 32), (2, 64, 32), (4096, 4096, 4096)];
        ratios.into_iter().zip(shapes).map(|(ratios, shape)| row(shape, ratios)).collect()
    }

    fn row((n, d, m): (usize, usize, usize), ratios: Option<(f64, f64)>) -> Row {
        let mut row = crate::bench::tests::row();
        let one = row.timings[0].clone();
        let timing =
            |name: &str, ratio| Timing { name: name.into(), engine_times_as_fast: ratio, ..one.clone() };
        (row.n, row.d, row.m) = (n, d, m);
        row.timings = vec![timing("trine", 1.0)];
        row.absent.clear();
        match ratios {
            Some((a, b)) => row.timings.extend([timing("gemm", a), timing("matrixmultiply", b)]),
            None => row.absent.extend([
                Absent { name: "gemm".into(), wrong: false, why: "too long".into() },
                Absent { name: "matrixmultiply".into(), wrong: true, why: "y: 1 instead of 2".into() },
            ]),
        }
        row
    }

    #[test]
    fn means_and_lowest_rows() {
        let foot = foot(&rows(), &["gemm", "matrixmultiply", "faer"]);
        let lines: Vec<_> = foot.lines().collect();
        assert_eq!(
            lines[1..],
            [
                "Below each peer: how many times as fast trine is.",
                "–: not measured, as one call would take more than about a second.",
                "matrixmultiply is wrong in fwd at 4096x4096x4096, not timed: y: 1 instead of 2",
                "How many times as fast trine is, the geometric mean:",
                "fwd      gemm            1.00×, lowest 0.50× at 1x64x32",
                "         matrixmultiply  4.00×, lowest 2.00× at 1x64x32",
            ]
        );
    }

    #[test]
    fn columns_stand_below_their_names() {
        for (peers, widest) in [
            (&["gemm", "naive"][..], 100),
            (&["gemm", "matrixmultiply", "faer", "openblas", "blis", "mkl"][..], 110),
        ] {
            let lines: Vec<_> =
                std::iter::once(head(peers)).chain(rows().iter().map(|row| line(row, peers))).collect();
            let widths: Vec<_> = lines.iter().map(|line| line.chars().count()).collect();
            assert!(widths.iter().all(|&width| width == widths[0] && width <= widest), "{lines:#?}");
        }
        let wrong = line(&rows()[2], &["gemm", "matrixmultiply", "faer"]);
        assert!(wrong.ends_with("      –     wrong      –"), "{wrong}");
        let wrong = line(&rows()[2], &["gemm", "matrixmultiply"]);
        assert!(wrong.ends_with("        –        – │    wrong        –"), "{wrong}");
    }

    #[test]
    fn one_is_not_several() {
        assert_eq!((counted(1, "core"), counted(2, "core")), ("1 core".into(), "2 cores".into()));
    }

    #[test]
    fn durations_have_three_digits() {
        assert_eq!(duration(38.4e-9), "38.4 ns");
        assert_eq!(duration(2.013e-6), "2.01 µs");
        assert_eq!(duration(0.1234), "123 ms");
        assert_eq!(duration(9.996), "10.0 s");
        assert_eq!(times(1.5), "1.50×");
    }
}

//! The way to an alarm: measure all rows until they are known well enough, then those that look slower once more,
//! on their own. Only the second measurement decides, so that of many rows the unlucky ones are not picked out.

use super::process::Ratios;
use super::statistics::{Change, change, error, holm};
use crate::Failure;

/// When a row is slower.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The least change that is one: 0.025 for 2.5 %. It is added to what chance explains, for two builds of
    /// the same kernel differ by more than nothing.
    pub least: f64,
    /// The probability that any row of a run is called slower by chance.
    pub level: f64,
    /// Fewest and most processes.
    pub processes: (usize, usize),
}

impl Rule {
    /// What commands use unless they are told otherwise.
    pub const DEFAULT: Rule = Rule { least: 0.025, level: 0.01, processes: (8, 32) };

    /// Rows are measured until the standard error of each is this part of the least change.
    const ERROR: f64 = 0.2;

    /// A row that looks slower by this part of the least change is measured once more.
    const SUSPICIOUS: f64 = 0.6;
}

/// Who measures: some of the rows, each in one process.
pub trait Source {
    /// The ratios of these rows.
    ///
    /// # Errors
    /// Why there are none.
    fn measure(&mut self, rows: &[usize]) -> Result<Vec<Ratios>, Failure>;
}

/// For each row the ratios to each reference, one of each process.
pub type Samples = Vec<std::collections::BTreeMap<String, Vec<f64>>>;

/// Measures rows, of `count` in all, in `least` processes, and more for those that are not known to `precision`.
///
/// # Errors
/// Those of the source.
pub fn gather(
    source: &mut dyn Source,
    count: usize,
    mut rows: Vec<usize>,
    (least, most): (usize, usize),
    precision: f64,
) -> Result<Samples, Failure> {
    let mut samples: Samples = vec![Default::default(); count];
    for process in 0..most {
        if process >= least {
            rows.retain(|&row| samples[row].values().any(|ratios| error(ratios) > precision));
        }
        if rows.is_empty() {
            break;
        }
        for (&row, ratios) in rows.iter().zip(source.measure(&rows)?) {
            for (name, ratio) in ratios {
                samples[row].entry(name).or_default().push(ratio);
            }
        }
    }
    Ok(samples)
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No slower than it was.
    Same,
    /// It looked slower and was not, when it was measured again.
    Cleared,
    /// Slower against both references, or two of three.
    Slower,
    /// Faster against every reference: a reason for a new baseline.
    Faster,
    /// Not known well enough to say so.
    Noisy,
}

/// One row.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What became of it.
    pub verdict: Verdict,
    /// The reference that decided.
    pub reference: String,
    /// Centres of the logarithms, before and now.
    pub before: f64,
    /// See `before`.
    pub now: f64,
    /// How they differ.
    pub change: Change,
    /// How it differs against the reference of which the change is known best, of those that say as much at least.
    pub certain: Change,
}

/// Against the reference that speaks most for the row, or of three the one between the others: a change of the
/// engine shows against all of them, one of a reference or of the machine does not.
fn lenient(before: &Samples, now: &Samples, row: usize) -> Option<Judged> {
    let changes = now[row].iter().filter_map(|(reference, now)| {
        let before = before[row].get(reference)?;
        let change = change(before, now);
        let (before, now) = (super::statistics::centre(before), super::statistics::centre(now));
        let (verdict, reference, certain) = (Verdict::Same, reference.clone(), change);
        Some(Judged { verdict, reference, before, now, change, certain })
    });
    let mut all: Vec<Judged> = changes.collect();
    all.sort_by(|a, b| a.change.estimate.total_cmp(&b.change.estimate));
    // Of three, one may have a bad day: the naive loops suffer most from a busy neighbour, by up to a tenth. It may be
    // known best, too: so it has no say in how certain the others are.
    let place = usize::from(all.len() > 2);
    let width = |judged: &&Judged| judged.change.high - judged.change.low;
    let certain = all[place.min(all.len())..].iter().min_by(|a, b| width(a).total_cmp(&width(b)))?.change;
    Some(Judged { certain, ..all.swap_remove(place) })
}

/// Compares all rows with a baseline.
///
/// # Errors
/// Those of the source, or a row without a reference that the baseline has too.
pub fn judge(before: &Samples, source: &mut dyn Source, rule: Rule) -> Result<Vec<Judged>, Failure> {
    let count = before.len();
    let precision = Rule::ERROR * rule.least;
    let now = gather(source, count, (0..count).collect(), rule.processes, precision)?;
    let missing = || Failure::from("the baseline has no reference in common with what is measured");
    let mut judged = Vec::new();
    for row in 0..count {
        let mut one = lenient(before, &now, row).ok_or_else(missing)?;
        let fastest = now[row].iter().filter_map(|(name, now)| Some(change(before[row].get(name)?, now)));
        if fastest.fold(f64::NEG_INFINITY, |most, change| most.max(change.high)) < -rule.least {
            one.verdict = Verdict::Faster;
        }
        judged.push(one);
    }
    let suspicious: Vec<usize> =
        (0..count).filter(|&row| judged[row].change.estimate > Rule::SUSPICIOUS * rule.least).collect();
    // Twice as many processes: now it counts.
    let (least, most) = rule.processes;
    let again = gather(source, count, suspicious.clone(), (2 * least, 2 * most), precision)?;
    let chances = suspicious.iter().map(|&row| {
        judged[row] = lenient(before, &again, row).ok_or_else(missing)?;
        Ok(judged[row].certain.chance)
    });
    let chances: Vec<f64> = chances.collect::<Result<_, Failure>>()?;
    for (&row, certain) in suspicious.iter().zip(holm(&chances, rule.level)) {
        let Judged { change, certain: known, verdict, .. } = &mut judged[row];
        let slower = certain && change.estimate > rule.least && known.low > rule.least / 2.0;
        *verdict = if slower { Verdict::Slower } else { Verdict::Cleared };
    }
    for (row, one) in judged.iter_mut().enumerate() {
        let wide = one.change.high - one.change.low > 4.0 * rule.least;
        if wide && one.verdict != Verdict::Slower && suspicious.contains(&row) {
            one.verdict = Verdict::Noisy;
        }
    }
    Ok(judged)
}

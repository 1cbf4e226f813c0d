//! The file of counts: a line for each row, made to be read in a diff.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::{Failure, files};

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `op/dtype/shape/isa`.
    pub name: String,
    /// The microkernel that does most of the work.
    pub kernel: String,
    /// The way of the plan, in a word.
    pub way: String,
    /// Instructions of one call.
    pub count: u64,
}

/// All counts, and the compiler of the program that made them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    compiler: String,
    lines: Vec<Line>,
}

/// The compiler that built this program.
pub fn compiler() -> &'static str {
    env!("TRINE_RUSTC")
}

impl Baseline {
    /// What this program counted.
    pub fn new(lines: impl IntoIterator<Item = Line>) -> Self {
        Baseline { compiler: compiler().into(), lines: lines.into_iter().collect() }
    }

    /// From a file.
    ///
    /// # Errors
    /// Which line is wrong, or why the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        files::parse(path, str::parse)
    }

    /// The compiler of the program that was counted.
    pub fn compiler(&self) -> &str {
        &self.compiler
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// The count of a row.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.lines.iter().find(|line| line.name == name).map(|line| line.count)
    }

    /// What has changed since `known`, where more than a share of `allowance` is more.
    pub fn compare(&self, known: &Baseline, allowance: f64) -> Verdict {
        let mut verdict = Verdict { rows: self.lines.len(), ..Verdict::default() };
        for line in &self.lines {
            match known.get(&line.name) {
                None => verdict.unknown.push(line.clone()),
                Some(before) => {
                    let change = line.count as f64 / before as f64 - 1.0;
                    let change = Change { line: line.clone(), before, change };
                    if change.change > allowance {
                        verdict.more.push(change);
                    } else if change.change < -allowance {
                        verdict.fewer.push(change);
                    }
                }
            }
        }
        let gone = known.lines.iter().filter(|line| self.get(&line.name).is_none());
        verdict.gone = gone.map(|line| line.name.clone()).collect();
        verdict.more.sort_by(|a, b| b.change.total_cmp(&a.change));
        verdict
    }
}

const HEAD: &str = "\
# Instructions of one call on fixed caches, counted by callgrind: `trine counts` compares, `trine counts --save` writes.
# op/dtype/shape/isa                    instructions  kernel             way";

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}\ncompiler {}", self.compiler)?;
        for Line { name, kernel, way, count } in &self.lines {
            writeln!(f, "{name:<38} {count:>13}  {kernel:<18} {way}")?;
        }
        Ok(())
    }
}

impl FromStr for Baseline {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut compiler, mut lines) = (None, Vec::new());
        let numbered =
            text.lines().zip(1..).filter(|(line, _)| !line.starts_with('#') && !line.trim().is_empty());
        for (line, number) in numbered {
            if compiler.is_none() {
                let name = line.strip_prefix("compiler ");
                compiler =
                    Some(name.ok_or(format!("line {number}: expected `compiler` and its version"))?.into());
                continue;
            }
            let words: Vec<_> = line.split_whitespace().collect();
            let (&[name, count, kernel, ..], Some(way)) = (&words[..], words.get(3..)) else {
                return Err(format!("line {number}: expected a name, a count, a kernel and a way"));
            };
            let count = count.parse().ok().filter(|count| *count > 0);
            let count = count.ok_or(format!("line {number}: the second word is no count"))?;
            lines.push(Line { name: name.into(), kernel: kernel.into(), way: way.join(" "), count });
        }
        Ok(Baseline { compiler: compiler.ok_or("expected `compiler` and its version")?, lines })
    }
}

/// A row that has another count.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// As it is now.
    pub line: Line,
    /// As it was.
    pub before: u64,
    /// The share by which it grew.
    pub change: f64,
}

/// What has changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    rows: usize,
    /// Rows that take more instructions, the worst first.
    pub more: Vec<Change>,
    fewer: Vec<Change>,
    unknown: Vec<Line>,
    gone: Vec<String>,
}

impl Verdict {
    /// Rows that fail: those that take more, and those of which nothing is known.
    pub fn failures(&self) -> usize {
        self.more.len() + self.unknown.len() + self.gone.len()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, changes) in [("MORE", &self.more), ("fewer", &self.fewer)] {
            for Change { line: Line { name, kernel, way, count }, before, change } in changes {
                let percent = 100.0 * change;
                writeln!(
                    f,
                    "{word:<5} {percent:>+6.2} %  kernel {kernel:<17} {name:<36} {before} → {count} ({way})"
                )?;
            }
        }
        for Line { name, kernel, .. } in &self.unknown {
            writeln!(f, "NEW            kernel {kernel:<17} {name}")?;
        }
        for name in &self.gone {
            writeln!(f, "GONE           {name}")?;
        }
        writeln!(f, "{} rows counted, {} of them with more instructions", self.rows, self.more.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(counts: &[(&str, u64)]) -> Baseline {
        Baseline::new(counts.iter().map(|&(name, count)| Line {
            name: name.into(),
            kernel: format!("kernel_of_{name}"),
            way: "a way".into(),
            count,
        }))
    }

    #[test]
    fn reads_what_it_writes() {
        let written = baseline(&[("fwd/f32/6x512x16/avx2", 12345), ("dw/f64/1x2x3/avx2", 1)]);
        assert_eq!(written.to_string().parse(), Ok(written));
        for (text, line) in [
            ("", "expected"),
            ("f 1 k w\n", "line 1"),
            ("compiler x\nf one k w", "line 2"),
            ("compiler x\n\nf 1", "line 3"),
        ] {
            let why = text.parse::<Baseline>().expect_err(text);
            assert!(why.starts_with(line), "{why}");
        }
    }

    /// What the file is for.
    #[test]
    fn three_percent_more_are_found_with_the_name_of_the_kernel() {
        let known = baseline(&[("a", 10_000), ("b", 10_000), ("c", 10_000)]);
        let now = baseline(&[("a", 10_150), ("b", 10_300), ("c", 9_000)]);
        let verdict = now.compare(&known, 0.02);
        assert_eq!(verdict.failures(), 1);
        let text = verdict.to_string();
        assert!(text.contains("MORE   +3.00 %  kernel kernel_of_b "), "{text}");
        assert!(!text.contains("kernel_of_a") && text.contains("fewer -10.00 %"), "{text}");
        assert_eq!(known.compare(&known, 0.0).failures(), 0);
    }

    #[test]
    fn rows_cannot_come_or_go_unseen() {
        let verdict = baseline(&[("a", 1), ("new", 1)]).compare(&baseline(&[("a", 1), ("old", 1)]), 0.02);
        assert_eq!(verdict.failures(), 2);
        let text = verdict.to_string();
        assert!(text.contains("NEW ") && text.contains("GONE           old"), "{text}");
    }
}

//! This program in valgrind, and what callgrind wrote.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::marker;
use crate::Failure;

/// Instructions of each of `calls` counted calls that this program makes when it is started with `words`.
///
/// # Errors
/// No valgrind, a call that failed, or another number of counts.
pub fn counts(words: &[String], calls: usize) -> Result<Vec<u64>, Failure> {
    let folder = Folder::new()?;
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={}", marker::NAME))
        .arg(format!("--dump-after={}", marker::NAME))
        .arg(format!("--callgrind-out-file={}", folder.0.join("out").display()))
        .arg(std::env::current_exe()?)
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let output = valgrind.output().map_err(|error| {
        format!(
            "valgrind cannot be started ({error}): it counts the instructions; Debian's package is `valgrind`"
        )
    })?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the calls in valgrind failed, {}: {}", output.status, why.trim()).into());
    }
    let counts: Vec<u64> = (1..=calls).map(|part| folder.part(part)).collect::<Result<_, _>>()?;
    Ok(counts)
}

/// A folder that is gone when this is.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("trine-counts-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Folder(path))
    }

    /// The sum of the part with this number, from 1.
    fn part(&self, number: usize) -> Result<u64, Failure> {
        let path = self.0.join(format!("out.{number}"));
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", show(&path)))?;
        total(&text).ok_or_else(|| format!("{}: no line of totals", show(&path)).into())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing depends on it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn show(path: &Path) -> impl std::fmt::Display {
    path.display()
}

/// The number in the line `totals:` of a file of callgrind.
fn total(text: &str) -> Option<u64> {
    text.lines().rev().find_map(|line| line.strip_prefix("totals:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_total() {
        let text = "# callgrind format\nevents: Ir\nsummary: 12\n\nfn=(1) f\n3 12\n\ntotals: 12\n";
        assert_eq!(total(text), Some(12));
        assert_eq!(total("events: Ir\n"), None);
    }
}

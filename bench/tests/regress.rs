//! `trine regress`, `trine tune` and their files as they are typed. Nothing here depends on how long anything took.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn trine(words: &str, file: &Path) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trine"));
    let words = words.split(' ').map(|word| if word == "FILE" { file.as_os_str() } else { word.as_ref() });
    let Output { status, stdout, stderr } = command.args(words).output().expect("it can be started");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

/// A file that is gone when this is.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("trine-{}-{name}", std::process::id()));
        std::fs::write(&path, content).expect("written");
        File(path)
    }

    fn read(&self) -> String {
        std::fs::read_to_string(&self.0).expect("written")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).expect("written");
    }
}

const SAVE: &str = "regress --baseline FILE --save --shape 16x64x10 --op fwd,dw --processes 4";

/// Compared with an operation of twice the time.
#[test]
#[ignore = "depends on time"]
fn what_is_slower_has_an_exit_code_of_its_own() {
    let file = File::new("slower.json", "");
    let (code, _, error) = trine(SAVE, &file.0);
    assert_eq!(code, Some(0), "{error}");
    let (code, table, error) = trine("regress --baseline FILE --processes 4 --slow dw=100%", &file.0);
    assert_eq!(code, Some(3), "{table}{error}");
    let slower =
        table.lines().find(|line| line.starts_with("dw/f32/16x64x10/")).expect("a line for each row");
    assert!(slower.ends_with("SLOWER"), "{table}");
    assert!(error.contains("slower than in the baseline"), "{error}");
}

#[test]
fn ratios_are_saved_compared_and_refused_elsewhere() {
    let file = File::new("ratios.json", "");
    let (code, _, error) = trine(SAVE, &file.0);
    assert_eq!(code, Some(0), "{error}");
    let saved = file.read();
    assert!(saved.contains("\"row\": \"dw/f32/16x64x10/") && saved.contains("\"peak\": ["), "{saved}");
    let (_, table, error) = trine("regress --baseline FILE --processes 4", &file.0);
    assert!(table.lines().any(|line| line.starts_with("dw/f32/16x64x10/")), "{table}{error}");
    let (code, table, error) = trine("regress --baseline FILE --isa portable", &file.0);
    let none = error.contains("no row on portable");
    assert!(code == Some(1) && none || saved.contains("/portable\""), "{table}{error}");

    let elsewhere = saved.replacen("\"cpu\": \"", "\"cpu\": \"another ", 1);
    std::fs::write(&file.0, elsewhere).expect("written");
    let (code, _, error) = trine("regress --baseline FILE", &file.0);
    assert_eq!(code, Some(1));
    assert!(error.contains("of another machine, another "), "{error}");
}

#[test]
fn a_file_that_is_none_is_named() {
    let file = File::new("none", "{}");
    for command in ["regress --baseline FILE", "counts --baseline FILE", "plan 1 2 3 --tuning FILE"] {
        let (code, _, error) = trine(command, &file.0);
        assert_eq!(code, Some(1), "{command}: {error}");
        assert!(error.contains(&file.0.display().to_string()), "{command}: {error}");
    }
}

#[test]
fn a_tuning_is_written_read_and_shown() {
    let file = File::new("tuning", "");
    let (code, lines, error) = trine("tune -o FILE --choice stream-bytes --rounds 3 --isa avx2", &file.0);
    if code == Some(1) && error.contains("avx2") {
        // Not on this machine.
        return;
    }
    assert_eq!(code, Some(0), "{error}");
    assert!(
        lines.contains("f32 stream-bytes ") && file.read().contains("trine-tuning 1\nisa avx2\n"),
        "{lines}"
    );
    let (code, _, error) = trine("plan 1 600 600 --isa avx2 --tuning FILE", &file.0);
    assert_eq!(code, Some(0), "{error}");

    for (bytes, streams) in [(1_440_000, false), (1_439_999, true)] {
        let text = format!("trine-tuning 1\nisa avx2\nf32 stream-bytes {bytes} # by hand\n");
        std::fs::write(&file.0, text).expect("written");
        let (_, plan, _) = trine("plan 1 600 600 --op fwd --isa avx2 --tuning FILE", &file.0);
        assert_eq!(plan.contains("read from end to end"), streams, "{plan}");
    }
    let bench = "bench --shape 1x600x600 --op fwd --peers gemm --time 0 --isa avx2 --tuning FILE";
    let (code, _, error) = trine(bench, &file.0);
    assert_eq!(code, Some(0), "{error}");
    let (code, _, error) = trine("plan 1 600 600 --isa portable --tuning FILE", &file.0);
    assert_eq!(code, Some(1));
    assert!(error.contains("the tuning must be for the instruction set of the engine"), "{error}");
    // Found out before the first table.
    let (code, table, _) = trine("bench --shape 8x8x8 --time 0 --isa avx2,portable --tuning FILE", &file.0);
    assert!(code == Some(1) && !table.contains("fwd"), "{table}");
}

//! `trine train` and `trine pebble` as they are typed: what is refused is refused at once and by name.

use std::path::PathBuf;
use std::process::{Command, Output};

fn trine(words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trine"));
    command.args(words.split(' ')).output().expect("it can be started")
}

/// Fails within the program, not by a panic, and says this.
fn refused(words: &str, expected: &str) {
    let Output { status, stdout, stderr } = trine(words);
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(matches!(status.code(), Some(1 | 2)), "{words}: {status}, {stderr}");
    assert!(stderr.contains(expected), "{words}: {stderr}");
    assert!(!stderr.contains("panicked"), "{words}: {stderr}");
    assert!(!stdout.contains("epoch "), "{words} trains before it fails: {stdout}");
}

fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("trine-command-{}-{name}", std::process::id()))
}

#[test]
fn numbers_without_a_meaning_are_refused() {
    let cases = [
        ("--timeout 0", "--timeout"),
        ("--bucket 0", "--bucket"),
        ("--balance nan", "--balance"),
        ("--balance=-5", "--balance"),
        ("--latency 18446744073709551615", "--latency"),
        ("--dp 3", "--microbatches 4 cannot be shared among --dp 3"),
        ("--dp 0", "--dp"),
        ("--pp 5", "4 layers cannot be cut into 5 stages"),
        ("--batch 3", "a batch of 3 has not 4 rows"),
        ("--lr nan", "lr must be finite"),
        ("--layers 64,5", "to end with 10 or more, the classes"),
        ("--layers 64,18446744073709551615,10", "--layers: more values"),
        ("--layers 64,1000000000000,10", "--layers: more values"),
    ];
    for (flags, expected) in cases {
        refused(&format!("train --data digits --epochs 1 {flags}"), expected);
    }
    for (flags, expected) in [
        ("--batch 18446744073709551615", "--batch: more values"),
        ("--layers 4,18446744073709551615,3", "--layers: more values"),
        ("--microbatches 100000 --batch 100000", "microbatches cannot be read"),
    ] {
        refused(&format!("pebble --svg {} {flags}", file("none.svg").display()), expected);
    }
}

#[test]
fn files_that_cannot_be_written_are_refused_before_training() {
    let folder = std::env::temp_dir();
    for flag in ["--checkpoint", "--curves"] {
        let train = format!("train --data digits --epochs 1 {flag}");
        refused(&format!("{train} {}", folder.display()), "cannot be written: it is a directory");
        refused(&format!("{train} /nowhere/at/all"), "cannot be written: there is no such directory");
    }
}

#[test]
fn a_batch_of_more_than_all_images_is_all_of_them() {
    let Output { status, stdout, .. } =
        trine("train --data digits --epochs 1 --layers 64,10 --batch 18446744073709551615");
    assert!(status.success() && String::from_utf8_lossy(&stdout).contains("batch 1437 in 4 microbatches"));
}

#[test]
fn going_on_from_the_end_has_nothing_to_do() {
    let path = file("end");
    let train = "train --data digits --epochs 1 --layers 64,10";
    assert!(trine(&format!("{train} --checkpoint {}", path.display())).status.success());
    let Output { status, stdout, .. } = trine(&format!("{train} --resume {}", path.display()));
    let stdout = String::from_utf8_lossy(&stdout);
    assert!(status.success() && stdout.contains("all epochs had been done"), "{stdout}");
    assert!(!stdout.contains("NaN"), "{stdout}");
    std::fs::remove_file(path).expect("written");
}

/// A loss that is no number was no range of an axis, and the picture was never done.
#[test]
fn a_training_gone_astray_is_drawn() {
    let path = file("astray.svg");
    let flags = "--epochs 2 --layers 64,10 --optimizer sgd --lr 1e38";
    let Output { status, .. } = trine(&format!("train --data digits {flags} --curves {}", path.display()));
    assert!(status.success());
    assert!(std::fs::read_to_string(&path).expect("written").contains("NaN after epoch 2"));
    std::fs::remove_file(path).expect("written");
}

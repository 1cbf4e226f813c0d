//! Tells the program which compiler built it: counts of instructions are its work too.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output();
    let version = output.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    let version = if version.trim().is_empty() { "an unknown rustc" } else { version.trim() };
    println!("cargo::rustc-env=TRINE_RUSTC={version}");
}

//! Links the firmware with its memory map: on a Cortex-M also with cortex-m-rt's linker script.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=memory.x");
    let var = |name| std::env::var(name).unwrap_or_default();
    println!("cargo::rerun-if-changed=aarch64.x");
    if var("CARGO_CFG_TARGET_ARCH") == "aarch64" && var("CARGO_CFG_TARGET_OS") == "none" {
        println!("cargo::rustc-link-arg-bins=-T{}/aarch64.x", var("CARGO_MANIFEST_DIR"));
    }
    if var("CARGO_CFG_TARGET_ARCH") == "arm" && var("CARGO_CFG_TARGET_OS") == "none" {
        let out = var("OUT_DIR");
        std::fs::copy("memory.x", Path::new(&out).join("memory.x")).expect("OUT_DIR can be written");
        println!("cargo::rustc-link-search={out}");
        println!("cargo::rustc-link-arg-bins=-Tlink.x");
    }
}

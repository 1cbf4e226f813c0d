//! Tells which targets have a scalar fused multiply-add in their baseline, where the compiler's own flag for it
//! is not stable: bare-metal Arm with VFPv4 or FPv5 (f32 only), RISC-V with F and D.
fn main() {
    println!("cargo::rustc-check-cfg=cfg(trine_vfma_f32, trine_fmadd)");
    println!("cargo::rerun-if-changed=build.rs");
    let target = std::env::var("TARGET").unwrap_or_default();
    if matches!(target.as_str(), "thumbv7em-none-eabihf" | "thumbv8m.main-none-eabihf") {
        println!("cargo::rustc-cfg=trine_vfma_f32");
    }
    if target.starts_with("riscv64gc-") || target.starts_with("riscv32gc-") {
        println!("cargo::rustc-cfg=trine_fmadd");
    }
}

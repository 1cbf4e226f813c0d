//! Tells which bare-metal Arm targets have a scalar fused multiply-add in their baseline (VFPv4, FPv5):
//! the compiler's own flag for it is not stable.
fn main() {
    println!("cargo::rustc-check-cfg=cfg(trine_vfma_f32)");
    println!("cargo::rerun-if-changed=build.rs");
    let target = std::env::var("TARGET").unwrap_or_default();
    if matches!(target.as_str(), "thumbv7em-none-eabihf" | "thumbv8m.main-none-eabihf") {
        println!("cargo::rustc-cfg=trine_vfma_f32");
    }
}

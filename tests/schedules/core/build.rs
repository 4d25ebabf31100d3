//! The same sources as the product, with locks that shuttle schedules.

fn main() {
    println!("cargo::rustc-cfg=schedules");
    println!("cargo::rerun-if-changed=build.rs");
}

//! Tells the code which interpreter it is built for, and the module how it was built.

use std::env;

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    let target = env::var("TARGET").unwrap_or_default();
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let cpu =
        flags.split('\x1f').find_map(|flag| flag.split_once("target-cpu=")).map_or("generic", |(_, cpu)| cpu);
    println!("cargo:rustc-env=BCHAN_TARGET={target}");
    println!("cargo:rustc-env=BCHAN_TARGET_CPU={cpu}");
}

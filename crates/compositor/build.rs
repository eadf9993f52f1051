//! Refuses to build where OpenH264 would come out three times slower without a word.
//!
//! `openh264-sys2` assembles OpenH264's x86 kernels with `nasm`. Where it finds none it compiles the C fallbacks
//! instead, prints a line that cargo hides, and succeeds: 1080p then takes some 15 ms a frame instead of 5. It reads
//! `OPENH264_NO_ASM` for the same purpose; somebody who sets that has asked for it and is let through.

use std::process::{Command, Stdio};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=PATH");
    println!("cargo:rerun-if-env-changed=OPENH264_NO_ASM");

    let architecture = std::env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it for every build script");
    if architecture != "x86_64" || std::env::var_os("OPENH264_NO_ASM").is_some() {
        return;
    }
    let nasm = Command::new("nasm").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !nasm.is_ok_and(|status| status.success()) {
        println!(
            "cargo:error=nasm was not found on PATH; without it OpenH264 is built without its assembly and encodes \
             three times slower. Install it (Debian and Ubuntu: apt-get install nasm; Fedora: dnf install nasm; \
             macOS: brew install nasm) and run `cargo clean -p openh264-sys2` before building again."
        );
    }
}

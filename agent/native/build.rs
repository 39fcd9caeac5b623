//! Strips the module. Cargo forgets `strip` of the profile for a package that has a profile of its own.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,--strip-all");
}

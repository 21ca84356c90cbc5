//! Lets cargo notice a migration that was added; those that are there already it follows by itself.

fn main() {
    println!("cargo::rerun-if-changed=../migrations");
}

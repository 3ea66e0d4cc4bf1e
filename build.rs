//! Has cargo look at the dashboard's built files, so that a new build of them is embedded.

use std::path::Path;

fn main() {
    let built = Path::new("dashboard/dist");
    // Cargo would run this, and so build all of the crate, each time if the folder were missing.
    if !built.is_dir() {
        let _ = std::fs::create_dir_all(built);
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=dashboard/dist");
}

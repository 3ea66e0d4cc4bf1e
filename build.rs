//! Has cargo look at the dashboard's built files, so that a release build embeds a new build of them.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Other builds read the files from the folder when they run.
    if std::env::var_os("PROFILE").is_none_or(|profile| profile != "release") {
        return;
    }
    let built = Path::new("dashboard/dist");
    // Cargo would build all of the crate each time if the folder were missing.
    if !built.is_dir() && std::fs::create_dir_all(built).is_err() {
        return;
    }
    println!("cargo::rerun-if-changed=dashboard/dist");
}

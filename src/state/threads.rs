//! Where the engine's threads are started: each has a name, and whoever starts one joins it.

use std::thread::{Builder, JoinHandle};

/// Starts a thread. It panics if the machine has no thread left, which at start is the end anyway.
#[expect(clippy::disallowed_methods, reason = "this is the one place that starts threads")]
pub fn start(name: &str, body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    Builder::new().name(name.to_owned()).spawn(body).expect("the machine gives a few threads at start")
}

//! Where the engine's threads are started: each has a name, and whoever starts one joins it.

use std::thread::{Builder, JoinHandle};

use thread_priority::unix::{
    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use thread_priority::{ThreadPriority, ThreadPriorityOsValue};

/// Starts a thread, which interrupts no other when it wakes. It panics if the machine has no thread left, which at start is
/// the end anyway.
#[expect(clippy::disallowed_methods, reason = "this is the one place that starts threads")]
pub fn start(name: &str, body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let body = move || {
        never_interrupt();
        body();
    };
    Builder::new().name(name.to_owned()).spawn(body).expect("the machine gives a few threads at start")
}

/// Lets this thread run at once on a core that is idle, and else when one that runs waits or has had its turn (`SCHED_BATCH`). The
/// engine's threads find the more to do at once the later they come, and those that make changes have the cores until then:
/// with 64 changes in flight on two cores a tenth more were made in a second.
fn never_interrupt() {
    let even = ThreadPriority::Os(ThreadPriorityOsValue::default());
    let batch = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
    if let Err(error) = set_thread_priority_and_policy(thread_native_id(), even, batch) {
        tracing::debug!(?error, "a thread is scheduled as any other");
    }
}

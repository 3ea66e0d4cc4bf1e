//! Where the engine's threads are started: each has a name, and whoever starts one joins it.

use std::thread::{Builder, JoinHandle};

use rustix::process::{getpriority_process, setpriority_process};
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
/// with 64 changes in flight on two cores a quarter more were made in a second.
fn never_interrupt() {
    let even = ThreadPriority::Os(ThreadPriorityOsValue::default());
    let batch = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
    let nice = getpriority_process(None);
    if let Err(error) = set_thread_priority_and_policy(thread_native_id(), even, batch) {
        tracing::debug!(?error, "a thread is scheduled as any other");
    }
    // It was set to 0 on the way; a daemon that was started with `nice` stays so.
    let _ = nice.and_then(|nice| setpriority_process(None, nice));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of this thread's `/proc/thread-self/stat`, counted from the state, which is the third (proc_pid_stat(5)).
    fn field(number: usize) -> i64 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        fields.split(' ').nth(number - 3).unwrap().parse().unwrap()
    }

    #[test]
    fn a_thread_of_the_engine_interrupts_no_other_and_keeps_its_niceness() {
        let outside = start("outside", || {
            setpriority_process(None, 5).unwrap();
            start("inside", || {
                assert_eq!((field(41), field(19)), (3, 5), "SCHED_BATCH, and as nice as who started it");
            })
            .join()
            .unwrap();
        });
        outside.join().unwrap();
    }
}

//! The end of the engine after a failed write: said once to the outside, and to everybody who waits for what will not come.

use std::sync::Arc;

use tokio::sync::watch;

/// Whether the engine has stopped for good.
pub(super) struct Halt {
    stopped: watch::Sender<bool>,
    on_failure: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Halt {
    /// An engine that works; `on_failure` is called once, when it stops.
    pub(super) fn new(on_failure: Arc<dyn Fn(&str) + Send + Sync>) -> Self {
        Self { stopped: watch::Sender::new(false), on_failure }
    }

    /// Stops the engine, for the reason that is told first.
    pub(super) fn stop(&self, why: &str) {
        if !self.stopped.send_replace(true) {
            (self.on_failure)(why);
        }
    }

    /// [`Halt::stop`], for whoever knows nothing of an engine.
    pub(super) fn as_callback(self: &Arc<Self>) -> Arc<dyn Fn(&str) + Send + Sync> {
        let halt = self.clone();
        Arc::new(move |why: &str| halt.stop(why))
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Ends when the engine stops.
    pub(super) async fn wait(&self) {
        // The sender is ours, so waiting ends only with what is waited for.
        let _ = self.stopped.subscribe().wait_for(|stopped| *stopped).await;
    }
}

//! How the agent is asked to end: the first signal lets the running job finish, the second stops that as well.

use tokio::sync::watch;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    #[default]
    Work,
    Drain,
    Now,
}

/// The end that `main` holds; call [`StopSender::signal`] for each signal that arrives.
#[derive(Debug)]
pub struct StopSender(watch::Sender<Level>);

/// The end that the agent looks at. If its sender is dropped, nobody can ask it to end any more.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<Level>);

impl StopSender {
    /// Asks once more: first to finish the job and claim nothing else, then to stop the job too.
    pub fn signal(&self) {
        self.0.send_modify(|level| *level = if *level == Level::Work { Level::Drain } else { Level::Now });
    }
}

impl Stop {
    /// A stop that nobody has asked for yet, and the end to ask with.
    pub fn channel() -> (StopSender, Self) {
        let (sender, receiver) = watch::channel(Level::Work);
        (StopSender(sender), Self(receiver))
    }

    /// Whether nothing more is to be claimed.
    pub fn is_draining(&self) -> bool {
        *self.0.borrow() >= Level::Drain
    }

    /// Waits until nothing more is to be claimed.
    pub async fn draining(&mut self) {
        self.reached(Level::Drain).await;
    }

    /// Waits until the running job is to be stopped as well.
    pub async fn now(&mut self) {
        self.reached(Level::Now).await;
    }

    async fn reached(&mut self, wanted: Level) {
        if self.0.wait_for(|level| *level >= wanted).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

//! What interrupts a job before its own end. Whatever runs for a job also waits on its [`Alarm`].

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::job_client::Standing;
use super::stop::Stop;

/// Why a job was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// Someone cancelled it.
    Cancelled,
    /// It is no longer ours.
    Lost,
    /// The token is accepted no more.
    Barred,
    /// The agent was told to stop at once.
    AgentStopped,
    /// A step was too slow.
    StepTimedOut,
    /// The whole build was too slow.
    BuildTimedOut,
}

impl std::fmt::Display for Halt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cancelled => "cancelled",
            Self::Lost => "the job is no longer this agent's",
            Self::Barred => "the agent's token is not accepted any more",
            Self::AgentStopped => "the agent was stopped",
            Self::StepTimedOut => "the step took too long",
            Self::BuildTimedOut => "the build took too long",
        })
    }
}

/// Rings when a job is to be interrupted; clones ring alike.
#[derive(Clone, Debug)]
pub struct Alarm {
    standing: watch::Receiver<Standing>,
    stop: Stop,
    deadline: Instant,
}

impl Alarm {
    /// An alarm for a build that may take `time`.
    pub fn new(standing: watch::Receiver<Standing>, stop: Stop, time: Duration) -> Self {
        Self { standing, stop, deadline: Instant::now() + time }
    }

    /// The same, ringing at the latest when `time` after `start` is over.
    pub fn within(&self, start: Instant, time: Duration) -> Self {
        Self { deadline: self.deadline.min(start + time), ..self.clone() }
    }

    /// Waits until the job is to be interrupted.
    pub async fn rung(mut self) -> Halt {
        tokio::select! {
            biased;
            Ok(standing) = self.standing.wait_for(|standing| *standing != Standing::Held) => halt_of(*standing),
            () = self.stop.now() => Halt::AgentStopped,
            () = tokio::time::sleep_until(self.deadline) => Halt::BuildTimedOut,
        }
    }

    /// Waits until the job is to be interrupted, or a step that may take `time` is over it.
    pub async fn rung_in_step(self, time: Option<Duration>) -> Halt {
        let step_is_over = async {
            match time {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            halt = self.rung() => halt,
            () = step_is_over => Halt::StepTimedOut,
        }
    }
}

fn halt_of(standing: Standing) -> Halt {
    match standing {
        Standing::Held | Standing::Cancelling => Halt::Cancelled,
        Standing::Lost => Halt::Lost,
        Standing::Barred => Halt::Barred,
    }
}

//! Waits for a job. Failures that may pass are waited out for ever; a refusal ends the agent.

use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;

use super::backoff::{Backoff, Pace};
use super::daemon_client::{CallError, Claim, ClaimRequest, DaemonClient};
use super::options::AgentOptions;
use super::stop::Stop;
use crate::clock::{Clock, Time};
use crate::id::random_token;

/// The longest wait that the protocol allows.
const WAIT_SECONDS_MAX: u64 = 60;
/// How long a draining agent asks whether its last claim was answered after all.
const SETTLE_MAX: Duration = Duration::from_secs(5);

/// The next job, or none when the agent is to end.
///
/// # Errors
/// The daemon does not accept the token, or refuses the claim for good.
pub async fn next(
    daemon: &DaemonClient,
    options: &AgentOptions,
    clock: &Clock,
    stop: &mut Stop,
    pace: Pace,
) -> anyhow::Result<Option<Claim>> {
    let wanted = request(options);
    let mut backoff = Backoff::new(pace.retry_first, pace.claim_retry_max);
    let mut key = random_token();
    while !stop.is_draining() && !is_over(options.available_until, clock.now()) {
        let start = Instant::now();
        let answer = tokio::select! {
            answer = daemon.claim(&key, &wanted) => answer,
            () = stop.draining() => return Ok(settle(daemon, &key, wanted, clock.now()).await),
        };
        match answer {
            Ok(Some(claim)) => return Ok(Some(claim)),
            Ok(None) => {
                backoff.reset();
                key = random_token();
                // A daemon that does not wait, or was asked not to, is not asked without pause.
                tokio::select! { () = tokio::time::sleep_until(start + pace.poll) => {}, () = stop.draining() => {} }
            }
            Err(error) => {
                // The key stays while an answer may have been lost, and goes once one has come.
                if !matches!(error, CallError::Unreachable { .. }) {
                    key = random_token();
                }
                let wait = backoff.next(passing(error)?);
                tokio::select! { () = tokio::time::sleep(wait) => {}, () = stop.draining() => {} }
            }
        }
    }
    Ok(None)
}

fn request(options: &AgentOptions) -> ClaimRequest {
    ClaimRequest {
        agent_id: options.name.clone(),
        labels: options.labels.clone(),
        types: options.program.as_ref().map_or_else(
            || super::job::TYPES.iter().map(|kind| (*kind).to_owned()).collect(),
            |program| program.types.clone(),
        ),
        available_until: options.available_until,
        wait: options.wait_seconds.min(WAIT_SECONDS_MAX),
    }
}

fn is_over(available_until: Option<Time>, now: Time) -> bool {
    available_until.is_some_and(|until| until <= now)
}

/// The `Retry-After` of a failure that may pass; any other is returned as the agent's own end.
fn passing(error: CallError) -> anyhow::Result<Option<Duration>> {
    match error {
        CallError::Unreachable { ref what, retry_after } => {
            tracing::warn!(what, "no answer to the claim; trying again");
            Ok(retry_after)
        }
        CallError::Refused { status: 200 | 409, .. } => {
            tracing::warn!(%error, "the claim brought nothing usable; trying again");
            Ok(None)
        }
        error => Err(error).context("claim a job"),
    }
}

/// Asks once whether the claim that a stop interrupted was answered, for a job whose answer is lost would wait for
/// its lease to end. No new job is given: none can end before the present moment.
async fn settle(daemon: &DaemonClient, key: &str, mut wanted: ClaimRequest, now: Time) -> Option<Claim> {
    wanted.wait = 0;
    wanted.available_until = Some(now);
    tokio::time::timeout(SETTLE_MAX, daemon.claim(key, &wanted)).await.ok()?.ok()?
}

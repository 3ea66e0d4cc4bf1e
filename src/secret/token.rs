//! Decides whether a token redeems a job's secrets. A token is derived from the lease, so a repeated claim gives the
//! same one, nothing of it is stored, and it is dead when the lease is.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::clock::Time;
use crate::id::LeaseId;
use crate::job::{Job, JobError, jobs};
use crate::mask::SecretText;

/// How long after the claim a token can be redeemed: an agent does so at once, and a stolen one is of no use later.
pub const TOKEN_PERIOD: Duration = Duration::from_secs(300);
/// What else is derived with the same key would begin with another word.
const DOMAIN: &[u8] = b"mrx secrets token\0";

/// Why a token redeems nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// It is not the token of this lease.
    #[error("the Secrets-Token is not the one that came with this lease")]
    Wrong,
    /// It was redeemed before: by the agent itself whose answer was lost, or by somebody who should not have it.
    #[error(
        "the Secrets-Token was redeemed before; this is recorded. Let the job fail and retry it for a new one"
    )]
    Spent,
    /// Its time is over.
    #[error("the Secrets-Token could be redeemed for {} s after the claim; retry the job for a new one", TOKEN_PERIOD.as_secs())]
    Late,
}

/// The token of a lease: 64 hexadecimal digits.
pub fn token_of(key: &SecretText, lease: &LeaseId) -> SecretText {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.reveal().as_bytes()).expect("a key of any length will do");
    mac.update(DOMAIN);
    mac.update(lease.as_str().as_bytes());
    let bytes = mac.finalize().into_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

/// The job with its token redeemed at `now`, if the lease is its own and this is the lease's token.
pub fn redeem(
    job: &Job,
    lease: &LeaseId,
    given: &SecretText,
    right: &SecretText,
    now: Time,
) -> Result<Job, super::SecretError> {
    jobs::holds(job, lease)?;
    if !bool::from(given.reveal().as_bytes().ct_eq(right.reveal().as_bytes())) {
        return Err(TokenRefusal::Wrong.into());
    }
    let (Some(held), Some(claimed_at)) = (&job.lease, job.claimed_at) else {
        return Err(JobError::LeaseStale { state: job.state, attempt: job.attempt }.into());
    };
    if held.secrets_redeemed_at.is_some() {
        return Err(TokenRefusal::Spent.into());
    }
    if now >= claimed_at.after(TOKEN_PERIOD) {
        return Err(TokenRefusal::Late.into());
    }
    let held = crate::job::types::Lease { secrets_redeemed_at: Some(now), ..held.clone() };
    Ok(Job { lease: Some(held), ..job.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::IdMaker;
    use crate::job::lifecycle::{self, Event};
    use crate::job::types::{JobType, Lease};
    use crate::job::{NewJob, pending};
    use crate::secret::SecretError;

    fn claimed(now: Time) -> (Job, LeaseId) {
        let ids = IdMaker::new();
        let new = NewJob {
            project: "mrx-a".parse().unwrap(),
            kind: JobType::Build,
            payload: Default::default(),
            priority: 0,
            labels: Vec::new(),
            timeout_seconds: 60,
            needs: Vec::new(),
            concurrency_group: None,
        };
        let lease = Lease { id: ids.lease(now), request: None, secrets_redeemed_at: None };
        let id = lease.id.clone();
        let event = Event::Claimed { agent: "builder-1".parse().unwrap(), lease };
        (lifecycle::next(&pending(new, &ids, now), event, now).unwrap(), id)
    }

    #[test]
    fn a_token_is_good_once_for_its_lease_and_for_five_minutes() {
        let start = Time::from_millis(1_000_000);
        let key = SecretText::from("the key".to_owned());
        let (job, lease) = claimed(start);
        let token = token_of(&key, &lease);
        assert_eq!(token.len(), 64);
        let refusal = |job: &Job, given: &SecretText, now| match redeem(job, &lease, given, &token, now) {
            Err(SecretError::Token(refusal)) => Some(refusal),
            Err(error) => panic!("{error}"),
            Ok(_) => None,
        };
        let last = Time::from_millis(1_000_000 + 299_999);
        assert_eq!(refusal(&job, &token, last), None);
        assert_eq!(refusal(&job, &token, start.after(TOKEN_PERIOD)), Some(TokenRefusal::Late));
        assert_eq!(refusal(&job, &"guess".to_owned().into(), start), Some(TokenRefusal::Wrong));
        assert_eq!(refusal(&job, &String::new().into(), start), Some(TokenRefusal::Wrong));
        let spent = redeem(&job, &lease, &token, &token, start).unwrap();
        assert_eq!(refusal(&spent, &token, start), Some(TokenRefusal::Spent));
        assert_eq!(spent.version(), job.version(), "what others see of the job is the same");
    }

    #[test]
    fn a_token_is_dead_when_its_job_ends_or_is_claimed_anew() {
        let start = Time::from_millis(1_000_000);
        let key = SecretText::from("the key".to_owned());
        let (job, lease) = claimed(start);
        let token = token_of(&key, &lease);
        let ended = lifecycle::next(&job, Event::TimedOut, start).unwrap();
        let again = lifecycle::next(&ended, Event::Retried, start).unwrap();
        for job in [&ended, &again, &claimed(start).0] {
            let refusal = redeem(job, &lease, &token, &token, start).unwrap_err();
            assert!(matches!(refusal, SecretError::Job(JobError::LeaseStale { .. })), "{refusal}");
        }
        assert_ne!(token.reveal(), token_of(&key, &claimed(start).1).reveal(), "each lease has its own");
    }
}

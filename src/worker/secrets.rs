//! The secrets of one job: fetched once with the token of its claim, kept in memory alone, given to the steps that name
//! them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::{Backoff, Pace};
use super::daemon_client::CallError;
use super::job_client::JobClient;
use crate::id::SecretName;
use crate::mask::{Matcher, SecretText};

/// What the variable of a secret begins with: `signing-key` is `MRX_SECRET_SIGNING_KEY`.
pub const VARIABLE_PREFIX: &str = "MRX_SECRET_";
/// How long a daemon that is away is waited for: shorter than a lease, which this call is the first to renew.
const FETCH_MAX: Duration = Duration::from_secs(60);

/// A job's secrets.
#[derive(Debug, Default)]
pub struct JobSecrets {
    values: BTreeMap<SecretName, SecretText>,
    matcher: Arc<Matcher>,
}

impl JobSecrets {
    /// The value under this name.
    pub fn get(&self, name: &SecretName) -> Option<&SecretText> {
        self.values.get(name)
    }

    /// What hides them in all that leaves the agent.
    pub fn matcher(&self) -> Arc<Matcher> {
        self.matcher.clone()
    }

    /// The variables of the environment for these; the first name that there is no secret for is refused.
    pub fn variables(&self, names: &[SecretName]) -> Result<Vec<(String, SecretText)>, SecretName> {
        let variable = |name: &SecretName| {
            let value = self.get(name).ok_or_else(|| name.clone())?;
            Ok((variable(name), value.clone()))
        };
        names.iter().map(variable).collect()
    }
}

impl FromIterator<(SecretName, SecretText)> for JobSecrets {
    fn from_iter<I: IntoIterator<Item = (SecretName, SecretText)>>(pairs: I) -> Self {
        let values: BTreeMap<_, _> = pairs.into_iter().collect();
        let matcher = Arc::new(Matcher::new(values.values()));
        Self { values, matcher }
    }
}

/// Names have no underscore, so no two of them become the same variable.
fn variable(name: &SecretName) -> String {
    format!("{VARIABLE_PREFIX}{}", name.as_str().to_ascii_uppercase().replace('-', "_"))
}

/// Redeems the token, patiently while the daemon cannot be reached. Without a token there are no secrets.
///
/// If the daemon obeyed and its answer was lost, the token is spent, and the next try is refused: the job fails, and a
/// retry of it has a new token.
pub async fn fetch(
    calls: &JobClient,
    token: Option<&SecretText>,
    pace: Pace,
) -> Result<JobSecrets, CallError> {
    let Some(token) = token else { return Ok(JobSecrets::default()) };
    let end = Instant::now() + FETCH_MAX;
    let mut backoff = Backoff::new(pace.retry_first, pace.job_retry_max);
    loop {
        match calls.redeem_secrets(token).await {
            Err(CallError::Unreachable { what, retry_after }) if Instant::now() < end => {
                tracing::warn!(what, "the job's secrets could not be fetched; trying again");
                tokio::time::sleep(backoff.next(retry_after)).await;
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_gets_the_secrets_that_it_names_and_no_others() {
        let name = |text: &str| text.parse::<SecretName>().unwrap();
        let text = |text: &str| SecretText::from(text.to_owned());
        let secrets: JobSecrets =
            [(name("signing-key"), text("abcdef")), (name("llm"), text("ghijkl"))].into_iter().collect();
        let given = secrets.variables(&[name("signing-key")]).unwrap();
        assert_eq!(given.len(), 1);
        assert_eq!((given[0].0.as_str(), given[0].1.reveal()), ("MRX_SECRET_SIGNING_KEY", "abcdef"));
        assert_eq!(secrets.variables(&[name("llm"), name("github")]).unwrap_err(), name("github"));
        assert!(!format!("{secrets:?} {given:?}").contains("abcdef"));
    }
}

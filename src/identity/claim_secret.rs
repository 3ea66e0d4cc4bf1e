//! One-time claim secrets: an agent without a key of its own claims with one, and the answer carries the next.
//!
//! Redeeming is a change in the single writer, so of many that bring the same secret one wins, also across a crash. The next
//! secret is derived from the spent one, so a claim that is sent again with its `Idempotency-Key` gets the same answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::accounts::{Identity, platform_change};
use super::error::IdentityError;
use super::token::{CLAIM_PREFIX, Token};
use super::types::ClaimSecret;
use crate::clock::Time;
use crate::id::{AgentId, JobId, Label, LeaseId, ProjectId};
use crate::state::edit::{Actor, Edit};
use crate::state::layout::{self, RepoName};
use crate::state::repo::{Decision, View};
use crate::state::store::Done;

/// The shortest and the longest life of a secret.
pub const PERIOD_MIN: Duration = Duration::from_secs(60);
/// The longest.
pub const PERIOD_MAX: Duration = Duration::from_secs(300);

/// A secret to be made.
pub struct NewClaimSecret {
    /// Who may claim with it.
    pub agent: AgentId,
    /// The projects it may claim from; all if absent.
    pub projects: Option<BTreeSet<ProjectId>>,
    /// The labels it may offer; any if absent.
    pub labels: Option<BTreeSet<Label>>,
    /// How long it is good.
    pub period: Duration,
}

/// A redeemed secret, and the one for the next claim.
pub struct Redeemed {
    /// What the spent one allowed.
    pub secret: Arc<ClaimSecret>,
    /// The next one.
    pub next: Token,
    /// When the next one ends.
    pub next_expires_at: Time,
}

impl Identity {
    /// Makes a secret; it is in this answer and nowhere else.
    pub async fn create_claim_secret(
        &self,
        new: NewClaimSecret,
        actor: Actor,
    ) -> Result<Done<(Token, Time)>, IdentityError> {
        let token = Token::random(CLAIM_PREFIX);
        let secret = Arc::new(ClaimSecret {
            hash: token.hash(),
            agent_id: new.agent,
            projects: new.projects,
            labels: new.labels,
            expires_at: self.clock.now().after(new.period.clamp(PERIOD_MIN, PERIOD_MAX)),
            redeemed_at: None,
            redeemed_by: None,
        });
        let decide = |_: &mut View<'_>| -> Result<_, IdentityError> {
            let what = format!("agent {}: claim secret issued", secret.agent_id);
            let edits = vec![put(&secret)];
            Ok(Decision::commit(
                platform_change(what, "claimSecret.issued", actor, edits),
                (token, secret.expires_at),
            ))
        };
        self.state.change(&RepoName::Platform, decide).await
    }

    /// Spends a secret for this agent. The same request may spend it again while it lasts; another one is refused and recorded.
    pub async fn redeem_claim_secret(
        &self,
        agent: &AgentId,
        token: &Token,
        request: Option<&str>,
    ) -> Result<Redeemed, IdentityError> {
        let (hash, now) = (token.hash(), self.clock.now());
        let next = Token::of(&format!(
            "{CLAIM_PREFIX}{}",
            self.deriving.derive("next claim secret", token.reveal())
        ));
        let decide = |_: &mut View<'_>| -> Result<_, IdentityError> {
            let spent = || IdentityError::SpentToken("claim secret");
            let known = self
                .known
                .claim_secret(&hash)
                .filter(|known| known.agent_id == *agent && now < known.expires_at);
            let known = known.ok_or_else(spent)?;
            let actor = Actor { kind: "agent", name: agent.as_str().into() };
            if known.redeemed_at.is_some() {
                let again = request.is_some() && known.redeemed_by.as_deref() == request;
                if again && let Some(next_known) = self.known.claim_secret(&next.hash()) {
                    let answer = Redeemed { secret: known, next, next_expires_at: next_known.expires_at };
                    return Ok(Decision::nothing(Ok(answer)));
                }
                let what = format!("agent {agent}: a spent claim secret was used again");
                // The commit is the record; nothing else changes but the time it shows.
                let reused = Arc::new(ClaimSecret { redeemed_at: Some(now), ..(*known).clone() });
                return Ok(Decision::commit(
                    platform_change(what, "claimSecret.reused", actor, vec![put(&reused)]),
                    Err(spent()),
                ));
            }
            let redeemed = ClaimSecret {
                redeemed_at: Some(now),
                redeemed_by: request.map(str::to_owned),
                ..(*known).clone()
            };
            let following = Arc::new(ClaimSecret {
                hash: next.hash(),
                expires_at: now.after(PERIOD_MAX),
                redeemed_at: None,
                redeemed_by: None,
                ..(*known).clone()
            });
            let edits = vec![put(&Arc::new(redeemed)), put(&following)];
            let answer = Redeemed { secret: known, next, next_expires_at: following.expires_at };
            let what = format!("agent {agent}: claim secret redeemed");
            Ok(Decision::commit(platform_change(what, "claimSecret.redeemed", actor, edits), Ok(answer)))
        };
        self.state.change(&RepoName::Platform, decide).await?.answer
    }

    /// The token with which an agent without a key works on the one job it got.
    pub fn lease_token(&self, agent: &AgentId, job: &JobId, lease: &LeaseId, until: Time) -> Token {
        self.signer.lease(agent, job, lease, self.clock.now(), until)
    }

    /// The agent, job and lease of such a token.
    pub fn read_lease_token(&self, text: &str) -> Option<(AgentId, JobId, LeaseId)> {
        let claims = self.signer.read_lease(text, self.clock.now())?;
        Some((claims.sub, claims.job, claims.jti))
    }
}

fn put(secret: &Arc<ClaimSecret>) -> Edit {
    Edit::put(layout::claim_secret(&secret.hash.to_string()), secret.clone())
}

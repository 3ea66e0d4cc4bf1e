//! How often each caller and each address may call: a bucket a caller that fills at a steady rate.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::principal::Principal;

/// Calls a second of one person; a page of the dashboard makes about ten.
const PERSON_PER_SECOND: u32 = 100;
/// Calls a second of one agent: claims and logs of many jobs, as fast as one connection carries them.
const AGENT_PER_SECOND: u32 = 10_000;
/// Calls a second from one address that brings no valid credential.
const STRANGER_PER_SECOND: u32 = 20;
/// How many seconds' worth of calls may come at once.
const BURST_SECONDS: u32 = 3;

/// The buckets. A clone is the same.
#[derive(Clone)]
pub struct RateLimits(Arc<Buckets>);

struct Buckets {
    people: DefaultKeyedRateLimiter<u64>,
    agents: DefaultKeyedRateLimiter<u64>,
    strangers: DefaultKeyedRateLimiter<u64>,
    clock: DefaultClock,
    are_on: bool,
}

impl RateLimits {
    /// With the limits above, or without any.
    pub fn new(are_on: bool) -> Self {
        Self(Arc::new(Buckets {
            people: bucket(PERSON_PER_SECOND),
            agents: bucket(AGENT_PER_SECOND),
            strangers: bucket(STRANGER_PER_SECOND),
            clock: DefaultClock::default(),
            are_on,
        }))
    }

    /// Takes one call out of the caller's bucket, or says how long until there is one. The operator has no limit.
    pub fn take(&self, caller: Option<&Principal>, address: IpAddr) -> Result<(), Duration> {
        if !self.0.are_on {
            return Ok(());
        }
        let (bucket, key) = match caller {
            Some(Principal::Operator) => return Ok(()),
            Some(Principal::Person(person)) => (&self.0.people, key_of(person.user.name.as_str())),
            Some(Principal::Agent(caller)) => (&self.0.agents, key_of(caller.agent.agent_id.as_str())),
            None => (&self.0.strangers, key_of(&address)),
        };
        bucket.check_key(&key).map_err(|not_yet| not_yet.wait_time_from(self.0.clock.now()))
    }

    /// Forgets callers whose buckets are full again.
    pub fn tidy(&self) {
        for bucket in [&self.0.people, &self.0.agents, &self.0.strangers] {
            bucket.retain_recent();
            bucket.shrink_to_fit();
        }
    }
}

fn bucket(per_second: u32) -> DefaultKeyedRateLimiter<u64> {
    let rate = NonZeroU32::new(per_second).expect("a rate is above zero");
    let burst = NonZeroU32::new(per_second * BURST_SECONDS).expect("a burst is above zero");
    RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst))
}

/// Keys are hashed, so that a bucket costs the same however long a name is.
fn key_of(name: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_that_calls_too_often_is_told_how_long_to_wait_and_others_are_not_touched() {
        let limits = RateLimits::new(true);
        let [here, there]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().unwrap());
        let taken = (0..200).take_while(|_| limits.take(None, here).is_ok()).count();
        assert!((60..200).contains(&taken), "{taken}");
        assert!(limits.take(None, here).unwrap_err() <= Duration::from_secs(1));
        assert!(limits.take(None, there).is_ok());
        assert!((0..10_000).all(|_| limits.take(Some(&Principal::Operator), here).is_ok()));
        assert!(RateLimits::new(false).take(None, here).is_ok());
    }
}

//! Sixty-four agents claim and complete at once while the daemon and agents are killed: what each of them saw is one
//! order of events for every job (linearizability, Herlihy and Wing 1990), checked by stateright.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use reqwest::StatusCode;
use serde_json::{Value, json};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use tokio::task::JoinSet;

use super::daemon::{Api, Daemon, PROJECTS, Site, text};
use super::world::{Chance, setting};

const AGENTS: u64 = 64;
const JOBS: usize = 48;
/// So often is a completed job queued again, so that it has several attempts.
const ATTEMPTS: u64 = 3;
/// The test ends when every job has had its attempts, or after so long.
const TIME_MAX: Duration = Duration::from_secs(40);

/// A job as one register.
#[derive(Clone, Debug, PartialEq)]
struct Register {
    attempt: u64,
    is: Is,
}

#[derive(Clone, Debug, PartialEq)]
enum Is {
    Pending,
    Held(u64),
    Completed(u64),
}

/// What is asked of a job; a number is an agent's.
#[derive(Clone, Debug, PartialEq)]
enum Asked {
    Claim(u64),
    Complete(u64, u64),
    Retry,
    Read,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    Attempt(u64),
    Done,
    Refused,
    Read(Register),
}

impl SequentialSpec for Register {
    type Op = Asked;
    type Ret = Told;

    fn invoke(&mut self, asked: &Asked) -> Told {
        match (asked, &self.is) {
            (Asked::Read, _) => return Told::Read(self.clone()),
            (Asked::Claim(agent), Is::Pending) => self.is = Is::Held(*agent),
            (Asked::Complete(agent, attempt), Is::Held(holder))
                if (agent, *attempt) == (holder, self.attempt) =>
            {
                self.is = Is::Completed(*agent);
                return Told::Done;
            }
            (Asked::Complete(agent, attempt), Is::Completed(holder))
                if (agent, *attempt) == (holder, self.attempt) =>
            {
                return Told::Done;
            }
            (Asked::Retry, Is::Completed(_)) => *self = Self { attempt: self.attempt + 1, is: Is::Pending },
            _ => return Told::Refused,
        }
        Told::Attempt(self.attempt)
    }
}

/// One request: when it was asked and answered (by a count that all share), and what.
#[derive(Clone, Debug)]
struct Event {
    asked_at: u64,
    /// `None` if the answer was never heard.
    answered: Option<(u64, Told)>,
    asked: Asked,
}

/// Everything that was seen.
#[derive(Default)]
struct History {
    clock: AtomicU64,
    by_job: Mutex<HashMap<String, Vec<Event>>>,
    /// Claims of which the answer was never heard: agent and when. Which job they got, only the jobs tell.
    lost_claims: Mutex<Vec<(u64, u64)>>,
    /// Lease, job, attempt, agent.
    leases: Mutex<Vec<(String, String, u64, u64)>>,
}

impl History {
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn add(&self, job: &str, asked_at: u64, asked: Asked, told: Option<Told>) {
        let answered = told.map(|told| (self.tick(), told));
        self.by_job.lock().entry(job.to_owned()).or_default().push(Event { asked_at, answered, asked });
    }
}

/// The daemon as its clients find it: it comes and goes.
struct Place {
    api: RwLock<Api>,
    history: History,
    ended: AtomicU64,
}

impl Place {
    /// Asks until there is an answer.
    async fn insist<F: Future<Output = super::daemon::Answer>>(
        &self,
        ask: impl Fn(Api) -> F,
    ) -> (StatusCode, Value) {
        self.insist_and_count(ask).await.0
    }

    /// The same, and how often it was asked before without an answer that was heard.
    async fn insist_and_count<F: Future<Output = super::daemon::Answer>>(
        &self,
        ask: impl Fn(Api) -> F,
    ) -> ((StatusCode, Value), u32) {
        let mut unheard = 0;
        loop {
            let api = self.api.read().clone();
            match ask(api).await {
                Some((StatusCode::SERVICE_UNAVAILABLE, _)) | None => {
                    unheard += 1;
                    tokio::time::sleep(Duration::from_millis(10)).await
                }
                Some(answer) => return (answer, unheard),
            }
        }
    }

    fn is_over(&self) -> bool {
        self.ended.load(Ordering::SeqCst) >= JOBS as u64 * ATTEMPTS
    }
}

/// An agent; one in four requests it does not wait for, as if it were killed and another began in its place.
async fn agent(place: Arc<Place>, number: u64, mut chance: Chance) {
    let mut generation = 0;
    while !place.is_over() {
        let patient = !chance.one_in(12);
        generation += 1;
        let life = number + AGENTS * generation;
        let (name, key) = (format!("agent-{life}"), format!("claim-{life}"));
        let asked_at = place.history.tick();
        let claim = place.insist(|api| {
            let (name, key) = (name.clone(), key.clone());
            async move { api.claim(&name, &key, 1).await }
        });
        let claimed = if patient { Some(claim.await) } else { heard(claim, &mut chance).await };
        let Some((status, body)) = claimed else {
            place.history.lost_claims.lock().push((life, asked_at));
            continue;
        };
        if status != StatusCode::NO_CONTENT {
            assert_eq!(status, StatusCode::OK, "{body}");
            hold(&place, life, asked_at, &body, &mut chance).await;
        }
    }
}

/// Waits for an answer only a moment.
async fn heard<T>(request: impl Future<Output = T>, chance: &mut Chance) -> Option<T> {
    tokio::time::timeout(Duration::from_millis(chance.below(20)), request).await.ok()
}

async fn hold(place: &Place, life: u64, asked_at: u64, body: &Value, chance: &mut Chance) {
    let (job, lease) = (text(body, "/job/jobId"), text(body, "/lease/id"));
    let attempt = body["job"]["attempt"].as_u64().unwrap();
    place.history.add(&job, asked_at, Asked::Claim(life), Some(Told::Attempt(attempt)));
    place.history.leases.lock().push((lease.clone(), job.clone(), attempt, life));
    tokio::time::sleep(Duration::from_millis(chance.below(20))).await;
    let asked_at = place.history.tick();
    let report = json!({ "state": "completed", "result": { "by": life.to_string() } });
    let ((status, answer), unheard) = place
        .insist_and_count(|api| {
            let (job, lease, report) = (job.clone(), lease.clone(), report.clone());
            async move { api.tell(&job, &lease, &report).await }
        })
        .await;
    let told = if status == StatusCode::OK { Told::Done } else { Told::Refused };
    assert!(told == Told::Done || status == StatusCode::CONFLICT, "{answer}");
    if unheard > 0 {
        // It may have come about, and the job been queued again before it was asked once more, which is then refused.
        place.history.add(&job, asked_at, Asked::Complete(life, attempt), None);
    }
    place.history.add(&job, asked_at, Asked::Complete(life, attempt), Some(told));
    place.ended.fetch_add(1, Ordering::SeqCst);
}

/// Queues ended jobs again, and looks at jobs. A retry of which the answer was not heard is not asked again.
async fn person(place: Arc<Place>, jobs: Vec<String>, mut chance: Chance) {
    while !place.is_over() {
        // Each read must find its place in the order, so there are not many.
        tokio::time::sleep(Duration::from_millis(chance.below(20))).await;
        let job = jobs[chance.below(jobs.len() as u64) as usize].clone();
        let asked_at = place.history.tick();
        let api = place.api.read().clone();
        let read = super::daemon::answer(api.get(&format!("/jobs/{job}"))).await;
        let Some((StatusCode::OK, body)) = read else { continue };
        let register = register_of(&body);
        place.history.add(&job, asked_at, Asked::Read, Some(Told::Read(register.clone())));
        if matches!(register.is, Is::Completed(_)) && register.attempt < ATTEMPTS {
            let asked_at = place.history.tick();
            let told = match super::daemon::answer(api.admin_post(&format!("/jobs/{job}/retry"))).await {
                Some((StatusCode::OK, body)) => Some(Told::Attempt(body["attempt"].as_u64().unwrap())),
                Some((StatusCode::CONFLICT, _)) => Some(Told::Refused),
                _ => None,
            };
            place.history.add(&job, asked_at, Asked::Retry, told);
        }
    }
}

fn register_of(job: &Value) -> Register {
    let agent = || text(job, "/claimedBy").strip_prefix("agent-").unwrap().parse().unwrap();
    let is = match job["state"].as_str().unwrap() {
        "pending" => Is::Pending,
        "claimed" | "running" => Is::Held(agent()),
        "completed" => Is::Completed(agent()),
        other => panic!("no agent was silent long enough for {other}: {job}"),
    };
    Register { attempt: job["attempt"].as_u64().unwrap(), is }
}

/// Kills the daemon now and then, and starts it again; gives the last one.
async fn kill_now_and_then(
    site: &Site,
    place: &Place,
    mut daemon: Daemon,
    mut chance: Chance,
) -> (Daemon, u64) {
    let (begun, mut kills) = (tokio::time::Instant::now(), 0);
    let kills_max = setting("MRX_HISTORY_KILLS", 5);
    while !place.is_over() && begun.elapsed() < TIME_MAX {
        tokio::time::sleep(Duration::from_millis(30 + chance.below(250))).await;
        if kills < kills_max {
            kills += 1;
            daemon.kill();
            daemon = site.start().await;
            *place.api.write() = daemon.api.clone();
        }
        free_lost_jobs(place).await;
    }
    place.ended.store(u64::MAX, Ordering::SeqCst);
    (daemon, kills)
}

/// A job of an agent that was killed is held until its lease expires, a minute and a half; so much time is not here.
/// It counts as ended, for the test's end only.
async fn free_lost_jobs(place: &Place) {
    let api = place.api.read().clone();
    let lost: HashSet<u64> = place.history.lost_claims.lock().iter().map(|(life, _)| *life).collect();
    let (mut stuck, mut done) = (0, 0);
    let jobs: Vec<String> = place.history.by_job.lock().keys().cloned().collect();
    for job in jobs {
        let Some((StatusCode::OK, body)) = super::daemon::answer(api.get(&format!("/jobs/{job}"))).await
        else {
            return;
        };
        let register = register_of(&body);
        stuck += u64::from(matches!(register.is, Is::Held(life) if lost.contains(&life)));
        done += u64::from(register.attempt >= ATTEMPTS && matches!(register.is, Is::Completed(_)));
    }
    if stuck + done == JOBS as u64 {
        place.ended.store(u64::MAX, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_agents_saw_across_kills_is_one_order_of_events_for_every_job() {
    let mut chance = Chance::announced("history");
    let site = Site::new();
    let daemon = site.start().await;
    let mut jobs = Vec::new();
    for number in 0..JOBS {
        let (status, job) =
            daemon.api.create(PROJECTS[number % PROJECTS.len()], &format!("create-{number}")).await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{job}");
        jobs.push(text(&job, "/jobId"));
    }
    let place = Arc::new(Place {
        api: RwLock::new(daemon.api.clone()),
        history: History::default(),
        ended: AtomicU64::new(0),
    });
    let mut everybody = JoinSet::new();
    for number in 0..AGENTS {
        everybody.spawn(agent(place.clone(), number, chance.fork()));
    }
    everybody.spawn(person(place.clone(), jobs.clone(), chance.fork()));
    everybody.spawn(person(place.clone(), jobs.clone(), chance.fork()));
    let (daemon, kills) = kill_now_and_then(&site, &place, daemon, chance.fork()).await;
    everybody.join_all().await;

    for job in &jobs {
        let asked_at = place.history.tick();
        let register = register_of(&daemon.api.job(job).await);
        place.history.add(job, asked_at, Asked::Read, Some(Told::Read(register)));
    }
    no_attempt_and_no_lease_is_given_twice(&place.history.leases.lock());
    let events = events_with_lost_claims(&place.history);
    let count: usize = events.values().map(Vec::len).sum();
    for (job, events) in &events {
        assert!(is_one_order(events), "no order of events explains what was seen of {job}: {events:#?}");
    }
    let claims = place.history.leases.lock().len();
    eprintln!(
        "history: {count} events of {} jobs in order, {claims} claims, {kills} kills of the daemon, {} lost claims",
        events.len(),
        place.history.lost_claims.lock().len()
    );
    assert!(claims > JOBS / 2 && kills > 0, "too little happened");
}

fn no_attempt_and_no_lease_is_given_twice(leases: &[(String, String, u64, u64)]) {
    let (mut by_lease, mut by_attempt) = (HashMap::new(), HashMap::new());
    for (lease, job, attempt, agent) in leases {
        let before = by_lease.insert(lease, (job, attempt, agent));
        assert_eq!(before, None, "lease {lease} was given twice");
        let before = by_attempt.insert((job, attempt), agent);
        assert_eq!(before, None, "attempt {attempt} of {job} was given to {agent} also");
    }
}

/// A lost claim that came about shows in what others read of the job: there it is an event without an answer.
fn events_with_lost_claims(history: &History) -> BTreeMap<String, Vec<Event>> {
    let lost: HashMap<u64, u64> = history.lost_claims.lock().iter().copied().collect();
    let mut all: BTreeMap<String, Vec<Event>> = history.by_job.lock().clone().into_iter().collect();
    for events in all.values_mut() {
        let mut seen = HashSet::new();
        for event in events.iter() {
            let Some((_, Told::Read(register))) = &event.answered else { continue };
            if let Is::Held(life) | Is::Completed(life) = register.is {
                seen.extend(lost.contains_key(&life).then_some(life));
            }
        }
        let events_of_lost = seen.into_iter().map(|life| Event {
            asked_at: lost[&life],
            answered: None,
            asked: Asked::Claim(life),
        });
        events.extend(events_of_lost);
    }
    all
}

/// Has stateright look for an order. Each request has a thread of its own: none of them waited for another's answer
/// but by the times themselves.
fn is_one_order(events: &[Event]) -> bool {
    let mut moments: Vec<(u64, usize, Option<&Told>)> = Vec::new();
    for (number, event) in events.iter().enumerate() {
        moments.push((event.asked_at, number, None));
        moments.extend(event.answered.as_ref().map(|(at, told)| (*at, number, Some(told))));
    }
    moments.sort_by_key(|(at, ..)| *at);
    let mut tester = LinearizabilityTester::new(Register { attempt: 1, is: Is::Pending });
    for (_, number, told) in moments {
        match told {
            None => tester.on_invoke(number, events[number].asked.clone()).unwrap(),
            Some(told) => tester.on_return(number, told.clone()).unwrap(),
        };
    }
    tester.is_consistent()
}

#[test]
fn the_checker_refuses_a_job_that_two_agents_got_and_a_read_of_the_past() {
    let event =
        |asked_at, answered_at, asked, told| Event { asked_at, answered: Some((answered_at, told)), asked };
    let first = event(0, 5, Asked::Claim(1), Told::Attempt(1));
    let second = event(1, 4, Asked::Claim(2), Told::Attempt(1));
    let pending = event(6, 7, Asked::Read, Told::Read(Register { attempt: 1, is: Is::Pending }));
    let held = event(6, 7, Asked::Read, Told::Read(Register { attempt: 1, is: Is::Held(1) }));
    assert!(is_one_order(&[first.clone(), held]));
    assert!(!is_one_order(&[first.clone(), second]));
    assert!(!is_one_order(&[first, pending]));
}

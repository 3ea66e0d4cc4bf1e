//! Decides what a job's file that was pushed asks for: a claim, a report, a cancel, a repair. Reads no clock and no disk.
//!
//! A pushed file is a wish. What stands in the end is what the same event would have made over HTTP, by the same
//! [`lifecycle`]; a wish that names no event is refused with the field that gave it away.

use std::sync::Arc;

use serde_json::Value;

use super::jobs::{Finding, change_of, check_size, find};
use super::lifecycle::{self, Event, Outcome, Report};
use super::open::OpenJobs;
use super::restore;
use super::types::{Failure, Job, JobState, Lease};
use crate::clock::Time;
use crate::id::{JobId, Label, LeaseId};
use crate::identity::principal::AgentCaller;
use crate::project::Project;
use crate::state::edit::{Actor, Change, Edit};
use crate::state::layout::{self, STATE_REF};
use crate::state::object::Object;
use crate::state::repo::View;

/// The fields that an agent changes with a job's state.
const AGENTS_FIELDS: [&str; 11] = [
    "state",
    "claimedBy",
    "claimedAt",
    "startedAt",
    "endedAt",
    "updatedAt",
    "progress",
    "result",
    "failure",
    "lease",
    "cancelRequested",
];
/// The fields that say how an attempt went: whoever cancels or retries a job may leave them or clear them.
const ATTEMPTS_FIELDS: [&str; 14] = [
    "state",
    "attempt",
    "earlier",
    "claimedBy",
    "claimedAt",
    "startedAt",
    "endedAt",
    "updatedAt",
    "progress",
    "result",
    "failure",
    "lease",
    "log",
    "cancelRequested",
];

/// What is asked of one job.
pub struct Asked<'a> {
    /// Which.
    pub id: &'a JobId,
    /// Its file as it was pushed; absent if it was removed.
    pub job: Option<&'a Job>,
    /// Whose job it is.
    pub project: &'a Project,
    /// The time.
    pub now: Time,
}

/// What an agent's push asks of a job.
pub fn by_agent(
    view: &mut View<'_>,
    asked: &Asked<'_>,
    caller: &AgentCaller,
    lease: LeaseId,
) -> Result<Vec<Change>, String> {
    let (found, wanted) = both(view, asked)?;
    let known = found.job.clone();
    let agent = &caller.agent.agent_id;
    if let Some((job, lease)) = &caller.only {
        let holds = known.lease.as_ref().is_some_and(|held| held.id == *lease);
        if job != asked.id || !holds {
            return Err("the token is for one lease, and this job is not held by it".to_owned());
        }
    }
    only_these(&known, wanted, &AGENTS_FIELDS)?;
    if known.state.has_ended() {
        return Err(format!("the job has ended as {}, and only people retry one", known.state));
    }
    if known.state == JobState::Pending {
        if !matches!(wanted.state, JobState::Claimed | JobState::Running) {
            return Err(format!("a pending job is claimed first, and not made {} at once", wanted.state));
        }
        if wanted.claimed_by.as_ref() != Some(agent) {
            return Err(format!("claimedBy must be the agent that pushes: {agent}"));
        }
        may_claim(view, &known, caller, asked.project)?;
        let lease = Lease { id: lease, request: None, secrets_redeemed_at: None };
        let mut events = vec![Event::Claimed { agent: agent.clone(), lease }];
        if wanted.state == JobState::Running {
            events.push(Event::Reported(report_of(wanted)));
        }
        return happen(&found, events, &Actor { kind: "agent", name: agent.as_str().into() }, asked.now);
    }
    if known.claimed_by.as_ref() != Some(agent) {
        let holder = known.claimed_by.as_ref().map_or("another agent", |holder| holder.as_str());
        return Err(format!("the job is {} by {holder}, not by {agent}", known.state));
    }
    let event = match wanted.state {
        JobState::Pending => {
            return Err("an agent does not give a job back; fail it, or let its lease end".to_owned());
        }
        JobState::Claimed | JobState::Running => Event::Reported(report_of(wanted)),
        JobState::Completed => finished(Outcome::Completed, wanted),
        JobState::Failed => finished(Outcome::Failed(failure_of(wanted)), wanted),
        JobState::Cancelled => finished(Outcome::Cancelled, wanted),
    };
    happen(&found, vec![event], &Actor { kind: "agent", name: agent.as_str().into() }, asked.now)
}

/// What a person's push asks of a job. People who may write cancel and retry; whoever manages the project repairs.
pub fn by_person(
    view: &mut View<'_>,
    asked: &Asked<'_>,
    actor: &Actor,
    manages: bool,
) -> Result<Vec<Change>, String> {
    let known = find(view, asked.id).map_err(|error| error.to_string());
    let (known, wanted) = match (known, asked.job) {
        (_, None) => {
            return Err(
                "a job's file is not removed; cancel the job, and its file moves to jobs/done".to_owned()
            );
        }
        // A file that is broken or gone is brought back by whoever manages the project.
        (Err(_) | Ok(None), Some(wanted)) if manages => return put_back(view, None, wanted, actor, asked),
        (Err(why), _) => return Err(why),
        (Ok(None), _) => {
            return Err(
                "jobs are made with POST /jobs/create; whoever manages the project may bring one back"
                    .to_owned(),
            );
        }
        (Ok(Some(known)), Some(wanted)) => (known, wanted),
    };
    let event = match (known.job.state, wanted.state) {
        (JobState::Pending | JobState::Claimed | JobState::Running, JobState::Cancelled) => {
            Event::CancelAsked
        }
        (JobState::Claimed | JobState::Running, _)
            if wanted.cancel_requested && !known.job.cancel_requested =>
        {
            Event::CancelAsked
        }
        (JobState::Completed | JobState::Failed | JobState::Cancelled, JobState::Pending) => Event::Retried,
        _ if !manages => {
            return Err(
                "people who write to the project cancel (state: cancelled) and retry (state: pending) jobs; \
                        all else is for whoever manages it"
                    .to_owned(),
            );
        }
        (JobState::Claimed | JobState::Running, JobState::Pending) => Event::Released,
        (JobState::Pending | JobState::Claimed | JobState::Running, JobState::Completed) => {
            Event::Settled(Outcome::Completed)
        }
        (JobState::Pending | JobState::Claimed | JobState::Running, JobState::Failed) => {
            Event::Settled(Outcome::Failed(failure_of(wanted)))
        }
        (from, _) if from.has_ended() => {
            return Err(format!(
                "the job has ended as {from}, and that stays as it was; to run it again, say state: pending"
            ));
        }
        _ => return put_back(view, Some(&known), wanted, actor, asked),
    };
    only_these(&known.job, wanted, &ATTEMPTS_FIELDS)?;
    happen(&known, vec![event], actor, asked.now)
}

fn both<'a>(view: &mut View<'_>, asked: &Asked<'a>) -> Result<(Finding, &'a Job), String> {
    let found = find(view, asked.id).map_err(|error| error.to_string())?;
    match (found, asked.job) {
        (Some(found), Some(job)) => Ok((found, job)),
        (None, _) => Err("agents make no jobs".to_owned()),
        (_, None) => Err("a job's file is not removed; say state: completed, failed or cancelled".to_owned()),
    }
}

/// Whether an agent may have a job that waits: what the queue and the claim decide over HTTP.
fn may_claim(view: &View<'_>, job: &Job, caller: &AgentCaller, project: &Project) -> Result<(), String> {
    if !project.is_worked_on() {
        return Err("the project's jobs are not handed out".to_owned());
    }
    if caller.agent.is_draining() {
        return Err(format!(
            "the agent {} gets no new jobs until an admin says otherwise",
            caller.agent.agent_id
        ));
    }
    let may_offer =
        |label: &&Label| caller.agent.allowed_labels.as_ref().is_none_or(|allowed| allowed.contains(*label));
    if let Some(label) = job.labels.iter().find(|label| !may_offer(label)) {
        return Err(format!("the job asks for the label {label}, which this agent may not offer"));
    }
    let has_room = view.get::<OpenJobs>().has_room(project.concurrency, job.concurrency_group.as_ref());
    if has_room {
        Ok(())
    } else {
        Err("as many jobs of the project, or of the job's concurrencyGroup, are held as may be at once"
            .to_owned())
    }
}

/// Each event in turn, as a commit of its own.
fn happen(from: &Finding, events: Vec<Event>, actor: &Actor, now: Time) -> Result<Vec<Change>, String> {
    let mut from = from.clone();
    let mut changes = Vec::with_capacity(events.len());
    for event in events {
        let next = lifecycle::next(&from.job, event, now).map_err(|error| error.to_string())?;
        check_size(&next).map_err(|error| error.to_string())?;
        let next = Arc::new(next);
        changes.push(change_of(&from, &next, actor.clone(), None));
        from = Finding::open(next);
    }
    Ok(changes)
}

/// A job's file as whoever manages the project wants it: its words, with what only the daemon counts.
fn put_back(
    view: &View<'_>,
    known: Option<&Finding>,
    wanted: &Job,
    actor: &Actor,
    asked: &Asked<'_>,
) -> Result<Vec<Change>, String> {
    if wanted.job_id != *asked.id || wanted.project_id != asked.project.project_id {
        return Err("it says another jobId or projectId than its place".to_owned());
    }
    if let Some(why) = restore::beyond_limits(wanted) {
        return Err(why);
    }
    let known_job = known.map(|found| found.job.as_ref());
    let next = Arc::new(restore::put_back(wanted, known_job, asked.now)?);
    check_size(&next).map_err(|error| error.to_string())?;
    let path = match next.ended_at {
        Some(ended) if next.state.has_ended() => layout::done_job(&next.job_id, ended),
        _ => layout::open_job(&next.job_id),
    };
    let mut edits: Vec<Edit> =
        known.into_iter().map(Finding::path).filter(|old| **old != *path).map(Edit::remove).collect();
    if view.get::<OpenJobs>().find_bad(asked.id).is_some() && path != layout::open_job(asked.id) {
        edits.push(Edit::remove(layout::open_job(asked.id)));
    }
    edits.push(Edit::put(path, next));
    Ok(vec![Change {
        branch: STATE_REF.into(),
        subject: format!("job {}: repaired by {}", asked.id, actor.name),
        event: "job.repaired",
        actor: actor.clone(),
        request: None,
        edits,
    }])
}

fn report_of(wanted: &Job) -> Report {
    Report {
        running: wanted.state == JobState::Running,
        progress: wanted.progress.clone(),
        payload_delta: None,
        result: wanted.result.clone(),
    }
}

fn finished(outcome: Outcome, wanted: &Job) -> Event {
    Event::Finished { outcome, report: Report { running: false, ..report_of(wanted) }, log: None }
}

fn failure_of(wanted: &Job) -> Failure {
    wanted.failure.clone().unwrap_or_else(|| Failure {
        code: "failed".to_owned(),
        message: "no reason was given".to_owned(),
        details: Object::default(),
    })
}

/// Refuses a file that changes more than these fields.
fn only_these(known: &Job, wanted: &Job, fields: &[&str]) -> Result<(), String> {
    let json = |job: &Job| serde_json::to_value(job).unwrap_or_default();
    let (old, new) = (json(known), json(wanted));
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return Err("it is no job".to_owned()) };
    let mut names = old.keys().chain(new.keys());
    match names.find(|name| old.get(*name) != new.get(*name) && !fields.contains(&name.as_str())) {
        Some(name) => Err(format!("{name} is not changed together with state")),
        None => Ok(()),
    }
}

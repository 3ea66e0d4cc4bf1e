//! Decides about a push: what its files ask for, whether whoever pushes may ask that, and the daemon's commits that follow.
//!
//! The state after a push is the state before it with what the subjects decided, and nothing else: a pushed file is a wish, and
//! whatever of it no decision took up is put back as it was. So a push can do no more than the API could.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::pushed::PushedCommit;
use super::refusal::Refusal;
use crate::chat;
use crate::entity::{self, Facts, Name, Refusal as Kept};
use crate::id::{JobId, LeaseId, ScheduleName};
use crate::identity::Right;
use crate::identity::principal::AgentCaller;
use crate::job::{self, Job};
use crate::project::Project;
use crate::schedule::Schedule;
use crate::schedule::known::KnownSchedules;
use crate::schedule::schedules::SCHEDULES_MAX;
use crate::state::edit::{Actor, Change, Edit};
use crate::state::layout::STATE_REF;
use crate::state::layout::place::Place;
use crate::state::repo::View;
use crate::state::yaml;

/// How long the files of a push may take to read: those of honest ones take milliseconds.
const READING_TIME_MAX: Duration = Duration::from_secs(20);

/// Who wants a push to be taken.
pub enum By<'a> {
    /// An agent, and the lease of the job that it claims by this push, if it does.
    Agent {
        /// Which.
        caller: &'a AgentCaller,
        /// The lease.
        lease: LeaseId,
    },
    /// Somebody else: a person, or a remote that people work in.
    Other(Actor),
}

impl By<'_> {
    /// As the author of a change.
    pub fn actor(&self) -> Actor {
        match self {
            By::Agent { caller, .. } => Actor { kind: "agent", name: caller.agent.agent_id.as_str().into() },
            By::Other(actor) => actor.clone(),
        }
    }
}

/// What a decision about a push goes by.
pub struct Judge<'a> {
    /// Who pushes.
    pub by: By<'a>,
    /// What they may do in the project.
    pub right: Right,
    /// The project.
    pub project: &'a Project,
    /// Its name, the time and the tip.
    pub facts: Facts<'a>,
}

/// What a path holds after the push; nothing if it is removed.
type Files = BTreeMap<String, Option<Bytes>>;

impl Judge<'_> {
    /// The daemon's commits that follow those that were pushed.
    pub fn judge(&self, view: &mut View<'_>, pushed: &[PushedCommit]) -> Result<Vec<Change>, Refusal> {
        let things = self.things(view, pushed)?;
        if things.is_empty() {
            return Err(Refusal::push("in the end it changes nothing"));
        }
        let mut changes = Vec::new();
        let mut claims = 0;
        for (name, files) in &things {
            let mut decided = self.thing(view, name, files)?;
            claims += decided.iter().filter(|change| change.event == "job.claimed").count();
            put_rest_back(view, files, &mut decided, name, &self.by.actor())?;
            changes.append(&mut decided);
        }
        if claims > 1 {
            return Err(Refusal::push("it claims more than one job").remedy("claim one at a time"));
        }
        Ok(changes)
    }

    /// The files that are other than before, by what they are files of.
    fn things(&self, view: &mut View<'_>, pushed: &[PushedCommit]) -> Result<BTreeMap<Name, Files>, Refusal> {
        let mut last: Files = BTreeMap::new();
        for commit in pushed {
            last.extend(commit.files.iter().map(|(path, file)| (path.clone(), file.new.clone())));
        }
        let mut things: BTreeMap<Name, Files> = BTreeMap::new();
        for (path, new) in last {
            if present(view, &path)? == new {
                // Nothing is asked for in the end, so nothing would judge what stands in between, and history would keep it.
                if pushed.len() > 1 && !self.manages() {
                    return Err(Refusal::file(&path, "it is changed and changed back").remedy(
                        "squash the commits, so that it is not touched: git rebase -i origin/state",
                    ));
                }
                continue;
            }
            if let Some(place) = Place::of(&path) {
                things.entry(Name::of(&place)).or_default().insert(path, new);
            }
        }
        Ok(things)
    }

    fn thing(&self, view: &mut View<'_>, name: &Name, files: &Files) -> Result<Vec<Change>, Refusal> {
        let path = files.keys().next().map_or("", String::as_str);
        let actor = self.by.actor();
        let refused = |why: String| Refusal::file(path, why);
        match (&self.by, name) {
            (By::Agent { caller, lease }, Name::Job(id)) => self.job_of_agent(view, id, files, caller, lease),
            (By::Agent { .. }, _) => Err(refused("agents change the files of jobs alone".to_owned())
                .remedy("all else is for people, or for the HTTP API")),
            _ if self.right < Right::Write => {
                Err(refused("you may read this project, and not write to it".to_owned()))
            }
            (_, Name::Job(id)) => {
                let wanted = self.wanted_job(files)?;
                let asked =
                    job::push::Asked { id, job: wanted.as_ref(), project: self.project, now: self.facts.now };
                job::push::by_person(view, &asked, &actor, self.manages()).map_err(refused)
            }
            (_, Name::Chat(id)) => {
                let asked = chat::push::Asked { id, files, facts: &self.facts };
                chat::push::by_person(view, &asked, &actor, self.manages()).map_err(refused)
            }
            (_, Name::Schedule(schedule)) => self.schedule(view, schedule, files, &actor),
            _ if !self.manages() => Err(refused(format!(
                "a {} is changed by a push of whoever manages the project alone",
                name.kind()
            ))),
            _ => self.repaired(view, name, files, &actor),
        }
    }

    fn manages(&self) -> bool {
        self.right >= Right::Admin
    }

    fn job_of_agent(
        &self,
        view: &mut View<'_>,
        id: &JobId,
        files: &Files,
        caller: &AgentCaller,
        lease: &LeaseId,
    ) -> Result<Vec<Change>, Refusal> {
        let wanted = self.wanted_job(files)?;
        let asked = job::push::Asked { id, job: wanted.as_ref(), project: self.project, now: self.facts.now };
        let path = files.keys().next().map_or("", String::as_str);
        job::push::by_agent(view, &asked, caller, lease.clone()).map_err(|why| Refusal::file(path, why))
    }

    /// The one file of a job that is left; its place may be that of before or after its end.
    fn wanted_job(&self, files: &Files) -> Result<Option<Job>, Refusal> {
        let mut jobs = files.iter().filter_map(|(path, file)| Some((path, file.as_ref()?)));
        match (jobs.next(), jobs.next()) {
            (None, _) => Ok(None),
            (Some((path, file)), None) => {
                yaml::read(path, "job", file).map(Some).map_err(|bad| Refusal::file(path, bad.cause))
            }
            (Some(_), Some((second, _))) => Err(Refusal::file(second, "a job has one file")),
        }
    }

    fn schedule(
        &self,
        view: &mut View<'_>,
        name: &ScheduleName,
        files: &Files,
        actor: &Actor,
    ) -> Result<Vec<Change>, Refusal> {
        let known = view.get::<KnownSchedules>();
        let is_new = known.find(name).is_none() && known.find_bad(name).is_none();
        let mut decided = Vec::new();
        for (path, new) in files {
            if new.is_some() && is_new && known_count(view) >= SCHEDULES_MAX {
                return Err(Refusal::file(path, format!("a project has at most {SCHEDULES_MAX} schedules")));
            }
            let old = present(view, path)?;
            let mut edits =
                entity::repair(&self.facts, path, old.as_deref(), new.as_deref()).map_err(kept)?;
            if is_new {
                edits = edits.into_iter().map(|edit| self.signed(edit, actor)).collect();
            }
            let (what, event) = match (new, is_new) {
                (None, _) => ("removed", "schedule.removed"),
                (_, true) => ("made", "schedule.created"),
                _ => ("edited", "schedule.edited"),
            };
            decided.push(change(format!("schedule {name}: {what} by {}", actor.name), event, actor, edits));
        }
        Ok(decided)
    }

    /// A new schedule is of whoever pushes it, from now on, whatever its file says.
    fn signed(&self, edit: Edit, actor: &Actor) -> Edit {
        match edit.entity::<Schedule>() {
            Ok(Some(schedule)) => {
                let created_by = Some(actor.name.as_ref().to_owned());
                let signed = Schedule {
                    created_by,
                    created_at: self.facts.now,
                    updated_at: None,
                    ..Schedule::clone(&schedule)
                };
                Edit::put(edit.path(), std::sync::Arc::new(signed))
            }
            _ => edit,
        }
    }

    fn repaired(
        &self,
        view: &mut View<'_>,
        name: &Name,
        files: &Files,
        actor: &Actor,
    ) -> Result<Vec<Change>, Refusal> {
        let mut edits = Vec::new();
        for (path, new) in files {
            let old = present(view, path)?;
            edits.extend(entity::repair(&self.facts, path, old.as_deref(), new.as_deref()).map_err(kept)?);
        }
        let event = match name {
            Name::Prompt => "chat.prompt",
            Name::Artifact(_) => "artifact.repaired",
            Name::Webhook(_) => "webhook.repaired",
            _ => "state.repaired",
        };
        Ok(vec![change(format!("{name}: repaired by {}", actor.name), event, actor, edits)])
    }
}

/// Whether the files of all commits are what their paths say. It needs no state, and may take a while: it is done before the writer's turn.
pub fn check_files(facts: &Facts<'_>, pushed: &[PushedCommit]) -> Result<(), Refusal> {
    let begun = std::time::Instant::now();
    for commit in pushed {
        for (path, file) in &commit.files {
            check_file(facts, path, file.new.as_deref())?;
            if begun.elapsed() > READING_TIME_MAX {
                return Err(Refusal::push(format!(
                    "its files took more than {} s to read",
                    READING_TIME_MAX.as_secs()
                ))
                .remedy("push fewer files at a time"));
            }
        }
    }
    Ok(())
}

/// A job that is claimed has no lease yet: the daemon gives it.
fn check_file(facts: &Facts<'_>, path: &str, file: Option<&[u8]>) -> Result<(), Refusal> {
    let Some(place) = Place::of(path) else {
        return Err(Refusal::file(path, "no file of a project's state has this path")
            .remedy("README.md on the branch says which files there are"));
    };
    match (file, place) {
        (None, _) => Ok(()),
        (Some(file), Place::OpenJob(_) | Place::DoneJob(..)) => {
            yaml::read::<Job>(path, "job", file).map(drop).map_err(|bad| Refusal::file(path, bad.cause))
        }
        (Some(file), _) => entity::check(facts, path, file).map(drop).map_err(kept),
    }
}

/// What no decision took up is as it was: the pushed file stays in history alone.
fn put_rest_back(
    view: &mut View<'_>,
    files: &Files,
    decided: &mut Vec<Change>,
    name: &Name,
    actor: &Actor,
) -> Result<(), Refusal> {
    let mut rest = Vec::new();
    for path in files.keys() {
        if decided.iter().any(|change| change.edits.iter().any(|edit| edit.path() == path)) {
            continue;
        }
        rest.push(match present(view, path)? {
            Some(old) => Edit::write(path.as_str(), old),
            None => Edit::remove(path.as_str()),
        });
    }
    match decided.first_mut() {
        _ if rest.is_empty() => {}
        Some(first) => first.edits.splice(0..0, rest).for_each(drop),
        None => {
            let subject = format!("{name}: as it was before the push of {}", actor.name);
            decided.push(change(subject, "state.restored", actor, rest));
        }
    }
    Ok(())
}

fn known_count(view: &View<'_>) -> usize {
    view.get::<KnownSchedules>().iter().count()
}

fn present(view: &mut View<'_>, path: &str) -> Result<Option<Bytes>, Refusal> {
    view.file(STATE_REF, path).map_err(|error| Refusal::push(error.to_string()))
}

fn kept(refusal: Kept) -> Refusal {
    let path = refusal.path().to_owned();
    match refusal {
        Kept::Bad(bad) => Refusal::file(&path, format!("it is no valid {} file: {}", bad.kind, bad.cause)),
        Kept::Kept { why, .. } => Refusal::file(&path, why),
        Kept::NoPlace { .. } => Refusal::file(&path, "no file of a project's state has this path"),
    }
}

fn change(subject: String, event: &'static str, actor: &Actor, edits: Vec<Edit>) -> Change {
    Change { branch: STATE_REF.into(), subject, event, actor: actor.clone(), request: None, edits }
}

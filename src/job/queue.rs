//! Decides which agent gets which job: exclusive, by priority, fair between projects, oldest first.
//!
//! The queue is memory only, fed by the files of pending jobs. A job taken from it is *reserved*: nobody else is
//! offered it until it was claimed, or the reservation is dropped and it is offered again. Reserved and held jobs count
//! against the limit of their project and of their group (`busy`), so nothing is offered that there is no room for.

mod busy;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::types::{Job, JobType};
use crate::clock::Time;
use crate::id::{AgentId, JobId, Label, ProjectId};
use busy::{Busy, Group};

pub(super) use busy::one_less;

/// What the queue knows of a pending job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The job.
    pub job: JobId,
    /// Whose it is.
    pub project: ProjectId,
    /// Higher goes first.
    pub priority: i8,
    demand: Demand,
}

/// What an agent must be able to do; jobs that ask for the same stand in one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Demand {
    kind: JobType,
    timeout_seconds: u32,
    labels: Vec<Label>,
    /// Jobs of one group stand in lines of their own, which are passed over while one of them is held.
    group: Option<Group>,
}

impl Entry {
    /// The entry of a pending job.
    pub fn of(job: &Job) -> Self {
        let mut labels = job.labels.clone();
        labels.sort_unstable();
        let group = job.concurrency_group.clone().map(|group| (job.project_id.clone(), group));
        Self {
            job: job.job_id.clone(),
            project: job.project_id.clone(),
            priority: job.priority,
            demand: Demand { kind: job.kind, timeout_seconds: job.timeout_seconds, labels, group },
        }
    }

    /// Whether it takes the room that another does.
    fn has_room_of(&self, other: &Entry) -> bool {
        self.project == other.project && self.demand.group == other.demand.group
    }
}

/// What an agent offers.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// Who; `None` is the daemon itself.
    pub agent: Option<AgentId>,
    /// Its labels.
    pub labels: BTreeSet<Label>,
    /// The types it does; `None` is all.
    pub types: Option<BTreeSet<JobType>>,
    /// The projects it works for; `None` is all.
    pub projects: Option<BTreeSet<ProjectId>>,
    /// How long it will be there, in seconds; `None` is for ever.
    pub seconds_left: Option<u64>,
}

impl Offer {
    /// The time an agent has left, for [`Offer::seconds_left`].
    pub fn seconds_until(end: Time, now: Time) -> u64 {
        end.since(now).as_secs()
    }

    fn meets(&self, demand: &Demand) -> bool {
        demand.labels.iter().all(|label| self.labels.contains(label))
            && self.types.as_ref().is_none_or(|types| types.contains(&demand.kind))
            && self.seconds_left.is_none_or(|left| u64::from(demand.timeout_seconds) <= left)
    }

    fn may_work_for(&self, project: &ProjectId) -> bool {
        self.projects.as_ref().is_none_or(|projects| projects.contains(project))
    }
}

/// The queue of all projects. A clone is the same queue.
#[derive(Clone, Default)]
pub struct Queue(Arc<Mutex<Lines>>);

/// A job that is offered to nobody else while this lives.
pub struct Reservation {
    queue: Queue,
    entry: Entry,
    is_settled: bool,
}

impl Reservation {
    /// The reserved job.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The job is held now, as the queue has been told, and nothing is to be given back.
    pub fn settle(mut self) {
        self.is_settled = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.is_settled {
            self.queue.0.lock().give_back(&self.queue, &self.entry.job);
        }
    }
}

/// A line's key: higher priority first.
type LineKey = (std::cmp::Reverse<i8>, Demand);

#[derive(Default)]
struct Lines {
    lines: BTreeMap<LineKey, Line>,
    /// The jobs that wait, and those that take room.
    known: HashMap<JobId, Known>,
    /// When a project was last served, counted in jobs handed out: the one that waited longest goes first.
    turns: HashMap<ProjectId, u64>,
    turn: u64,
    /// Projects whose jobs are not handed out for now.
    paused: HashSet<ProjectId>,
    /// Agents that get no new jobs.
    draining: HashSet<AgentId>,
    /// How many jobs of a project may be held at once, if that is limited.
    limits: HashMap<ProjectId, usize>,
    /// How many jobs are reserved or held.
    busy: Busy,
    waiting: Vec<Waiter>,
    next_waiter: u64,
}

struct Known {
    entry: Entry,
    standing: Standing,
}

/// Where a job is that the queue knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// In its line.
    InLine,
    /// Kept for one agent, which is about to claim it.
    Reserved,
    /// An agent has it.
    Held,
}

/// The jobs of one line, by project; `order` has each project once, by its turn and its oldest job.
#[derive(Default)]
struct Line {
    jobs: HashMap<ProjectId, BTreeSet<JobId>>,
    order: BTreeSet<(u64, JobId, ProjectId)>,
}

struct Waiter {
    number: u64,
    offer: Offer,
    hand: oneshot::Sender<Reservation>,
}

/// A wait for a job; dropping it ends the wait.
pub struct Wait {
    queue: Queue,
    number: u64,
    /// Gets the job.
    pub job: oneshot::Receiver<Reservation>,
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut lines = self.queue.0.lock();
        lines.waiting.retain(|waiter| waiter.number != self.number);
        drop(lines);
        // A reservation that was handed over and not taken is dropped here, outside the lock, and so given back.
        self.job.close();
        drop(self.job.try_recv());
    }
}

impl Queue {
    /// A pending job exists, or has changed. Wakes the first waiting agent that may have it.
    pub fn offer(&self, entry: Entry) {
        let mut lines = self.0.lock();
        match lines.known.get(&entry.job).map(|known| known.standing) {
            Some(Standing::Reserved) => lines.take_room(self, entry, Standing::Reserved),
            _ => {
                lines.remove(&entry.job);
                lines.insert(entry);
                lines.serve_waiting(self);
            }
        }
    }

    /// An agent has the job: it does not wait any more, and takes room of its project and group.
    pub fn hold(&self, entry: Entry) {
        self.0.lock().take_room(self, entry, Standing::Held);
    }

    /// A job does not wait any more and is not held: it ended, waits for others, or is gone.
    pub fn withdraw(&self, job: &JobId) {
        let mut lines = self.0.lock();
        let Some(Known { entry, standing }) = lines.remove(job) else { return };
        let is_limited = entry.demand.group.is_some() || lines.limits.contains_key(&entry.project);
        if standing != Standing::InLine && is_limited {
            lines.serve_waiting(self);
        }
    }

    /// How many jobs of a project may be held at once from now on; `None` is any number.
    pub fn limit(&self, project: &ProjectId, most: Option<usize>) {
        let mut lines = self.0.lock();
        let before = match most {
            Some(most) => lines.limits.insert(project.clone(), most),
            None => lines.limits.remove(project),
        };
        if before != most {
            lines.serve_waiting(self);
        }
    }

    /// Keeps a project's jobs in the queue without handing them out, or hands them out again.
    pub fn pause(&self, project: &ProjectId, is_paused: bool) {
        let mut lines = self.0.lock();
        if is_paused {
            lines.paused.insert(project.clone());
        } else if lines.paused.remove(project) {
            lines.serve_waiting(self);
        }
    }

    /// Hands an agent no more jobs, also if it waits for one already, or hands it jobs again.
    pub fn drain(&self, agent: &AgentId, is_draining: bool) {
        let mut lines = self.0.lock();
        if is_draining {
            lines.draining.insert(agent.clone());
        } else if lines.draining.remove(agent) {
            lines.serve_waiting(self);
        }
    }

    /// Takes the job that is next for such an agent.
    pub fn take(&self, offer: &Offer) -> Option<Reservation> {
        let mut lines = self.0.lock();
        let entry = lines.reserve_next(offer)?;
        Some(Reservation { queue: self.clone(), entry, is_settled: false })
    }

    /// Waits for a job for such an agent; the next one goes to whoever waits longest.
    pub fn wait(&self, offer: Offer) -> Wait {
        let (hand, job) = oneshot::channel();
        let mut lines = self.0.lock();
        lines.next_waiter += 1;
        let number = lines.next_waiter;
        lines.waiting.push(Waiter { number, offer, hand });
        lines.serve_waiting(self);
        Wait { queue: self.clone(), number, job }
    }

    /// How many jobs wait, and how many agents.
    pub fn depth(&self) -> (usize, usize) {
        let lines = self.0.lock();
        (lines.known.len() - lines.busy.jobs(), lines.waiting.len())
    }
}

impl Lines {
    fn insert(&mut self, entry: Entry) {
        let turn = self.turns.get(&entry.project).copied().unwrap_or(0);
        let key = (std::cmp::Reverse(entry.priority), entry.demand.clone());
        let line = self.lines.entry(key).or_default();
        line.change(&entry.project, turn, turn, |jobs| {
            jobs.insert(entry.job.clone());
        });
        self.known.insert(entry.job.clone(), Known { entry, standing: Standing::InLine });
    }

    fn remove(&mut self, job: &JobId) -> Option<Known> {
        let known = self.known.remove(job)?;
        match known.standing {
            Standing::InLine => self.leave_line(&known.entry),
            Standing::Reserved | Standing::Held => self.busy.remove(&known.entry),
        }
        Some(known)
    }

    /// The job is reserved or held from now on, as this entry says. Whoever waits gets the room that it had elsewhere.
    fn take_room(&mut self, queue: &Queue, entry: Entry, standing: Standing) {
        match self.known.get_mut(&entry.job) {
            // What has room already, and of the same group, keeps it.
            Some(known) if known.standing != Standing::InLine && known.entry.has_room_of(&entry) => {
                *known = Known { entry, standing };
            }
            _ => {
                let before = self.remove(&entry.job);
                self.busy.add(&entry);
                self.known.insert(entry.job.clone(), Known { entry, standing });
                if before.is_some_and(|before| before.standing != Standing::InLine) {
                    self.serve_waiting(queue);
                }
            }
        }
    }

    fn leave_line(&mut self, entry: &Entry) {
        let turn = self.turns.get(&entry.project).copied().unwrap_or(0);
        let key = (std::cmp::Reverse(entry.priority), entry.demand.clone());
        if let Some(line) = self.lines.get_mut(&key) {
            line.change(&entry.project, turn, turn, |jobs| {
                jobs.remove(&entry.job);
            });
            if line.jobs.is_empty() {
                self.lines.remove(&key);
            }
        }
    }

    /// The next job for `offer`: of the highest priority, the project whose turn is longest ago, its oldest job.
    fn reserve_next(&mut self, offer: &Offer) -> Option<Entry> {
        if offer.agent.as_ref().is_some_and(|agent| self.draining.contains(agent)) {
            return None;
        }
        let mut best: Option<(i8, &(u64, JobId, ProjectId))> = None;
        for ((priority, demand), line) in &self.lines {
            if best.is_some_and(|(found, _)| found > priority.0) {
                break;
            }
            if offer.meets(demand) && !self.busy.has_group(demand) {
                let is_open = |project: &ProjectId| {
                    offer.may_work_for(project) && !self.paused.contains(project) && self.has_room(project)
                };
                let first = line.order.iter().find(|(_, _, project)| is_open(project));
                let better = first.filter(|first| best.is_none_or(|(_, found)| *first < found));
                best = better.map(|first| (priority.0, first)).or(best);
            }
        }
        let job = best?.1.1.clone();
        self.reserve(&job)
    }

    fn has_room(&self, project: &ProjectId) -> bool {
        self.limits.get(project).is_none_or(|most| self.busy.of_project(project) < *most)
    }

    fn reserve(&mut self, job: &JobId) -> Option<Entry> {
        let known = self.known.get_mut(job)?;
        known.standing = Standing::Reserved;
        let entry = known.entry.clone();
        self.leave_line(&entry);
        self.busy.add(&entry);
        self.served(&entry.project);
        Some(entry)
    }

    /// The project had its turn: it goes behind the others in every line.
    fn served(&mut self, project: &ProjectId) {
        self.turn += 1;
        let turn = self.turn;
        let before = self.turns.insert(project.clone(), turn).unwrap_or(0);
        for line in self.lines.values_mut() {
            line.change(project, before, turn, |_| {});
        }
    }

    fn give_back(&mut self, queue: &Queue, job: &JobId) {
        if self.known.get(job).is_some_and(|known| known.standing == Standing::Reserved) {
            self.back_in_line(job);
            self.serve_waiting(queue);
        }
    }

    fn back_in_line(&mut self, job: &JobId) {
        if let Some(known) = self.remove(job) {
            self.insert(known.entry);
        }
    }

    /// Hands jobs to waiting agents, the one that waits longest first.
    fn serve_waiting(&mut self, queue: &Queue) {
        let mut at = 0;
        while at < self.waiting.len() {
            if self.waiting[at].hand.is_closed() {
                self.waiting.remove(at);
                continue;
            }
            let offer = self.waiting[at].offer.clone();
            let Some(entry) = self.reserve_next(&offer) else {
                at += 1;
                continue;
            };
            let waiter = self.waiting.remove(at);
            if let Err(unread) =
                waiter.hand.send(Reservation { queue: queue.clone(), entry, is_settled: false })
            {
                self.take_back(unread);
            }
        }
    }

    /// Puts a reservation back that its waiter did not take, without locking again in its `drop`.
    fn take_back(&mut self, mut unread: Reservation) {
        unread.is_settled = true;
        self.back_in_line(&unread.entry.job);
    }
}

impl Line {
    fn change(
        &mut self,
        project: &ProjectId,
        turn: u64,
        next_turn: u64,
        edit: impl FnOnce(&mut BTreeSet<JobId>),
    ) {
        let jobs = self.jobs.entry(project.clone()).or_default();
        if let Some(oldest) = jobs.first() {
            self.order.remove(&(turn, oldest.clone(), project.clone()));
        }
        edit(jobs);
        match jobs.first() {
            Some(oldest) => {
                self.order.insert((next_turn, oldest.clone(), project.clone()));
            }
            None => {
                self.jobs.remove(project);
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Decides which agent gets which job: exclusive, by priority, fair between projects, oldest first.
//!
//! The queue is memory only, fed by the files of pending jobs. A job taken from it is *reserved*: nobody else is
//! offered it until it was claimed, or the reservation is dropped and it is offered again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::types::{Job, JobType};
use crate::clock::Time;
use crate::id::{JobId, Label, ProjectId};

/// What the queue knows of a pending job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The job.
    pub job: JobId,
    /// Whose it is.
    pub project: ProjectId,
    /// Higher goes first.
    pub priority: i8,
    needs: Needs,
}

/// What an agent must be able to do; jobs that need the same stand in one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Needs {
    kind: JobType,
    timeout_seconds: u32,
    labels: Vec<Label>,
}

impl Entry {
    /// The entry of a pending job.
    pub fn of(job: &Job) -> Self {
        let mut labels = job.labels.clone();
        labels.sort_unstable();
        Self {
            job: job.job_id.clone(),
            project: job.project_id.clone(),
            priority: job.priority,
            needs: Needs { kind: job.kind, timeout_seconds: job.timeout_seconds, labels },
        }
    }
}

/// What an agent offers.
#[derive(Clone, Debug, Default)]
pub struct Offer {
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

    fn meets(&self, needs: &Needs) -> bool {
        needs.labels.iter().all(|label| self.labels.contains(label))
            && self.types.as_ref().is_none_or(|types| types.contains(&needs.kind))
            && self.seconds_left.is_none_or(|left| u64::from(needs.timeout_seconds) <= left)
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
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.is_settled {
            self.queue.0.lock().give_back(&self.queue, &self.entry.job);
        }
    }
}

/// A line's key: higher priority first.
type LineKey = (std::cmp::Reverse<i8>, Needs);

#[derive(Default)]
struct Lines {
    lines: BTreeMap<LineKey, Line>,
    known: HashMap<JobId, Known>,
    /// When a project was last served, counted in jobs handed out: the one that waited longest goes first.
    turns: HashMap<ProjectId, u64>,
    turn: u64,
    /// Projects whose jobs are not handed out for now.
    paused: HashSet<ProjectId>,
    waiting: Vec<Waiter>,
    next_waiter: u64,
}

struct Known {
    entry: Entry,
    reserved: bool,
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
        match lines.known.get_mut(&entry.job) {
            Some(known) if known.reserved => known.entry = entry,
            _ => {
                lines.remove(&entry.job);
                lines.insert(entry);
                lines.serve_waiting(self);
            }
        }
    }

    /// A job does not wait any more: it was claimed, ended, or is gone.
    pub fn withdraw(&self, job: &JobId) {
        self.0.lock().remove(job);
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
        (lines.known.len(), lines.waiting.len())
    }
}

impl Lines {
    fn insert(&mut self, entry: Entry) {
        let turn = self.turns.get(&entry.project).copied().unwrap_or(0);
        let key = (std::cmp::Reverse(entry.priority), entry.needs.clone());
        let line = self.lines.entry(key).or_default();
        line.change(&entry.project, turn, turn, |jobs| {
            jobs.insert(entry.job.clone());
        });
        self.known.insert(entry.job.clone(), Known { entry, reserved: false });
    }

    fn remove(&mut self, job: &JobId) -> Option<Entry> {
        let known = self.known.remove(job)?;
        if !known.reserved {
            self.leave_line(&known.entry);
        }
        Some(known.entry)
    }

    fn leave_line(&mut self, entry: &Entry) {
        let turn = self.turns.get(&entry.project).copied().unwrap_or(0);
        let key = (std::cmp::Reverse(entry.priority), entry.needs.clone());
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
        let mut best: Option<(i8, &(u64, JobId, ProjectId))> = None;
        for ((priority, needs), line) in &self.lines {
            if best.is_some_and(|(found, _)| found > priority.0) {
                break;
            }
            if offer.meets(needs) {
                let is_open =
                    |project: &ProjectId| offer.may_work_for(project) && !self.paused.contains(project);
                let first = line.order.iter().find(|(_, _, project)| is_open(project));
                let better = first.filter(|first| best.is_none_or(|(_, found)| *first < found));
                best = better.map(|first| (priority.0, first)).or(best);
            }
        }
        let job = best?.1.1.clone();
        self.reserve(&job)
    }

    fn reserve(&mut self, job: &JobId) -> Option<Entry> {
        let known = self.known.get_mut(job)?;
        known.reserved = true;
        let entry = known.entry.clone();
        self.leave_line(&entry);
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
        if self.known.get(job).is_some_and(|known| known.reserved) {
            let known = self.known.remove(job).expect("it was there a line above");
            self.insert(known.entry);
            self.serve_waiting(queue);
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
        self.known.remove(&unread.entry.job);
        self.insert(unread.entry.clone());
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
mod tests {
    use super::*;
    use crate::id::IdMaker;

    struct Made(IdMaker, u64);
    impl Made {
        fn entry(&mut self, project: &str, priority: i8, labels: &[&str]) -> Entry {
            self.1 += 1;
            let project: ProjectId = project.parse().unwrap();
            let labels = labels.iter().map(|label| label.parse().unwrap()).collect();
            Entry {
                job: self.0.job(&project, Time::from_millis(1_763_663_400_000 + self.1)),
                project,
                priority,
                needs: Needs { kind: JobType::Build, timeout_seconds: 600, labels },
            }
        }
    }

    fn made() -> Made {
        Made(IdMaker::new(), 0)
    }

    /// Takes everything, as agents that claim at once.
    fn taken(queue: &Queue, offer: &Offer) -> Vec<JobId> {
        let mut order = Vec::new();
        while let Some(reservation) = queue.take(offer) {
            order.push(reservation.entry().job.clone());
            queue.withdraw(&reservation.entry().job);
        }
        order
    }

    #[test]
    fn jobs_go_by_priority_then_in_turns_between_projects_then_by_age() {
        let (queue, mut made) = (Queue::default(), made());
        let entries: Vec<Entry> =
            [("mrx-a", 0), ("mrx-a", 0), ("mrx-a", 0), ("mrx-b", 0), ("mrx-b", 0), ("mrx-c", 5)]
                .iter()
                .map(|(project, priority)| made.entry(project, *priority, &[]))
                .collect();
        entries.iter().for_each(|entry| queue.offer(entry.clone()));
        let order = taken(&queue, &Offer::default());
        let expected: Vec<JobId> = [5, 0, 3, 1, 4, 2].iter().map(|at| entries[*at].job.clone()).collect();
        assert_eq!(order, expected);
    }

    #[test]
    fn an_agent_gets_only_what_its_labels_types_projects_and_time_allow() {
        let (queue, mut made) = (Queue::default(), made());
        let gpu = made.entry("mrx-a", 9, &["gpu"]);
        let plain = made.entry("mrx-b", 0, &[]);
        queue.offer(gpu.clone());
        queue.offer(plain.clone());
        let other = Offer { types: Some(BTreeSet::from([JobType::Chat])), ..Offer::default() };
        assert!(queue.take(&other).is_none());
        let short = Offer { seconds_left: Some(599), ..Offer::default() };
        assert!(queue.take(&short).is_none());
        let elsewhere =
            Offer { projects: Some(BTreeSet::from(["mrx-c".parse().unwrap()])), ..Offer::default() };
        assert!(queue.take(&elsewhere).is_none());
        assert_eq!(queue.take(&Offer::default()).unwrap().entry().job, plain.job);
        let labelled = Offer { labels: BTreeSet::from(["gpu".parse().unwrap()]), ..Offer::default() };
        assert_eq!(queue.take(&labelled).unwrap().entry().job, gpu.job);
    }

    #[test]
    fn a_reserved_job_is_offered_again_only_when_its_reservation_is_dropped() {
        let (queue, mut made) = (Queue::default(), made());
        queue.offer(made.entry("mrx-a", 0, &[]));
        let reservation = queue.take(&Offer::default()).unwrap();
        assert!(queue.take(&Offer::default()).is_none());
        drop(reservation);
        let reservation = queue.take(&Offer::default()).unwrap();
        queue.withdraw(&reservation.entry().job);
        drop(reservation);
        assert!(queue.take(&Offer::default()).is_none(), "a claimed job does not come back");
    }

    #[test]
    fn a_paused_projects_jobs_wait_and_then_go_to_whoever_waits() {
        let (queue, mut made) = (Queue::default(), made());
        let (held, other) = (made.entry("mrx-a", 9, &[]), made.entry("mrx-b", 0, &[]));
        queue.pause(&held.project, true);
        queue.offer(held.clone());
        queue.offer(other.clone());
        assert_eq!(taken(&queue, &Offer::default()), [other.job]);
        let mut waits = queue.wait(Offer::default());
        queue.pause(&held.project, false);
        assert_eq!(waits.job.try_recv().unwrap().entry().job, held.job);
    }

    #[tokio::test]
    async fn a_new_job_wakes_exactly_one_waiting_agent_and_a_gone_one_is_passed_over() {
        let (queue, mut made) = (Queue::default(), made());
        drop(queue.wait(Offer::default()));
        let (mut first, mut second) = (queue.wait(Offer::default()), queue.wait(Offer::default()));
        queue.offer(made.entry("mrx-a", 0, &[]));
        let reserved = first.job.try_recv();
        assert!(reserved.is_ok());
        assert!(second.job.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_job_handed_to_an_agent_that_went_away_goes_to_the_next() {
        let (queue, mut made) = (Queue::default(), made());
        let (first, mut second) = (queue.wait(Offer::default()), queue.wait(Offer::default()));
        queue.offer(made.entry("mrx-a", 0, &[]));
        drop(first);
        assert!(second.job.try_recv().is_ok());
    }
}
